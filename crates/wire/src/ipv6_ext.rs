//! IPv6 extension headers (RFC 8200, 4): hop-by-hop options, routing and destination options, which share one layout
//! ([`Packet`], [`Repr`]), and the fragment header ([`Fragment`], [`FragmentRepr`]). Their contents are bytes here.

use core::fmt;

use crate::Error;
use crate::bytes::{put, put_u16, put_u32, u16_at, u32_at};

mod field {
    use core::ops::Range;
    pub(super) const NEXT_HEADER: usize = 0;
    pub(super) const LENGTH: usize = 1;
    pub(super) const BODY_START: usize = 2;
    pub(super) const OFFSET_AND_FLAG: Range<usize> = 2..4;
    pub(super) const IDENTIFICATION: Range<usize> = 4..8;
}

/// Next header value of hop-by-hop options.
pub const HOP_BY_HOP: u8 = 0;
/// Next header value of a routing header.
pub const ROUTING: u8 = 43;
/// Next header value of a fragment header.
pub const FRAGMENT: u8 = 44;
/// Next header value of an encapsulating security payload (RFC 4303).
pub const ESP: u8 = 50;
/// Next header value of an authentication header (RFC 4302).
pub const AUTHENTICATION: u8 = 51;
/// Next header value of destination options.
pub const DESTINATION: u8 = 60;

/// Bytes of the smallest extension header, and of every fragment header; the lengths of all are multiples of it.
pub const UNIT_LEN: usize = 8;
/// Most bytes of a body.
pub const MAX_BODY_LEN: usize = 256 * UNIT_LEN - field::BODY_START;

const MORE_FRAGMENTS: u16 = 1;
const OFFSET_SHIFT: u32 = 3;
const OFFSET_MAX: u16 = 0x1fff;

/// True for each extension header of the IANA registry but the fragment header: those above, 135 (mobility), 139
/// (host identity), 140 (shim6), and 253 and 254 (experiments).
pub const fn is_extension(next_header: u8) -> bool {
    matches!(next_header, HOP_BY_HOP | ROUTING | ESP | AUTHENTICATION | DESTINATION | 135 | 139 | 140 | 253 | 254)
}

/// A view of a hop-by-hop, routing or destination header and what follows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Packet<T> {
    buffer: T,
}

impl<T: AsRef<[u8]>> Packet<T> {
    /// A view whose accessors panic when `buffer` is shorter than what the length field says.
    pub const fn new_unchecked(buffer: T) -> Self {
        Self { buffer }
    }

    /// A view whose accessors do not panic.
    ///
    /// # Errors
    /// [`Error::Truncated`] when `buffer` is shorter than 8 bytes or than the length field says.
    pub fn new_checked(buffer: T) -> Result<Self, Error> {
        let len = buffer.as_ref().len();
        let packet = Self::new_unchecked(buffer);
        if len < UNIT_LEN || len < packet.header_len() {
            return Err(Error::Truncated);
        }
        Ok(packet)
    }

    /// IP protocol number of what follows.
    pub fn next_header(&self) -> u8 {
        self.buffer.as_ref()[field::NEXT_HEADER]
    }

    /// Bytes of the header.
    pub fn header_len(&self) -> usize {
        (usize::from(self.buffer.as_ref()[field::LENGTH]) + 1) * UNIT_LEN
    }
}

impl<'a> Packet<&'a [u8]> {
    /// What the header says: everything behind its length field.
    pub fn body(&self) -> &'a [u8] {
        &self.buffer[field::BODY_START..self.header_len()]
    }

    /// What follows the header.
    pub fn payload(&self) -> &'a [u8] {
        &self.buffer[self.header_len()..]
    }
}

/// A hop-by-hop, routing or destination header as values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Repr<'a> {
    /// IP protocol number of what follows.
    pub next_header: u8,
    /// Everything behind the length field: 6 bytes more than a multiple of 8, at most [`MAX_BODY_LEN`].
    pub body: &'a [u8],
}

