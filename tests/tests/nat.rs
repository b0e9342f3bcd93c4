//! NAT by iperf3: the firewall translates the first packets and the last, the device all between, and neither host nor
//! another decoder can tell the one from the other.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::env;
use std::time::Duration;

use opof_session::l3::Family;
use opof_testkit::netns::{
    CLIENT_NET, Capture, FirewallMode, FlowTuple, InErrors, SERVER_NET, Subnet, Watch, in_errors, keep_segments,
};
use opof_testkit::packet::{Layer, Packet};
use opof_testkit::wait;
use opof_tests::iperf::{Amount, Figures, Sender, transfer};
use opof_tests::nat::{self, Kind, Translated};
use opof_tests::routed::{FAMILIES, Hops, key};
use opof_tests::{Bench, Counted, WirePort, Wires, tshark};
use opof_wire::ethernet::MacAddress;

const BOUND: Duration = Duration::from_secs(5);
const SETTLE: Duration = Duration::from_millis(200);
/// What the large test carries each way, in bytes, and where more is asked for.
const LARGE: u64 = 200_000_000;
const LARGE_VARIABLE: &str = "OPOF_TESTS_NAT_BYTES";
/// What is enough to see that it works.
const SMALL: u64 = 10_000_000;
/// Payload of the last segment, at most.
const LAST: u64 = 1460;
/// iperf3's receiver leaves in its buffers what it has not read when the sender says that it has written all; bytes.
const BUFFERS: u64 = 16 << 20;
const BOTH: [Sender; 2] = [Sender::Client, Sender::Server];

/// A bench with NAT, and the next hops.
fn bench(kind: Kind) -> (Bench, Hops) {
    let bench = Bench::new(FirewallMode::Router).unwrap();
    nat::set_up(&bench, kind).unwrap();
    let hops = Hops::set(&bench.opofd).unwrap();
    (bench, hops)
}

/// What has gone wrong with packets at client and server.
fn host_errors(bench: &Bench) -> [InErrors; 2] {
    [&bench.client, &bench.server].map(|host| in_errors(&host.port.namespace).unwrap())
}

/// What was carried, by iperf3 and by the session.
struct Carried {
    figures: Figures,
    counted: Counted,
    /// The client's, then the server's.
    wires: [WirePort; 2],
}

/// One offloaded run: no data packet at the firewall, the session's counters those of the wire ports, no error at the hosts.
fn carry(bench: &Bench, hops: Hops, id: u64, flow: &Translated, sender: Sender, amount: Amount) -> Carried {
    let what = format!("{flow:?}, {sender:?}");
    let [snat, dnat] = flow.nat;
    hops.offload(&bench.opofd, id, &flow.near, snat, dnat).unwrap();
    let watch = Watch::of_all([&bench.firewall_a, &bench.firewall_b], &[flow.near, flow.far]).unwrap();
    let before = Wires::still(bench).unwrap();
    let figures = transfer(bench, &flow.near, sender, amount).unwrap();
    let wires = Wires::still(bench).unwrap().since(&before);
    let (seen, counted) = (watch.seen().unwrap(), bench.opofd.get(id).unwrap().unwrap());

    assert_eq!(seen.flow_data, 0, "{what}: {seen:?}");
    assert_eq!((seen.flow_control > 0, seen.other), (flow.near.tcp, 0), "{what}: {seen:?}");
    let offloaded = Counted { inward: wires[0].rest(), outward: wires[1].rest() };
    assert_eq!(counted, offloaded, "{what}: the session, and what the wire ports did not send to the firewall");
    assert_eq!(host_errors(bench), [InErrors::default(); 2], "{what}: client, server");
    let (data, answers) = match sender {
        Sender::Client => (counted.inward, counted.outward),
        Sender::Server => (counted.outward, counted.inward),
    };
    // Ethernet, IP, and UDP or TCP with timestamps; the segment with the FIN may carry the last of the data.
    let headers = 14 + if flow.near.client.is_ipv4() { 20 } else { 40 } + if flow.near.tcp { 32 } else { 8 };
    let payload = data.bytes - data.packets * headers;
    assert!(answers.packets > 0 && payload + LAST >= figures.received_bytes, "{what}: {counted:?}, {figures:?}");
    Carried { figures, counted, wires }
}

/// Amount by amount through source NAT, both ways. 200 MB a way; `OPOF_TESTS_NAT_BYTES=10000000000` makes it 10 GB:
///
/// ```sh
/// OPOF_TESTS_NAT_BYTES=10000000000 cargo test --release -p opof-tests --test nat -- --nocapture a_large
/// ```
#[test]
fn a_large_amount_goes_both_ways_through_source_nat_without_a_checksum_error() {
    let bytes = env::var(LARGE_VARIABLE).map_or(LARGE, |bytes| bytes.parse().unwrap());
    let (bench, hops) = bench(Kind::Source);
    for (id, sender) in (1..).zip(BOTH) {
        let flow = Translated::new(Family::V4, Kind::Source, true, 40_000 + u16::try_from(id).unwrap());
        let Carried { figures, counted, wires } = carry(&bench, hops, id, &flow, sender, Amount::Bytes(bytes));
        println!("{sender:?} sends: {figures:?}");
        println!("  session: {counted:?}");
        println!("  wire ports, packets and bytes: {wires:?}");
        println!("  errors at client, server: {:?}", host_errors(&bench));
        assert!(figures.sent_bytes >= bytes && figures.received_bytes + BUFFERS >= bytes, "{figures:?}");
    }
}

