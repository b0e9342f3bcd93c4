//! What sessions change in their packets besides the tag, and the next hops they refer to, byte by byte.

use std::net::IpAddr;

use opof_session::l3::{self, Family, NextHopId};
use opof_session::plane::{CopyMoment, PacketChange};
use opof_session::types::Lif;
use opof_wire::ethernet::MacAddress;
use opof_wire::{Endpoint, Vid};

use super::{CHECK, array};

/// Flag of an edit: there is an IPv4 source address.
pub(super) const SOURCE_V4: u8 = 0x01;
/// Flag of an edit: there is an IPv6 source address.
pub(super) const SOURCE_V6: u8 = 0x02;
/// Flag of an edit: there is a source port.
pub(super) const SOURCE_PORT: u8 = 0x04;
/// Flag of an edit: the packet is copied as it came.
const MIRROR: u8 = 0x08;
/// Flag of an edit: the packet is copied as it leaves.
const SNOOP: u8 = 0x80;
/// How far the flags of the destination lie above those of the source.
const DESTINATION: u8 = 4;

/// Bytes of `struct opof_edit`.
const EDIT: usize = 48;

/// `struct opof_edits`: both directions of a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(transparent)]
pub struct Edits(pub [u8; 2 * EDIT]);

impl Default for Edits {
    fn default() -> Self {
        Self([0; 2 * EDIT])
    }
}

/// What one direction of a session changes, and who gets a copy.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Edit {
    /// That of the tag left aside.
    pub change: PacketChange,
    /// The copy.
    pub copy: Option<Copied>,
}

/// A copy as the programs know it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Copied {
    /// Index of the collector.
    pub collector: u8,
    /// The interface that the packet leaves by.
    pub out_lif: Lif,
    /// Which form of the packet.
    pub moment: CopyMoment,
    /// Goes with it.
    pub key: u32,
}

impl Edits {
    /// What the table entries can't say; `None` when they say everything.
    pub fn new(edits: [Edit; 2]) -> Option<Self> {
        if edits.iter().all(|edit| edit.copy.is_none() && edit.change == PacketChange::vlan(edit.change.vlan)) {
            return None;
        }
        let mut made = Self::default();
        for (edit, bytes) in edits.iter().zip(made.0.chunks_exact_mut(EDIT)) {
            write(&edit.change, bytes);
            if let Some(copy) = edit.copy {
                write_copy(copy, bytes);
            }
        }
        Some(made)
    }

    /// What one direction says; `None` when the interface that it leaves by is none.
    pub fn edit(&self, is_outward: bool) -> Option<Edit> {
        let bytes = &self.0[if is_outward { EDIT } else { 0 }..];
        let flags = bytes[47];
        let moment = match flags & (MIRROR | SNOOP) {
            MIRROR => Some(CopyMoment::AsItCame),
            SNOOP => Some(CopyMoment::AsItLeaves),
            _ => None,
        };
        let copy = match moment {
            Some(moment) => Some(Copied {
                collector: bytes[46],
                out_lif: Lif::new(u16::from_ne_bytes(array(bytes, 44)))?,
                moment,
                key: u32::from_ne_bytes(array(bytes, 40)),
            }),
            None => None,
        };
        Some(Edit { change: change(bytes), copy })
    }
}

fn change(bytes: &[u8]) -> PacketChange {
    let flags = bytes[47];
    let endpoint = |shift: u8, address: usize, port: usize| {
        let flags = flags >> shift;
        let address = match flags & (SOURCE_V4 | SOURCE_V6) {
            SOURCE_V4 => IpAddr::from(array::<4>(bytes, address)),
            SOURCE_V6 => IpAddr::from(array::<16>(bytes, address)),
            _ => return None,
        };
        let port = (flags & SOURCE_PORT != 0).then_some(u16::from_be_bytes(array(bytes, port)));
        Some(Endpoint { address, port })
    };
    PacketChange {
        vlan: None,
        next_hop: NextHopId::new(u32::from_ne_bytes(array(bytes, 36))),
        source: endpoint(0, 0, 32),
        destination: endpoint(DESTINATION, 16, 34),
    }
}

