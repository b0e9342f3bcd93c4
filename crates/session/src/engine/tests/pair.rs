//! Two tables, one of which follows the other: what it is told goes from hand to hand, without a line between them.

use super::plane::{SECOND, World, config, next_hop, routed_by, spec};
use crate::engine::{Applied, Diverged, EngineConfig, Event};
use crate::ha::change::{Change, Fate, Name};
use crate::l3::VlanFlow;
use crate::plane::{InstallError, RouteError, Slot};
use crate::request::{AddError, L3Request, ReplyBody, RequestBody, SameTuple};
use crate::types::{CloseReason, Direction, Lif, Moment, SessionId, SessionSpec};
use opof_wire::Vid;

/// How far the standby's clock is ahead.
const AHEAD: i64 = -700 * SECOND.cast_signed();

struct Pair {
    active: World,
    standby: World,
}

impl Pair {
    fn new() -> Self {
        Self::over(&config(), &config())
    }

    fn over(active: &EngineConfig, standby: &EngineConfig) -> Self {
        let (mut active, mut standby) = (World::new(active), World::new(standby));
        active.engine.lead(active.now, true, true);
        standby.engine.follow();
        standby.now = active.now.shifted(AHEAD);
        Self { active, standby }
    }

    /// Everything that has changed is told, and what the standby has to say to that.
    fn tell(&mut self) -> Vec<Result<Applied, Diverged>> {
        let changes: Vec<_> = std::iter::from_fn(|| self.active.engine.poll_change()).collect();
        changes.into_iter().map(|change| self.tell_one(change)).collect()
    }

    fn tell_one(&mut self, change: Change) -> Result<Applied, Diverged> {
        let applied = self.standby.engine.apply_change(self.standby.now, change.shifted(AHEAD));
        self.standby.release();
        self.hear();
        applied
    }

    /// What the standby has let go.
    fn hear(&mut self) {
        while let Some(part) = self.standby.engine.poll_let_go() {
            self.active.engine.let_go_by_peer(self.active.now, part.shifted(-AHEAD, -AHEAD));
            self.active.release();
        }
    }

    fn advance(&mut self, nanoseconds: u64) {
        self.active.advance(nanoseconds);
        self.standby.advance(nanoseconds);
    }

    /// The standby is told what the active's plane has counted.
    fn count(&mut self) {
        self.active.engine.count_from(Slot(0), 100, Moment(0));
        self.active.release();
        for part in self.active.engine.take_parts() {
            self.standby.engine.counted_by_peer(part.shifted(AHEAD, AHEAD));
        }
    }

    /// The active is no more.
    fn promote(&mut self, keeps: bool) -> &mut World {
        self.standby.engine.lead(self.standby.now, keeps, false);
        self.standby.release();
        while self.standby.engine.is_walking() {
            self.standby.advance(1);
        }
        &mut self.standby
    }
}

fn forwarded(world: &World) -> Vec<u64> {
    let mut ids: Vec<_> = world.found().iter().filter(|f| f.forwarded == [true; 2]).map(|f| f.note.0[0]).collect();
    ids.sort_unstable();
    ids
}

#[test]
fn a_standby_has_what_was_accepted_and_nothing_else() {
    let mut pair = Pair::new();
    pair.active.install_faults.push_back(InstallError::Full);
    let refused = pair.active.add(&[spec(1, 1000), spec(2, 2000), spec(3, 2000)]);
    assert_eq!(refused.iter().map(|refused| refused.id.0).collect::<Vec<_>>(), [1]);
    assert!(pair.tell().iter().all(Result::is_ok));
    assert_eq!((forwarded(&pair.active), forwarded(&pair.standby)), (vec![3], vec![3]));
    // The second has lost its tuple to the third, and is there until its timeout.
    assert_eq!(pair.standby.engine.statistics().sessions, 2);
}

