//! The table's keys, flows and hits.

use opof_session::plane::Slot;
use opof_session::types::{Direction, Lif, MatchKey};
use opof_wire::{Addresses, FlowKey, Transport, Tunnel, Vid};

use super::{Probed, array};

/// 64-bit words of a key: four of addresses, one of everything else.
pub const KEY_WORDS: usize = 5;
/// 64-bit words of a flow: a key, the stamp, packets, bytes.
pub const FLOW_WORDS: usize = KEY_WORDS + 3;
/// The word of a flow in which its last packet's time and its action are.
pub const STAMP: usize = KEY_WORDS;

/// Flag of a hit: the second direction of its session.
pub(super) const OUTWARD: u8 = 0x01;
/// Flag of an action: discard.
pub(super) const DROP: u8 = 0x02;
/// Flag of an action: the slot's edits are made.
pub(super) const EDIT: u8 = 0x04;
/// Leave the tag alone.
pub(super) const KEEP_VID: u16 = 0xFFF;
/// Bits below what a key is of, and below the flags of an action.
const KIND_SHIFT: u32 = 12;
const IPV6: u16 = 0x1;
const UDP: u16 = 0x2;
const GTPU: u16 = 0x4;
/// Bits of a stamp that are the action. Above them is the tick.
const ACTION_BITS: u32 = 16;

/// Where the fields of a key's last word are, from the start of the key.
const SOURCE_PORT: usize = 32;
const DESTINATION_PORT: usize = 34;
const VLAN_KIND: usize = 36;
const LIF: usize = 38;
/// Of a flow alone; zero in a key.
const EXIT: usize = 39;

/// `struct opof_key`, as the words by which it is hashed and compared.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Key(pub [u64; KEY_WORDS]);

impl Key {
    /// The key, with its LIF at this position of the configuration.
    pub fn new(key: &MatchKey, position: u8) -> Self {
        let FlowKey { vlan, tunnel, addresses, source_port, destination_port, transport } = key.flow;
        let mut bytes = [0; 8 * KEY_WORDS];
        let mut kind = 0;
        match addresses {
            Addresses::V4 { source, destination } => {
                bytes[0..4].copy_from_slice(&source);
                bytes[4..8].copy_from_slice(&destination);
            }
            Addresses::V6 { source, destination } => {
                bytes[0..16].copy_from_slice(&source);
                bytes[16..32].copy_from_slice(&destination);
                kind |= IPV6;
            }
        }
        if transport == Transport::Udp {
            kind |= UDP;
        }
        if tunnel == Tunnel::Gtpu {
            kind |= GTPU;
        }
        bytes[SOURCE_PORT..DESTINATION_PORT].copy_from_slice(&source_port.to_be_bytes());
        bytes[DESTINATION_PORT..VLAN_KIND].copy_from_slice(&destination_port.to_be_bytes());
        bytes[VLAN_KIND..LIF].copy_from_slice(&(vlan.get() | kind << KIND_SHIFT).to_ne_bytes());
        bytes[LIF] = position;
        Self::from_bytes(&bytes)
    }

    fn from_bytes(bytes: &[u8]) -> Self {
        Self(std::array::from_fn(|word| u64::from_ne_bytes(array(bytes, 8 * word))))
    }

    fn to_bytes(self) -> [u8; 8 * KEY_WORDS] {
        let mut bytes = [0; 8 * KEY_WORDS];
        for (chunk, word) in bytes.chunks_exact_mut(8).zip(self.0) {
            chunk.copy_from_slice(&word.to_ne_bytes());
        }
        bytes
    }

    fn kind(self) -> u16 {
        u16::from_ne_bytes(array(&self.to_bytes(), VLAN_KIND)) >> KIND_SHIFT
    }

    /// How many words of addresses it has; the others are zero.
    pub fn address_words(self) -> usize {
        if self.is_v6() { KEY_WORDS - 1 } else { 1 }
    }

    /// True when it is of IPv6.
    pub fn is_v6(self) -> bool {
        has_v6_tail(self.0[KEY_WORDS - 1])
    }

    /// The position of its LIF.
    pub fn position(self) -> u8 {
        self.to_bytes()[LIF]
    }

    /// The key as the engine names it, given its LIF; `None` when no frame could have it.
    pub fn to_match_key(self, lif: Lif) -> Option<MatchKey> {
        let (bytes, kind) = (self.to_bytes(), self.kind());
        let addresses = if kind & IPV6 == 0 {
            Addresses::V4 { source: array(&bytes, 0), destination: array(&bytes, 4) }
        } else {
            Addresses::V6 { source: array(&bytes, 0), destination: array(&bytes, 16) }
        };
        let flow = FlowKey {
            vlan: Vid::new(u16::from_ne_bytes(array(&bytes, VLAN_KIND)) & KEEP_VID)?,
            tunnel: if kind & GTPU == 0 { Tunnel::None } else { Tunnel::Gtpu },
            addresses,
            source_port: u16::from_be_bytes(array(&bytes, SOURCE_PORT)),
            destination_port: u16::from_be_bytes(array(&bytes, DESTINATION_PORT)),
            transport: if kind & UDP == 0 { Transport::Tcp } else { Transport::Udp },
        };
        Some(MatchKey { lif, flow })
    }
}

