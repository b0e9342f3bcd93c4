//! UDP header (RFC 768).

use core::fmt;

use crate::Error;
use crate::bytes::{put_u16, u16_at};
use crate::checksum::Sum;
use crate::flow::{Addresses, Transport};

mod field {
    use core::ops::Range;
    pub(super) const SOURCE_PORT: Range<usize> = 0..2;
    pub(super) const DESTINATION_PORT: Range<usize> = 2..4;
    pub(super) const LENGTH: Range<usize> = 4..6;
    pub(super) const CHECKSUM: Range<usize> = 6..8;
}

/// Bytes of the header.
pub const HEADER_LEN: usize = field::CHECKSUM.end;

/// A view of a UDP datagram; bytes behind its length are not part of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Packet<T> {
    buffer: T,
}

impl<T: AsRef<[u8]>> Packet<T> {
    /// A view whose accessors panic when `buffer` is shorter than what they read: [`HEADER_LEN`], and for
    /// [`Packet::payload`] what the length field says.
    pub const fn new_unchecked(buffer: T) -> Self {
        Self { buffer }
    }

    /// A view whose accessors do not panic.
    ///
    /// # Errors
    /// [`Error::Truncated`] when `buffer` is shorter than header or length field; [`Error::Length`] when that is below 8.
    pub fn new_checked(buffer: T) -> Result<Self, Error> {
        let len = buffer.as_ref().len();
        if len < HEADER_LEN {
            return Err(Error::Truncated);
        }
        let packet = Self::new_unchecked(buffer);
        if packet.length() < HEADER_LEN {
            return Err(Error::Length);
        }
        if packet.length() > len {
            return Err(Error::Truncated);
        }
        Ok(packet)
    }

    /// Source port.
    pub fn source_port(&self) -> u16 {
        u16_at(self.buffer.as_ref(), field::SOURCE_PORT)
    }

    /// Destination port.
    pub fn destination_port(&self) -> u16 {
        u16_at(self.buffer.as_ref(), field::DESTINATION_PORT)
    }

    /// Bytes of header and payload.
    pub fn length(&self) -> usize {
        usize::from(u16_at(self.buffer.as_ref(), field::LENGTH))
    }

    /// Checksum as it stands in the datagram; 0 for none.
    pub fn checksum(&self) -> u16 {
        u16_at(self.buffer.as_ref(), field::CHECKSUM)
    }

    /// True when the checksum is right for a datagram between `addresses`, or absent and IPv4 (RFC 8200, 8.1).
    pub fn verify_checksum(&self, addresses: &Addresses) -> bool {
        if self.checksum() == 0 {
            return matches!(addresses, Addresses::V4 { .. });
        }
        datagram_checksum(&self.buffer.as_ref()[..self.length()], addresses) == 0
    }
}

impl<'a> Packet<&'a [u8]> {
    /// What UDP carries, without bytes behind its length.
    pub fn payload(&self) -> &'a [u8] {
        &self.buffer[HEADER_LEN..self.length()]
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> Packet<T> {
    /// Sets the checksum to the right value for a datagram between `addresses`. The payload must be in place.
    pub fn fill_checksum(&mut self, addresses: &Addresses) {
        let length = self.length();
        let data = self.buffer.as_mut();
        put_u16(data, field::CHECKSUM, 0);
        let checksum = datagram_checksum(&data[..length], addresses);
        // 0 would say that there is no checksum; its other one's complement form has the same effect.
        put_u16(data, field::CHECKSUM, if checksum == 0 { 0xffff } else { checksum });
    }
}

fn datagram_checksum(data: &[u8], addresses: &Addresses) -> u16 {
    Sum::pseudo_header(addresses, Transport::Udp.number(), data.len()).bytes(data).finish()
}

/// A UDP header as values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Repr {
    /// Source port.
    pub source_port: u16,
    /// Destination port.
    pub destination_port: u16,
    /// Bytes that follow the header.
    pub payload_len: usize,
}

