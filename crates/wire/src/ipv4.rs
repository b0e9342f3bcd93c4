//! IPv4 header (RFC 791, 3.1) with options and fragmentation fields. Nothing is reassembled here.

use core::fmt;
use core::net::Ipv4Addr;

use crate::Error;
use crate::bytes::{array, put, put_u16, u16_at};
use crate::checksum::Sum;
use crate::flow::Addresses;

mod field {
    use core::ops::Range;
    pub(super) const VERSION_AND_IHL: usize = 0;
    pub(super) const TRAFFIC_CLASS: usize = 1;
    pub(super) const TOTAL_LEN: Range<usize> = 2..4;
    pub(super) const IDENTIFICATION: Range<usize> = 4..6;
    pub(super) const FLAGS_AND_OFFSET: Range<usize> = 6..8;
    pub(super) const TTL: usize = 8;
    pub(super) const PROTOCOL: usize = 9;
    pub(super) const CHECKSUM: Range<usize> = 10..12;
    pub(super) const SOURCE: Range<usize> = 12..16;
    pub(super) const DESTINATION: Range<usize> = 16..20;
}

/// Bytes of the header without options.
pub const HEADER_LEN: usize = field::DESTINATION.end;
/// Most bytes of options.
pub const MAX_OPTIONS_LEN: usize = 40;

const RESERVED_FLAG: u16 = 0x8000;
const DONT_FRAGMENT: u16 = 0x4000;
const MORE_FRAGMENTS: u16 = 0x2000;
const OFFSET_MASK: u16 = 0x1fff;

/// A view of an IPv4 packet; bytes behind its total length are not part of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Packet<T> {
    buffer: T,
}

impl<T: AsRef<[u8]>> Packet<T> {
    /// A view whose accessors panic when `buffer` is shorter than what they read: [`HEADER_LEN`], and for
    /// [`Packet::options`] and [`Packet::payload`] what the length fields say.
    pub const fn new_unchecked(buffer: T) -> Self {
        Self { buffer }
    }

    /// A view whose accessors do not panic.
    ///
    /// # Errors
    /// [`Error::Truncated`] when `buffer` is shorter than the header or the total length; [`Error::Version`];
    /// [`Error::Length`] when the IHL is below 5 or the total length smaller than the header.
    pub fn new_checked(buffer: T) -> Result<Self, Error> {
        let len = buffer.as_ref().len();
        if len < HEADER_LEN {
            return Err(Error::Truncated);
        }
        let packet = Self::new_unchecked(buffer);
        if packet.version() != 4 {
            return Err(Error::Version);
        }
        if packet.header_len() < HEADER_LEN || packet.total_len() < packet.header_len() {
            return Err(Error::Length);
        }
        if packet.total_len() > len {
            return Err(Error::Truncated);
        }
        Ok(packet)
    }

    /// Version, 4 in a valid packet.
    pub fn version(&self) -> u8 {
        self.buffer.as_ref()[field::VERSION_AND_IHL] >> 4
    }

    /// Bytes of the header with its options: four times the IHL.
    pub fn header_len(&self) -> usize {
        usize::from(self.buffer.as_ref()[field::VERSION_AND_IHL] & 0xf) * 4
    }

    /// DSCP and ECN (RFC 2474, RFC 3168).
    pub fn traffic_class(&self) -> u8 {
        self.buffer.as_ref()[field::TRAFFIC_CLASS]
    }

    /// Bytes of header and payload.
    pub fn total_len(&self) -> usize {
        usize::from(u16_at(self.buffer.as_ref(), field::TOTAL_LEN))
    }

    /// What the fragments of one datagram have in common.
    pub fn identification(&self) -> u16 {
        u16_at(self.buffer.as_ref(), field::IDENTIFICATION)
    }

    fn flags_and_offset(&self) -> u16 {
        u16_at(self.buffer.as_ref(), field::FLAGS_AND_OFFSET)
    }

    /// The flag that must be zero.
    pub fn reserved_flag(&self) -> bool {
        self.flags_and_offset() & RESERVED_FLAG != 0
    }

    /// DF.
    pub fn dont_fragment(&self) -> bool {
        self.flags_and_offset() & DONT_FRAGMENT != 0
    }

    /// MF.
    pub fn more_fragments(&self) -> bool {
        self.flags_and_offset() & MORE_FRAGMENTS != 0
    }

    /// Where the fragment belongs, in units of 8 bytes.
    pub fn fragment_offset(&self) -> u16 {
        self.flags_and_offset() & OFFSET_MASK
    }

    /// True for a first, middle or last fragment.
    pub fn is_fragment(&self) -> bool {
        self.flags_and_offset() & (MORE_FRAGMENTS | OFFSET_MASK) != 0
    }

    /// Time to live, in hops.
    pub fn ttl(&self) -> u8 {
        self.buffer.as_ref()[field::TTL]
    }

