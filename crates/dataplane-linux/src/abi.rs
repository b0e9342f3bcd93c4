//! The Rust mirror of `bpf/abi.h`: what crosses the border between user space and the programs, byte by byte.
//!
//! Keys and values are byte arrays behind constructors, so that nothing is ever undefined in them; numbers are in the
//! host's order, addresses and ports as on the wire.

mod decap;
mod edits;
mod outer;
mod too_big;
mod uplink;
mod walk;

use opof_dataplane::Refused;
use opof_session::plane::Slot;
use opof_session::types::{Direction, Lif, MatchKey};
use opof_wire::{Addresses, SlowPath, Transport, Tunnel, Vid};

pub use decap::{DECAPSULATED, Decap, NOT_SHORTENED};
pub use edits::{Copied, Edit, Edits, NextHop, VLANS, vlan_flow};
pub use outer::{OuterHeaders, Way};
pub use too_big::{ANSWERED, NO_HEADROOM, TooBig};
pub use uplink::{Exit, Peer, Returning};
pub use walk::Walk;

/// Verdict of a frame that has a key (and, from the probe, a session): `OPOF_HAS_KEY`.
pub const HAS_KEY: u32 = 255;
/// Flag of an entry: counts in the second direction.
pub const OUTWARD: u8 = 0x01;
/// Flag of an entry: discard.
pub const DROP: u8 = 0x02;
/// Flag of an entry: the slot's edits are made.
pub const EDIT: u8 = 0x04;
/// Rewrite of an entry: leave the tag alone.
pub const KEEP_VID: u16 = 0xFFFF;
/// 64-bit words of a record.
pub const RECORD_WORDS: usize = 8;
/// 64-bit words of one direction in it: packets, bytes, last seen.
pub const DIRECTION_WORDS: usize = 3;
/// What a port counts.
pub const KINDS: u32 = 46;
/// Frames that came in on a firewall port, and packets of firewalls that were taken on the uplink.
pub const KIND_RECEIVED: u32 = 0;
/// Hits that were redirected.
pub const KIND_FORWARDED: u32 = 1;
/// Hits that were discarded.
pub const KIND_DROPPED: u32 = 2;
/// The first of the slow-path reasons.
pub const KIND_SLOW: u32 = 3;

/// Of those redirected, what was copied.
pub const KIND_COPIED: u32 = 21;
/// Of those redirected, what could not be copied.
pub const KIND_COPY_LOST: u32 = 22;
/// What does not fit through a tunnel, and was answered.
pub const KIND_TOO_BIG_ANSWERED: u32 = 23;
/// What does not fit, and was not.
pub const KIND_TOO_BIG_DROPPED: u32 = 24;
/// What there was no way to the firewall for.
pub const KIND_UNREACHABLE: u32 = 25;
/// The first of the reasons for which packets on the uplink are not taken.
pub const KIND_REFUSED: u32 = 26;

const _: () = assert!(KIND_SLOW as usize + SlowPath::COUNT == KIND_COPIED as usize);
const _: () = assert!(KIND_REFUSED as usize + Refused::COUNT == KINDS as usize);

/// `OPOF_CHECK_0` to `_5`.
const CHECK: [u64; 6] = [
    0x6a09_e667_f3bc_c909,
    0xbb67_ae85_84ca_a73b,
    0x3c6e_f372_fe94_f82b,
    0xa54f_f53a_5f1d_36f1,
    0x510e_527f_ade6_82d1,
    0x9b05_688c_2b3e_6c1f,
];

/// `struct opof_key4`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[repr(transparent)]
pub struct Key4(pub [u8; 20]);

/// `struct opof_key6`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(transparent)]
pub struct Key6(pub [u8; 44]);

impl Default for Key6 {
    fn default() -> Self {
        Self([0; 44])
    }
}

/// A key of either family.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Key {
    /// IPv4.
    V4(Key4),
    /// IPv6.
    V6(Key6),
}

impl From<&MatchKey> for Key {
    fn from(key: &MatchKey) -> Self {
        match key.flow.addresses {
            Addresses::V4 { source, destination } => {
                let mut bytes = [0; 20];
                bytes[0..4].copy_from_slice(&source);
                bytes[4..8].copy_from_slice(&destination);
                tail(&mut bytes[8..], key);
                Self::V4(Key4(bytes))
            }
            Addresses::V6 { source, destination } => {
                let mut bytes = [0; 44];
                bytes[0..16].copy_from_slice(&source);
                bytes[16..32].copy_from_slice(&destination);
                tail(&mut bytes[32..], key);
                Self::V6(Key6(bytes))
            }
        }
    }
}

