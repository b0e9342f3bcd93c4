//! GENEVE header (RFC 8926, 3.4) and its options (3.5), of which one is our own: which logical interface a frame came in
//! on, which one it would leave by, and a key for the receiver.
//!
//! [`Packet`] reads every GENEVE packet, [`Repr`] those that carry a frame and our option once. Outer headers are
//! [`crate::encap`]'s; numbers of interfaces are numbers here.

use core::fmt;

use crate::Error;
use crate::bytes::{put_u16, put_u32, u16_at, u32_at};

mod field {
    use core::ops::Range;
    pub(super) const VERSION_AND_LENGTH: usize = 0;
    pub(super) const FLAGS: usize = 1;
    pub(super) const PROTOCOL: Range<usize> = 2..4;
    pub(super) const VNI_AND_RESERVED: Range<usize> = 4..8;
}

/// Of one option, from its first byte.
mod option {
    use core::ops::Range;
    pub(super) const CLASS: Range<usize> = 0..2;
    pub(super) const TYPE: usize = 2;
    pub(super) const LENGTH: usize = 3;
}

/// Of our option's data, from its first byte.
mod data {
    use core::ops::Range;
    pub(super) const IN_LIF: Range<usize> = 0..4;
    pub(super) const OUT_LIF: Range<usize> = 4..8;
    pub(super) const KEY: Range<usize> = 8..12;
}

/// The UDP port of GENEVE (RFC 8926, 3.3).
pub const PORT: u16 = 6081;
/// The protocol type of an Ethernet frame: transparent Ethernet bridging (RFC 8926, 3.4).
pub const ETHERNET: u16 = 0x6558;
/// The largest VNI, of 24 bits.
pub const VNI_MAX: u32 = 0x00ff_ffff;
/// Bytes of the header without options.
pub const HEADER_LEN: usize = field::VNI_AND_RESERVED.end;
/// Bytes of an option without its data; lengths of options are multiples of it.
pub const OPTION_HEADER_LEN: usize = 4;
/// Bytes of our option's data.
pub const METADATA_LEN: usize = data::KEY.end;
/// Bytes that [`Repr::emit`] writes: the header and our option.
pub const EMITTED_LEN: usize = HEADER_LEN + OPTION_HEADER_LEN + METADATA_LEN;

const VERSION_SHIFT: u32 = 6;
const LENGTH_MASK: u8 = 0x3f;
const OAM: u8 = 0x80;
const CRITICAL_OPTIONS: u8 = 0x40;
const VNI_SHIFT: u32 = 8;
const OPTION_LENGTH_MASK: u8 = 0x1f;
const CRITICAL_OPTION: u8 = 0x80;

/// Lengths of our packets in the header's units of 4 bytes. Both fit their fields.
const OPTIONS_UNITS: u8 = 4;
const METADATA_UNITS: u8 = 3;
const _: () = assert!(METADATA_UNITS as usize * OPTION_HEADER_LEN == METADATA_LEN);
const _: () = assert!(OPTIONS_UNITS as usize * OPTION_HEADER_LEN + HEADER_LEN == EMITTED_LEN);

/// A view of a GENEVE packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Packet<T> {
    buffer: T,
}

impl<T: AsRef<[u8]>> Packet<T> {
    /// A view whose accessors panic when `buffer` is shorter than what they read: [`HEADER_LEN`], and for
    /// [`Packet::options`] and [`Packet::payload`] what the length field says.
    pub const fn new_unchecked(buffer: T) -> Self {
        Self { buffer }
    }

    /// A view whose accessors do not panic.
    ///
    /// # Errors
    /// [`Error::Truncated`] when `buffer` is shorter than header and options; [`Error::Version`]; [`Error::Length`] when
    /// an option reaches past the end of all options.
    pub fn new_checked(buffer: T) -> Result<Self, Error> {
        let len = buffer.as_ref().len();
        if len < HEADER_LEN {
            return Err(Error::Truncated);
        }
        let packet = Self::new_unchecked(buffer);
        if packet.version() != 0 {
            return Err(Error::Version);
        }
        if packet.header_len() > len {
            return Err(Error::Truncated);
        }
        let mut rest = &packet.buffer.as_ref()[HEADER_LEN..packet.header_len()];
        while !rest.is_empty() {
            // What is left is a multiple of an option's header, so there is one.
            rest = rest.get(option_len(rest)..).ok_or(Error::Length)?;
        }
        Ok(packet)
    }

