//! The XDP program and `wire::packet_too_big` on the same frames that do not fit: the same answer, byte by byte, or silence for
//! the same reason.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the way to fail")]

use std::collections::BTreeMap;

use opof_dataplane_linux::probe::TooBigProbe;
use opof_testkit::frames::{RandomFrames, Rng, fixtures};
use opof_testkit::packet::Packet;
use opof_wire::packet_too_big::{EXTENSIONS_MAX, MAX_LEN, MTU_MIN_V4, MTU_MIN_V6, QUOTE_V4, QUOTE_V6, Silence, answer};
use opof_wire::{ethernet, icmp, ipv4, ipv6, ipv6_ext, vlan};

const FRAMES: usize = 50_000;
const SEED: u64 = 0x7462;
/// Longer frames are not in one piece for a program: a page, less what stands in front of and behind the frame.
const ONE_PIECE: usize = 3_000;

/// Both on the same frames, and how often what was said.
struct Pair {
    probe: TooBigProbe,
    silences: BTreeMap<Silence, usize>,
    /// By the bytes of the answer, which family and tags decide, and by whether the frame was in one piece.
    answers: BTreeMap<(usize, bool), usize>,
    /// Frames whose headers reach out of their first piece.
    reached_out: usize,
}

impl Pair {
    fn new() -> Self {
        Self { probe: TooBigProbe::new().unwrap(), silences: BTreeMap::new(), answers: BTreeMap::new(), reached_out: 0 }
    }

    fn compare(&mut self, frame: &[u8], mtu: u16) {
        let mut out = [0; MAX_LEN];
        let expect = answer(frame, mtu, &mut out).map(|len| out[..len].to_vec());
        let said = self.probe.answer(frame, mtu).unwrap();
        if said != expect && headers_end(frame) > ONE_PIECE {
            assert_eq!(said, Err(Silence::Malformed), "what the program can't see");
            self.reached_out += 1;
            return;
        }
        assert_eq!(said, expect, "MTU {mtu}, {} bytes: {:02x?}", frame.len(), &frame[..frame.len().min(200)]);
        match said {
            Ok(answer) => *self.answers.entry((answer.len(), frame.len() < ONE_PIECE)).or_default() += 1,
            Err(silence) => *self.silences.entry(silence).or_default() += 1,
        }
    }
}

/// Where the IP packet of a frame begins, behind at most `tags` tags, and its EtherType.
fn network(frame: &[u8], tags: usize) -> Option<(usize, u16)> {
    let mut ether_type = ethernet::Frame::new_checked(frame).ok()?.ether_type();
    let mut at = ethernet::HEADER_LEN;
    for _ in 0..tags {
        if vlan::is_tpid(ether_type) {
            ether_type = vlan::Tag::new_checked(frame.get(at..)?).ok()?.ether_type();
            at += vlan::HEADER_LEN;
        }
    }
    Some((at, ether_type))
}

/// Where the last IPv6 extension header that is looked behind ends, with what has to be seen of the one that follows.
fn headers_end(frame: &[u8]) -> usize {
    let Some((ip, ethernet::IPV6)) = network(frame, 2) else { return 0 };
    let mut at = ip + ipv6::HEADER_LEN;
    let mut next = frame.get(ip + 6).copied();
    for _ in 0..=EXTENSIONS_MAX {
        let Some(header) = frame.get(at..at + ipv6_ext::UNIT_LEN) else { break };
        at += match next {
            Some(ipv6_ext::FRAGMENT) => ipv6_ext::UNIT_LEN,
            Some(ipv6_ext::HOP_BY_HOP | ipv6_ext::ROUTING | ipv6_ext::DESTINATION) => {
                (usize::from(header[1]) + 1) * ipv6_ext::UNIT_LEN
            }
            _ => break,
        };
        next = Some(header[0]);
    }
    at + ipv6_ext::UNIT_LEN
}

/// Puts more payload into the packet and gives it a trait or two that decide whether it is answered. Half of the packets are
/// to be answered if they were whole before.
fn grown(rng: &mut Rng, mut frame: Vec<u8>) -> Vec<u8> {
    if rng.chance(4) {
        frame[rng.pick(&[0, 6])] |= 1;
    }
    match network(&frame, 2) {
        Some((at, ethernet::IPV4)) if frame.len() >= at + ipv4::HEADER_LEN => grown_v4(rng, frame, at),
        Some((at, ethernet::IPV6)) if frame.len() >= at + ipv6::HEADER_LEN => grown_v6(rng, frame, at),
        _ => frame,
    }
}

/// How many bytes of payload more.
fn growth(rng: &mut Rng) -> usize {
    match rng.below(100) {
        0..10 => rng.below(3),
        10..30 => rng.below(300),
        30..92 => 1_200 + rng.below(400),
        _ => 4_000 + rng.below(5_000),
    }
}