/// What both families have behind the addresses.
fn tail(bytes: &mut [u8], key: &MatchKey) {
    bytes[0..2].copy_from_slice(&key.flow.source_port.to_be_bytes());
    bytes[2..4].copy_from_slice(&key.flow.destination_port.to_be_bytes());
    bytes[4..6].copy_from_slice(&key.lif.get().to_ne_bytes());
    bytes[6..8].copy_from_slice(&key.flow.vlan.get().to_ne_bytes());
    bytes[8] = key.flow.transport.number();
    bytes[9] = key.flow.tunnel.number();
}

impl Key4 {
    /// `check4()` in `bpf/action.h`.
    pub fn check(&self) -> u64 {
        check(&self.0)
    }
}

impl Key6 {
    /// `check6()` in `bpf/action.h`.
    pub fn check(&self) -> u64 {
        check(&self.0)
    }
}

fn check(key: &[u8]) -> u64 {
    key.chunks(8).zip(CHECK).fold(0, |sum, (chunk, multiplier)| {
        let word = if let Ok(bytes) = chunk.try_into() {
            u64::from_ne_bytes(bytes)
        } else {
            let bytes = chunk.try_into().expect("a key is a multiple of 4 bytes long");
            u64::from(u32::from_ne_bytes(bytes))
        };
        sum.wrapping_add(word.wrapping_mul(multiplier))
    })
}

/// `struct opof_hit`: what to do with a packet, and where to count it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hit {
    /// The session.
    pub slot: Slot,
    /// Which of its keys.
    pub direction: Direction,
    /// `None` discards.
    pub forward: Option<Forward>,
}

/// How a packet is sent on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Forward {
    /// Position of the LIF to leave by.
    pub lif: u8,
    /// The VID to write.
    pub vlan: Option<Vid>,
    /// The slot's [`Edits`] are made.
    pub edits: bool,
}

impl Hit {
    fn to_bytes(self) -> [u8; 8] {
        let (lif, rewrite, action) = match self.forward {
            Some(Forward { lif, vlan, edits }) => (lif, vlan.map_or(KEEP_VID, Vid::get), if edits { EDIT } else { 0 }),
            None => (0, KEEP_VID, DROP),
        };
        let direction = if self.direction == Direction::Out { OUTWARD } else { 0 };
        let mut bytes = [0; 8];
        bytes[0..4].copy_from_slice(&self.slot.0.to_ne_bytes());
        bytes[4..6].copy_from_slice(&rewrite.to_ne_bytes());
        bytes[6] = lif;
        bytes[7] = action | direction;
        bytes
    }

    fn from_bytes(bytes: [u8; 8]) -> Self {
        let [.., lif, flags] = bytes;
        let vlan = Vid::new(u16::from_ne_bytes(array(&bytes, 4)));
        let forward = (flags & DROP == 0).then_some(Forward { lif, vlan, edits: flags & EDIT != 0 });
        let direction = if flags & OUTWARD == 0 { Direction::In } else { Direction::Out };
        Self { slot: Slot(u32::from_ne_bytes(array(&bytes, 0))), direction, forward }
    }
}

/// `struct opof_entry`: the check of its own key, then the hit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(transparent)]
pub struct Entry(pub [u8; 16]);

impl Entry {
    /// The value for a key with this check.
    pub fn new(check: u64, hit: Hit) -> Self {
        let mut bytes = [0; 16];
        bytes[0..8].copy_from_slice(&check.to_ne_bytes());
        bytes[8..16].copy_from_slice(&hit.to_bytes());
        Self(bytes)
    }
}

/// `struct bpf_devmap_val`: an interface, and a program on the way out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(transparent)]
pub struct Device(pub [u8; 8]);

impl Device {
    /// The interface with this index.
    pub fn new(interface: u32) -> Self {
        let mut bytes = [0; 8];
        bytes[0..4].copy_from_slice(&interface.to_ne_bytes());
        Self(bytes)
    }

