//! Messages encoded by an independent implementation: each decodes to the fields it is said to have, encodes to the
//! same bytes, and means what its note says.

use std::fmt::Debug;

use opof_api::profile::{Ipv4Order, Profile};
use opof_api::{DESCRIPTORS, Dialect, session_spec, v1_1, v1beta1};
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};
use serde_json::Value;

const VECTORS: [(Dialect, &str, usize); 4] = [
    (Dialect::V1, include_str!("vectors/openoffload_v1.jsonl"), 14),
    (Dialect::V1_1, include_str!("vectors/openoffload_v1_1.jsonl"), 17),
    (Dialect::V1Beta1, include_str!("vectors/openoffload_v1beta1.jsonl"), 7),
    (Dialect::V2, include_str!("vectors/openoffload_v2.jsonl"), 5),
];
const HOST: Profile = Profile { ipv4_order: Ipv4Order::Host, ..Profile::SPEC };

fn vectors() -> impl Iterator<Item = (Dialect, Value)> {
    let parse = |line| serde_json::from_str(line).expect("the file is JSON lines");
    VECTORS.into_iter().flat_map(move |(dialect, text, _)| text.lines().map(move |line| (dialect, parse(line))))
}

fn text<'a>(vector: &'a Value, key: &str) -> &'a str {
    vector[key].as_str().expect(key)
}

fn bytes(vector: &Value) -> Vec<u8> {
    let hex = text(vector, "hex").as_bytes();
    assert_eq!(hex.len() % 2, 0);
    let number = |two| u8::from_str_radix(str::from_utf8(two).expect("ASCII"), 16).expect("two hex digits");
    hex.chunks(2).map(number).collect()
}

fn request(dialect: Dialect, name: &str) -> v1beta1::SessionRequest {
    let (_, vector) = vectors().find(|(other, vector)| *other == dialect && text(vector, "name") == name).expect(name);
    v1beta1::SessionRequest::decode(bytes(&vector).as_slice()).expect(name)
}

fn pool() -> DescriptorPool {
    DescriptorPool::decode(DESCRIPTORS).expect("our own .proto files")
}

#[test]
fn every_vector_has_the_fields_it_is_said_to_have() {
    let (pool, options) = (pool(), SerializeOptions::new().use_proto_field_name(true));
    for (_, vector) in vectors() {
        let (name, message) = (text(&vector, "name"), text(&vector, "message"));
        let descriptor = pool.get_message_by_name(message).expect(message);
        let decoded = DynamicMessage::decode(descriptor, bytes(&vector).as_slice()).expect(name);
        assert_eq!(decoded.unknown_fields().count(), 0, "{message} {name}");
        let json = decoded.serialize_with_options(serde_json::value::Serializer, &options).expect(name);
        assert_eq!(json, vector["json"], "{message} {name}");
    }
}

fn round_trip<M: Message + Default + Debug>(vector: &Value) {
    let (name, bytes) = (text(vector, "name"), bytes(vector));
    let message = M::decode(bytes.as_slice()).expect(name);
    assert_eq!(message.encode_to_vec(), bytes, "{name}");
}

#[test]
fn every_vector_encodes_to_its_bytes() {
    for (dialect, _, expected) in VECTORS {
        let mut seen = 0;
        for (_, vector) in vectors().filter(|(other, _)| *other == dialect) {
            let message = text(&vector, "message").rsplit('.').next().expect("a name");
            // v2 writes the same names with a capital.
            match message[..1].to_lowercase() + &message[1..] {
                name if name == "sessionRequest" => round_trip::<v1beta1::SessionRequest>(&vector),
                name if name == "sessionId" => round_trip::<v1beta1::SessionId>(&vector),
                name if name == "sessionRequestArgs" => round_trip::<v1beta1::SessionRequestArgs>(&vector),
                name if name == "addSessionResponse" => round_trip::<v1beta1::AddSessionResponse>(&vector),
                name if name == "sessionResponse" => round_trip::<v1beta1::SessionResponse>(&vector),
                name if name == "sessionResponses" => round_trip::<v1beta1::SessionResponses>(&vector),
                name if name == "shutdownRequest" => round_trip::<v1_1::ShutdownRequest>(&vector),
                name if name == "shutdownResponse" => round_trip::<v1_1::ShutdownResponse>(&vector),
                name if name == "nextHopParameters" => round_trip::<v1beta1::NextHopParameters>(&vector),
                name if name == "nextHopResponse" => round_trip::<v1beta1::NextHopResponse>(&vector),
                name if name == "vlanFlowDef" => round_trip::<v1beta1::VlanFlowDef>(&vector),
                name if name == "vlanFlowList" => round_trip::<v1beta1::VlanFlowList>(&vector),
                name if name == "versionResponse" => round_trip::<v1beta1::VersionResponse>(&vector),
                other => panic!("no such message: {other}"),
            }
            seen += 1;
        }
        assert_eq!(seen, expected, "{dialect}");
    }
}

/// A field's number and what is on the wire for it; names of types go without case and underscores.
fn shape(message: &prost_reflect::MessageDescriptor) -> Vec<(u32, String)> {
    let plain = |name: &str| name.to_lowercase().replace('_', "");
    let kind = |field: prost_reflect::FieldDescriptor| {
        let kind = match field.kind() {
            prost_reflect::Kind::Message(message) => plain(message.name()),
            prost_reflect::Kind::Enum(values) => {
                let values: Vec<_> = values.values().map(|value| value.number().to_string()).collect();
                format!("enum {}", values.join(" "))
            }
            other => format!("{other:?}"),
        };
        (field.number(), format!("{:?} {kind}", field.cardinality()))
    };
    message.fields().map(kind).collect()
}

