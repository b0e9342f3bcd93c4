//! The states of a session and what may happen in each: one table.
//!
//! Only the table lives here. What the steps do is in `engine`; the snapshot of the whole table is a test below, so
//! that no transition changes by accident.

/// Where a session stands between the plane and the firewall.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum State {
    /// The plane was asked to install it. Nobody sees it yet.
    Installing,
    /// Superseded while it was being installed: install and removal are both under way. Nobody sees it yet.
    Overtaken,
    /// On the fast path.
    Established,
    /// Superseded; its removal is under way. Still listed.
    Detaching,
    /// Superseded and off the plane; it waits for its timeout with the counters it has. Still listed.
    Detached,
    /// Superseded, and to be closed as soon as its removal is answered: that was asked for with another end in mind. Nobody sees it any
    /// more.
    Doomed,
    /// Its removal is under way, and nobody sees it any more.
    Closing,
    /// Off this device's plane, and nobody sees it any more. On an active it waits until its peer has let it go as well; on a standby for
    /// the active to say that it was reported.
    Parked,
}

/// What can happen to a session.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Event {
    /// The plane has it.
    Installed,
    /// The plane refused it.
    InstallFailed,
    /// The plane refused a session of the peer's for now.
    InstallPutOff,
    /// Something else is to become of that one before it was tried again.
    Unplaced,
    /// The plane has let it go; the counters are final.
    Removed,
    /// The same, but its peer is to be heard first.
    RemovedHere,
    /// The plane could not let it go.
    RemoveFailed,
    /// A newer session takes its tuple.
    Supersede,
    /// The firewall deletes it.
    Delete,
    /// It was idle for its timeout.
    Expire,
    /// The peer has let it go, or has nothing to say of it any more.
    PeerDone,
    /// The active has reported it.
    Reported,
}

/// What the engine does on a transition.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Step {
    /// Count it as accepted towards its batch.
    Accept,
    /// Count it as refused towards its batch.
    Refuse,
    /// Ask the plane to remove it, and tell the peer what is to become of it.
    Remove,
    /// Tell the peer alone.
    TellPeer,
    /// Ask the plane again, a little later.
    RetryRemove,
    /// The same.
    RetryInstall,
    /// Arm its idle timer.
    Arm,
    /// Disarm its idle timer.
    Disarm,
    /// Tell whoever is to know: the caller of delete, or the closed log.
    Report,
    /// Free id and slot.
    Forget,
}

/// The state after the event, and the steps to take, in order. `None`: this can't happen, or means nothing.
pub(crate) const fn transition(state: State, event: Event) -> Option<(State, &'static [Step])> {
    use State::{Closing, Detached, Detaching, Doomed, Established, Installing, Overtaken, Parked};
    use Step::{Accept, Arm, Disarm, Forget, Refuse, Remove, Report, RetryInstall, RetryRemove, TellPeer};
    Some(match (state, event) {
        (Installing, Event::Installed) => (Established, &[Accept, Arm]),
        (Installing, Event::InstallFailed) => (Closing, &[Refuse, Forget]),
        (Installing, Event::InstallPutOff) => (Installing, &[RetryInstall]),
        (Installing, Event::Unplaced) => (Detached, &[Disarm, Arm]),
        (Installing, Event::Supersede) => (Overtaken, &[Remove]),

        // One of the peer's waits for its timeout there, whether this plane ever had it or not.
        (Overtaken, Event::Installed | Event::InstallPutOff) => (Detaching, &[Accept]),
        // The plane still owes an answer for the removal.
        (Overtaken, Event::InstallFailed) => (Closing, &[Refuse]),

        (Established, Event::Supersede) => (Detaching, &[Disarm, Remove]),
        // Of one that is detached the plane forwards nothing any more, but it keeps what is to become of it: that is another thing
        // from here on.
        (Established | Detached, Event::Delete | Event::Expire) => (Closing, &[Disarm, Remove]),

        (Detaching, Event::Removed) => (Detached, &[Arm]),
        (Detaching, Event::RemoveFailed) => (Detaching, &[RetryRemove]),
        (Detaching, Event::Delete) => (Doomed, &[]),
        // Each time it is asked for a removal the plane writes down what is to become of the session.
        (Doomed, Event::Removed) => (Closing, &[Remove]),

        (Closing, Event::Removed) | (Parked, Event::PeerDone) => (Closing, &[Report, Forget]),
        (Closing, Event::RemovedHere) => (Parked, &[]),
        (Parked, Event::Reported) => (Closing, &[Forget]),
        (Doomed, Event::RemoveFailed) => (Closing, &[TellPeer, RetryRemove]),
        (Closing, Event::RemoveFailed) => (Closing, &[RetryRemove]),

        _ => return None,
    })
}