/// Inserts random bytes and says by how much a length field of `length` grows; the field can wrap in a damaged packet.
fn insert(rng: &mut Rng, frame: &mut Vec<u8>, at: usize, length: u16) -> u16 {
    let (at, bytes) = (at.min(frame.len()), growth(rng));
    let bytes = rng.bytes(bytes);
    let grown = length.wrapping_add(bytes.len().try_into().unwrap());
    frame.splice(at..at, bytes);
    grown
}

fn grown_v4(rng: &mut Rng, mut frame: Vec<u8>, ip: usize) -> Vec<u8> {
    let header = ip + usize::from(frame[ip] & 0xf) * 4;
    if rng.chance(8) {
        frame[ip + 9] = icmp::PROTOCOL_V4;
        if let Some(kind) = frame.get_mut(header) {
            *kind = rng.pick(&[0, 3, 4, 5, 8, 11, 12, 13]);
        }
    }
    if rng.chance(80) {
        // DF; of these some are first fragments, some later ones.
        frame[ip + 6] = 0x40 | u8::from(rng.chance(10)) << 5;
        frame[ip + 7] = u8::from(rng.chance(10));
    }
    if rng.chance(10) {
        frame[ip + rng.pick(&[12, 16])] = rng.pick(&[0, 1, 126, 127, 128, 223, 224, 239, 240, 255]);
    }
    let length = u16::from_be_bytes([frame[ip + 2], frame[ip + 3]]);
    let length = insert(rng, &mut frame, ip + usize::from(length), length);
    frame[ip + 2..ip + 4].copy_from_slice(&length.to_be_bytes());
    // A header that ends past the frame has no checksum to be set.
    if rng.chance(95) && (ip + ipv4::HEADER_LEN..=frame.len()).contains(&header) {
        ipv4::Packet::new_unchecked(&mut frame[ip..]).fill_checksum();
    }
    frame
}

fn grown_v6(rng: &mut Rng, mut frame: Vec<u8>, ip: usize) -> Vec<u8> {
    if rng.chance(10) {
        let at = ip + rng.pick(&[8, 24]);
        let mut address = [0; 16];
        address[0] = rng.pick(&[0, 0, 0xff, 0xfe]);
        address[15] = rng.pick(&[0, 1, 2]);
        frame[at..at + 16].copy_from_slice(&address);
    }
    let mut length = u16::from_be_bytes([frame[ip + 4], frame[ip + 5]]);
    if rng.chance(15) {
        frame[ip + 6] = icmp::PROTOCOL_V6;
        if let Some(kind) = frame.get_mut(ip + ipv6::HEADER_LEN) {
            *kind = rng.pick(&[1, 2, 127, 128, 136, 137, 138]);
        }
    }
    if rng.chance(40) {
        for _ in 0..=rng.below(EXTENSIONS_MAX + 1) {
            let header = extension(rng, frame[ip + 6]);
            frame[ip + 6] = header.0;
            length = length.wrapping_add(header.1.len().try_into().unwrap());
            let at = ip + ipv6::HEADER_LEN;
            frame.splice(at..at, header.1);
        }
    }
    let length = insert(rng, &mut frame, ip + ipv6::HEADER_LEN + usize::from(length), length);
    frame[ip + 4..ip + 6].copy_from_slice(&length.to_be_bytes());
    frame
}

/// The number and the bytes of an extension header in front of `next`.
fn extension(rng: &mut Rng, next: u8) -> (u8, Vec<u8>) {
    let number = rng.pick(&[ipv6_ext::HOP_BY_HOP, ipv6_ext::ROUTING, ipv6_ext::DESTINATION, ipv6_ext::FRAGMENT, 51]);
    if number == ipv6_ext::FRAGMENT {
        // Of the offset, in the upper bits, the last one at most; the reserved ones and the flag any.
        let offset = u8::from(rng.chance(10)) << 3 | rng.byte() & 7;
        return (number, vec![next, rng.byte(), 0, offset, 1, 2, 3, 4]);
    }
    let units = if rng.chance(95) { rng.below(3) } else { rng.below(256) };
    let mut bytes = rng.bytes((units + 1) * ipv6_ext::UNIT_LEN);
    // Hardly ever does one say that it is longer than it is.
    bytes[0] = next;
    bytes[1] = if rng.chance(98) { units.try_into().unwrap() } else { 255 };
    (number, bytes)
}

/// An MTU at which something turns.
fn mtu(rng: &mut Rng, frame: &[u8]) -> u16 {
    let link = network(frame, 2).map_or(0, |(at, _)| at);
    let packet = u16::try_from(frame.len() - link).unwrap_or(u16::MAX);
    let any = u16::try_from(rng.below(0x1_0000)).unwrap();
    let near = [packet.saturating_sub(1), packet, packet.saturating_add(1), any];
    let usual = [0, MTU_MIN_V4 - 1, MTU_MIN_V6 - 1, 1400, 1500];
    match rng.below(10) {
        0 => rng.pick(&near),
        1 => rng.pick(&usual),
        2..5 => MTU_MIN_V4,
        _ => MTU_MIN_V6,
    }
}

