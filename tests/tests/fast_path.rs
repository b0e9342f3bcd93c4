//! An offloaded session crosses the device without the firewall, counted to the byte, until it is deleted or idle.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use opof_session::types::{Action, DirectionCounters, SessionSpec};
use opof_testkit::netns::{Capture, FirewallMode, counters};
use opof_testkit::packet::Packet;
use opof_testkit::wait::{self, Stopwatch};
use opof_tests::{Bench, Counted, frames, session};
use opof_wire::{FlowKey, Vid};

const BOUND: Duration = Duration::from_secs(5);
const FRAMES: usize = 10_000;

fn build(packet: Packet) -> Vec<u8> {
    packet.payload(b"twenty bytes of data").build()
}

fn tally(packets: u64, bytes: u64) -> DirectionCounters {
    DirectionCounters { packets, bytes }
}

#[test]
fn a_session_crosses_both_ways_and_every_frame_is_counted_once() {
    let bench = Bench::new(FirewallMode::Silent).unwrap();
    let keys = frames::keys();
    for (id, key) in (1..).zip(&keys) {
        bench.opofd.add(session(id, *key)).unwrap();
    }
    let forth: Vec<Vec<u8>> = keys.iter().flat_map(frames::packets).map(build).collect();
    let back: Vec<Vec<u8>> = keys.iter().flat_map(|key| frames::packets(&key.reversed())).map(build).collect();
    let ports = [&bench.server.port, &bench.client.port, &bench.firewall_a, &bench.firewall_b];
    let before = ports.map(|port| counters(port).unwrap());
    let sent_forth = frames::send(&bench.client_socket().unwrap(), &forth, FRAMES).unwrap();
    let sent_back = frames::send(&bench.server_socket().unwrap(), &back, FRAMES).unwrap();

    let count = u64::try_from(FRAMES).unwrap();
    let expected = [(count, sent_forth), (count, sent_back), (0, 0), (0, 0)];
    for ((port, before), expected) in ports.into_iter().zip(before).zip(expected) {
        let arrived = bench.arrived(port, &before, expected.0).unwrap();
        assert_eq!((arrived.rx_packets, arrived.rx_bytes), expected, "at {}", port.name);
    }
    let mut sum = Counted::default();
    for (id, _) in (1..).zip(&keys) {
        let counted = bench.opofd.get(id).unwrap().expect("the session is there");
        assert!(counted.inward.packets > 0 && counted.inward.packets == counted.outward.packets, "{counted:?}");
        for (sum, more) in [(&mut sum.inward, counted.inward), (&mut sum.outward, counted.outward)] {
            sum.packets += more.packets;
            sum.bytes += more.bytes;
        }
    }
    let expected = Counted { inward: tally(count, sent_forth), outward: tally(count, sent_back) };
    assert_eq!(sum, expected);
}

#[test]
fn a_frame_crosses_untouched() {
    let bench = Bench::new(FirewallMode::Silent).unwrap();
    let (client, server) = (Capture::start(&bench.client.port).unwrap(), Capture::start(&bench.server.port).unwrap());
    let (forth, back) = (bench.client_socket().unwrap(), bench.server_socket().unwrap());
    for (id, key) in (1..).zip(frames::keys()) {
        bench.opofd.add(session(id, key)).unwrap();
        for (socket, capture, key) in [(&forth, &server, key), (&back, &client, key.reversed())] {
            for frame in frames::packets(&key).into_iter().map(build) {
                socket.send(&frame).unwrap();
                assert_eq!(capture.next(BOUND).unwrap(), frame, "{key}");
            }
        }
    }
}

#[test]
fn a_session_between_two_vlans_has_its_tag_rewritten() {
    let bench = Bench::new(FirewallMode::Silent).unwrap();
    let (client, server) = (Capture::start(&bench.client.port).unwrap(), Capture::start(&bench.server.port).unwrap());
    let (forth, back) = (bench.client_socket().unwrap(), bench.server_socket().unwrap());
    let other = Vid::new(200).unwrap();
    for (id, key) in (1..).zip(frames::keys().into_iter().filter(|key| !key.vlan.is_untagged())) {
        bench.opofd.add(SessionSpec { out_vlan: other, ..session(id, key) }).unwrap();
        let (here, there) = (key, FlowKey { vlan: other, ..key });
        for (socket, capture, sent, arrived) in
            [(&forth, &server, here, there), (&back, &client, there.reversed(), here.reversed())]
        {
            // Priority 5 and the drop-eligible bit stay; the VID alone is another.
            let with_tag = |key: &FlowKey| {
                let mut frame = build(Packet::with_key(key));
                frame[14] |= 0xb0;
                frame
            };
            socket.send(&with_tag(&sent)).unwrap();
            assert_eq!(capture.next(BOUND).unwrap(), with_tag(&arrived), "{sent}");
        }
    }
}

