//! TCP header (RFC 9293, 3.1) with its options as bytes. No state, no sequence arithmetic.

use core::fmt;

use crate::Error;
use crate::bytes::{put, put_u16, put_u32, u16_at, u32_at};
use crate::checksum::Sum;
use crate::flow::{Addresses, Transport};

mod field {
    use core::ops::Range;
    pub(super) const SOURCE_PORT: Range<usize> = 0..2;
    pub(super) const DESTINATION_PORT: Range<usize> = 2..4;
    pub(super) const SEQUENCE: Range<usize> = 4..8;
    pub(super) const ACKNOWLEDGMENT: Range<usize> = 8..12;
    pub(super) const DATA_OFFSET: usize = 12;
    pub(super) const FLAGS: usize = 13;
    pub(super) const WINDOW: Range<usize> = 14..16;
    pub(super) const CHECKSUM: Range<usize> = 16..18;
    pub(super) const URGENT: Range<usize> = 18..20;
}

/// Bytes of the header without options.
pub const HEADER_LEN: usize = field::URGENT.end;
/// Most bytes of options.
pub const MAX_OPTIONS_LEN: usize = 40;

/// The eight control bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Flags(pub u8);

impl Flags {
    /// No more data from the sender.
    pub const FIN: Self = Self(0x01);
    /// Synchronize sequence numbers.
    pub const SYN: Self = Self(0x02);
    /// Reset the connection.
    pub const RST: Self = Self(0x04);
    /// Push.
    pub const PSH: Self = Self(0x08);
    /// The acknowledgment number counts.
    pub const ACK: Self = Self(0x10);
    /// The urgent pointer counts.
    pub const URG: Self = Self(0x20);
    /// ECN echo.
    pub const ECE: Self = Self(0x40);
    /// Congestion window reduced.
    pub const CWR: Self = Self(0x80);

    /// The flags that open or close a connection.
    pub const CONTROL: Self = Self(Self::SYN.0 | Self::FIN.0 | Self::RST.0);

    const NAMES: [(Self, &'static str); 8] = [
        (Self::FIN, "FIN"),
        (Self::SYN, "SYN"),
        (Self::RST, "RST"),
        (Self::PSH, "PSH"),
        (Self::ACK, "ACK"),
        (Self::URG, "URG"),
        (Self::ECE, "ECE"),
        (Self::CWR, "CWR"),
    ];

    /// True when at least one flag of `other` is set.
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl core::ops::BitOr for Flags {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names = Self::NAMES.iter().filter(|(flag, _)| self.intersects(*flag)).map(|(_, name)| name);
        f.write_str(names.next().unwrap_or(&"none"))?;
        names.try_for_each(|name| write!(f, "+{name}"))
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Flags({self})")
    }
}

/// A view of a TCP segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Packet<T> {
    buffer: T,
}

impl<T: AsRef<[u8]>> Packet<T> {
    /// A view whose accessors panic when `buffer` is shorter than what they read: [`HEADER_LEN`], and for
    /// [`Packet::options`] and [`Packet::payload`] what the data offset says.
    pub const fn new_unchecked(buffer: T) -> Self {
        Self { buffer }
    }

