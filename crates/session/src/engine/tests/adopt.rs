//! An engine that goes on with what a plane has kept from another one.

use super::plane::{SECOND, StoreFault, World, config, next_hop, routed_by, spec};
use crate::engine::{EngineConfig, Unadoptable};
use crate::l3::VlanFlow;
use crate::plane::{Found, InstallError, Note, Slot};
use crate::request::{L3Request, ReplyBody, RequestBody, SameTuple};
use crate::types::{CloseReason, Direction, Lif, SessionId, SessionSpec};
use opof_wire::Vid;

fn packets(found: &Found) -> u64 {
    found.counters.inward.packets + found.counters.outward.packets
}

#[test]
fn sessions_counters_and_timers_go_on() {
    let mut world = World::new(&config());
    world.add(&[spec(1, 1000), spec(2, 2000)]);
    let started = world.get(1).unwrap().started;
    world.advance(8 * SECOND);
    assert!(world.packet(&spec(1, 1000), Direction::In, 60));

    assert_eq!(world.restart(&config()), []);
    let view = world.get(1).unwrap();
    assert_eq!((view.spec, view.started, view.counters.inward.packets), (spec(1, 1000), started, 1));
    assert_eq!((world.list(0, 0, 9).0, world.engine.statistics().adopted), (vec![1, 2], 2));
    assert!(world.packet(&spec(1, 1000), Direction::Out, 60));
    // Each by its own last packet, as if nothing had happened.
    world.advance(3 * SECOND);
    assert_eq!(world.collect().iter().map(|record| record.id.0).collect::<Vec<_>>(), [2]);
    world.advance(8 * SECOND);
    let records = world.collect();
    let [record] = records.as_slice() else { panic!("{records:?}") };
    assert_eq!((record.id, record.reason, record.started), (SessionId(1), CloseReason::Timeout, started));
    assert_eq!((record.counters.inward.packets, record.counters.outward.packets), (1, 1));
    assert!(world.kept.is_empty() && world.table.is_empty());
}

/// They went back to the firewall, whoever wrote their notes: it hears of each, as of one that was withdrawn.
#[test]
fn what_nobody_can_go_on_with_is_reported() {
    let mut world = World::new(&config());
    world.add(&[spec(1, 1000), spec(2, 2000), spec(3, 3000)]);
    world.packet(&spec(2, 2000), Direction::In, 60);
    let counters = world.get(2).unwrap().counters;
    let mut engine = crate::engine::Engine::new(&config(), crate::plane::Capabilities::forwarding(16));
    for (note, _) in world.kept.values() {
        assert!(engine.report_departed(world.now, note, counters));
    }
    assert!(!engine.report_departed(world.now, &Note([1, 2, 0]), counters), "that is no note");
    let statistics = engine.statistics();
    assert_eq!((statistics.sessions, statistics.withdrawn, statistics.closed_waiting), (0, 3, 3));
}

#[test]
fn one_that_went_idle_meanwhile_closes_at_once() {
    let mut world = World::new(&config());
    world.add(&[spec(1, 1000)]);
    world.packet(&spec(1, 1000), Direction::In, 60);
    world.now.0 += 100 * SECOND;
    world.restart(&config());
    world.advance(0);
    let records = world.collect();
    assert_eq!(
        records.iter().map(|record| (record.id.0, record.counters.inward.packets)).collect::<Vec<_>>(),
        [(1, 1)]
    );
}

/// Found by the fuzz target `adopted`.
#[test]
fn one_that_says_it_will_begin_in_an_hour_lives_no_longer_for_it() {
    let mut world = World::new(&config());
    world.now.0 += 3600 * SECOND;
    world.add(&[spec(1, 1000)]);
    world.now.0 -= 3600 * SECOND;
    let now = world.now;
    world.restart(&config());
    assert_eq!(world.get(1).unwrap().started, now);
    world.advance(12 * SECOND);
    assert_eq!(world.collect().iter().map(|record| record.id.0).collect::<Vec<_>>(), [1]);
}

#[test]
fn new_sessions_take_the_slots_between() {
    let mut world = World::new(&config());
    world.add(&[spec(1, 1000), spec(2, 2000), spec(3, 3000)]);
    world.delete(2);
    world.restart(&config());
    assert_eq!(world.add(&[spec(4, 4000), spec(5, 5000)]), []);
    assert_eq!(world.list(0, 0, 9).0, [1, 3, 4, 5]);
    let mut slots: Vec<_> = world.kept.keys().map(|slot| slot.0).collect();
    slots.sort_unstable();
    assert_eq!(slots, [0, 1, 2, 3]);
    for id in [1, 3, 4, 5] {
        world.delete(id);
    }
    assert!(world.kept.is_empty());
}

