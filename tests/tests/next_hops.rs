//! A next hop that changes under traffic: no frame is lost, and none leaves with half of the old one and half of the new one.
//!
//! In a file of its own, so that nothing else takes the machine's time while zero loss is demanded.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use opof_client::Dialect;
use opof_session::l3::{Family, Link, Links, NextHop, NextHopId};
use opof_session::types::DirectionCounters;
use opof_testkit::netns::{Capture, FirewallMode};
use opof_testkit::packet::Packet;
use opof_testkit::wait::{self, Pacer};
use opof_tests::routed::{FAMILIES, flow, key, routed};
use opof_tests::{Bench, Counted, frames, tshark};
use opof_wire::ethernet::MacAddress;

const BOUND: Duration = Duration::from_secs(5);
const SETTLE: Duration = Duration::from_millis(300);
/// How often the next hop is replaced, in each family.
const REPLACED: usize = 200;
/// Frames between one replacement and the next.
const BETWEEN: u64 = 20;
/// Frames that are given to tshark as well.
const DECODED: usize = 2_000;
/// Source and destination, no byte of the one pair in the other.
const PAIRS: [[[u8; 6]; 2]; 2] = [
    [[0x02, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5], [0x06, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa]],
    [[0x12, 0xb1, 0xb2, 0xb3, 0xb4, 0xb5], [0x16, 0xb6, 0xb7, 0xb8, 0xb9, 0xba]],
];

fn hop(family: Family, pair: usize) -> NextHop {
    let [source, destination] = PAIRS[pair % PAIRS.len()].map(MacAddress);
    NextHop { id: NextHopId::MIN, family, source, destination }
}

/// Sends numbered datagrams until it is told to stop. Returns how many, and their bytes.
fn stream(bench: &Bench, packet: &Packet, sent: &AtomicU64, stop: &AtomicBool) -> DirectionCounters {
    let socket = bench.client_socket().unwrap();
    let mut pacer = Pacer::new(frames::RATE);
    let mut total = DirectionCounters::default();
    while !stop.load(Ordering::Relaxed) {
        pacer.wait();
        let frame = packet.clone().payload(&total.packets.to_be_bytes()).build();
        socket.send(&frame).unwrap();
        total.packets += 1;
        total.bytes += frame.len() as u64;
        sent.store(total.packets, Ordering::Relaxed);
    }
    total
}

/// Replaces the next hop again and again, with some frames between.
fn replace(bench: &Bench, family: Family, sent: &AtomicU64) {
    for pair in 1..=REPLACED {
        let target = sent.load(Ordering::Relaxed) + BETWEEN;
        wait::until("frames", BOUND, || (sent.load(Ordering::Relaxed) >= target).then_some(())).unwrap();
        bench.opofd.set_next_hop(hop(family, pair)).unwrap();
    }
}

#[test]
fn a_next_hop_that_is_replaced_under_traffic_is_the_old_one_or_the_new_one() {
    for family in FAMILIES {
        let bench = Bench::new(FirewallMode::Silent).unwrap();
        let flow = flow(family, false, 40_000, 443);
        let key = key(&flow);
        bench.opofd.set_next_hop(hop(family, 0)).unwrap();
        let link = Link { next_hop: Some(NextHopId::MIN), ..Link::default() };
        let links = Links { towards_out: link, ..Links::default() };
        bench.opofd.add_in(Dialect::V1Beta1, routed(1, key, links)).unwrap();
        let capture = Capture::start(&bench.server.port).unwrap();
        let firewall = Capture::start(&bench.firewall_a).unwrap();

        let packet = Packet::with_key(&key);
        let (sent, stop) = (AtomicU64::new(0), AtomicBool::new(false));
        let (total, arrived) = std::thread::scope(|scope| {
            let sender = scope.spawn(|| stream(&bench, &packet, &sent, &stop));
            let replacer = scope.spawn(|| replace(&bench, family, &sent));
            // Read as they come: a capture holds only so many.
            let mut arrived = Vec::new();
            while !replacer.is_finished() {
                arrived.extend(capture.drain(Duration::from_millis(20)));
            }
            stop.store(true, Ordering::Relaxed);
            let total = sender.join().unwrap();
            arrived.extend(capture.drain(SETTLE));
            replacer.join().unwrap();
            (total, arrived)
        });

        let mut of_pair = [0; 2];
        let (mut changes, mut last) = (0, 0);
        for (number, frame) in arrived.iter().enumerate() {
            let macs = [&frame[6..12], &frame[..6]];
            let pair = PAIRS.iter().position(|pair| pair.each_ref().map(<[u8; 6]>::as_slice) == macs);
            let pair = pair.unwrap_or_else(|| panic!("{family}, frame {number} of no one pair: {macs:02x?}"));
            let payload = frame.len() - 8;
            assert_eq!(frame[payload..], (number as u64).to_be_bytes(), "{family}: in order, none missing");
            of_pair[pair] += 1;
            changes += usize::from(pair != last);
            last = pair;
        }
        println!("{family}: {} sent, {of_pair:?} by each pair, {changes} changes seen", total.packets);
        assert_eq!(arrived.len() as u64, total.packets, "{family}: none is missing");
        // Where the machine stalls, more than one replacement falls between two frames.
        assert!((REPLACED / 2..=REPLACED).contains(&changes), "{family}: {changes}");
        let fields = ["eth.src", "eth.dst", "ip.ttl", "ipv6.hlim", "ip.checksum.status", "udp.checksum.status"];
        let mut words: Vec<Vec<String>> = Vec::new();
        for pair in PAIRS {
            let [source, destination] = pair.map(|mac| MacAddress(mac).to_string());
            let (v4, v6, good) = if family == Family::V4 { ("63", "", tshark::GOOD) } else { ("", "63", "") };
            words.push([&source, &destination, v4, v6, good, tshark::GOOD].map(str::to_owned).to_vec());
        }
        let decoded = tshark::decode(&arrived[..DECODED.min(arrived.len())], &fields).unwrap();
        assert!(decoded.iter().all(|frame| words.contains(frame)), "{family}: {decoded:?}");
        assert!(words.iter().all(|pair| decoded.contains(pair)), "{family}: tshark has seen both");

        // Taken away, it takes the session along; what comes then is the firewall's, as it came.
        assert_eq!(firewall.drain(Duration::ZERO).len(), 0, "{family}: until now it has seen none");
        bench.opofd.destroy_next_hop(NextHopId::MIN).unwrap();
        let closed = bench.opofd.closed().unwrap();
        let expected = Counted { inward: total, ..Counted::default() };
        assert_eq!(closed.iter().map(|record| (record.id, record.counted)).collect::<Vec<_>>(), [(1, expected)]);
        assert!(!closed[0].by_timeout);
        assert_eq!(bench.opofd.get(1).unwrap(), None);
        let next = packet.payload(b"next").build();
        bench.client_socket().unwrap().send(&next).unwrap();
        assert_eq!(firewall.next(BOUND).unwrap(), next, "{family}");
        assert_eq!(capture.drain(SETTLE).len(), 0, "{family}");
        let gone = bench.opofd.destroy_next_hop(NextHopId::MIN).unwrap_err().to_string();
        assert!(gone.contains("no next hop 1"), "{gone}");
    }
}
