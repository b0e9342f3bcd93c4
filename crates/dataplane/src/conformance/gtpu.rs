//! Cases: sessions within GTP-U (3GPP TS 29.281), and what of GTP-U goes to the firewall.
//!
//! Wherever a frame carries a packet, that packet's session is installed, within the tunnel and outside, so that a plane
//! that looks at too little forwards it. What must not be here: frames byte by byte.

use opof_wire::{FlowKey, SlowPath, Transport, Tunnel, Vid};

use super::Verdict;
use super::bench::{Bench, Step};
use super::failure::Failure;
use super::frames::{
    Family, G_PDU, GTPU_PORT, GtpU, ethernet_of, every_kind, flow, gtpu, ip_of, packet, tags_of, tcp, transport, udp_of,
};
use super::session::Session;

/// The three flags that are the firewall's business.
const CONTROL: u8 = 0x07;
const E: u8 = 0x04;
const S: u8 = 0x02;
const PN: u8 = 0x01;
/// An extension header of 4 bytes behind which there is none, and one behind which there is one more.
const LAST: [u8; 4] = [1, 0x10, 9, 0];
const MORE: [u8; 4] = [1, 0x10, 9, 0x85];

/// What every case says of a plane that does not claim GTP-U.
const NOT_CLAIMED: Verdict = Verdict::NotApplicable("the plane does not look into GTP-U");

fn within(flow: FlowKey) -> FlowKey {
    FlowKey { tunnel: Tunnel::Gtpu, ..flow }
}

/// The header in every form that carries a packet: name, flags, what is between the first 8 bytes and the packet.
fn forms() -> Vec<(&'static str, u8, Vec<u8>)> {
    let optional = |next: u8| vec![0x12, 0x34, 0x56, next];
    let with = |extensions: &[[u8; 4]]| [optional(0x85), extensions.concat()].concat();
    let long = [&[4][..], &[0xEE; 14], &[0]].concat();
    vec![
        ("8 bytes of header", 0, vec![]),
        ("a sequence number", S, optional(0)),
        ("an N-PDU number", PN, optional(0)),
        ("a next type without E", S, optional(0x85)),
        ("E without an extension header", E, optional(0)),
        ("a spare bit", 0x08, vec![]),
        ("a PDU session container", E, with(&[LAST])),
        ("all that is optional", E | S | PN, with(&[LAST])),
        ("four extension headers", E, with(&[MORE, MORE, MORE, LAST])),
        ("an extension header of 16 bytes", E, [optional(0x40), long].concat()),
    ]
}

/// A frame with the packet of `flow`, which is within GTP-U, in this form.
fn formed(flow: &FlowKey, outer: Family, flags: u8, front: &[u8], payload: usize) -> Vec<u8> {
    let inner = ip_of(flow, &transport(flow, payload));
    gtpu(&tags_of(flow), outer, GtpU { flags, front, ..GtpU::new(&inner) })
}

/// The whole outer frame, in both directions, in every form and pair of families.
pub(super) fn gtpu_hit_is_forwarded_both_ways(bench: &mut Bench<'_>) -> Result<Verdict, Failure> {
    if !bench.can().gtpu {
        return Ok(NOT_CLAIMED);
    }
    let lifs = bench.lifs();
    for (slot, flow) in (0..).zip(every_kind(1).into_iter().map(within)) {
        let session = Session::forward(slot, flow, lifs);
        bench.install(session.slot, session.rules())?;
        let (mut inward, mut outward, mut steps) = (Vec::new(), Vec::new(), Vec::new());
        for outer in [Family::V4, Family::V6] {
            for (what, flags, front) in forms() {
                let there = formed(&flow, outer, flags, &front, 20);
                let back = formed(&session.answer(), outer, flags, &front, 7);
                let what = format!("{flow} over {outer:?}, {what}");
                steps.push(Step::hit(format!("{what}, in"), lifs[0], lifs[1], there.clone()));
                steps.push(Step::hit(format!("{what}, out"), lifs[1], lifs[0], back.clone()));
                inward.push(there);
                outward.push(back);
            }
        }
        bench.exchange(steps)?;
        bench.check_counters(&flow.to_string(), session.slot, [&inward, &outward])?;
    }
    Ok(Verdict::Passed)
}

