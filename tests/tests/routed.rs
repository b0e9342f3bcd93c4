//! Sessions that are routed: iperf3 between two subnets whose gateway is the firewall, which sees nothing of the data; and
//! what is the router's business stays with it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use opof_session::types::DirectionCounters;
use opof_testkit::netns::{
    CLIENT_NET, Capture, FirewallMode, FlowTuple, InErrors, SERVER_NET, Watch, in_errors, keep_segments,
};
use opof_testkit::packet::Packet;
use opof_tests::iperf::{Amount, SERVER_PORT, Sender, UDP_GREETING, transfer};
use opof_tests::routed::{FAMILIES, Hops, flow, key};
use opof_tests::{Bench, Wires, tshark};
use opof_wire::ethernet::MacAddress;

const BOUND: Duration = Duration::from_secs(5);
const SETTLE: Duration = Duration::from_millis(200);
/// What the hosts send with, less one router.
const TTL: &str = "63";

/// What is asked of each family and transport: a flow with a client port of its own.
fn flows() -> Vec<FlowTuple> {
    let kinds = FAMILIES.into_iter().flat_map(|family| [(family, true), (family, false)]);
    (40_001..).zip(kinds).map(|(port, (family, tcp))| flow(family, tcp, port, SERVER_PORT)).collect()
}

/// Bytes in front of the payload of a UDP datagram.
fn udp_headers(flow: &FlowTuple) -> u64 {
    14 + if flow.client.is_ipv4() { 20 } else { 40 } + 8
}

#[test]
fn iperf3_goes_both_ways_past_the_firewall_and_every_byte_is_counted() {
    let bench = Bench::new(FirewallMode::Router).unwrap();
    let hops = Hops::set(&bench.opofd).unwrap();
    let mut id = 0;
    for mut flow in flows() {
        for sender in [Sender::Client, Sender::Server] {
            id += 1;
            // The port of the run before waits for stragglers still.
            flow.client_port += 100;
            let what = format!("{flow:?}, {sender:?}");
            hops.offload(&bench.opofd, id, &flow, None, None).unwrap();
            let watch = Watch::start([&bench.firewall_a, &bench.firewall_b], &flow).unwrap();
            let before = Wires::still(&bench).unwrap();
            let figures = transfer(&bench, &flow, sender, Amount::Seconds(1)).unwrap();
            let offloaded = Wires::still(&bench).unwrap().offloaded_since(&before);
            let (seen, counted) = (watch.seen().unwrap(), bench.opofd.get(id).unwrap().unwrap());

            assert_eq!(seen.flow_data, 0, "{what}: {seen:?}");
            assert_eq!((seen.flow_control > 0, seen.other), (flow.tcp, 0), "{what}: {seen:?}");
            assert_eq!(counted, offloaded, "{what}: the session, and what the wire ports did not send to the firewall");
            let (data, answers) = match sender {
                Sender::Client => (counted.inward, counted.outward),
                Sender::Server => (counted.outward, counted.inward),
            };
            assert!(answers.packets > 0 && data.bytes > figures.received_bytes, "{what}: {counted:?}, {figures:?}");
            if !flow.tcp {
                let greeting = DirectionCounters { packets: 1, bytes: UDP_GREETING + udp_headers(&flow) };
                let datagrams = figures.sent_packets;
                let bytes = figures.sent_bytes + datagrams * udp_headers(&flow) + greeting.bytes;
                assert_eq!((data, answers), (DirectionCounters { packets: datagrams + 1, bytes }, greeting), "{what}");
                // The receiver's socket holds 20 ms of datagrams, and loses the rest while the machine does something else.
                assert!(figures.lost_packets <= datagrams / 2, "{what}: {figures:?}");
            }
            for host in [&bench.client, &bench.server] {
                assert_eq!(in_errors(&host.port.namespace).unwrap(), InErrors::default(), "{what}");
            }
        }
    }
}