    /// IP protocol number of the payload.
    pub fn protocol(&self) -> u8 {
        self.buffer.as_ref()[field::PROTOCOL]
    }

    /// Header checksum as it stands in the packet.
    pub fn checksum(&self) -> u16 {
        u16_at(self.buffer.as_ref(), field::CHECKSUM)
    }

    /// Source and destination address.
    pub fn addresses(&self) -> Addresses {
        let data = self.buffer.as_ref();
        Addresses::V4 { source: array(data, field::SOURCE), destination: array(data, field::DESTINATION) }
    }

    /// True when the header checksum is right.
    pub fn verify_checksum(&self) -> bool {
        Sum::new().bytes(&self.buffer.as_ref()[..self.header_len()]).finish() == 0
    }
}

impl<'a> Packet<&'a [u8]> {
    /// The options with their padding; empty in most packets.
    pub fn options(&self) -> &'a [u8] {
        &self.buffer[HEADER_LEN..self.header_len()]
    }

    /// What IP carries, without bytes behind the total length.
    pub fn payload(&self) -> &'a [u8] {
        &self.buffer[self.header_len()..self.total_len()]
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> Packet<T> {
    /// Sets the header checksum to the right value.
    pub fn fill_checksum(&mut self) {
        let header_len = self.header_len();
        let data = self.buffer.as_mut();
        put_u16(data, field::CHECKSUM, 0);
        let checksum = Sum::new().bytes(&data[..header_len]).finish();
        put_u16(data, field::CHECKSUM, checksum);
    }
}

/// An IPv4 header as values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Repr<'a> {
    /// Source address.
    pub source: [u8; 4],
    /// Destination address.
    pub destination: [u8; 4],
    /// DSCP and ECN.
    pub traffic_class: u8,
    /// What the fragments of one datagram have in common.
    pub identification: u16,
    /// DF.
    pub dont_fragment: bool,
    /// MF.
    pub more_fragments: bool,
    /// In units of 8 bytes, at most 8191.
    pub fragment_offset: u16,
    /// Time to live, in hops.
    pub ttl: u8,
    /// IP protocol number of the payload.
    pub protocol: u8,
    /// A multiple of 4 bytes, at most [`MAX_OPTIONS_LEN`].
    pub options: &'a [u8],
    /// Bytes that follow the header.
    pub payload_len: usize,
}

impl<'a> Repr<'a> {
    /// The header's values. The checksum is not verified.
    ///
    /// # Errors
    /// As [`Packet::new_checked`]; [`Error::Value`] when the reserved flag is set.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        let packet = Packet::new_checked(bytes)?;
        if packet.reserved_flag() {
            return Err(Error::Value);
        }
        Ok(Self {
            source: array(bytes, field::SOURCE),
            destination: array(bytes, field::DESTINATION),
            traffic_class: packet.traffic_class(),
            identification: packet.identification(),
            dont_fragment: packet.dont_fragment(),
            more_fragments: packet.more_fragments(),
            fragment_offset: packet.fragment_offset(),
            ttl: packet.ttl(),
            protocol: packet.protocol(),
            options: packet.options(),
            payload_len: packet.payload().len(),
        })
    }

    /// Writes the header, with its checksum, to the beginning of `buffer`. The payload need not be there yet.
    ///
    /// # Errors
    /// [`Error::Truncated`] when `buffer` is shorter than [`Repr::buffer_len`]; [`Error::Value`] when options,
    /// offset or total length do not fit their fields.
    pub fn emit(&self, buffer: &mut [u8]) -> Result<(), Error> {
        let header_len = self.buffer_len();
        let total_len = u16::try_from(header_len + self.payload_len).map_err(|_| Error::Value)?;
        let options = self.options.len();
        if options > MAX_OPTIONS_LEN || !options.is_multiple_of(4) || self.fragment_offset > OFFSET_MASK {
            return Err(Error::Value);
        }
        let words = u8::try_from(header_len / 4).map_err(|_| Error::Value)?;
        let header = buffer.get_mut(..header_len).ok_or(Error::Truncated)?;
        let flag = |set, bit| if set { bit } else { 0 };
        let flags = flag(self.dont_fragment, DONT_FRAGMENT) | flag(self.more_fragments, MORE_FRAGMENTS);
        header[field::VERSION_AND_IHL] = 4 << 4 | words;
        header[field::TRAFFIC_CLASS] = self.traffic_class;
        put_u16(header, field::TOTAL_LEN, total_len);
        put_u16(header, field::IDENTIFICATION, self.identification);
        put_u16(header, field::FLAGS_AND_OFFSET, flags | self.fragment_offset);
        header[field::TTL] = self.ttl;
        header[field::PROTOCOL] = self.protocol;
        put(header, field::SOURCE, &self.source);
        put(header, field::DESTINATION, &self.destination);
        put(header, HEADER_LEN..header_len, self.options);
        Packet::new_unchecked(header).fill_checksum();
        Ok(())
    }

    /// Bytes that [`Repr::emit`] writes: the header with its options.
    pub const fn buffer_len(&self) -> usize {
        HEADER_LEN + self.options.len()
    }
}

