//! The Rust mirror of `bpf/abi.h`: what crosses the border between user space and the programs, byte by byte.
//!
//! Keys and values are byte arrays behind constructors, so that nothing is ever undefined in them; numbers are in the
//! host's order, addresses and ports as on the wire.

mod clock;
mod decap;
mod edits;
mod flow;
mod linger;
mod outer;
mod too_big;
mod uplink;
mod walk;

use opof_dataplane::Refused;
use opof_wire::SlowPath;

pub use clock::ClockReading;
pub use decap::{DECAPSULATED, Decap, NOT_SHORTENED};
pub use edits::{Copied, Edit, Edits, NextHop, VLANS, vlan_flow, vlan_flow_way};
pub use flow::{FLOW_WORDS, Forward, Hit, KEY_WORDS, Key, STAMP, has_v6_tail, last_tick, new_flow, parts};
pub use linger::{Linger, Lingering};
pub use outer::{OuterHeaders, Way};
pub use too_big::{ANSWERED, NO_HEADROOM, TooBig};
pub use uplink::{Exit, Peer, Returning};
pub use walk::Walk;

/// Verdict of a frame that has a key (and, from the probe, a session): `OPOF_HAS_KEY`.
pub const HAS_KEY: u32 = 255;
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

/// Places for flows in a bucket of the index.
pub const ENTRIES: usize = 7;
/// 64-bit words of a bucket.
pub const BUCKET_WORDS: usize = 1 + ENTRIES;
/// Buckets that a key may be in.
pub const PROBES: usize = 16;
/// From one of them to the next.
pub const PROBE_MULTIPLIER: u32 = 0x9e37_79b1;
/// What the hash of a key starts from, and a multiplier for each half of its words.
pub const MULTIPLIERS: usize = 1 + 2 * KEY_WORDS;
/// By which the sum of the products is mixed.
pub const MIX: [u64; 2] = [0x428a_2f98_d728_ae23, 0x7137_4491_23ef_65cd];

const _: () = assert!(KIND_SLOW as usize + SlowPath::COUNT == KIND_COPIED as usize);
const _: () = assert!(KIND_REFUSED as usize + Refused::COUNT == KINDS as usize);

/// `OPOF_CHECK_0` to `_2`. The programs have more, for what is not looked at here.
const CHECK: [u64; 3] = [0x6a09_e667_f3bc_c909, 0xbb67_ae85_84ca_a73b, 0x3c6e_f372_fe94_f82b];

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
pub struct Probed(pub [u8; 56]);

impl Default for Probed {
    fn default() -> Self {
        Self([0; 56])
    }
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("offsets lie inside")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::limits;

    const HEADER: &str = include_str!("../../../bpf/abi.h");

    /// The value of `#define name value` or of `name = value,` in `bpf/abi.h`.
    pub(crate) fn constant(name: &str) -> u64 {
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
            ("OPOF_ENTRIES", ENTRIES as u64),
            ("OPOF_PROBES", PROBES as u64),
            ("OPOF_PROBE_MULTIPLIER", PROBE_MULTIPLIER.into()),
            ("OPOF_MULTIPLIERS", MULTIPLIERS as u64),
            ("OPOF_MIX_0", MIX[0]),
            ("OPOF_MIX_1", MIX[1]),
            ("OPOF_MAX_GTPU_EXTENSIONS", opof_wire::classify::MAX_GTPU_EXTENSIONS as u64),
            ("OPOF_MAX_LIFS", limits::LIFS as u64),
            ("OPOF_MAX_WIRES", limits::WIRE_PORTS as u64),
            ("OPOF_WAY_BITS", limits::WAYS.ilog2().into()),
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
}
