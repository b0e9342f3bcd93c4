//! What the engine says to a data plane and hears from it: the vocabulary of the `DataPlane` trait.
//!
//! A plane knows keys, actions, counters and last-seen times, and nothing else: no session ids, no timeouts, no
//! API. How it is driven is in `opof_dataplane`.

use opof_wire::Vid;

use crate::types::{Counters, Lif, MatchKey};

/// Names a session towards the plane: an index below the plane's capacity. The engine uses a slot again only when the plane
/// owes no answer for it, after [`Completion::Removed`] or a failed [`Completion::Installed`].
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
        /// Write this VID into the outermost tag, keeping PCP and DEI; `None` leaves the frame untouched. Set only where the
        /// match key has a VLAN: a tag is rewritten, never pushed.
        rewrite: Option<Vid>,
    },
}

/// One direction of a session in the fast path's table.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Rule {
    /// The packets that it is for.
    pub key: MatchKey,
    /// What becomes of them.
    pub action: FastAction,
}

/// What the engine asks a plane to do. Commands take effect in the order in which they were given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Command {
    /// Start forwarding both directions, from zero counters. Answered by [`Completion::Installed`]. After a failure
    /// neither direction is forwarded for this slot. The keys are free, but for one case: where a removal failed, they may still
    /// belong to its slot, and then the plane takes them over or answers [`InstallError::Unavailable`].
    Install {
        /// Free until now.
        slot: Slot,
        /// The "in" direction, then the "out" direction.
        rules: [Rule; 2],
    },
    /// Stop forwarding both directions. Answered by [`Completion::Removed`] once no packet can reach the counters any
    /// more: packets that come after that answer miss, and the counters in it are final. Given again after a failure, it
    /// takes out only those keys that still belong to the slot.
    Remove {
        /// Installed, or being installed; where that install fails, the answer has zero counters.
        slot: Slot,
        /// The keys that [`Command::Install`] put there.
        keys: [MatchKey; 2],
    },
    /// Tell the counters as they are. Answered by [`Completion::Read`].
    Read {
        /// Installed.
        slot: Slot,
        /// Comes back in the answer.
        token: ReadToken,
    },
}

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
    /// Answers [`Command::Read`].
    Read {
        /// As in the command.
        slot: Slot,
        /// As in the command.
        token: ReadToken,
        /// Each direction by itself is a value that was true during the call.
        counters: Counters,
    },
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