pub(super) fn gtpu_session_and_plain_session_are_two(bench: &mut Bench<'_>) -> Result<Verdict, Failure> {
    if !bench.can().gtpu {
        return Ok(NOT_CLAIMED);
    }
    let lifs = bench.lifs();
    for flow in every_kind(1) {
        let [plain, tunnelled] = [Session::forward(0, flow, lifs), Session::drop(1, within(flow), lifs)];
        let frames = [plain, tunnelled].map(|session| (packet(&session.flow, 9), packet(&session.answer(), 8)));
        let missed = |which: usize, other: usize, sessions: [Session; 2]| {
            let (flow, other) = (sessions[which].flow, sessions[other].flow);
            let (there, back) = frames[which].clone();
            let what = format!("{flow}, where {other} is installed");
            [
                Step::slow(format!("{what}, in"), lifs[0], there, SlowPath::Miss),
                Step::slow(format!("{what}, out"), lifs[1], back, SlowPath::Miss),
            ]
        };
        let sessions = [plain, tunnelled];
        bench.install(plain.slot, plain.rules())?;
        bench.exchange(missed(1, 0, sessions).into())?;
        bench.install(tunnelled.slot, tunnelled.rules())?;
        let [(there, back), (dropped, dropped_back)] = frames.clone();
        bench.exchange(vec![
            Step::hit(format!("{flow} beside its twin, in"), lifs[0], lifs[1], there.clone()),
            Step::hit(format!("{flow} beside its twin, out"), lifs[1], lifs[0], back.clone()),
            Step::dropped(format!("{}, in", tunnelled.flow), lifs[0], dropped.clone()),
            Step::dropped(format!("{}, out", tunnelled.flow), lifs[1], dropped_back.clone()),
        ])?;
        bench.check_counters(&flow.to_string(), plain.slot, [&[there], &[back]])?;
        bench.check_counters(&tunnelled.flow.to_string(), tunnelled.slot, [&[dropped], &[dropped_back]])?;
        bench.remove(plain.slot)?;
        bench.exchange(missed(0, 1, sessions).into())?;
        bench.remove(tunnelled.slot)?;
    }
    Ok(Verdict::Passed)
}

/// The outermost tag of the outer frame, and nothing else.
pub(super) fn gtpu_vlan_is_rewritten(bench: &mut Bench<'_>) -> Result<Verdict, Failure> {
    if !bench.can().gtpu {
        return Ok(NOT_CLAIMED);
    }
    if !bench.can().vlan_rewrite {
        return Ok(Verdict::NotApplicable("the plane does not rewrite VLANs"));
    }
    let lifs = bench.lifs();
    let far = Vid::new(4094).expect("the largest VID");
    let kinds = every_kind(1).into_iter().filter(|flow| !flow.vlan.is_untagged()).map(within);
    for (slot, flow) in (0..).zip(kinds) {
        let session = Session::rewrite(slot, flow, far, lifs);
        bench.install(session.slot, session.rules())?;
        let (there, there_after) = (packet(&flow, 8), packet(&FlowKey { vlan: far, ..flow }, 8));
        let answer = session.answer();
        let (back, back_after) = (packet(&answer, 8), packet(&FlowKey { vlan: flow.vlan, ..answer }, 8));
        bench.exchange(vec![
            Step::rewritten(format!("{flow}, in"), lifs[0], lifs[1], there.clone(), there_after),
            Step::rewritten(format!("{flow}, out"), lifs[1], lifs[0], back.clone(), back_after),
        ])?;
        bench.check_counters(&flow.to_string(), session.slot, [&[there], &[back]])?;
    }
    Ok(Verdict::Passed)
}

/// Sessions for `flow` within GTP-U and outside.
fn install_twins(bench: &mut Bench<'_>, flow: FlowKey) -> Result<[Session; 2], Failure> {
    let lifs = bench.lifs();
    let sessions = [Session::forward(0, within(flow), lifs), Session::forward(1, flow, lifs)];
    sessions.iter().try_for_each(|session| bench.install(session.slot, session.rules()))?;
    Ok(sessions)
}

/// Each of `frames` to the firewall; nothing of it is counted for a session, and all sessions go.
fn expect_slow(
    bench: &mut Bench<'_>,
    sessions: &[Session],
    frames: Vec<(String, Vec<u8>, SlowPath)>,
) -> Result<(), Failure> {
    let lif = bench.lifs()[0];
    let steps = frames.into_iter().map(|(what, frame, reason)| Step::slow(what, lif, frame, reason)).collect();
    bench.exchange(steps)?;
    for session in sessions {
        bench.check_counters(&format!("{} after frames of the slow path", session.flow), session.slot, [&[], &[]])?;
        bench.remove(session.slot)?;
    }
    Ok(())
}