#[test]
fn one_that_was_on_its_way_out_is_reported_by_its_reason() {
    let deleted = RequestBody::Delete { id: SessionId(1), record: false };
    for (request, reason) in [(deleted, CloseReason::Deleted), (RequestBody::Reset, CloseReason::Reset)] {
        let mut world = World::new(&config());
        world.add(&[spec(1, 1000)]);
        world.packet(&spec(1, 1000), Direction::In, 60);
        world.hold = true;
        let ticket = world.send(request);
        assert_eq!(world.reply(ticket), None);
        world.hold = false;
        world.restart(&config());
        let records = world.collect();
        let [record] = records.as_slice() else { panic!("{records:?}") };
        assert_eq!((record.id, record.reason, record.counters.inward.packets), (SessionId(1), reason, 1));
        // Once.
        world.restart(&config());
        assert_eq!((world.collect(), world.kept.len()), (vec![], 0));
    }
}

#[test]
fn a_superseded_one_waits_for_its_timeout_with_the_counters_that_it_has() {
    let mut world = World::new(&config());
    world.add(&[spec(1, 1000)]);
    world.packet(&spec(1, 1000), Direction::In, 60);
    world.add(&[spec(2, 1000)]);
    world.restart(&config());
    assert_eq!(world.list(0, 0, 9).0, [1, 2]);
    assert!(world.get(1).unwrap().superseded && !world.get(2).unwrap().superseded);
    world.packet(&spec(2, 1000), Direction::In, 60);
    world.advance(20 * SECOND);
    let records = world.collect();
    assert_eq!(records.iter().map(|r| (r.id.0, r.counters.inward.packets)).collect::<Vec<_>>(), [(1, 1), (2, 1)]);
}

/// Found by the simulated world: it came back, and closed once more by its timeout.
#[test]
fn the_end_of_a_superseded_one_is_known_before_it_is_stored() {
    let config = EngineConfig { stores_closed: true, ..config() };
    let mut world = World::new(&config);
    world.add(&[spec(1, 1000)]);
    world.add(&[spec(2, 1000)]);
    world.store_fault = StoreFault::StoresNothing;
    assert!(matches!(world.ask(RequestBody::Reset), ReplyBody::Swept { closed: 2 }));
    world.restart(&config);
    assert_eq!(world.list(0, 0, 9).0, [0; 0]);
    world.release_store();
    let mut records: Vec<_> = world.collect().iter().map(|record| (record.id.0, record.reason)).collect();
    records.sort_unstable_by_key(|(id, _)| *id);
    assert_eq!(records, [1, 2].map(|id| (id, CloseReason::Reset)));
}

/// Found by the simulated world: the old one kept its number, and the new one, which was forwarded, was taken out.
#[test]
fn the_end_of_one_that_is_being_superseded_is_known_before_it_is_stored() {
    let config = EngineConfig { stores_closed: true, ..config() };
    let mut world = World::new(&config);
    world.add(&[spec(1, 1000)]);
    world.store_fault = StoreFault::StoresNothing;
    world.hold = true;
    let add = |id, port| RequestBody::Add { sessions: vec![spec(id, port)], same_tuple: SameTuple::Supersede };
    world.send(add(2, 1000));
    let deleted = world.send(RequestBody::Delete { id: SessionId(1), record: true });
    world.release();
    assert!(matches!(world.reply(deleted), Some(ReplyBody::Deleted(Some(_)))));
    assert_eq!(world.add(&[spec(1, 3000)]), []);
    assert_eq!(world.restart(&config), []);
    assert_eq!(world.list(0, 0, 9).0, [1, 2]);
    assert!(world.packet(&spec(1, 3000), Direction::In, 60));
    world.release_store();
    let records: Vec<_> = world.collect().iter().map(|record| (record.id.0, record.reason)).collect();
    assert_eq!(records, [(1, CloseReason::Deleted)]);
}

#[test]
fn what_is_not_whole_goes_without_a_word() {
    let mut world = World::new(&config());
    world.add(&[spec(1, 1000)]);
    world.table.remove(&spec(1, 1000).match_key(Direction::Out));
    assert_eq!(world.found()[0].forwarded.iter().filter(|is| **is).count(), 1);
    world.restart(&config());
    assert_eq!((world.list(0, 0, 9).0, world.collect(), world.kept.len()), (vec![], vec![], 0));
    assert!(world.table.is_empty(), "nothing of it is forwarded");
}

