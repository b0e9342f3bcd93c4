//! Messages encoded by an independent implementation: each decodes to the fields it is said to have, encodes to the
//! same bytes, and means what its note says.

use std::fmt::Debug;

use opof_api::profile::{Ipv4Order, Profile};
use opof_api::{session_spec, v1};
use prost::Message;
use serde_json::Value;

mod json;

const VECTORS: &str = include_str!("vectors/openoffload_v1.jsonl");
const HOST: Profile = Profile { ipv4_order: Ipv4Order::Host, ..Profile::SPEC };

fn vectors() -> impl Iterator<Item = Value> {
    VECTORS.lines().map(|line| serde_json::from_str(line).expect("the file is JSON lines"))
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

fn request(name: &str) -> v1::SessionRequest {
    let vector = vectors().find(|vector| text(vector, "name") == name).expect(name);
    v1::SessionRequest::decode(bytes(&vector).as_slice()).expect(name)
}

fn round_trip<M: Message + Default + Debug + PartialEq>(vector: &Value, fields: impl Fn(&M) -> Value) {
    let (name, bytes) = (text(vector, "name"), bytes(vector));
    let message = M::decode(bytes.as_slice()).expect(name);
    assert_eq!(fields(&message), vector["json"], "{name}");
    assert_eq!(message.encode_to_vec(), bytes, "{name}");
}

#[test]
fn every_vector_decodes_to_its_fields_and_encodes_to_its_bytes() {
    let mut seen = 0;
    for vector in vectors() {
        match text(&vector, "message") {
            "openoffload.v1.sessionRequest" => round_trip(&vector, json::session_request),
            "openoffload.v1.sessionId" => round_trip(&vector, |message| json::session_id(*message)),
            "openoffload.v1.sessionRequestArgs" => round_trip(&vector, json::session_request_args),
            "openoffload.v1.addSessionResponse" => round_trip(&vector, json::add_session_response),
            "openoffload.v1.sessionResponse" => round_trip(&vector, json::session_response),
            "openoffload.v1.sessionResponses" => round_trip(&vector, json::session_responses),
            other => panic!("no such message: {other}"),
        }
        seen += 1;
    }
    assert_eq!(seen, 14);
}

#[test]
fn one_session_in_both_byte_orders_has_one_flow_key() {
    let inet_pton = session_spec(&request("add_v4_tcp_forward_inet_pton"), &Profile::SPEC).expect("accepted");
    let host = session_spec(&request("add_v4_tcp_forward_host"), &HOST).expect("accepted");
    assert_eq!(inet_pton, host);
    assert_eq!(inet_pton.flow.to_string(), "tcp 10.0.0.1:12345 > 10.1.0.3:80");
    let misread = session_spec(&request("add_v4_tcp_forward_host"), &Profile::SPEC).expect("accepted");
    assert_eq!(misread.flow.to_string(), "tcp 1.0.0.10:12345 > 3.0.1.10:80");
}

#[test]
fn what_must_be_rejected_is_rejected_by_its_field() {
    let mut seen = 0;
    for vector in vectors().filter(|vector| text(vector, "note").contains("must be rejected")) {
        let name = text(&vector, "name");
        let error = session_spec(&request(name), &Profile::SPEC).expect_err(name).to_string();
        let expected = match name {
            "add_extremes" => "inLif: VLAN 65535, the largest is 4094",
            "add_v6_short_address" => "sourceIpV6: 2 bytes, an IPv6 address has 16",
            other => panic!("what is wrong with {other}?"),
        };
        assert_eq!(error, expected);
        seen += 1;
    }
    assert_eq!(seen, 2);
}

#[test]
fn what_need_not_be_rejected_is_accepted_and_means_what_it_says() {
    let meaning = |name| {
        let spec = session_spec(&request(name), &Profile::SPEC).expect(name);
        format!("{} {:?} {}", spec.flow, spec.action, spec.timeout_seconds)
    };
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
