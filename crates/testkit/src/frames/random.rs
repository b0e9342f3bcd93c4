//! A seeded stream of frames: about half of them offloadable, over a small pool of keys so that lookups hit, the rest
//! damaged in ways that a parser may get wrong. A third of them are in GTP-U.
//!
//! The generator behind it is SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014): a
//! few lines that give the same frames for the same seed on every machine and with every version of every crate.

use opof_wire::tcp::Flags;
use opof_wire::{Addresses, FlowKey, Transport, Tunnel, Vid, gtpu, vlan};

use opof_wire::classify::MAX_GTPU_EXTENSIONS;

use super::{MAX_FRAME_LEN, MIN_FRAME_LEN};
use crate::packet::{Gtpu, Layer, Packet};

/// SplitMix64: not for secrets.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// The same seed gives the same numbers.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub const fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`; the bias of the remainder does not matter to tests.
    ///
    /// # Panics
    /// When `bound` is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).expect("usize has at most 64 bits");
        usize::try_from(self.next_u64() % bound).expect("below a usize")
    }

    /// True `percent` times out of a hundred.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of `items`.
    ///
    /// # Panics
    /// When there are none.
    pub fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }

    /// A random byte.
    pub const fn byte(&mut self) -> u8 {
        self.next_u64().to_be_bytes()[0]
    }

    /// `len` random bytes.
    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.byte()).collect()
    }

    fn word(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }
}

/// All keys that the offloadable frames of [`RandomFrames`] have: install some of them and lookups hit. For each key
/// the answering one is there too. The keys of the first host are there within GTP-U as well.
pub fn pool() -> Vec<FlowKey> {
    let mut keys = Vec::new();
    for host in 0..2 {
        let v4 = Addresses::V4 { source: [10, 0, 0, 1 + host], destination: [10, 0, 1, 1] };
        let mut source = [0; 16];
        (source[0], source[1], source[15]) = (0xfd, 1, 1 + host);
        let mut destination = [0; 16];
        (destination[0], destination[1], destination[15]) = (0xfd, 2, 1);
        for addresses in [v4, Addresses::V6 { source, destination }] {
            for vlan in [Vid::UNTAGGED, Vid::new(100).expect("below 4095"), Vid::MAX] {
                for transport in [Transport::Tcp, Transport::Udp] {
                    for source_port in [40000, 40001] {
                        let (tunnel, destination_port) = (Tunnel::None, 443);
                        let key = FlowKey { vlan, tunnel, addresses, source_port, destination_port, transport };
                        keys.extend([key, key.reversed()]);
                        if host == 0 {
                            let key = FlowKey { tunnel: Tunnel::Gtpu, ..key };
                            keys.extend([key, key.reversed()]);
                        }
                    }
                }
            }
        }
    }
    keys
}

/// An endless stream of frames of [`MIN_FRAME_LEN`] to [`MAX_FRAME_LEN`] bytes, most of them 60 to 200.
#[derive(Clone, Debug)]
pub struct RandomFrames {
    rng: Rng,
    pool: Vec<FlowKey>,
}

impl RandomFrames {
    /// The same seed gives the same frames.
    pub fn new(seed: u64) -> Self {
        Self { rng: Rng::new(seed), pool: pool() }
    }
}

impl Iterator for RandomFrames {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        let key = self.rng.pick(&self.pool);
        let mut frame = match self.rng.below(100) {
            0..48 => offloadable(&mut self.rng, &key),
            48..72 => odd(&mut self.rng, &key),
            72..95 => damaged(&mut self.rng, &key),
            _ => noise(&mut self.rng),
        };
        frame.truncate(MAX_FRAME_LEN);
        Some(frame)
    }
}