    /// Version, 0 in a valid packet.
    pub fn version(&self) -> u8 {
        self.buffer.as_ref()[field::VERSION_AND_LENGTH] >> VERSION_SHIFT
    }

    /// Bytes of the header with its options, at most 260.
    pub fn header_len(&self) -> usize {
        let units = usize::from(self.buffer.as_ref()[field::VERSION_AND_LENGTH] & LENGTH_MASK);
        HEADER_LEN + units * OPTION_HEADER_LEN
    }

    /// O bit: what it carries is for the tunnel's end itself.
    pub fn is_oam(&self) -> bool {
        self.buffer.as_ref()[field::FLAGS] & OAM != 0
    }

    /// C bit: one of the options is critical, says the sender.
    pub fn has_critical_options(&self) -> bool {
        self.buffer.as_ref()[field::FLAGS] & CRITICAL_OPTIONS != 0
    }

    /// What it carries, as an EtherType.
    pub fn protocol(&self) -> u16 {
        u16_at(self.buffer.as_ref(), field::PROTOCOL)
    }

    /// Virtual network identifier, 24 bits.
    pub fn vni(&self) -> u32 {
        u32_at(self.buffer.as_ref(), field::VNI_AND_RESERVED) >> VNI_SHIFT
    }
}

impl<'a> Packet<&'a [u8]> {
    /// The options in their order.
    pub fn options(&self) -> Options<'a> {
        Options { rest: &self.buffer[HEADER_LEN..self.header_len()] }
    }

    /// What follows header and options.
    pub fn payload(&self) -> &'a [u8] {
        &self.buffer[self.header_len()..]
    }
}

/// Bytes of the option at the beginning of `bytes`.
fn option_len(bytes: &[u8]) -> usize {
    (usize::from(bytes[option::LENGTH] & OPTION_LENGTH_MASK) + 1) * OPTION_HEADER_LEN
}

/// The options of one packet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options<'a> {
    rest: &'a [u8],
}

/// One option as it stands in a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OptionView<'a> {
    /// The namespace of the type.
    pub class: u16,
    /// The type, with the critical bit in it.
    pub kind: u8,
    /// A multiple of 4 bytes, at most 124.
    pub data: &'a [u8],
}

impl<'a> OptionView<'a> {
    /// The option at the beginning of `options` and what is behind it; `None` when it reaches past the end.
    pub fn split_from(options: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let len = option_len(options.get(..OPTION_HEADER_LEN)?);
        let (this, rest) = options.split_at_checked(len)?;
        let class = u16_at(this, option::CLASS);
        Some((Self { class, kind: this[option::TYPE], data: &this[OPTION_HEADER_LEN..] }, rest))
    }

    /// True when a receiver that does not know the option has to drop the packet.
    pub const fn is_critical(&self) -> bool {
        self.kind & CRITICAL_OPTION != 0
    }
}

impl<'a> Iterator for Options<'a> {
    type Item = OptionView<'a>;

    fn next(&mut self) -> Option<OptionView<'a>> {
        let (this, rest) = OptionView::split_from(self.rest)?;
        self.rest = rest;
        Some(this)
    }
}

/// Class and type of our option. No class is assigned to us, so both are settings.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct OptionId {
    class: u16,
    kind: u8,
}

impl OptionId {
    /// One of the classes for experiments (0xFF00 to 0xFFFF: RFC 8926, 7), and not one that others took for theirs: those
    /// take the first and the last.
    pub const DEFAULT: Self = Self { class: 0xff6f, kind: 0x01 };

    /// `None` when the type has the critical bit: a receiver that does not know the option may still take the frame.
    pub const fn new(class: u16, kind: u8) -> Option<Self> {
        if kind & CRITICAL_OPTION == 0 { Some(Self { class, kind }) } else { None }
    }

