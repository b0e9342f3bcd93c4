//! Cases: next hops, NAT, VLAN flows.

use opof_session::l3::{Family as HopFamily, NextHop, NextHopId, VlanFlow};
use opof_session::plane::{FastAction, PacketChange, Route, Rule, Slot};
use opof_session::types::{Lif, MatchKey};
use opof_wire::ethernet::MacAddress;
use opof_wire::{Addresses, Endpoint, FlowKey, SlowPath, Transport, Vid};

use super::Verdict;
use super::bench::{Bench, Step};
use super::failure::Failure;
use super::frames::{
    ACK, CTAG, Family, SYN, Tag, ethernet, every_kind, flow, packet, routed, routed_macs, tagged, with_checksums,
    with_flags, with_hops,
};

const NO_NEXT_HOPS: Verdict = Verdict::NotApplicable("the plane has no next hops");
const NO_NAT: Verdict = Verdict::NotApplicable("the plane has no NAT");
const NO_FLOWS: Verdict = Verdict::NotApplicable("the plane has no VLAN flows");

fn hop(id: u32, number: u8) -> NextHop {
    let (source, destination) = routed_macs(number);
    NextHop {
        id: NextHopId::new(id).expect("not 0"),
        family: HopFamily::V4,
        source: MacAddress(source),
        destination: MacAddress(destination),
    }
}

/// The session of `flow` between the interfaces, with these changes on the way there and back.
fn rules([a, b]: [Lif; 2], flow: FlowKey, answer: FlowKey, changes: [PacketChange; 2]) -> [Rule; 2] {
    let [there, back] = changes.map(|change| move |to| FastAction::Forward { to, change, copy: None });
    [
        Rule { key: MatchKey { lif: a, flow }, action: there(b) },
        Rule { key: MatchKey { lif: b, flow: answer }, action: back(a) },
    ]
}

fn by(id: u32) -> PacketChange {
    PacketChange { next_hop: NextHopId::new(id), ..PacketChange::default() }
}

pub(super) fn next_hop_rewrites_macs_and_ttl(bench: &mut Bench<'_>) -> Result<Verdict, Failure> {
    if !bench.can().next_hops {
        return Ok(NO_NEXT_HOPS);
    }
    let lifs = bench.lifs();
    // Far apart, so that a plane which counts on small numbers shows it.
    let ids = [1, u32::MAX];
    for (id, number) in ids.into_iter().zip(1..) {
        bench.route(Route::SetNextHop(hop(id, number)))?;
    }
    for (slot, flow) in (0..).map(Slot).zip(every_kind(1)) {
        bench.install(slot, rules(lifs, flow, flow.reversed(), ids.map(by)))?;
        let (there, back) =
            (with_checksums(&packet(&flow, 30), true), with_checksums(&packet(&flow.reversed(), 9), true));
        let last = with_checksums(&with_hops(&there, 2), true);
        let gone = |frame: &[u8], number| with_checksums(&routed(frame, number), true);
        bench.exchange(vec![
            Step::rewritten(format!("{flow} by a next hop"), lifs[0], lifs[1], there.clone(), gone(&there, 1)),
            Step::rewritten(format!("the answer to {flow} by another"), lifs[1], lifs[0], back.clone(), gone(&back, 2)),
            Step::rewritten(format!("{flow} with a TTL of 2"), lifs[0], lifs[1], last.clone(), gone(&last, 1)),
        ])?;
        bench.check_counters(&format!("{flow}, routed"), slot, [&[there, last], &[back]])?;
    }
    Ok(Verdict::Passed)
}

pub(super) fn an_expiring_packet_is_not_sent_on(bench: &mut Bench<'_>) -> Result<Verdict, Failure> {
    if !bench.can().next_hops {
        return Ok(NO_NEXT_HOPS);
    }
    let lifs = bench.lifs();
    bench.route(Route::SetNextHop(hop(7, 1)))?;
    for (slot, flow) in (0..).map(Slot).zip(every_kind(1)) {
        // The way back is not routed, and what is not routed does not expire.
        bench.install(slot, rules(lifs, flow, flow.reversed(), [by(7), PacketChange::default()]))?;
        let frames =
            [0, 1].map(|hops| (with_hops(&packet(&flow, 8), hops), with_hops(&packet(&flow.reversed(), 8), hops)));
        let mut steps = Vec::new();
        for (there, back) in &frames {
            steps.push(Step::slow(format!("{flow}, expiring"), lifs[0], there.clone(), SlowPath::TtlExpired));
            steps.push(Step::hit(format!("the answer to {flow}"), lifs[1], lifs[0], back.clone()));
        }
        bench.exchange(steps)?;
        let back = frames.map(|(_, back)| back);
        bench.check_counters(&format!("{flow}, expired"), slot, [&[], &back])?;
    }
    Ok(Verdict::Passed)
}

