//! One behaviour a test, told as a story.

use core::time::Duration;

use opof_wire::Vid;

use super::plane::{SECOND, World, config, meets_itself, one_armed, spec};
use crate::engine::Event;
use crate::plane::{Capabilities, InstallError};
use crate::request::{AddError, ReplyBody, RequestBody, SameTuple};
use crate::types::{Action, CloseReason, Direction, Lif, SessionId, SessionSpec};

fn errors(refused: &[crate::request::Refused]) -> Vec<(u32, AddError)> {
    refused.iter().map(|refused| (refused.index, refused.error)).collect()
}

#[test]
fn an_accepted_session_is_on_the_fast_path_in_both_directions() {
    let mut world = World::new(&config());
    let session = spec(1, 1000);
    assert_eq!(world.add(std::slice::from_ref(&session)), []);
    assert!(world.packet(&session, Direction::In, 60));
    assert!(world.packet(&session, Direction::Out, 90));
    let view = world.get(1).unwrap();
    assert_eq!((view.counters.inward.bytes, view.counters.outward.bytes), (60, 90));
    assert_eq!((view.spec, view.ended, view.superseded), (session, None, false));
}

#[test]
fn the_answer_waits_for_the_plane_and_nobody_sees_the_session_before() {
    let mut world = World::new(&config());
    world.hold = true;
    let ticket = world.send(RequestBody::Add { sessions: vec![spec(1, 1000)], same_tuple: SameTuple::Supersede });
    assert_eq!(world.reply(ticket), None);
    assert_eq!(world.get(1), None);
    assert_eq!(world.list(0, 0, 10), (vec![], None));
    assert_eq!(world.delete(1), None);
    world.release();
    assert_eq!(world.reply(ticket), Some(ReplyBody::Added { refused: vec![] }));
    assert!(world.get(1).is_some());
}

#[test]
fn an_empty_batch_is_answered() {
    assert_eq!(World::new(&config()).add(&[]), []);
}

#[test]
fn the_same_id_again_is_refused_and_the_first_session_is_untouched() {
    let mut world = World::new(&config());
    let first = spec(1, 1000);
    assert_eq!(errors(&world.add(&[first.clone(), spec(1, 1001)])), [(1, AddError::IdExists(SessionId(1)))]);
    assert!(world.packet(&first, Direction::In, 60));
    assert!(!world.packet(&spec(1, 1001), Direction::In, 60));
}

#[test]
fn each_session_is_judged_on_its_own_against_the_device() {
    let nowhere = Lif::new(9).unwrap();
    let collector = [192, 0, 2, 1].into();
    let on_vlan = |vlan, out| {
        let mut spec = spec(6, 6);
        (spec.flow.vlan, spec.out_vlan) = (Vid::new(vlan).unwrap(), Vid::new(out).unwrap());
        spec
    };
    let capabilities = Capabilities::forwarding(8);
    let mut world = World::over(&config(), capabilities);
    let refused = world.add(&[
        SessionSpec { in_lif: nowhere, ..spec(1, 1) },
        SessionSpec { out_lif: nowhere, ..spec(2, 2) },
        spec(3, 3),
        meets_itself(4),
        SessionSpec { action: Action::Mirror { collector }, ..spec(5, 5) },
        SessionSpec { action: Action::Snoop { collector }, ..spec(5, 5) },
        on_vlan(100, 0),
        on_vlan(100, 200),
        on_vlan(100, 100),
    ]);
    assert_eq!(
        errors(&refused),
        [
            (0, AddError::UnknownLif { field: "inLif", lif: nowhere }),
            (1, AddError::UnknownLif { field: "outLif", lif: nowhere }),
            (3, AddError::MeetsItself(Lif::new(1).unwrap())),
            (4, AddError::Unsupported { field: "action.actionType", what: "MIRROR" }),
            (5, AddError::Unsupported { field: "action.actionType", what: "SNOOP" }),
            (6, AddError::VlanOneSided),
            (7, AddError::Unsupported { field: "outLif", what: "VLAN rewrite" }),
        ]
    );
    assert_eq!(world.list(0, 0, 10).0, [3, 6]);
}

