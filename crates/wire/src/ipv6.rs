//! IPv6 fixed header (RFC 8200, 3). Extension headers are [`crate::ipv6_ext`]'s.

use core::fmt;
use core::net::Ipv6Addr;

use crate::Error;
use crate::bytes::{array, put, put_u16, put_u32, u16_at, u32_at};
use crate::flow::Addresses;

mod field {
    use core::ops::Range;
    pub(super) const VERSION_CLASS_LABEL: Range<usize> = 0..4;
    pub(super) const PAYLOAD_LEN: Range<usize> = 4..6;
    pub(super) const NEXT_HEADER: usize = 6;
    pub(super) const HOP_LIMIT: usize = 7;
    pub(super) const SOURCE: Range<usize> = 8..24;
    pub(super) const DESTINATION: Range<usize> = 24..40;
}

/// Bytes of the header.
pub const HEADER_LEN: usize = field::DESTINATION.end;

const LABEL_MASK: u32 = 0x000f_ffff;

/// A view of an IPv6 packet; bytes behind its payload length are not part of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Packet<T> {
    buffer: T,
}

impl<T: AsRef<[u8]>> Packet<T> {
    /// A view whose accessors panic when `buffer` is shorter than what they read: [`HEADER_LEN`], and for
    /// [`Packet::payload`] what the payload length says.
    pub const fn new_unchecked(buffer: T) -> Self {
        Self { buffer }
    }

    /// A view whose accessors do not panic.
    ///
    /// # Errors
    /// [`Error::Truncated`] when `buffer` is shorter than header and payload; [`Error::Version`].
    pub fn new_checked(buffer: T) -> Result<Self, Error> {
        let len = buffer.as_ref().len();
        if len < HEADER_LEN {
            return Err(Error::Truncated);
        }
        let packet = Self::new_unchecked(buffer);
        if packet.version() != 6 {
            return Err(Error::Version);
        }
        if HEADER_LEN + packet.payload_len() > len {
            return Err(Error::Truncated);
        }
        Ok(packet)
    }

    /// Version, 6 in a valid packet.
    pub fn version(&self) -> u8 {
        self.buffer.as_ref()[field::VERSION_CLASS_LABEL.start] >> 4
    }

    /// DSCP and ECN.
    pub fn traffic_class(&self) -> u8 {
        let data = self.buffer.as_ref();
        data[field::VERSION_CLASS_LABEL.start] << 4 | data[field::VERSION_CLASS_LABEL.start + 1] >> 4
    }

    /// Flow label, 20 bits.
    pub fn flow_label(&self) -> u32 {
        u32_at(self.buffer.as_ref(), field::VERSION_CLASS_LABEL) & LABEL_MASK
    }

    /// Bytes behind the fixed header; 0 in a jumbogram (RFC 2675).
    pub fn payload_len(&self) -> usize {
        usize::from(u16_at(self.buffer.as_ref(), field::PAYLOAD_LEN))
    }

    /// IP protocol number of what follows.
    pub fn next_header(&self) -> u8 {
        self.buffer.as_ref()[field::NEXT_HEADER]
    }

    /// Hop limit.
    pub fn hop_limit(&self) -> u8 {
        self.buffer.as_ref()[field::HOP_LIMIT]
    }

    /// Source and destination address.
    pub fn addresses(&self) -> Addresses {
        let data = self.buffer.as_ref();
        Addresses::V6 { source: array(data, field::SOURCE), destination: array(data, field::DESTINATION) }
    }
}

impl<'a> Packet<&'a [u8]> {
    /// What IP carries, extension headers included, without bytes behind the payload length.
    pub fn payload(&self) -> &'a [u8] {
        &self.buffer[HEADER_LEN..HEADER_LEN + self.payload_len()]
    }
}

/// An IPv6 fixed header as values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Repr {
    /// Source address.
    pub source: [u8; 16],
    /// Destination address.
    pub destination: [u8; 16],
    /// DSCP and ECN.
    pub traffic_class: u8,
    /// Flow label, 20 bits.
    pub flow_label: u32,
    /// IP protocol number of what follows.
    pub next_header: u8,
    /// Hop limit.
    pub hop_limit: u8,
    /// Bytes behind the fixed header, extension headers included.
    pub payload_len: usize,
}

