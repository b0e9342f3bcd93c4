//! Firewalls behind tunnels: the XDP programs and the Rust pipeline on the same frames, in both directions.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the way to fail")]

mod common;

use std::collections::BTreeMap;

use common::pair::{HashTables, Pair};
use common::{COPIES, Lab, TUNNEL_MTU, lifs};
use opof_dataplane::pipeline::{Outcome, Port, decide};
use opof_dataplane::{
    DataPlane, Encapsulation, FirewallTunnel, FromUplink, PortCounters, PortRole, Refused, Tally, decide_uplink,
};
use opof_dataplane_linux::probe::{DROPPED, PASSED, PortRunner, REDIRECTED};
use opof_dataplane_linux::{AttachMode, XdpPlane};
use opof_testkit::frames::{self, MIN_FRAME_LEN, RandomFrames, Rng};
use opof_testkit::packet::Packet;
use opof_wire::decap::Refusal;
use opof_wire::encap::{self, Template};
use opof_wire::ethernet::MacAddress;
use opof_wire::geneve::Metadata;
use opof_wire::{SlowPath, ipv4};

const RANDOM_FRAMES: usize = 100_000;
/// With other sessions each.
const ROUNDS: usize = 10;
const SEED: u64 = 0x6f70_6f66;

#[test]
fn xdp_and_the_pipeline_agree_about_what_goes_to_firewalls() {
    let (mut lab, mut rng) = (Lab::new(), Rng::new(SEED));
    let mut pair = Pair::with_tunnels(&mut lab, &mut rng);
    for fixture in frames::fixtures().into_iter().filter(|fixture| fixture.frame.len() >= MIN_FRAME_LEN) {
        pair.compare(&fixture.name, &fixture.frame);
    }
    for (n, frame) in RandomFrames::new(SEED).take(RANDOM_FRAMES).enumerate() {
        if n % (RANDOM_FRAMES / ROUNDS) == 0 {
            pair.refill(&mut rng);
        }
        pair.compare(&format!("random frame {n} of seed {SEED:#x}"), &frame);
    }
    pair.compare_counters();
    for (verdict, frames) in &pair.verdicts {
        println!("{frames:>8} {verdict}");
    }
    let count = |wanted: &dyn Fn(&str) -> bool| pair.verdicts.keys().filter(|verdict| wanted(verdict)).count();
    // What expires and what misses, too, and those two and TCP control also within GTP-U.
    let reasons = SlowPath::ALL.into_iter().filter(|reason| reason.is_of_the_parser()).count();
    for family in ["tunnel of 66 bytes", "tunnel of 86 bytes"] {
        assert_eq!(count(&|verdict| verdict.starts_with(family)), reasons + 2 + 2, "a reason that is not tested");
    }
    // Untagged, tagged and QinQ, by each tunnel.
    assert_eq!(count(&|verdict| verdict.starts_with("too big, told")), 6);
    assert_eq!(count(&|verdict| verdict == "too big, not told"), 1);
    assert_eq!(count(&|verdict| verdict.starts_with("slow path")), 0, "all of them are behind tunnels");
}

/// Behind the first page the programs see the length only.
#[test]
fn frames_in_several_pieces_do_not_fit_and_are_answered() {
    let mut lab = Lab::new();
    let mut pair = Pair::with_tunnels(&mut lab, &mut Rng::new(SEED));
    for key in frames::pool() {
        let packet = Packet::with_key(&key).payload(&[0xA5; 8900]);
        let frame = packet.clone().build();
        pair.compare(&format!("jumbo frame, {key}"), &frame);
        pair.compare(&format!("jumbo frame, padded, {key}"), &packet.pad_to(frame.len() + 50).build());
    }
    pair.compare_counters();
    assert!(pair.verdicts.keys().any(|verdict| verdict.starts_with("too big, told")), "{:?}", pair.verdicts);
}

