//! The end of a tunnel and what comes out of it, byte by byte.

use opof_wire::Addresses;
use opof_wire::decap::TunnelEnd;
use opof_wire::geneve::Metadata;

use super::array;

/// What became of a frame: it is the one that was inside. `OPOF_DECAPSULATED`.
pub const DECAPSULATED: u32 = 255;
/// The kernel would not make the frame shorter. `OPOF_NOT_SHORTENED`.
pub const NOT_SHORTENED: u32 = 254;

/// Bytes of `struct opof_tunnel_end`, which is the first field.
const END: usize = 40;

/// `struct opof_decap`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(transparent)]
pub struct Decap(pub [u8; END + 16]);

impl Default for Decap {
    fn default() -> Self {
        Self([0; END + 16])
    }
}

impl Decap {
    /// Asks whether a frame is a packet of the tunnel that ends here.
    pub fn new(end: &TunnelEnd) -> Self {
        let mut bytes = Self::default().0;
        let family = match end.addresses {
            Addresses::V4 { source, destination } => {
                bytes[..4].copy_from_slice(&source);
                bytes[16..20].copy_from_slice(&destination);
                4
            }
            Addresses::V6 { source, destination } => {
                bytes[..16].copy_from_slice(&source);
                bytes[16..32].copy_from_slice(&destination);
                6
            }
        };
        bytes[32..36].copy_from_slice(&end.vni.to_ne_bytes());
        bytes[36..38].copy_from_slice(&end.option.class().to_ne_bytes());
        bytes[38..END].copy_from_slice(&[end.option.kind(), family]);
        Self(bytes)
    }

    /// What our option said; meaningful with [`DECAPSULATED`].
    pub fn metadata(&self) -> Metadata {
        let word = |at| u32::from_ne_bytes(array(&self.0, at));
        Metadata { in_lif: word(END), out_lif: word(END + 4), key: word(END + 8) }
    }

    /// A [`Refusal`](opof_wire::decap::Refusal) number, [`DECAPSULATED`] or [`NOT_SHORTENED`].
    pub fn said(&self) -> u32 {
        u32::from_ne_bytes(array(&self.0, END + 12))
    }
}

#[cfg(test)]
mod tests {
    use opof_wire::decap::{OPTIONS_MAX, Refusal};
    use opof_wire::geneve::OptionId;

    use super::*;
    use crate::abi::tests::constant;

    #[test]
    fn numbers_are_those_of_the_header() {
        for refusal in Refusal::ALL {
            let name = format!("OPOF_REFUSED_{}", refusal.name().to_uppercase());
            assert_eq!(constant(&name), u64::from(refusal as u8), "{name}");
        }
        let same = [
            ("OPOF_DECAPSULATED", DECAPSULATED.into()),
            ("OPOF_NOT_SHORTENED", NOT_SHORTENED.into()),
            ("OPOF_MAX_GENEVE_OPTIONS", OPTIONS_MAX as u64),
        ];
        for (name, ours) in same {
            assert_eq!(constant(name), ours, "{name}");
        }
    }

    #[test]
    fn a_question_byte_by_byte() {
        let option = OptionId::new(0x0102, 0x03).unwrap();
        let v4 = Addresses::V4 { source: [192, 0, 2, 1], destination: [192, 0, 2, 2] };
        let v6 = Addresses::V6 { source: [0xAA; 16], destination: [0xBB; 16] };
        let (vni, class) = (0x0a_0b0c_u32.to_ne_bytes(), 0x0102_u16.to_ne_bytes());
        for (addresses, peer, ours, family) in [
            (v4, [&[192, 0, 2, 1][..], &[0; 12]].concat(), [&[192, 0, 2, 2][..], &[0; 12]].concat(), 4),
            (v6, vec![0xAA; 16], vec![0xBB; 16], 6),
        ] {
            let asked = Decap::new(&TunnelEnd { addresses, vni: 0x0a_0b0c, option });
            assert_eq!(asked.0[..], [&peer[..], &ours, &vni, &class, &[3, family], &[0; 16]].concat());
        }
    }

    #[test]
    fn an_answer_byte_by_byte() {
        let words = [7, 1000, 0xdead_beef, DECAPSULATED].map(u32::to_ne_bytes).concat();
        let said = Decap([&[0; END][..], &words].concat().try_into().unwrap());
        assert_eq!(said.metadata(), Metadata { in_lif: 7, out_lif: 1000, key: 0xdead_beef });
        assert_eq!(said.said(), DECAPSULATED);
    }
}