impl Repr {
    /// The header's values. The checksum is not verified.
    ///
    /// # Errors
    /// As [`Packet::new_checked`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let packet = Packet::new_checked(bytes)?;
        Ok(Self {
            source_port: packet.source_port(),
            destination_port: packet.destination_port(),
            payload_len: packet.payload().len(),
        })
    }

    /// Writes the header to the beginning of `buffer`, with checksum 0: [`Packet::fill_checksum`] comes when the
    /// payload is in place.
    ///
    /// # Errors
    /// [`Error::Truncated`] when `buffer` is shorter than [`Repr::buffer_len`]; [`Error::Value`] when the payload does
    /// not fit the length field.
    pub fn emit(&self, buffer: &mut [u8]) -> Result<(), Error> {
        let length = u16::try_from(HEADER_LEN + self.payload_len).map_err(|_| Error::Value)?;
        let header = buffer.get_mut(..HEADER_LEN).ok_or(Error::Truncated)?;
        put_u16(header, field::SOURCE_PORT, self.source_port);
        put_u16(header, field::DESTINATION_PORT, self.destination_port);
        put_u16(header, field::LENGTH, length);
        put_u16(header, field::CHECKSUM, 0);
        Ok(())
    }

    /// Bytes that [`Repr::emit`] writes.
    pub const fn buffer_len(&self) -> usize {
        HEADER_LEN
    }
}

impl fmt::Display for Repr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "udp {} > {} payload {}", self.source_port, self.destination_port, self.payload_len)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    const ADDRESSES: Addresses = Addresses::V4 { source: [192, 0, 2, 1], destination: [192, 0, 2, 2] };
    /// One byte of payload, one behind the length.
    const BYTES: [u8; 10] = [0xc0, 0x00, 0x00, 0x35, 0x00, 0x09, 0x00, 0x00, 0x78, 0xff];
    const REPR: Repr = Repr { source_port: 0xc000, destination_port: 53, payload_len: 1 };

    #[test]
    fn parses_literal_bytes() {
        assert_eq!(Repr::parse(&BYTES), Ok(REPR));
        assert_eq!(Packet::new_unchecked(&BYTES[..]).payload(), [0x78]);
    }

    #[test]
    fn emits_literal_bytes() {
        let mut out = [0xff; HEADER_LEN];
        REPR.emit(&mut out).unwrap();
        assert_eq!(out, BYTES[..HEADER_LEN]);
        assert_eq!(REPR.emit(&mut out[1..]), Err(Error::Truncated));
        assert_eq!(Repr { payload_len: 65528, ..REPR }.emit(&mut out), Err(Error::Value));
    }

    #[test]
    fn the_checksum_covers_pseudo_header_and_payload_only() {
        let mut bytes = BYTES;
        Packet::new_unchecked(&mut bytes[..]).fill_checksum(&ADDRESSES);
        // By hand: pseudo header 0x841e, datagram 0x383f.
        assert_eq!(bytes[6..8], (!0xbc5d_u16).to_be_bytes());
        assert!(Packet::new_unchecked(&bytes[..]).verify_checksum(&ADDRESSES));
        bytes[8] ^= 1;
        assert!(!Packet::new_unchecked(&bytes[..]).verify_checksum(&ADDRESSES));
    }

    #[test]
    fn a_checksum_of_zero_is_sent_as_all_ones() {
        // Pseudo header 0x841d, length 8, and a port that brings the sum to 0xffff.
        let mut bytes = [0x7b, 0xda, 0, 0, 0, 8, 0, 0];
        Packet::new_unchecked(&mut bytes[..]).fill_checksum(&ADDRESSES);
        assert_eq!(bytes[6..8], [0xff, 0xff]);
        assert!(Packet::new_unchecked(&bytes[..]).verify_checksum(&ADDRESSES));
    }

    #[test]
    fn no_checksum_is_right_in_ipv4_and_wrong_in_ipv6() {
        let packet = Packet::new_unchecked(&BYTES[..]);
        assert!(packet.verify_checksum(&ADDRESSES));
        assert!(!packet.verify_checksum(&Addresses::V6 { source: [1; 16], destination: [2; 16] }));
    }

    #[test]
    fn every_cut_is_truncated() {
        for cut in 0..9 {
            assert_eq!(Repr::parse(&BYTES[..cut]), Err(Error::Truncated), "cut at {cut}");
        }
    }

    #[test]
    fn a_length_below_eight_is_named() {
        let mut bytes = BYTES;
        bytes[5] = 7;
        assert_eq!(Repr::parse(&bytes), Err(Error::Length));
    }

    #[test]
    fn reads_well() {
        assert_eq!(REPR.to_string(), "udp 49152 > 53 payload 1");
    }
}
