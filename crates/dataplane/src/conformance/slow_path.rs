//! Cases: every frame that has no flow key goes to the firewall, byte for byte, counted under its reason.
//!
//! Where a frame has a tuple at all, its session is installed, so that a plane that overlooks the reason forwards it.

use opof_session::types::Lif;
use opof_wire::{FlowKey, SlowPath, Transport};

use super::Verdict;
use super::bench::{Bench, Step};
use super::failure::Failure;
use super::frames::{
    CTAG, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Family, STAG, Tag, around, ethernet, every_kind, flow, ipv4, ipv6, packet,
    tagged, tags_of, transport,
};
use super::session::Session;

/// Extension headers that stop the fast path, by protocol number (IANA, "IPv6 Extension Header Types").
const EXTENSIONS: [u8; 10] = [0, 43, 50, 51, 60, 135, 139, 140, 253, 254];
/// The IPv6 fragment header (RFC 8200, 4.5).
const FRAGMENT_HEADER: u8 = 44;
/// "More fragments" (RFC 791, 3.1).
const MF: u16 = 0x2000;
/// "Don't fragment" (RFC 791, 3.1).
const DF: u16 = 0x4000;

/// Installs a session for each of `flows` between the rig's interfaces, from slot 0 on.
fn install(bench: &mut Bench<'_>, flows: &[FlowKey]) -> Result<Vec<Session>, Failure> {
    let lifs = bench.lifs();
    let sessions: Vec<_> = (0..).zip(flows).map(|(slot, flow)| Session::forward(slot, *flow, lifs)).collect();
    sessions.iter().try_for_each(|session| bench.install(session.slot, session.rules()))?;
    Ok(sessions)
}

/// Each of `frames` into the first interface, to the firewall for `reason`; no session may have counted one.
fn expect(
    bench: &mut Bench<'_>,
    sessions: &[Session],
    frames: Vec<(String, Vec<u8>, SlowPath)>,
) -> Result<Verdict, Failure> {
    let lif: Lif = bench.lifs()[0];
    let steps = frames.into_iter().map(|(what, frame, reason)| Step::slow(what, lif, frame, reason)).collect();
    bench.exchange(steps)?;
    for session in sessions {
        bench.check_counters(&format!("{} after frames of the slow path", session.flow), session.slot, [&[], &[]])?;
    }
    Ok(Verdict::Passed)
}

fn is_v4(flow: &FlowKey) -> bool {
    flow.addresses.source().is_ipv4()
}

pub(super) fn fragments_go_to_the_firewall(bench: &mut Bench<'_>) -> Result<Verdict, Failure> {
    let flows = every_kind(1);
    let sessions = install(bench, &flows)?;
    let mut frames = Vec::new();
    for flow in &flows {
        let body = transport(flow, 16);
        let number = flow.transport.number();
        for (what, bits) in [("first", MF), ("middle", MF | 2), ("last", 2), ("last, DF", DF | 0x1FFF)] {
            let frame = if is_v4(flow) {
                ethernet(&tags_of(flow), ETHERTYPE_IPV4, &ipv4(flow, number, bits, &[], &body))
            } else {
                // RFC 8200, 4.5: 13 bits of offset, two reserved, "more fragments".
                let offset_and_more = ((bits & 0x1FFF) << 3) | u16::from(bits & MF != 0);
                let [high, low] = offset_and_more.to_be_bytes();
                let packet = [&[number, 0, high, low, 0, 0, 0, 9][..], &body].concat();
                ethernet(&tags_of(flow), ETHERTYPE_IPV6, &ipv6(flow, FRAGMENT_HEADER, &packet))
            };
            frames.push((format!("{flow}, {what} fragment"), frame, SlowPath::Fragment));
        }
    }
    expect(bench, &sessions, frames)
}

pub(super) fn ipv4_options_go_to_the_firewall(bench: &mut Bench<'_>) -> Result<Verdict, Failure> {
    let flows: Vec<_> = every_kind(1).into_iter().filter(is_v4).collect();
    let sessions = install(bench, &flows)?;
    let mut frames = Vec::new();
    for flow in &flows {
        for words in 1..=10 {
            let options = [1].repeat(4 * words);
            let packet = ipv4(flow, flow.transport.number(), DF, &options, &transport(flow, 16));
            let frame = ethernet(&tags_of(flow), ETHERTYPE_IPV4, &packet);
            frames.push((format!("{flow}, {words} words of options"), frame, SlowPath::Ipv4Options));
        }
    }
    expect(bench, &sessions, frames)
}

