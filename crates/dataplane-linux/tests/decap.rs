//! The XDP program and `wire::decap` on the same packets of a tunnel, right ones and damaged ones: the same verdict, the same
//! metadata, the same frame inside.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the way to fail")]

use std::collections::BTreeMap;

use opof_dataplane_linux::probe::DecapProbe;
use opof_testkit::frames::{RandomFrames, Rng, fixtures};
use opof_wire::decap::{OPTIONS_MAX, Refusal, TunnelEnd, decapsulate};
use opof_wire::encap::{self, Layout, Template, Tunnel};
use opof_wire::ethernet::{self, MacAddress};
use opof_wire::geneve::{self, Metadata, OptionId};
use opof_wire::{Addresses, ipv4, udp};

const FRAMES: usize = 50_000;
const SEED: u64 = 0x6463;
/// Longer frames are not in one piece for a program: a page, less what stands in front of and behind the frame.
const ONE_PIECE: usize = 3_000;

/// What was taken: in a packet of IPv4, with padding, in one piece.
type Taken = (bool, bool, bool);

/// Both on the same frames, and how often what was said.
struct Pair {
    probe: DecapProbe,
    refusals: BTreeMap<Refusal, usize>,
    taken: BTreeMap<Taken, usize>,
}

impl Pair {
    fn new() -> Self {
        Self { probe: DecapProbe::new().unwrap(), refusals: BTreeMap::new(), taken: BTreeMap::new() }
    }

    fn compare(&mut self, packet: &[u8], end: &TunnelEnd) {
        let found = decapsulate(packet, end);
        let expect = found.clone().map(|found| (packet[found.frame].to_vec(), found.metadata));
        let said = self.probe.decapsulate(packet, end).unwrap();
        assert_eq!(said, expect, "{end:?}, {} bytes: {:02x?}", packet.len(), &packet[..packet.len().min(200)]);
        match found {
            Ok(found) => {
                let is_v4 = matches!(end.addresses, Addresses::V4 { .. });
                let taken = (is_v4, found.frame.end < packet.len(), packet.len() < ONE_PIECE);
                *self.taken.entry(taken).or_default() += 1;
            }
            Err(refusal) => *self.refusals.entry(refusal).or_default() += 1,
        }
    }
}

/// A packet of a tunnel, and where its headers are.
struct Packet {
    bytes: Vec<u8>,
    is_v4: bool,
    /// Of the UDP header.
    udp: usize,
}

impl Packet {
    fn new(rng: &mut Rng, end: &TunnelEnd, inner: &[u8]) -> Self {
        let mac = |rng: &mut Rng| MacAddress(rng.bytes(6).try_into().unwrap());
        let (source_mac, destination_mac) = (mac(rng), mac(rng));
        let TunnelEnd { addresses, vni, option } = *end;
        let template = Template::new(&Tunnel { source_mac, destination_mac, addresses, vni, option }).unwrap();
        let metadata = Metadata { in_lif: word(rng), out_lif: word(rng), key: word(rng) };
        let mut bytes = vec![0; encap::MAX_LEN];
        let port = encap::source_port(word(rng));
        let len = template.encapsulate(inner.len(), port, metadata, &mut bytes).unwrap();
        bytes.truncate(len);
        bytes.extend(inner);
        Self { bytes, is_v4: *template.layout() == Layout::V4, udp: template.layout().source_port }
    }

    const fn geneve(&self) -> usize {
        self.udp + udp::HEADER_LEN
    }