    /// The namespace of the type.
    pub const fn class(self) -> u16 {
        self.class
    }

    /// The type, below 0x80.
    pub const fn kind(self) -> u8 {
        self.kind
    }
}

impl Default for OptionId {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl fmt::Display for OptionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#06x}/{:#04x}", self.class, self.kind)
    }
}

/// What our option says of the frame behind it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Metadata {
    /// The number of the logical interface that the frame came in on.
    pub in_lif: u32,
    /// The number of the one that it would leave by; 0 for none.
    pub out_lif: u32,
    /// Whatever the receiver wants back.
    pub key: u32,
}

impl Metadata {
    /// As it stands in the option.
    pub fn to_bytes(self) -> [u8; METADATA_LEN] {
        let mut bytes = [0; METADATA_LEN];
        put_u32(&mut bytes, data::IN_LIF, self.in_lif);
        put_u32(&mut bytes, data::OUT_LIF, self.out_lif);
        put_u32(&mut bytes, data::KEY, self.key);
        bytes
    }

    /// As it stands in the option; `None` when the data is not [`METADATA_LEN`] bytes.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let is_ours = bytes.len() == METADATA_LEN;
        is_ours.then(|| Self {
            in_lif: u32_at(bytes, data::IN_LIF),
            out_lif: u32_at(bytes, data::OUT_LIF),
            key: u32_at(bytes, data::KEY),
        })
    }
}

/// Why a packet is not one that carries a frame with our option.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ParseError {
    /// It is no GENEVE packet at all.
    Header(Error),
    /// It is for the tunnel's end itself, and there are no such messages here.
    Oam,
    /// It carries something else than an Ethernet frame.
    Protocol(u16),
    /// A critical option that is not known here: the packet must be dropped (RFC 8926, 3.5).
    UnknownCritical {
        /// Its class.
        class: u16,
        /// Its type.
        kind: u8,
    },
    /// Our option has another length: so many bytes of data.
    OptionLength(usize),
    /// Our option is there twice, and which one holds can't be known.
    OptionTwice,
    /// Our option is not there.
    OptionMissing,
}

impl From<Error> for ParseError {
    fn from(error: Error) -> Self {
        Self::Header(error)
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(error) => write!(f, "not a GENEVE packet: {error}"),
            Self::Oam => f.write_str("an OAM packet"),
            Self::Protocol(protocol) => write!(f, "carries protocol {protocol:#06x}, not an Ethernet frame"),
            Self::UnknownCritical { class, kind } => {
                write!(f, "critical option {class:#06x}/{kind:#04x} is not known here")
            }
            Self::OptionLength(len) => write!(f, "our option has {len} bytes of data, not {METADATA_LEN}"),
            Self::OptionTwice => f.write_str("our option is there twice"),
            Self::OptionMissing => f.write_str("our option is missing"),
        }
    }
}

impl core::error::Error for ParseError {}

/// A GENEVE header that carries a frame and our option, as values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Repr {
    /// Virtual network identifier, at most [`VNI_MAX`].
    pub vni: u32,
    /// What our option is called.
    pub option: OptionId,
    /// What it says.
    pub metadata: Metadata,
}

impl Repr {
    /// The header's values, when it carries a frame and the option called `option`. Other options are skipped unless they
    /// are critical. Each option says itself whether it is; the C bit, the sender's summary of that, is not relied on, and
    /// reserved bits are ignored (RFC 8926, 3.4).
    ///
    /// The frame is [`Packet::payload`].
    ///
    /// # Errors
    /// [`ParseError`], the first that applies in the order of its variants; of two faulty options, the first one's.
    pub fn parse(bytes: &[u8], option: OptionId) -> Result<Self, ParseError> {
        let packet = Packet::new_checked(bytes)?;
        if packet.is_oam() {
            return Err(ParseError::Oam);
        }
        if packet.protocol() != ETHERNET {
            return Err(ParseError::Protocol(packet.protocol()));
        }
        let mut metadata = None;
        for OptionView { class, kind, data } in packet.options() {
            if kind & CRITICAL_OPTION != 0 {
                return Err(ParseError::UnknownCritical { class, kind });
            }
            if (class, kind) != (option.class, option.kind) {
                continue;
            }
            let this = Metadata::from_bytes(data).ok_or(ParseError::OptionLength(data.len()))?;
            if metadata.replace(this).is_some() {
                return Err(ParseError::OptionTwice);
            }
        }
        let metadata = metadata.ok_or(ParseError::OptionMissing)?;
        Ok(Self { vni: packet.vni(), option, metadata })
    }