    /// The interface with this index, with a program on the way out.
    pub fn with_program(interface: u32, program: std::os::fd::BorrowedFd<'_>) -> Self {
        let mut device = Self::new(interface);
        device.0[4..8].copy_from_slice(&std::os::fd::AsRawFd::as_raw_fd(&program).to_ne_bytes());
        device
    }
}

/// `struct opof_tally`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(transparent)]
pub struct Tally(pub [u8; 16]);

impl Tally {
    /// Frames.
    pub fn packets(&self) -> u64 {
        u64::from_ne_bytes(array(&self.0, 0))
    }

    /// Their bytes.
    pub fn bytes(&self) -> u64 {
        u64::from_ne_bytes(array(&self.0, 8))
    }
}

/// `struct opof_probed`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(transparent)]
pub struct Probed(pub [u8; 80]);

impl Default for Probed {
    fn default() -> Self {
        Self([0; 80])
    }
}

impl Probed {
    /// A [`SlowPath`] number, or [`HAS_KEY`] for a hit.
    pub fn verdict(&self) -> u32 {
        u32::from_ne_bytes(array(&self.0, 0))
    }

    /// The key, if the frame had one.
    pub fn key(&self) -> Option<Key> {
        match self.0[4] {
            4 => Some(Key::V4(Key4(array(&self.0, 8)))),
            6 => Some(Key::V6(Key6(array(&self.0, 28)))),
            _ => None,
        }
    }

    /// The hit; meaningful with the verdict [`HAS_KEY`].
    pub fn hit(&self) -> Hit {
        Hit::from_bytes(array(&self.0, 72))
    }
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("offsets lie inside")
}