impl<'a> Repr<'a> {
    /// The header's values.
    ///
    /// # Errors
    /// As [`Packet::new_checked`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        let packet = Packet::new_checked(bytes)?;
        Ok(Self { next_header: packet.next_header(), body: packet.body() })
    }

    /// Writes the header to the beginning of `buffer`.
    ///
    /// # Errors
    /// [`Error::Truncated`] when `buffer` is shorter than [`Repr::buffer_len`]; [`Error::Value`] when the body does not
    /// fill the header.
    pub fn emit(&self, buffer: &mut [u8]) -> Result<(), Error> {
        let header_len = self.buffer_len();
        if !header_len.is_multiple_of(UNIT_LEN) {
            return Err(Error::Value);
        }
        let units = (header_len / UNIT_LEN).checked_sub(1).ok_or(Error::Value)?;
        let units = u8::try_from(units).map_err(|_| Error::Value)?;
        let header = buffer.get_mut(..header_len).ok_or(Error::Truncated)?;
        header[field::NEXT_HEADER] = self.next_header;
        header[field::LENGTH] = units;
        put(header, field::BODY_START..header_len, self.body);
        Ok(())
    }

    /// Bytes that [`Repr::emit`] writes.
    pub const fn buffer_len(&self) -> usize {
        field::BODY_START + self.body.len()
    }
}

impl fmt::Display for Repr<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ipv6 extension of {} bytes, next header {}", self.buffer_len(), self.next_header)
    }
}

/// A view of a fragment header and what follows it (RFC 8200, 4.5).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fragment<T> {
    buffer: T,
}

impl<T: AsRef<[u8]>> Fragment<T> {
    /// A view whose accessors panic when `buffer` is shorter than [`UNIT_LEN`].
    pub const fn new_unchecked(buffer: T) -> Self {
        Self { buffer }
    }

    /// A view whose accessors do not panic.
    ///
    /// # Errors
    /// [`Error::Truncated`] when `buffer` is shorter than [`UNIT_LEN`].
    pub fn new_checked(buffer: T) -> Result<Self, Error> {
        if buffer.as_ref().len() < UNIT_LEN {
            return Err(Error::Truncated);
        }
        Ok(Self::new_unchecked(buffer))
    }

    /// IP protocol number of the first header of the fragmentable part.
    pub fn next_header(&self) -> u8 {
        self.buffer.as_ref()[field::NEXT_HEADER]
    }

    /// Where the fragment belongs, in units of 8 bytes.
    pub fn offset(&self) -> u16 {
        u16_at(self.buffer.as_ref(), field::OFFSET_AND_FLAG) >> OFFSET_SHIFT
    }

    /// True in all fragments but the last.
    pub fn more_fragments(&self) -> bool {
        u16_at(self.buffer.as_ref(), field::OFFSET_AND_FLAG) & MORE_FRAGMENTS != 0
    }

    /// What the fragments of one packet have in common.
    pub fn identification(&self) -> u32 {
        u32_at(self.buffer.as_ref(), field::IDENTIFICATION)
    }
}

impl<'a> Fragment<&'a [u8]> {
    /// What follows the header.
    pub fn payload(&self) -> &'a [u8] {
        &self.buffer[UNIT_LEN..]
    }
}

/// A fragment header as values; its reserved bits are ignored when read and zero when written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FragmentRepr {
    /// IP protocol number of the first header of the fragmentable part.
    pub next_header: u8,
    /// In units of 8 bytes, at most 8191.
    pub offset: u16,
    /// True in all fragments but the last.
    pub more_fragments: bool,
    /// What the fragments of one packet have in common.
    pub identification: u32,
}

