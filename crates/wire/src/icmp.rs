//! ICMP and ICMPv6 header (RFC 792; RFC 4443, 2.1), and the two messages that say that a packet was too big for the next
//! link (RFC 1191, 4; RFC 4443, 3.2). When a device may send one is [`crate::packet_too_big`]'s.

use core::fmt;

use crate::Error;
use crate::bytes::{put_u16, put_u32, u16_at, u32_at};
use crate::checksum::Sum;
use crate::flow::Addresses;

mod field {
    use core::ops::Range;
    pub(super) const TYPE: usize = 0;
    pub(super) const CODE: usize = 1;
    pub(super) const CHECKSUM: Range<usize> = 2..4;
    pub(super) const REST: Range<usize> = 4..8;
    pub(super) const NEXT_HOP_MTU: Range<usize> = 6..8;
}

/// Bytes of the header, what depends on the type included.
pub const HEADER_LEN: usize = field::REST.end;

/// IP protocol number of ICMP.
pub const PROTOCOL_V4: u8 = 1;
/// IP protocol number of ICMPv6.
pub const PROTOCOL_V6: u8 = 58;

/// ICMP type: destination unreachable.
pub const UNREACHABLE: u8 = 3;
/// Code of [`UNREACHABLE`]: fragmentation needed and DF set.
pub const FRAGMENTATION_NEEDED: u8 = 4;
/// ICMPv6 type: packet too big; its code is 0.
pub const PACKET_TOO_BIG: u8 = 2;

/// True for each ICMP type that reports an error (RFC 1122, 3.2.2): destination unreachable, source quench, redirect, time
/// exceeded, parameter problem.
pub const fn is_error_v4(kind: u8) -> bool {
    matches!(kind, 3 | 4 | 5 | 11 | 12)
}

/// True for each ICMPv6 type that no error may be sent about: all below 128, and the redirect (RFC 4443, 2.4 (e)).
pub const fn is_error_v6(kind: u8) -> bool {
    kind < 128 || kind == 137
}

/// A view of an ICMP or ICMPv6 message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Packet<T> {
    buffer: T,
}

impl<T: AsRef<[u8]>> Packet<T> {
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

    /// Type; the two families number theirs differently.
    pub fn kind(&self) -> u8 {
        self.buffer.as_ref()[field::TYPE]
    }

    /// Code; what it means depends on the type.
    pub fn code(&self) -> u8 {
        self.buffer.as_ref()[field::CODE]
    }

    /// Checksum as it stands in the message.
    pub fn checksum(&self) -> u16 {
        u16_at(self.buffer.as_ref(), field::CHECKSUM)
    }

    /// True when the checksum is right for a message between `addresses`, to the buffer's end. ICMPv6 has them under its
    /// checksum (RFC 4443, 2.3), ICMP does not.
    pub fn verify_checksum(&self, addresses: &Addresses) -> bool {
        message_checksum(self.buffer.as_ref(), addresses) == 0
    }
}

impl<'a> Packet<&'a [u8]> {
    /// What follows the header: in an error, the beginning of the packet that it is about.
    pub fn payload(&self) -> &'a [u8] {
        &self.buffer[HEADER_LEN..]
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> Packet<T> {
    /// Sets the checksum to the right value for a message between `addresses`, to the buffer's end. The payload must be in
    /// place.
    pub fn fill_checksum(&mut self, addresses: &Addresses) {
        let data = self.buffer.as_mut();
        put_u16(data, field::CHECKSUM, 0);
        let checksum = message_checksum(data, addresses);
        put_u16(data, field::CHECKSUM, checksum);
    }
}

fn message_checksum(data: &[u8], addresses: &Addresses) -> u16 {
    let sum = match addresses {
        Addresses::V4 { .. } => Sum::new(),
        Addresses::V6 { .. } => Sum::pseudo_header(addresses, PROTOCOL_V6, data.len()),
    };
    sum.bytes(data).finish()
}

/// The header of a message that says that a packet was too big, as values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Repr {
    /// ICMP, type 3, code 4.
    FragmentationNeeded {
        /// The largest IP packet that the next link takes, in bytes; 0 from routers older than RFC 1191.
        mtu: u16,
    },
    /// ICMPv6, type 2.
    PacketTooBig {
        /// The largest IP packet that the next link takes, in bytes.
        mtu: u32,
    },
}

impl Repr {
    /// The header's values; `protocol` is the IP protocol number that the message came by. The checksum is not verified, and
    /// the code of [`PACKET_TOO_BIG`] is ignored (RFC 4443, 3.2).
    ///
    /// # Errors
    /// As [`Packet::new_checked`]; [`Error::Value`] for every other message and protocol.
    pub fn parse(bytes: &[u8], protocol: u8) -> Result<Self, Error> {
        let packet = Packet::new_checked(bytes)?;
        match (protocol, packet.kind(), packet.code()) {
            (PROTOCOL_V4, UNREACHABLE, FRAGMENTATION_NEEDED) => {
                Ok(Self::FragmentationNeeded { mtu: u16_at(bytes, field::NEXT_HOP_MTU) })
            }
            (PROTOCOL_V6, PACKET_TOO_BIG, _) => Ok(Self::PacketTooBig { mtu: u32_at(bytes, field::REST) }),
            _ => Err(Error::Value),
        }
    }