/// A packet with this key and a length that traffic has, and all variety that does not change the verdict.
fn packet(rng: &mut Rng, key: &FlowKey) -> Packet {
    let mut packet = if key.vlan.is_untagged() { Packet::new() } else { Packet::new().vlan(key.vlan.get()) };
    if key.tunnel == Tunnel::Gtpu {
        packet = around(rng, packet);
    }
    let hops = if rng.chance(10) { rng.byte() % 4 } else { rng.byte() };
    packet = packet.flow(key).hops(hops);
    if key.vlan.is_untagged() {
        if rng.chance(10) {
            // A priority tag names no VLAN.
            packet = packet.tag(rng.pick(&TPIDS), rng.byte() & 7, rng.chance(50), 0);
        }
    } else if rng.chance(30) {
        packet = packet.tag(rng.pick(&TPIDS), rng.byte() & 7, rng.chance(50), rng.word() % 4095);
    }
    if key.transport == Transport::Tcp {
        let harmless = Flags(!Flags::CONTROL.0);
        packet = packet.flags(Flags(rng.byte() & harmless.0));
        if rng.chance(30) {
            let words = rng.below(11);
            packet = packet.tcp_options(&rng.bytes(words * 4));
        }
    } else if rng.chance(20) {
        packet = packet.overwrite(Layer::Transport, 6, &[0, 0]);
    }
    let longest = MAX_FRAME_LEN - packet.clone().build().len();
    let len = if rng.chance(5) { rng.below(longest + 1) } else { rng.below(140) };
    let packet = packet.payload(&rng.bytes(len));
    if rng.chance(80) { packet.pad_to(60) } else { packet.pad_to(rng.below(80)) }
}

/// A tunnel of either family, with all variety of its header that does not change the verdict.
fn around(rng: &mut Rng, packet: Packet) -> Packet {
    let mut header = Gtpu::new(u32::from(rng.word()));
    if rng.chance(30) {
        header = header.sequence(rng.word());
    }
    if rng.chance(10) {
        header = header.n_pdu(rng.byte());
    }
    if rng.chance(50) {
        for _ in 0..=rng.below(MAX_GTPU_EXTENSIONS) {
            header = extension(rng, header);
        }
    }
    let source_port = if rng.chance(50) { gtpu::PORT } else { rng.word() };
    let packet = match rng.below(2) {
        0 => packet.ipv4([10, 9, 0, 1], [10, 9, 0, 2]),
        _ => packet.ipv6([0xfd; 16], [0xfe; 16]),
    };
    let hops = if rng.chance(10) { rng.byte() % 4 } else { rng.byte() };
    packet.hops(hops).udp(source_port, gtpu::PORT).gtpu(header)
}

fn extension(rng: &mut Rng, header: Gtpu) -> Gtpu {
    let any = 1 + rng.byte() % 255;
    let number = rng.pick(&[gtpu::PDU_SESSION_CONTAINER, 0xc0, 0x20, 0x40, 1, any]);
    let units = if rng.chance(90) { 1 + rng.below(3) } else { 1 + rng.below(60) };
    header.extension(number, &rng.bytes(units * gtpu::EXTENSION_UNIT - 2))
}

fn offloadable(rng: &mut Rng, key: &FlowKey) -> Vec<u8> {
    packet(rng, key).build()
}

const TPIDS: [u16; 2] = [vlan::TPID_CUSTOMER, vlan::TPID_SERVICE];

/// A well-formed packet with one or two traits that send it to the firewall, or nearly do.
fn odd(rng: &mut Rng, key: &FlowKey) -> Vec<u8> {
    let mut packet = packet(rng, key);
    for _ in 0..=rng.below(2) {
        packet = oddity(rng, key, packet);
    }
    packet.build()
}