/// Echo, error indication, end marker and every other message, even if a packet is behind its header.
pub(super) fn gtpu_messages_go_to_the_firewall(bench: &mut Bench<'_>) -> Result<Verdict, Failure> {
    if !bench.can().gtpu {
        return Ok(NOT_CLAIMED);
    }
    for flow in [flow(Family::V4, Transport::Udp, 0, 1), flow(Family::V6, Transport::Tcp, 100, 1)] {
        let sessions = install_twins(bench, flow)?;
        let inner = ip_of(&flow, &transport(&flow, 8));
        let mut frames = Vec::new();
        for message_type in 0..G_PDU {
            for body in [&inner[..], &[]] {
                let message = GtpU { message_type, ..GtpU::new(body) };
                let frame = gtpu(&tags_of(&flow), Family::V4, message);
                let what = format!("GTP-U message type {message_type} with {} bytes", body.len());
                frames.push((what, frame, SlowPath::GtpuControl));
            }
        }
        expect_slow(bench, &sessions, frames)?;
    }
    Ok(Verdict::Passed)
}

/// Every combination of the eight flags, in a packet of a session that is installed.
pub(super) fn gtpu_tcp_control_goes_to_the_firewall(bench: &mut Bench<'_>) -> Result<Verdict, Failure> {
    if !bench.can().gtpu {
        return Ok(NOT_CLAIMED);
    }
    let lifs = bench.lifs();
    for (slot, flow) in (0..).zip([Family::V4, Family::V6].map(|family| within(flow(family, Transport::Tcp, 0, 1)))) {
        let session = Session::forward(slot, flow, lifs);
        bench.install(session.slot, session.rules())?;
        let (mut steps, mut forwarded) = (Vec::new(), Vec::new());
        for flags in 0..=u8::MAX {
            let inner = ip_of(&flow, &tcp(&flow, flags, 12));
            let frame = gtpu(&[], Family::V4, GtpU::new(&inner));
            let what = format!("{flow} with flags {flags:#04x}");
            if flags & CONTROL == 0 {
                forwarded.push(frame.clone());
                steps.push(Step::hit(what, lifs[0], lifs[1], frame));
            } else {
                steps.push(Step::slow(what, lifs[0], frame, SlowPath::TcpControl));
            }
        }
        bench.exchange(steps)?;
        bench.check_counters(&format!("{flow} with all flags"), session.slot, [&forwarded, &[]])?;
    }
    Ok(Verdict::Passed)
}

pub(super) fn malformed_gtpu_goes_to_the_firewall(bench: &mut Bench<'_>) -> Result<Verdict, Failure> {
    use SlowPath::{Fragment, GtpuExtensions, GtpuMalformed, Ipv4Options, Truncated};
    if !bench.can().gtpu {
        return Ok(NOT_CLAIMED);
    }
    let flow = flow(Family::V4, Transport::Udp, 0, 1);
    let sessions = install_twins(bench, flow)?;
    let inner = ip_of(&flow, &transport(&flow, 8));
    let whole = GtpU::new(&inner);
    let mut frames = Vec::new();
    let mut push = |what: &str, message: GtpU<'_>, reason| {
        for outer in [Family::V4, Family::V6] {
            frames.push((format!("{what}, over {outer:?}"), gtpu(&[], outer, message), reason));
        }
    };
    for version in (0..8_u8).filter(|version| *version != 1) {
        push(&format!("version {version}"), GtpU { version_pt: version << 5 | 0x10, ..whole }, GtpuMalformed);
    }
    push("GTP'", GtpU { version_pt: 0x20, ..whole }, GtpuMalformed);
    push("a length one too small", GtpU { excess: -1, ..whole }, GtpuMalformed);
    push("a length one too large", GtpU { excess: 1, ..whole }, Truncated);
    push("a length that counts the header", GtpU { excess: 8, ..whole }, Truncated);
    push("E without room for its fields", GtpU { flags: E, front: &[0, 0], ..GtpU::new(&[]) }, Truncated);
    let first = [0, 0, 0, 0x85];
    let mut extension = |what: &str, units: &[[u8; 4]], reason| {
        push(what, GtpU { flags: E, front: &[&first[..], &units.concat()].concat(), ..whole }, reason);
    };
    extension("an extension header without length", &[[0, 0x10, 9, 0]], GtpuMalformed);
    extension("an extension header past the end", &[[60, 0x10, 9, 0]], Truncated);
    extension("the longest extension header, which is not there", &[[255, 0x10, 9, 0]], Truncated);
    extension("five extension headers", &[MORE, MORE, MORE, MORE, LAST], GtpuExtensions);
    extension("a fourth extension header without length", &[MORE, MORE, MORE, [0; 4]], GtpuMalformed);
    push("no packet", GtpU::new(&[]), Truncated);
    push("a byte behind the packet", GtpU::new(&[&inner[..], &[0]].concat()), GtpuMalformed);
    for nibble in (0..16_u8).filter(|nibble| ![4, 6].contains(nibble)) {
        let bent = [&[nibble << 4 | 5], &inner[1..]].concat();
        push(&format!("a packet of version {nibble}"), GtpU::new(&bent), GtpuMalformed);
    }
    for (what, at, byte, reason) in [("a fragment", 6, 0x20, Fragment), ("options", 0, 0x46, Ipv4Options)] {
        let mut bent = inner.clone();
        bent[at] = byte;
        push(&format!("a packet with {what}"), GtpU::new(&bent), reason);
    }
    expect_slow(bench, &sessions, frames)?;
    Ok(Verdict::Passed)
}

