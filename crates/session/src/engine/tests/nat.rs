//! NAT: what the keys are, what the plane is told, and which sessions can't be told apart.

use opof_wire::{Endpoint, Vid};

use super::plane::{World, config, next_hop, spec};
use crate::l3::{Link, Links, Nat, Tunnel};
use crate::plane::{FastAction, PacketChange};
use crate::request::{AddError, ReplyBody, RequestBody, SameTuple};
use crate::types::{Action, Direction, SessionId, SessionSpec};

fn nat(address: [u8; 4], port: u16) -> Nat {
    Nat { address: address.into(), port: port.try_into().ok() }
}

fn endpoint(address: [u8; 4], port: Option<u16>) -> Endpoint {
    Endpoint { address: address.into(), port }
}

/// 10.0.0.1:`port` to 10.1.0.3:53, seen outside as from 192.0.2.1:`outside`.
pub(super) fn behind(id: u64, port: u16, outside: u16) -> SessionSpec {
    let towards_out = Link { snat: Some(nat([192, 0, 2, 1], outside)), ..Link::default() };
    linked(spec(id, port), Link::default(), towards_out)
}

fn linked(mut spec: SessionSpec, towards_in: Link, towards_out: Link) -> SessionSpec {
    spec.action = Action::Route(Box::new(Links { towards_in, towards_out }));
    spec
}

impl World {
    fn installed(&self) -> [PacketChange; 2] {
        self.rules.unwrap().map(|rule| match rule.action {
            FastAction::Forward { change, .. } => change,
            FastAction::Drop => panic!("{rule:?}"),
        })
    }
}

#[test]
fn the_reply_matches_the_translated_tuple_and_is_translated_back() {
    let mut world = World::new(&config());
    let session = behind(1, 1000, 40_000);
    assert_eq!(world.add(std::slice::from_ref(&session)), []);
    assert_eq!(session.match_key(Direction::In).to_string(), "udp 10.0.0.1:1000 > 10.1.0.3:53 lif 1");
    assert_eq!(session.match_key(Direction::Out).to_string(), "udp 10.1.0.3:53 > 192.0.2.1:40000 lif 2");
    let [forth, back] = world.installed();
    assert_eq!(forth, PacketChange { source: Some(endpoint([192, 0, 2, 1], Some(40_000))), ..PacketChange::default() });
    assert_eq!(
        back,
        PacketChange { destination: Some(endpoint([10, 0, 0, 1], Some(1000))), ..PacketChange::default() }
    );
    assert!(world.packet(&session, Direction::Out, 60) && !world.packet(&spec(1, 1000), Direction::Out, 60));
    assert_eq!(world.delete(1).unwrap().counters.outward.packets, 1);
    assert!(world.table.is_empty());
}

#[test]
fn both_ends_can_be_translated_and_a_port_of_its_own_left_alone() {
    let mut world = World::new(&config());
    world.ask(RequestBody::L3(crate::request::L3Request::SetNextHop(next_hop(7))));
    let towards_out =
        Link { dnat: Some(nat([172, 16, 0, 9], 5353)), next_hop: Some(next_hop(7).id), ..Link::default() };
    let both = Link { snat: Some(nat([192, 0, 2, 1], 0)), ..towards_out };
    let session = linked(spec(1, 1000), Link::default(), both);
    assert_eq!(world.add(std::slice::from_ref(&session)), []);
    assert_eq!(session.match_key(Direction::Out).to_string(), "udp 172.16.0.9:5353 > 192.0.2.1:1000 lif 2");
    let [forth, back] = world.installed();
    let (source, destination) = (Some(endpoint([192, 0, 2, 1], None)), Some(endpoint([172, 16, 0, 9], Some(5353))));
    assert_eq!(forth, PacketChange { vlan: None, next_hop: Some(next_hop(7).id), source, destination });
    let (source, destination) = (Some(endpoint([10, 1, 0, 3], Some(53))), Some(endpoint([10, 0, 0, 1], None)));
    assert_eq!(back, PacketChange { source, destination, ..PacketChange::default() });
}

#[test]
fn the_way_back_may_be_told_but_not_otherwise() {
    let mut world = World::new(&config());
    let towards_out = Link { snat: Some(nat([192, 0, 2, 1], 40_000)), ..Link::default() };
    let back = |dnat, snat| linked(spec(1, 1000), Link { snat, dnat, ..Link::default() }, towards_out);
    let said = |refused: &[crate::request::Refused]| refused[0].error.to_string();
    let refused = world.add(&[back(Some(nat([10, 0, 0, 2], 0)), None)]);
    let (dnat, snat) = ("action.actionParams_inLif.dnat", "action.actionParams_inLif.snat");
    let only = "replies are translated back to the session's own tuple, here";
    assert_eq!(said(&refused), format!("{dnat}: {only} 10.0.0.1:1000, and to nothing else"));
    let refused = world.add(&[back(None, Some(nat([10, 1, 0, 3], 54)))]);
    assert_eq!(said(&refused), format!("{snat}: {only} 10.1.0.3:53, and to nothing else"));
    assert_eq!(world.add(&[back(Some(nat([10, 0, 0, 1], 1000)), Some(nat([10, 1, 0, 3], 0)))]), []);
    assert_eq!(world.installed()[1].destination, Some(endpoint([10, 0, 0, 1], Some(1000))));
}

