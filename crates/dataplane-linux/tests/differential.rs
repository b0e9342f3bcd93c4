//! The XDP program and the Rust pipeline on the same frames: same key, same verdict, same frame, same counters.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the way to fail")]

mod common;

use std::collections::{BTreeMap, HashMap};

use common::{Lab, command, install, lifs};
use opof_dataplane::pipeline::{Decision, Hit, Outcome, Port, decide};
use opof_dataplane::{DataPlane, PortCounters, PortRole, Tally};
use opof_dataplane_linux::XdpPlane;
use opof_dataplane_linux::probe::{DROPPED, PortRunner, Probe, REDIRECTED};
use opof_session::plane::{Command, Completion, FastAction, ReadToken, Rule, Slot};
use opof_session::types::{Counters, Direction, Lif, MatchKey};
use opof_testkit::frames::{self, MIN_FRAME_LEN, RandomFrames, Rng};
use opof_testkit::packet::Packet;
use opof_wire::{FlowKey, SlowPath, Tunnel, Vid, classify};

const RANDOM_FRAMES: usize = 100_000;
const SEED: u64 = 0x6f70_6f66;

/// Both implementations on the same table.
struct Pair {
    plane: XdpPlane,
    probes: Vec<(Lif, Probe, PortRunner)>,
    table: HashMap<MatchKey, Hit>,
    sessions: u32,
    records: HashMap<Slot, Counters>,
    ports: HashMap<Lif, PortCounters>,
    verdicts: BTreeMap<String, u64>,
}

impl Pair {
    fn new(lab: &Lab) -> Self {
        let plane = lab.plane(4096);
        let probes = lifs()
            .into_iter()
            .map(|lif| {
                let probe = Probe::new(&plane, lif).unwrap();
                (lif, probe, PortRunner::new(&plane, lif, PortRole::Wire).unwrap())
            })
            .collect();
        let (table, records, ports) = (HashMap::new(), HashMap::new(), HashMap::new());
        let mut pair = Self { plane, probes, table, sessions: 0, records, ports, verdicts: BTreeMap::new() };
        pair.fill();
        pair
    }

    /// Of the keys a quarter is missing, forwarded, forwarded with another VID, dropped; from both LIFs. By chance, so that
    /// no kind of key has one fate alone.
    fn fill(&mut self) {
        let fixtures = frames::whole().into_iter().filter_map(|fixture| fixture.expect.ok());
        let keys: Vec<FlowKey> = fixtures.chain(frames::pool()).collect();
        let mut rng = Rng::new(SEED);
        for flow in keys {
            let [a, b] = lifs();
            let [from, to] = if rng.chance(50) { [a, b] } else { [b, a] };
            let (action, out_vlan) = match rng.below(4) {
                0 => continue,
                2 if !flow.vlan.is_untagged() => (Some(Vid::new(4000)), Vid::new(4000).unwrap()),
                1 | 2 => (Some(None), flow.vlan),
                _ => (None, flow.vlan),
            };
            let mut answer = flow.reversed();
            answer.vlan = out_vlan;
            let act = |to, back: Vid| match action {
                Some(rewrite) => FastAction::Forward { to, rewrite: rewrite.map(|_| back) },
                None => FastAction::Drop,
            };
            let rules = [
                Rule { key: MatchKey { lif: from, flow }, action: act(to, out_vlan) },
                Rule { key: MatchKey { lif: to, flow: answer }, action: act(from, flow.vlan) },
            ];
            if rules.iter().any(|rule| self.table.contains_key(&rule.key)) {
                continue;
            }
            install(&mut self.plane, self.sessions, rules);
            let slot = Slot(self.sessions);
            for (rule, direction) in rules.into_iter().zip([Direction::In, Direction::Out]) {
                self.table.insert(rule.key, Hit { slot, direction, action: rule.action });
            }
            self.records.insert(slot, Counters::default());
            self.sessions += 1;
        }
    }

