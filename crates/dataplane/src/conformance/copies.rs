//! Cases: copies to collectors, and the packets that carry them, put together byte by byte.

use std::net::IpAddr;

use opof_session::plane::{CopyMoment, FastAction, PacketChange, PacketCopy, Rule, Slot};
use opof_session::types::{Lif, MatchKey};
use opof_wire::encap::Tunnel;
use opof_wire::{Addresses, FlowKey, SlowPath, Transport, Vid};

use super::Verdict;
use super::bench::{Bench, CopyFate, Step};
use super::failure::Failure;
use super::frames::{CTAG, Family, SYN, Tag, every_kind, flow, packet, tagged, with_flags};

const NO_COPIES: Verdict = Verdict::NotApplicable("the plane does not copy, or the rig has no collector");

/// Of a GENEVE header with one option of 12 bytes (RFC 8926, 3.4 and 3.5).
const GENEVE: usize = 8 + 4 + 12;
const UDP: usize = 8;
/// Where the ports are behind an IPv4 and an IPv6 header.
const PORTS: [usize; 2] = [14 + 20, 14 + 40];

fn ports_at(copy: &[u8]) -> usize {
    PORTS[usize::from(copy.get(12) == Some(&0x86))]
}

/// True for the dynamic ports (RFC 6335, 6), which a hash of the flow spreads copies over.
pub(super) fn has_dynamic_port(copy: &[u8]) -> bool {
    copy.get(ports_at(copy)).is_some_and(|byte| byte & 0xC0 == 0xC0)
}

pub(super) fn clear_source_port(copy: &mut [u8]) {
    let at = ports_at(copy);
    if let Some(port) = copy.get_mut(at..at + 2) {
        port.fill(0);
    }
}

/// The packet that carries `frame` through `tunnel`, with UDP source port 0.
fn carried(tunnel: &Tunnel, lifs: [Lif; 2], key: u32, frame: &[u8]) -> Vec<u8> {
    let length = |bytes: usize| u16::try_from(bytes).expect("the suite's packets are small").to_be_bytes();
    let datagram = UDP + GENEVE + frame.len();
    let mut packet = [tunnel.destination_mac.0, tunnel.source_mac.0].concat();
    match tunnel.addresses {
        Addresses::V4 { source, destination } => {
            packet.extend([0x08, 0x00]);
            let mut header = [&[0x45, 0][..], &length(20 + datagram), &[0, 0, 0x40, 0, 64, 17, 0, 0]].concat();
            header.extend([source, destination].concat());
            let words = header.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]));
            let folded = words.fold(0, |sum, word| (sum + word) % 0xFFFF);
            header[10..12].copy_from_slice(&length(usize::try_from(0xFFFF - folded).expect("16 bits")));
            packet.extend(header);
        }
        Addresses::V6 { source, destination } => {
            packet.extend([0x86, 0xDD, 0x60, 0, 0, 0]);
            packet.extend(length(datagram));
            packet.extend([17, 64]);
            packet.extend([source, destination].concat());
        }
    }
    packet.extend([&[0, 0][..], &6081_u16.to_be_bytes(), &length(datagram), &[0, 0]].concat());
    let [_, vni @ ..] = tunnel.vni.to_be_bytes();
    packet.extend([&[0x04, 0, 0x65, 0x58][..], &vni, &[0]].concat());
    packet.extend(tunnel.option.class().to_be_bytes());
    packet.extend([tunnel.option.kind(), 3]);
    for word in [lifs[0].get().into(), lifs[1].get().into(), key] {
        packet.extend(word.to_be_bytes());
    }
    packet.extend(frame);
    packet
}

/// The session of `flow`, on `far` on the other side, with copies of both directions.
fn rules([a, b]: [Lif; 2], flow: FlowKey, far: Vid, copy: PacketCopy) -> [Rule; 2] {
    let answer = FlowKey { vlan: far, ..flow.reversed() };
    let forward = |to, vlan| {
        let change = PacketChange::vlan((flow.vlan != far).then_some(vlan));
        FastAction::Forward { to, change, copy: Some(copy) }
    };
    [
        Rule { key: MatchKey { lif: a, flow }, action: forward(b, far) },
        Rule { key: MatchKey { lif: b, flow: answer }, action: forward(a, flow.vlan) },
    ]
}

pub(super) fn mirror_copies_what_came(bench: &mut Bench<'_>) -> Result<Verdict, Failure> {
    copies(bench, CopyMoment::AsItCame)
}

