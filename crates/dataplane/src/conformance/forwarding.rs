//! Cases: what is forwarded, what is discarded, and what is counted of it.

use opof_wire::{SlowPath, Transport};

use super::Verdict;
use super::bench::{Bench, Step};
use super::failure::Failure;
use super::frames::{self, ACK, FIN, Family, RST, SYN, ethernet, every_kind, flow, packet, with_flags};
use super::session::Session;

/// The three flags that are the firewall's business.
const CONTROL: u8 = SYN | FIN | RST;

pub(super) fn miss_goes_to_the_firewall(bench: &mut Bench<'_>) -> Result<Verdict, Failure> {
    let mut steps = Vec::new();
    for lif in bench.lifs() {
        for flow in every_kind(1) {
            steps.push(Step::slow(format!("{flow}, no session"), lif, packet(&flow, 20), SlowPath::Miss));
        }
    }
    bench.exchange(steps)?;
    Ok(Verdict::Passed)
}

pub(super) fn firewall_port_goes_to_the_wire(bench: &mut Bench<'_>) -> Result<Verdict, Failure> {
    let lifs = bench.lifs();
    let flow = flow(Family::V4, Transport::Tcp, 0, 1);
    let session = Session::forward(0, flow, lifs);
    let dropping = Session::drop(1, frames::flow(Family::V6, Transport::Udp, 7, 2), lifs);
    bench.install(session.slot, session.rules())?;
    bench.install(dropping.slot, dropping.rules())?;
    let mut steps = Vec::new();
    for lif in lifs {
        let frames = [
            ("a packet without a session", packet(&flow.reversed(), 9)),
            ("a packet of a session", packet(&flow, 10)),
            ("a packet of a DROP session", packet(&dropping.flow, 10)),
            ("a SYN", with_flags(&flow, SYN)),
            ("ARP", ethernet(&[], 0x0806, &[0; 46])),
            ("an empty IPv4 packet", ethernet(&[], frames::ETHERTYPE_IPV4, &[])),
            ("four tags", ethernet(&[frames::Tag::new(frames::STAG, 4095); 4], 0x1234, &[1, 2, 3])),
        ];
        steps.extend(frames.map(|(what, frame)| Step::from_firewall(what, lif, frame)));
    }
    bench.exchange(steps)?;
    bench.check_counters("after packets from the firewall", session.slot, [&[], &[]])?;
    bench.check_counters("after packets from the firewall", dropping.slot, [&[], &[]])?;
    Ok(Verdict::Passed)
}

pub(super) fn hit_is_forwarded_both_ways(bench: &mut Bench<'_>) -> Result<Verdict, Failure> {
    let [a, b] = bench.lifs();
    // The second session of each flow's reverse goes the other way: "in" is not a matter of which interface is first.
    for lifs in [[a, b], [b, a]] {
        for (slot, flow) in (0..).zip(every_kind(1)) {
            let session = Session::forward(slot, flow, lifs);
            bench.install(session.slot, session.rules())?;
            let inward: Vec<_> = [0, 1, 700].map(|payload| packet(&flow, payload)).to_vec();
            let outward: Vec<_> = [30, 1400].map(|payload| packet(&session.answer(), payload)).to_vec();
            let [from, to] = lifs;
            let mut steps = Vec::new();
            steps.extend(inward.iter().map(|frame| Step::hit(format!("{flow}, in"), from, to, frame.clone())));
            steps.extend(outward.iter().map(|frame| Step::hit(format!("{flow}, out"), to, from, frame.clone())));
            bench.exchange(steps)?;
            bench.check_counters(&format!("{flow}, 3 packets in, 2 out"), session.slot, [&inward, &outward])?;
        }
        bench.clear()?;
    }
    Ok(Verdict::Passed)
}

pub(super) fn drop_discards_and_counts(bench: &mut Bench<'_>) -> Result<Verdict, Failure> {
    let lifs = bench.lifs();
    for (slot, flow) in (0..).zip(every_kind(1)) {
        let session = Session::drop(slot, flow, lifs);
        bench.install(session.slot, session.rules())?;
        let inward = vec![packet(&flow, 5), packet(&flow, 600)];
        let outward = vec![packet(&session.answer(), 77)];
        let mut steps: Vec<_> =
            inward.iter().map(|frame| Step::dropped(format!("{flow}, DROP"), lifs[0], frame.clone())).collect();
        steps.push(Step::dropped(format!("{flow}, DROP, answer"), lifs[1], outward[0].clone()));
        bench.exchange(steps)?;
        bench.check_counters(&format!("{flow}, DROP"), session.slot, [&inward, &outward])?;
    }
    Ok(Verdict::Passed)
}