#[test]
fn a_delete_is_answered_when_the_standby_has_let_go_and_with_what_both_have_counted() {
    let mut pair = Pair::new();
    pair.active.add(&[spec(1, 1000)]);
    pair.tell();
    assert!(pair.active.packet(&spec(1, 1000), Direction::In, 60));
    assert!(pair.standby.packet(&spec(1, 1000), Direction::Out, 90));
    let ticket = pair.active.send(RequestBody::Delete { id: SessionId(1), record: false });
    assert_eq!(pair.active.reply(ticket), None);
    assert_eq!((forwarded(&pair.active), forwarded(&pair.standby)), (vec![], vec![1]));
    pair.standby.hold = true;
    let change = pair.active.engine.poll_change().unwrap();
    assert!(matches!(change, Change::Fate { fate: Fate::Closes(CloseReason::Deleted), .. }));
    let applied = pair.standby.engine.apply_change(pair.standby.now, change.shifted(AHEAD));
    let Ok(Applied::Yes(Some(slot))) = applied else { panic!("{applied:?}") };
    assert!(pair.standby.engine.is_under_way(slot));
    pair.hear();
    assert_eq!(pair.active.reply(ticket), None, "its plane has not said so");
    pair.standby.release();
    pair.hear();
    let Some(ReplyBody::Deleted(Some(view))) = pair.active.reply(ticket) else { panic!("no answer") };
    assert_eq!((view.counters.inward.packets, view.counters.outward.bytes), (1, 90));
    pair.tell();
    assert_eq!(pair.standby.engine.statistics().sessions, 0);
    assert!(pair.standby.kept.is_empty());
}

#[test]
fn one_that_is_deleted_while_it_is_detached_is_let_go_by_both_though_the_first_removal_fails() {
    let mut pair = Pair::new();
    pair.active.add(&[spec(1, 1000)]);
    pair.tell();
    assert!(pair.standby.packet(&spec(1, 1000), Direction::Out, 90));
    (pair.active.hold, pair.active.remove_faults) = (true, 1);
    pair.active.send(RequestBody::Add { sessions: vec![spec(2, 1000)], same_tuple: SameTuple::Supersede });
    let ticket = pair.active.send(RequestBody::Delete { id: SessionId(1), record: false });
    pair.active.hold = false;
    pair.active.release();
    assert!(pair.tell().iter().all(Result::is_ok));
    pair.advance(SECOND);
    assert!(pair.tell().iter().all(Result::is_ok));
    let Some(ReplyBody::Deleted(Some(view))) = pair.active.reply(ticket) else { panic!("no answer") };
    assert_eq!(view.counters.outward.packets, 1);
    assert_eq!((pair.active.get(1), forwarded(&pair.standby)), (None, vec![2]));
}

#[test]
fn what_was_let_go_is_told_again_until_the_active_says_that_it_is_gone() {
    let mut pair = Pair::new();
    pair.active.add(&[spec(1, 1000)]);
    pair.tell();
    assert!(pair.standby.packet(&spec(1, 1000), Direction::Out, 90));
    let ticket = pair.active.send(RequestBody::Delete { id: SessionId(1), record: false });
    let change = pair.active.engine.poll_change().unwrap();
    pair.standby.engine.apply_change(pair.standby.now, change.shifted(AHEAD)).unwrap();
    pair.standby.release();
    // Its word is lost.
    let part = pair.standby.engine.poll_let_go().unwrap();
    assert_eq!((part.counters.outward.packets, pair.standby.engine.poll_let_go()), (1, None));
    pair.standby.engine.tell_let_go_again();
    assert_eq!(pair.standby.engine.poll_let_go(), Some(part));
    pair.standby.engine.tell_let_go_again();
    pair.hear();
    assert!(matches!(pair.active.reply(ticket), Some(ReplyBody::Deleted(Some(_)))));
    pair.tell();
    pair.standby.engine.tell_let_go_again();
    assert_eq!(pair.standby.engine.poll_let_go(), None);
}

#[test]
fn when_the_standby_is_not_waited_for_any_more_everything_is_answered() {
    let mut pair = Pair::new();
    pair.active.add(&[spec(1, 1000)]);
    let ticket = pair.active.send(RequestBody::Delete { id: SessionId(1), record: false });
    assert_eq!((pair.active.reply(ticket), pair.active.engine.awaiting()), (None, 1));
    pair.active.engine.set_confirms(pair.active.now, false);
    pair.active.release();
    assert!(matches!(pair.active.reply(ticket), Some(ReplyBody::Deleted(Some(_)))));
    // All of it comes later, in one go.
    assert!(pair.tell().iter().all(Result::is_ok));
    assert_eq!(pair.standby.engine.statistics().sessions, 0);
}

