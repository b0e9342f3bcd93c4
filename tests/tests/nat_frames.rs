//! NAT frame by frame: each direction of a session, what has no checksum, and translations that would meet.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::IpAddr;
use std::time::Duration;

use opof_client::Dialect;
use opof_session::l3::{Family, Link, Links};
use opof_session::types::{DirectionCounters, SessionSpec};
use opof_testkit::netns::{Capture, FirewallMode, FlowTuple, RawSocket};
use opof_testkit::packet::{Layer, Packet};
use opof_tests::routed::{FAMILIES, flow, key, nat, routed};
use opof_tests::{Bench, Counted, tshark};
use opof_wire::{FlowKey, udp};

const BOUND: Duration = Duration::from_secs(5);
/// "There is none" in tshark's checksum status.
const NOT_PRESENT: &str = "3";
const CLIENT_PORT: u16 = 40_000;
const SERVER_PORT: u16 = 443;

/// Both ends translated, with other ports.
struct Translated {
    near: FlowKey,
    far: FlowKey,
    session: SessionSpec,
}

fn translated(id: u64, family: Family, tcp: bool) -> Translated {
    let near = flow(family, tcp, CLIENT_PORT, SERVER_PORT);
    let (client, server): (IpAddr, IpAddr) = match family {
        Family::V4 => ([203, 0, 113, 7].into(), [198, 51, 100, 9].into()),
        Family::V6 => ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 7].into(), [0x2001, 0xdb8, 0xffff, 0xff00, 1, 0, 0xff, 9].into()),
    };
    let far = FlowTuple { client, client_port: 61_000, server, server_port: 8_443, ..near };
    let (snat, dnat) = (Some(nat(client, Some(far.client_port))), Some(nat(server, Some(far.server_port))));
    let links = Links { towards_out: Link { snat, dnat, ..Link::default() }, ..Links::default() };
    Translated { near: key(&near), far: key(&far), session: routed(id, key(&near), links) }
}

/// Sends a frame and decodes what comes of it: addresses, ports, the TTL and the checksums.
fn decoded(socket: &RawSocket, capture: &Capture, frame: &[u8], key: &FlowKey) -> Vec<String> {
    socket.send(frame).unwrap();
    let came = capture.next(BOUND).unwrap_or_else(|error| panic!("{key}: {error}"));
    let (ip, ttl) = if key.addresses.source().is_ipv4() { ("ip", "ttl") } else { ("ipv6", "hlim") };
    let of = |layer: &str, field: &str| format!("{layer}.{field}");
    let transport = key.transport.to_string();
    let fields = [
        of(ip, "src"),
        of(ip, "dst"),
        of(&transport, "srcport"),
        of(&transport, "dstport"),
        of(ip, ttl),
        of("ip", "checksum.status"),
        of(&transport, "checksum.status"),
        of(&transport, "checksum"),
    ];
    tshark::decode(&[came], &fields.each_ref().map(String::as_str)).unwrap().remove(0)
}

/// What a frame with this key is, as far as its checksum.
fn expected(key: &FlowKey) -> Vec<String> {
    let (from, to) = (key.addresses.source(), key.addresses.destination());
    let header = if from.is_ipv4() { tshark::GOOD } else { "" };
    let mut words = vec![from.to_string(), to.to_string()];
    words.extend([key.source_port, key.destination_port].map(|port| port.to_string()));
    // Without a next hop nothing is routed, and no TTL less.
    words.extend(["64", header].map(str::to_owned));
    words
}

#[test]
fn both_ends_are_translated_and_translated_back() {
    let bench = Bench::new(FirewallMode::Silent).unwrap();
    let (client, server) = (Capture::start(&bench.client.port).unwrap(), Capture::start(&bench.server.port).unwrap());
    let (forth, back) = (bench.client_socket().unwrap(), bench.server_socket().unwrap());
    let kinds = FAMILIES.into_iter().flat_map(|family| [(family, true), (family, false)]);
    for (id, (family, tcp)) in (1..).zip(kinds) {
        let Translated { near, far, session } = translated(id, family, tcp);
        bench.opofd.add_in(Dialect::V1Beta1, session).unwrap();
        // Of both parities, and long enough to be filled to the last.
        let payloads = [&b""[..], b"odd", b"even", &[0xff; 1_400]];
        let mut bytes = 0;
        for payload in payloads {
            for (socket, capture, sent, arrives) in
                [(&forth, &server, near, far), (&back, &client, far.reversed(), near.reversed())]
            {
                let frame = Packet::with_key(&sent).payload(payload).build();
                bytes += frame.len() as u64;
                let seen = decoded(socket, capture, &frame, &arrives);
                assert_eq!(seen[..6], expected(&arrives), "{sent}");
                assert_eq!(seen[6], tshark::GOOD, "{sent}, {} bytes: {seen:?}", payload.len());
            }
        }
        let each = DirectionCounters { packets: payloads.len() as u64, bytes: bytes / 2 };
        assert_eq!(bench.opofd.get(id).unwrap(), Some(Counted { inward: each, outward: each }));
    }
}

