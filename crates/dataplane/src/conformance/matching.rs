//! Cases: which packets are a session's and which only look like it; tags.

use opof_wire::{Addresses, FlowKey, SlowPath, Transport, Tunnel, Vid};

use super::Verdict;
use super::bench::{Bench, Step};
use super::failure::Failure;
use super::frames::{CTAG, Family, STAG, Tag, every_kind, flow, packet, tagged};
use super::session::Session;

/// PCP and DEI, all combinations of their four bits.
const PRIORITIES: std::ops::RangeInclusive<u16> = 0..=0xF;

/// Each packet whose key differs from a session's in one bit is not of that session.
pub(super) fn every_bit_of_the_key_counts(bench: &mut Bench<'_>) -> Result<Verdict, Failure> {
    let lifs = bench.lifs();
    for (slot, flow) in (0..).zip(every_kind(1)) {
        let session = Session::forward(slot, flow, lifs);
        bench.install(session.slot, session.rules())?;
        let steps = neighbours(&flow).into_iter().map(|neighbour| {
            let what = format!("{neighbour}, where {flow} is installed");
            Step::slow(what, lifs[0], packet(&neighbour, 8), SlowPath::Miss)
        });
        bench.exchange(steps.collect())?;
        let frame = packet(&flow, 8);
        bench.exchange(vec![Step::hit(format!("{flow} itself"), lifs[0], lifs[1], frame.clone())])?;
        bench.check_counters(&format!("{flow} among its neighbours"), session.slot, [&[frame], &[]])?;
        bench.remove(session.slot)?;
    }
    Ok(Verdict::Passed)
}

fn neighbours(flow: &FlowKey) -> Vec<FlowKey> {
    let mut all = Vec::new();
    for bit in 0..16 {
        all.push(FlowKey { source_port: flow.source_port ^ (1 << bit), ..*flow });
        all.push(FlowKey { destination_port: flow.destination_port ^ (1 << bit), ..*flow });
    }
    let vlans = (0..12).filter_map(|bit| Vid::new(flow.vlan.get() ^ (1 << bit)));
    all.extend(vlans.map(|vlan| FlowKey { vlan, ..*flow }));
    let other = if flow.transport == Transport::Tcp { Transport::Udp } else { Transport::Tcp };
    all.push(FlowKey { transport: other, ..*flow });
    all.push(FlowKey { tunnel: Tunnel::Gtpu, ..*flow });
    all.extend(address_neighbours(flow.addresses).into_iter().map(|addresses| FlowKey { addresses, ..*flow }));
    all.push(flow.reversed());
    all
}

fn address_neighbours(addresses: Addresses) -> Vec<Addresses> {
    fn flips<const N: usize>(address: [u8; N]) -> impl Iterator<Item = [u8; N]> {
        (0..8 * N).map(move |bit| {
            let mut flipped = address;
            flipped[bit / 8] ^= 1 << (bit % 8);
            flipped
        })
    }
    match addresses {
        Addresses::V4 { source, destination } => flips(source)
            .map(|source| Addresses::V4 { source, destination })
            .chain(flips(destination).map(|destination| Addresses::V4 { source, destination }))
            .collect(),
        Addresses::V6 { source, destination } => flips(source)
            .map(|source| Addresses::V6 { source, destination })
            .chain(flips(destination).map(|destination| Addresses::V6 { source, destination }))
            .collect(),
    }
}

pub(super) fn other_lif_is_a_miss(bench: &mut Bench<'_>) -> Result<Verdict, Failure> {
    let lifs = bench.lifs();
    let mut steps = Vec::new();
    for (slot, flow) in (0..).zip(every_kind(1)) {
        let session = Session::forward(slot, flow, lifs);
        bench.install(session.slot, session.rules())?;
        let (there, back) = (packet(&flow, 8), packet(&session.answer(), 8));
        steps.push(Step::slow(format!("{flow} from the far side"), lifs[1], there, SlowPath::Miss));
        steps.push(Step::slow(format!("the answer to {flow} from the near side"), lifs[0], back, SlowPath::Miss));
    }
    bench.exchange(steps)?;
    Ok(Verdict::Passed)
}

/// One tuple on three VLANs is three sessions; on a fourth it is none.
pub(super) fn other_vlan_is_a_miss(bench: &mut Bench<'_>) -> Result<Verdict, Failure> {
    let lifs = bench.lifs();
    for family in [Family::V4, Family::V6] {
        let kinds = [0, 1, 4094].map(|vlan| flow(family, Transport::Udp, vlan, 1));
        let stranger = flow(family, Transport::Udp, 2, 1);
        let mut frames = Vec::new();
        let mut steps = vec![Step::slow(stranger.to_string(), lifs[0], packet(&stranger, 8), SlowPath::Miss)];
        for (slot, flow) in (0..).zip(kinds) {
            let session = Session::forward(slot, flow, lifs);
            bench.install(session.slot, session.rules())?;
            let frame = packet(&flow, 8 + usize::from(flow.vlan.get() % 7));
            steps.push(Step::hit(flow.to_string(), lifs[0], lifs[1], frame.clone()));
            frames.push((session.slot, frame));
        }
        bench.exchange(steps)?;
        for (slot, frame) in frames {
            bench.check_counters("one packet on its VLAN", slot, [&[frame], &[]])?;
        }
        bench.clear()?;
    }
    Ok(Verdict::Passed)
}

