//! `classify` on the fixtures that all planes share, and on frames whose key is known because they were built from it.

use std::net::{Ipv4Addr, Ipv6Addr};

use opof_testkit::frames::{RandomFrames, fixtures};
use opof_testkit::packet::Packet;
use opof_wire::edit::rewrite_outer_vid;
use opof_wire::ethernet::MacAddress;
use opof_wire::tcp::Flags;
use opof_wire::{Addresses, Edit, Endpoint, FlowKey, Macs, Transport, Tunnel, Vid, classify, gtpu, vlan};
use proptest::prelude::*;

#[test]
fn every_fixture_gets_its_verdict() {
    for fixture in fixtures() {
        assert_eq!(classify(&fixture.frame), fixture.expect, "{}: {}", fixture.name, fixture.description);
    }
}

/// Every prefix of every random frame has the frame's own key or none.
#[test]
fn a_cut_frame_never_gets_another_key() {
    for frame in RandomFrames::new(1).take(2_000) {
        let whole = classify(&frame);
        for cut in 0..frame.len() {
            if let Ok(key) = classify(&frame[..cut]) {
                assert_eq!(Ok(key), whole, "cut at {cut}: {frame:02x?}");
            }
        }
    }
}

fn addresses() -> impl Strategy<Value = Addresses> {
    let v4 = any::<(Ipv4Addr, Ipv4Addr)>()
        .prop_map(|(from, to)| Addresses::V4 { source: from.octets(), destination: to.octets() });
    let v6 = any::<(Ipv6Addr, Ipv6Addr)>()
        .prop_map(|(from, to)| Addresses::V6 { source: from.octets(), destination: to.octets() });
    prop_oneof![v4, v6]
}

/// Any key that a frame can have: without a tunnel, none is UDP to the port of GTP-U, there or on the way back.
fn key() -> impl Strategy<Value = FlowKey> {
    let vlan = (0..=Vid::MAX.get()).prop_map(|vid| Vid::new(vid).expect("in range"));
    let transport = prop_oneof![Just(Transport::Tcp), Just(Transport::Udp)];
    let tunnel = prop_oneof![Just(Tunnel::None), Just(Tunnel::Gtpu)];
    let key = (vlan, tunnel, addresses(), any::<(u16, u16)>(), transport);
    let key = key.prop_map(|(vlan, tunnel, addresses, (source_port, destination_port), transport)| FlowKey {
        vlan,
        tunnel,
        addresses,
        source_port,
        destination_port,
        transport,
    });
    key.prop_filter("GTP-U is no plain key", |key| {
        let outer_udp = key.tunnel == Tunnel::None && key.transport == Transport::Udp;
        !outer_udp || ![key.source_port, key.destination_port].contains(&gtpu::PORT)
    })
}

proptest! {
    #[test]
    fn a_built_frame_has_the_key_it_was_built_from(
        key in key(),
        inner in prop::option::of((prop_oneof![Just(vlan::TPID_CUSTOMER), Just(vlan::TPID_SERVICE)], 0..4095_u16)),
        flags in any::<u8>(),
        option_words in 0..=10_usize,
        payload in prop::collection::vec(any::<u8>(), 0..200),
        pad in 0..300_usize,
    ) {
        let mut packet = Packet::with_key(&key).payload(&payload).pad_to(pad);
        if let Some((tpid, vid)) = inner.filter(|_| !key.vlan.is_untagged()) {
            packet = packet.tag(tpid, 3, true, vid);
        }
        if key.transport == Transport::Tcp {
            packet = packet.flags(Flags(flags & !Flags::CONTROL.0)).tcp_options(&vec![1; option_words * 4]);
        }
        prop_assert_eq!(classify(&packet.build()), Ok(key));
    }

    #[test]
    fn the_answer_has_the_reversed_key(key in key()) {
        prop_assert_eq!(classify(&Packet::with_key(&key.reversed()).build()), Ok(key.reversed()));
        prop_assert_eq!(key.reversed().reversed(), key);
    }

    #[test]
    fn a_rewritten_vid_is_the_only_change_of_the_key(key in key(), to in 1..4095_u16, priority in 0..8_u8) {
        let to = Vid::new(to).expect("in range");
        let untagged = FlowKey { vlan: Vid::UNTAGGED, ..key };
        let packet = Packet::with_key(&untagged).tag(vlan::TPID_SERVICE, priority, true, key.vlan.get());
        let mut frame = packet.build();
        rewrite_outer_vid(&mut frame, to);
        prop_assert_eq!(classify(&frame), Ok(FlowKey { vlan: to, ..key }));
        let tag = vlan::Repr::parse(&frame[14..]).expect("the frame is tagged");
        prop_assert_eq!((tag.priority, tag.drop_eligible), (priority, true));
    }

    /// The incremental checksums are those that a frame built from the new values has.
    #[test]
    fn an_edited_frame_is_the_one_built_from_what_it_was_edited_to(
        key in key(), to in key(), macs: ([u8; 6], [u8; 6]), hops in 2..=255_u8,
        payload in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        let same_family = core::mem::discriminant(&key.addresses) == core::mem::discriminant(&to.addresses);
        prop_assume!(same_family && key.vlan.is_untagged() == to.vlan.is_untagged());
        let (tunnel, transport) = (Tunnel::None, key.transport);
        let (key, to) = (FlowKey { tunnel, ..key }, FlowKey { tunnel, transport, ..to });
        prop_assume!(classify(&Packet::with_key(&key).build()).is_ok(), "not the port of GTP-U");
        let mut frame = Packet::with_key(&key).payload(&payload).hops(hops).build();
        Edit {
            vlan: (!to.vlan.is_untagged()).then_some(to.vlan),
            macs: Some(Macs { source: MacAddress(macs.0), destination: MacAddress(macs.1) }),
            source: Some(Endpoint { address: to.addresses.source(), port: Some(to.source_port) }),
            destination: Some(Endpoint { address: to.addresses.destination(), port: Some(to.destination_port) }),
        }
        .apply(&mut frame);
        let expect = Packet::with_key(&to).mac(macs.0, macs.1).payload(&payload).hops(hops - 1).build();
        prop_assert_eq!(frame, expect);
    }
}