/// RFC 768: 0 says that the sender has made none. A translation must not make one up.
#[test]
fn a_udp_checksum_that_is_not_there_stays_so() {
    let bench = Bench::new(FirewallMode::Silent).unwrap();
    let (client, server) = (Capture::start(&bench.client.port).unwrap(), Capture::start(&bench.server.port).unwrap());
    let (forth, back) = (bench.client_socket().unwrap(), bench.server_socket().unwrap());
    let Translated { near, far, session } = translated(1, Family::V4, false);
    bench.opofd.add_in(Dialect::V1Beta1, session).unwrap();
    for (socket, capture, sent, arrives) in
        [(&forth, &server, near, far), (&back, &client, far.reversed(), near.reversed())]
    {
        let packet = Packet::with_key(&sent).payload(b"unchecked");
        let frame = packet.overwrite(Layer::Transport, udp::HEADER_LEN - 2, &[0, 0]).build();
        let seen = decoded(socket, capture, &frame, &arrives);
        assert_eq!(seen[..6], expected(&arrives), "{sent}");
        assert_eq!(seen[6..], [NOT_PRESENT, "0x0000"], "{sent}");
    }
}

/// RFC 768: a checksum that comes out as 0 is sent as all ones, so that it is not taken for none.
#[test]
fn a_udp_checksum_that_becomes_zero_is_sent_as_all_ones() {
    let bench = Bench::new(FirewallMode::Silent).unwrap();
    let (server, socket) = (Capture::start(&bench.server.port).unwrap(), bench.client_socket().unwrap());
    for (id, family) in (1..).zip(FAMILIES) {
        let Translated { near, far, session } = translated(id, family, false);
        bench.opofd.add_in(Dialect::V1Beta1, session).unwrap();
        // The one's complement of the rest, as a last word, makes it 0.
        let checksum_of = |frame: &[u8]| {
            let transport = frame.len() - udp::HEADER_LEN - 2;
            [frame[transport + 6], frame[transport + 7]]
        };
        let rest = checksum_of(&Packet::with_key(&far).payload(&[0, 0]).build());
        assert_eq!(checksum_of(&Packet::with_key(&far).payload(&rest).build()), [0xff; 2], "the test tests something");
        let frame = Packet::with_key(&near).payload(&rest).build();
        let seen = decoded(&socket, &server, &frame, &far);
        assert_eq!(seen[6..], [tshark::GOOD, "0xffff"], "{near}");
    }
}

#[test]
fn a_session_whose_translation_another_has_is_refused_by_name() {
    let bench = Bench::new(FirewallMode::Silent).unwrap();
    for family in FAMILIES {
        let Translated { near, far, session } = translated(1, family, true);
        // Another client, the same source port, the same address on the far side.
        let another = FlowTuple { client: far.addresses.destination(), ..flow(family, true, CLIENT_PORT, SERVER_PORT) };
        let second = SessionSpec { flow: key(&another), ..translated(2, family, true).session };
        bench.opofd.add_in(Dialect::V1Beta1, session).unwrap();
        let refused = bench.opofd.add_in(Dialect::V1Beta1, second.clone()).unwrap_err().to_string();
        assert!(refused.contains("its packets after NAT could not be told from those of session 1"), "{refused}");
        assert_eq!(bench.opofd.get(2).unwrap(), None);

        // The first is none the worse, and its translation is free when it is gone.
        let (server, socket) = (Capture::start(&bench.server.port).unwrap(), bench.client_socket().unwrap());
        let seen = decoded(&socket, &server, &Packet::with_key(&near).build(), &far);
        assert_eq!(seen[..6], expected(&far));
        assert!(bench.opofd.delete(1).unwrap().is_some_and(|counted| counted.inward.packets == 1));
        bench.opofd.add_in(Dialect::V1Beta1, second).unwrap();
        let seen = decoded(&socket, &server, &Packet::with_key(&key(&another)).build(), &far);
        assert_eq!(seen[..6], expected(&far));
        bench.opofd.delete(2).unwrap();
    }
}
