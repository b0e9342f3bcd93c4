use proptest::prelude::*;

use super::*;
use crate::profile::{AddErrors, AddStatus};

const HOST: Profile = Profile { ipv4_order: Ipv4Order::Host, ..Profile::SPEC };

/// 10.0.0.1:12345 > 10.1.0.3:80 TCP, forward, from LIF 1 to LIF 2.
fn good() -> v1::SessionRequest {
    v1::SessionRequest {
        session_id: 7,
        in_lif: 1,
        out_lif: 2,
        source_ip: 0x0100_000A,
        source_port: 12345,
        destination_ip: 0x0300_010A,
        destination_port: 80,
        protocol_id: 6,
        action: Some(v1::ActionParameters { action_type: 1, ..v1::ActionParameters::default() }),
        ..v1::SessionRequest::default()
    }
}

fn good_v6() -> v1::SessionRequest {
    v1::SessionRequest {
        ip_version: 1,
        source_ip_v6: "2001:db8::1".parse::<Ipv6Addr>().unwrap().octets().to_vec(),
        destination_ip_v6: "2001:db8::2".parse::<Ipv6Addr>().unwrap().octets().to_vec(),
        ..good()
    }
}

fn copies(action_type: i32, next_hop: u32, next_hop_v6: &[u8]) -> v1::SessionRequest {
    let action =
        v1::ActionParameters { action_type, action_next_hop: next_hop, action_next_hop_v6: next_hop_v6.to_vec() };
    v1::SessionRequest { action: Some(action), ..good() }
}

fn error(request: &v1::SessionRequest) -> String {
    session_spec(request, &Profile::SPEC).unwrap_err().to_string()
}

