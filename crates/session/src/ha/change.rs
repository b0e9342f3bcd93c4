//! What a device that is active tells its standby of its sessions, one change at a time, in the order in which they happened.
//!
//! Values only. How they get there is in `channel`, what is made of them in `engine`.

use crate::l3::{NextHop, NextHopId, VlanFlow};
use crate::types::{CloseReason, ClosedRecord, Counters, Moment, SessionId, SessionSpec};
use opof_wire::Vid;

/// Names a session for as long as there are two devices. A number is used again; with its version it is not.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Name {
    /// The firewall's number for it.
    pub id: SessionId,
    /// When it was established, by the clock of the device that says so. Of two sessions with one number the later one is the newer.
    pub version: Moment,
}

/// What a session is to do.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Fate {
    /// To be forwarded.
    Lives,
    /// To be there until its timeout; a newer one has its tuple.
    Waits,
    /// To end, and to be reported so.
    Closes(CloseReason),
}

/// One change. Each can be applied again to what it was applied to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// A session was taken in.
    Session {
        /// As it was asked for, with the timeout in force.
        spec: SessionSpec,
        /// Its version.
        started: Moment,
        /// What it is to do.
        fate: Fate,
    },
    /// Something else is to become of it.
    Fate {
        /// Of this one.
        name: Name,
        /// What it is to do.
        fate: Fate,
    },
    /// It has ended, and whoever was to know does: by this record, or by an answer.
    Gone {
        /// This one.
        name: Name,
        /// With its sequence.
        record: Option<ClosedRecord>,
    },
    /// A closed record that is still to be collected.
    Record(ClosedRecord),
    /// A closed record was delivered, or lost for want of room.
    Ended {
        /// This one.
        sequence: u64,
    },
    /// A next hop was set.
    NextHop(NextHop),
    /// One was taken away.
    NextHopGone(NextHopId),
    /// All were taken away.
    NextHopsGone,
    /// A VLAN flow was stored.
    VlanFlow(VlanFlow),
    /// One was taken away.
    VlanFlowGone(Vid),
    /// All were taken away.
    VlanFlowsGone,
}

impl Change {
    /// The same by a clock that is ahead by so many nanoseconds.
    #[must_use]
    pub fn shifted(self, by: i64) -> Self {
        let at = |name: Name| Name { version: name.version.shifted(by), ..name };
        match self {
            Self::Session { spec, started, fate } => Self::Session { spec, started: started.shifted(by), fate },
            Self::Fate { name, fate } => Self::Fate { name: at(name), fate },
            Self::Gone { name, record } => {
                Self::Gone { name: at(name), record: record.map(|record| shifted_record(record, by)) }
            }
            Self::Record(record) => Self::Record(shifted_record(record, by)),
            other @ (Self::Ended { .. }
            | Self::NextHop(_)
            | Self::NextHopGone(_)
            | Self::NextHopsGone
            | Self::VlanFlow(_)
            | Self::VlanFlowGone(_)
            | Self::VlanFlowsGone) => other,
        }
    }
}

/// What one device's plane has counted of a session, and planes of that device before this one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Part {
    /// Of this one.
    pub name: Name,
    /// Since it was first taken in there.
    pub counters: Counters,
}

impl Part {
    /// The same by a clock that is ahead by so many nanoseconds: versions by `versions`, which never changes between two devices, the last
    /// packet by `now`, which is as good as it can be measured.
    #[must_use]
    pub fn shifted(self, versions: i64, now: i64) -> Self {
        let Self { name, counters } = self;
        Self {
            name: Name { version: name.version.shifted(versions), ..name },
            counters: shifted_counters(counters, now),
        }
    }
}

fn shifted_counters(counters: Counters, by: i64) -> Counters {
    Counters { last_seen: counters.last_seen.map(|seen| seen.shifted(by)), ..counters }
}

fn shifted_record(record: ClosedRecord, by: i64) -> ClosedRecord {
    ClosedRecord {
        counters: shifted_counters(record.counters, by),
        started: record.started.shifted(by),
        ended: record.ended.shifted(by),
        ..record
    }
}