#[test]
fn the_next_packet_after_a_delete_goes_to_the_firewall() {
    let bench = Bench::new(FirewallMode::Silent).unwrap();
    let (firewall, server) = (Capture::start(&bench.firewall_a).unwrap(), Capture::start(&bench.server.port).unwrap());
    let socket = bench.client_socket().unwrap();
    for (id, key) in (1..).zip(frames::keys()) {
        let frame = build(Packet::with_key(&key));
        // Through again, so that the reuse of an id and of a tuple is seen too.
        for _ in 0..3 {
            bench.opofd.add(session(id, key)).unwrap();
            socket.send(&frame).unwrap();
            assert_eq!(server.next(BOUND).unwrap(), frame, "{key} before");
            let last = bench.opofd.delete(id).unwrap().expect("the session was there");
            let length = u64::try_from(frame.len()).unwrap();
            assert_eq!(last, Counted { inward: tally(1, length), ..Counted::default() });
            socket.send(&frame).unwrap();
            assert_eq!(firewall.next(BOUND).unwrap(), frame, "{key} after");
        }
        assert_eq!(bench.opofd.get(id).unwrap(), None);
    }
}

#[test]
fn a_dropping_session_drops_and_counts() {
    let bench = Bench::new(FirewallMode::Silent).unwrap();
    let key = frames::keys()[0];
    bench.opofd.add(SessionSpec { action: Action::Drop, ..session(1, key) }).unwrap();
    let ports = [&bench.server.port, &bench.firewall_a];
    let before = ports.map(|port| counters(port).unwrap());
    let frame = build(Packet::with_key(&key));
    let sent = frames::send(&bench.client_socket().unwrap(), &[frame], 100).unwrap();
    wait::until("the drops to be counted", BOUND, || {
        let counted = bench.opofd.get(1).unwrap().expect("the session is there");
        (counted == Counted { inward: tally(100, sent), ..Counted::default() }).then_some(())
    })
    .unwrap();
    for (port, before) in ports.into_iter().zip(before) {
        assert_eq!(counters(port).unwrap().since(&before).rx_packets, 0, "at {}", port.name);
    }
}

#[test]
fn an_idle_session_is_closed_between_two_and_three_seconds_after_its_last_packet() {
    const TIMEOUT: u32 = 2;
    let bench = Bench::new(FirewallMode::Silent).unwrap();
    let keys = frames::keys();
    let (used, unused) = (keys[0], keys[1]);
    bench.opofd.add(SessionSpec { timeout_seconds: TIMEOUT, ..session(1, used) }).unwrap();
    // A packet in the middle of the wait starts it anew.
    wait::pause(Duration::from_millis(1_200));
    let added = Stopwatch::start();
    bench.opofd.add(SessionSpec { timeout_seconds: TIMEOUT, ..session(2, unused) }).unwrap();
    let answered = Stopwatch::start();
    let sent = frames::send(&bench.client_socket().unwrap(), &[build(Packet::with_key(&used))], 10).unwrap();
    let seen = Stopwatch::start();

    let mut closed = Vec::new();
    let mut earliest = Duration::MAX;
    while closed.len() < 2 && answered.elapsed() < BOUND {
        let more = bench.opofd.closed().unwrap();
        if !more.is_empty() {
            earliest = earliest.min(added.elapsed());
        }
        closed.extend(more);
        wait::pause(Duration::from_millis(20));
    }
    let latest = seen.elapsed();
    closed.sort_by_key(|record| record.id);
    let ids: Vec<u64> = closed.iter().map(|record| record.id).collect();
    assert_eq!(ids, [1, 2]);
    assert!(earliest >= Duration::from_secs(2) && latest <= Duration::from_secs(3), "{earliest:?} {latest:?}");
    let expected = Counted { inward: tally(10, sent), ..Counted::default() };
    assert_eq!([closed[0].counted, closed[1].counted], [expected, Counted::default()]);
    assert!(closed.iter().all(|record| record.by_timeout));
    assert_eq!(bench.opofd.get(1).unwrap(), None);
}
