//! The wire does not go dark when the daemon dies, and the next start goes on.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use opof_client::Health;
use opof_daemon::limits;
use opof_testkit::netns::{FirewallMode, counters};
use opof_testkit::packet::Packet;
use opof_testkit::wait::{self, Pacer};
use opof_tests::{Bench, frames, session};
use opof_wire::FlowKey;

/// Frames that each of the two flows has sent while the daemon is dead, at least.
const WHILE_DEAD: u64 = 5_000;

fn build(packet: Packet) -> Vec<u8> {
    packet.payload(b"data").build()
}

#[test]
fn forwarding_goes_on_while_the_daemon_is_dead() {
    let mut bench = Bench::new(FirewallMode::Silent).unwrap();
    let offloaded = frames::keys()[0];
    let missed = FlowKey { source_port: 40_001, ..offloaded };
    bench.opofd.add(session(1, offloaded)).unwrap();
    let frames = [offloaded, missed].map(|key| build(Packet::with_key(&key)));
    let socket = bench.client_socket().unwrap();
    let before = [&bench.server.port, &bench.firewall_a].map(|port| counters(port).unwrap());

    let (stop, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut pacer = Pacer::new(frames::RATE / 2);
            while !stop.load(Ordering::Relaxed) {
                pacer.wait();
                for frame in &frames {
                    socket.send(frame).unwrap();
                }
                sent.fetch_add(1, Ordering::Relaxed);
            }
        });
        let sent_more = |more| {
            let target = sent.load(Ordering::Relaxed) + more;
            let bound = Duration::from_secs(30);
            wait::until("frames to be sent", bound, || (sent.load(Ordering::Relaxed) >= target).then_some(()))
        };
        // Frames flow when it dies, and for a while after.
        let died = sent_more(500).map_err(Into::into).and_then(|()| bench.opofd.kill());
        let flowed = sent_more(WHILE_DEAD);
        stop.store(true, Ordering::Relaxed);
        died.unwrap();
        flowed.unwrap();
    });

    let sent = sent.load(Ordering::Relaxed);
    for (port, before) in [&bench.server.port, &bench.firewall_a].into_iter().zip(before) {
        let arrived = bench.arrived(port, &before, sent).unwrap();
        assert_eq!(arrived.rx_packets, sent, "of {sent} frames at {}", port.name);
    }
}

#[test]
fn the_next_start_goes_on() {
    let mut bench = Bench::new(FirewallMode::Silent).unwrap();
    let key = frames::keys()[0];
    let frame = build(Packet::with_key(&key));
    bench.opofd.add(session(1, key)).unwrap();
    expect(&bench, &frame, true);
    for packets in 2..5 {
        bench.opofd.kill().unwrap();
        bench.opofd.start_again().unwrap();
        expect(&bench, &frame, true);
        assert_eq!(bench.opofd.get(1).unwrap().unwrap().inward.packets, packets);
    }
    assert_eq!(bench.opofd.delete(1).unwrap().unwrap().inward.packets, 4);
    expect(&bench, &frame, false);
}

/// As one that is taken out of a pair.
#[test]
fn a_device_alone_forwards_without_end_whatever_it_was_bound_by() {
    let mut bench = Bench::new(FirewallMode::Silent).unwrap();
    let key = frames::keys()[0];
    let frame = build(Packet::with_key(&key));
    bench.opofd.add(session(1, key)).unwrap();
    expect(&bench, &frame, true);
    bench.opofd.kill().unwrap();
    bench.opofd.end_term().unwrap();
    expect(&bench, &frame, false);
    bench.opofd.start_again().unwrap();
    expect(&bench, &frame, true);
    assert_eq!(bench.opofd.get(1).unwrap().unwrap().inward.packets, 2);
}

#[test]
fn a_session_table_that_hangs_is_started_anew_and_goes_on() {
    let bench = Bench::new(FirewallMode::Silent).unwrap();
    let key = frames::keys()[0];
    let frame = build(Packet::with_key(&key));
    bench.opofd.add(session(1, key)).unwrap();
    expect(&bench, &frame, true);
    bench.opofd.hang().unwrap();
    // Meanwhile, too.
    expect(&bench, &frame, true);
    let bound = limits::WATCHDOG_LOOK * (limits::WATCHDOG_LOOKS + 10);
    let said = || bench.opofd.log().contains("opofd starts anew").then_some(());
    wait::until("the watchdog to see it", bound, said).unwrap();
    let answers = || bench.opofd.get(1).ok();
    let session = wait::until("an answer", bound, answers).unwrap();
    assert_eq!(session.unwrap().inward.packets, 2);
    expect(&bench, &frame, true);
    assert_eq!(bench.opofd.delete(1).unwrap().unwrap().inward.packets, 3);
}

#[test]
fn a_session_table_that_is_slow_is_told_before_calls_fail() {
    let mut bench = Bench::new(FirewallMode::Silent).unwrap();
    let key = frames::keys()[0];
    bench.opofd.add(session(1, key)).unwrap();
    // So that somebody can tell it: with few processors one thread does everything.
    bench.opofd.kill().unwrap();
    bench.opofd.set_arguments(&["--threads", "2"]);
    bench.opofd.start_again().unwrap();
    let serves = || bench.opofd.health().unwrap() == Health::Serving;
    assert!(serves());
    // Longer than it may take for an answer, and less than a call waits for one.
    let slow = (limits::UNANSWERED + limits::ADMISSION) / 2;
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| bench.opofd.hang_for(slow).unwrap());
        wait::until("it to be told", limits::UNANSWERED + limits::LOOK_AT_TABLE * 2, || (!serves()).then_some(()))
            .unwrap();
        assert!(!slow.is_finished(), "told while it is so");
        assert!(bench.opofd.get(1).unwrap().is_some(), "the call waits, and is answered");
        slow.join().unwrap();
    });
    wait::until("it to be over", Duration::from_secs(5), || serves().then_some(())).unwrap();
    assert!(!bench.opofd.log().contains("starts anew"), "slow is not stuck");
}

/// Sends the frame from the client and sees it at the server, or else at the firewall.
fn expect(bench: &Bench, frame: &[u8], at_server: bool) {
    let (port, other) = (&bench.server.port, &bench.firewall_a);
    let (port, other) = if at_server { (port, other) } else { (other, port) };
    let before = [port, other].map(|port| counters(port).unwrap());
    bench.client_socket().unwrap().send(frame).unwrap();
    assert_eq!(bench.arrived(port, &before[0], 1).unwrap().rx_packets, 1, "at {}", port.name);
    assert_eq!(counters(other).unwrap().since(&before[1]).rx_packets, 0, "at {}", other.name);
}
