//! The words of the domain as types: ids, interfaces, moments, keys, actions, counters.
//!
//! Values only: nothing here has behaviour beyond its own arithmetic, and nothing knows protobuf or a data plane.

use core::fmt;
use core::hash::{Hash, Hasher};
use core::net::IpAddr;
use core::num::NonZeroU16;
use core::time::Duration;

use opof_wire::{Addresses, FlowKey, Vid};

use crate::l3::{Family, Links};

/// The number that the firewall gave a session. Any 64-bit value, 0 included.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SessionId(pub u64);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A logical interface: one wire port and the firewall port behind it. 0 names none.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Lif(NonZeroU16);

impl Lif {
    /// `None` for 0.
    pub const fn new(id: u16) -> Option<Self> {
        match NonZeroU16::new(id) {
            Some(id) => Some(Self(id)),
            None => None,
        }
    }

    /// The number in the API and in the configuration.
    pub const fn get(self) -> u16 {
        self.0.get()
    }
}

impl fmt::Display for Lif {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A point in time: nanoseconds of a monotonic clock whose zero means nothing. The fast path stamps packets with the
/// same clock.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Moment(pub u64);

impl Moment {
    /// `self + after`, saturating: a deadline past the end of time is never reached.
    #[must_use]
    pub fn saturating_add(self, after: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(after.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// How long after `earlier` this is; zero when it is not after.
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The same moment by a clock that is ahead by so many nanoseconds, or behind. What was before that clock's zero, because its machine has
    /// started later, is in two's complement; [`is_after`](Self::is_after) and [`idle_until`](Self::idle_until) know that.
    #[must_use]
    pub const fn shifted(self, by: i64) -> Self {
        Self(self.0.wrapping_add_signed(by))
    }

    /// True when it is later than `other`, either of which may be before zero.
    pub const fn is_after(self, other: Self) -> bool {
        self.0.cast_signed() > other.0.cast_signed()
    }

    /// `self + timeout`, saturating; zero where that is before zero.
    #[must_use]
    pub fn idle_until(self, timeout: Duration) -> Self {
        let before_zero = if self.0.cast_signed() < 0 { self.0.wrapping_neg() } else { 0 };
        let timeout = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX).saturating_sub(before_zero);
        if before_zero > 0 { Self(timeout) } else { Self(self.0.saturating_add(timeout)) }
    }
}

/// What the fast path looks a packet up by: the interface it came in on, and its flow key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct MatchKey {
    /// The interface whose wire port the packet came in on.
    pub lif: Lif,
    /// What the packet says of itself.
    pub flow: FlowKey,
}

/// Everything of it in a few words: one field at a time would cost a hash function a round each.
impl Hash for MatchKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self { lif, flow } = self;
        match flow.addresses {
            Addresses::V4 { source, destination } => {
                let [source, destination] = [source, destination].map(|address| u64::from(u32::from_be_bytes(address)));
                state.write_u64(source << 32 | destination);
            }
            Addresses::V6 { source, destination } => {
                state.write_u128(u128::from_be_bytes(source));
                state.write_u128(u128::from_be_bytes(destination));
            }
        }
        let words = [lif.get(), flow.vlan.get(), flow.source_port, flow.destination_port];
        state.write_u64(words.into_iter().fold(0, |all, word| all << 16 | u64::from(word)));
        state.write_u16(u16::from(flow.transport.number()) << 8 | u16::from(flow.tunnel.number()));
    }
}

impl fmt::Display for MatchKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} lif {}", self.flow, self.lif)
    }
}

/// What a firewall asks for with a session.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Action {
    /// Discard the session's packets, and count them.
    Drop,
    /// Send them out of the wire port of the interface on the other side, which may be the one that they came in on.
    Forward,
    /// Forward, and change on each link what it says. Behind a pointer, because few sessions have it and all would pay.
    Route(Box<Links>),
    /// Forward, and send a copy as it came to the collector.
    Mirror {
        /// Where the copies go.
        collector: IpAddr,
    },
    /// Forward, and send a copy as it leaves to the collector.
    Snoop {
        /// Where the copies go.
        collector: IpAddr,
    },
}

/// The two directions of a session: "in" is from `in_lif` towards `out_lif`, "out" is the answer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Direction {
    /// From `in_lif` towards `out_lif`, with the tuple as given.
    In = 0,
    /// From `out_lif` towards `in_lif`, with the tuple mirrored.
    Out = 1,
}

