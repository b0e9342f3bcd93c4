//! Next hops, VLAN flows, reset: what is stored, and what is closed with it.

use opof_wire::Vid;
use opof_wire::ethernet::MacAddress;

use super::plane::{SECOND, World, config, next_hop, routed_by, spec};
use crate::engine::{Event, Input};
use crate::l3::{Family, L3Error, Link, LinkFields, Links, Nat, NextHop, NextHopId, Tunnel, VlanFlow};
use crate::limits;
use crate::plane::{Capabilities, InstallError, RouteError};
use crate::request::{AddError, L3Request, ReplyBody, RequestBody, SameTuple};
use crate::types::{Action, CloseReason, Direction, Lif, SessionId, SessionSpec};

fn routed(id: u64, hop: u32) -> SessionSpec {
    SessionSpec { action: routed_by(hop), ..spec(id, u16::try_from(id).unwrap()) }
}

impl World {
    fn l3(&mut self, request: L3Request) -> ReplyBody {
        self.ask(RequestBody::L3(request))
    }

    fn reasons(&mut self) -> Vec<(u64, CloseReason)> {
        self.collect().iter().map(|record| (record.id.0, record.reason)).collect()
    }

    fn add_errors(&mut self, sessions: &[SessionSpec]) -> Vec<String> {
        self.add(sessions).iter().map(|refused| refused.error.to_string()).collect()
    }
}

#[test]
fn a_session_needs_a_next_hop_that_is_there_and_of_its_family() {
    let mut world = World::new(&config());
    let none = "action.actionParams_outLif.nextHopId: no next hop 7 for IPv4";
    assert_eq!(world.add_errors(&[routed(1, 7)]), [none]);
    world.l3(L3Request::SetNextHop(NextHop { family: Family::V6, ..next_hop(7) }));
    assert_eq!(world.add_errors(&[routed(1, 7)]), [none]);
    assert_eq!(world.l3(L3Request::SetNextHop(next_hop(7))), ReplyBody::Done(Ok(())), "replaced");
    assert_eq!(world.add(&[routed(1, 7)]), []);
}

#[test]
fn a_next_hop_that_is_taken_away_closes_its_sessions_and_no_others() {
    let mut world = World::new(&config());
    for id in [7, 8] {
        world.l3(L3Request::SetNextHop(next_hop(id)));
    }
    let session = routed(1, 7);
    assert_eq!(world.add(&[session.clone(), routed(2, 8), spec(3, 3), routed(4, 7)]), []);
    world.packet(&session, Direction::In, 60);
    let destroy = L3Request::DestroyNextHop(next_hop(7).id);
    assert_eq!(world.l3(destroy), ReplyBody::Swept { closed: 2 });
    assert!(!world.packet(&session, Direction::In, 60), "the next packet misses");
    assert_eq!(world.list(0, 0, 10).0, [2, 3]);
    assert_eq!(world.reasons(), [(1, CloseReason::NextHopGone), (4, CloseReason::NextHopGone)]);
    assert_eq!(world.l3(destroy), ReplyBody::Done(Err(L3Error::NoNextHop(next_hop(7).id))));
    assert_eq!(world.engine.statistics().withdrawn, 2);
    assert_eq!(world.l3(L3Request::ClearNextHops), ReplyBody::Swept { closed: 1 });
    assert_eq!(world.list(0, 0, 10).0, [3]);
}

#[test]
fn a_session_that_is_being_installed_goes_with_its_next_hop() {
    let mut world = World::new(&config());
    world.l3(L3Request::SetNextHop(next_hop(7)));
    world.install_faults.extend([InstallError::Full]);
    world.hold = true;
    let sessions = vec![routed(1, 7), routed(2, 7)];
    let add = world.send(RequestBody::Add { sessions, same_tuple: SameTuple::Supersede });
    let destroy = world.send(RequestBody::L3(L3Request::DestroyNextHop(next_hop(7).id)));
    assert_eq!(world.reply(destroy), None);
    world.release();
    let Some(ReplyBody::Added { refused }) = world.reply(add) else { panic!() };
    assert_eq!(refused.len(), 1);
    assert_eq!(world.reply(destroy), Some(ReplyBody::Swept { closed: 1 }));
    assert_eq!(world.reasons(), [(2, CloseReason::NextHopGone)], "what was never accepted has no record");
    assert!(world.table.is_empty());
}

