//! GTP-U header and its extension headers (3GPP TS 29.281, 5.1 and 5.2).
//!
//! The header is 8 bytes long, or 12 when one of its flags E, S and PN says that the optional fields are there. Then
//! come extension headers, each of which names the type of the next.

use core::fmt;

use crate::Error;
use crate::bytes::{put, put_u16, put_u32, u16_at, u32_at};

mod field {
    use core::ops::Range;
    pub(super) const FLAGS: usize = 0;
    pub(super) const MESSAGE_TYPE: usize = 1;
    pub(super) const LENGTH: Range<usize> = 2..4;
    pub(super) const TEID: Range<usize> = 4..8;
    pub(super) const SEQUENCE: Range<usize> = 8..10;
    pub(super) const N_PDU: usize = 10;
    pub(super) const NEXT_EXTENSION: usize = 11;
}

/// The UDP destination port (4.4.2.3 and 4.4.2.4: of requests and of G-PDUs).
pub const PORT: u16 = 2152;
/// Bytes of the mandatory part of the header.
pub const HEADER_LEN: usize = field::TEID.end;
/// Bytes of the header with its optional fields.
pub const LONG_HEADER_LEN: usize = field::NEXT_EXTENSION + 1;
/// Extension headers are a multiple of this many bytes long.
pub const EXTENSION_UNIT: usize = 4;

/// The version that TS 29.281 describes.
pub const VERSION: u8 = 1;
/// The next extension header type that says there is none.
pub const NO_EXTENSION: u8 = 0;
/// A PDU session container (3GPP TS 38.415): QoS flow and direction, on N3 in front of every packet.
pub const PDU_SESSION_CONTAINER: u8 = 0x85;

/// Echo request (7.2.1).
pub const ECHO_REQUEST: u8 = 1;
/// Echo response (7.2.2).
pub const ECHO_RESPONSE: u8 = 2;
/// Error indication (7.3.1).
pub const ERROR_INDICATION: u8 = 26;
/// Supported extension headers notification (7.2.3).
pub const SUPPORTED_EXTENSIONS: u8 = 31;
/// End marker (7.3.2).
pub const END_MARKER: u8 = 254;
/// A user's packet: the only message that carries one (9.3.1.1).
pub const G_PDU: u8 = 255;

const VERSION_SHIFT: u32 = 5;
const PROTOCOL_TYPE: u8 = 0x10;
const E: u8 = 0x04;
const S: u8 = 0x02;
const PN: u8 = 0x01;

/// A view of a GTP-U message; bytes behind its length are not part of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Packet<T> {
    buffer: T,
}

impl<T: AsRef<[u8]>> Packet<T> {
    /// A view whose accessors panic when `buffer` is shorter than what they read: [`HEADER_LEN`], [`LONG_HEADER_LEN`]
    /// for those of the optional fields, and for [`Packet::payload`] what the length field says.
    pub const fn new_unchecked(buffer: T) -> Self {
        Self { buffer }
    }

    /// A view whose accessors do not panic.
    ///
    /// # Errors
    /// [`Error::Truncated`] when `buffer` is shorter than header or length field; [`Error::Version`] for another version
    /// or for GTP'; [`Error::Length`] when the length has no room for the optional fields.
    pub fn new_checked(buffer: T) -> Result<Self, Error> {
        let len = buffer.as_ref().len();
        if len < HEADER_LEN {
            return Err(Error::Truncated);
        }
        let packet = Self::new_unchecked(buffer);
        if packet.version() != VERSION || !packet.is_gtp() {
            return Err(Error::Version);
        }
        if packet.message_len() > len {
            return Err(Error::Truncated);
        }
        if packet.message_len() < packet.header_len() {
            return Err(Error::Length);
        }
        Ok(packet)
    }

    fn flags(&self) -> u8 {
        self.buffer.as_ref()[field::FLAGS]
    }

    /// 1 for the GTP-U of today.
    pub fn version(&self) -> u8 {
        self.flags() >> VERSION_SHIFT
    }

    /// The protocol type: true for GTP, false for GTP' (3GPP TS 32.295).
    pub fn is_gtp(&self) -> bool {
        self.flags() & PROTOCOL_TYPE != 0
    }

    /// What kind of message it is: [`G_PDU`] or one of the others.
    pub fn message_type(&self) -> u8 {
        self.buffer.as_ref()[field::MESSAGE_TYPE]
    }