    fn compare(&mut self, name: &str, frame: &[u8]) {
        for (lif, probe, runner) in &mut self.probes {
            let port = Port::wire(*lif);
            let decision = decide(port, frame, |key| self.table.get(key).copied());

            let judged = probe.judge(&self.plane, frame).unwrap();
            let key = classify(frame).ok().map(|flow| MatchKey { lif: *lif, flow });
            assert_eq!(judged.key, key, "key of {name}: {frame:02x?}");
            let expected = match decision {
                Decision::SlowPath(reason) => Err(reason),
                _ => Ok(self.table[&key.unwrap()]),
            };
            assert_eq!(judged.verdict, expected, "verdict on {name}: {frame:02x?}");

            let run = runner.run(frame, 1).unwrap();
            match decision.apply(port, frame) {
                Outcome::Out { frame: left, .. } => {
                    assert_eq!(run.code, REDIRECTED, "{name}: {frame:02x?}");
                    assert_eq!(run.frame, left, "what left of {name}");
                }
                Outcome::Dropped => assert_eq!(run.code, DROPPED, "{name}: {frame:02x?}"),
            }
            let len = frame.len() as u64;
            count(self.ports.entry(*lif).or_default(), &mut self.records, &decision, len);
            *self.verdicts.entry(word(&decision, key.map(|key| key.flow.tunnel))).or_default() += 1;
        }
    }

    /// Everything that was counted, on both sides.
    fn compare_counters(&mut self) {
        for port in self.plane.describe().ports.iter().filter(|port| port.role == PortRole::Wire) {
            assert_eq!(port.counters, self.ports[&port.lif], "port {}", port.name);
        }
        for slot in (0..self.sessions).map(Slot) {
            let answers = command(&mut self.plane, &[Command::Read { slot, token: ReadToken(1) }]);
            let [Completion::Read { counters, .. }] = answers[..] else { panic!("{answers:?}") };
            let expected = self.records[&slot];
            assert_eq!((counters.inward, counters.outward), (expected.inward, expected.outward), "{slot:?}");
            assert_eq!(counters.last_seen.is_some(), expected != Counters::default(), "{slot:?}");
        }
    }
}

fn count(port: &mut PortCounters, records: &mut HashMap<Slot, Counters>, decision: &Decision, len: u64) {
    let add = |tally: &mut Tally| {
        tally.packets += 1;
        tally.bytes += len;
    };
    add(&mut port.received);
    match decision {
        Decision::SlowPath(reason) => add(&mut port.slow_path[*reason as usize]),
        Decision::Forward { .. } => add(&mut port.forwarded),
        Decision::Drop { .. } => add(&mut port.dropped),
        Decision::FromFirewall => unreachable!("all frames come from wire ports"),
    }
    let (Decision::Forward { slot, direction, .. } | Decision::Drop { slot, direction }) = decision else { return };
    let record = records.get_mut(slot).unwrap();
    let counters = if *direction == Direction::In { &mut record.inward } else { &mut record.outward };
    counters.packets += 1;
    counters.bytes += len;
}

/// What became of a frame, and whether the key that it had is of a tunnelled packet.
fn word(decision: &Decision, tunnel: Option<Tunnel>) -> String {
    let word = match decision {
        Decision::SlowPath(reason) => format!("slow path, {reason}"),
        Decision::Forward { rewrite: None, .. } => "hit, forward".to_owned(),
        Decision::Forward { .. } => "hit, forward with another VID".to_owned(),
        Decision::Drop { .. } => "hit, drop".to_owned(),
        Decision::FromFirewall => unreachable!("all frames come from wire ports"),
    };
    if tunnel == Some(Tunnel::Gtpu) { format!("{word}, in GTP-U") } else { word }
}

#[test]
fn xdp_and_the_pipeline_agree() {
    let lab = Lab::new();
    let mut pair = Pair::new(&lab);
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
    for (n, frame) in RandomFrames::new(SEED).take(RANDOM_FRAMES).enumerate() {
        pair.compare(&format!("random frame {n} of seed {SEED:#x}"), &frame);
    }
    pair.compare_counters();
    println!("{} sessions; fixtures that the kernel can't run: {too_short}", pair.sessions);
    for (verdict, frames) in &pair.verdicts {
        println!("{frames:>8} {verdict}");
    }
    // All that a frame can get: every reason of the parser, a miss, and three kinds of hits, each with and without GTP-U.
    let reasons = SlowPath::ALL.into_iter().filter(|reason| reason.is_of_the_parser()).count();
    assert_eq!(pair.verdicts.len(), reasons + 2 * (1 + 3), "a verdict that no frame gets is not tested");
}

/// Such a frame is not in one piece: behind the first page the programs see its length only.
#[test]
fn jumbo_frames_are_judged_by_their_whole_length() {
    let lab = Lab::new();
    let mut pair = Pair::new(&lab);
    let hits: Vec<FlowKey> = pair.table.keys().filter(|key| key.lif == lifs()[0]).map(|key| key.flow).collect();
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
            "hit, forward",
            "hit, drop",
            "hit, forward with another VID",
            "slow path, truncated",
            "hit, forward, in GTP-U"
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
