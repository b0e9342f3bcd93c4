//! What is looked at behind each turn of the driver: whether the engine agrees with itself, and with the plane.

use std::sync::{Arc, Mutex, MutexGuard};

use opof_daemon::simulation::SimulatedTime;
use opof_dataplane::SimPorts;
use opof_session::engine::{Engine, OnPlane, Standing, Statistics};
use opof_session::plane::Found;

/// What was seen last, and the first thing that was wrong.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) wrong: Option<String>,
    pub(crate) statistics: Statistics,
    /// Closed records that were thrown out, by all tables so far.
    pub(crate) lost: u64,
}

/// Somebody who looks. Clones look at the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watch(Arc<Mutex<Seen>>);

impl Watch {
    pub(crate) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().expect("nothing panics with it in hand")
    }

    /// For the driver of the next table.
    pub(crate) fn watcher(&self, ports: SimPorts, time: SimulatedTime) -> Box<dyn FnMut(&Engine) + Send> {
        let watch = self.clone();
        let before = watch.seen().lost;
        Box::new(move |engine| {
            let wrong = match engine.audit(time.now()) {
                Ok(standings) => disagreement(&standings, &ports.found()),
                Err(contradiction) => Some(contradiction.to_string()),
            };
            let mut seen = watch.seen();
            seen.statistics = engine.statistics();
            seen.lost = before + seen.statistics.closed_lost;
            if seen.wrong.is_none() {
                seen.wrong = wrong;
            }
        })
    }
}

/// Where the table and the plane say different things.
fn disagreement(standings: &[Standing], found: &[Found]) -> Option<String> {
    let keys = |found: &Found| found.rules.map(|rule| rule.key);
    for standing in standings {
        let there = found.iter().find(|found| found.slot == standing.slot);
        let is_forwarded = there.is_some_and(|found| found.forwarded == [true; 2] && keys(found) == standing.keys);
        if standing.on_plane == OnPlane::Yes && !is_forwarded {
            return Some(format!("the table has {standing:?}, the plane {there:?}"));
        }
    }
    for there in found.iter().filter(|found| found.forwarded.contains(&true)) {
        let standing = standings.iter().find(|standing| standing.slot == there.slot);
        let is_asked = standing.is_some_and(|standing| {
            standing.id.0 == there.note.0[0] && standing.keys == keys(there) && standing.on_plane != OnPlane::No
        });
        if !is_asked {
            return Some(format!("the plane forwards {there:?}, the table has {standing:?}"));
        }
    }
    None
}