/// True when the last word of a key says that it is of IPv6.
pub fn has_v6_tail(word: u64) -> bool {
    let kind = u16::from_ne_bytes(array(&word.to_ne_bytes(), VLAN_KIND - SOURCE_PORT)) >> KIND_SHIFT;
    kind & IPV6 != 0
}

/// How a packet is sent on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Forward {
    /// Position of the LIF to leave by.
    pub lif: u8,
    /// The VID to write.
    pub vlan: Option<Vid>,
    /// The slot's [`super::Edits`] are made.
    pub edits: bool,
}

/// The words of a new flow: a key, and what a packet that has it meets. `None` discards.
pub fn new_flow(key: &Key, forward: Option<Forward>) -> [u64; FLOW_WORDS] {
    let (exit, vid, flags) = match forward {
        Some(Forward { lif, vlan, edits }) => (lif, vlan.map_or(KEEP_VID, Vid::get), if edits { EDIT } else { 0 }),
        None => (0, KEEP_VID, DROP),
    };
    let mut words = [0; FLOW_WORDS];
    words[..KEY_WORDS].copy_from_slice(&key.0);
    let mut tail = words[KEY_WORDS - 1].to_ne_bytes();
    tail[EXIT - SOURCE_PORT] = exit;
    words[KEY_WORDS - 1] = u64::from_ne_bytes(tail);
    words[STAMP] = u64::from(vid | u16::from(flags) << KIND_SHIFT);
    words
}

/// What a flow was made of, as [`new_flow`] makes one.
pub fn parts(words: &[u64; FLOW_WORDS]) -> (Key, Option<Forward>) {
    let mut key = Key(std::array::from_fn(|word| words[word]));
    let mut tail = key.0[KEY_WORDS - 1].to_ne_bytes();
    let lif = std::mem::take(&mut tail[EXIT - SOURCE_PORT]);
    key.0[KEY_WORDS - 1] = u64::from_ne_bytes(tail);
    #[allow(clippy::cast_possible_truncation, reason = "the lowest 16 bits are the action")]
    let action = words[STAMP] as u16;
    let has = |flag: u8| action >> KIND_SHIFT & u16::from(flag) != 0;
    let forward = Forward { lif, vlan: Vid::new(action & KEEP_VID), edits: has(EDIT) };
    // There may be something that is none of the key's.
    let used = key.address_words();
    key.0[used..KEY_WORDS - 1].fill(0);
    (key, (!has(DROP)).then_some(forward))
}