#[test]
fn a_standby_never_ages_and_a_promoted_one_goes_on_by_the_last_packet_of_either() {
    let mut pair = Pair::new();
    pair.active.add(&[spec(1, 1000), spec(2, 2000)]);
    pair.tell();
    pair.advance(8 * SECOND);
    pair.active.packet(&spec(1, 1000), Direction::In, 60);
    pair.count();
    // Twice the timeout, but the active says nothing.
    pair.standby.advance(20 * SECOND);
    assert_eq!(pair.standby.engine.statistics().sessions, 2);
    let mut pair = Pair::new();
    pair.active.add(&[spec(1, 1000), spec(2, 2000)]);
    pair.tell();
    pair.advance(8 * SECOND);
    pair.active.packet(&spec(1, 1000), Direction::In, 60);
    pair.count();
    let promoted = pair.promote(true);
    promoted.advance(3 * SECOND);
    assert_eq!(promoted.collect().iter().map(|record| record.id.0).collect::<Vec<_>>(), [2]);
    promoted.packet(&spec(1, 1000), Direction::In, 60);
    promoted.advance(9 * SECOND);
    assert_eq!(promoted.get(1).unwrap().counters.inward.packets, 2);
    promoted.advance(2 * SECOND);
    let records = promoted.collect();
    assert_eq!((records[0].id.0, records[0].counters.inward.packets, records[0].reason), (1, 2, CloseReason::Timeout));
}

#[test]
fn what_the_active_was_closing_is_reported_by_whoever_comes_after_it() {
    let mut pair = Pair::new();
    pair.active.add(&[spec(1, 1000), spec(2, 2000)]);
    pair.tell();
    pair.active.packet(&spec(1, 1000), Direction::In, 60);
    pair.count();
    pair.active.send(RequestBody::Delete { id: SessionId(1), record: false });
    let change = pair.active.engine.poll_change().unwrap();
    pair.standby.engine.apply_change(pair.standby.now, change.shifted(AHEAD)).unwrap();
    pair.standby.release();
    // The active dies before it has answered.
    let promoted = pair.promote(true);
    let records = promoted.collect();
    assert_eq!((records.len(), records[0].id.0, records[0].reason), (1, 1, CloseReason::Deleted));
    assert_eq!(records[0].counters.inward.packets, 1);
    assert_eq!(forwarded(promoted), [2]);
}

#[test]
fn who_does_not_know_what_the_active_has_closed_closes_everything() {
    let mut pair = Pair::new();
    pair.active.add(&[spec(1, 1000), spec(2, 2000), spec(3, 2000)]);
    pair.tell();
    pair.standby.hold = true;
    pair.standby.engine.lead(pair.standby.now, false, false);
    assert!(pair.standby.engine.is_purging());
    pair.standby.release();
    assert!(!pair.standby.engine.is_purging() && forwarded(&pair.standby).is_empty());
    let mut records = pair.standby.collect();
    records.sort_by_key(|record| record.id);
    assert_eq!(
        records.iter().map(|r| (r.id.0, r.reason)).collect::<Vec<_>>(),
        [1, 2, 3].map(|id| (id, CloseReason::Reset))
    );
}

#[test]
fn records_have_the_numbers_that_the_active_gave_them_until_they_are_delivered() {
    let mut pair = Pair::new();
    pair.active.engine.begin_records_at(5 << 40);
    pair.active.add(&[spec(1, 1000), spec(2, 2000)]);
    pair.tell();
    for _ in 0..12 {
        pair.advance(SECOND);
        pair.tell();
    }
    let waiting = |world: &World| world.engine.statistics().closed_waiting;
    assert_eq!((waiting(&pair.active), waiting(&pair.standby)), (2, 2));
    let delivered = pair.active.collect();
    assert_eq!(delivered.iter().map(|record| record.sequence).collect::<Vec<_>>(), [5 << 40, (5 << 40) + 1]);
    assert_eq!(waiting(&pair.standby), 2);
    // The active dies before it can say that: they are delivered again, by the same numbers.
    let again: Vec<_> = pair.promote(true).collect();
    assert_eq!(again.iter().map(|r| r.sequence).collect::<Vec<_>>(), [5 << 40, (5 << 40) + 1]);
    assert_eq!(again[0].ended, delivered[0].ended.shifted(AHEAD));
}