#[test]
fn a_full_table_refuses_what_does_not_fit_and_keeps_what_did() {
    let mut world = World::new(&config());
    let many: Vec<_> = (0..10).map(|id| spec(u64::from(id), 1000 + id)).collect();
    assert_eq!(errors(&world.add(&many)), [(8, AddError::TableFull), (9, AddError::TableFull)]);
    assert_eq!(errors(&world.add(&many[..1])), [(0, AddError::IdExists(SessionId(0)))], "exists comes before full");
    assert!(world.delete(3).is_some());
    assert_eq!(world.add(&many[8..9]), []);
}

#[test]
fn what_the_plane_refuses_is_refused_and_leaves_nothing_behind() {
    let mut world = World::new(&config());
    world.install_faults.extend([InstallError::Full, InstallError::Unavailable]);
    let refused = world.add(&[spec(1, 1), spec(2, 2), spec(3, 3)]);
    assert_eq!(errors(&refused), [(0, AddError::TableFull), (1, AddError::Unavailable)]);
    assert_eq!(world.list(0, 0, 10).0, [3]);
    assert_eq!(world.add(&[spec(1, 1), spec(2, 2)]), []);
}

#[test]
fn delete_returns_final_counters_once_and_the_next_packet_misses() {
    let mut world = World::new(&config());
    let session = spec(1, 1000);
    world.add(std::slice::from_ref(&session));
    world.packet(&session, Direction::Out, 60);
    let view = world.delete(1).unwrap();
    assert_eq!((view.counters.outward.packets, view.ended), (1, Some(world.now)));
    assert!(!world.packet(&session, Direction::Out, 60));
    assert_eq!(world.delete(1), None);
    assert_eq!(world.collect(), [], "a deleted session is not reported as closed");
}

#[test]
fn of_two_deletes_at_once_one_gets_the_counters() {
    let mut world = World::new(&config());
    world.add(&[spec(1, 1000)]);
    world.hold = true;
    let first = world.send(RequestBody::Delete { id: SessionId(1), record: false });
    assert_eq!(world.delete(1), None);
    assert_eq!(world.get(1), None);
    world.release();
    assert!(matches!(world.reply(first), Some(ReplyBody::Deleted(Some(_)))));
}

#[test]
fn a_get_that_waits_while_its_session_is_deleted_is_still_answered() {
    let mut world = World::new(&config());
    world.add(&[spec(1, 1000)]);
    world.hold = true;
    let get = world.send(RequestBody::Get(SessionId(1)));
    let delete = world.send(RequestBody::Delete { id: SessionId(1), record: false });
    world.release();
    assert!(matches!(world.reply(get), Some(ReplyBody::Got(Some(_)))));
    assert!(matches!(world.reply(delete), Some(ReplyBody::Deleted(Some(_)))));
}

#[test]
fn an_idle_session_closes_within_a_second_after_its_deadline() {
    let mut world = World::new(&config());
    let session = spec(1, 1000);
    world.add(std::slice::from_ref(&session));
    world.advance(5 * SECOND);
    world.packet(&session, Direction::In, 60);
    world.advance(10 * SECOND - 1);
    assert!(world.get(1).is_some());
    world.advance(SECOND);
    assert_eq!(world.get(1), None);
    assert!(!world.packet(&session, Direction::In, 60));
    let [record] = world.collect()[..] else { panic!() };
    assert_eq!((record.id, record.reason, record.counters.inward.bytes), (SessionId(1), CloseReason::Timeout, 60));
    let idle = record.ended.saturating_since(record.counters.last_seen.unwrap());
    assert!(idle >= Duration::from_secs(10) && idle < Duration::from_secs(11), "{idle:?}");
    assert_eq!(world.collect(), []);
}