    /// Writes header and option to the beginning of `buffer`.
    ///
    /// # Errors
    /// [`Error::Truncated`] when `buffer` is shorter than [`Repr::buffer_len`]; [`Error::Value`] when the VNI does not fit
    /// its 24 bits.
    pub fn emit(&self, buffer: &mut [u8]) -> Result<(), Error> {
        if self.vni > VNI_MAX {
            return Err(Error::Value);
        }
        let out = buffer.get_mut(..EMITTED_LEN).ok_or(Error::Truncated)?;
        let (header, option) = out.split_at_mut(HEADER_LEN);
        header[field::VERSION_AND_LENGTH] = OPTIONS_UNITS;
        header[field::FLAGS] = 0;
        put_u16(header, field::PROTOCOL, ETHERNET);
        put_u32(header, field::VNI_AND_RESERVED, self.vni << VNI_SHIFT);
        put_u16(option, option::CLASS, self.option.class);
        option[option::TYPE] = self.option.kind;
        option[option::LENGTH] = METADATA_UNITS;
        option[OPTION_HEADER_LEN..].copy_from_slice(&self.metadata.to_bytes());
        Ok(())
    }

    /// Bytes that [`Repr::emit`] writes.
    pub const fn buffer_len(&self) -> usize {
        EMITTED_LEN
    }
}