    /// Bytes of the whole message, which are 8 more than its length field says.
    pub fn message_len(&self) -> usize {
        HEADER_LEN + usize::from(u16_at(self.buffer.as_ref(), field::LENGTH))
    }

    /// The tunnel endpoint identifier, as its receiver has given it out.
    pub fn teid(&self) -> u32 {
        u32_at(self.buffer.as_ref(), field::TEID)
    }

    /// Bytes of the header without extension headers: [`LONG_HEADER_LEN`] when any of E, S and PN is set.
    pub fn header_len(&self) -> usize {
        if self.flags() & (E | S | PN) == 0 { HEADER_LEN } else { LONG_HEADER_LEN }
    }

    /// The sequence number; `None` when it is not to be evaluated.
    pub fn sequence(&self) -> Option<u16> {
        (self.flags() & S != 0).then(|| u16_at(self.buffer.as_ref(), field::SEQUENCE))
    }

    /// The N-PDU number; `None` when it is not to be evaluated.
    pub fn n_pdu(&self) -> Option<u8> {
        (self.flags() & PN != 0).then(|| self.buffer.as_ref()[field::N_PDU])
    }

    /// The type of the first extension header; `None` when the field is not to be evaluated. [`NO_EXTENSION`] says
    /// that there is none, too.
    pub fn next_extension(&self) -> Option<u8> {
        (self.flags() & E != 0).then(|| self.buffer.as_ref()[field::NEXT_EXTENSION])
    }
}

impl<'a> Packet<&'a [u8]> {
    /// Extension headers and what is behind them, without bytes behind the message.
    pub fn payload(&self) -> &'a [u8] {
        &self.buffer[self.header_len()..self.message_len()]
    }
}

/// A GTP-U header as values, without the extension headers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Repr {
    /// What kind of message it is.
    pub message_type: u8,
    /// The tunnel endpoint identifier.
    pub teid: u32,
    /// The sequence number, if it counts.
    pub sequence: Option<u16>,
    /// The N-PDU number, if it counts.
    pub n_pdu: Option<u8>,
    /// The type of the first extension header, if it counts.
    pub next_extension: Option<u8>,
    /// Bytes of extension headers and all behind them.
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
            message_type: packet.message_type(),
            teid: packet.teid(),
            sequence: packet.sequence(),
            n_pdu: packet.n_pdu(),
            next_extension: packet.next_extension(),
            payload_len: packet.payload().len(),
        })
    }

    /// Writes the header to the beginning of `buffer`. Of the optional fields, those that don't count are 0 when
    /// another does.
    ///
    /// # Errors
    /// [`Error::Truncated`] when `buffer` is shorter than [`Repr::buffer_len`]; [`Error::Value`] when the message does
    /// not fit the length field.
    pub fn emit(&self, buffer: &mut [u8]) -> Result<(), Error> {
        let length = self.buffer_len() - HEADER_LEN + self.payload_len;
        let length = u16::try_from(length).map_err(|_| Error::Value)?;
        let header = buffer.get_mut(..self.buffer_len()).ok_or(Error::Truncated)?;
        let flag = |set: bool, flag: u8| if set { flag } else { 0 };
        header[field::FLAGS] = VERSION << VERSION_SHIFT
            | PROTOCOL_TYPE
            | flag(self.next_extension.is_some(), E)
            | flag(self.sequence.is_some(), S)
            | flag(self.n_pdu.is_some(), PN);
        header[field::MESSAGE_TYPE] = self.message_type;
        put_u16(header, field::LENGTH, length);
        put_u32(header, field::TEID, self.teid);
        if self.is_long() {
            put_u16(header, field::SEQUENCE, self.sequence.unwrap_or(0));
            header[field::N_PDU] = self.n_pdu.unwrap_or(0);
            header[field::NEXT_EXTENSION] = self.next_extension.unwrap_or(NO_EXTENSION);
        }
        Ok(())
    }

    /// Bytes that [`Repr::emit`] writes.
    pub const fn buffer_len(&self) -> usize {
        if self.is_long() { LONG_HEADER_LEN } else { HEADER_LEN }
    }

    const fn is_long(&self) -> bool {
        self.sequence.is_some() || self.n_pdu.is_some() || self.next_extension.is_some()
    }
}

impl fmt::Display for Repr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "gtp-u type {} teid {:#010x}", self.message_type, self.teid)?;
        if let Some(sequence) = self.sequence {
            write!(f, " sequence {sequence}")?;
        }
        if let Some(n_pdu) = self.n_pdu {
            write!(f, " n-pdu {n_pdu}")?;
        }
        if let Some(next) = self.next_extension {
            write!(f, " next {next:#04x}")?;
        }
        write!(f, " payload {}", self.payload_len)
    }
}