#[test]
fn a_newcomer_is_told_everything_that_there_is() {
    let mut pair = Pair::new();
    pair.active.ask(RequestBody::L3(L3Request::SetNextHop(next_hop(1))));
    let flow = VlanFlow { vlan: Vid::new(7).unwrap(), lif: Lif::new(1).unwrap() };
    pair.active.ask(RequestBody::L3(L3Request::AddVlanFlow(flow)));
    let routed = SessionSpec { action: routed_by(1), ..spec(4, 4000) };
    pair.active.add(&[spec(1, 1000), spec(2, 2000), spec(3, 2000), routed]);
    let ticket = pair.active.send(RequestBody::Delete { id: SessionId(1), record: false });
    while pair.active.engine.poll_change().is_some() {}
    // What it had before goes.
    pair.standby.engine.lead(pair.standby.now, true, false);
    pair.standby.add(&[spec(9, 4000)]);
    pair.standby.engine.follow();
    pair.standby.engine.empty(pair.standby.now);
    pair.standby.release();
    for next in pair.active.engine.rest().next_hops.into_values() {
        pair.tell_one(Change::NextHop(next)).unwrap();
    }
    for (vlan, lif) in pair.active.engine.rest().vlan_flows {
        pair.tell_one(Change::VlanFlow(VlanFlow { vlan, lif })).unwrap();
    }
    let mut from = Some(Slot(0));
    while let Some(at) = from {
        let (rows, next) = pair.active.engine.sessions_from(at, 2);
        for row in rows {
            pair.tell_one(row).unwrap();
        }
        from = next;
    }
    assert_eq!((forwarded(&pair.standby), pair.standby.engine.statistics().sessions), (vec![3, 4], 4));
    assert!(pair.standby.next_hops.len() == 1 && pair.standby.vlan_flows.len() == 1);
    // The one that is being deleted was never on the newcomer's plane, which says so.
    assert!(matches!(pair.active.reply(ticket), Some(ReplyBody::Deleted(Some(_)))));
    pair.tell();
    assert_eq!(pair.standby.engine.statistics().sessions, 3);
}

#[test]
fn a_plane_that_puts_a_session_off_is_asked_again() {
    let mut pair = Pair::new();
    pair.standby.install_faults.extend([InstallError::Unavailable; 2]);
    pair.active.add(&[spec(1, 1000), spec(2, 2000)]);
    pair.tell();
    assert_eq!(forwarded(&pair.standby), []);
    // One ends before it is tried again.
    let ticket = pair.active.send(RequestBody::Delete { id: SessionId(1), record: false });
    pair.tell();
    assert!(matches!(pair.active.reply(ticket), Some(ReplyBody::Deleted(Some(_)))));
    pair.advance(SECOND);
    assert_eq!(forwarded(&pair.standby), [2]);
}

#[test]
fn a_full_table_waits_for_what_its_plane_does_not_let_go_at_once() {
    let small = EngineConfig { max_sessions: 1, ..config() };
    let mut pair = Pair::over(&small, &small);
    pair.active.engine.set_confirms(pair.active.now, false);
    pair.active.add(&[spec(1, 1000)]);
    pair.tell();
    pair.standby.remove_faults = 1;
    pair.active.delete(1).unwrap();
    pair.active.add(&[spec(2, 2000)]);
    let mut told = pair.tell();
    let Some(Ok(Applied::NotYet(change))) = told.pop() else { panic!("{told:?}") };
    pair.standby.advance(SECOND);
    assert!(matches!(pair.standby.engine.apply_change(pair.standby.now, *change), Ok(Applied::Yes(Some(_)))));
    pair.standby.release();
    assert_eq!((forwarded(&pair.standby), pair.standby.engine.statistics().unfollowed), (vec![2], 0));
}

#[test]
fn one_that_is_superseded_before_the_plane_took_it_in_waits_for_its_timeout_all_the_same() {
    let mut pair = Pair::new();
    pair.standby.install_faults = [InstallError::Unavailable].into();
    pair.active.add(&[spec(1, 1000)]);
    pair.active.add(&[spec(2, 1000)]);
    // All of it before the plane has answered.
    while let Some(change) = pair.active.engine.poll_change() {
        assert!(matches!(
            pair.standby.engine.apply_change(pair.standby.now, change.shifted(AHEAD)),
            Ok(Applied::Yes(_))
        ));
    }
    pair.standby.release();
    assert_eq!((forwarded(&pair.standby), pair.standby.engine.statistics().unfollowed), (vec![2], 0));
    assert!(pair.promote(true).get(1).unwrap().superseded);
}