fn oddity(rng: &mut Rng, key: &FlowKey, packet: Packet) -> Packet {
    if key.tunnel == Tunnel::Gtpu && rng.chance(40) {
        return tunnel_oddity(rng, packet);
    }
    let v4 = matches!(key.addresses, Addresses::V4 { .. });
    match rng.below(8) {
        0 if key.transport == Transport::Tcp => packet.flags(Flags(rng.byte())),
        0 | 1 => packet.fragment(rng.word() % 8192 * u16::from(rng.chance(50)), rng.chance(50)),
        2 | 3 if v4 => {
            let words = 1 + rng.below(10);
            packet.ipv4_options(&rng.bytes(words * 4))
        }
        2 | 3 => {
            let units = rng.below(3);
            let number = rng.pick(&[0, 43, 44, 50, 51, 59, 60, 135, 139, 140, 253, 254, 6, 17]);
            packet.extension(number, &rng.bytes(units * 8 + 6))
        }
        4 => {
            // A flag or an option that was set before belongs to TCP: only the number changes.
            let at = if v4 { 9 } else { 6 };
            let any = rng.byte();
            packet.overwrite(Layer::Network, at, &[rng.pick(&[1, 2, 6, 17, 47, 50, 58, 59, 132, any])])
        }
        5 | 6 => {
            let any = rng.word() % 4096;
            let vid = rng.pick(&[0, 1, 100, 4094, 4095, any]);
            packet.tag(rng.pick(&TPIDS), rng.byte() & 7, rng.chance(50), vid)
        }
        _ => {
            let any = rng.word();
            let ether_type = rng.pick(&[0x0800, 0x86dd, 0x0806, 0x88cc, 0x9100, 0x8100, 0x88a8, 0x05dc, 0x0600, any]);
            packet.overwrite(Layer::Link, 12, &ether_type.to_be_bytes())
        }
    }
}

/// Another message, another flag, or a first extension header that is read where there may be none.
fn tunnel_oddity(rng: &mut Rng, packet: Packet) -> Packet {
    let any = rng.byte();
    match rng.below(4) {
        0 => packet.overwrite(Layer::Tunnel, 1, &[rng.pick(&[1, 2, 26, 31, 254, any])]),
        1 => packet.overwrite(
            Layer::Tunnel,
            0,
            &[rng.pick(&[0x31, 0x32, 0x34, 0x35, 0x36, 0x37, 0x38, 0x20, 0x50, any])],
        ),
        2 => {
            // Too many extension headers, where the packet before had some or not.
            let count = MAX_GTPU_EXTENSIONS + 1 + rng.below(3);
            let header = (0..count).fold(Gtpu::new(1), |header, _| header.extension(0x85, &[1, 2]));
            packet.tunnel_header(header)
        }
        _ => packet.overwrite(Layer::Tunnel, 11, &[rng.pick(&[0, 1, 0x85, any])]),
    }
}

/// A packet, odd or not, of which one to three fields or bits are wrong, or the end is missing.
fn damaged(rng: &mut Rng, key: &FlowKey) -> Vec<u8> {
    let mut packet = packet(rng, key);
    if rng.chance(25) {
        packet = oddity(rng, key, packet);
    }
    if rng.chance(60) {
        packet = wrong_field(rng, key, packet);
    }
    let mut frame = packet.build();
    for _ in 0..rng.below(3) {
        let reach = frame.len().min(headers_reach(key));
        let at = 12 + rng.below(reach - 12);
        if rng.chance(50) {
            frame[at] ^= 1 << rng.below(8);
        } else {
            let any = rng.byte();
            frame[at] = rng.pick(&[0, 1, 0x0f, 0x40, 0x45, 0x60, 0x7f, 0x80, 0xff, any]);
        }
    }
    if rng.chance(40) {
        let reach = if rng.chance(80) { frame.len().min(headers_reach(key) + 10) } else { frame.len() };
        frame.truncate(MIN_FRAME_LEN + rng.below(reach - MIN_FRAME_LEN + 1));
    }
    frame
}

/// Where headers end in most frames, in bytes.
const fn headers_reach(key: &FlowKey) -> usize {
    match key.tunnel {
        Tunnel::None => 90,
        Tunnel::Gtpu => 150,
    }
}