#[test]
fn defaults_and_the_maximum_are_in_force_and_the_clamp_is_reported() {
    let mut world = World::new(&config());
    let mut tcp = spec(1, 1);
    tcp.flow.transport = opof_wire::Transport::Tcp;
    let timeouts = [(tcp, 0, 100), (spec(2, 2), 0, 30), (spec(3, 3), 1000, 1000), (spec(4, 4), 1001, 1000)];
    for (session, asked, in_force) in timeouts {
        assert_eq!(world.add(&[SessionSpec { timeout_seconds: asked, ..session }]), []);
        assert_eq!(world.get(session.id.0).unwrap().spec.timeout_seconds, in_force);
    }
    assert_eq!(world.events, [Event::TimeoutClamped { id: SessionId(4), asked: 1001 }]);
    assert_eq!(world.engine.statistics().clamped, 1);
}

#[test]
fn a_newer_session_takes_the_tuple_and_the_older_closes_by_its_timeout() {
    let mut world = World::new(&config());
    let (older, newer) = (spec(1, 1000), spec(2, 1000));
    world.add(std::slice::from_ref(&older));
    world.packet(&older, Direction::In, 60);
    assert_eq!(world.add(std::slice::from_ref(&newer)), []);
    world.advance(SECOND);
    world.packet(&newer, Direction::In, 100);
    let view = world.get(1).unwrap();
    assert!(view.superseded && view.counters.inward.bytes == 60);
    assert_eq!(world.list(0, 0, 10).0, [1, 2]);
    world.advance(9 * SECOND + SECOND / 2);
    let [record] = world.collect()[..] else { panic!("the older, by its own last packet") };
    assert_eq!((record.id, record.counters.inward.bytes), (SessionId(1), 60));
    assert_eq!(world.delete(2).unwrap().counters.inward.bytes, 100);
    assert!(!world.packet(&newer, Direction::In, 60), "the tuple goes back to the firewall, not to the older");
}

#[test]
fn one_direction_in_common_is_enough_to_be_superseded() {
    let mut world = World::new(&config());
    let older = spec(1, 1000);
    let newer = SessionSpec { out_lif: Lif::new(3).unwrap(), ..spec(2, 1000) };
    world.add(std::slice::from_ref(&older));
    world.add(std::slice::from_ref(&newer));
    assert!(world.get(1).unwrap().superseded);
    assert!(!world.packet(&older, Direction::Out, 60), "nothing of the older is left on the fast path");
}

#[test]
fn many_sessions_with_one_tuple_in_one_batch_are_all_accepted() {
    let mut world = World::new(&config());
    let same: Vec<_> = (0..8).map(|id| spec(id, 1000)).collect();
    assert_eq!(world.add(&same), []);
    assert_eq!(world.list(0, 0, 10).0.len(), 8);
    assert!(world.packet(&same[7], Direction::In, 60));
    assert_eq!(world.get(7).unwrap().counters.inward.packets, 1);
    assert_eq!(world.engine.statistics().superseded, 7);
}

#[test]
fn a_session_superseded_while_it_is_installed_can_be_refused_by_the_plane() {
    let mut world = World::new(&config());
    world.install_faults.push_back(InstallError::Unavailable);
    let refused = world.add(&[spec(1, 1000), spec(2, 1000)]);
    assert_eq!(errors(&refused), [(0, AddError::Unavailable)]);
    assert_eq!(world.list(0, 0, 10).0, [2]);
    assert_eq!(world.add(&[spec(1, 1001)]), [], "the id is free again");
}

#[test]
fn a_superseded_session_that_is_being_removed_answers_get_and_delete_with_final_counters() {
    let mut world = World::new(&config());
    let (older, newer) = (spec(1, 1000), spec(2, 1000));
    world.add(std::slice::from_ref(&older));
    world.packet(&older, Direction::In, 60);
    world.hold = true;
    world.send(RequestBody::Add { sessions: vec![newer], same_tuple: SameTuple::Supersede });
    let get = world.send(RequestBody::Get(SessionId(1)));
    let delete = world.send(RequestBody::Delete { id: SessionId(1), record: false });
    world.release();
    let Some(ReplyBody::Got(Some(view))) = world.reply(get) else { panic!() };
    assert_eq!(view.counters.inward.bytes, 60);
    let Some(ReplyBody::Deleted(Some(view))) = world.reply(delete) else { panic!() };
    assert_eq!(view.counters.inward.bytes, 60);
}