fn write_copy(copy: Copied, bytes: &mut [u8]) {
    bytes[40..44].copy_from_slice(&copy.key.to_ne_bytes());
    bytes[44..46].copy_from_slice(&copy.out_lif.get().to_ne_bytes());
    bytes[46] = copy.collector;
    bytes[47] |= match copy.moment {
        CopyMoment::AsItCame => MIRROR,
        CopyMoment::AsItLeaves => SNOOP,
    };
}

fn write(change: &PacketChange, bytes: &mut [u8]) {
    let endpoints = [(change.source, 0, 0, 32), (change.destination, DESTINATION, 16, 34)];
    for (endpoint, shift, address, port) in endpoints {
        let Some(endpoint) = endpoint else { continue };
        let mut flags = match endpoint.address {
            IpAddr::V4(new) => {
                bytes[address..address + 4].copy_from_slice(&new.octets());
                SOURCE_V4
            }
            IpAddr::V6(new) => {
                bytes[address..address + 16].copy_from_slice(&new.octets());
                SOURCE_V6
            }
        };
        if let Some(new) = endpoint.port {
            bytes[port..port + 2].copy_from_slice(&new.to_be_bytes());
            flags |= SOURCE_PORT;
        }
        bytes[47] |= flags << shift;
    }
    bytes[36..40].copy_from_slice(&change.next_hop.map_or(0, NextHopId::get).to_ne_bytes());
}

/// Where a next hop's family is: programs do not look at it.
const FAMILY: usize = 20;

/// `struct opof_next_hop`: the check of number and addresses, then the addresses and the family.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(transparent)]
pub struct NextHop(pub [u8; 24]);

impl NextHop {
    /// The value for this one.
    pub fn new(hop: &l3::NextHop) -> Self {
        let l3::NextHop { id, family, source, destination } = hop;
        let mut bytes = [0; 24];
        bytes[8..14].copy_from_slice(&destination.0);
        bytes[14..20].copy_from_slice(&source.0);
        bytes[FAMILY] = match family {
            Family::V4 => 4,
            Family::V6 => 6,
        };
        Self::checked(bytes, *id)
    }

    /// What it was made of. `None` when it is not whole.
    pub fn parts(&self, id: NextHopId) -> Option<l3::NextHop> {
        let family = match self.0[FAMILY] {
            4 => Family::V4,
            6 => Family::V6,
            _ => return None,
        };
        let [destination, source] = [8, 14].map(|at| MacAddress(array(&self.0, at)));
        (Self::checked(self.0, id) == *self).then_some(l3::NextHop { id, family, source, destination })
    }

    fn checked(mut bytes: [u8; 24], id: NextHopId) -> Self {
        // `check_next_hop()` in bpf/edit.h.
        let words = [u64::from_ne_bytes(array(&bytes, 8)), u64::from_ne_bytes(array(&bytes, 16)), id.get().into()];
        let check = words
            .into_iter()
            .zip(CHECK)
            .fold(0_u64, |sum, (word, multiplier)| sum.wrapping_add(word.wrapping_mul(multiplier)));
        bytes[..8].copy_from_slice(&check.to_ne_bytes());
        Self(bytes)
    }
}

/// Values of the map of VLAN flows: the way to the firewall plus one, 0 for none.
pub fn vlan_flow(way: Option<u32>) -> u32 {
    way.map_or(0, |way| way + 1)
}

/// The way of such a value.
pub fn vlan_flow_way(value: u32) -> Option<u32> {
    value.checked_sub(1)
}

/// Keys of that map.
pub const VLANS: u32 = 4096;