impl fmt::Display for Repr<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (source, destination) = (Ipv4Addr::from(self.source), Ipv4Addr::from(self.destination));
        write!(f, "ipv4 {source} > {destination} protocol {} ttl {}", self.protocol, self.ttl)?;
        if self.more_fragments || self.fragment_offset > 0 {
            write!(f, " fragment {} at {}", self.identification, u32::from(self.fragment_offset) * 8)?;
        }
        write!(f, " payload {}", self.payload_len)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    /// A UDP header's worth of payload behind a header whose checksum was computed by hand, then two bytes of padding.
    const BYTES: [u8; 30] = [
        0x45, 0x00, 0x00, 0x1c, 0x12, 0x34, 0x40, 0x00, 0x40, 0x11, 0xa4, 0x99, 192, 0, 2, 1, 192, 0, 2, 2, //
        0, 1, 2, 3, 4, 5, 6, 7, 0, 0,
    ];
    const REPR: Repr<'static> = Repr {
        source: [192, 0, 2, 1],
        destination: [192, 0, 2, 2],
        traffic_class: 0,
        identification: 0x1234,
        dont_fragment: true,
        more_fragments: false,
        fragment_offset: 0,
        ttl: 64,
        protocol: 17,
        options: &[],
        payload_len: 8,
    };

    #[test]
    fn parses_literal_bytes() {
        assert_eq!(Repr::parse(&BYTES), Ok(REPR));
        let packet = Packet::new_checked(&BYTES[..]).unwrap();
        assert_eq!(packet.payload(), [0, 1, 2, 3, 4, 5, 6, 7]);
        assert!(packet.verify_checksum());
    }

    #[test]
    fn emits_literal_bytes() {
        let mut out = [0xff; HEADER_LEN];
        REPR.emit(&mut out).unwrap();
        assert_eq!(out, BYTES[..HEADER_LEN]);
        assert_eq!(REPR.emit(&mut out[1..]), Err(Error::Truncated));
    }

    #[test]
    fn a_changed_bit_breaks_the_checksum() {
        let mut bytes = BYTES;
        bytes[8] ^= 1;
        assert!(!Packet::new_unchecked(&bytes[..]).verify_checksum());
    }

    #[test]
    fn options_and_fragments_of_literal_bytes() {
        let bytes = [
            0x46, 0x00, 0x00, 0x20, 0, 1, 0x20, 0x03, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, //
            0x94, 0x04, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8,
        ];
        let repr = Repr::parse(&bytes).unwrap();
        assert_eq!(repr.options, [0x94, 4, 0, 0]);
        assert_eq!((repr.more_fragments, repr.fragment_offset, repr.payload_len), (true, 3, 8));
        assert!(Packet::new_unchecked(&bytes[..]).is_fragment());
    }

    #[test]
    fn every_cut_is_truncated() {
        for cut in 0..28 {
            assert_eq!(Repr::parse(&BYTES[..cut]), Err(Error::Truncated), "cut at {cut}");
        }
    }

    #[test]
    fn wrong_fields_are_named() {
        let with = |at: usize, value: u8| {
            let mut bytes = BYTES;
            bytes[at] = value;
            Repr::parse(&bytes).map(|_| ())
        };
        assert_eq!(with(0, 0x65), Err(Error::Version));
        assert_eq!(with(0, 0x44), Err(Error::Length));
        assert_eq!(with(0, 0x48), Err(Error::Length));
        assert_eq!(with(3, 19), Err(Error::Length));
        assert_eq!(with(3, 31), Err(Error::Truncated));
        assert_eq!(with(6, 0x80), Err(Error::Value));
    }

    #[test]
    fn what_does_not_fit_is_not_emitted() {
        let mut out = [0; 80];
        assert_eq!(Repr { options: &[0; 44], ..REPR }.emit(&mut out), Err(Error::Value));
        assert_eq!(Repr { options: &[0; 3], ..REPR }.emit(&mut out), Err(Error::Value));
        assert_eq!(Repr { fragment_offset: 8192, ..REPR }.emit(&mut out), Err(Error::Value));
        assert_eq!(Repr { payload_len: 65516, ..REPR }.emit(&mut out), Err(Error::Value));
    }

    #[test]
    fn reads_well() {
        assert_eq!(REPR.to_string(), "ipv4 192.0.2.1 > 192.0.2.2 protocol 17 ttl 64 payload 8");
        let fragment = Repr { more_fragments: true, fragment_offset: 2, ..REPR };
        assert!(fragment.to_string().contains("fragment 4660 at 16"));
    }
}