/// A session as the firewall asks for it, already checked field by field, not yet against this device.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SessionSpec {
    /// The firewall's number for it.
    pub id: SessionId,
    /// Where the "in" direction enters.
    pub in_lif: Lif,
    /// Where the "in" direction leaves, and the "out" direction enters. The same as `in_lif` where the device stands in
    /// the network with one arm.
    pub out_lif: Lif,
    /// The key of the "in" direction; its VLAN is the one on the `in_lif` side, its tunnel that of both directions.
    pub flow: FlowKey,
    /// The VLAN on the `out_lif` side. Both sides are tagged, or neither; different tags are rewritten on the way, unless
    /// [`Action::Route`] says what happens to them.
    pub out_vlan: Vid,
    /// What to do with its packets.
    pub action: Action,
    /// Idle time after which it closes, in whole seconds; 0 asks for the device's default.
    pub timeout_seconds: u32,
}

impl SessionSpec {
    /// Of both addresses.
    pub const fn family(&self) -> Family {
        match self.flow.addresses {
            Addresses::V4 { .. } => Family::V4,
            Addresses::V6 { .. } => Family::V6,
        }
    }

    /// The links whose NAT the keys must know of.
    fn translation(&self) -> Option<&Links> {
        match &self.action {
            Action::Route(links) if links.change_keys(self.flow.tunnel) => Some(links),
            _ => None,
        }
    }

    /// True when its tuple is another one on the far side.
    pub fn is_translated(&self) -> bool {
        self.translation().is_some()
    }

    /// What packets of this direction are looked up by: "in" the tuple as given, "out" the mirror image of what that is translated to.
    pub fn match_key(&self, direction: Direction) -> MatchKey {
        match_key(direction, [self.in_lif, self.out_lif], self.flow, self.out_vlan, self.translation())
    }
}

/// [`SessionSpec::match_key`], of its parts; `links` where the keys must know of them.
pub(crate) fn match_key(
    direction: Direction,
    [in_lif, out_lif]: [Lif; 2],
    flow: FlowKey,
    out_vlan: Vid,
    links: Option<&Links>,
) -> MatchKey {
    match direction {
        Direction::In => MatchKey { lif: in_lif, flow },
        Direction::Out => {
            let mut flow = links.map_or(flow, |links| links.translate(flow)).reversed();
            flow.vlan = out_vlan;
            MatchKey { lif: out_lif, flow }
        }
    }
}

/// What one direction of a session carried on the fast path.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct DirectionCounters {
    /// Packets, those of a DROP session included.
    pub packets: u64,
    /// Bytes of whole L2 frames without FCS, as they came in.
    pub bytes: u64,
}

/// What a session carried on the fast path. TCP control packets and other slow-path frames are not in it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Counters {
    /// From `in_lif` towards `out_lif`.
    pub inward: DirectionCounters,
    /// From `out_lif` towards `in_lif`.
    pub outward: DirectionCounters,
    /// When the last packet of either direction came; `None` before the first.
    pub last_seen: Option<Moment>,
}

impl DirectionCounters {
    const fn plus(self, other: Self) -> Self {
        Self { packets: self.packets.saturating_add(other.packets), bytes: self.bytes.saturating_add(other.bytes) }
    }

    const fn most(self, other: Self) -> Self {
        let (packets, bytes) = (self.packets, self.bytes);
        Self {
            packets: if other.packets > packets { other.packets } else { packets },
            bytes: if other.bytes > bytes { other.bytes } else { bytes },
        }
    }
}

impl Counters {
    /// What was counted in two places.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            inward: self.inward.plus(other.inward),
            outward: self.outward.plus(other.outward),
            last_seen: self.later(other),
        }
    }

    /// What was told of one place at two times, whichever came first.
    #[must_use]
    pub fn most(self, other: Self) -> Self {
        Self {
            inward: self.inward.most(other.inward),
            outward: self.outward.most(other.outward),
            last_seen: self.later(other),
        }
    }

    fn later(self, other: Self) -> Option<Moment> {
        match (self.last_seen, other.last_seen) {
            (Some(mine), Some(theirs)) => Some(if theirs.is_after(mine) { theirs } else { mine }),
            (mine, theirs) => mine.or(theirs),
        }
    }
}

/// Why a session left the device, as its closed record says it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum CloseReason {
    /// No packet in either direction for the session's timeout.
    Timeout,
    /// Deleted by request, by a client that wants its record as well.
    Deleted,
    /// All sessions were closed by request.
    Reset,
    /// Its next hop was taken away.
    NextHopGone,
}

/// A session that has left the device and is to be reported, once, with its final counters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClosedRecord {
    /// Position in the closed log: one more than the record before it, never used twice.
    pub sequence: u64,
    /// The firewall's number for it.
    pub id: SessionId,
    /// Final.
    pub counters: Counters,
    /// When it was established.
    pub started: Moment,
    /// When it was taken off the fast path.
    pub ended: Moment,
    /// Why.
    pub reason: CloseReason,
}
