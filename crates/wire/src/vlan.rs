//! One VLAN tag (IEEE 802.1Q, 9.4 to 9.6), seen from behind its TPID: the TPID stands where the EtherType of the header
//! in front would, so a tag here is its control information and the EtherType that follows.

use core::fmt;

use crate::Error;
use crate::bytes::{put_u16, u16_at};

mod field {
    use core::ops::{Range, RangeFrom};
    pub(super) const CONTROL: Range<usize> = 0..2;
    pub(super) const ETHER_TYPE: Range<usize> = 2..4;
    pub(super) const PAYLOAD: RangeFrom<usize> = 4..;
}

/// Bytes of a tag.
pub const HEADER_LEN: usize = field::PAYLOAD.start;

/// TPID of a customer tag.
pub const TPID_CUSTOMER: u16 = 0x8100;
/// TPID of a service tag, the outer one of QinQ.
pub const TPID_SERVICE: u16 = 0x88a8;
/// The VID that no tag may carry.
pub const VID_RESERVED: u16 = 0xfff;

const VID_MASK: u16 = 0x0fff;
const DROP_ELIGIBLE: u16 = 0x1000;
const PRIORITY_SHIFT: u32 = 13;

/// True when `ether_type` says that a tag follows.
pub const fn is_tpid(ether_type: u16) -> bool {
    matches!(ether_type, TPID_CUSTOMER | TPID_SERVICE)
}

/// A view of a tag and what follows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tag<T> {
    buffer: T,
}

impl<T: AsRef<[u8]>> Tag<T> {
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

    fn control(&self) -> u16 {
        u16_at(self.buffer.as_ref(), field::CONTROL)
    }

    /// Priority code point, 0 to 7.
    pub fn priority(&self) -> u8 {
        self.buffer.as_ref()[field::CONTROL.start] >> 5
    }

    /// Drop eligible indicator.
    pub fn drop_eligible(&self) -> bool {
        self.control() & DROP_ELIGIBLE != 0
    }

    /// VLAN identifier, 0 to 4095: 0 in a priority tag, 4095 never in a valid one.
    pub fn vid(&self) -> u16 {
        self.control() & VID_MASK
    }

    /// The EtherType behind the tag; it may be the TPID of another one.
    pub fn ether_type(&self) -> u16 {
        u16_at(self.buffer.as_ref(), field::ETHER_TYPE)
    }
}

impl<'a> Tag<&'a [u8]> {
    /// What follows the tag.
    pub fn payload(&self) -> &'a [u8] {
        &self.buffer[field::PAYLOAD]
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> Tag<T> {
    /// Sets priority, drop eligible indicator and VID; each is cut to its bits.
    pub fn set_control(&mut self, priority: u8, drop_eligible: bool, vid: u16) {
        let drop_eligible = if drop_eligible { DROP_ELIGIBLE } else { 0 };
        let control = u16::from(priority & 7) << PRIORITY_SHIFT | drop_eligible | vid & VID_MASK;
        put_u16(self.buffer.as_mut(), field::CONTROL, control);
    }

    /// Sets the VID, cut to its 12 bits, and leaves priority and drop eligible indicator as they are.
    pub fn set_vid(&mut self, vid: u16) {
        self.set_control(self.priority(), self.drop_eligible(), vid);
    }

    /// Sets the EtherType behind the tag.
    pub fn set_ether_type(&mut self, ether_type: u16) {
        put_u16(self.buffer.as_mut(), field::ETHER_TYPE, ether_type);
    }
}

/// A tag as values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Repr {
    /// Priority code point, 0 to 7.
    pub priority: u8,
    /// Drop eligible indicator.
    pub drop_eligible: bool,
    /// VLAN identifier, 0 to 4095.
    pub vid: u16,
    /// The EtherType behind the tag.
    pub ether_type: u16,
}

impl Repr {
    /// The tag's values.
    ///
    /// # Errors
    /// As [`Tag::new_checked`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let tag = Tag::new_checked(bytes)?;
        Ok(Self {
            priority: tag.priority(),
            drop_eligible: tag.drop_eligible(),
            vid: tag.vid(),
            ether_type: tag.ether_type(),
        })
    }

    /// Writes the tag to the beginning of `buffer`.
    ///
    /// # Errors
    /// [`Error::Truncated`] when `buffer` is shorter than [`Repr::buffer_len`]; [`Error::Value`] when priority or VID
    /// does not fit its bits.
    pub fn emit(&self, buffer: &mut [u8]) -> Result<(), Error> {
        let mut tag = Tag::new_checked(buffer)?;
        if self.priority > 7 || self.vid > VID_MASK {
            return Err(Error::Value);
        }
        tag.set_control(self.priority, self.drop_eligible, self.vid);
        tag.set_ether_type(self.ether_type);
        Ok(())
    }

    /// Bytes that [`Repr::emit`] writes.
    pub const fn buffer_len(&self) -> usize {
        HEADER_LEN
    }
}

impl fmt::Display for Repr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "vlan {} priority {}", self.vid, self.priority)?;
        if self.drop_eligible {
            f.write_str(" drop eligible")?;
        }
        write!(f, " type {:#06x}", self.ether_type)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    const BYTES: [u8; 5] = [0xb0, 0x64, 0x08, 0x00, 0x45];
    const REPR: Repr = Repr { priority: 5, drop_eligible: true, vid: 100, ether_type: 0x0800 };

    #[test]
    fn parses_literal_bytes() {
        assert_eq!(Repr::parse(&BYTES), Ok(REPR));
        assert_eq!(Tag::new_unchecked(&BYTES[..]).payload(), [0x45]);
    }

    #[test]
    fn emits_literal_bytes() {
        let mut out = [0; HEADER_LEN];
        REPR.emit(&mut out).unwrap();
        assert_eq!(out, BYTES[..HEADER_LEN]);
        assert_eq!(REPR.emit(&mut out[1..]), Err(Error::Truncated));
        assert_eq!(Repr { vid: 4096, ..REPR }.emit(&mut out), Err(Error::Value));
        assert_eq!(Repr { priority: 8, ..REPR }.emit(&mut out), Err(Error::Value));
    }

    #[test]
    fn every_cut_is_truncated() {
        for cut in 0..HEADER_LEN {
            assert_eq!(Repr::parse(&BYTES[..cut]), Err(Error::Truncated), "cut at {cut}");
        }
    }

    #[test]
    fn a_new_vid_keeps_priority_and_drop_eligible() {
        let mut bytes = BYTES;
        Tag::new_unchecked(&mut bytes[..]).set_vid(0x0abc);
        assert_eq!(bytes, [0xba, 0xbc, 0x08, 0x00, 0x45]);
    }

    #[test]
    fn reads_well() {
        assert_eq!(REPR.to_string(), "vlan 100 priority 5 drop eligible type 0x0800");
    }
}