pub(super) fn a_next_hop_is_replaced_and_removed_for_all(bench: &mut Bench<'_>) -> Result<Verdict, Failure> {
    if !bench.can().next_hops {
        return Ok(NO_NEXT_HOPS);
    }
    let lifs = bench.lifs();
    let flows = every_kind(1);
    bench.route(Route::SetNextHop(hop(9, 9)))?;
    for (slot, flow) in (0..).map(Slot).zip(&flows) {
        bench.install(slot, rules(lifs, *flow, flow.reversed(), [by(9), by(10)]))?;
    }
    let frames: Vec<_> = flows.iter().map(|flow| (flow, with_checksums(&packet(flow, 8), true))).collect();
    let answers = |what: &'static str| {
        let answers = flows.iter().map(|flow| packet(&flow.reversed(), 8));
        answers.map(move |frame| Step::slow(what, lifs[1], frame, SlowPath::Miss)).collect::<Vec<_>>()
    };
    bench.exchange(answers("a packet whose next hop was never set"))?;
    for number in [9, 1, 2] {
        bench.route(Route::SetNextHop(hop(9, number)))?;
        let step = |(flow, frame): &(&FlowKey, Vec<u8>)| {
            let gone = with_checksums(&routed(frame, number), true);
            Step::rewritten(format!("{flow} by next hop {number}"), lifs[0], lifs[1], frame.clone(), gone)
        };
        bench.exchange(frames.iter().map(step).collect())?;
    }
    bench.route(Route::RemoveNextHop(hop(9, 0).id))?;
    let misses = frames.iter().map(|(flow, frame)| {
        Step::slow(format!("{flow}, whose next hop is gone"), lifs[0], frame.clone(), SlowPath::Miss)
    });
    bench.exchange(misses.collect())?;
    // One that is not there can be removed.
    bench.route(Route::RemoveNextHop(hop(9, 0).id))?;
    for (slot, (flow, frame)) in (0..).map(Slot).zip(frames) {
        bench.check_counters(&format!("{flow}, routed thrice"), slot, [&vec![frame; 3], &[]])?;
    }
    Ok(Verdict::Passed)
}

/// A flow of the same family as `flow`, elsewhere.
fn elsewhere(flow: &FlowKey) -> FlowKey {
    let addresses = match flow.addresses {
        Addresses::V4 { .. } => Addresses::V4 { source: [203, 0, 113, 200], destination: [255, 254, 253, 252] },
        Addresses::V6 { .. } => Addresses::V6 { source: *b"\x20\x01\x0d\xb8outside-srce", destination: [0xFE; 16] },
    };
    FlowKey { addresses, source_port: 1, destination_port: 65_535, ..*flow }
}

fn endpoints(flow: &FlowKey, with_ports: bool) -> (Option<Endpoint>, Option<Endpoint>) {
    let port = |port| with_ports.then_some(port);
    let (source, destination) = (flow.addresses.source(), flow.addresses.destination());
    (
        Some(Endpoint { address: source, port: port(flow.source_port) }),
        Some(Endpoint { address: destination, port: port(flow.destination_port) }),
    )
}

pub(super) fn nat_translates_there_and_back(bench: &mut Bench<'_>) -> Result<Verdict, Failure> {
    if !bench.can().nat {
        return Ok(NO_NAT);
    }
    let lifs = bench.lifs();
    let kinds = every_kind(1).into_iter().flat_map(|flow| [true, false].map(|source| (flow, source)));
    for (slot, (flow, source)) in (0..).map(Slot).zip(kinds) {
        for with_ports in [true, false] {
            let target = elsewhere(&flow);
            let (put, was) = (endpoints(&target, with_ports), endpoints(&flow, with_ports));
            let none = PacketChange::default();
            let (outside, changes) = if source {
                let outside = flow.with_source(&put.0.expect("above"));
                (outside, [PacketChange { source: put.0, ..none }, PacketChange { destination: was.0, ..none }])
            } else {
                let outside = flow.with_destination(&put.1.expect("above"));
                (outside, [PacketChange { destination: put.1, ..none }, PacketChange { source: was.1, ..none }])
            };
            bench.install(slot, rules(lifs, flow, outside.reversed(), changes))?;
            let what = format!("{flow} as {outside}");
            let checked = |flow: &FlowKey, length| with_checksums(&packet(flow, length), true);
            let (mut inward, mut outward, mut steps) = (Vec::new(), Vec::new(), Vec::new());
            for length in [0, 1, 30] {
                let (there, back) = (checked(&flow, length), checked(&outside.reversed(), length));
                steps.push(Step::rewritten(&what, lifs[0], lifs[1], there.clone(), checked(&outside, length)));
                steps.push(Step::rewritten(&what, lifs[1], lifs[0], back.clone(), checked(&flow.reversed(), length)));
                inward.push(there);
                outward.push(back);
            }
            if flow.transport == Transport::Udp {
                let bare = |flow: &FlowKey| with_checksums(&packet(flow, 5), false);
                let no_checksum = format!("{what}, without a checksum");
                steps.push(Step::rewritten(no_checksum, lifs[0], lifs[1], bare(&flow), bare(&outside)));
                inward.push(bare(&flow));
            } else {
                let control = with_flags(&outside.reversed(), SYN | ACK);
                steps.push(Step::slow(format!("a SYN of {what}"), lifs[1], control, SlowPath::TcpControl));
            }
            let untranslated = packet(&flow.reversed(), 4);
            steps.push(Step::slow(format!("the answer to {flow} itself"), lifs[1], untranslated, SlowPath::Miss));
            bench.exchange(steps)?;
            bench.check_counters(&what, slot, [&inward, &outward])?;
            bench.remove(slot)?;
        }
    }
    Ok(Verdict::Passed)
}

