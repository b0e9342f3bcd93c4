//! Whether an engine agrees with itself: its table, its indexes, its timers, its closed log. For simulations and tests, after any input.
//!
//! What must not be here: whether it agrees with anything else; its [`Standing`]s are for those who ask that.

use crate::engine::{Duty, Engine};
use crate::index::Keyed;
use crate::plane::Slot;
use crate::state::State;
use crate::types::{Direction, MatchKey, Moment, SessionId};
use crate::wheel::round_up;

use core::time::Duration;

/// What in an engine contradicts what.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Contradiction {
    /// An index and the table.
    #[error("table: {0}")]
    Table(String),
    /// The timers and the states of sessions.
    #[error("timers: {0}")]
    Timers(String),
    /// What waits for answers, and what is to be answered.
    #[error("counts: {0}")]
    Counts(String),
    /// The closed log.
    #[error("closed log: {0}")]
    Log(String),
}

/// Whether the plane forwards a session, as far as the engine knows.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum OnPlane {
    /// It does.
    Yes,
    /// It does not.
    No,
    /// It was asked to begin or to end, and has not answered.
    Perhaps,
}

/// A session in the table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Standing {
    /// Where it is.
    pub slot: Slot,
    /// Its number.
    pub id: SessionId,
    /// By what its packets are looked up.
    pub keys: [MatchKey; 2],
    /// Whether they find it.
    pub on_plane: OnPlane,
}

impl Engine {
    /// All sessions, in the order of their slots, if nothing in the engine contradicts anything else.
    pub fn audit(&self, now: Moment) -> Result<Vec<Standing>, Contradiction> {
        let standings = self.standings();
        let owns = |slot| self.table.get(slot).is_some_and(|session| owns_keys(session.state));
        self.table.audit(owns, self.closed.held()).map_err(Contradiction::Table)?;
        self.audit_timers(now, &standings)?;
        self.closed.audit().map_err(Contradiction::Log)?;
        let installing = standings.iter().filter(|standing| self.is_installing(standing.slot)).count();
        let waiting = self.batches.waiting();
        if installing != waiting {
            return Err(Contradiction::Counts(format!("{installing} being installed, and batches wait for {waiting}")));
        }
        Ok(standings)
    }

    fn is_installing(&self, slot: Slot) -> bool {
        let session = self.table.get(slot);
        session.is_some_and(|session| {
            matches!(session.state, State::Installing | State::Overtaken) && self.batches.has(session.place)
        })
    }

    fn standings(&self) -> Vec<Standing> {
        let standing = |(slot, session): (Slot, &super::lifecycle::Session)| Standing {
            slot,
            id: session.id(),
            keys: [Direction::In, Direction::Out].map(|direction| session.match_key(direction)),
            on_plane: match session.state {
                State::Established => OnPlane::Yes,
                State::Detached | State::Parked => OnPlane::No,
                State::Installing | State::Overtaken | State::Detaching | State::Doomed | State::Closing => {
                    OnPlane::Perhaps
                }
            },
        };
        self.table.entries().map(standing).collect()
    }

    fn audit_timers(&self, now: Moment, standings: &[Standing]) -> Result<(), Contradiction> {
        // Timers are for the other table to watch, or not all of them are set yet.
        if self.duty() == Duty::Follows || self.walk.is_some() {
            return Ok(());
        }
        let mut idle = 0;
        for Standing { slot, id, .. } in standings {
            let Some(session) = self.table.get(*slot) else { continue };
            let armed = self.wheel.deadline(*slot);
            let timeout = Duration::from_secs(u64::from(session.timeout_seconds));
            // Of one that came from another table the start is as good as the two clocks could be compared.
            let newest = if session.started.is_after(now) { session.started } else { now };
            let (first, last) = (session.started.idle_until(timeout), newest.saturating_add(timeout));
            let wrong = match (session.state, armed) {
                (State::Established, None) => {
                    idle += 1;
                    continue;
                }
                (State::Established | State::Detached, Some(at)) => at < first || at > round_up(last),
                (State::Detached, None) | (State::Overtaken | State::Parked, Some(_)) => true,
                (State::Installing, Some(_)) => !session.ending().is_unplaced,
                // Again in a while, or under way.
                _ => false,
            };
            if wrong {
                let state = session.state;
                return Err(Contradiction::Timers(format!("session {id} is {state:?}, and its timer at {armed:?}")));
            }
        }
        if idle > self.aging_reads {
            let reads = self.aging_reads;
            return Err(Contradiction::Timers(format!("{idle} sessions without a timer, and {reads} are being read")));
        }
        Ok(())
    }
}

/// Those of others are given up.
const fn owns_keys(state: State) -> bool {
    matches!(state, State::Installing | State::Established)
}
