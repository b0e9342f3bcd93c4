//! A firewall behind a tunnel: what goes there and in what, what is answered instead because it does not fit, what comes back.
//!
//! As the pipeline, whose part this is, an executable specification: `bpf/firewall.h` does the same. What must not be here:
//! lookups in the session table, counters, the way the tunnel takes.

use std::fmt;
use std::ops::Range;

use opof_session::types::{Lif, Moment};
use opof_wire::decap::{Decapsulated, Refusal, TunnelEnd, decapsulate};
use opof_wire::encap::{self, Template};
use opof_wire::geneve::Metadata;
use opof_wire::packet_too_big::{MAX_LEN, answer, must_answer};

use crate::limits::ANSWER_BURST;

/// The way through a tunnel, and what goes through it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TunnelPath {
    /// The outer headers.
    pub template: Template,
    /// The largest frame that goes through it, in bytes.
    pub frame_len_max: usize,
}

/// The tunnel that a LIF's firewall is behind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FirewallTunnel {
    /// Our end of it: the peer is the firewall.
    pub end: TunnelEnd,
    /// How packets get there; `None` while there is no way.
    pub path: Option<TunnelPath>,
}

/// What a frame is wrapped in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Encapsulation {
    /// The outer headers.
    pub template: Template,
    /// Theirs, of the flow.
    pub source_port: u16,
    /// In our option.
    pub metadata: Metadata,
}

impl Encapsulation {
    /// The frame with the outer headers in front.
    ///
    /// # Panics
    /// When the frame is larger than any that goes through a tunnel.
    pub fn apply(&self, frame: &[u8]) -> Vec<u8> {
        let mut outer = [0; encap::MAX_LEN];
        let len = self.template.encapsulate(frame.len(), self.source_port, self.metadata, &mut outer);
        let len = len.expect("only what fits is sent through a tunnel");
        [&outer[..len], frame].concat()
    }
}

/// What becomes of a frame that is the firewall's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Passage {
    Sent(Encapsulation),
    /// It does not fit. Its sender is told that packets of so many bytes do, where it has to be told.
    TooBig(Option<u16>),
    NoWay,
}

/// What becomes of a slow-path frame from `lif`. The option has no out-LIF, for where it would leave nobody has decided, and
/// the flow's hash as key.
pub(crate) fn enter(path: Option<&TunnelPath>, lif: Lif, frame: &[u8]) -> Passage {
    let Some(path) = path else { return Passage::NoWay };
    if frame.len() > path.frame_len_max {
        return Passage::TooBig(mtu_to_tell(frame, path.frame_len_max));
    }
    let hash = encap::frame_hash(frame);
    Passage::Sent(Encapsulation {
        template: path.template,
        source_port: encap::source_port(hash),
        metadata: Metadata { in_lif: lif.get().into(), out_lif: 0, key: hash },
    })
}

/// What the sender of a frame is told that is larger than `frame_len_max` bytes; `None`: nothing.
fn mtu_to_tell(frame: &[u8], frame_len_max: usize) -> Option<u16> {
    let subject = must_answer(frame).ok()?;
    let mtu = u16::try_from(frame_len_max.saturating_sub(subject.link_len)).ok()?;
    answer(frame, mtu, &mut [0; MAX_LEN]).ok().map(|_| mtu)
}

/// The answer to a frame for whose sender there is one.
pub(crate) fn too_big(frame: &[u8], mtu: u16) -> Vec<u8> {
    let mut out = [0; MAX_LEN];
    let len = answer(frame, mtu, &mut out).expect("it was asked before whether there is an answer");
    out[..len].to_vec()
}

/// What becomes of a frame that came in where firewalls are behind tunnels.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FromUplink {
    /// A firewall has decided: what is inside goes out of the wire port of this interface, without a look at it.
    Out {
        /// The interface.
        lif: Lif,
        /// Where in the frame it lies.
        frame: Range<usize>,
    },
    /// It is the host's, untouched. `Some`: it came from a firewall to the port of tunnels all the same, and is counted.
    Host(Option<Refused>),
}