pub(super) fn everything_is_changed_at_once(bench: &mut Bench<'_>) -> Result<Verdict, Failure> {
    let can = bench.can();
    if !(can.nat && can.next_hops && can.vlan_rewrite) {
        return Ok(Verdict::NotApplicable("the plane does not change tag, next hop and addresses"));
    }
    let lifs = bench.lifs();
    bench.route(Route::SetNextHop(hop(3, 3)))?;
    let far = Vid::new(4094).expect("the largest VID");
    for (slot, flow) in (0..).map(Slot).zip(every_kind(1).into_iter().filter(|flow| !flow.vlan.is_untagged())) {
        let outside = FlowKey { vlan: far, ..elsewhere(&flow) };
        let change = |vlan, flow: &FlowKey| {
            let (source, destination) = endpoints(flow, true);
            PacketChange { vlan: Some(vlan), next_hop: by(3).next_hop, source, destination }
        };
        let changes = [change(far, &outside), change(flow.vlan, &flow.reversed())];
        bench.install(slot, rules(lifs, flow, outside.reversed(), changes))?;
        let with = |flow: &FlowKey| {
            let tag = Tag::new(CTAG, 0xB000 | flow.vlan.get());
            with_checksums(&tagged(&[tag], flow, 12), true)
        };
        let gone = |flow: &FlowKey| with_checksums(&routed(&with(flow), 3), true);
        bench.exchange(vec![
            Step::rewritten(format!("{flow}"), lifs[0], lifs[1], with(&flow), gone(&outside)),
            Step::rewritten(format!("{outside}"), lifs[1], lifs[0], with(&outside.reversed()), gone(&flow.reversed())),
        ])?;
    }
    Ok(Verdict::Passed)
}

pub(super) fn vlan_flow_steers_the_slow_path(bench: &mut Bench<'_>) -> Result<Verdict, Failure> {
    if !bench.can().vlan_flows {
        return Ok(NO_FLOWS);
    }
    let [a, b] = bench.lifs();
    let vlan = Vid::new(100).expect("a VLAN");
    let known = flow(Family::V4, Transport::Udp, 100, 1);
    bench.install(Slot(0), rules([a, b], known, known.reversed(), [PacketChange::default(); 2]))?;
    let tag = Tag::new(CTAG, 0xF064);
    let slow = [
        ("a miss", packet(&flow(Family::V6, Transport::Tcp, 100, 2), 8), SlowPath::Miss),
        ("a SYN", with_flags(&flow(Family::V4, Transport::Tcp, 100, 2), SYN), SlowPath::TcpControl),
        ("ARP", ethernet(&[tag], 0x0806, &[0; 46]), SlowPath::EtherType),
        ("a third tag", ethernet(&[tag; 3], 0x0800, &[0; 46]), SlowPath::TooManyTags),
        ("a cut inner tag", ethernet(&[tag], CTAG, &[0, 1]), SlowPath::Truncated),
    ];
    let elsewhere = [
        ("untagged", packet(&flow(Family::V4, Transport::Udp, 0, 2), 8), SlowPath::Miss),
        ("another VLAN", packet(&flow(Family::V4, Transport::Udp, 101, 2), 8), SlowPath::Miss),
        (
            "the VLAN inside",
            tagged(&[Tag::new(CTAG, 7), tag], &flow(Family::V4, Transport::Udp, 0, 2), 8),
            SlowPath::Miss,
        ),
    ];
    let all = |to: Lif, lif: Lif| {
        let steered = slow.iter().map(|(what, frame, reason)| Step::steered(*what, lif, frame.clone(), *reason, to));
        let others = elsewhere.iter().map(|(what, frame, reason)| Step::slow(*what, lif, frame.clone(), *reason));
        let hit = (lif == a).then(|| Step::hit("a hit", a, b, packet(&known, 8)));
        steered.chain(others).chain(hit).collect::<Vec<_>>()
    };
    for to in [b, a] {
        bench.route(Route::SetVlanFlow(VlanFlow { vlan, lif: to }))?;
        bench.exchange([all(to, a), all(to, b)].concat())?;
    }
    let others = VlanFlow { vlan: Vid::MAX, lif: b };
    bench.route(Route::SetVlanFlow(others))?;
    bench.route(Route::RemoveVlanFlow(vlan))?;
    let last =
        Step::steered("the last VLAN", a, packet(&flow(Family::V4, Transport::Udp, 4094, 2), 8), SlowPath::Miss, b);
    bench.exchange([all(a, a), all(b, b), vec![last.clone()]].concat())?;
    bench.route(Route::ClearVlanFlows)?;
    bench.exchange(vec![Step::slow("all flows are gone", a, last.frame, SlowPath::Miss)])?;
    Ok(Verdict::Passed)
}