#[test]
fn frames_in_several_pieces_go_through_a_tunnel_that_has_room() {
    const MTU: u16 = 9100;
    let mut lab = Lab::new();
    let far = lab.add_collectors().port;
    lab.device.ip(&format!("link set dev {COPIES} mtu {MTU}")).unwrap();
    far.namespace.ip(&format!("link set dev {} mtu {MTU}", far.name)).unwrap();
    let [(lif, tunnel), _] = lab.add_firewalls(MTU);
    let plane = lab.open(&lab.config_with_tunnels(16, AttachMode::Native)).unwrap();
    let wire = PortRunner::new(&plane, lif, PortRole::Wire).unwrap();
    let tables = HashTables { firewalls: vec![(lif, tunnel)], ..HashTables::default() };
    let port = Port::wire(lif);
    for key in frames::pool() {
        let frame = Packet::with_key(&key).payload(&[0x5A; 8900]).build();
        let Outcome::Out { frame: expected, .. } = decide(port, &frame, &tables).apply(port, &frame) else { panic!() };
        assert!(expected.len() == frame.len() + 66);
        let run = wire.run(&frame, 1).unwrap();
        assert_eq!((run.code, run.frame), (REDIRECTED, expected), "{key}");
    }
}

/// With both firewalls of [`Lab::add_firewalls`].
struct Uplink {
    plane: XdpPlane,
    runner: PortRunner,
    firewalls: [(opof_session::types::Lif, FirewallTunnel); 2],
    lab: Lab,
}

impl Uplink {
    fn new() -> Self {
        let mut lab = Lab::new();
        lab.add_collectors();
        let firewalls = lab.add_firewalls(TUNNEL_MTU);
        let plane = lab.open(&lab.config_with_tunnels(16, AttachMode::Native)).unwrap();
        let runner = PortRunner::of_uplink(&plane).unwrap().unwrap();
        Self { plane, runner, firewalls, lab }
    }

    /// What the firewall of the LIF at `position` sends.
    fn sent(&self, position: usize, metadata: Metadata, frame: &[u8]) -> Vec<u8> {
        let end = self.firewalls[position].1.end;
        let [source_mac, destination_mac] = [3, 4].map(|last| MacAddress([2, 0, 0, 9, 0, last]));
        let tunnel =
            encap::Tunnel { source_mac, destination_mac, addresses: end.addresses, vni: end.vni, option: end.option };
        Encapsulation { template: Template::new(&tunnel).unwrap(), source_port: 0xC123, metadata }.apply(frame)
    }
}

/// Something that may happen to a packet on its way, or that its sender may have done wrong.
fn altered(rng: &mut Rng, mut packet: Vec<u8>) -> Vec<u8> {
    match rng.below(10) {
        0..4 => {}
        4 => packet.extend(rng.bytes(40)),
        5 => packet.truncate(MIN_FRAME_LEN + rng.below(packet.len() - MIN_FRAME_LEN)),
        _ => {
            for _ in 0..=rng.below(2) {
                let at = 12 + rng.below(78.min(packet.len() - 12));
                let bit = 1 << rng.below(8);
                packet[at] = rng.pick(&[0, 0xFF, packet[at] ^ bit, packet[at].wrapping_add(1)]);
            }
            if packet[14] == 0x45 && rng.chance(80) {
                ipv4::Packet::new_unchecked(&mut packet[14..]).fill_checksum();
            }
        }
    }
    packet
}