impl Repr {
    /// The header's values.
    ///
    /// # Errors
    /// As [`Packet::new_checked`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let packet = Packet::new_checked(bytes)?;
        Ok(Self {
            source: array(bytes, field::SOURCE),
            destination: array(bytes, field::DESTINATION),
            traffic_class: packet.traffic_class(),
            flow_label: packet.flow_label(),
            next_header: packet.next_header(),
            hop_limit: packet.hop_limit(),
            payload_len: packet.payload_len(),
        })
    }

    /// Writes the header to the beginning of `buffer`. The payload need not be there yet.
    ///
    /// # Errors
    /// [`Error::Truncated`] when `buffer` is shorter than [`Repr::buffer_len`]; [`Error::Value`] when flow label or
    /// payload length does not fit its field.
    pub fn emit(&self, buffer: &mut [u8]) -> Result<(), Error> {
        let payload_len = u16::try_from(self.payload_len).map_err(|_| Error::Value)?;
        if self.flow_label > LABEL_MASK {
            return Err(Error::Value);
        }
        let header = buffer.get_mut(..HEADER_LEN).ok_or(Error::Truncated)?;
        let first = 6 << 28 | u32::from(self.traffic_class) << 20 | self.flow_label;
        put_u32(header, field::VERSION_CLASS_LABEL, first);
        put_u16(header, field::PAYLOAD_LEN, payload_len);
        header[field::NEXT_HEADER] = self.next_header;
        header[field::HOP_LIMIT] = self.hop_limit;
        put(header, field::SOURCE, &self.source);
        put(header, field::DESTINATION, &self.destination);
        Ok(())
    }

    /// Bytes that [`Repr::emit`] writes.
    pub const fn buffer_len(&self) -> usize {
        HEADER_LEN
    }
}

impl fmt::Display for Repr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (source, destination) = (Ipv6Addr::from(self.source), Ipv6Addr::from(self.destination));
        write!(f, "ipv6 {source} > {destination} next header {}", self.next_header)?;
        write!(f, " hop limit {} payload {}", self.hop_limit, self.payload_len)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    /// Header, two bytes of payload, one of padding.
    const BYTES: [u8; 43] = [
        0x6a, 0xb1, 0x23, 0x45, 0x00, 0x02, 59, 63, //
        0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, //
        0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, //
        0xaa, 0xbb, 0,
    ];

    fn repr() -> Repr {
        Repr {
            source: "2001:db8::1".parse::<Ipv6Addr>().unwrap().octets(),
            destination: "2001:db8::2".parse::<Ipv6Addr>().unwrap().octets(),
            traffic_class: 0xab,
            flow_label: 0x12345,
            next_header: 59,
            hop_limit: 63,
            payload_len: 2,
        }
    }

    #[test]
    fn parses_literal_bytes() {
        assert_eq!(Repr::parse(&BYTES), Ok(repr()));
        assert_eq!(Packet::new_unchecked(&BYTES[..]).payload(), [0xaa, 0xbb]);
    }

    #[test]
    fn emits_literal_bytes() {
        let mut out = [0xff; HEADER_LEN];
        repr().emit(&mut out).unwrap();
        assert_eq!(out, BYTES[..HEADER_LEN]);
        assert_eq!(repr().emit(&mut out[1..]), Err(Error::Truncated));
        assert_eq!(Repr { flow_label: 1 << 20, ..repr() }.emit(&mut out), Err(Error::Value));
        assert_eq!(Repr { payload_len: 1 << 16, ..repr() }.emit(&mut out), Err(Error::Value));
    }

    #[test]
    fn every_cut_is_truncated() {
        for cut in 0..42 {
            assert_eq!(Repr::parse(&BYTES[..cut]), Err(Error::Truncated), "cut at {cut}");
        }
    }

    #[test]
    fn another_version_is_named() {
        let mut bytes = BYTES;
        bytes[0] = 0x45;
        assert_eq!(Repr::parse(&bytes), Err(Error::Version));
    }

    #[test]
    fn reads_well() {
        assert_eq!(repr().to_string(), "ipv6 2001:db8::1 > 2001:db8::2 next header 59 hop limit 63 payload 2");
    }
}