pub(super) fn ipv6_extensions_go_to_the_firewall(bench: &mut Bench<'_>) -> Result<Verdict, Failure> {
    let flows: Vec<_> = every_kind(1).into_iter().filter(|flow| !is_v4(flow)).collect();
    let sessions = install(bench, &flows)?;
    let mut frames = Vec::new();
    for flow in &flows {
        for extension in EXTENSIONS {
            let packet = [&[flow.transport.number(), 0, 1, 4, 0, 0, 0, 0][..], &transport(flow, 16)].concat();
            let frame = ethernet(&tags_of(flow), ETHERTYPE_IPV6, &ipv6(flow, extension, &packet));
            frames.push((format!("{flow} behind extension {extension}"), frame, SlowPath::Ipv6Extension));
        }
    }
    expect(bench, &sessions, frames)
}

/// Every protocol number that is not TCP, UDP or an IPv6 extension header: ICMP, GRE, SCTP, UDP-Lite, 255 …
pub(super) fn other_protocols_go_to_the_firewall(bench: &mut Bench<'_>) -> Result<Verdict, Failure> {
    let [v4, v6] = [Family::V4, Family::V6].map(|family| flow(family, Transport::Udp, 0, 1));
    let sessions = install(bench, &[v4, v6])?;
    let mut frames = Vec::new();
    for protocol in (0..=u8::MAX).filter(|protocol| ![6, 17].contains(protocol)) {
        let frame = ethernet(&[], ETHERTYPE_IPV4, &ipv4(&v4, protocol, 0, &[], &transport(&v4, 16)));
        frames.push((format!("IPv4 protocol {protocol}"), frame, SlowPath::Protocol));
        if protocol != FRAGMENT_HEADER && !EXTENSIONS.contains(&protocol) {
            let frame = ethernet(&[], ETHERTYPE_IPV6, &ipv6(&v6, protocol, &transport(&v6, 16)));
            frames.push((format!("IPv6 next header {protocol}"), frame, SlowPath::Protocol));
        }
    }
    expect(bench, &sessions, frames)
}

pub(super) fn other_ether_types_go_to_the_firewall(bench: &mut Bench<'_>) -> Result<Verdict, Failure> {
    let flow = flow(Family::V4, Transport::Udp, 0, 1);
    let sessions = install(bench, &[flow])?;
    let body = ipv4(&flow, 17, 0, &[], &transport(&flow, 16));
    let types = [
        ("ARP", 0x0806),
        ("LLDP", 0x88CC),
        ("802.3 length", 0x002E),
        ("length 0", 0x0000),
        ("MPLS", 0x8847),
        ("PPPoE", 0x8864),
        ("802.1X", 0x888E),
        ("LACP", 0x8809),
        ("old QinQ, which is no tag", 0x9100),
        ("one more than IPv4", 0x0801),
        ("experimental", 0x88B5),
        ("all ones", 0xFFFF),
    ];
    let mut frames = Vec::new();
    for (what, ether_type) in types {
        for tags in [&[][..], &[Tag::new(CTAG, 5)], &[Tag::new(STAG, 5), Tag::new(CTAG, 6)]] {
            let what = format!("{what} behind {} tags", tags.len());
            frames.push((what, ethernet(tags, ether_type, &body), SlowPath::EtherType));
        }
    }
    expect(bench, &sessions, frames)
}

pub(super) fn reserved_vids_go_to_the_firewall(bench: &mut Bench<'_>) -> Result<Verdict, Failure> {
    let flows = [0, 100].map(|vlan| flow(Family::V4, Transport::Udp, vlan, 1));
    let sessions = install(bench, &flows)?;
    let mut frames = Vec::new();
    for (what, tags) in [
        ("VID 4095", &[(CTAG, 4095)][..]),
        ("VID 4095 with PCP and DEI", &[(STAG, 0xFFFF)]),
        ("outer VID 4095", &[(STAG, 4095), (CTAG, 100)]),
        ("inner VID 4095", &[(STAG, 100), (CTAG, 4095)]),
        ("outer VID 0", &[(STAG, 0), (CTAG, 100)]),
        ("outer VID 0 with PCP", &[(CTAG, 0xE000), (CTAG, 100)]),
        ("two VIDs 0", &[(STAG, 0), (CTAG, 0)]),
    ] {
        let tags: Vec<_> = tags.iter().map(|&(tpid, tci)| Tag::new(tpid, tci)).collect();
        frames.push((what.to_owned(), tagged(&tags, &flows[0], 16), SlowPath::VlanReserved));
    }
    expect(bench, &sessions, frames)
}

pub(super) fn three_tags_go_to_the_firewall(bench: &mut Bench<'_>) -> Result<Verdict, Failure> {
    let flows = every_kind(1);
    let sessions = install(bench, &flows)?;
    let mut frames = Vec::new();
    for flow in &flows {
        for (count, tpid) in [(3, CTAG), (3, STAG), (4, CTAG)] {
            let tags = vec![Tag::new(tpid, 100); count];
            frames.push((format!("{flow} behind {count} tags"), tagged(&tags, flow, 16), SlowPath::TooManyTags));
        }
    }
    expect(bench, &sessions, frames)
}