impl fmt::Display for Repr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Metadata { in_lif, out_lif, key } = self.metadata;
        write!(f, "geneve vni {} option {} in {in_lif} out {out_lif} key {key:#010x}", self.vni, self.option)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;
    use std::vec::Vec;

    /// Header, our option, and two bytes of a frame.
    const BYTES: [u8; 26] = [
        0x04, 0x00, 0x65, 0x58, 0x12, 0x34, 0x56, 0x00, //
        0xff, 0x6f, 0x01, 0x03, 0, 0, 0, 7, 0, 0, 3, 0xe8, 0xde, 0xad, 0xbe, 0xef, //
        0xaa, 0xbb,
    ];
    const REPR: Repr = Repr {
        vni: 0x12_3456,
        option: OptionId::DEFAULT,
        metadata: Metadata { in_lif: 7, out_lif: 1000, key: 0xdead_beef },
    };

    fn parse(bytes: &[u8]) -> Result<Repr, ParseError> {
        Repr::parse(bytes, OptionId::DEFAULT)
    }

    fn with(at: usize, value: u8) -> Result<Repr, ParseError> {
        let mut bytes = BYTES;
        bytes[at] = value;
        parse(&bytes)
    }

    /// Our packet with more options, in front of our own or behind it.
    fn with_options(front: &[u8], behind: &[u8]) -> Vec<u8> {
        let mut bytes = [&BYTES[..8], front, &BYTES[8..24], behind, &BYTES[24..]].concat();
        bytes[0] += u8::try_from((front.len() + behind.len()) / 4).unwrap();
        bytes
    }

    #[test]
    fn parses_literal_bytes() {
        assert_eq!(parse(&BYTES), Ok(REPR));
        let packet = Packet::new_checked(&BYTES[..]).unwrap();
        assert_eq!((packet.header_len(), packet.payload()), (EMITTED_LEN, &[0xaa, 0xbb][..]));
        assert_eq!((packet.is_oam(), packet.has_critical_options()), (false, false));
    }

    #[test]
    fn emits_literal_bytes() {
        let mut out = [0xff; EMITTED_LEN];
        REPR.emit(&mut out).unwrap();
        assert_eq!(out, BYTES[..EMITTED_LEN]);
        assert_eq!(REPR.emit(&mut out[1..]), Err(Error::Truncated));
        assert_eq!(Repr { vni: 1 << 24, ..REPR }.emit(&mut out), Err(Error::Value));
    }

    #[test]
    fn every_cut_is_truncated() {
        for cut in 0..EMITTED_LEN {
            assert_eq!(parse(&BYTES[..cut]), Err(ParseError::Header(Error::Truncated)), "cut at {cut}");
        }
        assert_eq!(parse(&BYTES[..EMITTED_LEN]), Ok(REPR));
    }

    #[test]
    fn what_is_not_ours_is_named() {
        assert_eq!(with(0, 0x44), Err(ParseError::Header(Error::Version)));
        assert_eq!(with(1, 0x80), Err(ParseError::Oam));
        assert_eq!(with(3, 0x59), Err(ParseError::Protocol(0x6559)));
        assert_eq!(with(8, 0xfe), Err(ParseError::OptionMissing));
        assert_eq!(with(10, 0x02), Err(ParseError::OptionMissing));
        assert_eq!(with(10, 0x81), Err(ParseError::UnknownCritical { class: 0xff6f, kind: 0x81 }));
        assert_eq!(with(11, 0x04), Err(ParseError::Header(Error::Length)));
        let short = [0x03, 0, 0x65, 0x58, 0, 0, 1, 0, 0xff, 0x6f, 0x01, 0x02, 0, 0, 0, 7, 0, 0, 0, 8];
        assert_eq!(parse(&short), Err(ParseError::OptionLength(8)));
        assert_eq!(parse(&[0, 0, 0x65, 0x58, 0, 0, 1, 0]), Err(ParseError::OptionMissing));
    }

    #[test]
    fn reserved_bits_and_the_c_bit_are_not_looked_at() {
        assert_eq!(with(1, 0x7f), Ok(REPR));
        assert_eq!(with(7, 0xff), Ok(REPR));
        assert_eq!(with(11, 0xe3), Ok(REPR));
    }

    #[test]
    fn other_options_are_skipped_unless_they_are_critical() {
        let other = [0x01, 0x02, 0x03, 0x01, 1, 2, 3, 4];
        let empty = [0x01, 0x02, 0x04, 0x00];
        for bytes in [with_options(&other, &[]), with_options(&[], &other), with_options(&empty, &other)] {
            assert_eq!(parse(&bytes), Ok(REPR));
            assert_eq!(Packet::new_checked(&bytes[..]).unwrap().payload(), [0xaa, 0xbb]);
        }
        let critical = [0x01, 0x02, 0x83, 0x00];
        let error = Err(ParseError::UnknownCritical { class: 0x0102, kind: 0x83 });
        assert_eq!(parse(&with_options(&critical, &[])), error);
        assert_eq!(parse(&with_options(&[], &critical)), error);
    }

    #[test]
    fn our_option_twice_is_refused() {
        assert_eq!(parse(&with_options(&[], &BYTES[8..24])), Err(ParseError::OptionTwice));
    }

    #[test]
    fn the_option_is_called_as_it_was_set() {
        let id = OptionId::new(0xffff, 0x7f).unwrap();
        let mut out = [0; EMITTED_LEN];
        Repr { option: id, ..REPR }.emit(&mut out).unwrap();
        assert_eq!(out[8..12], [0xff, 0xff, 0x7f, 0x03]);
        assert_eq!(Repr::parse(&out, id), Ok(Repr { option: id, ..REPR }));
        assert_eq!(parse(&out), Err(ParseError::OptionMissing));
        assert_eq!(OptionId::new(0xffff, 0x80), None);
    }

    #[test]
    fn reads_well() {
        assert_eq!(REPR.to_string(), "geneve vni 1193046 option 0xff6f/0x01 in 7 out 1000 key 0xdeadbeef");
        assert_eq!(
            ParseError::UnknownCritical { class: 0x0102, kind: 0x83 }.to_string(),
            "critical option 0x0102/0x83 is not known here"
        );
    }
}
