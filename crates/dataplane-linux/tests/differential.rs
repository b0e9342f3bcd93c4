//! The XDP program and the Rust pipeline on the same frames: same key, same verdict, same frame, same counters.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the way to fail")]

mod common;

use common::pair::Pair;
use common::{Lab, lifs, monotonic};
use opof_dataplane::{DataPlane, PortCounters, PortRole, Tally};
use opof_dataplane_linux::probe::{PortRunner, REDIRECTED};
use opof_session::types::Moment;
use opof_testkit::frames::{self, MIN_FRAME_LEN, RandomFrames, Rng};
use opof_testkit::packet::Packet;
use opof_wire::{FlowKey, SlowPath};

const RANDOM_FRAMES: usize = 100_000;
/// With other sessions each.
const ROUNDS: usize = 10;
const SEED: u64 = 0x6f70_6f66;

#[test]
fn xdp_and_the_pipeline_agree() {
    let (mut lab, mut rng) = (Lab::new(), Rng::new(SEED));
    let mut pair = Pair::new(&mut lab, &mut rng);
    let mut too_short = 0;
    for fixture in frames::fixtures() {
        if fixture.frame.len() < MIN_FRAME_LEN {
            // No interface delivers such a frame, and the kernel's test run refuses it.
            let refused = pair.probes[0].2.run(&fixture.frame, 1).unwrap_err();
            assert_eq!(refused.raw_os_error(), Some(22), "{}", fixture.name);
            too_short += 1;
            continue;
        }
        pair.compare(&fixture.name, &fixture.frame);
    }
    let mut sessions = 0;
    for (n, frame) in RandomFrames::new(SEED).take(RANDOM_FRAMES).enumerate() {
        if n % (RANDOM_FRAMES / ROUNDS) == 0 {
            sessions += pair.sessions;
            pair.refill(&mut rng);
        }
        pair.compare(&format!("random frame {n} of seed {SEED:#x}"), &frame);
    }
    pair.compare_counters();
    println!("{sessions} sessions; fixtures that the kernel can't run: {too_short}");
    for (verdict, frames) in &pair.verdicts {
        println!("{frames:>8} {verdict}");
    }
    // All reasons; drops, misses, packets that expire, all mixtures of four changes, lost copies, and copies of both forms over
    // both families with the tag as it was and changed, each with and without GTP-U.
    let reasons = SlowPath::ALL.into_iter().filter(|reason| reason.is_of_the_parser()).count();
    assert_eq!(
        pair.verdicts.len(),
        reasons + 2 * (1 + 1 + 1 + 16 + 1 + 8),
        "a verdict that no frame gets is not tested"
    );
}

/// Whatever a session does with its packets, and whatever a frame is.
#[test]
fn xdp_and_the_pipeline_agree_about_what_comes_too_late() {
    let (mut lab, mut rng) = (Lab::new(), Rng::new(SEED));
    let mut pair = Pair::new(&mut lab, &mut rng);
    let frames = RandomFrames::new(SEED ^ 1).take(RANDOM_FRAMES / ROUNDS);
    let whole =
        frames::fixtures().into_iter().map(|fixture| fixture.frame).filter(|frame| frame.len() >= MIN_FRAME_LEN);
    let frames: Vec<_> = whole.chain(frames).collect();
    let far = Moment(monotonic().0 + 3_600_000_000_000);
    let terms = [(far, false), (monotonic(), true), (Moment(u64::MAX), false), (Moment(0), true)];
    for (until, is_over) in terms {
        pair.forward_until(until, is_over);
        pair.verdicts.clear();
        for (n, frame) in frames.iter().enumerate() {
            pair.compare(&format!("frame {n} of seed {SEED:#x} until {until:?}"), frame);
        }
        pair.compare_counters();
        let hits = pair.verdicts.keys().filter(|verdict| verdict.starts_with("hit")).count();
        assert_eq!(hits == 0, is_over, "{:?}", pair.verdicts);
    }
}

/// Such a frame is not in one piece: behind the first page the programs see its length only.
#[test]
fn jumbo_frames_are_judged_by_their_whole_length() {
    let mut lab = Lab::new();
    let mut pair = Pair::new(&mut lab, &mut Rng::new(SEED));
    let keys = pair.tables.sessions.keys();
    let hits: Vec<FlowKey> = keys.filter(|key| key.lif == lifs()[0]).map(|key| key.flow).collect();
    for key in hits {
        let packet = Packet::with_key(&key).payload(&[0xA5; 8900]);
        let frame = packet.clone().build();
        assert!(frame.len() > 8900);
        pair.compare(&format!("jumbo frame, {key}"), &frame);
        pair.compare(&format!("jumbo frame, padded, {key}"), &packet.pad_to(frame.len() + 50).build());
        pair.compare(&format!("jumbo frame, cut, {key}"), &frame[..frame.len() - 1]);
    }
    pair.compare_counters();
    println!("{:?}", pair.verdicts);
    assert!(
        [
            "hit, forward ",
            "hit, drop",
            "hit, forward next hop",
            "hit, forward VID + source",
            "slow path, truncated",
            "hit, forward , in GTP-U"
        ]
        .iter()
        .all(|verdict| pair.verdicts.contains_key(*verdict))
    );
}

/// The firewall's port looks at nothing and lets everything pass to the wire.
#[test]
fn whatever_the_firewall_sends_goes_out() {
    let lab = Lab::new();
    let plane = lab.plane(16);
    let runner = PortRunner::new(&plane, lifs()[1], PortRole::Firewall).unwrap();
    let mut received = Tally::default();
    for frame in RandomFrames::new(SEED).take(1000) {
        let run = runner.run(&frame, 1).unwrap();
        assert_eq!((run.code, &run.frame), (REDIRECTED, &frame));
        received.packets += 1;
        received.bytes += frame.len() as u64;
    }
    let ports = plane.describe().ports;
    assert_eq!(ports[3].counters, PortCounters { received, ..PortCounters::default() });
    assert_eq!(ports[2].counters, PortCounters::default());
}