#[test]
fn a_session_that_this_device_would_not_take_any_more_is_closed() {
    let mut world = World::new(&config());
    world.add(&[spec(1, 1000)]);
    world.packet(&spec(1, 1000), Direction::In, 60);
    let mut narrow = config();
    narrow.lifs = vec![Lif::new(1).unwrap()];
    world.restart(&narrow);
    let records = world.collect();
    assert_eq!(
        records.iter().map(|r| (r.reason, r.counters.inward.packets)).collect::<Vec<_>>(),
        [(CloseReason::Reset, 1)]
    );
}

#[test]
fn what_is_no_session_is_left_to_the_plane() {
    let mut world = World::new(&config());
    world.add(&[spec(1, 1000), spec(2, 2000), spec(3, 3000), spec(4, 4000)]);
    let found = world.found();
    let mut bad = found.clone();
    bad[0].note = Note::default();
    bad[1].rules[1] = bad[2].rules[1];
    bad[2].note.0[0] = 4;
    bad[3].slot = Slot(8);
    let mut world = World::new(&config());
    let left = world.adopt(&bad);
    let expected =
        [(bad[0].slot, Unadoptable::NoSession), (bad[1].slot, Unadoptable::NoSession), (Slot(8), Unadoptable::NoRoom)];
    assert_eq!(left, expected);
    let twice = Found { slot: Slot(5), ..found[3] };
    assert_eq!(world.adopt(&[twice]), [(Slot(5), Unadoptable::IdExists(SessionId(4)))]);
    let same_keys = Found { slot: Slot(6), note: Note([9, 0, found[2].note.0[2]]), ..found[2] };
    assert_eq!(world.adopt(&[same_keys]), [(Slot(6), Unadoptable::KeyExists(SessionId(4)))]);
    assert_eq!(packets(&found[0]), 0);
}

#[test]
fn next_hops_and_vlan_flows_go_on_with_the_sessions_that_refer_to_them() {
    let mut world = World::new(&config());
    let flow = VlanFlow { vlan: Vid::new(100).unwrap(), lif: Lif::new(1).unwrap() };
    world.ask(RequestBody::L3(L3Request::SetNextHop(next_hop(1))));
    world.ask(RequestBody::L3(L3Request::AddVlanFlow(flow)));
    world.add(&[SessionSpec { action: routed_by(1), ..spec(1, 1000) }]);
    world.restart(&config());
    assert_eq!(world.ask(RequestBody::L3(L3Request::ListVlanFlows)), ReplyBody::VlanFlows(vec![flow]));
    assert_eq!(world.ask(RequestBody::L3(L3Request::DestroyNextHop(next_hop(1).id))), ReplyBody::Swept { closed: 1 });
    assert_eq!(world.collect()[0].reason, CloseReason::NextHopGone);

    // Fewer fit than there are.
    for id in 1..=3 {
        world.ask(RequestBody::L3(L3Request::SetNextHop(next_hop(id))));
    }
    world.restart(&EngineConfig { max_next_hops: 2, ..config() });
    world.advance(SECOND);
    assert_eq!(world.next_hops.len(), 2);
}

#[test]
fn an_install_that_failed_leaves_nothing() {
    let mut world = World::new(&config());
    world.install_faults.push_back(InstallError::Full);
    assert_eq!(world.add(&[spec(1, 1000)]).len(), 1);
    assert!(world.found().is_empty());
    world.restart(&config());
    assert_eq!(world.add(&[spec(1, 1000)]), []);
}

/// A session that was superseded before the plane had it is known by the start that its note says.
#[test]
fn one_that_is_stored_and_was_superseded_at_once_is_not_reported_again() {
    let config = EngineConfig { stores_closed: true, ..config() };
    let mut world = World::new(&config);
    world.hold = true;
    world.send(RequestBody::Add { sessions: vec![spec(3, 2000)], same_tuple: SameTuple::Supersede });
    world.now.0 += SECOND;
    world.send(RequestBody::Add { sessions: vec![spec(4, 2000)], same_tuple: SameTuple::Supersede });
    world.send(RequestBody::Reset);
    // Both are closed and stored when the engine ends, which has not heard of it.
    world.store_fault = StoreFault::SaysNothing;
    world.release();
    world.restart(&config);
    world.release_store();
    let mut ids: Vec<u64> = world.collect().iter().map(|record| record.id.0).collect();
    ids.sort_unstable();
    assert_eq!(ids, [3, 4]);
    assert!(world.kept.is_empty());
}