    /// A view whose accessors do not panic. `buffer` is all that IP carries.
    ///
    /// # Errors
    /// [`Error::Truncated`] when `buffer` is shorter than the header; [`Error::Length`] when the data offset is below 5.
    pub fn new_checked(buffer: T) -> Result<Self, Error> {
        let len = buffer.as_ref().len();
        if len < HEADER_LEN {
            return Err(Error::Truncated);
        }
        let packet = Self::new_unchecked(buffer);
        if packet.header_len() < HEADER_LEN {
            return Err(Error::Length);
        }
        if packet.header_len() > len {
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

    /// Sequence number.
    pub fn sequence(&self) -> u32 {
        u32_at(self.buffer.as_ref(), field::SEQUENCE)
    }

    /// Acknowledgment number.
    pub fn acknowledgment(&self) -> u32 {
        u32_at(self.buffer.as_ref(), field::ACKNOWLEDGMENT)
    }

    /// Bytes of the header with its options: four times the data offset.
    pub fn header_len(&self) -> usize {
        usize::from(self.buffer.as_ref()[field::DATA_OFFSET] >> 4) * 4
    }

    /// The control bits.
    pub fn flags(&self) -> Flags {
        Flags(self.buffer.as_ref()[field::FLAGS])
    }

    /// Window, unscaled.
    pub fn window(&self) -> u16 {
        u16_at(self.buffer.as_ref(), field::WINDOW)
    }

    /// Checksum as it stands in the segment.
    pub fn checksum(&self) -> u16 {
        u16_at(self.buffer.as_ref(), field::CHECKSUM)
    }

    /// Urgent pointer.
    pub fn urgent(&self) -> u16 {
        u16_at(self.buffer.as_ref(), field::URGENT)
    }

    /// True when the checksum is right for a segment between `addresses`.
    pub fn verify_checksum(&self, addresses: &Addresses) -> bool {
        segment_checksum(self.buffer.as_ref(), addresses) == 0
    }
}

impl<'a> Packet<&'a [u8]> {
    /// The options with their padding.
    pub fn options(&self) -> &'a [u8] {
        &self.buffer[HEADER_LEN..self.header_len()]
    }

    /// What TCP carries.
    pub fn payload(&self) -> &'a [u8] {
        &self.buffer[self.header_len()..]
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> Packet<T> {
    /// Sets the checksum to the right value for a segment between `addresses`. The payload must be in place.
    pub fn fill_checksum(&mut self, addresses: &Addresses) {
        let data = self.buffer.as_mut();
        put_u16(data, field::CHECKSUM, 0);
        let checksum = segment_checksum(data, addresses);
        put_u16(data, field::CHECKSUM, checksum);
    }
}

fn segment_checksum(data: &[u8], addresses: &Addresses) -> u16 {
    Sum::pseudo_header(addresses, Transport::Tcp.number(), data.len()).bytes(data).finish()
}

/// A TCP header as values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Repr<'a> {
    /// Source port.
    pub source_port: u16,
    /// Destination port.
    pub destination_port: u16,
    /// Sequence number.
    pub sequence: u32,
    /// Acknowledgment number.
    pub acknowledgment: u32,
    /// The control bits.
    pub flags: Flags,
    /// Window, unscaled.
    pub window: u16,
    /// Urgent pointer.
    pub urgent: u16,
    /// A multiple of 4 bytes, at most [`MAX_OPTIONS_LEN`].
    pub options: &'a [u8],
}

impl<'a> Repr<'a> {
    /// The header's values. The checksum is not verified.
    ///
    /// # Errors
    /// As [`Packet::new_checked`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        let packet = Packet::new_checked(bytes)?;
        Ok(Self {
            source_port: packet.source_port(),
            destination_port: packet.destination_port(),
            sequence: packet.sequence(),
            acknowledgment: packet.acknowledgment(),
            flags: packet.flags(),
            window: packet.window(),
            urgent: packet.urgent(),
            options: packet.options(),
        })
    }

    /// Writes the header to the beginning of `buffer`, with checksum 0: [`Packet::fill_checksum`] comes when the
    /// payload is in place.
    ///
    /// # Errors
    /// [`Error::Truncated`] when `buffer` is shorter than [`Repr::buffer_len`]; [`Error::Value`] when the options do
    /// not fit the data offset.
    pub fn emit(&self, buffer: &mut [u8]) -> Result<(), Error> {
        let header_len = self.buffer_len();
        if self.options.len() > MAX_OPTIONS_LEN || !self.options.len().is_multiple_of(4) {
            return Err(Error::Value);
        }
        let words = u8::try_from(header_len / 4).map_err(|_| Error::Value)?;
        let header = buffer.get_mut(..header_len).ok_or(Error::Truncated)?;
        put_u16(header, field::SOURCE_PORT, self.source_port);
        put_u16(header, field::DESTINATION_PORT, self.destination_port);
        put_u32(header, field::SEQUENCE, self.sequence);
        put_u32(header, field::ACKNOWLEDGMENT, self.acknowledgment);
        header[field::DATA_OFFSET] = words << 4;
        header[field::FLAGS] = self.flags.0;
        put_u16(header, field::WINDOW, self.window);
        put_u16(header, field::CHECKSUM, 0);
        put_u16(header, field::URGENT, self.urgent);
        put(header, HEADER_LEN..header_len, self.options);
        Ok(())
    }