pub(super) fn padding_is_forwarded_and_counted(bench: &mut Bench<'_>) -> Result<Verdict, Failure> {
    let lifs = bench.lifs();
    for (slot, flow) in (0..).zip(every_kind(1)) {
        let session = Session::forward(slot, flow, lifs);
        bench.install(session.slot, session.rules())?;
        let mut frame = packet(&flow, 0);
        frame.extend([0xEE; 18]);
        let what = format!("{flow} with 18 bytes of padding");
        bench.exchange(vec![Step::hit(&what, lifs[0], lifs[1], frame.clone())])?;
        bench.check_counters(&what, session.slot, [&[frame], &[]])?;
    }
    Ok(Verdict::Passed)
}

/// 1500 bytes of IP, the most that every Ethernet carries.
pub(super) fn large_frames_are_forwarded(bench: &mut Bench<'_>) -> Result<Verdict, Failure> {
    let lifs = bench.lifs();
    let [udp4, udp6] = [Family::V4, Family::V6].map(|family| flow(family, Transport::Udp, 0, 1));
    for (slot, flow, payload) in [(0, udp4, 1472), (1, udp6, 1452)] {
        let session = Session::forward(slot, flow, lifs);
        bench.install(session.slot, session.rules())?;
        let frame = packet(&flow, payload);
        assert_eq!(frame.len(), 1514, "a full frame");
        bench.exchange(vec![Step::hit(format!("{flow}, 1514 bytes"), lifs[0], lifs[1], frame.clone())])?;
        bench.check_counters(&format!("{flow}, 1514 bytes"), session.slot, [&[frame], &[]])?;
    }
    Ok(Verdict::Passed)
}

pub(super) fn last_seen_follows_the_packets(bench: &mut Bench<'_>) -> Result<Verdict, Failure> {
    let lifs = bench.lifs();
    let flow = flow(Family::V4, Transport::Tcp, 0, 1);
    let sessions =
        [Session::forward(0, flow, lifs), Session::drop(1, frames::flow(Family::V6, Transport::Udp, 0, 2), lifs)];
    for session in sessions {
        bench.install(session.slot, session.rules())?;
        bench.check_counters("before the first packet", session.slot, [&[], &[]])?;
        for round in 0..4 {
            let (what, lif, to, flow) = if round % 2 == 0 {
                (format!("round {round}, in"), lifs[0], lifs[1], session.flow)
            } else {
                (format!("round {round}, out"), lifs[1], lifs[0], session.answer())
            };
            let frame = packet(&flow, 10);
            let drops = session == sessions[1];
            let step = if drops { Step::dropped(&what, lif, frame) } else { Step::hit(&what, lif, to, frame) };
            let from = *bench.now().start();
            bench.exchange(vec![step])?;
            let until = *bench.now().end();
            let found = bench.read(session.slot)?.last_seen;
            if !found.is_some_and(|found| found >= from && found <= until) {
                return Err(Failure::LastSeen { what, found, from, to: until });
            }
        }
        let before = bench.read(session.slot)?;
        let syn = with_flags(&sessions[0].flow, SYN);
        bench.exchange(vec![Step::slow("a SYN", lifs[0], syn, SlowPath::TcpControl)])?;
        let found = bench.read(session.slot)?;
        if found != before {
            return Err(Failure::SessionCounters { what: "after a SYN".to_owned(), found, expected: before });
        }
    }
    Ok(Verdict::Passed)
}

/// Every combination of the eight flags, in both directions, of a session that is installed.
pub(super) fn tcp_control_goes_to_the_firewall(bench: &mut Bench<'_>) -> Result<Verdict, Failure> {
    let lifs = bench.lifs();
    let kinds = every_kind(1).into_iter().filter(|flow| flow.transport == Transport::Tcp);
    for (slot, flow) in (0..).zip(kinds) {
        let session = Session::forward(slot, flow, lifs);
        bench.install(session.slot, session.rules())?;
        let mut forwarded = [Vec::new(), Vec::new()];
        let mut steps = Vec::new();
        for flags in 0..=u8::MAX {
            let directions = [(flow, lifs[0], lifs[1]), (session.answer(), lifs[1], lifs[0])];
            for ((flow, from, to), forwarded) in directions.into_iter().zip(&mut forwarded) {
                let frame = with_flags(&flow, flags);
                let what = format!("{flow} with flags {flags:#04x}");
                if flags & CONTROL == 0 {
                    forwarded.push(frame.clone());
                    steps.push(Step::hit(what, from, to, frame));
                } else {
                    steps.push(Step::slow(what, from, frame, SlowPath::TcpControl));
                }
            }
        }
        bench.exchange(steps)?;
        let [inward, outward] = &forwarded;
        bench.check_counters(&format!("{flow} with all flags"), session.slot, [inward, outward])?;
    }
    let other = flow(Family::V4, Transport::Tcp, 0, 99);
    let syn_ack = with_flags(&other, SYN | ACK);
    bench.exchange(vec![Step::slow("SYN ACK without a session", lifs[0], syn_ack, SlowPath::TcpControl)])?;
    Ok(Verdict::Passed)
}