#[test]
fn a_reset_closes_everything_and_waits_for_what_is_closing_already() {
    let mut world = World::new(&config());
    world.add(&[spec(1, 1), spec(2, 2), spec(3, 2), spec(4, 4)]);
    world.hold = true;
    let delete = world.send(RequestBody::Delete { id: SessionId(1), record: false });
    let reset = world.send(RequestBody::Reset);
    assert_eq!(world.reply(reset), None);
    world.release();
    assert!(matches!(world.reply(delete), Some(ReplyBody::Deleted(Some(_)))));
    assert_eq!(world.reply(reset), Some(ReplyBody::Swept { closed: 3 }));
    let mut reasons = world.reasons();
    reasons.sort_by_key(|(id, _)| *id);
    assert_eq!(reasons, [2, 3, 4].map(|id| (id, CloseReason::Reset)), "the superseded one too");
    assert!(world.table.is_empty());
    assert_eq!(world.ask(RequestBody::Reset), ReplyBody::Swept { closed: 0 });
}

#[test]
fn a_large_reset_goes_in_steps_and_spares_what_comes_later() {
    let count = u16::try_from(limits::SWEEP_REMOVALS * 2 + 10).unwrap();
    let mut config = config();
    (config.max_sessions, config.max_closed) = (1 << 16, 1 << 16);
    let mut world = World::new(&config);
    let sessions: Vec<_> = (0..count).map(|id| spec(u64::from(id), id)).collect();
    for batch in sessions.chunks(limits::ADD_BATCH) {
        world.add(batch);
    }
    world.now.0 += 1;
    world.hold = true;
    let reset = world.send(RequestBody::Reset);
    let left = usize::from(count) - limits::SWEEP_REMOVALS;
    assert_eq!(world.table.len(), 2 * left, "as many as may be under way are off the plane");
    world.release();
    world.now.0 += 1;
    world.add(&[spec(60_000, 60_000)]);
    assert_eq!(world.reply(reset), None, "the rest is due");
    world.advance(1);
    assert_eq!(world.reply(reset), Some(ReplyBody::Swept { closed: u64::from(count) }));
    assert_eq!(world.list(0, 0, 10).0, [60_000]);
}

#[test]
fn requests_that_close_many_are_bounded() {
    let mut world = World::new(&config());
    world.add(&[spec(1, 1)]);
    world.hold = true;
    let resets: Vec<_> = (0..=limits::SWEEPS).map(|_| world.send(RequestBody::Reset)).collect();
    assert_eq!(world.reply(resets[limits::SWEEPS]), Some(ReplyBody::Done(Err(L3Error::Busy))));
    assert_eq!(world.reply(resets[1]), None, "it waits for the session that the first one closes");
    world.release();
    assert_eq!(world.reply(resets[0]), Some(ReplyBody::Swept { closed: 1 }));
    assert_eq!(world.reply(resets[1]), Some(ReplyBody::Swept { closed: 0 }));
}

#[test]
fn a_delete_can_leave_a_record() {
    let mut world = World::new(&config());
    world.add(&[spec(1, 1)]);
    world.packet(&spec(1, 1), Direction::Out, 90);
    let reply = world.ask(RequestBody::Delete { id: SessionId(1), record: true });
    assert!(matches!(reply, ReplyBody::Deleted(Some(_))));
    let [record] = world.collect()[..] else { panic!() };
    assert_eq!((record.id.0, record.reason, record.counters.outward.bytes), (1, CloseReason::Deleted, 90));
}

fn gtpu(mut spec: SessionSpec) -> SessionSpec {
    spec.flow.tunnel = Tunnel::Gtpu;
    spec
}

#[test]
fn with_and_without_a_tunnel_a_tuple_is_two_sessions() {
    let mut world = World::over(&config(), Capabilities { gtpu: true, ..Capabilities::forwarding(8) });
    let sessions = [spec(1, 1000), gtpu(spec(2, 1000))];
    assert_eq!(world.add(&sessions), []);
    for (session, bytes) in sessions.iter().zip([60, 70]) {
        assert!(world.packet(session, Direction::In, bytes));
        assert!(world.packet(session, Direction::Out, 10 * bytes));
    }
    for (id, bytes) in [(1, 60), (2, 70)] {
        let counters = world.get(id).unwrap().counters;
        assert_eq!((counters.inward.bytes, counters.outward.bytes), (bytes, 10 * bytes), "session {id}");
    }
    world.delete(1);
    assert!(!world.packet(&sessions[0], Direction::In, 60));
    assert!(world.packet(&sessions[1], Direction::In, 70));
    // The same tuple in the same tunnel is the same session's.
    let again = gtpu(spec(3, 1000));
    assert_eq!(world.add(std::slice::from_ref(&again)), []);
    assert!(world.get(2).unwrap().superseded && !world.get(3).unwrap().superseded);
}