#[test]
fn of_two_sessions_whose_translated_tuples_collide_the_second_is_refused() {
    for same_tuple in [SameTuple::Supersede, SameTuple::Reject] {
        let mut world = World::new(&config());
        world.add(&[behind(1, 1000, 40_000)]);
        // From another port inside, the same outside; and a session that comes from outside with that very tuple.
        let mut inverse = spec(3, 1);
        (inverse.in_lif, inverse.out_lif) = (inverse.out_lif, inverse.in_lif);
        inverse.flow = behind(1, 1000, 40_000).match_key(Direction::Out).flow;
        let sessions = vec![behind(2, 2000, 40_000), inverse, behind(4, 2000, 40_001)];
        let ReplyBody::Added { refused } = world.ask(RequestBody::Add { sessions, same_tuple }) else { panic!() };
        let errors: Vec<_> = refused.iter().map(|refused| (refused.id.0, refused.error)).collect();
        assert_eq!(errors, [2, 3].map(|id| (id, AddError::TranslatedTupleExists(SessionId(1)))));
        assert_eq!(world.list(0, 0, 10).0, [1, 4]);
        assert_eq!(world.engine.statistics().superseded, 0);
    }
}

#[test]
fn the_same_tuple_again_takes_its_place_whatever_its_translation_is() {
    let mut world = World::new(&config());
    world.add(&[behind(1, 1000, 40_000), behind(2, 2000, 40_002)]);
    assert_eq!(world.add(&[behind(3, 1000, 40_000)]), [], "the same translation");
    assert_eq!(world.add(&[behind(4, 1000, 40_001)]), [], "another one");
    assert!(world.packet(&behind(4, 1000, 40_001), Direction::Out, 60));
    assert!(!world.packet(&behind(3, 1000, 40_000), Direction::Out, 60));
    // Not when that belongs to a third one. Then nobody is superseded.
    let refused = world.add(&[behind(5, 1000, 40_002)]);
    assert_eq!(refused[0].error, AddError::TranslatedTupleExists(SessionId(2)));
    assert!(world.packet(&behind(4, 1000, 40_001), Direction::In, 60));
}

#[test]
fn inside_of_a_tunnel_the_key_stays_and_each_link_says_what_it_does() {
    let mut world = World::over(&config(), all());
    let towards_in = Link { snat: Some(nat([198, 51, 100, 1], 0)), ..Link::default() };
    let towards_out = Link { dnat: Some(nat([192, 0, 2, 1], 0)), vlan: Vid::new(7), ..Link::default() };
    let mut session = linked(spec(1, 1000), towards_in, towards_out);
    session.flow.tunnel = Tunnel::Gtpu;
    assert_eq!(world.add(std::slice::from_ref(&session)), []);
    assert_eq!(session.match_key(Direction::Out).flow, session.flow.reversed());
    let [forth, back] = world.installed();
    let destination = Some(endpoint([192, 0, 2, 1], None));
    assert_eq!(forth, PacketChange { destination, ..PacketChange::vlan(Vid::new(7)) });
    assert_eq!(back, PacketChange { source: Some(endpoint([198, 51, 100, 1], None)), ..PacketChange::default() });
}

#[test]
fn the_outermost_packet_of_a_tunnel_may_go_by_a_next_hop_of_either_family() {
    let mut world = World::over(&config(), all());
    let hop = crate::l3::NextHop { family: crate::l3::Family::V6, ..next_hop(7) };
    world.ask(RequestBody::L3(crate::request::L3Request::SetNextHop(hop)));
    let by_hop = Link { next_hop: Some(hop.id), ..Link::default() };
    let mut session = linked(spec(1, 1000), Link::default(), by_hop);
    assert_eq!(world.add(std::slice::from_ref(&session)).len(), 1, "not without a tunnel");
    session.flow.tunnel = Tunnel::Gtpu;
    assert_eq!(world.add(&[session]), []);
}

fn all() -> crate::plane::Capabilities {
    let forwarding = crate::plane::Capabilities::forwarding(8);
    crate::plane::Capabilities { vlan_rewrite: true, next_hops: true, nat: true, gtpu: true, ..forwarding }
}
