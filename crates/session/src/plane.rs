//! What the engine says to a data plane and hears from it: the vocabulary of the `DataPlane` trait.
//!
//! A plane knows keys, actions, counters and last-seen times, and nothing else: no session ids, no timeouts, no
//! API. Of these it keeps a note for the engine, which it does not read. How it is driven is in `opof_dataplane`.

use core::net::IpAddr;

use opof_wire::{Endpoint, Vid};

use crate::l3::{NextHop, NextHopId, VlanFlow};
use crate::types::{Counters, Lif, MatchKey};

/// Names a session towards the plane: an index below the plane's capacity. The engine uses a slot again only when the plane
/// owes no answer for it but [`Completion::Forgotten`], after [`Completion::Removed`] or a failed [`Completion::Installed`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Slot(pub u32);

/// What the fast path does with a packet that hits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FastAction {
    /// Count and discard.
    Drop,
    /// Count and send out of the wire port of `to`.
    Forward {
        /// The interface it leaves by.
        to: Lif,
        /// What is changed on the way.
        change: PacketChange,
        /// Who gets a copy.
        copy: Option<PacketCopy>,
    },
}

/// A copy of each packet that is forwarded, sent to a collector in GENEVE (RFC 8926) with where it came in, where it leaves and
/// `key`. While there is no way to the collector, and for packets that are too large for it, the copy is lost and counted; the packet
/// itself is sent on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct PacketCopy {
    /// Where it goes.
    pub collector: IpAddr,
    /// What is copied. Set only where nothing but the tag is changed.
    pub moment: CopyMoment,
    /// Goes with the copy.
    pub key: u32,
}

/// Which form of a packet is copied.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum CopyMoment {
    /// As it came in.
    AsItCame,
    /// As it leaves.
    AsItLeaves,
}

/// What the fast path changes in a packet that it forwards, in its outermost headers. The default is nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct PacketChange {
    /// Write this VID into the outermost tag, keeping PCP and DEI. Set only where the match key has a VLAN: a tag is
    /// rewritten, never pushed.
    pub vlan: Option<Vid>,
    /// Send it to this next hop, as that is at the moment of the packet: a next hop that is replaced is replaced for all. Where the
    /// TTL would reach 0, and while there is no such next hop, the packet takes the slow path.
    pub next_hop: Option<NextHopId>,
    /// Takes the place of source address and port.
    pub source: Option<Endpoint>,
    /// Takes the place of destination address and port.
    pub destination: Option<Endpoint>,
}

impl PacketChange {
    /// Another VID and nothing else, or nothing at all.
    pub const fn vlan(vlan: Option<Vid>) -> Self {
        Self { vlan, next_hop: None, source: None, destination: None }
    }
}

/// One direction of a session in the fast path's table.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Rule {
    /// The packets that it is for.
    pub key: MatchKey,
    /// What becomes of them.
    pub action: FastAction,
}

/// What a plane keeps with a session for the engine, as it is. A plane that outlives its engine gives it to the next one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Note(pub [u64; 3]);

/// What the engine asks a plane to do. Commands take effect in the order in which they were given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Command {
    /// Start forwarding both directions, from zero counters. Answered by [`Completion::Installed`]. After a failure
    /// neither direction is forwarded for this slot, and nothing is kept. The keys are free, but for one case: where a removal failed, they may still
    /// belong to its slot, and then the plane takes them over or answers [`InstallError::Unavailable`].
    Install {
        /// Free until now.
        slot: Slot,
        /// The "in" direction, then the "out" direction.
        rules: [Rule; 2],
        /// To be kept from before a packet can hit until [`Command::Forget`].
        note: Note,
    },
    /// Stop forwarding both directions. Answered by [`Completion::Removed`] once no packet can reach the counters any
    /// more: packets that come after that answer miss, and the counters in it are final. Given again after a failure, it
    /// takes out only those keys that still belong to the slot.
    Remove {
        /// Installed, or asked to be; where that install fails, or has failed and the owner had not heard of it when it asked for
        /// this, the answer has zero counters. Or removed and not forgotten: the answer
        /// is the one that was given.
        slot: Slot,
        /// The keys that [`Command::Install`] put there.
        keys: [MatchKey; 2],
        /// Takes the place of the one that is kept, if one is, before anything else is done.
        note: Note,
    },
    /// Keep nothing of a session any more. Answered by [`Completion::Forgotten`].
    Forget {
        /// Removed.
        slot: Slot,
    },
    /// Tell the counters as they are. Answered by [`Completion::Read`].
    Read {
        /// Installed.
        slot: Slot,
        /// Comes back in the answer.
        token: ReadToken,
    },
    /// Change what packets are sent by, whatever session they belong to. Answered by [`Completion::Routed`]; after a failure
    /// everything is as it was before.
    Route {
        /// What.
        route: Route,
        /// Comes back in the answer.
        token: RouteToken,
    },
}

