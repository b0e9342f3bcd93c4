//! Ethernet II header (IEEE 802.3, 3.1.1): two addresses and an EtherType. Tags are [`crate::vlan`]'s.

use core::fmt;

use crate::Error;
use crate::bytes::{array, put, put_u16, u16_at};

mod field {
    use core::ops::{Range, RangeFrom};
    pub(super) const DESTINATION: Range<usize> = 0..6;
    pub(super) const SOURCE: Range<usize> = 6..12;
    pub(super) const ETHER_TYPE: Range<usize> = 12..14;
    pub(super) const PAYLOAD: RangeFrom<usize> = 14..;
}

/// Bytes of the header.
pub const HEADER_LEN: usize = field::PAYLOAD.start;

/// The EtherType of IPv4 (RFC 894).
pub const IPV4: u16 = 0x0800;
/// The EtherType of ARP (RFC 826).
pub const ARP: u16 = 0x0806;
/// The EtherType of IPv6 (RFC 2464, 3).
pub const IPV6: u16 = 0x86dd;
/// The EtherType of LLDP (IEEE 802.1AB, 7.4).
pub const LLDP: u16 = 0x88cc;

/// A MAC address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct MacAddress(pub [u8; 6]);

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, rest @ ..] = self.0;
        write!(f, "{first:02x}")?;
        rest.iter().try_for_each(|byte| write!(f, ":{byte:02x}"))
    }
}

/// A view of an Ethernet frame without its FCS.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Frame<T> {
    buffer: T,
}

impl<T: AsRef<[u8]>> Frame<T> {
    /// A view whose accessors panic when `buffer` is shorter than [`HEADER_LEN`].
    pub const fn new_unchecked(buffer: T) -> Self {
        Self { buffer }
    }

    /// A view whose accessors do not panic.
    ///
    /// # Errors
    /// [`Error::Truncated`] when `buffer` is shorter than [`HEADER_LEN`].
    pub fn new_checked(buffer: T) -> Result<Self, Error> {
        if buffer.as_ref().len() < HEADER_LEN {
            return Err(Error::Truncated);
        }
        Ok(Self::new_unchecked(buffer))
    }

    /// Destination address.
    pub fn destination(&self) -> MacAddress {
        MacAddress(array(self.buffer.as_ref(), field::DESTINATION))
    }

    /// Source address.
    pub fn source(&self) -> MacAddress {
        MacAddress(array(self.buffer.as_ref(), field::SOURCE))
    }

    /// EtherType, or an 802.3 length when below 0x0600.
    pub fn ether_type(&self) -> u16 {
        u16_at(self.buffer.as_ref(), field::ETHER_TYPE)
    }
}

impl<'a> Frame<&'a [u8]> {
    /// What follows the header.
    pub fn payload(&self) -> &'a [u8] {
        &self.buffer[field::PAYLOAD]
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> Frame<T> {
    /// Sets the destination address.
    pub fn set_destination(&mut self, address: MacAddress) {
        put(self.buffer.as_mut(), field::DESTINATION, &address.0);
    }

    /// Sets the source address.
    pub fn set_source(&mut self, address: MacAddress) {
        put(self.buffer.as_mut(), field::SOURCE, &address.0);
    }

    /// Sets the EtherType.
    pub fn set_ether_type(&mut self, ether_type: u16) {
        put_u16(self.buffer.as_mut(), field::ETHER_TYPE, ether_type);
    }
}

/// An Ethernet header as values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Repr {
    /// Destination address.
    pub destination: MacAddress,
    /// Source address.
    pub source: MacAddress,
    /// EtherType, or an 802.3 length when below 0x0600.
    pub ether_type: u16,
}

impl Repr {
    /// The header's values.
    ///
    /// # Errors
    /// As [`Frame::new_checked`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let frame = Frame::new_checked(bytes)?;
        Ok(Self { destination: frame.destination(), source: frame.source(), ether_type: frame.ether_type() })
    }

    /// Writes the header to the beginning of `buffer`.
    ///
    /// # Errors
    /// [`Error::Truncated`] when `buffer` is shorter than [`Repr::buffer_len`].
    pub fn emit(&self, buffer: &mut [u8]) -> Result<(), Error> {
        let mut frame = Frame::new_checked(buffer)?;
        frame.set_destination(self.destination);
        frame.set_source(self.source);
        frame.set_ether_type(self.ether_type);
        Ok(())
    }

    /// Bytes that [`Repr::emit`] writes.
    pub const fn buffer_len(&self) -> usize {
        HEADER_LEN
    }
}

impl fmt::Display for Repr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ethernet {} > {} type {:#06x}", self.source, self.destination, self.ether_type)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    const BYTES: [u8; 16] = [2, 0, 0, 0, 0, 0xb, 2, 0, 0, 0, 0, 0xa, 0x08, 0x06, 0x55, 0xaa];
    const REPR: Repr = Repr {
        destination: MacAddress([2, 0, 0, 0, 0, 0xb]),
        source: MacAddress([2, 0, 0, 0, 0, 0xa]),
        ether_type: ARP,
    };

    #[test]
    fn parses_literal_bytes() {
        assert_eq!(Repr::parse(&BYTES), Ok(REPR));
        assert_eq!(Frame::new_unchecked(&BYTES[..]).payload(), [0x55, 0xaa]);
    }

    #[test]
    fn emits_literal_bytes() {
        let mut out = [0; HEADER_LEN];
        REPR.emit(&mut out).unwrap();
        assert_eq!(out, BYTES[..HEADER_LEN]);
        assert_eq!(REPR.emit(&mut out[1..]), Err(Error::Truncated));
    }

    #[test]
    fn every_cut_is_truncated() {
        for cut in 0..HEADER_LEN {
            assert_eq!(Repr::parse(&BYTES[..cut]), Err(Error::Truncated), "cut at {cut}");
        }
    }

    #[test]
    fn reads_well() {
        assert_eq!(REPR.to_string(), "ethernet 02:00:00:00:00:0a > 02:00:00:00:00:0b type 0x0806");
    }
}