#[test]
fn with_reject_the_newer_session_is_refused_by_the_name_of_the_older() {
    let mut world = World::new(&config());
    world.add(&[spec(1, 1000)]);
    let reply = world.ask(RequestBody::Add { sessions: vec![spec(2, 1000)], same_tuple: SameTuple::Reject });
    let ReplyBody::Added { refused } = reply else { panic!() };
    assert_eq!(errors(&refused), [(0, AddError::TupleExists(SessionId(1)))]);
    assert!(!world.get(1).unwrap().superseded);
}

#[test]
fn the_same_tuple_on_another_vlan_or_interface_is_another_session() {
    let mut world = World::new(&config());
    let mut tagged = spec(2, 1000);
    (tagged.flow.vlan, tagged.out_vlan) = (Vid::new(100).unwrap(), Vid::new(200).unwrap());
    let elsewhere = SessionSpec { in_lif: Lif::new(3).unwrap(), out_lif: Lif::new(1).unwrap(), ..spec(3, 1000) };
    assert_eq!(world.add(&[spec(1, 1000), tagged.clone(), elsewhere]), []);
    assert_eq!(world.engine.statistics().superseded, 0);
    assert!(world.packet(&tagged, Direction::Out, 60));
}

#[test]
fn a_session_may_leave_by_the_interface_it_came_in_on() {
    let mut world = World::new(&config());
    let session = one_armed(1, 1000);
    let across = spec(2, 1000);
    assert_eq!(world.add(&[session.clone(), across.clone()]), [], "another session for the same tuple supersedes");
    assert!(world.get(1).unwrap().superseded, "both have the first key");
    assert!(world.delete(2).is_some() && world.delete(1).is_some());

    assert_eq!(world.add(std::slice::from_ref(&session)), []);
    assert!(world.packet(&session, Direction::In, 60));
    assert!(world.packet(&session, Direction::Out, 90));
    assert!(!world.packet(&across, Direction::Out, 90), "its answer comes in on the same interface, not on another");
    let counters = world.delete(1).unwrap().counters;
    assert_eq!((counters.inward.bytes, counters.outward.bytes), (60, 90));
    assert!(world.table.is_empty(), "both keys are gone");
}

/// The answer's session on the same interface has the same two keys, crossed.
#[test]
fn the_answer_of_a_one_armed_session_takes_both_its_keys() {
    let mut world = World::new(&config());
    let older = one_armed(1, 1000);
    let newer = SessionSpec { flow: older.flow.reversed(), ..one_armed(2, 1000) };
    world.add(std::slice::from_ref(&older));
    assert_eq!(world.add(std::slice::from_ref(&newer)), []);
    assert_eq!(world.engine.statistics().superseded, 1, "once, not once a key");
    assert!(world.packet(&newer, Direction::Out, 60), "the key that was the first of the older");
    let counters = world.delete(2).unwrap().counters;
    assert_eq!((counters.inward.packets, counters.outward.packets), (0, 1));
    assert_eq!(world.delete(1).unwrap().counters.inward.packets, 0);
    assert!(world.table.is_empty());
}

#[test]
fn what_meets_itself_is_refused_and_what_only_looks_like_it_is_not() {
    let mut world = World::new(&config());
    let itself = meets_itself(1);
    let in_vlans = |id, inside, outside| {
        let mut session = meets_itself(id);
        (session.flow.vlan, session.out_vlan) = (Vid::new(inside).unwrap(), Vid::new(outside).unwrap());
        session
    };
    let mut other_port = meets_itself(5);
    other_port.flow.destination_port += 1;
    let refused = world.add(&[
        itself.clone(),
        in_vlans(2, 100, 100),
        in_vlans(3, 100, 200),
        SessionSpec { id: SessionId(4), out_lif: Lif::new(2).unwrap(), ..itself },
        other_port,
    ]);
    let lif = Lif::new(1).unwrap();
    assert_eq!(errors(&refused), [(0, AddError::MeetsItself(lif)), (1, AddError::MeetsItself(lif))]);
    assert_eq!(world.list(0, 0, 10).0, [3, 4, 5]);
    let said = refused[0].error.to_string();
    assert_eq!(said, "outLif: the session meets itself: both directions have one tuple on lif 1");
}

