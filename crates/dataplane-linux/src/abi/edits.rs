//! What sessions change in their packets besides the tag, and the next hops they refer to, byte by byte.

use std::net::IpAddr;

use opof_session::l3::NextHopId;
use opof_session::plane::PacketChange;
use opof_wire::{Endpoint, Macs, Vid};

use super::{CHECK, array};

/// Flag of an edit: there is an IPv4 source address.
pub(super) const SOURCE_V4: u8 = 0x01;
/// Flag of an edit: there is an IPv6 source address.
pub(super) const SOURCE_V6: u8 = 0x02;
/// Flag of an edit: there is a source port.
pub(super) const SOURCE_PORT: u8 = 0x04;
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

impl Edits {
    /// What the table entries can't say of these changes; `None` when they say everything.
    pub fn new(changes: [PacketChange; 2]) -> Option<Self> {
        if changes.iter().all(|change| *change == PacketChange::vlan(change.vlan)) {
            return None;
        }
        let mut edits = Self::default();
        for (change, bytes) in changes.iter().zip(edits.0.chunks_exact_mut(EDIT)) {
            write(change, bytes);
        }
        Some(edits)
    }

    /// The changes of one direction, that of the tag left aside.
    pub fn change(&self, is_outward: bool) -> PacketChange {
        let bytes = &self.0[if is_outward { EDIT } else { 0 }..];
        let flags = bytes[40];
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
        bytes[40] |= flags << shift;
    }
    bytes[36..40].copy_from_slice(&change.next_hop.map_or(0, NextHopId::get).to_ne_bytes());
}

/// `struct opof_next_hop`: the check of number and addresses, then the addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(transparent)]
pub struct NextHop(pub [u8; 24]);

impl NextHop {
    /// The value for this number.
    pub fn new(id: NextHopId, macs: &Macs) -> Self {
        let mut bytes = [0; 24];
        bytes[8..14].copy_from_slice(&macs.destination.0);
        bytes[14..20].copy_from_slice(&macs.source.0);
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

/// Keys of that map.
pub const VLANS: u32 = 4096;

const _: () = assert!((Vid::MAX.get() as u32) < VLANS);

#[cfg(test)]
mod tests {
    use opof_wire::ethernet::MacAddress;

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
        let edits = Edits::new([there, back]).unwrap();
        let mut expected = [0; 96];
        expected[..4].copy_from_slice(&[10, 1, 2, 3]);
        expected[32..34].copy_from_slice(&[1, 2]);
        expected[36..40].copy_from_slice(&7_u32.to_ne_bytes());
        expected[40] = 0x05;
        (expected[64], expected[79], expected[88]) = (0xfd, 9, 0x20);
        assert_eq!(edits.0, expected);
        assert_eq!([edits.change(false), edits.change(true)], [there, back]);
    }

    #[test]
    fn a_tag_alone_needs_no_edits() {
        let tag = PacketChange::vlan(Vid::new(7));
        assert_eq!(Edits::new([tag, PacketChange::default()]), None);
        let port = PacketChange { source: Some(endpoint("10.0.0.1", Some(0))), ..tag };
        let edits = Edits::new([tag, port]).unwrap();
        assert_eq!(edits.change(true), PacketChange { vlan: None, ..port });
        assert_eq!(edits.change(false), PacketChange::default());
    }

    #[test]
    fn a_next_hop_byte_by_byte() {
        let macs = Macs { source: MacAddress([1, 2, 3, 4, 5, 6]), destination: MacAddress([7, 8, 9, 10, 11, 12]) };
        let value = NextHop::new(NextHopId::new(3).unwrap(), &macs).0;
        assert_eq!(value[8..], [7, 8, 9, 10, 11, 12, 1, 2, 3, 4, 5, 6, 0, 0, 0, 0]);
        for (id, byte) in [(4, None), (3, Some(0)), (3, Some(11))] {
            let mut other = macs;
            match byte {
                Some(0) => other.destination.0[0] ^= 0x80,
                Some(_) => other.source.0[5] ^= 1,
                None => {}
            }
            assert_ne!(NextHop::new(NextHopId::new(id).unwrap(), &other).0[..8], value[..8], "{id} {byte:?}");
        }
    }

    #[test]
    fn flags_are_those_of_the_header() {
        let constant = |name: String| crate::abi::tests::constant(&name);
        for (name, flag) in [("V4", SOURCE_V4), ("V6", SOURCE_V6), ("PORT", SOURCE_PORT)] {
            assert_eq!(constant(format!("OPOF_SOURCE_{name}")), u64::from(flag));
            assert_eq!(constant(format!("OPOF_DESTINATION_{name}")), u64::from(flag << DESTINATION));
        }
    }
}
