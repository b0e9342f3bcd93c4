use core::num::NonZeroU16;

use proptest::prelude::*;

use opof_session::l3::{Link, Links, Nat, NextHopId};

use super::*;
use crate::v1;

const HOST: Profile = Profile { ipv4_order: Ipv4Order::Host, ..Profile::SPEC };

/// 10.0.0.1:12345 > 10.1.0.3:80 TCP, forward, from LIF 1 to LIF 2.
fn good() -> SessionRequest {
    SessionRequest {
        session_id: 7,
        in_lif: 1,
        out_lif: 2,
        source_ip: 0x0100_000A,
        source_port: 12345,
        destination_ip: 0x0300_010A,
        destination_port: 80,
        protocol_id: 6,
        action: Some(ActionParameters { action_type: 1, ..ActionParameters::default() }),
        ..SessionRequest::default()
    }
}

fn good_v6() -> SessionRequest {
    SessionRequest {
        ip_version: 1,
        source_ip_v6: "2001:db8::1".parse::<Ipv6Addr>().unwrap().octets().to_vec(),
        destination_ip_v6: "2001:db8::2".parse::<Ipv6Addr>().unwrap().octets().to_vec(),
        ..good()
    }
}

fn copies(action_type: i32, next_hop: u32, next_hop_v6: &[u8]) -> SessionRequest {
    let action = ActionParameters {
        action_type,
        action_next_hop: next_hop,
        action_next_hop_v6: next_hop_v6.to_vec(),
        ..ActionParameters::default()
    };
    SessionRequest { action: Some(action), ..good() }
}

fn error(request: &SessionRequest) -> String {
    session_spec(request, Dialect::V1, &Profile::SPEC).unwrap_err().to_string()
}