#[test]
fn what_the_plane_can_not_do_is_named_by_its_field() {
    let mut world = World::over(&config(), Capabilities::forwarding(8));
    world.l3(L3Request::SetNextHop(next_hop(7)));
    let nat = Some(Nat { address: [192, 0, 2, 1].into(), port: None });
    let with = |towards_in, towards_out| {
        let links = Box::new(Links { towards_in, towards_out });
        SessionSpec { action: Action::Route(links), ..spec(1, 1) }
    };
    let none = Link::default();
    let errors = world.add_errors(&[
        routed(1, 7),
        with(Link { snat: nat, ..none }, none),
        with(none, Link { dnat: nat, ..none }),
        with(none, Link { vlan: Vid::new(5), ..none }),
        gtpu(spec(1, 1)),
    ]);
    let fields = [
        LinkFields::TOWARDS_OUT.next_hop,
        LinkFields::TOWARDS_IN.snat,
        LinkFields::TOWARDS_OUT.dnat,
        LinkFields::TOWARDS_OUT.vlan,
        "encapType",
    ];
    let what = ["next hops", "NAT", "NAT", "VLAN rewrite", "GTP-U"];
    let expected: Vec<_> = fields
        .iter()
        .zip(what)
        .map(|(field, what)| format!("{field}: this device's data plane has no {what}"))
        .collect();
    assert_eq!(errors, expected);
}

#[test]
fn vlan_flows_are_stored_listed_and_forgotten() {
    let mut world = World::new(&config());
    let flow = |vlan, lif| VlanFlow { vlan: Vid::new(vlan).unwrap(), lif: Lif::new(lif).unwrap() };
    for (vlan, lif) in [(200, 2), (100, 1)] {
        assert_eq!(world.l3(L3Request::AddVlanFlow(flow(vlan, lif))), ReplyBody::Done(Ok(())));
    }
    let said = |reply| match reply {
        ReplyBody::Done(Err(error)) => format!("{error}"),
        other => panic!("{other:?}"),
    };
    let exists = "vlanId: vlan 100 goes to the firewall port of lif 1 already";
    assert_eq!(said(world.l3(L3Request::AddVlanFlow(flow(100, 2)))), exists);
    assert_eq!(said(world.l3(L3Request::AddVlanFlow(flow(300, 9)))), "internalLif: no logical interface 9");
    assert_eq!(world.l3(L3Request::ListVlanFlows), ReplyBody::VlanFlows(vec![flow(100, 1), flow(200, 2)]));
    assert_eq!(world.vlan_flows.len(), 2, "the plane follows them");
    let vlan = flow(100, 1).vlan;
    assert_eq!(world.l3(L3Request::RemoveVlanFlow(vlan)), ReplyBody::Done(Ok(())));
    assert_eq!(said(world.l3(L3Request::RemoveVlanFlow(vlan))), "vlanId: vlan 100 has no flow");
    assert_eq!(world.vlan_flows.keys().copied().collect::<Vec<_>>(), [flow(200, 2).vlan]);
    world.l3(L3Request::ClearVlanFlows);
    assert_eq!(world.l3(L3Request::ListVlanFlows), ReplyBody::VlanFlows(vec![]));
    assert!(world.vlan_flows.is_empty() && world.events.is_empty());
}

#[test]
fn a_vlan_flow_that_the_plane_can_not_follow_is_stored_and_told() {
    let mut world = World::over(&config(), Capabilities::forwarding(8));
    let flow = VlanFlow { vlan: Vid::new(100).unwrap(), lif: Lif::new(1).unwrap() };
    assert_eq!(world.l3(L3Request::AddVlanFlow(flow)), ReplyBody::Done(Ok(())));
    assert_eq!(world.l3(L3Request::ListVlanFlows), ReplyBody::VlanFlows(vec![flow]));
    assert_eq!((world.events, world.vlan_flows.len()), (vec![Event::VlanFlowIdle(flow)], 0));
}

