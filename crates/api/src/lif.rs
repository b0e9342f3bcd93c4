//! `inLif` and `outLif`: a logical interface in the lower 16 bits, the VLAN on that side in the upper 16.

use opof_session::types::Lif;
use opof_wire::Vid;

use crate::add::{FieldError, Problem};

/// Interfaces that a session uses which names none.
const DEFAULT_PAIR: [u16; 2] = [1, 2];

/// Where a session enters and leaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Sides {
    pub(crate) in_lif: Lif,
    pub(crate) in_vlan: Vid,
    pub(crate) out_lif: Lif,
    pub(crate) out_vlan: Vid,
}

/// Negative numbers are what their bits say: 65535 in both halves and the like.
pub(crate) fn decode(in_field: i32, out_field: i32) -> Result<Sides, FieldError> {
    let (in_lif, in_vlan) = halves("inLif", in_field)?;
    let (out_lif, out_vlan) = halves("outLif", out_field)?;
    let pair = if [in_lif, out_lif] == [0, 0] { DEFAULT_PAIR } else { [in_lif, out_lif] };
    let [Some(in_lif), Some(out_lif)] = pair.map(Lif::new) else {
        let field = if in_lif == 0 { "inLif" } else { "outLif" };
        return Err(FieldError { field, problem: Problem::LifZero });
    };
    let out_vlan = match (in_vlan.is_untagged(), out_vlan.is_untagged()) {
        (true, false) => {
            return Err(FieldError { field: "outLif", problem: Problem::VlanOneSided(out_vlan.get()) });
        }
        (false, true) => in_vlan,
        (true, true) | (false, false) => out_vlan,
    };
    Ok(Sides { in_lif, in_vlan, out_lif, out_vlan })
}

/// One side as its field has it.
pub(crate) fn encode(lif: Lif, vlan: Vid) -> i32 {
    (u32::from(vlan.get()) << 16 | u32::from(lif.get())).cast_signed()
}

fn halves(field: &'static str, value: i32) -> Result<(u16, Vid), FieldError> {
    let [high @ .., low1, low0] = value.cast_unsigned().to_be_bytes();
    let vlan = u16::from_be_bytes(high);
    let vlan = Vid::new(vlan).ok_or(FieldError { field, problem: Problem::Vlan(vlan) })?;
    Ok((u16::from_be_bytes([low1, low0]), vlan))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sides(in_field: i32, out_field: i32) -> Result<[u16; 4], String> {
        decode(in_field, out_field)
            .map(|s| [s.in_lif.get(), s.in_vlan.get(), s.out_lif.get(), s.out_vlan.get()])
            .map_err(|error| error.to_string())
    }

    #[test]
    fn interface_below_vlan_above() {
        assert_eq!(sides(0x0064_0001, 0x00C8_0002), Ok([1, 100, 2, 200]));
        assert_eq!(sides(3, 0xFFFF), Ok([3, 0, 65535, 0]));
        assert_eq!(sides(0x0FFE_0001, 0x0FFE_0002), Ok([1, 4094, 2, 4094]));
    }

    #[test]
    fn a_vlan_on_the_inside_alone_is_on_both() {
        assert_eq!(sides(0x0064_0001, 2), Ok([1, 100, 2, 100]));
    }

    #[test]
    fn a_vlan_on_the_outside_alone_would_be_a_push() {
        assert_eq!(
            sides(1, 0x0064_0002),
            Err("outLif: VLAN 100 here and none in inLif; a tag can be rewritten, not pushed".into())
        );
    }

    #[test]
    fn interface_zero_is_the_default_pair_or_nothing() {
        assert_eq!(sides(0, 0), Ok([1, 0, 2, 0]));
        assert_eq!(sides(0x0064_0000, 0x00C8_0000), Ok([1, 100, 2, 200]));
        let missing = "no interface in the lower 16 bits; give both, or neither for 1 and 2";
        assert_eq!(sides(0, 2), Err(format!("inLif: {missing}")));
        assert_eq!(sides(1, 0), Err(format!("outLif: {missing}")));
    }

    #[test]
    fn vlan_ids_end_at_4094() {
        let error = |field, vlan| Err(format!("{field}: VLAN {vlan}, the largest is 4094"));
        assert_eq!(sides(0x0FFF_0001, 2), error("inLif", 4095));
        assert_eq!(sides(1, 0x1000_0002), error("outLif", 4096));
        assert_eq!(sides(-1, -1), error("inLif", 65535));
    }

    #[test]
    fn encoding_is_the_inverse() {
        for (lif, vlan) in [(1, 0), (2, 4094), (65535, 1)] {
            let (lif, vlan) = (Lif::new(lif).unwrap(), Vid::new(vlan).unwrap());
            assert_eq!(halves("inLif", encode(lif, vlan)), Ok((lif.get(), vlan)));
        }
        assert_eq!(encode(Lif::new(1).unwrap(), Vid::new(100).unwrap()), 0x0064_0001);
    }
}