pub(super) fn qinq_matches_the_outer_tag(bench: &mut Bench<'_>) -> Result<Verdict, Failure> {
    let lifs = bench.lifs();
    let kinds = every_kind(1).into_iter().filter(|flow| !flow.vlan.is_untagged());
    for (slot, flow) in (0..).zip(kinds) {
        let session = Session::forward(slot, flow, lifs);
        bench.install(session.slot, session.rules())?;
        let outer = flow.vlan.get();
        let mut inward = Vec::new();
        let mut steps = Vec::new();
        for (outer_tpid, inner_tpid) in [(STAG, CTAG), (CTAG, CTAG), (STAG, STAG), (CTAG, STAG)] {
            for inner in [0, 1, 100, 4094] {
                let frame = tagged(&[Tag::new(outer_tpid, outer), Tag::new(inner_tpid, inner)], &flow, 8);
                let what = format!("{flow} with an inner tag {inner}");
                steps.push(Step::hit(what, lifs[0], lifs[1], frame.clone()));
                inward.push(frame);
            }
        }
        let single = tagged(&[Tag::new(STAG, outer)], &flow, 8);
        steps.push(Step::hit(format!("{flow} in a service tag"), lifs[0], lifs[1], single.clone()));
        inward.push(single);
        let swapped = tagged(&[Tag::new(STAG, outer + 1), Tag::new(CTAG, outer)], &flow, 8);
        steps.push(Step::slow(format!("{flow} in the inner tag"), lifs[0], swapped, SlowPath::Miss));
        bench.exchange(steps)?;
        bench.check_counters(&format!("{flow} in two tags"), session.slot, [&inward, &[]])?;
    }
    Ok(Verdict::Passed)
}

/// A tag with VID 0 names no VLAN: the packet is the untagged session's, and keeps its tag.
pub(super) fn priority_tag_is_untagged(bench: &mut Bench<'_>) -> Result<Verdict, Failure> {
    let lifs = bench.lifs();
    let kinds = every_kind(1).into_iter().filter(|flow| flow.vlan.is_untagged());
    for (slot, flow) in (0..).zip(kinds) {
        let session = Session::forward(slot, flow, lifs);
        bench.install(session.slot, session.rules())?;
        let inward: Vec<_> = PRIORITIES.map(|bits| tagged(&[Tag::new(CTAG, bits << 12)], &flow, 8)).collect();
        let steps =
            inward.iter().map(|frame| Step::hit(format!("{flow} in a priority tag"), lifs[0], lifs[1], frame.clone()));
        bench.exchange(steps.collect())?;
        bench.check_counters(&format!("{flow} in priority tags"), session.slot, [&inward, &[]])?;
    }
    Ok(Verdict::Passed)
}

pub(super) fn pcp_and_dei_are_kept(bench: &mut Bench<'_>) -> Result<Verdict, Failure> {
    let lifs = bench.lifs();
    let known = flow(Family::V4, Transport::Tcp, 100, 1);
    let unknown = flow(Family::V4, Transport::Tcp, 100, 2);
    let session = Session::forward(0, known, lifs);
    bench.install(session.slot, session.rules())?;
    let mut steps = Vec::new();
    for bits in PRIORITIES {
        let tag = [Tag::new(CTAG, (bits << 12) | known.vlan.get())];
        let [known, unknown] = [&known, &unknown].map(|flow| tagged(&tag, flow, 8));
        steps.push(Step::hit(format!("a hit with PCP and DEI {bits:#x}"), lifs[0], lifs[1], known));
        steps.push(Step::slow(format!("a miss with PCP and DEI {bits:#x}"), lifs[0], unknown.clone(), SlowPath::Miss));
        steps.push(Step::from_firewall(format!("from the firewall with {bits:#x}"), lifs[1], unknown));
    }
    bench.exchange(steps)?;
    Ok(Verdict::Passed)
}

pub(super) fn vlan_is_rewritten(bench: &mut Bench<'_>) -> Result<Verdict, Failure> {
    if !bench.can().vlan_rewrite {
        return Ok(Verdict::NotApplicable("the plane does not rewrite VLANs"));
    }
    let lifs = bench.lifs();
    let far = Vid::new(4094).expect("the largest VID");
    let kinds = every_kind(1).into_iter().filter(|flow| !flow.vlan.is_untagged());
    for (slot, flow) in (0..).zip(kinds) {
        let session = Session::rewrite(slot, flow, far, lifs);
        bench.install(session.slot, session.rules())?;
        let (mut inward, mut outward, mut steps) = (Vec::new(), Vec::new(), Vec::new());
        for bits in PRIORITIES {
            for behind in [&[][..], &[Tag::new(CTAG, 0x2007)]] {
                let with = |vid: Vid, flow: &FlowKey| {
                    let outer = Tag::new(if behind.is_empty() { CTAG } else { STAG }, (bits << 12) | vid.get());
                    tagged(&[&[outer], behind].concat(), flow, 8)
                };
                let answer = session.answer();
                let (there, back) = (with(flow.vlan, &flow), with(far, &answer));
                let what = format!("{flow}, {} inner tags, PCP and DEI {bits:#x}", behind.len());
                steps.push(Step::rewritten(&what, lifs[0], lifs[1], there.clone(), with(far, &flow)));
                steps.push(Step::rewritten(&what, lifs[1], lifs[0], back.clone(), with(flow.vlan, &answer)));
                inward.push(there);
                outward.push(back);
            }
        }
        let near_only = packet(&session.flow.reversed(), 8);
        steps.push(Step::slow(format!("the answer to {flow} on the near VLAN"), lifs[1], near_only, SlowPath::Miss));
        bench.exchange(steps)?;
        bench.check_counters(&format!("{flow}, rewritten"), session.slot, [&inward, &outward])?;
    }
    Ok(Verdict::Passed)
}