pub(super) fn malformed_ip_goes_to_the_firewall(bench: &mut Bench<'_>) -> Result<Verdict, Failure> {
    let [v4, v6] = [Family::V4, Family::V6].map(|family| flow(family, Transport::Udp, 0, 1));
    let sessions = install(bench, &[v4, v6])?;
    let ip = 14;
    let bent = |flow: &FlowKey, changes: &[(usize, u8)]| {
        let mut frame = packet(flow, 16);
        for &(at, byte) in changes {
            frame[ip + at] = byte;
        }
        frame
    };
    let mut frames = Vec::new();
    for (what, changes) in [
        ("version 0", &[(0, 0x05)][..]),
        ("version 6", &[(0, 0x65)]),
        ("IHL 4", &[(0, 0x44)]),
        ("IHL 0", &[(0, 0x40)]),
        ("total length 0", &[(2, 0), (3, 0)]),
        ("total length 19", &[(2, 0), (3, 19)]),
        ("the reserved flag", &[(6, 0x80)]),
        ("the reserved flag and MF", &[(6, 0xA0)]),
    ] {
        frames.push((format!("IPv4 with {what}"), bent(&v4, changes), SlowPath::Ipv4Malformed));
    }
    for (what, changes) in
        [("version 4", &[(0, 0x45)][..]), ("version 7", &[(0, 0x70)]), ("payload length 0", &[(4, 0), (5, 0)])]
    {
        frames.push((format!("IPv6 with {what}"), bent(&v6, changes), SlowPath::Ipv6Malformed));
    }
    frames.push(("IPv4 longer than its frame".to_owned(), bent(&v4, &[(2, 1)]), SlowPath::Truncated));
    frames.push(("IPv6 longer than its frame".to_owned(), bent(&v6, &[(4, 1)]), SlowPath::Truncated));
    expect(bench, &sessions, frames)
}

pub(super) fn malformed_transport_goes_to_the_firewall(bench: &mut Bench<'_>) -> Result<Verdict, Failure> {
    let flows = every_kind(1);
    let sessions = install(bench, &flows)?;
    let mut frames = Vec::new();
    for flow in &flows {
        let bent = |at: usize, byte: u8| {
            let mut body = transport(flow, 16);
            body[at] = byte;
            around(&tags_of(flow), flow, &body)
        };
        let faults: &[_] = match flow.transport {
            Transport::Tcp => &[
                ("data offset 0", 12, 0x00, SlowPath::TcpMalformed),
                ("data offset 4", 12, 0x40, SlowPath::TcpMalformed),
                ("data offset past the end", 12, 0xA0, SlowPath::Truncated),
                ("SYN and data offset 4", 12, 0x4F, SlowPath::TcpMalformed),
            ],
            Transport::Udp => &[
                ("length 0", 5, 0, SlowPath::UdpMalformed),
                ("length 7", 5, 7, SlowPath::UdpMalformed),
                ("length one too small", 5, 23, SlowPath::UdpMalformed),
                ("length one too large", 5, 25, SlowPath::Truncated),
                ("length 65304", 4, 0xFF, SlowPath::Truncated),
            ],
        };
        frames
            .extend(faults.iter().map(|&(what, at, byte, reason)| (format!("{flow}, {what}"), bent(at, byte), reason)));
    }
    expect(bench, &sessions, frames)
}

/// Every packet of every kind, under no tag, one and two, ended after each of its bytes but the last.
pub(super) fn frames_cut_at_every_byte_go_to_the_firewall(bench: &mut Bench<'_>) -> Result<Verdict, Failure> {
    let flows = every_kind(1);
    let sessions = install(bench, &flows)?;
    let mut frames = Vec::new();
    for flow in &flows {
        let mut whole = vec![packet(flow, 4)];
        if !flow.vlan.is_untagged() {
            whole.push(tagged(&[Tag::new(STAG, flow.vlan.get()), Tag::new(CTAG, 6)], flow, 4));
        }
        for frame in whole {
            for length in 0..frame.len() {
                let what = format!("{flow}, the first {length} of {} bytes", frame.len());
                frames.push((what, frame[..length].to_vec(), SlowPath::Truncated));
            }
            // The same cut seen by the layer above: IP ends where the bytes do.
            frames.extend(cut_transport(flow));
        }
    }
    expect(bench, &sessions, frames)
}

/// IP packets that are whole and carry a cut transport header.
fn cut_transport(flow: &FlowKey) -> Vec<(String, Vec<u8>, SlowPath)> {
    let header = transport(flow, 0);
    let cut = |length: usize| {
        let what = format!("{flow}, {length} of {} bytes of the transport header", header.len());
        // RFC 8200, 3: a payload length of 0 is a jumbogram's.
        let empty_v6 = length == 0 && !is_v4(flow);
        let reason = if empty_v6 { SlowPath::Ipv6Malformed } else { SlowPath::Truncated };
        (what, around(&tags_of(flow), flow, &header[..length]), reason)
    };
    (0..header.len()).map(cut).collect()
}