#[test]
fn one_that_the_plane_has_put_off_can_be_superseded_by_who_comes_to_lead() {
    let mut pair = Pair::new();
    pair.standby.install_faults = [InstallError::Unavailable].into();
    pair.active.add(&[spec(1, 1000)]);
    pair.tell();
    let standby = pair.promote(true);
    standby.add(&[spec(2, 1000)]);
    assert!(standby.get(1).unwrap().superseded);
    standby.advance(SECOND);
    assert_eq!(forwarded(standby), [2]);
}

#[test]
fn what_can_not_be_taken_in_is_told_and_its_end_is_not_waited_for() {
    let small = EngineConfig { max_sessions: 1, ..config() };
    let mut pair = Pair::over(&config(), &small);
    pair.active.add(&[spec(1, 1000), spec(2, 2000)]);
    pair.tell();
    assert_eq!(pair.standby.engine.statistics().unfollowed, 1);
    let full = Event::NotFollowed { id: SessionId(2), why: Some(AddError::TableFull) };
    assert!(pair.standby.events.contains(&full), "{:?}", pair.standby.events);
    let ticket = pair.active.send(RequestBody::Delete { id: SessionId(2), record: false });
    pair.tell();
    assert!(matches!(pair.active.reply(ticket), Some(ReplyBody::Deleted(Some(_)))));
}

#[test]
fn what_does_not_fit_is_found_out() {
    let mut pair = Pair::new();
    pair.active.add(&[spec(1, 1000)]);
    pair.tell();
    let name = |id, at: u64| Name { id: SessionId(id), version: Moment(at) };
    let lives = |spec: SessionSpec, at| Change::Session { spec, started: Moment(at), fate: Fate::Lives };
    assert!(matches!(pair.tell_one(lives(spec(1, 9), 5)), Err(Diverged::IdExists(_))));
    assert!(matches!(pair.tell_one(lives(spec(2, 1000), 5)), Err(Diverged::KeyExists(..))));
    let wrong = Change::Fate { name: name(1, 5), fate: Fate::Waits };
    assert!(matches!(pair.tell_one(wrong), Err(Diverged::OtherVersion(..))));
    let started = pair.active.get(1).unwrap().started;
    let gone = Change::Gone { name: Name { id: SessionId(1), version: started }, record: None };
    assert!(matches!(pair.tell_one(gone), Err(Diverged::StillLives(_))));
}

#[test]
fn next_hops_and_flows_follow_and_a_plane_that_fails_is_asked_again() {
    let mut pair = Pair::new();
    pair.standby.route_faults.push_back(RouteError::Unavailable);
    pair.active.ask(RequestBody::L3(L3Request::SetNextHop(next_hop(1))));
    pair.tell();
    assert!(pair.standby.next_hops.is_empty());
    pair.advance(SECOND);
    assert_eq!(pair.standby.next_hops.len(), 1);
    // What the active's plane could not do is undone there, and here.
    pair.active.route_faults.push_back(RouteError::Full);
    pair.active.ask(RequestBody::L3(L3Request::SetNextHop(next_hop(2))));
    pair.tell();
    pair.advance(SECOND);
    assert_eq!((pair.active.next_hops.len(), pair.standby.next_hops.len()), (1, 1));
    pair.active.ask(RequestBody::L3(L3Request::ClearNextHops));
    pair.tell();
    pair.advance(SECOND);
    assert!(pair.standby.next_hops.is_empty());
}

#[test]
fn who_follows_answers_nobody_any_more() {
    let mut pair = Pair::new();
    pair.active.hold = true;
    let ticket = pair.active.send(RequestBody::Add { sessions: vec![spec(1, 1000)], same_tuple: SameTuple::Reject });
    pair.active.engine.follow();
    pair.active.release();
    assert_eq!(pair.active.reply(ticket), None);
    pair.active.advance(100 * SECOND);
    assert_eq!(pair.active.engine.statistics().sessions, 1);
}