#[test]
fn every_kind_of_nat_goes_both_ways_past_the_firewall() {
    for kind in [Kind::Source, Kind::Destination, Kind::Both] {
        let (bench, hops) = bench(kind);
        let mut id = 0;
        for (family, tcp) in FAMILIES.into_iter().flat_map(|family| [(family, true), (family, false)]) {
            for sender in BOTH {
                id += 1;
                let flow = Translated::new(family, kind, tcp, 40_000 + u16::try_from(id).unwrap());
                let amount = if tcp { Amount::Bytes(SMALL) } else { Amount::Seconds(1) };
                let Carried { figures, .. } = carry(&bench, hops, id, &flow, sender, amount);
                // That the device loses none its counters say. A receiver's socket holds 20 ms of datagrams, and loses
                // the rest while the machine does something else.
                assert!(figures.lost_packets <= figures.sent_packets / 2, "{flow:?}, {sender:?}: {figures:?}");
            }
        }
    }
}

/// What the tests above rest on: damage is neither repaired by the device nor missed by the hosts.
#[test]
fn a_checksum_that_was_wrong_stays_wrong_and_the_host_counts_it() {
    let (bench, hops) = bench(Kind::Both);
    let socket = bench.client_socket().unwrap();
    let mut expected = InErrors::default();
    for (id, tcp) in [(1, true), (2, false)] {
        let flow = Translated::new(Family::V4, Kind::Both, tcp, 40_000);
        let [snat, dnat] = flow.nat;
        hops.offload(&bench.opofd, id, &flow.near, snat, dnat).unwrap();
        let packet = || Packet::with_key(&key(&flow.near)).mac(CLIENT_NET.mac, CLIENT_NET.gateway_mac).payload(b"data");
        // RFC 791: the checksum of the header. The payload's last byte is the transport's.
        socket.send(&packet().overwrite(Layer::Network, 10, &[0xde, 0xad]).build()).unwrap();
        let mut damaged = packet().build();
        *damaged.last_mut().unwrap() ^= 1;
        socket.send(&damaged).unwrap();
        expected.ip_header += 1;
        *(if tcp { &mut expected.tcp_checksum } else { &mut expected.udp_checksum }) += 1;
        let found = wait::until("errors", BOUND, || (host_errors(&bench)[1] == expected).then_some(()));
        assert!(found.is_ok(), "{:?}, and not {expected:?}", host_errors(&bench)[1]);
        assert_eq!(bench.opofd.get(id).unwrap().unwrap().inward.packets, 2);
    }
    assert_eq!(host_errors(&bench)[0], InErrors::default());
}

/// Of each frame of the flow what another decoder sees: link addresses, addresses, ports, TTL, checksums.
fn seen_at(capture: &Capture, flow: &FlowTuple) -> Vec<Vec<String>> {
    let (ip, ttl) = if flow.client.is_ipv4() { ("ip", "ip.ttl") } else { ("ipv6", "ipv6.hlim") };
    let transport = if flow.tcp { "tcp" } else { "udp" };
    let of = |layer: &str, field: &str| format!("{layer}.{field}");
    let fields = [
        of("eth", "src"),
        of("eth", "dst"),
        of(ip, "src"),
        of(ip, "dst"),
        of(transport, "srcport"),
        of(transport, "dstport"),
        ttl.to_owned(),
        "ip.checksum.status".to_owned(),
        of(transport, "checksum.status"),
    ];
    let decoded = tshark::decode(&capture.drain(SETTLE), &fields.each_ref().map(String::as_str)).unwrap();
    // The client's port is the same on both sides; iperf3's own connection has another.
    let port = flow.client_port.to_string();
    decoded.into_iter().filter(|frame| frame[4] == port || frame[5] == port).collect()
}

/// What must be seen of each frame that reaches the client, or else the server.
fn expected_at(net: &Subnet, flow: &FlowTuple, to_server: bool) -> Vec<String> {
    let (client, server) = ((flow.client, flow.client_port), (flow.server, flow.server_port));
    let (from, to) = if to_server { (client, server) } else { (server, client) };
    let mut words = vec![MacAddress(net.gateway_mac).to_string(), MacAddress(net.mac).to_string()];
    words.extend([from.0.to_string(), to.0.to_string(), from.1.to_string(), to.1.to_string()]);
    let header = if flow.client.is_ipv4() { tshark::GOOD } else { "" };
    words.extend(["63", header, tshark::GOOD].map(str::to_owned));
    words
}

#[test]
fn another_decoder_sees_the_translation_and_good_checksums_on_both_sides() {
    let kind = Kind::Both;
    let (bench, hops) = bench(kind);
    for host in [&bench.client, &bench.server] {
        keep_segments(&host.port).unwrap();
    }
    let mut id = 0;
    for (family, tcp) in FAMILIES.into_iter().flat_map(|family| [(family, true), (family, false)]) {
        for sender in BOTH {
            id += 1;
            let flow = Translated::new(family, kind, tcp, 40_000 + u16::try_from(id).unwrap());
            let [at_client, at_server] = [&bench.client, &bench.server].map(|host| Capture::start(&host.port).unwrap());
            let Carried { counted, .. } = carry(&bench, hops, id, &flow, sender, Amount::Bytes(400_000));
            for (capture, net, flow, to_server, counted) in [
                (at_client, CLIENT_NET, flow.near, false, counted.outward),
                (at_server, SERVER_NET, flow.far, true, counted.inward),
            ] {
                let seen = seen_at(&capture, &flow);
                let expected = expected_at(&net, &flow, to_server);
                assert!(seen.iter().all(|frame| *frame == expected), "{expected:?}, and not all of {seen:?}");
                // All of the session's are there, and of TCP those that open and close the connection.
                let control = if tcp { 1..=4 } else { 0..=0 };
                assert!(
                    control.contains(&(seen.len() as u64).wrapping_sub(counted.packets)),
                    "{flow:?}: {} captured, {counted:?}",
                    seen.len()
                );
            }
        }
    }
}