/// Why a packet of a firewall to the port of tunnels is not taken. Its number is that of `bpf/abi.h`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Refused {
    /// It is no packet of the tunnel.
    Packet(Refusal),
    /// It names an interface that does not exist, or whose firewall is another one.
    Lif,
}

impl Refused {
    /// How many numbers there are. Those of [`Refusal`]s that have nothing to do with tunnels are not used.
    pub const COUNT: usize = Refusal::COUNT + 1;

    /// As in `bpf/abi.h`.
    pub const fn number(self) -> usize {
        match self {
            Self::Packet(refusal) => refusal as usize,
            Self::Lif => Refusal::COUNT,
        }
    }

    /// The reason with this number.
    pub fn from_number(number: usize) -> Option<Self> {
        if number == Refusal::COUNT {
            return Some(Self::Lif);
        }
        u8::try_from(number).ok().and_then(Refusal::from_number).map(Self::Packet)
    }

    /// Its name in snake case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Packet(refusal) => refusal.name(),
            Self::Lif => "lif",
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Packet(refusal) => refusal.fmt(f),
            Self::Lif => f.write_str("names no interface of this firewall"),
        }
    }
}

/// What becomes of `frame` (whole L2 frame without FCS), received on the uplink of `firewalls`:
///
/// 1. Not from the address of a firewall, untagged IPv4 or IPv6: the host's.
/// 2. [`decapsulate`] refuses it: the host's. Counted where the refusal comes after [`Refusal::Port`]; the others (a ping, the
///    firewall's own calls to the device) have nothing to do with tunnels.
/// 3. The interface in `out_lif`, or where that is 0 the one in `in_lif`, has no firewall at this address: the host's, counted
///    as [`Refused::Lif`]. So a firewall can return what it has decided with the option as it came, and it goes back where it
///    came from; and none can send by the interfaces of another.
/// 4. Out of the wire port of that interface.
///
/// Firewalls with one address have one tunnel: of several, the first is taken.
pub fn decide_uplink(frame: &[u8], firewalls: &[(Lif, FirewallTunnel)]) -> FromUplink {
    let taken = firewalls.iter().find_map(|(_, tunnel)| match decapsulate(frame, &tunnel.end) {
        // Another firewall's, or nobody's.
        Err(refusal) if refusal as u8 <= Refusal::Port as u8 => None,
        said => Some((tunnel.end.addresses.source(), said)),
    });
    let Some((peer, said)) = taken else { return FromUplink::Host(None) };
    match said {
        Err(refusal) => FromUplink::Host(Some(Refused::Packet(refusal))),
        Ok(Decapsulated { frame, metadata: Metadata { in_lif, out_lif, .. } }) => {
            let named = if out_lif == 0 { in_lif } else { out_lif };
            let is_its = |(lif, tunnel): &&(Lif, FirewallTunnel)| {
                u32::from(lif.get()) == named && tunnel.end.addresses.source() == peer
            };
            match firewalls.iter().find(is_its) {
                Some(&(lif, _)) => FromUplink::Out { lif, frame },
                None => FromUplink::Host(Some(Refused::Lif)),
            }
        }
    }
}

/// How many answers to packets that do not fit are given: [`ANSWER_BURST`] at once, then so many a second (RFC 4443, 2.4 (f);
/// RFC 1812, 4.3.2.8). A token bucket, kept as the moment at which it will be full.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AnswerBucket {
    /// Nanoseconds for one answer.
    interval: u64,
    full: u64,
}

impl AnswerBucket {
    /// A full one.
    ///
    /// # Panics
    /// With no answers a second.
    pub fn new(per_second: u32) -> Self {
        Self { interval: Self::interval(per_second), full: 0 }
    }

    /// Nanoseconds for one answer.
    ///
    /// # Panics
    /// With no answers a second.
    pub const fn interval(per_second: u32) -> u64 {
        1_000_000_000 / per_second as u64
    }

    /// Takes one answer out, or says that there is none.
    pub fn take(&mut self, now: Moment) -> bool {
        let from = self.full.max(now.0);
        if from - now.0 > self.interval * u64::from(ANSWER_BURST - 1) {
            return false;
        }
        self.full = from + self.interval;
        true
    }
}

#[cfg(test)]
mod tests;