impl Key {
    /// The key as the engine names it; `None` when no frame could have it.
    pub fn to_match_key(self) -> Option<MatchKey> {
        let (addresses, tail): (_, [u8; 10]) = match self {
            Self::V4(Key4(bytes)) => {
                (Addresses::V4 { source: array(&bytes, 0), destination: array(&bytes, 4) }, array(&bytes, 8))
            }
            Self::V6(Key6(bytes)) => {
                (Addresses::V6 { source: array(&bytes, 0), destination: array(&bytes, 16) }, array(&bytes, 32))
            }
        };
        let flow = opof_wire::FlowKey {
            vlan: Vid::new(u16::from_ne_bytes(array(&tail, 6)))?,
            tunnel: Tunnel::from_number(tail[9])?,
            addresses,
            source_port: u16::from_be_bytes(array(&tail, 0)),
            destination_port: u16::from_be_bytes(array(&tail, 2)),
            transport: Transport::from_number(tail[8])?,
        };
        Some(MatchKey { lif: Lif::new(u16::from_ne_bytes(array(&tail, 4)))?, flow })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits;

    const HEADER: &str = include_str!("../../../bpf/abi.h");

    /// The value of `#define name value` or of `name = value,` in `bpf/abi.h`.
    pub(super) fn constant(name: &str) -> u64 {
        let value = HEADER
            .lines()
            .find_map(|line| {
                let mut words = line.trim().trim_start_matches("#define ").split_whitespace();
                (words.next() == Some(name)).then(|| words.find(|word| *word != "=").unwrap().to_owned())
            })
            .unwrap_or_else(|| panic!("{name} is not in abi.h"));
        let value = value.trim_end_matches(',').trim_end_matches("ULL").trim_end_matches('U');
        match value.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).unwrap(),
            None => value.parse().unwrap(),
        }
    }

    #[test]
    fn numbers_are_those_of_the_header() {
        for reason in SlowPath::ALL {
            let name = format!("OPOF_{}", reason.name().to_uppercase());
            assert_eq!(constant(&name), u64::from(reason as u8), "{name}");
        }
        let same = [
            ("OPOF_REASONS", SlowPath::COUNT as u64),
            ("OPOF_HAS_KEY", HAS_KEY.into()),
            ("OPOF_NO_TUNNEL", Tunnel::None.number().into()),
            ("OPOF_GTPU", Tunnel::Gtpu.number().into()),
            ("OPOF_MAX_GTPU_EXTENSIONS", opof_wire::classify::MAX_GTPU_EXTENSIONS as u64),
            ("OPOF_MAX_LIFS", limits::LIFS as u64),
            ("OPOF_MAX_WIRES", limits::WIRE_PORTS as u64),
            ("OPOF_WAY_BITS", limits::WAYS.ilog2().into()),
            ("OPOF_OUTWARD", OUTWARD.into()),
            ("OPOF_DROP", DROP.into()),
            ("OPOF_EDIT", EDIT.into()),
            ("OPOF_KEEP_VID", KEEP_VID.into()),
            ("OPOF_RECEIVED", KIND_RECEIVED.into()),
            ("OPOF_FORWARDED", KIND_FORWARDED.into()),
            ("OPOF_DROPPED", KIND_DROPPED.into()),
            ("OPOF_SLOW", KIND_SLOW.into()),
            ("OPOF_COPIED", KIND_COPIED.into()),
            ("OPOF_COPY_LOST", KIND_COPY_LOST.into()),
            ("OPOF_TOO_BIG_ANSWERED", KIND_TOO_BIG_ANSWERED.into()),
            ("OPOF_TOO_BIG_DROPPED", KIND_TOO_BIG_DROPPED.into()),
            ("OPOF_UNREACHABLE", KIND_UNREACHABLE.into()),
            ("OPOF_REFUSED", KIND_REFUSED.into()),
            ("OPOF_KINDS", KINDS.into()),
            ("OPOF_REFUSED_LIF", Refused::Lif.number() as u64),
            ("OPOF_REFUSALS", Refused::COUNT as u64),
            ("OPOF_ANSWER_BURST", opof_dataplane::limits::ANSWER_BURST.into()),
            ("OPOF_COLLECTORS", limits::COLLECTORS as u64),
            ("OPOF_COPY_LEN", opof_dataplane::limits::COPY_LEN as u64),
        ];
        for (name, ours) in same {
            assert_eq!(constant(name), ours, "{name}");
        }
        for (index, multiplier) in CHECK.into_iter().enumerate() {
            assert_eq!(constant(&format!("OPOF_CHECK_{index}")), multiplier);
        }
    }

    fn key(addresses: Addresses) -> MatchKey {
        let flow = opof_wire::FlowKey {
            vlan: Vid::new(0x123).unwrap(),
            tunnel: Tunnel::Gtpu,
            addresses,
            source_port: 0x0102,
            destination_port: 0x0304,
            transport: Transport::Udp,
        };
        MatchKey { lif: Lif::new(0x0506).unwrap(), flow }
    }

    #[test]
    fn keys_byte_by_byte() {
        let four = key(Addresses::V4 { source: [10, 1, 2, 3], destination: [192, 0, 2, 9] });
        let [lif, vlan] = [0x0506_u16.to_ne_bytes(), 0x123_u16.to_ne_bytes()];
        let mut expected = vec![10, 1, 2, 3, 192, 0, 2, 9, 1, 2, 3, 4];
        let tail = [&lif[..], &vlan, &[17, 1, 0, 0]].concat();
        expected.extend(&tail);
        let made = Key::from(&four);
        assert_eq!(made, Key::V4(Key4(expected.try_into().unwrap())));
        assert_eq!(made.to_match_key(), Some(four));

        let six = key(Addresses::V6 { source: [0xAA; 16], destination: [0xBB; 16] });
        let expected = [&[0xAA; 16][..], &[0xBB; 16], &[1, 2, 3, 4], &tail].concat();
        let made = Key::from(&six);
        assert_eq!(made, Key::V6(Key6(expected.try_into().unwrap())));
        assert_eq!(made.to_match_key(), Some(six));
    }

    #[test]
    fn hits_there_and_back() {
        let forward = |lif, vlan, edits| Some(Forward { lif, vlan, edits });
        let forwards = [None, forward(7, None, false), forward(63, Vid::new(4094), false), forward(1, None, true)];
        for forward in forwards {
            for direction in [Direction::In, Direction::Out] {
                let hit = Hit { slot: Slot(0x0102_0304), direction, forward };
                assert_eq!(Hit::from_bytes(hit.to_bytes()), hit);
            }
        }
    }

    #[test]
    fn the_check_depends_on_every_byte() {
        let base = Key6(std::array::from_fn(|index| index.try_into().unwrap()));
        for index in 0..base.0.len() {
            let mut other = base;
            other.0[index] ^= 0x80;
            assert_ne!(other.check(), base.check(), "byte {index}");
        }
    }
}
