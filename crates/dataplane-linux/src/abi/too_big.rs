//! What is asked about a packet that does not fit, byte by byte.

/// What became of a frame: it is the answer to what it was. `OPOF_ANSWERED`.
pub const ANSWERED: u8 = 255;
/// There was no room for the answer, and the frame is as it was. `OPOF_NO_HEADROOM`.
pub const NO_HEADROOM: u8 = 254;

/// `struct opof_too_big`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(transparent)]
pub struct TooBig(pub [u8; 4]);

impl TooBig {
    /// Asks whether a packet fits into `mtu` bytes.
    pub fn new(mtu: u16) -> Self {
        let mut bytes = [0; 4];
        bytes[..2].copy_from_slice(&mtu.to_ne_bytes());
        Self(bytes)
    }

    /// A [`Silence`](opof_wire::packet_too_big::Silence) number, [`ANSWERED`] or [`NO_HEADROOM`].
    pub const fn said(&self) -> u8 {
        self.0[2]
    }
}

#[cfg(test)]
mod tests {
    use opof_wire::packet_too_big::{EXTENSIONS_MAX, MTU_MIN_V4, MTU_MIN_V6, QUOTE_V4, QUOTE_V6, Silence};

    use super::*;
    use crate::abi::tests::constant;

    #[test]
    fn numbers_are_those_of_the_header() {
        for silence in Silence::ALL {
            let name = format!("OPOF_SILENT_{}", silence.name().to_uppercase());
            assert_eq!(constant(&name), u64::from(silence as u8), "{name}");
            assert_eq!(Silence::from_number(silence as u8), Some(silence));
        }
        let same = [
            ("OPOF_SILENCES", Silence::COUNT as u64),
            ("OPOF_ANSWERED", ANSWERED.into()),
            ("OPOF_NO_HEADROOM", NO_HEADROOM.into()),
            ("OPOF_MTU_MIN_V4", MTU_MIN_V4.into()),
            ("OPOF_MTU_MIN_V6", MTU_MIN_V6.into()),
            ("OPOF_QUOTE_V4", QUOTE_V4 as u64),
            ("OPOF_QUOTE_V6", QUOTE_V6 as u64),
            ("OPOF_MAX_IPV6_EXTENSIONS", EXTENSIONS_MAX as u64),
        ];
        for (name, ours) in same {
            assert_eq!(constant(name), ours, "{name}");
        }
    }

    #[test]
    fn a_question_byte_by_byte() {
        let [low, high] = 1500_u16.to_ne_bytes();
        assert_eq!(TooBig::new(1500), TooBig([low, high, 0, 0]));
        assert_eq!(TooBig([1, 2, 3, 4]).said(), 3);
    }
}