const _: () = assert!((Vid::MAX.get() as u32) < VLANS);

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(address: &str, port: Option<u16>) -> Endpoint {
        Endpoint { address: address.parse().unwrap(), port }
    }

    #[test]
    fn edits_byte_by_byte() {
        let none = PacketChange::default();
        let there =
            PacketChange { source: Some(endpoint("10.1.2.3", Some(0x0102))), next_hop: NextHopId::new(7), ..none };
        let back = PacketChange { destination: Some(endpoint("fd00::9", None)), ..none };
        let edit = |change| Edit { change, copy: None };
        let edits = Edits::new([there, back].map(edit)).unwrap();
        let mut expected = [0; 96];
        expected[..4].copy_from_slice(&[10, 1, 2, 3]);
        expected[32..34].copy_from_slice(&[1, 2]);
        expected[36..40].copy_from_slice(&7_u32.to_ne_bytes());
        expected[47] = 0x05;
        (expected[64], expected[79], expected[95]) = (0xfd, 9, 0x20);
        assert_eq!(edits.0, expected);
        assert_eq!([edits.edit(false), edits.edit(true)], [Some(edit(there)), Some(edit(back))]);
    }

    #[test]
    fn a_tag_alone_needs_no_edits() {
        let tag = PacketChange::vlan(Vid::new(7));
        let edit = |change| Edit { change, copy: None };
        assert_eq!(Edits::new([edit(tag), Edit::default()]), None);
        let port = PacketChange { source: Some(endpoint("10.0.0.1", Some(0))), ..tag };
        let edits = Edits::new([edit(tag), edit(port)]).unwrap();
        assert_eq!(edits.edit(true), Some(edit(PacketChange { vlan: None, ..port })));
        assert_eq!(edits.edit(false), Some(Edit::default()));
    }

    #[test]
    fn a_copy_byte_by_byte() {
        let out_lif = Lif::new(0x0102).unwrap();
        let copied = |moment| Copied { collector: 9, out_lif, moment, key: 0x0304_0506 };
        let edit = |moment| Edit { copy: Some(copied(moment)), ..Edit::default() };
        let both = [CopyMoment::AsItCame, CopyMoment::AsItLeaves].map(edit);
        let edits = Edits::new(both).unwrap();
        let expected = [&0x0304_0506_u32.to_ne_bytes()[..], &0x0102_u16.to_ne_bytes(), &[9, 0x08]].concat();
        assert_eq!(edits.0[40..48], expected);
        assert_eq!((&edits.0[..40], edits.0[95]), (&[0; 40][..], 0x80));
        assert_eq!([edits.edit(false), edits.edit(true)], both.map(Some));
    }

    #[test]
    fn a_next_hop_byte_by_byte() {
        let (source, destination) = (MacAddress([1, 2, 3, 4, 5, 6]), MacAddress([7, 8, 9, 10, 11, 12]));
        let id = |id| NextHopId::new(id).unwrap();
        let hop = l3::NextHop { id: id(3), family: Family::V6, source, destination };
        let value = NextHop::new(&hop);
        assert_eq!(value.0[8..], [7, 8, 9, 10, 11, 12, 1, 2, 3, 4, 5, 6, 6, 0, 0, 0]);
        assert_eq!((value.parts(id(3)), value.parts(id(4))), (Some(hop), None));
        for at in 0..24 {
            let mut torn = value;
            torn.0[at] ^= 0x80;
            assert_eq!(torn.parts(id(3)), None, "byte {at}");
        }
        let others = [
            l3::NextHop { id: id(4), ..hop },
            l3::NextHop { family: Family::V4, ..hop },
            l3::NextHop { source: MacAddress([1, 2, 3, 4, 5, 7]), ..hop },
            l3::NextHop { destination: MacAddress([0x87, 8, 9, 10, 11, 12]), ..hop },
        ];
        for other in others {
            assert_ne!(NextHop::new(&other).0[..8], value.0[..8], "{other:?}");
        }
    }

    #[test]
    fn flags_are_those_of_the_header() {
        let constant = |name: String| crate::abi::tests::constant(&name);
        assert_eq!(constant("OPOF_MIRROR".to_owned()), u64::from(MIRROR));
        assert_eq!(constant("OPOF_SNOOP".to_owned()), u64::from(SNOOP));
        for (name, flag) in [("V4", SOURCE_V4), ("V6", SOURCE_V6), ("PORT", SOURCE_PORT)] {
            assert_eq!(constant(format!("OPOF_SOURCE_{name}")), u64::from(flag));
            assert_eq!(constant(format!("OPOF_DESTINATION_{name}")), u64::from(flag << DESTINATION));
        }
    }
}