#[test]
fn the_plane_knows_the_next_hops_that_are_stored() {
    let mut world = World::new(&config());
    let hops = [7, 8, 9].map(next_hop);
    for hop in hops {
        assert_eq!(world.l3(L3Request::SetNextHop(hop)), ReplyBody::Done(Ok(())));
    }
    let other = NextHop { destination: MacAddress([2; 6]), ..hops[1] };
    world.l3(L3Request::SetNextHop(other));
    assert_eq!(world.next_hops[&other.id], other, "replaced");
    world.l3(L3Request::DestroyNextHop(hops[0].id));
    assert!(!world.next_hops.contains_key(&hops[0].id) && world.next_hops.len() == 2);
    world.l3(L3Request::ClearNextHops);
    assert!(world.next_hops.is_empty());
    assert_eq!(world.engine.poll_timeout(), None);
}

#[test]
fn there_is_room_for_as_many_next_hops_as_configured() {
    let mut world = World::new(&crate::engine::EngineConfig { max_next_hops: 2, ..config() });
    let mut set = |id| world.l3(L3Request::SetNextHop(next_hop(id)));
    let (done, full) = (ReplyBody::Done(Ok(())), ReplyBody::Done(Err(L3Error::NextHopsFull)));
    assert_eq!([set(7), set(8), set(9), set(8)], [done.clone(), done.clone(), full, done.clone()]);
    world.l3(L3Request::DestroyNextHop(next_hop(7).id));
    assert_eq!(world.l3(L3Request::SetNextHop(next_hop(9))), done);
}

#[test]
fn what_the_plane_does_not_take_is_not_stored() {
    let mut world = World::new(&config());
    let (hop, other) = (next_hop(7), NextHop { destination: MacAddress([2; 6]), ..next_hop(7) });
    let flow = VlanFlow { vlan: Vid::new(100).unwrap(), lif: Lif::new(1).unwrap() };
    world.route_faults.extend([RouteError::Full, RouteError::Unavailable]);
    assert_eq!(world.l3(L3Request::SetNextHop(hop)), ReplyBody::Done(Err(L3Error::NextHopsFull)));
    assert_eq!(world.l3(L3Request::AddVlanFlow(flow)), ReplyBody::Done(Err(L3Error::Unavailable)));
    assert_eq!(world.add(&[routed(1, 7)]).len(), 1);
    assert_eq!(world.l3(L3Request::ListVlanFlows), ReplyBody::VlanFlows(vec![]));

    world.l3(L3Request::SetNextHop(hop));
    world.l3(L3Request::AddVlanFlow(flow));
    for request in [L3Request::SetNextHop(other), L3Request::RemoveVlanFlow(flow.vlan), L3Request::ClearVlanFlows] {
        world.route_faults.push_back(RouteError::Unavailable);
        assert_eq!(world.l3(request), ReplyBody::Done(Err(L3Error::Unavailable)));
        assert_eq!(world.l3(L3Request::ListVlanFlows), ReplyBody::VlanFlows(vec![flow]));
    }
    assert_eq!(world.next_hops[&hop.id], hop);
    assert_eq!(world.add(&[routed(1, 7)]), [], "the older one is still there");
}

#[test]
fn a_next_hop_that_the_plane_does_not_let_go_is_removed_later() {
    let mut world = World::new(&config());
    world.l3(L3Request::SetNextHop(next_hop(7)));
    world.route_faults.push_back(RouteError::Unavailable);
    assert_eq!(world.l3(L3Request::DestroyNextHop(next_hop(7).id)), ReplyBody::Swept { closed: 0 });
    assert_eq!(world.next_hops.len(), 1);
    world.advance(SECOND);
    assert_eq!((world.next_hops.len(), world.engine.poll_timeout()), (0, None));

    // Not when it has been set again.
    world.l3(L3Request::SetNextHop(next_hop(7)));
    world.route_faults.push_back(RouteError::Unavailable);
    world.l3(L3Request::DestroyNextHop(next_hop(7).id));
    world.l3(L3Request::SetNextHop(next_hop(7)));
    world.advance(SECOND);
    assert_eq!((world.next_hops.len(), world.engine.poll_timeout()), (1, None));
}