/// The tick in a flow's stamp at which its last packet was; 0: never.
pub const fn last_tick(stamp: u64) -> u64 {
    stamp >> ACTION_BITS
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

impl Hit {
    fn from_bytes(bytes: [u8; 8]) -> Self {
        let [.., lif, flags] = bytes;
        let vlan = Vid::new(u16::from_ne_bytes(array(&bytes, 4)));
        let forward = (flags & DROP == 0).then_some(Forward { lif, vlan, edits: flags & EDIT != 0 });
        let direction = if flags & OUTWARD == 0 { Direction::In } else { Direction::Out };
        Self { slot: Slot(u32::from_ne_bytes(array(&bytes, 0))), direction, forward }
    }
}

impl Probed {
    /// A [`opof_wire::SlowPath`] number, or [`super::HAS_KEY`] for a hit.
    pub fn verdict(&self) -> u32 {
        u32::from_ne_bytes(array(&self.0, 0))
    }

    /// The key, if the frame had one.
    pub fn key(&self) -> Option<Key> {
        let has_key = u32::from_ne_bytes(array(&self.0, 4)) != 0;
        has_key.then(|| Key::from_bytes(&self.0[8..48]))
    }

    /// The hit; meaningful with the verdict [`super::HAS_KEY`].
    pub fn hit(&self) -> Hit {
        Hit::from_bytes(array(&self.0, 48))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "in a test a panic is the way to fail")]
mod tests {
    use super::super::tests::constant;
    use super::*;

    #[test]
    fn a_flow_says_what_it_was_made_of() {
        let key = Key([1, 2, 3, 4, 0x00FF_FFFF_FFFF_FFFF]);
        let forward = Forward { lif: 31, vlan: Vid::new(4094), edits: true };
        for forward in [None, Some(forward), Some(Forward { lif: 0, vlan: None, edits: false })] {
            let mut words = new_flow(&key, forward);
            words[STAMP] |= 0x1234_5678_9ABC_0000;
            assert_eq!(parts(&words), (key, forward));
        }
    }

    #[test]
    fn numbers_are_those_of_the_header() {
        let same = [
            ("OPOF_KIND_SHIFT", KIND_SHIFT.into()),
            ("OPOF_IPV6", IPV6.into()),
            ("OPOF_UDP", UDP.into()),
            ("OPOF_GTPU", GTPU.into()),
            ("OPOF_OUTWARD", OUTWARD.into()),
            ("OPOF_DROP", DROP.into()),
            ("OPOF_EDIT", EDIT.into()),
            ("OPOF_KEEP_VID", KEEP_VID.into()),
            ("OPOF_ACTION_MASK", (1 << ACTION_BITS) - 1),
            ("OPOF_ACTION_BITS", ACTION_BITS.into()),
        ];
        for (name, ours) in same {
            assert_eq!(constant(name), ours, "{name}");
        }
    }

    fn key(addresses: Addresses, tunnel: Tunnel, transport: Transport) -> MatchKey {
        let vlan = Vid::new(0x123).unwrap();
        let flow = FlowKey { vlan, tunnel, addresses, source_port: 0x0102, destination_port: 0x0304, transport };
        MatchKey { lif: Lif::new(0x0506).unwrap(), flow }
    }

    #[test]
    fn keys_byte_by_byte() {
        let addresses = Addresses::V4 { source: [10, 1, 2, 3], destination: [192, 0, 2, 9] };
        let four = key(addresses, Tunnel::Gtpu, Transport::Udp);
        let mut expected = vec![10, 1, 2, 3, 192, 0, 2, 9];
        expected.extend([0; 24]);
        expected.extend([1, 2, 3, 4]);
        expected.extend(0x6123_u16.to_ne_bytes());
        expected.extend([31, 0]);
        let made = Key::new(&four, 31);
        assert_eq!((made.to_bytes().to_vec(), made.address_words(), made.position()), (expected, 1, 31));
        assert_eq!(made.to_match_key(four.lif), Some(four));

        let addresses = Addresses::V6 { source: [0xAA; 16], destination: [0xBB; 16] };
        let six = key(addresses, Tunnel::None, Transport::Tcp);
        let kind = 0x1123_u16.to_ne_bytes();
        let expected = [&[0xAA; 16][..], &[0xBB; 16], &[1, 2, 3, 4], &kind, &[0, 0]].concat();
        let made = Key::new(&six, 0);
        assert_eq!((made.to_bytes().to_vec(), made.address_words(), made.position()), (expected, 4, 0));
        assert_eq!(made.to_match_key(six.lif), Some(six));
    }

    #[test]
    fn a_flow_byte_by_byte() {
        let key = Key::from_bytes(&std::array::from_fn::<u8, 40, _>(|at| u8::from(at != 39)));
        let stamp = |forward| {
            let words = new_flow(&key, forward);
            assert_eq!(words[..4], key.0[..4]);
            assert_eq!(words[4].to_ne_bytes()[..7], [1; 7]);
            assert_eq!((words[6], words[7], last_tick(words[5])), (0, 0, 0));
            (words[4].to_ne_bytes()[7], words[5])
        };
        assert_eq!(stamp(None), (0, 0x2FFF));
        let forward = |lif, vlan, edits| Some(Forward { lif, vlan, edits });
        assert_eq!(stamp(forward(31, Vid::new(4094), false)), (31, 0x0FFE));
        assert_eq!(stamp(forward(7, None, true)), (7, 0x4FFF));
        assert_eq!(last_tick(0x1234_5678_9ABC_DEF0), 0x1234_5678_9ABC);
    }

    #[test]
    fn a_hit_byte_by_byte() {
        let hit = |rewrite: u16, lif, flags| {
            let bytes = [&0x0102_0304_u32.to_ne_bytes()[..], &rewrite.to_ne_bytes(), &[lif, flags]].concat();
            Hit::from_bytes(bytes.try_into().unwrap())
        };
        let slot = Slot(0x0102_0304);
        let forward = Some(Forward { lif: 31, vlan: Vid::new(4094), edits: false });
        assert_eq!(hit(4094, 31, 0), Hit { slot, direction: Direction::In, forward });
        let forward = Some(Forward { lif: 1, vlan: None, edits: true });
        assert_eq!(hit(KEEP_VID, 1, OUTWARD | EDIT), Hit { slot, direction: Direction::Out, forward });
        assert_eq!(hit(KEEP_VID, 0, DROP), Hit { slot, direction: Direction::In, forward: None });
    }
}