/// What a command is about: answers about one subject come in the order of its commands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Subject {
    /// A session.
    Session(Slot),
    /// What packets are sent by.
    Route(RouteToken),
}

impl Command {
    /// What it is about.
    pub const fn subject(&self) -> Subject {
        match self {
            Self::Install { slot, .. }
            | Self::Remove { slot, .. }
            | Self::Forget { slot }
            | Self::Read { slot, .. } => Subject::Session(*slot),
            Self::Route { token, .. } => Subject::Route(*token),
        }
    }
}

impl Completion {
    /// What the command was about that it answers.
    pub const fn subject(&self) -> Subject {
        match self {
            Self::Installed { slot, .. }
            | Self::Removed { slot, .. }
            | Self::Forgotten { slot }
            | Self::Read { slot, .. } => Subject::Session(*slot),
            Self::Routed { token, .. } => Subject::Route(*token),
        }
    }
}

/// A session that a plane has kept from an engine before this one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Found {
    /// Where.
    pub slot: Slot,
    /// As they were installed.
    pub rules: [Rule; 2],
    /// As it was given last.
    pub note: Note,
    /// As far as they have come.
    pub counters: Counters,
    /// Which of its directions are forwarded. Not both: it was being installed, or removed; none: it may be removed, and then its counters
    /// are final.
    pub forwarded: [bool; 2],
}

/// One change of what packets are sent by.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Route {
    /// Store a next hop, or replace the one with its number at once: no packet leaves with a mixture of both.
    SetNextHop(NextHop),
    /// Forget a next hop, if there is one.
    RemoveNextHop(NextHopId),
    /// Slow-path frames of this VLAN, whatever their reason, leave by the firewall port of this interface instead of their own.
    SetVlanFlow(VlanFlow),
    /// Forget the flow of a VLAN, if there is one.
    RemoveVlanFlow(Vid),
    /// Forget all flows.
    ClearVlanFlows,
}

/// Ties the answer of a [`Command::Route`] to who asked for it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RouteToken(pub u64);

/// Ties the answer of a [`Command::Read`] to what the engine wanted it for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ReadToken(pub u64);

/// What a plane answers: exactly one for each command it took.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Completion {
    /// Answers [`Command::Install`].
    Installed {
        /// As in the command.
        slot: Slot,
        /// From here on the next packet takes the fast path, or why not.
        result: Result<(), InstallError>,
    },
    /// Answers [`Command::Remove`].
    Removed {
        /// As in the command.
        slot: Slot,
        /// Final counters. On an error the session may still be forwarded: the command must be given again.
        result: Result<Counters, RemoveError>,
    },
    /// Answers [`Command::Forget`].
    Forgotten {
        /// As in the command.
        slot: Slot,
    },
    /// Answers [`Command::Read`].
    Read {
        /// As in the command.
        slot: Slot,
        /// As in the command.
        token: ReadToken,
        /// Each direction by itself is a value that was true during the call.
        counters: Counters,
    },
    /// Answers [`Command::Route`].
    Routed {
        /// As in the command.
        token: RouteToken,
        /// From here on the next packet goes by it, or why not.
        result: Result<(), RouteError>,
    },
}

/// Why a plane did not change what packets are sent by.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
pub enum RouteError {
    /// No room for another next hop.
    #[error("the data plane has no room for another next hop")]
    Full,
    /// A passing fault.
    #[error("the data plane is unavailable")]
    Unavailable,
}

/// Why a plane did not install a session.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
pub enum InstallError {
    /// No room in the table.
    #[error("the data plane's table is full")]
    Full,
    /// A passing fault; the same session may be accepted later.
    #[error("the data plane is unavailable")]
    Unavailable,
}

/// Why a plane did not remove a session.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
pub enum RemoveError {
    /// A passing fault.
    #[error("the data plane is unavailable")]
    Unavailable,
}

/// What a plane can do for a session. A session that needs more is rejected by the engine, by name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, not a state")]
pub struct Capabilities {
    /// Sessions, not rules: slots are `0..sessions`.
    pub sessions: u32,
    /// Can rewrite the outermost VLAN tag.
    pub vlan_rewrite: bool,
    /// Can send to a next hop: rewrite MAC addresses, decrement the TTL.
    pub next_hops: bool,
    /// Can translate addresses and ports.
    pub nat: bool,
    /// Can look into GTP-U.
    pub gtpu: bool,
    /// Can send copies to a collector.
    pub copies: bool,
    /// Can send the misses of a VLAN to a chosen firewall port.
    pub vlan_flows: bool,
}

impl Capabilities {
    /// A plane that forwards and drops `sessions` sessions, and no more. What a plane claims beyond that, its
    /// [`FastAction`] must be able to say.
    pub const fn forwarding(sessions: u32) -> Self {
        Self {
            sessions,
            vlan_rewrite: false,
            next_hops: false,
            nat: false,
            gtpu: false,
            copies: false,
            vlan_flows: false,
        }
    }
}