fn collector_of(request: &v1::SessionRequest) -> IpAddr {
    match session_spec(request, &Profile::SPEC).unwrap().action {
        Action::Mirror { collector } | Action::Snoop { collector } => collector,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_field_finds_its_place() {
    let spec = session_spec(&v1::SessionRequest { cache_timeout: 30, ..good() }, &Profile::SPEC).unwrap();
    assert_eq!(
        format!("{} {} {} {}", spec.id, spec.in_lif, spec.out_lif, spec.flow),
        "7 1 2 tcp 10.0.0.1:12345 > 10.1.0.3:80"
    );
    assert_eq!((spec.out_vlan.get(), spec.action, spec.timeout_seconds), (0, Action::Forward, 30));
}

#[test]
fn the_other_byte_order_is_another_address() {
    let spec = session_spec(&good(), &HOST).unwrap();
    assert_eq!(spec.flow.addresses.source(), IpAddr::from([1, 0, 0, 10]));
}

#[test]
fn ipv6_ignores_the_ipv4_fields_and_the_other_way_round() {
    let spec = session_spec(&good_v6(), &Profile::SPEC).unwrap();
    assert_eq!(spec.flow.to_string(), "tcp [2001:db8::1]:12345 > [2001:db8::2]:80");
    let spec = session_spec(&v1::SessionRequest { ip_version: 0, ..good_v6() }, &Profile::SPEC).unwrap();
    assert_eq!(spec.flow.to_string(), "tcp 10.0.0.1:12345 > 10.1.0.3:80");
}

#[test]
fn each_wrong_field_is_named_with_its_value() {
    let wrong = |request: v1::SessionRequest| error(&request);
    let address = vec![0x20, 1];
    assert_eq!(
        wrong(v1::SessionRequest { ip_version: 2, ..good() }),
        "ipVersion: 2, known are _IPV4 (0) and _IPV6 (1)"
    );
    assert_eq!(
        wrong(v1::SessionRequest { source_ip_v6: address.clone(), ..good_v6() }),
        "sourceIpV6: 2 bytes, an IPv6 address has 16"
    );
    assert_eq!(
        wrong(v1::SessionRequest { destination_ip_v6: vec![0; 17], ..good_v6() }),
        "destinationIpV6: 17 bytes, an IPv6 address has 16"
    );
    assert_eq!(
        wrong(v1::SessionRequest { source_ip_v6: vec![], ..good_v6() }),
        "sourceIpV6: 0 bytes, an IPv6 address has 16"
    );
    assert_eq!(
        wrong(v1::SessionRequest { destination_ip_v6: vec![0; 16], ..good_v6() }),
        "destinationIpV6: :: is no host's address"
    );
    assert_eq!(wrong(v1::SessionRequest { source_ip: 0, ..good() }), "sourceIp: 0.0.0.0 is no host's address");
    assert_eq!(
        wrong(v1::SessionRequest { destination_ip: 0, ..good() }),
        "destinationIp: 0.0.0.0 is no host's address"
    );
    assert_eq!(
        wrong(v1::SessionRequest { source_port: 65536, ..good() }),
        "sourcePort: 65536, the largest port is 65535"
    );
    assert_eq!(
        wrong(v1::SessionRequest { destination_port: u32::MAX, ..good() }),
        "destinationPort: 4294967295, the largest port is 65535"
    );
    assert_eq!(wrong(v1::SessionRequest { action: None, ..good() }), "action: missing");
    assert_eq!(
        wrong(copies(4, 0, &[])),
        "action.actionType: 4, known are _DROP (0), _FORWARD (1), _MIRROR (2) and _SNOOP (3)"
    );
}

#[test]
fn only_tcp_and_udp_pass() {
    for protocol in [0, 1, 5, 7, 16, 18, 58, 132, 255, 256 + 6, -250, i32::MAX, i32::MIN] {
        let request = v1::SessionRequest { protocol_id: protocol, ..good() };
        assert_eq!(error(&request), format!("protocolId: {protocol}, only _TCP (6) and _UDP (17) are offloaded"));
    }
    let udp = session_spec(&v1::SessionRequest { protocol_id: 17, ..good() }, &Profile::SPEC).unwrap();
    assert_eq!(udp.flow.transport, Transport::Udp);
}

#[test]
fn copies_go_to_the_ipv6_next_hop_where_there_is_one() {
    let v6 = "2001:db8::c0".parse::<Ipv6Addr>().unwrap();
    assert_eq!(collector_of(&copies(2, 0x0403_020A, &[])), IpAddr::from([10, 2, 3, 4]));
    assert_eq!(collector_of(&copies(3, 0, &v6.octets())), IpAddr::from(v6));
    assert_eq!(collector_of(&copies(3, 0x0403_020A, &v6.octets())), IpAddr::from(v6));
    assert_eq!(collector_of(&copies(2, 0x0403_020A, &[0; 16])), IpAddr::from([10, 2, 3, 4]));
}

#[test]
fn copies_without_a_next_hop_are_refused() {
    let missing = "action.actionNextHop: missing next hop: _MIRROR and _SNOOP need the address that copies go to";
    for action in [2, 3] {
        assert_eq!(error(&copies(action, 0, &[])), missing);
        assert_eq!(error(&copies(action, 0, &[0; 16])), missing);
        let short = error(&copies(action, 0x0403_020A, &[0x20, 1]));
        assert_eq!(short, "action.actionNextHopV6: 2 bytes, an IPv6 address has 16");
    }
}

#[test]
fn forward_and_drop_take_no_notice_of_a_next_hop() {
    for (number, action) in [(0, Action::Drop), (1, Action::Forward)] {
        let request = copies(number, 0x0403_020A, &[0x20, 1]);
        assert_eq!(session_spec(&request, &Profile::SPEC).unwrap().action, action);
    }
}

fn addresses() -> impl Strategy<Value = Addresses> {
    let v4 = || any::<u32>().prop_filter("an address", |address| *address != 0).prop_map(u32::to_be_bytes);
    let v6 = || any::<u128>().prop_filter("an address", |address| *address != 0).prop_map(u128::to_be_bytes);
    prop_oneof![
        (v4(), v4()).prop_map(|(source, destination)| Addresses::V4 { source, destination }),
        (v6(), v6()).prop_map(|(source, destination)| Addresses::V6 { source, destination }),
    ]
}

fn actions() -> impl Strategy<Value = Action> {
    let collector = || {
        prop_oneof![
            (1..=u32::MAX).prop_map(|bits| IpAddr::from(Ipv4Addr::from_bits(bits))),
            (1..=u128::MAX).prop_map(|bits| IpAddr::from(Ipv6Addr::from_bits(bits))),
        ]
    };
    prop_oneof![
        Just(Action::Drop),
        Just(Action::Forward),
        collector().prop_map(|collector| Action::Mirror { collector }),
        collector().prop_map(|collector| Action::Snoop { collector }),
    ]
}

prop_compose! {
    fn specs()(
        (id, timeout_seconds) in any::<(u64, u32)>(),
        (in_lif, out_lif) in (1..=u16::MAX, 1..=u16::MAX),
        vlans in prop_oneof![Just((0, 0)), (1..=4094_u16, 1..=4094_u16)],
        addresses in addresses(),
        (source_port, destination_port) in any::<(u16, u16)>(),
        transport in prop_oneof![Just(Transport::Tcp), Just(Transport::Udp)],
        action in actions(),
    ) -> SessionSpec {
        let vid = |vlan| opof_wire::Vid::new(vlan).unwrap();
        let lif = |id| opof_session::types::Lif::new(id).unwrap();
        SessionSpec {
            id: SessionId(id),
            in_lif: lif(in_lif),
            out_lif: lif(out_lif),
            flow: FlowKey { vlan: vid(vlans.0), addresses, source_port, destination_port, transport },
            out_vlan: vid(vlans.1),
            action,
            timeout_seconds,
        }
    }
}

prop_compose! {
    /// Mostly near what is right: numbers drawn at random alone would hardly get past the first field.
    fn messages()(
        (session_id, cache_timeout) in any::<(u64, u32)>(),
        (in_lif, out_lif) in (near_lif(), near_lif()),
        ip_version in -1..3_i32,
        (source_ip, destination_ip) in any::<(u32, u32)>(),
        (source_ip_v6, destination_ip_v6) in (near_ipv6(), near_ipv6()),
        (source_port, destination_port) in (0..70_000_u32, 0..70_000_u32),
        protocol_id in prop_oneof![Just(6), Just(17), any::<i32>()],
        action in proptest::option::weighted(0.9, (-1..5_i32, any::<u32>(), near_ipv6())),
    ) -> v1::SessionRequest {
        let action = action.map(|(action_type, action_next_hop, action_next_hop_v6)| {
            v1::ActionParameters { action_type, action_next_hop, action_next_hop_v6 }
        });
        v1::SessionRequest {
            session_id, in_lif, out_lif, ip_version, source_ip, source_ip_v6, source_port, destination_ip,
            destination_ip_v6, destination_port, protocol_id, action, cache_timeout,
        }
    }
}

fn near_lif() -> impl Strategy<Value = i32> {
    prop_oneof![0..4_i32, (0..4100_i32, 0..4_i32).prop_map(|(vlan, lif)| vlan << 16 | lif), any::<i32>()]
}

fn near_ipv6() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(vec![0; 16]),
        proptest::collection::vec(any::<u8>(), 16),
        proptest::collection::vec(any::<u8>(), 0..20)
    ]
}

fn profiles() -> impl Strategy<Value = Profile> {
    prop_oneof![Just(Profile::SPEC), Just(HOST)]
}

proptest! {
    #[test]
    fn a_session_survives_the_message(spec in specs(), profile in profiles()) {
        prop_assert_eq!(session_spec(&session_request(&spec, &profile), &profile), Ok(spec));
    }

    #[test]
    fn any_message_is_a_session_or_an_error(message in messages(), profile in profiles()) {
        match session_spec(&message, &profile) {
            Ok(spec) => {
                prop_assert_eq!(spec.flow.vlan.is_untagged(), spec.out_vlan.is_untagged());
                prop_assert_eq!(session_spec(&session_request(&spec, &profile), &profile), Ok(spec));
            }
            Err(error) => prop_assert!(error.to_string().starts_with(error.field)),
        }
    }

    #[test]
    fn the_outcome_of_a_stream_changes_nothing_here(message in messages()) {
        let other = Profile { add_errors: AddErrors::GrpcCode, add_status: AddStatus::Zero, ..Profile::SPEC };
        prop_assert_eq!(session_spec(&message, &other), session_spec(&message, &Profile::SPEC));
    }
}