    const fn options(&self) -> usize {
        self.geneve() + geneve::HEADER_LEN
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// Makes all lengths right, then the IPv4 checksum.
    fn repair(&mut self) {
        let len = |from: usize| u16::try_from(self.bytes.len() - from).unwrap().to_be_bytes();
        let (udp, ip) = (len(self.udp), len(ethernet::HEADER_LEN));
        self.put(self.udp + 4, &udp);
        if self.is_v4 {
            self.put(16, &ip);
            self.fill_checksum();
        } else {
            self.put(18, &udp);
        }
    }

    fn fill_checksum(&mut self) {
        // Where a wrong IHL says that there are options, they are what follows.
        let header_len = usize::from(self.bytes[14] & 0xf) * 4;
        if self.is_v4 && header_len >= ipv4::HEADER_LEN && self.bytes.len() >= 14 + header_len {
            ipv4::Packet::new_unchecked(&mut self.bytes[14..]).fill_checksum();
        }
    }
}

fn word(rng: &mut Rng) -> u32 {
    u32::from_be_bytes(rng.bytes(4).try_into().unwrap())
}

fn any_end(rng: &mut Rng) -> TunnelEnd {
    let addresses = if rng.chance(50) {
        let mut address = || rng.bytes(4).try_into().unwrap();
        Addresses::V4 { source: address(), destination: address() }
    } else {
        let mut address = || rng.bytes(16).try_into().unwrap();
        Addresses::V6 { source: address(), destination: address() }
    };
    let option = OptionId::new(u16::from_be_bytes([rng.byte(), rng.byte()]), rng.byte() & 0x7f).unwrap();
    let vni = rng.pick(&[0, 1, 0x12_3456, geneve::VNI_MAX]);
    TunnelEnd { addresses, vni, option }
}

/// A random frame, some of them long, some no frames.
fn inner(rng: &mut Rng, mut frame: Vec<u8>) -> Vec<u8> {
    match rng.below(100) {
        0..3 => frame.truncate(ethernet::HEADER_LEN + 1 - rng.below(4)),
        3..15 => {
            let more = 3_000 + rng.below(6_000);
            frame.extend(rng.bytes(more));
        }
        _ => {}
    }
    frame
}

/// Some options more, in front of ours or behind, or others in its place.
fn more_options(rng: &mut Rng, packet: &mut Packet, ours: OptionId) {
    let mut count = geneve::EMITTED_LEN - geneve::HEADER_LEN;
    if rng.chance(5) {
        let at = packet.options();
        packet.bytes.drain(at..at + count);
        count = 0;
    }
    let at = packet.options() + if rng.chance(50) { 0 } else { count };
    for _ in 0..=rng.below(OPTIONS_MAX + 1) {
        let units = rng.below(4);
        let mut option = rng.bytes((units + 1) * geneve::OPTION_HEADER_LEN);
        if rng.chance(10) {
            option[..2].copy_from_slice(&ours.class().to_be_bytes());
            option[2] = ours.kind();
        } else if rng.chance(95) {
            option[2] &= 0x7f;
        }
        option[3] = option[3] & 0xe0 | u8::try_from(units).unwrap();
        count += option.len();
        packet.bytes.splice(at..at, option);
    }
    let geneve = packet.geneve();
    packet.bytes[geneve] = u8::try_from(count / geneve::OPTION_HEADER_LEN).unwrap();
    packet.repair();
}

/// One field that is checked, or one that is not, gets another value.
fn other_field(rng: &mut Rng, packet: &mut Packet) {
    let (udp, geneve, options) = (packet.udp, packet.geneve(), packet.options());
    let any = rng.byte();
    let near = rng.pick(&[0, 1, 7, 8, 19, 20, 27, 28, 35, 36, 39, 40]);
    let off_by_one = |field: &[u8], up: bool| {
        let value = u16::from_be_bytes([field[0], field[1]]);
        if up { value.wrapping_add(1) } else { value.wrapping_sub(1) }.to_be_bytes()
    };
    match (rng.below(17), packet.is_v4) {
        (0, _) => packet.put(12, &rng.pick(&[[0x08, 0x00], [0x86, 0xdd], [0x81, 0x00], [0x08, 0x06]])),
        (1, _) => packet.put(14, &[rng.pick(&[0x45, 0x46, 0x4f, 0x44, 0x55, 0x60, 0x6f, 0x50])]),
        (2, true) => packet.put(16, &off_by_one(&packet.bytes[16..18], rng.chance(50))),
        (2, false) => packet.put(18, &off_by_one(&packet.bytes[18..20], rng.chance(50))),
        (3, true) => packet.put(16, &[0, near]),
        (3, false) => packet.put(18, &[0, near]),
        (4, true) => packet.put(20, &[rng.byte() & 0xe0, rng.byte() & 1]),
        (4, false) | (5, _) => {
            let at = if packet.is_v4 { 23 } else { 20 };
            packet.put(at, &[rng.pick(&[6, 17, 0, 43, 44, 60, 47, any])]);
        }
        (6, is_v4) => {
            let (first, len) = if is_v4 { (26, 8) } else { (22, 32) };
            packet.bytes[first + rng.below(len)] ^= 1 << rng.below(8);
        }
        (7, _) => packet.put(udp + rng.below(4), &[any]),
        (8, _) => packet.put(udp + 4, &off_by_one(&packet.bytes[udp + 4..udp + 6], rng.chance(50))),
        (9, _) => packet.put(udp + 4, &[0, near]),
        (10, _) => packet.put(udp + 6, &[rng.pick(&[0, any]), rng.byte()]),
        (11, _) => packet.put(geneve, &[rng.pick(&[0x00, 0x01, 0x03, 0x05, 0x06, 0x3f, 0x44, 0x84, any])]),
        (12, _) => packet.put(geneve + 1, &[any]),
        (13, _) => packet.put(geneve + 2 + rng.below(2), &[any]),
        (14, _) => packet.put(geneve + 4 + rng.below(4), &[any]),
        // Of the first option: class, type, length.
        (_, _) => packet.put(options + rng.below(4), &[rng.pick(&[0, 2, 3, 4, 0x83, 0xe3, any])]),
    }
    // Else nobody would see what is behind it.
    if rng.chance(85) {
        packet.fill_checksum();
    }
}

/// A packet of the tunnel, half of them right.
fn any_packet(rng: &mut Rng, end: &TunnelEnd, frame: Vec<u8>) -> Vec<u8> {
    let inner = inner(rng, frame);
    let mut packet = Packet::new(rng, end, &inner);
    if rng.chance(40) {
        more_options(rng, &mut packet, end.option);
    }
    if rng.chance(50) {
        for _ in 0..=rng.below(2) {
            other_field(rng, &mut packet);
        }
    }
    let mut bytes = packet.bytes;
    match rng.below(100) {
        0..5 => {
            let at = rng.below(bytes.len().min(100));
            bytes[at] ^= 1 << rng.below(8);
        }
        5..12 => {
            let least = ethernet::HEADER_LEN;
            let reach = if rng.chance(80) { bytes.len().min(110) } else { bytes.len() };
            bytes.truncate(least + rng.below(reach - least + 1));
        }
        12..30 => {
            let padding = if rng.chance(90) { 1 + rng.below(50) } else { 4_000 };
            bytes.extend(rng.bytes(padding));
        }
        _ => {}
    }
    bytes
}

#[test]
fn the_program_and_wire_take_the_same_frames_out() {
    let (mut pair, mut rng) = (Pair::new(), Rng::new(SEED));
    for frame in fixtures().into_iter().map(|fixture| fixture.frame).filter(|frame| frame.len() >= ethernet::HEADER_LEN)
    {
        let end = any_end(&mut rng);
        pair.compare(&frame, &end);
    }
    for frame in RandomFrames::new(SEED).take(FRAMES) {
        let end = any_end(&mut rng);
        let packet = any_packet(&mut rng, &end, frame);
        pair.compare(&packet, &end);
    }
    println!("{:?}\n{:?}", pair.refusals, pair.taken);
    for refusal in Refusal::ALL {
        assert!(pair.refusals.get(&refusal).is_some_and(|count| *count > 50), "{refusal} is hardly tested");
    }
    assert!(pair.taken.len() == 8 && pair.taken.values().all(|count| *count > 50), "{:?}", pair.taken);
}

/// Each length around the ends of pages, with padding that lies in the last fragment, in a part of it, and in several.
#[test]
fn frames_in_several_pieces_come_out_whole() {
    let (mut pair, mut rng) = (Pair::new(), Rng::new(SEED));
    for len in (3_350..3_550).chain(7_450..7_650).chain([20_000, 60_000]) {
        let end = any_end(&mut rng);
        let frame = rng.bytes(len);
        let packet = Packet::new(&mut rng, &end, &frame).bytes;
        for padding in [0, 1, 100, 5_000] {
            pair.compare(&[&packet[..], &vec![0; padding]].concat(), &end);
        }
    }
    assert!(pair.refusals.is_empty(), "{:?}", pair.refusals);
}