/// A view of an extension header: its length in units of 4 bytes, content, type of the next one (5.2.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Extension<T> {
    buffer: T,
}

impl<T: AsRef<[u8]>> Extension<T> {
    /// A view whose accessors do not panic.
    ///
    /// # Errors
    /// [`Error::Truncated`] when `buffer` is empty or shorter than the length field says; [`Error::Length`] when that is
    /// 0.
    pub fn new_checked(buffer: T) -> Result<Self, Error> {
        let data = buffer.as_ref();
        let units = usize::from(*data.first().ok_or(Error::Truncated)?);
        if units == 0 {
            return Err(Error::Length);
        }
        if units * EXTENSION_UNIT > data.len() {
            return Err(Error::Truncated);
        }
        Ok(Self { buffer })
    }

    /// Bytes of the whole extension header.
    pub fn header_len(&self) -> usize {
        usize::from(self.buffer.as_ref()[0]) * EXTENSION_UNIT
    }

    /// The type of the next one; [`NO_EXTENSION`] behind the last.
    pub fn next_extension(&self) -> u8 {
        self.buffer.as_ref()[self.header_len() - 1]
    }
}

impl<'a> Extension<&'a [u8]> {
    /// Between length and next type.
    pub fn content(&self) -> &'a [u8] {
        &self.buffer[1..self.header_len() - 1]
    }

    /// What is behind the extension header.
    pub fn payload(&self) -> &'a [u8] {
        &self.buffer[self.header_len()..]
    }
}

/// An extension header as values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ExtensionRepr<'a> {
    /// 2 bytes more than a multiple of 4, at most 1018.
    pub content: &'a [u8],
    /// The type of the next one.
    pub next_extension: u8,
}

impl<'a> ExtensionRepr<'a> {
    /// The extension header's values.
    ///
    /// # Errors
    /// As [`Extension::new_checked`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        let extension = Extension::new_checked(bytes)?;
        Ok(Self { content: extension.content(), next_extension: extension.next_extension() })
    }

    /// Writes the extension header to the beginning of `buffer`.
    ///
    /// # Errors
    /// [`Error::Truncated`] when `buffer` is shorter than [`ExtensionRepr::buffer_len`]; [`Error::Value`] when the content
    /// has a length that can't be said.
    pub fn emit(&self, buffer: &mut [u8]) -> Result<(), Error> {
        let len = self.buffer_len();
        if !len.is_multiple_of(EXTENSION_UNIT) {
            return Err(Error::Value);
        }
        let units = u8::try_from(len / EXTENSION_UNIT).map_err(|_| Error::Value)?;
        let header = buffer.get_mut(..len).ok_or(Error::Truncated)?;
        header[0] = units;
        put(header, 1..len - 1, self.content);
        header[len - 1] = self.next_extension;
        Ok(())
    }

    /// Bytes that [`ExtensionRepr::emit`] writes.
    pub const fn buffer_len(&self) -> usize {
        self.content.len() + 2
    }
}

