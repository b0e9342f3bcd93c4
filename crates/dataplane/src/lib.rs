//! What every data plane is: the trait, the simulated plane, decorators, and the suite that every plane must pass.
//!
//! What lives here: the trait and everything about planes that needs no operating system. What must not: system calls,
//! `unsafe`, protobuf, sessions by id.

pub mod capture;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod dice;
pub mod faulty;
pub mod limits;
pub mod pcap;
pub mod pipeline;
pub mod sim;
pub mod tunnel;

use std::task::{Context, Poll};

use opof_session::l3::{NextHop, VlanFlow};
use opof_session::plane::{Capabilities, Command, Completion, Found, Note, Slot};
use opof_session::types::{Counters, Lif, Moment};
use opof_wire::SlowPath;

pub use capture::Captured;
pub use dice::Dice;
pub use faulty::Faulty;
pub use pipeline::{Decision, FrameCopy, Hit, Outcome, Port, SentCopy, Tables, decide};
pub use sim::{SimPlane, SimPorts};
pub use tunnel::{Encapsulation, FirewallTunnel, FromUplink, Refused, TunnelPath, decide_uplink};

/// A fast path that can be programmed. One owner drives it; nothing in it waits.
///
/// Calling order: [`submit`](Self::submit) what the engine asks, [`poll`](Self::poll) until it is pending, feed the
/// engine what came back, again. Commands take effect in order; each that was taken is answered exactly once. Answers
/// about one [`Subject`] come in the order of its commands, those about different ones in any order.
///
/// [`Subject`]: opof_session::plane::Subject
pub trait DataPlane: Send {
    /// What it can do. Does not change.
    fn capabilities(&self) -> Capabilities;

    /// Takes commands from the front and returns how many; those that were not taken are given again after the next
    /// completion. A plane with nothing under way takes at least one.
    fn submit(&mut self, now: Moment, commands: &[Command]) -> usize;

    /// Appends what has been completed. `Pending`: nothing was, and the waker of `context` is woken when something is.
    fn poll(&mut self, context: &mut Context<'_>, completions: &mut Vec<Completion>) -> Poll<()>;

    /// Shows everything that it has kept from an owner before this one, in any order. To be asked for before the first command.
    fn found(&mut self, _each: &mut dyn FnMut(&Found)) {}

    /// What packets are sent by, the same.
    fn found_routes(&mut self) -> (Vec<NextHop>, Vec<VlanFlow>) {
        (Vec::new(), Vec::new())
    }

    /// Takes these out, whatever they are, and keeps nothing of them. Before the first command; returns when no packet is forwarded for
    /// them any more.
    fn purge(&mut self, _slots: &[Slot]) {}

    /// Shows what an owner before this one has left and nobody can go on with, in any order: sessions that are forwarded no more, with
    /// their last counters. Shown once, before the first command.
    fn departed(&mut self, _each: &mut dyn FnMut(&Note, Counters)) {}

    /// From here on its end takes nothing down: what it forwards it goes on forwarding, for a later owner to find.
    fn stay(&mut self) {}

    /// Has it forward by itself until then, and not a packet longer, whatever becomes of its owner: what comes at `until` or later, by
    /// `CLOCK_MONOTONIC`, is a miss and no session's packet. Sessions stay, and are installed, removed and read as ever. Can be told
    /// again at any time, an earlier or a later moment, and holds for every packet that comes after the call; takes no system call, as
    /// it is told several times a second. A new plane begins with `Moment(u64::MAX)`, which never comes; one that goes on with what an
    /// owner before has left goes on with what it was told then.
    fn forward_until(&mut self, until: Moment);

    /// Ports with their counters, for people and metrics. May be slow (system calls): not for the hot path.
    fn describe(&self) -> Description;
}

/// A plane as an operator wants to see it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Description {
    /// `xdp` or `sim`.
    pub kind: &'static str,
    /// In the order of the configuration: for each LIF its wire ports, then its firewall port; then the uplink, where a firewall
    /// is behind a tunnel.
    pub ports: Vec<PortDescription>,
}

/// What a port is for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum PortRole {
    /// Towards the network: frames are looked up.
    Wire,
    /// Towards the firewall: frames go out of the wire port.
    Firewall,
    /// Towards firewalls behind tunnels, for all LIFs together.
    Uplink,
}

/// One port.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PortDescription {
    /// The LIF it belongs to; the uplink belongs to none.
    pub lif: Option<Lif>,
    /// Its part in it.
    pub role: PortRole,
    /// Interface name, the address of a firewall behind a tunnel as it is configured, or a name of the simulation.
    pub name: String,
    /// How frames are received: `native`, `generic`, `simulated`, or `tunnel`: by the uplink.
    pub mode: &'static str,
    /// What came in.
    pub counters: PortCounters,
}

/// What came in on a port, by what became of it. On a firewall port only `received` is used, of a firewall behind a tunnel without the
/// outer headers; on the uplink `received` and `refused`, of packets of firewalls to the port of tunnels alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PortCounters {
    /// Everything that came in.
    pub received: Tally,
    /// Hits that went out of a wire port.
    pub forwarded: Tally,
    /// Hits that were dropped as their session asks.
    pub dropped: Tally,
    /// What went to the firewall, by [`SlowPath`] number.
    pub slow_path: [Tally; SlowPath::COUNT],
    /// Of those forwarded, what was copied to a collector; without the copies' outer headers.
    pub copied: Tally,
    /// Of those forwarded, what should have been copied and could not be.
    pub copies_lost: Tally,
    /// What does not fit through the tunnel to the firewall, and whose sender was told so.
    pub too_big_answered: Tally,
    /// What does not fit, and whose sender could not be told, or not at that rate: lost.
    pub too_big_dropped: Tally,
    /// What was the firewall's while there was no way to it: lost.
    pub unreachable: Tally,
    /// What was not taken as a packet of a tunnel and left to the host, by [`Refused`] number.
    pub refused: [Tally; Refused::COUNT],
}

impl PortCounters {
    /// What became of the frames of a wire port. Each has one fate, so that is also all that came in.
    pub fn fates(&self) -> impl Iterator<Item = Tally> + '_ {
        let lost = [self.too_big_answered, self.too_big_dropped, self.unreachable];
        self.slow_path.iter().copied().chain([self.forwarded, self.dropped]).chain(lost)
    }
}

/// Frames and their bytes, whole L2 frames without FCS.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    /// Frames.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}

impl std::iter::Sum for Tally {
    fn sum<I: Iterator<Item = Self>>(tallies: I) -> Self {
        tallies.fold(Self::default(), |sum, tally| Self {
            packets: sum.packets + tally.packets,
            bytes: sum.bytes + tally.bytes,
        })
    }
}