/// One length or version field set to a value at which verdicts turn.
fn wrong_field(rng: &mut Rng, key: &FlowKey, packet: Packet) -> Packet {
    let near = [0, 1, 7, 8, 9, 19, 20, 21, 27, 28, 29, 39, 40, 41, 46, 60, 100, 1480, 1500, 0xffff];
    let any = rng.word() % 256;
    let length = if rng.chance(70) { rng.pick(&near) } else { any }.to_be_bytes();
    let first = rng.pick(&[0x00, 0x40, 0x44, 0x45, 0x46, 0x4f, 0x55, 0x60, 0x65, 0x66, 0xf5]);
    let v4 = matches!(key.addresses, Addresses::V4 { .. });
    if key.tunnel == Tunnel::Gtpu && rng.chance(50) {
        return match rng.below(3) {
            0 => packet.overwrite(Layer::Tunnel, 2, &length),
            // Where the first extension header says how long it is, if there is one.
            1 => packet.overwrite(Layer::Tunnel, gtpu::LONG_HEADER_LEN, &[length[1]]),
            _ => packet.overwrite(Layer::Network, 0, &[first]),
        };
    }
    match (rng.below(4), key.transport) {
        (0, _) => packet.overwrite(Layer::Network, 0, &[first]),
        (1, _) => packet.overwrite(Layer::Network, if v4 { 2 } else { 4 }, &length),
        (2, _) if v4 => packet.overwrite(Layer::Network, 6, &[rng.byte() & 0xe0, rng.byte() & 1]),
        (_, Transport::Tcp) => packet.overwrite(Layer::Transport, 12, &[rng.byte()]),
        (_, Transport::Udp) => packet.overwrite(Layer::Transport, 4, &length),
    }
}

/// Random bytes, most of them behind an EtherType that has a parser read on.
fn noise(rng: &mut Rng) -> Vec<u8> {
    let len = MIN_FRAME_LEN + rng.below(120);
    let mut frame = rng.bytes(len);
    if rng.chance(80) {
        let ether_type: u16 = rng.pick(&[0x0800, 0x86dd, 0x8100, 0x88a8]);
        frame[12..14].copy_from_slice(&ether_type.to_be_bytes());
    }
    frame
}

#[cfg(test)]
mod tests {
    use super::*;
    use opof_wire::{SlowPath, classify};
    use std::collections::{BTreeMap, BTreeSet};

    const COUNT: usize = 20_000;

    #[test]
    fn the_first_number_of_seed_0_is_that_of_the_paper() {
        assert_eq!(Rng::new(0).next_u64(), 0xe220_a839_7b1d_cdaf);
    }

    #[test]
    fn a_seed_repeats_its_frames() {
        let first: Vec<_> = RandomFrames::new(7).take(100).collect();
        assert_eq!(first, RandomFrames::new(7).take(100).collect::<Vec<_>>());
        assert_ne!(first, RandomFrames::new(8).take(100).collect::<Vec<_>>());
    }

    #[test]
    fn offloadable_frames_have_the_key_they_were_made_from() {
        let mut rng = Rng::new(1);
        for key in pool().iter().cycle().take(COUNT / 10) {
            assert_eq!(classify(&offloadable(&mut rng, key)), Ok(*key));
        }
    }

    #[test]
    fn the_stream_is_what_its_doc_says() {
        let pool: BTreeSet<_> = pool().into_iter().collect();
        let mut verdicts = BTreeMap::new();
        let (mut hits, mut usual) = (0, 0);
        for frame in RandomFrames::new(42).take(COUNT) {
            assert!((MIN_FRAME_LEN..=MAX_FRAME_LEN).contains(&frame.len()), "{} bytes", frame.len());
            usual += usize::from((60..=200).contains(&frame.len()));
            let verdict = classify(&frame);
            hits += usize::from(verdict.is_ok_and(|key| pool.contains(&key)));
            *verdicts.entry(verdict.err()).or_insert(0) += 1;
        }
        assert!((45..65).contains(&(hits * 100 / COUNT)), "{hits} of {COUNT} hit");
        assert!(usual * 100 / COUNT > 70, "{usual} of {COUNT} have 60 to 200 bytes");
        for reason in SlowPath::ALL.into_iter().filter(|reason| reason.is_of_the_parser()) {
            let count = verdicts.get(&Some(reason)).copied().unwrap_or(0);
            assert!(count * 1000 / COUNT >= 2, "{reason} only {count} times: {verdicts:?}");
        }
    }
}