impl fmt::Display for ExtensionRepr<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "gtp-u extension next {:#04x} content {}", self.next_extension, self.content.len())
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    /// A G-PDU without optional fields, three bytes of payload, one behind the length.
    const SHORT: [u8; 12] = [0x30, 0xff, 0, 3, 0x01, 0x02, 0x03, 0x04, 1, 2, 3, 0xee];
    const SHORT_REPR: Repr = Repr {
        message_type: G_PDU,
        teid: 0x0102_0304,
        sequence: None,
        n_pdu: None,
        next_extension: None,
        payload_len: 3,
    };
    /// All optional fields, and a PDU session container of one unit.
    const LONG: [u8; 16] =
        [0x37, 0xff, 0, 8, 0, 0, 0, 7, 0x12, 0x34, 0x56, PDU_SESSION_CONTAINER, 1, 0x10, 9, NO_EXTENSION];
    const LONG_REPR: Repr = Repr {
        message_type: G_PDU,
        teid: 7,
        sequence: Some(0x1234),
        n_pdu: Some(0x56),
        next_extension: Some(PDU_SESSION_CONTAINER),
        payload_len: 4,
    };

    #[test]
    fn parses_literal_bytes() {
        assert_eq!(Repr::parse(&SHORT), Ok(SHORT_REPR));
        assert_eq!(Packet::new_unchecked(&SHORT[..]).payload(), [1, 2, 3]);
        assert_eq!(Repr::parse(&LONG), Ok(LONG_REPR));
        let extension = Extension::new_checked(Packet::new_unchecked(&LONG[..]).payload()).unwrap();
        assert_eq!((extension.content(), extension.next_extension()), (&[0x10, 9][..], NO_EXTENSION));
        assert_eq!(extension.payload(), []);
    }

    #[test]
    fn emits_literal_bytes() {
        let mut out = [0xff; LONG_HEADER_LEN];
        SHORT_REPR.emit(&mut out).unwrap();
        assert_eq!(out[..HEADER_LEN], SHORT[..HEADER_LEN]);
        LONG_REPR.emit(&mut out).unwrap();
        assert_eq!(out, LONG[..LONG_HEADER_LEN]);
        assert_eq!(LONG_REPR.emit(&mut out[1..]), Err(Error::Truncated));
        assert_eq!(Repr { payload_len: 65532, ..LONG_REPR }.emit(&mut out), Err(Error::Value));

        let repr = ExtensionRepr { content: &[0x10, 9], next_extension: NO_EXTENSION };
        let mut out = [0xff; 4];
        repr.emit(&mut out).unwrap();
        assert_eq!(out, LONG[12..]);
        assert_eq!(repr.emit(&mut out[1..]), Err(Error::Truncated));
        assert_eq!(ExtensionRepr { content: &[1; 3], ..repr }.emit(&mut [0; 8]), Err(Error::Value));
        assert_eq!(ExtensionRepr { content: &[1; 1022], ..repr }.emit(&mut [0; 1024]), Err(Error::Value));
    }

    #[test]
    fn each_flag_alone_brings_all_optional_fields_and_counts_for_its_own() {
        for (flags, expect) in [
            (0x31, (None, Some(0x56), None)),
            (0x32, (Some(0x1234), None, None)),
            (0x34, (None, None, Some(PDU_SESSION_CONTAINER))),
            // The spare bit is not evaluated.
            (0x3f, (Some(0x1234), Some(0x56), Some(PDU_SESSION_CONTAINER))),
        ] {
            let mut bytes = LONG;
            bytes[0] = flags;
            let repr = Repr::parse(&bytes).unwrap();
            assert_eq!((repr.sequence, repr.n_pdu, repr.next_extension), expect, "flags {flags:#04x}");
            assert_eq!(repr.payload_len, 4);
        }
        let mut spare = SHORT;
        spare[0] = 0x38;
        assert_eq!(Repr::parse(&spare), Ok(SHORT_REPR));
    }

    #[test]
    fn every_cut_is_truncated() {
        for cut in 0..11 {
            assert_eq!(Repr::parse(&SHORT[..cut]), Err(Error::Truncated), "short, cut at {cut}");
        }
        for cut in 0..LONG.len() {
            assert_eq!(Repr::parse(&LONG[..cut]), Err(Error::Truncated), "long, cut at {cut}");
        }
        for cut in 0..4 {
            assert_eq!(ExtensionRepr::parse(&LONG[12..12 + cut]), Err(Error::Truncated), "extension cut at {cut}");
        }
    }

    #[test]
    fn faults_are_named() {
        let with = |at: usize, byte: u8| {
            let mut bytes = LONG;
            bytes[at] = byte;
            Repr::parse(&bytes)
        };
        assert_eq!(with(0, 0x57), Err(Error::Version));
        assert_eq!(with(0, 0x17), Err(Error::Version));
        assert_eq!(with(0, 0x27), Err(Error::Version), "GTP'");
        assert_eq!(with(3, 3), Err(Error::Length));
        assert_eq!(with(3, 9), Err(Error::Truncated));
        assert_eq!(ExtensionRepr::parse(&[0; 4]), Err(Error::Length));
    }

    #[test]
    fn reads_well() {
        assert_eq!(SHORT_REPR.to_string(), "gtp-u type 255 teid 0x01020304 payload 3");
        assert_eq!(LONG_REPR.to_string(), "gtp-u type 255 teid 0x00000007 sequence 4660 n-pdu 86 next 0x85 payload 4");
        let extension = ExtensionRepr { content: &[0x10, 9], next_extension: 0xc0 };
        assert_eq!(extension.to_string(), "gtp-u extension next 0xc0 content 2");
    }
}
