//! A process with a plane is killed: the wire must not go dark, and the next process takes over.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the way to fail")]

mod common;

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::{BOUND, Lab, command, flow, forward, monotonic};
use opof_dataplane::DataPlane;
use opof_dataplane_linux::{AttachMode, LifPorts, XdpConfig, XdpPlane};
use opof_session::plane::{Command, Note, Slot};
use opof_session::types::Moment;
use opof_testkit::netns::{Capture, Process, RawSocket};
use opof_testkit::packet::Packet;
use opof_testkit::wait::{self, Pacer, Stopwatch};

const CHILD: &str = "OPOF_TEST_PIN_DIR";
/// How long a device may forward that is not told to go on, and how often it is.
const TERM: Duration = Duration::from_secs(1);
const TOLD: Duration = Duration::from_millis(50);

/// The device's process: opens a plane, offloads one session, waits to be killed. Where it `is_bound`, it says again and again that the
/// plane may go on.
fn child(pin_dir: &str, is_bound: bool) {
    let [a, b] = common::lifs();
    let lifs = vec![LifPorts::new(a, "wire-a", "fw.a"), LifPorts::new(b, "wire-b", "fw.b")];
    let mode = AttachMode::Auto;
    let config = XdpConfig {
        lifs,
        sessions: 16,
        next_hops: 1,
        mode,
        pin_dir: Path::new(pin_dir).to_owned(),
        copies: None,
        uplink: None,
    };
    let mut plane = XdpPlane::open(&config).unwrap();
    let (slot, rules, note) = (Slot(0), forward(flow(1, 0)), Note([0, 0, u64::from(is_bound)]));
    command(&mut plane, &[Command::Install { slot, rules, note }]);
    let term = |Moment(now): Moment| Moment(now + u64::try_from(TERM.as_nanos()).unwrap());
    if is_bound {
        plane.forward_until(term(monotonic()));
    }
    println!("\nready");
    // Its end is the parent's, should that die first.
    let parent = std::thread::spawn(|| std::io::stdin().read(&mut [0]));
    while !parent.is_finished() {
        if is_bound {
            plane.forward_until(term(monotonic()));
        }
        wait::pause(TOLD);
    }
}

/// The child of the test of this name.
fn start_child(lab: &Lab, test: &str) -> Process {
    let exe = std::fs::read_link("/proc/self/exe").unwrap();
    let mut command = lab.device.command(exe.to_str().unwrap());
    command.args(["--exact", test, "--nocapture"]).env(CHILD, &lab.pin_dir);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut process = Process::start("the device", &mut command).unwrap();
    let stdout = BufReader::new(process.child().stdout.take().unwrap());
    assert!(stdout.lines().map_while(Result::ok).any(|line| line == "ready"), "the device did not start");
    process
}

#[test]
fn a_killed_process_leaves_the_wire_lit() {
    if let Ok(pin_dir) = std::env::var(CHILD) {
        return child(&pin_dir, false);
    }
    let lab = Lab::new();
    let mut device = start_child(&lab, "a_killed_process_leaves_the_wire_lit");
    let [wire_a, firewall_a, wire_b] = [0, 1, 2].map(|n| &lab.far[n].1);
    let socket = RawSocket::open(wire_a).unwrap();
    let captures = [firewall_a, wire_b].map(|port| Capture::start(port).unwrap());
    let session = Packet::with_key(&flow(1, 0)).payload(&[7; 50]).build();
    let other = Packet::with_key(&flow(2, 0)).payload(&[7; 50]).build();
    let [to_firewall, to_wire] = &captures;

    device.kill().unwrap();
    socket.send(&session).unwrap();
    assert_eq!(to_wire.next(BOUND).unwrap(), session, "the session still flows by the fast path");
    socket.send(&other).unwrap();
    assert_eq!(to_firewall.next(BOUND).unwrap(), other, "everything else by the firewall");

    // The next process takes over in the middle of traffic; each frame comes out once, on one side or the other.
    let stop = AtomicBool::new(false);
    let (plane, sent) = std::thread::scope(|scope| {
        let sender = scope.spawn(|| {
            let (mut pacer, mut sent) = (Pacer::new(5_000), 0);
            while !stop.load(Ordering::Relaxed) {
                pacer.wait();
                socket.send(&session).unwrap();
                sent += 1;
            }
            sent
        });
        let plane = lab.open(&lab.config(16, AttachMode::Auto));
        stop.store(true, Ordering::Relaxed);
        (plane.unwrap(), sender.join().unwrap())
    });
    let [slow, fast] = captures.each_ref().map(|capture| capture.drain(Duration::from_millis(300)).len());
    println!("{sent} frames during the takeover: {fast} by the old table, {slow} by the firewall");
    assert_eq!(fast + slow, sent, "no frame is lost in the takeover");
    assert!(fast > 0, "the test tested something");

    let ports = plane.describe().ports;
    assert!(ports.iter().all(|port| port.mode == "native"));
    socket.send(&session).unwrap();
    assert_eq!(to_firewall.next(BOUND).unwrap(), session, "the new table is empty");

    drop(plane);
    assert!(!lab.pin_dir.exists());
    for (_, name) in common::ports() {
        assert!(!lab.device.ip(&format!("link show dev {name}")).unwrap().contains("xdp"), "{name}");
    }
}