/// A message that ends after each of its bytes but the last, by UDP's account and by its own.
pub(super) fn gtpu_cut_at_every_byte_goes_to_the_firewall(bench: &mut Bench<'_>) -> Result<Verdict, Failure> {
    if !bench.can().gtpu {
        return Ok(NOT_CLAIMED);
    }
    for family in [Family::V4, Family::V6] {
        let flow = flow(family, Transport::Udp, 0, 1);
        let sessions = install_twins(bench, flow)?;
        let front = [&[0, 0, 0, 0x85][..], &LAST].concat();
        let inner = ip_of(&flow, &transport(&flow, 8));
        let message = GtpU { flags: E, front: &front, ..GtpU::new(&inner) }.bytes();
        let mut frames = Vec::new();
        for len in 0..message.len() {
            let mut cut = message[..len].to_vec();
            let what = format!("{flow}, the first {len} of {} bytes of the message", message.len());
            let mut push = |what: &str, cut: &[u8]| {
                let frame = ethernet_of(&[], Family::V4, &udp_of(GTPU_PORT, GTPU_PORT, cut));
                let padded = [&frame[..], &message[len..]].concat();
                let zeros = [&frame[..], &[0; 16]].concat();
                frames.push((what.to_owned(), frame, SlowPath::Truncated));
                frames.push((format!("{what}, the rest as padding"), padded, SlowPath::Truncated));
                frames.push((format!("{what}, zeros as padding"), zeros, SlowPath::Truncated));
            };
            push(&what, &cut);
            if let Some(length) = len.checked_sub(8) {
                cut[2..4].copy_from_slice(&u16::try_from(length).expect("a short message").to_be_bytes());
                push(&format!("{what}, which says so"), &cut);
            }
        }
        expect_slow(bench, &sessions, frames)?;
    }
    Ok(Verdict::Passed)
}

/// What is UDP to port 2152 is no plain session's, though there be one; from it, and as TCP, it is.
pub(super) fn the_port_of_gtpu_has_no_plain_key(bench: &mut Bench<'_>) -> Result<Verdict, Failure> {
    if !bench.can().gtpu {
        return Ok(NOT_CLAIMED);
    }
    let lifs = bench.lifs();
    for family in [Family::V4, Family::V6] {
        let to = |transport| FlowKey { destination_port: GTPU_PORT, ..flow(family, transport, 0, 1) };
        let [udp, tcp] = [Transport::Udp, Transport::Tcp].map(|transport| Session::forward(0, to(transport), lifs));
        let tcp = Session::forward(1, tcp.flow, lifs);
        // Inside the tunnel it is a port like any other.
        let inside = Session::forward(2, within(udp.flow), lifs);
        for session in [udp, tcp, inside] {
            bench.install(session.slot, session.rules())?;
        }
        let (answer, segment, wrapped) = (packet(&udp.answer(), 60), packet(&tcp.flow, 4), packet(&inside.flow, 40));
        bench.exchange(vec![
            Step::slow("nothing to port 2152", lifs[0], packet(&udp.flow, 0), SlowPath::Truncated),
            // The filler begins with version 0.
            Step::slow("filler to port 2152", lifs[0], packet(&udp.flow, 60), SlowPath::GtpuMalformed),
            Step::hit("from port 2152", lifs[1], lifs[0], answer.clone()),
            Step::hit("TCP to port 2152", lifs[0], lifs[1], segment.clone()),
            Step::hit("to port 2152 within GTP-U", lifs[0], lifs[1], wrapped.clone()),
        ])?;
        bench.check_counters("UDP at port 2152", udp.slot, [&[], &[answer]])?;
        bench.check_counters("TCP to port 2152", tcp.slot, [&[segment], &[]])?;
        bench.check_counters("UDP to port 2152 within GTP-U", inside.slot, [&[wrapped], &[]])?;
        bench.clear()?;
    }
    Ok(Verdict::Passed)
}