#[test]
fn xdp_and_the_pipeline_agree_about_what_comes_back() {
    const PACKETS: usize = 50_000;
    let (uplink, mut rng) = (Uplink::new(), Rng::new(SEED));
    let numbers = lifs().map(|lif| u32::from(lif.get()));
    let (mut ports, mut at_uplink) = ([Tally::default(); 2], PortCounters::default());
    let mut said: BTreeMap<String, usize> = BTreeMap::new();
    let inner = RandomFrames::new(SEED).filter(|frame| frame.len() >= MIN_FRAME_LEN);
    for frame in inner.take(PACKETS) {
        let position = rng.below(2);
        let mut number = || rng.pick(&[numbers[0], numbers[1], numbers[position], 0, 1, 0x1_0000 + numbers[position]]);
        let metadata = Metadata { in_lif: number(), out_lif: number(), key: 7 };
        let packet = altered(&mut rng, uplink.sent(position, metadata, &frame));
        let decision = decide_uplink(&packet, &uplink.firewalls);
        let run = uplink.runner.run(&packet, 1).unwrap();
        let counted = |tally: &mut Tally, bytes: &[u8]| {
            *tally = Tally { packets: tally.packets + 1, bytes: tally.bytes + bytes.len() as u64 };
        };
        let word = match &decision {
            FromUplink::Out { lif, frame } => {
                assert_eq!((run.code, &run.frame[..]), (REDIRECTED, &packet[frame.clone()]), "{packet:02x?}");
                counted(&mut ports[usize::from(*lif == lifs()[1])], &packet[frame.clone()]);
                counted(&mut at_uplink.received, &packet);
                format!("out of lif {lif}")
            }
            FromUplink::Host(refused) => {
                assert_eq!((run.code, &run.frame), (PASSED, &packet), "{refused:?}: {packet:02x?}");
                if let Some(refused) = refused {
                    counted(&mut at_uplink.received, &packet);
                    counted(&mut at_uplink.refused[refused.number()], &packet);
                }
                refused.map_or("host".to_owned(), |refused| format!("host, {}", refused.name()))
            }
        };
        *said.entry(word).or_default() += 1;
    }
    println!("{said:?}");
    let described = uplink.plane.describe().ports;
    let firewall =
        |lif| described.iter().find(|port| port.lif == Some(lif) && port.role == PortRole::Firewall).unwrap();
    assert_eq!(lifs().map(|lif| firewall(lif).counters.received), ports);
    assert_eq!(firewall(lifs()[0]).name, "geneve:10.99.0.4");
    let last = described.last().unwrap();
    assert_eq!((last.role, last.lif, last.counters), (PortRole::Uplink, None, at_uplink));
    for refusal in [Refusal::UdpChecksum, Refusal::Vni, Refusal::OptionMissing, Refusal::Oam] {
        assert!(at_uplink.refused[Refused::Packet(refusal).number()].packets > 0, "{refusal} is not tested: {said:?}");
    }
    assert!(said.len() > 12 && said["host, lif"] > 1000, "{said:?}");
}

#[test]
fn a_lost_way_loses_what_goes_there_and_nothing_that_comes_back() {
    let uplink = Uplink::new();
    let wire = PortRunner::new(&uplink.plane, lifs()[0], PortRole::Wire).unwrap();
    let frame = Packet::with_key(&frames::pool()[0]).build();
    assert_eq!(wire.run(&frame, 1).unwrap().code, REDIRECTED);
    uplink.lab.device.ip(&format!("neigh del 10.99.0.4 dev {COPIES}")).unwrap();
    let lost = || (wire.run(&frame, 1).unwrap().code == DROPPED).then_some(());
    opof_testkit::wait::until("the way to be lost", common::BOUND, lost).unwrap();
    let wires = uplink.plane.describe().ports[0].counters;
    assert_eq!(wires.unreachable.packets, 1);
    assert_eq!(wires.received.packets, wires.unreachable.packets + wires.slow_path[SlowPath::Miss as usize].packets);
    let metadata = Metadata { in_lif: lifs()[0].get().into(), out_lif: 0, key: 1 };
    let run = uplink.runner.run(&uplink.sent(0, metadata, &frame), 1).unwrap();
    assert_eq!((run.code, run.frame), (REDIRECTED, frame));
}

#[test]
fn answers_are_given_at_the_rate_that_is_set() {
    const PER_SECOND: u32 = 20;
    let mut lab = Lab::new();
    lab.add_collectors();
    lab.add_firewalls(TUNNEL_MTU);
    let mut config = lab.config_with_tunnels(16, AttachMode::Native);
    config.uplink.as_mut().unwrap().answers_per_second = PER_SECOND;
    let plane = lab.open(&config).unwrap();
    let wire = PortRunner::new(&plane, lifs()[1], PortRole::Wire).unwrap();
    let key = frames::pool().into_iter().find(|key| key.addresses.source().is_ipv6()).unwrap();
    let frame = Packet::with_key(&key).payload(&[0; 1400]).build();
    let watch = opof_testkit::wait::Stopwatch::start();
    let answered = (0..2000).filter(|_| wire.run(&frame, 1).unwrap().code == REDIRECTED).count();
    // What the bucket holds, and what has come into it since.
    let most = 50 + 1 + usize::try_from(watch.elapsed().as_millis() * u128::from(PER_SECOND) / 1000).unwrap();
    assert!((50..=most).contains(&answered), "{answered} answers, {most} at most");
    let counters = plane.describe().ports[2].counters;
    assert_eq!(
        (counters.too_big_answered.packets, counters.too_big_dropped.packets),
        (answered as u64, 2000 - answered as u64)
    );
}
