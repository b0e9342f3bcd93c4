//! What measurements put around a data plane: frames with all their sources arrive, and those that are counted are those.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the way to fail")]

mod common;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use opof_dataplane_linux::traffic::{Generator, Redirect, Sink};
use opof_testkit::netns::{Capture, NetNs, Port, PortOptions, veth};
use opof_testkit::packet::{Layer, Packet};
use opof_testkit::require::{NETWORK, require};
use opof_testkit::wait;
use opof_wire::{Addresses, ipv4};

use common::accept_redirects;

const FIRST: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 250);
/// No power of two.
const SOURCES: u32 = 100;
const BOUND: Duration = Duration::from_secs(10);

/// generator -- device -- sink: the ends of the two cables, in this order.
fn lane() -> [Port; 4] {
    require(NETWORK).unwrap();
    let [generator, device, sink] = ["generator", "device", "sink"].map(|role| Arc::new(NetNs::new(role).unwrap()));
    let options = |mac| PortOptions { mac: [2, 0, 0, 0, 0, mac], ip: false, promiscuous: true, mtu: 1500 };
    let [input, out] = veth([(&device, "traffic-a", options(2)), (&generator, "out", options(1))]).unwrap();
    let [output, end] = veth([(&device, "traffic-b", options(3)), (&sink, "end", options(4))]).unwrap();
    for port in [&input, &end] {
        accept_redirects(port);
    }
    [out, input, output, end]
}

/// Out of the first port, as often as asked for.
fn send(out: &Port, sources: u32, interval: u32, frames: u32) {
    let frame = Packet::new().ipv4([0; 4], [192, 0, 2, 1]).udp(1000, 53).pad_to(60);
    // UDP's checksum is over the source too: there is none.
    let frame = frame.overwrite(Layer::Transport, 6, &[0; 2]).build();
    let sources = NonZeroU32::new(sources).unwrap();
    let sent = out.namespace.run(|| Generator::new(&out.name, FIRST, sources, interval, &frame).unwrap().send(frames));
    sent.unwrap().unwrap();
}

#[test]
fn every_source_has_the_same_share_and_a_checksum_that_is_right() {
    let [out, input, ..] = lane();
    let capture = Capture::start(&input).unwrap();
    send(&out, SOURCES, 0, 3 * SOURCES);
    let mut seen = BTreeMap::new();
    // The last batch is as long as the others, and goes out whole.
    for _ in 0..3 * SOURCES {
        let frame = capture.next(BOUND).unwrap();
        let header = ipv4::Packet::new_checked(&frame[14..]).unwrap();
        assert!(header.verify_checksum(), "{frame:02x?}");
        let Addresses::V4 { source, destination } = header.addresses() else { panic!("{frame:02x?}") };
        assert_eq!((destination, frame.len()), ([192, 0, 2, 1], 60));
        *seen.entry(u32::from_be_bytes(source) - u32::from(FIRST)).or_insert(0) += 1;
    }
    assert_eq!(seen, (0..SOURCES).map(|source| (source, 3)).collect());
}

#[test]
fn a_redirect_brings_frames_to_the_sink_from_the_processor_it_is_put_on() {
    let [out, input, output, end] = lane();
    input.thread_napi().unwrap();
    let sink = end.namespace.run(|| Sink::new(&end.name)).unwrap().unwrap();
    let redirect = input.namespace.run(|| Redirect::bare(&input.name, &output.name)).unwrap().unwrap();
    input.pin_napi(0).unwrap();
    // Fewer than the ring of a port holds: none is lost.
    send(&out, SOURCES, 0, 100);
    let arrived = || (sink.arrived().unwrap() == 100).then_some(());
    wait::until("100 frames", BOUND, arrived).unwrap();
    assert_eq!(sink.arrived_by_processor().unwrap().first(), Some(&100));

    drop(redirect);
    send(&out, SOURCES, 0, 100);
    wait::pause(Duration::from_millis(100));
    assert_eq!(sink.arrived().unwrap(), 100, "without a redirect nothing arrives");

    // With fewer sessions than sources, and more: no place is beyond the last line.
    for (number, sessions) in [(2, 1), (3, 2), (4, 1_001)] {
        let sessions = NonZeroU32::new(sessions).unwrap();
        let reading = || Redirect::reading(&input.name, &output.name, sessions);
        let redirect = input.namespace.run(reading).unwrap().unwrap();
        send(&out, SOURCES, 0, 100);
        let arrived = || (sink.arrived().unwrap() == 100 * number).then_some(());
        wait::until("100 frames more", BOUND, arrived).unwrap();
        drop(redirect);
    }
}

#[test]
fn frames_are_no_closer_to_each_other_than_they_shall_be() {
    let [out, input, output, end] = lane();
    let sink = end.namespace.run(|| Sink::new(&end.name)).unwrap().unwrap();
    let redirect = input.namespace.run(|| Redirect::bare(&input.name, &output.name)).unwrap().unwrap();
    let watch = wait::Stopwatch::start();
    // A second from one to the next, and far more than can be sent in one.
    send(&out, SOURCES, 1_000_000_000, 10_000);
    wait::until("a frame", BOUND, || (sink.arrived().unwrap() > 0).then_some(())).unwrap();
    let most = 1 + watch.elapsed().as_secs();
    assert!(sink.arrived().unwrap() <= most, "{} frames in {most} s", sink.arrived().unwrap());
    drop(redirect);
}