impl State {
    /// True where get, delete and list find the session.
    pub(crate) const fn is_visible(self) -> bool {
        matches!(self, Self::Established | Self::Detaching | Self::Detached)
    }

    /// True where its end is certain, and under what name.
    pub(crate) const fn is_ending(self) -> bool {
        matches!(self, Self::Doomed | Self::Closing | Self::Parked)
    }

    /// True where a newer session has the tuple.
    pub(crate) const fn is_superseded(self) -> bool {
        matches!(self, Self::Overtaken | Self::Detaching | Self::Detached)
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    const STATES: [State; 8] = [
        State::Installing,
        State::Overtaken,
        State::Established,
        State::Detaching,
        State::Detached,
        State::Doomed,
        State::Closing,
        State::Parked,
    ];
    const EVENTS: [Event; 12] = [
        Event::Installed,
        Event::InstallFailed,
        Event::InstallPutOff,
        Event::Unplaced,
        Event::Removed,
        Event::RemovedHere,
        Event::RemoveFailed,
        Event::Supersede,
        Event::Delete,
        Event::Expire,
        Event::PeerDone,
        Event::Reported,
    ];

    /// The whole table. Where it changes, the reason belongs into the commit.
    const SNAPSHOT: &str = "\
Installing + Installed -> Established [Accept, Arm]
Installing + InstallFailed -> Closing [Refuse, Forget]
Installing + InstallPutOff -> Installing [RetryInstall]
Installing + Unplaced -> Detached [Disarm, Arm]
Installing + Supersede -> Overtaken [Remove]
Overtaken + Installed -> Detaching [Accept]
Overtaken + InstallFailed -> Closing [Refuse]
Overtaken + InstallPutOff -> Detaching [Accept]
Established + Supersede -> Detaching [Disarm, Remove]
Established + Delete -> Closing [Disarm, Remove]
Established + Expire -> Closing [Disarm, Remove]
Detaching + Removed -> Detached [Arm]
Detaching + RemoveFailed -> Detaching [RetryRemove]
Detaching + Delete -> Doomed []
Detached + Delete -> Closing [Disarm, Remove]
Detached + Expire -> Closing [Disarm, Remove]
Doomed + Removed -> Closing [Remove]
Doomed + RemoveFailed -> Closing [TellPeer, RetryRemove]
Closing + Removed -> Closing [Report, Forget]
Closing + RemovedHere -> Parked []
Closing + RemoveFailed -> Closing [RetryRemove]
Parked + PeerDone -> Closing [Report, Forget]
Parked + Reported -> Closing [Forget]
";

    #[test]
    fn the_table_is_the_snapshot() {
        let mut table = String::new();
        for state in STATES {
            for event in EVENTS {
                if let Some((next, steps)) = transition(state, event) {
                    let _ = writeln!(table, "{state:?} + {event:?} -> {next:?} {steps:?}");
                }
            }
        }
        assert_eq!(table, SNAPSHOT);
    }

    #[test]
    fn every_way_out_forgets_exactly_once_and_only_into_closing() {
        for state in STATES {
            for event in EVENTS {
                let Some((next, steps)) = transition(state, event) else { continue };
                let forgets = steps.iter().filter(|s| **s == Step::Forget).count();
                assert!(forgets <= 1 && (forgets == 0 || (next == State::Closing && steps.ends_with(&[Step::Forget]))));
            }
        }
    }
}