    /// Bytes that [`Repr::emit`] writes: the header with its options.
    pub const fn buffer_len(&self) -> usize {
        HEADER_LEN + self.options.len()
    }
}

impl fmt::Display for Repr<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tcp {} > {} {}", self.source_port, self.destination_port, self.flags)?;
        write!(f, " seq {} ack {} window {}", self.sequence, self.acknowledgment, self.window)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    /// Four bytes of options (MSS 1460), one of payload.
    const BYTES: [u8; 25] = [
        0xc0, 0x00, 0x00, 0x50, 0, 0, 0, 1, 0, 0, 0, 2, 0x60, 0x12, 0x04, 0x00, 0x00, 0x00, 0, 0, //
        2, 4, 5, 0xb4, 0x78,
    ];
    const REPR: Repr<'static> = Repr {
        source_port: 0xc000,
        destination_port: 80,
        sequence: 1,
        acknowledgment: 2,
        flags: Flags(0x12),
        window: 1024,
        urgent: 0,
        options: &[2, 4, 5, 0xb4],
    };

    #[test]
    fn parses_literal_bytes() {
        assert_eq!(Repr::parse(&BYTES), Ok(REPR));
        assert_eq!(Packet::new_unchecked(&BYTES[..]).payload(), [0x78]);
    }

    #[test]
    fn emits_literal_bytes() {
        let mut out = [0xff; 24];
        REPR.emit(&mut out).unwrap();
        assert_eq!(out, BYTES[..24]);
        assert_eq!(REPR.emit(&mut out[1..]), Err(Error::Truncated));
        assert_eq!(Repr { options: &[1; 44], ..REPR }.emit(&mut [0; 80]), Err(Error::Value));
        assert_eq!(Repr { options: &[1; 2], ..REPR }.emit(&mut [0; 80]), Err(Error::Value));
    }

    #[test]
    fn the_checksum_covers_pseudo_header_and_payload() {
        let addresses = Addresses::V4 { source: [192, 0, 2, 1], destination: [192, 0, 2, 2] };
        let mut bytes = BYTES;
        Packet::new_unchecked(&mut bytes[..]).fill_checksum(&addresses);
        // By hand: pseudo header 0x8423, segment 0xa41e.
        assert_eq!(bytes[16..18], (!0x2842_u16).to_be_bytes());
        assert!(Packet::new_unchecked(&bytes[..]).verify_checksum(&addresses));
        bytes[24] ^= 1;
        assert!(!Packet::new_unchecked(&bytes[..]).verify_checksum(&addresses));
    }

    #[test]
    fn every_cut_of_the_header_is_truncated() {
        for cut in 0..24 {
            assert_eq!(Repr::parse(&BYTES[..cut]), Err(Error::Truncated), "cut at {cut}");
        }
    }

    #[test]
    fn a_data_offset_below_five_is_named() {
        let mut bytes = BYTES;
        bytes[12] = 0x4f;
        assert_eq!(Repr::parse(&bytes), Err(Error::Length));
    }

    #[test]
    fn reads_well() {
        assert_eq!(REPR.to_string(), "tcp 49152 > 80 SYN+ACK seq 1 ack 2 window 1024");
        assert_eq!(Flags(0).to_string(), "none");
    }
}