pub(super) fn snoop_copies_what_leaves(bench: &mut Bench<'_>) -> Result<Verdict, Failure> {
    copies(bench, CopyMoment::AsItLeaves)
}

fn copies(bench: &mut Bench<'_>, moment: CopyMoment) -> Result<Verdict, Failure> {
    let Some(collectors) = bench.collectors().filter(|_| bench.can().copies) else { return Ok(NO_COPIES) };
    let lifs = bench.lifs();
    let far = Vid::new(4094).expect("the largest VID");
    let mut slot = 0;
    for (collector, tunnel) in collectors.reachable {
        for flow in every_kind(1) {
            // On a VLAN the tag is rewritten, so that one can see which form was copied.
            let far = if flow.vlan.is_untagged() { flow.vlan } else { far };
            let copy = PacketCopy { collector, moment, key: 0xFEDC_0000 + slot };
            bench.install_copying(Slot(slot), rules(lifs, flow, far, copy), collector)?;
            let on = |vlan: Vid, flow: &FlowKey, length| {
                let tag = Tag::new(CTAG, 0xB000 | vlan.get());
                tagged(if vlan.is_untagged() { &[] } else { std::slice::from_ref(&tag) }, flow, length)
            };
            let (mut inward, mut outward, mut steps) = (Vec::new(), Vec::new(), Vec::new());
            for length in [0, 1, 900] {
                let answer = flow.reversed();
                let ways = [
                    (lifs, on(flow.vlan, &flow, length), on(far, &flow, length), &mut inward),
                    ([lifs[1], lifs[0]], on(far, &answer, length), on(flow.vlan, &answer, length), &mut outward),
                ];
                for (way, came, leaves, sent) in ways {
                    let inner = if moment == CopyMoment::AsItCame { &came } else { &leaves };
                    let copied = CopyFate::Sent(carried(&tunnel, way, copy.key, inner));
                    let what = format!("{flow} with {length} bytes, copied to {collector}");
                    steps.push(Step::rewritten(what, way[0], way[1], came.clone(), leaves).copied(copied));
                    sent.push(came);
                }
            }
            if flow.transport == Transport::Tcp {
                let control = with_flags(&flow, SYN);
                steps.push(Step::slow(format!("a SYN of {flow}, not copied"), lifs[0], control, SlowPath::TcpControl));
            }
            bench.exchange(steps)?;
            bench.check_counters(&format!("{flow}, copied"), Slot(slot), [&inward, &outward])?;
            bench.remove(Slot(slot))?;
            slot += 1;
        }
    }
    Ok(Verdict::Passed)
}

pub(super) fn a_copy_that_can_not_be_sent_is_counted(bench: &mut Bench<'_>) -> Result<Verdict, Failure> {
    let Some(collectors) = bench.collectors().filter(|_| bench.can().copies) else { return Ok(NO_COPIES) };
    let lifs = bench.lifs();
    let to = |collector: IpAddr| PacketCopy { collector, moment: CopyMoment::AsItCame, key: 1 };
    let (unreachable, reachable) = (to(collectors.unreachable), to(collectors.reachable[0].0));
    let (first, second) = (flow(Family::V4, Transport::Udp, 0, 1), flow(Family::V6, Transport::Udp, 0, 2));
    bench.install(Slot(0), rules(lifs, first, Vid::UNTAGGED, unreachable))?;
    bench.install_copying(Slot(1), rules(lifs, second, Vid::UNTAGGED, reachable), reachable.collector)?;
    let lost = |what, frame: Vec<u8>| Step::hit(what, lifs[0], lifs[1], frame).copied(CopyFate::Lost);
    let (tunnel, most) = (collectors.reachable[0].1, collectors.frame_len_max);
    let of_length = |length: usize| packet(&second, length - packet(&second, 0).len());
    let frames = [packet(&first, 30), of_length(most + 1), of_length(most)];
    let copied = CopyFate::Sent(carried(&tunnel, lifs, reachable.key, &frames[2]));
    bench.exchange(vec![
        lost("to nowhere", frames[0].clone()),
        lost("too large", frames[1].clone()),
        Step::hit("just not too large", lifs[0], lifs[1], frames[2].clone()).copied(copied),
    ])?;
    bench.check_counters("not copied", Slot(0), [&frames[..1], &[]])?;
    bench.check_counters("copied by size", Slot(1), [&frames[1..], &[]])?;
    Ok(Verdict::Passed)
}