fn collector_of(request: &SessionRequest) -> IpAddr {
    match session_spec(request, Dialect::V1, &Profile::SPEC).unwrap().action {
        Action::Mirror { collector } | Action::Snoop { collector } => collector,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_field_finds_its_place() {
    let spec = session_spec(&SessionRequest { cache_timeout: 30, ..good() }, Dialect::V1, &Profile::SPEC).unwrap();
    assert_eq!(
        format!("{} {} {} {}", spec.id, spec.in_lif, spec.out_lif, spec.flow),
        "7 1 2 tcp 10.0.0.1:12345 > 10.1.0.3:80"
    );
    assert_eq!((spec.out_vlan.get(), spec.action, spec.timeout_seconds), (0, Action::Forward, 30));
}

#[test]
fn the_other_byte_order_is_another_address() {
    let spec = session_spec(&good(), Dialect::V1, &HOST).unwrap();
    assert_eq!(spec.flow.addresses.source(), IpAddr::from([1, 0, 0, 10]));
}

#[test]
fn ipv6_ignores_the_ipv4_fields_and_the_other_way_round() {
    let spec = session_spec(&good_v6(), Dialect::V1, &Profile::SPEC).unwrap();
    assert_eq!(spec.flow.to_string(), "tcp [2001:db8::1]:12345 > [2001:db8::2]:80");
    let spec = session_spec(&SessionRequest { ip_version: 0, ..good_v6() }, Dialect::V1, &Profile::SPEC).unwrap();
    assert_eq!(spec.flow.to_string(), "tcp 10.0.0.1:12345 > 10.1.0.3:80");
}

#[test]
fn each_wrong_field_is_named_with_its_value() {
    let wrong = |request: SessionRequest| error(&request);
    let address = vec![0x20, 1];
    assert_eq!(wrong(SessionRequest { ip_version: 2, ..good() }), "ipVersion: 2, known are _IPV4 (0) and _IPV6 (1)");
    assert_eq!(
        wrong(SessionRequest { source_ip_v6: address.clone(), ..good_v6() }),
        "sourceIpV6: 2 bytes, an IPv6 address has 16"
    );
    assert_eq!(
        wrong(SessionRequest { destination_ip_v6: vec![0; 17], ..good_v6() }),
        "destinationIpV6: 17 bytes, an IPv6 address has 16"
    );
    assert_eq!(
        wrong(SessionRequest { source_ip_v6: vec![], ..good_v6() }),
        "sourceIpV6: 0 bytes, an IPv6 address has 16"
    );
    assert_eq!(
        wrong(SessionRequest { destination_ip_v6: vec![0; 16], ..good_v6() }),
        "destinationIpV6: :: is no host's address"
    );
    assert_eq!(wrong(SessionRequest { source_ip: 0, ..good() }), "sourceIp: 0.0.0.0 is no host's address");
    assert_eq!(wrong(SessionRequest { destination_ip: 0, ..good() }), "destinationIp: 0.0.0.0 is no host's address");
    assert_eq!(wrong(SessionRequest { source_port: 65536, ..good() }), "sourcePort: 65536, the largest port is 65535");
    assert_eq!(
        wrong(SessionRequest { destination_port: u32::MAX, ..good() }),
        "destinationPort: 4294967295, the largest port is 65535"
    );
    assert_eq!(wrong(SessionRequest { action: None, ..good() }), "action: missing");
    assert_eq!(
        wrong(copies(4, 0, &[])),
        "action.actionType: 4, known are _DROP (0), _FORWARD (1), _MIRROR (2) and _SNOOP (3)"
    );
}

#[test]
fn only_tcp_and_udp_pass() {
    for protocol in [0, 1, 5, 7, 16, 18, 58, 132, 255, 256 + 6, -250, i32::MAX, i32::MIN] {
        let request = SessionRequest { protocol_id: protocol, ..good() };
        assert_eq!(error(&request), format!("protocolId: {protocol}, only _TCP (6) and _UDP (17) are offloaded"));
    }
    let udp = session_spec(&SessionRequest { protocol_id: 17, ..good() }, Dialect::V1, &Profile::SPEC).unwrap();
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
        assert_eq!(session_spec(&request, Dialect::V1, &Profile::SPEC).unwrap().action, action);
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

fn nats(is_v4: bool) -> impl Strategy<Value = Option<Nat>> {
    let address = if is_v4 {
        (1..=u32::MAX).prop_map(|bits| IpAddr::from(Ipv4Addr::from_bits(bits))).boxed()
    } else {
        (1..=u128::MAX).prop_map(|bits| IpAddr::from(Ipv6Addr::from_bits(bits))).boxed()
    };
    proptest::option::of(
        (address, any::<u16>()).prop_map(|(address, port)| Nat { address, port: NonZeroU16::new(port) }),
    )
}

/// What can happen on a link; a VLAN only where `has_vlan`.
fn links(is_v4: bool, has_vlan: bool) -> impl Strategy<Value = Link> {
    let vlan = if has_vlan { 0..4095_u16 } else { 0..1 };
    (any::<Option<u32>>(), nats(is_v4), nats(is_v4), vlan).prop_map(|(next_hop, snat, dnat, vlan)| Link {
        next_hop: next_hop.and_then(NextHopId::new),
        snat,
        dnat,
        vlan: opof_wire::Vid::new(vlan).filter(|vlan| !vlan.is_untagged()),
    })
}

/// A session of v1beta1 whose links ask for something.
fn routed() -> impl Strategy<Value = SessionSpec> {
    specs().prop_flat_map(|spec| {
        let (is_v4, has_vlan) = (spec.family() == Family::V4, !spec.out_vlan.is_untagged());
        (Just(spec), links(is_v4, has_vlan), links(is_v4, has_vlan)).prop_map(
            |(spec, mut towards_in, mut towards_out)| {
                // To rewrite a tag to what it is means nothing, and is read as nothing.
                towards_in.vlan = towards_in.vlan.filter(|vlan| *vlan != spec.out_vlan);
                towards_out.vlan = towards_out.vlan.filter(|vlan| *vlan != spec.flow.vlan);
                towards_out.next_hop = towards_out.next_hop.or(NextHopId::new(1));
                SessionSpec { action: Action::Route(Box::new(Links { towards_in, towards_out })), ..spec }
            },
        )
    })
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
            flow: FlowKey { vlan: vid(vlans.0), tunnel: Tunnel::None, addresses, source_port, destination_port, transport },
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
        action in proptest::option::weighted(0.9, (-1..5_i32, any::<u32>(), near_ipv6(), near_link(), near_link())),
        (encap_type, vlan_in_lif, vlan_out_lif) in (-1..3_i32, near_vlan(), near_vlan()),
    ) -> SessionRequest {
        let action = action.map(|(action_type, action_next_hop, action_next_hop_v6, towards_in, towards_out)| {
            ActionParameters {
                action_type,
                action_next_hop,
                action_next_hop_v6,
                action_params_in_lif: towards_in,
                action_params_out_lif: towards_out,
            }
        });
        SessionRequest {
            session_id, in_lif, out_lif, ip_version, source_ip, source_ip_v6, source_port, destination_ip,
            destination_ip_v6, destination_port, protocol_id, action, cache_timeout, encap_type, vlan_in_lif, vlan_out_lif,
        }
    }
}

fn near_lif() -> impl Strategy<Value = i32> {
    prop_oneof![0..4_i32, (0..4100_i32, 0..4_i32).prop_map(|(vlan, lif)| vlan << 16 | lif), any::<i32>()]
}

fn near_vlan() -> impl Strategy<Value = u32> {
    prop_oneof![3 => Just(0), 3 => Just(100), 1 => 0..4100_u32, 1 => any::<u32>()]
}

fn near_nat() -> impl Strategy<Value = Option<v1::Nat>> {
    let nat = (any::<u32>(), near_ipv6(), 0..70_000_u32, -1..3_i32, prop_oneof![Just(0), Just(6), any::<i32>()]);
    proptest::option::weighted(
        0.3,
        nat.prop_map(|(ipv4, ipv6, port, ip_version, protocol_id)| v1::Nat {
            ipv4,
            ipv6,
            port,
            ip_version,
            protocol_id,
        }),
    )
}

fn near_link() -> impl Strategy<Value = Option<v1::PerLinkActionParameters>> {
    let link = (0..3_u32, near_nat(), near_nat(), near_vlan());
    proptest::option::of(link.prop_map(|(next_hop_id, snat, dnat, vlan)| v1::PerLinkActionParameters {
        next_hop_id,
        snat,
        dnat,
        vlan,
    }))
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

fn dialects() -> impl Strategy<Value = Dialect> {
    proptest::sample::select(&Dialect::ALL[..])
}

proptest! {
    #[test]
    fn a_session_survives_the_message(spec in specs(), dialect in dialects(), profile in profiles()) {
        let message = session_request(&spec, dialect, &profile).unwrap();
        prop_assert_eq!(session_spec(&message, dialect, &profile), Ok(spec));
    }

    #[test]
    fn a_routed_session_survives_v1beta1_and_is_refused_by_the_others(spec in routed(), profile in profiles()) {
        let message = session_request(&spec, Dialect::V1Beta1, &profile).unwrap();
        prop_assert_eq!(session_spec(&message, Dialect::V1Beta1, &profile), Ok(spec.clone()));
        for dialect in [Dialect::V1, Dialect::V1_1, Dialect::V2] {
            prop_assert_eq!(session_request(&spec, dialect, &profile).unwrap_err().instead, "v1beta1");
        }
    }

    #[test]
    fn any_message_is_a_session_or_an_error(message in messages(), dialect in dialects(), profile in profiles()) {
        match session_spec(&message, dialect, &profile) {
            Ok(spec) => {
                prop_assert_eq!(spec.flow.vlan.is_untagged(), spec.out_vlan.is_untagged());
                let again = session_request(&spec, dialect, &profile).unwrap();
                prop_assert_eq!(session_spec(&again, dialect, &profile), Ok(spec));
            }
            Err(error) => prop_assert!(error.to_string().starts_with(&*dialect.field(error.field))),
        }
    }

    #[test]
    fn only_the_order_of_the_octets_matters_here(message in messages(), dialect in dialects()) {
        let other = Profile { ipv4_order: Ipv4Order::InetPton, ..Profile::BLUEFIELD };
        prop_assert_eq!(session_spec(&message, dialect, &other), session_spec(&message, dialect, &Profile::SPEC));
    }
}

#[test]
fn gtpu_is_read_where_the_dialect_has_it() {
    let request = SessionRequest { encap_type: 1, ..good() };
    let tunnel = |dialect| session_spec(&request, dialect, &Profile::SPEC).unwrap().flow.tunnel;
    assert_eq!(Dialect::ALL.map(tunnel), [Tunnel::None, Tunnel::Gtpu, Tunnel::Gtpu, Tunnel::None]);
    let spec = session_spec(&request, Dialect::V1_1, &Profile::SPEC).unwrap();
    let error = session_request(&spec, Dialect::V2, &Profile::SPEC).unwrap_err();
    assert_eq!(error.to_string(), "session 7: v2 has no words for GTP-U; use v1.1 or v1beta1");
    let unknown = SessionRequest { encap_type: 2, ..good() };
    let error = session_spec(&unknown, Dialect::V1_1, &Profile::SPEC).unwrap_err();
    assert_eq!(error.to_string(), "parentTunnelType: 2, known are none (0) and GTP-U (1)");
}

/// `good()` with this on the link towards outLif, tagged with 100 and 200 where `tagged`.
fn with_link(link: v1::PerLinkActionParameters, tagged: bool) -> SessionRequest {
    let action = ActionParameters { action_type: 1, action_params_out_lif: Some(link), ..Default::default() };
    let (vlan_in_lif, vlan_out_lif) = if tagged { (100, 200) } else { (0, 0) };
    SessionRequest { action: Some(action), vlan_in_lif, vlan_out_lif, ..good() }
}

#[test]
fn each_wrong_field_of_a_link_is_named() {
    let said = |link| session_spec(&with_link(link, false), Dialect::V1Beta1, &Profile::SPEC).unwrap_err().to_string();
    let nat = |nat| said(v1::PerLinkActionParameters { snat: Some(nat), ..Default::default() });
    let good = v1::Nat { ipv4: 1, port: 5, ..Default::default() };
    let field = "action.actionParams_outLif";
    assert_eq!(nat(v1::Nat { ipv4: 0, ..good.clone() }), format!("{field}.snat: 0.0.0.0 is no host's address"));
    assert_eq!(nat(v1::Nat { port: 65536, ..good.clone() }), format!("{field}.snat: 65536, the largest port is 65535"));
    assert_eq!(
        nat(v1::Nat { protocol_id: 17, ..good.clone() }),
        format!("{field}.snat: protocolId 17 is not the session's")
    );
    let family = "not of the session's IP version; addresses are not translated from one to the other";
    assert_eq!(nat(v1::Nat { ip_version: 1, ..good }), format!("{field}.snat: {family}"));
    // Through a tunnel the outermost packet is translated: of either family, and UDP.
    let outer = v1::Nat { ip_version: 1, ipv6: vec![0x20; 16], protocol_id: 17, ..Default::default() };
    let link = v1::PerLinkActionParameters { snat: Some(outer), ..Default::default() };
    let tunnelled = SessionRequest { encap_type: 1, ..with_link(link, false) };
    let spec = session_spec(&tunnelled, Dialect::V1Beta1, &Profile::SPEC).unwrap();
    assert_eq!(
        session_spec(
            &session_request(&spec, Dialect::V1Beta1, &Profile::SPEC).unwrap(),
            Dialect::V1Beta1,
            &Profile::SPEC
        ),
        Ok(spec)
    );
    let pushed = said(v1::PerLinkActionParameters { vlan: 5, ..Default::default() });
    assert_eq!(pushed, format!("{field}.vlan: VLAN 5 for untagged packets: a tag can be rewritten, not pushed"));
}

#[test]
fn a_rewrite_that_the_vlans_imply_is_a_plain_forward() {
    let action = |towards_in, towards_out| {
        let mut request = with_link(v1::PerLinkActionParameters { vlan: towards_out, ..Default::default() }, true);
        let towards_in = v1::PerLinkActionParameters { vlan: towards_in, ..Default::default() };
        request.action.as_mut().unwrap().action_params_in_lif = Some(towards_in);
        session_spec(&request, Dialect::V1Beta1, &Profile::SPEC).unwrap().action
    };
    assert_eq!(action(100, 200), Action::Forward);
    let Action::Route(links) = action(0, 0) else { panic!("matched on both sides, rewritten on neither") };
    assert_eq!(*links, Links::default());
    let Action::Route(links) = action(200, 300) else { panic!("one side is not rewritten, the other to a third tag") };
    assert_eq!((links.towards_in.vlan, links.towards_out.vlan.map(opof_wire::Vid::get)), (None, Some(300)));
}