/// With nobody there to do it, everything goes to the firewall from that moment on, no frame is lost, and the next process finds it so.
#[test]
fn a_killed_process_that_is_bound_leaves_the_wire_to_the_firewall() {
    const PER_SECOND: u32 = 2_000;
    if let Ok(pin_dir) = std::env::var(CHILD) {
        return child(&pin_dir, true);
    }
    let lab = Lab::new();
    let mut device = start_child(&lab, "a_killed_process_that_is_bound_leaves_the_wire_to_the_firewall");
    let [wire_a, firewall_a, wire_b] = [0, 1, 2].map(|n| &lab.far[n].1);
    let socket = RawSocket::open(wire_a).unwrap();
    let captures = [firewall_a, wire_b].map(|port| Capture::start(port).unwrap());
    let frame = |n: u32| Packet::with_key(&flow(1, 0)).payload(&n.to_be_bytes()).pad_to(60).build();
    let (mut pacer, mut sent) = (Pacer::new(PER_SECOND), 0);
    let mut send_for = |time| {
        let watch = Stopwatch::start();
        while watch.elapsed() < time {
            pacer.wait();
            socket.send(&frame(sent)).unwrap();
            sent += 1;
        }
        sent
    };
    // Longer than a term: it is told in time.
    let before = send_for(TERM * 3 / 2);
    device.kill().unwrap();
    let over = send_for(TERM);
    let all = send_for(TERM / 2);
    let [slow, fast] = captures.each_ref().map(|capture| capture.drain(Duration::from_millis(300)));
    let behind = fast.iter().skip(before.try_into().unwrap()).count();
    println!("{before} frames before the kill, {behind} of {} behind it by the old table", all - before);
    assert!(behind <= (over - before).try_into().unwrap(), "its last word was before its end");
    // In their order: first all by the one way, then all by the other.
    assert_eq!([fast, slow].concat(), (0..all).map(frame).collect::<Vec<_>>());

    let config = XdpConfig { next_hops: 1, ..lab.config(16, AttachMode::Auto) };
    let mut plane = lab.open(&config).unwrap();
    let next = |to: &Capture, n| {
        socket.send(&frame(n)).unwrap();
        assert_eq!(to.next(BOUND).unwrap(), frame(n));
    };
    let [to_firewall, to_wire] = &captures;
    next(to_firewall, all);
    plane.forward_until(Moment(u64::MAX));
    next(to_wire, all + 1);
}

/// What the dead process used and the next does not is cleared away.
#[test]
fn another_configuration_after_a_kill() {
    let lab = Lab::new();
    let mut device = start_child(&lab, "a_killed_process_leaves_the_wire_lit");
    device.kill().unwrap();

    let plane = lab.open(&lab.config(16, AttachMode::Generic)).unwrap();
    assert!(plane.describe().ports.iter().all(|port| port.mode == "generic"));
    let link = lab.device.ip("link show dev wire-a").unwrap();
    assert!(link.contains("xdpgeneric"), "{link}");
    drop(plane);
    assert!(!lab.pin_dir.exists());
}