#[test]
fn a_removal_that_fails_is_tried_again_and_the_caller_waits() {
    let mut world = World::new(&config());
    let session = spec(1, 1000);
    world.add(std::slice::from_ref(&session));
    world.remove_faults = 2;
    let delete = world.send(RequestBody::Delete { id: SessionId(1), record: false });
    assert_eq!(world.reply(delete), None);
    assert!(world.packet(&session, Direction::In, 60));
    world.advance(SECOND);
    let Some(ReplyBody::Deleted(Some(view))) = world.reply(delete) else { panic!() };
    assert_eq!(view.counters.inward.packets, 1);
}

#[test]
fn lists_page_by_cursor_and_by_skip() {
    let mut world = World::new(&config());
    let many: Vec<_> = [5, 0, 9, 7, u64::MAX].iter().zip(1..).map(|(id, port)| spec(*id, port)).collect();
    world.add(&many);
    assert_eq!(world.list(0, 0, 2), (vec![0, 5], Some(7)));
    assert_eq!(world.list(7, 0, 2), (vec![7, 9], Some(u64::MAX)));
    assert_eq!(world.list(u64::MAX, 0, 2), (vec![u64::MAX], None));
    assert_eq!(world.list(0, 3, 2), (vec![9, u64::MAX], None));
    assert_eq!(world.list(0, 9, 2), (vec![], None));
    assert_eq!(world.list(6, 1, 1), (vec![9], Some(u64::MAX)));
}

#[test]
fn a_closed_log_that_is_full_loses_its_oldest_record_loudly() {
    let mut world = World::new(&config());
    let many: Vec<_> = (0..6).map(|id| spec(u64::from(id), 1000 + id)).collect();
    world.add(&many);
    world.advance(11 * SECOND);
    let lost = world.events.iter().filter(|event| matches!(event, Event::RecordLost(_))).count();
    assert_eq!((lost, world.engine.statistics().closed_lost), (2, 2));
    assert_eq!(world.collect().len(), 4);
    let statistics = world.engine.statistics();
    assert_eq!((statistics.closed_delivered, statistics.closed_waiting, statistics.timed_out), (4, 0, 6));
}

/// Found by the simulated world.
#[test]
fn a_late_answer_does_not_close_a_session_that_saw_a_packet_since() {
    let mut world = World::new(&config());
    let session = spec(1, 1000);
    world.add(std::slice::from_ref(&session));
    world.advance(5 * SECOND);
    world.packet(&session, Direction::In, 60);
    // Due by its start: its counters are asked for, and on their way for as long as its timeout.
    world.hold = true;
    world.advance(6 * SECOND);
    world.packet(&session, Direction::In, 60);
    world.advance(5 * SECOND);
    world.release();
    assert!(world.get(1).is_some(), "it was never idle for 10 s");
    world.advance(6 * SECOND);
    assert_eq!(world.collect().len(), 1);
}

#[test]
fn aging_reads_only_so_many_sessions_at_once_and_comes_to_the_others() {
    let count = crate::limits::AGING_READS as u64 + 10;
    let mut config = config();
    (config.max_sessions, config.max_closed) = (1 << 16, 1 << 16);
    let mut world = World::new(&config);
    for id in 0..count {
        let mut session = spec(id, u16::try_from(id & 0xffff).unwrap());
        session.flow.vlan = Vid::new(1).unwrap();
        session.out_vlan = session.flow.vlan;
        world.add(std::slice::from_ref(&session));
    }
    world.hold = true;
    world.advance(11 * SECOND);
    assert_eq!(world.engine.poll_timeout(), None, "all reads are under way");
    world.release();
    world.advance(1);
    assert_eq!(world.engine.statistics().timed_out, count);
}