/// The same seen from outside: what the hosts get is what a router would have sent, checksums included.
#[test]
fn another_decoder_sees_next_hop_and_ttl_in_every_frame() {
    const FIELDS: [&str; 9] = [
        "eth.src",
        "eth.dst",
        "ip.ttl",
        "ipv6.hlim",
        "ip.checksum.status",
        "tcp.checksum.status",
        "udp.checksum.status",
        "tcp.port",
        "udp.port",
    ];
    let bench = Bench::new(FirewallMode::Router).unwrap();
    let hops = Hops::set(&bench.opofd).unwrap();
    let hosts = [(&bench.client.port, CLIENT_NET), (&bench.server.port, SERVER_NET)];
    for (port, _) in &hosts {
        keep_segments(port).unwrap();
    }
    for (id, flow) in (1..).zip(flows()) {
        hops.offload(&bench.opofd, id, &flow, None, None).unwrap();
        let watch = Watch::start([&bench.firewall_a, &bench.firewall_b], &flow).unwrap();
        let captures = hosts.map(|(port, net)| (Capture::start(port).unwrap(), net));
        transfer(&bench, &flow, Sender::Client, Amount::Bytes(400_000)).unwrap();
        Wires::still(&bench).unwrap();
        let counted = bench.opofd.get(id).unwrap().unwrap();
        assert_eq!(watch.seen().unwrap().flow_data, 0, "{flow:?}");
        for ((capture, net), counted) in captures.into_iter().zip([counted.outward, counted.inward]) {
            let frames = capture.drain(SETTLE);
            let (is_v4, port) = (flow.client.is_ipv4(), flow.client_port.to_string());
            let [source, destination] = [net.gateway_mac, net.mac].map(|mac| MacAddress(mac).to_string());
            let good = |needed: bool| if needed { tshark::GOOD } else { "" };
            let [v4, v6] = [is_v4, !is_v4].map(|has| if has { TTL } else { "" });
            let expected = [&source, &destination, v4, v6, good(is_v4), good(flow.tcp), good(!flow.tcp)];
            let mut of_flow = 0;
            for decoded in tshark::decode(&frames, &FIELDS).unwrap() {
                let ports = &decoded[if flow.tcp { 7 } else { 8 }];
                if ports.split(',').any(|found| found == port) {
                    of_flow += 1;
                    assert_eq!(decoded[..7], expected, "{flow:?}");
                }
            }
            // And the capture has all of them; of TCP there are control packets besides.
            let least = counted.packets + u64::from(flow.tcp);
            let most = counted.packets + if flow.tcp { 4 } else { 0 };
            let longest = frames.iter().map(Vec::len).max();
            assert!((least..=most).contains(&of_flow), "{flow:?}: {of_flow} captured, {counted:?}, {longest:?}");
        }
    }
}

#[test]
fn what_would_expire_is_answered_by_the_firewall_and_is_no_sessions() {
    let bench = Bench::new(FirewallMode::Router).unwrap();
    let hops = Hops::set(&bench.opofd).unwrap();
    let sides = [
        (bench.client_socket().unwrap(), &bench.client.port, CLIENT_NET, &bench.server.port),
        (bench.server_socket().unwrap(), &bench.server.port, SERVER_NET, &bench.client.port),
    ];
    let mut expired = 0;
    for (id, flow) in (1..).zip(flows()) {
        hops.offload(&bench.opofd, id, &flow, None, None).unwrap();
        for (index, (socket, from, net, to)) in sides.iter().enumerate() {
            let key = if index == 0 { key(&flow) } else { key(&flow).reversed() };
            let is_v4 = flow.client.is_ipv4();
            let frame = |hops| {
                let packet = Packet::with_key(&key).mac(net.mac, net.gateway_mac).hops(hops);
                packet.payload(b"on its way").build()
            };
            let (at_sender, at_receiver) = (Capture::start(from).unwrap(), Capture::start(to).unwrap());
            let before = bench.opofd.get(id).unwrap().unwrap();
            for hops in [1, 0] {
                socket.send(&frame(hops)).unwrap();
                let answer = at_sender.next(BOUND).unwrap_or_else(|error| panic!("{key}, TTL {hops}: {error}"));
                assert_time_exceeded(&answer, &net.gateway(is_v4).to_string(), is_v4);
                expired += 1;
            }
            assert_eq!(bench.opofd.get(id).unwrap().unwrap(), before, "{key}");
            // One more hop, and it is the session's.
            socket.send(&frame(2)).unwrap();
            let arrived = at_receiver.next(BOUND).unwrap();
            let ttl = if is_v4 { "ip.ttl" } else { "ipv6.hlim" };
            assert_eq!(tshark::decode(&[arrived], &[ttl]).unwrap(), [["1"]], "{key}");
            let length = frame(2).len() as u64;
            let mut counted = before;
            let direction = if index == 0 { &mut counted.inward } else { &mut counted.outward };
            *direction = DirectionCounters { packets: 1, bytes: length };
            assert_eq!(bench.opofd.get(id).unwrap().unwrap(), counted, "{key}");
        }
    }
    assert_eq!(in_errors(&bench.firewall).unwrap().ip_header, expired, "as the firewall's kernel has counted them");
}

/// Time exceeded in transit (RFC 792, RFC 4443), from this address.
fn assert_time_exceeded(answer: &[u8], from: &str, is_v4: bool) {
    let (fields, kind) = if is_v4 {
        (["icmp.type", "icmp.code", "icmp.checksum.status", "ip.src"], "11")
    } else {
        (["icmpv6.type", "icmpv6.code", "icmpv6.checksum.status", "ipv6.src"], "3")
    };
    let decoded = tshark::decode(&[answer.to_vec()], &fields).unwrap().remove(0);
    assert_eq!(decoded[..3], [kind, "0", tshark::GOOD], "{decoded:?}");
    // Behind it comes the source of the packet that is quoted.
    assert_eq!(decoded[3].split(',').next(), Some(from), "{decoded:?}");
}
