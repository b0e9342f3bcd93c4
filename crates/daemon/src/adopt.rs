//! The first thing that a daemon does with its engine and its plane: they go on with what a daemon before this one has left.

use opof_dataplane::DataPlane;
use opof_session::engine::{Engine, EngineConfig};
use opof_session::types::Moment;

use crate::limits;
use crate::store::Restored;

/// The engine of a daemon that begins, and goes on with what is there; of one of two devices it decides nothing before it is active.
pub(crate) fn engine(
    config: &EngineConfig,
    restored: Option<Restored>,
    plane: &mut dyn DataPlane,
    now: Moment,
    is_one_of_two: bool,
) -> Engine {
    let config = EngineConfig { stores_closed: restored.is_some(), ..config.clone() };
    let mut engine = Engine::new(&config, plane.capabilities());
    if is_one_of_two {
        engine.follow();
    }
    if let Some(Restored { records, last }) = restored {
        engine.restore_closed(records, last);
    }
    adopt(&mut engine, plane, now);
    engine
}

/// Has the engine go on with everything that the plane has found, and the plane take out the rest.
fn adopt(engine: &mut Engine, plane: &mut dyn DataPlane, now: Moment) {
    let mut departed = 0_u64;
    plane.departed(&mut |note, counters| departed += u64::from(engine.report_departed(now, note, counters)));
    if departed > 0 {
        tracing::warn!(
            sessions = departed,
            "the sessions of the daemon before this one are back with the firewall, and reported as closed"
        );
    }
    let (next_hops, vlan_flows) = plane.found_routes();
    engine.adopt_routes(next_hops, vlan_flows);
    let (mut found, mut left) = (0_u64, Vec::new());
    plane.found(&mut |session| {
        found += 1;
        if let Err(error) = engine.adopt(now, session) {
            if left.len() < limits::UNADOPTED_LOGGED {
                tracing::error!(slot = session.slot.0, %error, "can't go on with a session of the daemon before this one");
            }
            left.push(session.slot);
        }
    });
    if !left.is_empty() {
        plane.purge(&left);
    }
    engine.end_adoption();
    if found > 0 {
        let adopted = engine.statistics().adopted;
        let (taken_out, closing) = (left.len(), found - adopted - left.len() as u64);
        tracing::info!(adopted, closing, taken_out, "went on with the sessions of the daemon before this one");
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "in a test a panic is the way to fail")]
mod tests {
    use std::task::{Context, Waker};

    use opof_dataplane::SimPlane;
    use opof_session::engine::Input;
    use opof_session::plane::{Command, Note, Slot};
    use opof_session::request::{Request, RequestBody, SameTuple, Ticket};
    use opof_session::types::Lif;

    use super::*;
    use crate::driver::tests::{config, spec};

    #[test]
    fn an_engine_goes_on_with_what_another_has_left_and_the_rest_is_taken_out() {
        let lifs = [1, 2].map(|id| Lif::new(id).unwrap());
        let (mut plane, ports) = SimPlane::new(&lifs, 16);
        let mut engine = Engine::new(&config(), plane.capabilities());
        let sessions = vec![spec(1, 0), spec(2, 0)];
        let body = RequestBody::Add { sessions, same_tuple: SameTuple::Reject };
        engine.handle(Moment(1), Input::Request(Request { ticket: Ticket(1), body }));
        let commands: Vec<Command> = engine.commands().to_vec();
        assert_eq!(plane.submit(Moment(1), &commands), 2);
        let mut completions = Vec::new();
        let _ = plane.poll(&mut Context::from_waker(Waker::noop()), &mut completions);
        // Something that is none of ours.
        let Command::Install { rules, .. } = commands[0] else { panic!("{commands:?}") };
        let mut odd = rules;
        odd[0].key.flow.source_port += 1000;
        odd[1].key.flow.destination_port += 2000;
        plane.submit(Moment(1), &[Command::Install { slot: Slot(9), rules: odd, note: Note([9, 9, 9]) }]);

        let mut plane = ports.next_plane();
        let mut engine = Engine::new(&config(), plane.capabilities());
        adopt(&mut engine, &mut plane, Moment(2));
        let statistics = engine.statistics();
        assert_eq!((statistics.sessions, statistics.adopted), (2, 2));
        let mut slots = Vec::new();
        plane.found(&mut |found| slots.push(found.slot));
        assert_eq!(slots, [Slot(0), Slot(1)]);
    }
}