    /// Writes the header to the beginning of `buffer`, with checksum 0: [`Packet::fill_checksum`] comes when the payload is
    /// in place.
    ///
    /// # Errors
    /// [`Error::Truncated`] when `buffer` is shorter than [`Repr::buffer_len`].
    pub fn emit(&self, buffer: &mut [u8]) -> Result<(), Error> {
        let header = buffer.get_mut(..HEADER_LEN).ok_or(Error::Truncated)?;
        let (kind, code, rest) = match *self {
            Self::FragmentationNeeded { mtu } => (UNREACHABLE, FRAGMENTATION_NEEDED, u32::from(mtu)),
            Self::PacketTooBig { mtu } => (PACKET_TOO_BIG, 0, mtu),
        };
        header[field::TYPE] = kind;
        header[field::CODE] = code;
        put_u16(header, field::CHECKSUM, 0);
        put_u32(header, field::REST, rest);
        Ok(())
    }

    /// Bytes that [`Repr::emit`] writes.
    pub const fn buffer_len(&self) -> usize {
        HEADER_LEN
    }
}

impl fmt::Display for Repr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FragmentationNeeded { mtu } => write!(f, "icmp fragmentation needed, mtu {mtu}"),
            Self::PacketTooBig { mtu } => write!(f, "icmpv6 packet too big, mtu {mtu}"),
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    const V4: Addresses = Addresses::V4 { source: [192, 0, 2, 1], destination: [192, 0, 2, 2] };
    const BYTES_V4: [u8; 10] = [3, 4, 0xa2, 0x42, 0, 0, 0x05, 0x96, 0x55, 0x23];
    const BYTES_V6: [u8; 9] = [2, 0, 0, 0, 0, 0x01, 0x05, 0x82, 0x55];
    const REPR_V4: Repr = Repr::FragmentationNeeded { mtu: 1430 };
    const REPR_V6: Repr = Repr::PacketTooBig { mtu: 0x1_0582 };

    #[test]
    fn parses_literal_bytes() {
        assert_eq!(Repr::parse(&BYTES_V4, PROTOCOL_V4), Ok(REPR_V4));
        assert_eq!(Repr::parse(&BYTES_V6, PROTOCOL_V6), Ok(REPR_V6));
        assert_eq!(Packet::new_unchecked(&BYTES_V4[..]).payload(), [0x55, 0x23]);
    }

    #[test]
    fn emits_literal_bytes() {
        let mut out = [0xff; 10];
        out[8..].copy_from_slice(&BYTES_V4[8..]);
        REPR_V4.emit(&mut out).unwrap();
        Packet::new_unchecked(&mut out[..]).fill_checksum(&V4);
        assert_eq!(out, BYTES_V4);
        REPR_V6.emit(&mut out).unwrap();
        assert_eq!(out[..8], BYTES_V6[..8]);
        assert_eq!(REPR_V6.emit(&mut out[..7]), Err(Error::Truncated));
    }

    #[test]
    fn icmpv6_alone_has_a_pseudo_header() {
        let v6 = Addresses::V6 { source: [1; 16], destination: [2; 16] };
        let mut bytes = BYTES_V6;
        Packet::new_unchecked(&mut bytes[..]).fill_checksum(&v6);
        // By hand: 8 x 0x0303 for the addresses, 9 for the length, 58; then the message, its last byte padded behind.
        assert_eq!(bytes[2..4], (!(0x1818_u16 + 9 + 58 + 0x0200 + 1 + 0x0582 + 0x5500)).to_be_bytes());
        assert!(Packet::new_unchecked(&bytes[..]).verify_checksum(&v6));
        assert!(!Packet::new_unchecked(&bytes[..]).verify_checksum(&V4));
        assert!(Packet::new_unchecked(&BYTES_V4[..]).verify_checksum(&V4));
        assert!(Packet::new_unchecked(&BYTES_V4[..]).verify_checksum(&V4.reversed()));
    }

    #[test]
    fn every_cut_is_truncated() {
        for cut in 0..HEADER_LEN {
            assert_eq!(Repr::parse(&BYTES_V4[..cut], PROTOCOL_V4), Err(Error::Truncated), "cut at {cut}");
        }
    }

    #[test]
    fn other_messages_are_none() {
        assert_eq!(Repr::parse(&BYTES_V4, PROTOCOL_V6), Err(Error::Value));
        assert_eq!(Repr::parse(&BYTES_V6, PROTOCOL_V4), Err(Error::Value));
        let mut bytes = BYTES_V4;
        bytes[1] = 3;
        assert_eq!(Repr::parse(&bytes, PROTOCOL_V4), Err(Error::Value));
        assert_eq!(Repr::parse(&BYTES_V4, 17), Err(Error::Value));
    }

    #[test]
    fn errors_are_told_from_all_else() {
        let v4 = (0..=255).filter(|kind| is_error_v4(*kind)).count();
        assert!(v4 == 5 && !is_error_v4(0) && !is_error_v4(8));
        assert!(is_error_v6(1) && is_error_v6(2) && is_error_v6(127) && is_error_v6(137));
        assert!(!is_error_v6(128) && !is_error_v6(136));
    }

    #[test]
    fn reads_well() {
        assert_eq!(REPR_V4.to_string(), "icmp fragmentation needed, mtu 1430");
        assert_eq!(REPR_V6.to_string(), "icmpv6 packet too big, mtu 66946");
    }
}