#[test]
fn the_program_and_wire_give_the_same_answers() {
    let (mut pair, mut rng) = (Pair::new(), Rng::new(SEED));
    for frame in fixtures().into_iter().map(|fixture| fixture.frame).filter(|frame| frame.len() >= ethernet::HEADER_LEN)
    {
        pair.compare(&frame, MTU_MIN_V4);
    }
    for frame in RandomFrames::new(SEED).take(FRAMES) {
        // A tenth as it is, which is what a path without a tunnel sees.
        let mut frame = if rng.chance(90) { grown(&mut rng, frame) } else { frame };
        if rng.chance(5) {
            frame.truncate(ethernet::HEADER_LEN + rng.below(frame.len() - ethernet::HEADER_LEN + 1));
        }
        let mtu = mtu(&mut rng, &frame);
        pair.compare(&frame, mtu);
    }
    println!("{:?}\n{:?}\n{} reached out", pair.silences, pair.answers, pair.reached_out);
    for silence in Silence::ALL {
        assert!(pair.silences.get(&silence).is_some_and(|count| *count > 50), "{silence} is hardly tested");
    }
    assert!(pair.reached_out < FRAMES / 1000);
    // Both families, none to two tags, in one piece and in several.
    for headers in [ipv4::HEADER_LEN + QUOTE_V4, ipv6::HEADER_LEN + QUOTE_V6] {
        for tags in 0..3 {
            let len = ethernet::HEADER_LEN + tags * vlan::HEADER_LEN + headers + icmp::HEADER_LEN;
            for one_piece in [true, false] {
                let count = pair.answers.get(&(len, one_piece)).copied().unwrap_or(0);
                assert!(count > 50, "{count} answers of {len} bytes, one piece: {one_piece}");
            }
        }
    }
}

/// Each length around the ends of pages: what is cut off lies in one fragment, in several, or in part of one.
#[test]
fn frames_in_several_pieces_are_answered_from_their_first() {
    let mut pair = Pair::new();
    let v4 = Packet::new().ipv4([10, 0, 0, 1], [10, 0, 0, 2]).udp(1, 2);
    let v6 = Packet::new().ipv6([0xfd; 16], [0xfc; 16]).destination_options().udp(1, 2);
    for packet in [v4, v6] {
        for len in (3_300..3_600).chain(7_350..7_750).chain([9_000, 20_000, 60_000]) {
            let mut frame = packet.clone().vlan(7).payload(&vec![0x5a; len]).build();
            if frame[16..18] == [0x08, 0x00] {
                frame[18 + 6] |= 0x40;
                ipv4::Packet::new_unchecked(&mut frame[18..]).fill_checksum();
            }
            pair.compare(&frame, 1500);
        }
    }
    assert!(pair.silences.is_empty() && pair.reached_out == 0, "{:?}", pair.silences);
    assert!(pair.answers.keys().all(|(len, one_piece)| *len <= MAX_LEN && !one_piece), "{:?}", pair.answers);
}

/// An extension header that ends where the packet does, or 8 bytes before or behind, in front of what may not be there.
#[test]
fn a_header_may_end_with_its_packet() {
    let mut pair = Pair::new();
    for units in [170, 200, 255_u8] {
        // What the header says is one less than its units of 8 bytes.
        for says in [units - 2, units - 1, units] {
            for next in [17, icmp::PROTOCOL_V6, ipv6_ext::DESTINATION, ipv6_ext::FRAGMENT, ipv6_ext::ESP] {
                let mut payload = vec![0; usize::from(units) * ipv6_ext::UNIT_LEN];
                (payload[0], payload[1]) = (next, says);
                let packet = Packet::new().ipv6([0xfd; 16], [0xfc; 16]).protocol(ipv6_ext::DESTINATION);
                pair.compare(&packet.payload(&payload).build(), MTU_MIN_V6);
            }
        }
    }
    assert_eq!(pair.silences.keys().collect::<Vec<_>>(), [&Silence::Malformed, &Silence::IcmpError]);
    assert!(!pair.answers.is_empty());
}

/// Two extension headers of 2,048 bytes each: what follows them is not in the first piece. Wire sees it, the program can't.
#[test]
fn headers_out_of_the_first_piece_get_no_answer() {
    let mut pair = Pair::new();
    let packet = Packet::new().ipv6([0xfd; 16], [0xfc; 16]).payload(&[0; 4_000]);
    let long = |packet: Packet| packet.extension(ipv6_ext::DESTINATION, &[0; ipv6_ext::MAX_BODY_LEN]);
    pair.compare(&long(packet.clone()).udp(1, 2).build(), MTU_MIN_V6);
    assert_eq!((pair.answers.len(), pair.reached_out), (1, 0));
    pair.compare(&long(long(packet.clone())).udp(1, 2).build(), MTU_MIN_V6);
    assert_eq!((pair.answers.len(), pair.reached_out), (1, 0), "only ICMPv6 is looked at");
    pair.compare(&long(long(packet)).protocol(icmp::PROTOCOL_V6).build(), MTU_MIN_V6);
    assert_eq!(pair.reached_out, 1);
}