impl FragmentRepr {
    /// The header's values.
    ///
    /// # Errors
    /// As [`Fragment::new_checked`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let fragment = Fragment::new_checked(bytes)?;
        Ok(Self {
            next_header: fragment.next_header(),
            offset: fragment.offset(),
            more_fragments: fragment.more_fragments(),
            identification: fragment.identification(),
        })
    }

    /// Writes the header to the beginning of `buffer`.
    ///
    /// # Errors
    /// [`Error::Truncated`] when `buffer` is shorter than [`UNIT_LEN`]; [`Error::Value`] when the offset does not fit.
    pub fn emit(&self, buffer: &mut [u8]) -> Result<(), Error> {
        if self.offset > OFFSET_MAX {
            return Err(Error::Value);
        }
        let header = buffer.get_mut(..UNIT_LEN).ok_or(Error::Truncated)?;
        header[field::NEXT_HEADER] = self.next_header;
        header[field::LENGTH] = 0;
        put_u16(header, field::OFFSET_AND_FLAG, self.offset << OFFSET_SHIFT | u16::from(self.more_fragments));
        put_u32(header, field::IDENTIFICATION, self.identification);
        Ok(())
    }

    /// Bytes that [`FragmentRepr::emit`] writes.
    pub const fn buffer_len(&self) -> usize {
        UNIT_LEN
    }
}

impl fmt::Display for FragmentRepr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ipv6 fragment {:#010x} at {}", self.identification, u32::from(self.offset) * 8)?;
        f.write_str(if self.more_fragments { ", more follow" } else { ", the last" })
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    /// Hop-by-hop: router alert (RFC 2711) and padding, two units in all, then one byte of payload.
    const OPTIONS: [u8; 17] = [6, 1, 5, 2, 0, 0, 1, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0xaa];
    const FRAGMENT_BYTES: [u8; 9] = [17, 0, 0x05, 0xa9, 0xde, 0xad, 0xbe, 0xef, 0xaa];
    const FRAGMENT_REPR: FragmentRepr =
        FragmentRepr { next_header: 17, offset: 181, more_fragments: true, identification: 0xdead_beef };

    #[test]
    fn parses_literal_bytes() {
        let repr = Repr::parse(&OPTIONS).unwrap();
        assert_eq!(repr, Repr { next_header: 6, body: &OPTIONS[2..16] });
        assert_eq!(Packet::new_unchecked(&OPTIONS[..]).payload(), [0xaa]);
        assert_eq!(FragmentRepr::parse(&FRAGMENT_BYTES), Ok(FRAGMENT_REPR));
        assert_eq!(Fragment::new_unchecked(&FRAGMENT_BYTES[..]).payload(), [0xaa]);
    }

    #[test]
    fn emits_literal_bytes() {
        let mut out = [0xff; 16];
        let repr = Repr { next_header: 6, body: &OPTIONS[2..16] };
        repr.emit(&mut out).unwrap();
        assert_eq!(out, OPTIONS[..16]);
        assert_eq!(repr.emit(&mut out[1..]), Err(Error::Truncated));
        FRAGMENT_REPR.emit(&mut out).unwrap();
        assert_eq!(out[..8], FRAGMENT_BYTES[..8]);
        assert_eq!(FRAGMENT_REPR.emit(&mut out[..7]), Err(Error::Truncated));
    }

    #[test]
    fn what_does_not_fit_is_not_emitted() {
        let mut out = [0; 4096];
        for len in [0, 5, 7, MAX_BODY_LEN + UNIT_LEN] {
            let body = &[0; 4000][..len];
            assert_eq!(Repr { next_header: 6, body }.emit(&mut out), Err(Error::Value), "body of {len}");
        }
        assert_eq!(FragmentRepr { offset: 8192, ..FRAGMENT_REPR }.emit(&mut out), Err(Error::Value));
    }

    #[test]
    fn every_cut_is_truncated() {
        for cut in 0..16 {
            assert_eq!(Repr::parse(&OPTIONS[..cut]), Err(Error::Truncated), "cut at {cut}");
        }
        for cut in 0..UNIT_LEN {
            assert_eq!(FragmentRepr::parse(&FRAGMENT_BYTES[..cut]), Err(Error::Truncated), "cut at {cut}");
        }
    }

    #[test]
    fn reads_well() {
        assert_eq!(
            Repr { next_header: 6, body: &OPTIONS[2..16] }.to_string(),
            "ipv6 extension of 16 bytes, next header 6"
        );
        assert_eq!(FRAGMENT_REPR.to_string(), "ipv6 fragment 0xdeadbeef at 1448, more follow");
    }
}