#[test]
fn v1beta1_is_the_union_of_all_dialects() {
    let pool = pool();
    let mut compared = 0;
    for dialect in ["v1", "v1_1", "v2"] {
        let package = format!("openoffload.{dialect}");
        for message in pool.all_messages().filter(|message| message.package_name() == package) {
            let name = message.name()[..1].to_lowercase() + &message.name()[1..];
            let Some(union) = pool.get_message_by_name(&format!("openoffload.v1beta1.{name}")) else {
                assert!(["shutdownRequest", "shutdownResponse", "uuid"].contains(&name.as_str()), "{name}");
                continue;
            };
            let union = shape(&union);
            for field in shape(&message) {
                assert!(union.contains(&field), "{package}.{name} has {field:?}, v1beta1 has {union:?}");
            }
            compared += 1;
        }
    }
    assert_eq!(compared, 3 * 8, "the messages that all dialects have");
}

#[test]
fn one_session_in_both_byte_orders_has_one_flow_key() {
    for dialect in [Dialect::V1, Dialect::V1_1] {
        let read = |name, profile| session_spec(&request(dialect, name), dialect, profile).expect("accepted");
        let inet_pton = read("add_v4_tcp_forward_inet_pton", &Profile::SPEC);
        assert_eq!(inet_pton, read("add_v4_tcp_forward_host", &HOST));
        assert_eq!(inet_pton.flow.to_string(), "tcp 10.0.0.1:12345 > 10.1.0.3:80");
        let misread = read("add_v4_tcp_forward_host", &Profile::SPEC);
        assert_eq!(misread.flow.to_string(), "tcp 1.0.0.10:12345 > 3.0.1.10:80");
    }
}

#[test]
fn what_must_be_rejected_is_rejected_by_its_field() {
    let mut seen = 0;
    for (dialect, vector) in vectors().filter(|(_, vector)| text(vector, "note").contains("must be rejected")) {
        let name = text(&vector, "name");
        let error = session_spec(&request(dialect, name), dialect, &Profile::SPEC).expect_err(name).to_string();
        let expected = match name {
            "add_extremes" => "inLif: VLAN 65535, the largest is 4094",
            "add_v6_short_address" => "sourceIpV6: 2 bytes, an IPv6 address has 16",
            other => panic!("what is wrong with {other}?"),
        };
        assert_eq!(error, expected);
        seen += 1;
    }
    assert_eq!(seen, 4);
}

fn meaning(dialect: Dialect, profile: &Profile, name: &str) -> String {
    let spec = session_spec(&request(dialect, name), dialect, profile).expect(name);
    format!("{} {:?} {}", spec.flow, spec.action, spec.timeout_seconds)
}

#[test]
fn what_need_not_be_rejected_is_accepted_and_means_what_it_says() {
    for dialect in [Dialect::V1, Dialect::V1_1] {
        let meaning = |name| meaning(dialect, &Profile::SPEC, name);
        assert_eq!(
            meaning("add_v6_tcp_forward"),
            "tcp [2001:db8:85a3::8a2e:370:7332]:4430 > [2001:db8:85a3::8a03:370:234f]:80 Forward 0"
        );
        assert_eq!(meaning("add_v4_udp_drop_vlan100"), "udp 192.0.2.1:5000 > 198.51.100.9:53 vlan 100 Drop 30");
        assert_eq!(meaning("add_v4_udp_mirror"), "udp 10.0.0.1:12345 > 10.1.0.4:80 Mirror { collector: 12.2.3.4 } 0");
        assert_eq!(
            meaning("add_v6_udp_snoop_max"),
            "udp [2001:db8::1]:1 > [2001:db8::2]:65535 Snoop { collector: 2001:db8::c0 } 4294967295"
        );
    }
    assert_eq!(
        meaning(Dialect::V1_1, &Profile::SPEC, "add_gtpu_inner"),
        "udp 10.0.0.1:1 > 10.1.0.4:2 in gtp-u Forward 0"
    );
    let v2 = meaning(Dialect::V2, &Profile::SPEC, "add_v4_tcp_forward_inet_pton");
    assert_eq!(v2, "tcp 10.0.0.1:12345 > 10.1.0.3:80 Forward 0");
}

#[test]
fn the_l3_dialect_means_what_it_says() {
    let meaning = |name| meaning(Dialect::V1Beta1, &HOST, name);
    let l3 = meaning("add_l3_snat_vlan_rewrite");
    assert!(l3.starts_with("tcp 10.0.0.1:40000 > 203.0.113.7:443 vlan 100 Route"), "{l3}");
    for part in [
        "towards_in: Link { next_hop: Some(NextHopId(11)), snat: None, dnat: None, vlan: Some(Vid(100)) }",
        "towards_out: Link { next_hop: Some(NextHopId(12)), snat: Some(Nat { address: 198.51.100.20, port: Some(61000) })",
        "dnat: None, vlan: Some(Vid(200)) }",
    ] {
        assert!(l3.contains(part), "{part} is not in {l3}");
    }
    let gtpu = meaning("add_v6_gtpu_dnat");
    assert!(gtpu.starts_with("udp [2001:db8::1]:40000 > [2001:db8:ffff::7]:443 in gtp-u Route"), "{gtpu}");
    assert!(gtpu.contains("dnat: Some(Nat { address: 2001:db8:1::7, port: Some(8443) })"), "{gtpu}");
}