#[test]
fn a_large_store_of_next_hops_is_cleared_in_steps() {
    let count = u32::try_from(limits::NEXT_HOP_REMOVALS).unwrap() * 2;
    let mut world = World::new(&config());
    for id in 1..=count {
        world.l3(L3Request::SetNextHop(next_hop(id)));
    }
    world.hold = true;
    let clear = world.send(RequestBody::L3(L3Request::ClearNextHops));
    assert_eq!(world.reply(clear), Some(ReplyBody::Swept { closed: 0 }), "no session refers to one");
    assert_eq!(world.next_hops.len(), limits::NEXT_HOP_REMOVALS, "as many as may be under way");
    let again = world.send(RequestBody::L3(L3Request::SetNextHop(next_hop(count))));
    world.release();
    assert_eq!(world.reply(again), Some(ReplyBody::Done(Ok(()))));
    assert_eq!(world.next_hops.keys().map(|id| id.get()).collect::<Vec<_>>(), [count]);
    assert_eq!(world.engine.poll_timeout(), None);
}

#[test]
fn a_next_hop_in_use_keeps_its_family() {
    let mut world = World::new(&config());
    let other = NextHop { family: Family::V6, ..next_hop(7) };
    world.l3(L3Request::SetNextHop(next_hop(7)));
    world.add(&[routed(1, 7)]);
    let ReplyBody::Done(Err(error)) = world.l3(L3Request::SetNextHop(other)) else { panic!() };
    assert_eq!(error.to_string(), "ipVersion: next hop 7 is in use by IPv4 sessions");
    world.delete(1);
    assert_eq!(world.l3(L3Request::SetNextHop(other)), ReplyBody::Done(Ok(())));
}

#[test]
fn a_session_forgets_its_next_hop_when_it_goes() {
    let mut world = World::new(&config());
    world.l3(L3Request::SetNextHop(next_hop(7)));
    world.add(&[routed(1, 7)]);
    world.advance(11 * SECOND);
    world.add(&[spec(2, 2)]);
    assert_eq!(world.l3(L3Request::DestroyNextHop(NextHopId::new(7).unwrap())), ReplyBody::Swept { closed: 0 });
    assert_eq!(world.list(0, 0, 10).0, [2], "the slot's new session does not refer to it");
}

#[test]
fn an_unknown_next_hop_error_is_what_it_says() {
    let error = AddError::NoNextHop {
        field: LinkFields::TOWARDS_IN.next_hop,
        id: NextHopId::new(3).unwrap(),
        family: Family::V6,
    };
    assert_eq!(error.to_string(), "action.actionParams_inLif.nextHopId: no next hop 3 for IPv6");
}

#[test]
fn a_reset_of_sessions_that_are_off_the_plane_goes_in_steps_too() {
    let at_once = limits::SWEEP_REMOVALS as u64;
    let count = at_once + 10;
    let mut config = config();
    (config.max_sessions, config.max_closed) = (1 << 16, 1 << 16);
    let mut world = World::new(&config);
    // One tuple for all: every session but the last is superseded, and off the plane.
    for id in 0..count {
        world.add(&[spec(id, 1)]);
    }
    let reset = world.send(RequestBody::Reset);
    assert_eq!(world.reply(reset), None);
    assert_eq!(world.engine.statistics().sessions, 10, "as many as go at once are gone");
    world.advance(1);
    assert_eq!(world.reply(reset), Some(ReplyBody::Swept { closed: count }));
}

#[test]
fn what_is_being_installed_while_a_reset_goes_on_stays() {
    let many = u16::try_from(limits::SWEEP_REMOVALS).unwrap();
    let mut config = config();
    (config.max_sessions, config.max_closed) = (1 << 16, 1 << 16);
    let mut world = World::new(&config);
    world.add(&(0..many).map(|id| spec(id.into(), id)).collect::<Vec<_>>());
    world.now.0 += 1;
    world.hold = true;
    let reset = world.send(RequestBody::Reset);
    world.now.0 += 1;
    let add = world.send(RequestBody::Add { sessions: vec![spec(60_000, 60_000)], same_tuple: SameTuple::Supersede });
    // The reset comes by the new session before the plane has it.
    world.release_some(1);
    world.engine.handle(world.now, Input::Tick);
    world.release();
    assert_eq!(world.reply(add), Some(ReplyBody::Added { refused: vec![] }));
    assert_eq!(world.reply(reset), Some(ReplyBody::Swept { closed: many.into() }));
    assert_eq!(world.list(0, 0, 10).0, [60_000]);
}
