//! `inLif` and `outLif`: a logical interface in the lower 16 bits, the VLAN on that side in the upper 16, or in v1beta1
//! in a field of its own.

use opof_session::types::Lif;
use opof_wire::Vid;

use crate::Dialect;
use crate::add::{FieldError, Problem};
use crate::v1beta1::SessionRequest;

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

/// Where the session of a message enters and leaves, wherever its dialect says so.
pub(crate) fn decode(request: &SessionRequest, dialect: Dialect) -> Result<Sides, FieldError> {
    let at = |field| move |problem| FieldError { dialect, field, problem };
    let [in_half, out_half] = if dialect.has_links() {
        [
            (whole(request.in_lif).map_err(at("inLif"))?, vid(request.vlan_in_lif).map_err(at("vlan_inLif"))?),
            (whole(request.out_lif).map_err(at("outLif"))?, vid(request.vlan_out_lif).map_err(at("vlan_outLif"))?),
        ]
    } else {
        [halves(request.in_lif).map_err(at("inLif"))?, halves(request.out_lif).map_err(at("outLif"))?]
    };
    let ((in_lif, in_vlan), (out_lif, out_vlan)) = (in_half, out_half);
    let pair = if [in_lif, out_lif] == [0, 0] { DEFAULT_PAIR } else { [in_lif, out_lif] };
    let [Some(in_lif), Some(out_lif)] = pair.map(Lif::new) else {
        return Err(at(if in_lif == 0 { "inLif" } else { "outLif" })(Problem::LifZero));
    };
    let out_vlan = match (in_vlan.is_untagged(), out_vlan.is_untagged()) {
        (true, false) => {
            let field = if dialect.has_links() { "vlan_outLif" } else { "outLif" };
            return Err(at(field)(Problem::VlanOneSided(out_vlan.get())));
        }
        (false, true) if dialect.has_links() => {
            return Err(at("vlan_inLif")(Problem::VlanOneSided(in_vlan.get())));
        }
        (false, true) => in_vlan,
        (true, true) | (false, false) => out_vlan,
    };
    Ok(Sides { in_lif, in_vlan, out_lif, out_vlan })
}

/// Writes both sides where the dialect has them.
pub(crate) fn encode(sides: Sides, dialect: Dialect, request: &mut SessionRequest) {
    let Sides { in_lif, in_vlan, out_lif, out_vlan } = sides;
    if dialect.has_links() {
        (request.in_lif, request.out_lif) = (in_lif.get().into(), out_lif.get().into());
        (request.vlan_in_lif, request.vlan_out_lif) = (in_vlan.get().into(), out_vlan.get().into());
    } else {
        (request.in_lif, request.out_lif) = (joined(in_lif, in_vlan), joined(out_lif, out_vlan));
    }
}

fn whole(value: i32) -> Result<u16, Problem> {
    u16::try_from(value).map_err(|_| Problem::Lif(value.into()))
}

fn vid(value: u32) -> Result<Vid, Problem> {
    u16::try_from(value).ok().and_then(Vid::new).ok_or(Problem::Vlan(value))
}

/// One side as the one field for both has it.
fn joined(lif: Lif, vlan: Vid) -> i32 {
    (u32::from(vlan.get()) << 16 | u32::from(lif.get())).cast_signed()
}

/// Negative numbers are what their bits say: 65535 in both halves and the like.
fn halves(value: i32) -> Result<(u16, Vid), Problem> {
    let [high @ .., low1, low0] = value.cast_unsigned().to_be_bytes();
    Ok((u16::from_be_bytes([low1, low0]), vid(u16::from_be_bytes(high).into())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sides(in_field: i32, out_field: i32) -> Result<[u16; 4], String> {
        let request = SessionRequest { in_lif: in_field, out_lif: out_field, ..SessionRequest::default() };
        decode(&request, Dialect::V1)
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
            Err("outLif: 100 is a VLAN on one side only: a tag can be rewritten, not pushed or popped".into())
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
            let sides = Sides { in_lif: lif, in_vlan: vlan, out_lif: lif, out_vlan: vlan };
            for dialect in Dialect::ALL {
                let mut request = SessionRequest::default();
                encode(sides, dialect, &mut request);
                assert_eq!(decode(&request, dialect), Ok(sides));
            }
        }
        assert_eq!(joined(Lif::new(1).unwrap(), Vid::new(100).unwrap()), 0x0064_0001);
    }

    #[test]
    fn v1beta1_has_fields_for_vlans() {
        let said = |in_lif, vlan_in_lif, vlan_out_lif| {
            let request = SessionRequest { in_lif, out_lif: 2, vlan_in_lif, vlan_out_lif, ..SessionRequest::default() };
            decode(&request, Dialect::V1Beta1)
                .map(|sides| (sides.in_vlan.get(), sides.out_vlan.get()))
                .map_err(|error| error.to_string())
        };
        assert_eq!(said(1, 100, 200), Ok((100, 200)));
        let one_sided = "a VLAN on one side only: a tag can be rewritten, not pushed or popped";
        assert_eq!(said(1, 100, 0), Err(format!("vlan_inLif: 100 is {one_sided}")));
        assert_eq!(said(1, 0, 100), Err(format!("vlan_outLif: 100 is {one_sided}")));
        assert_eq!(said(1, 4095, 1), Err("vlan_inLif: VLAN 4095, the largest is 4094".to_owned()));
        let lif = "inLif: 6553601, interfaces are numbered from 1 to 65535";
        assert_eq!(said(0x0064_0001, 0, 0), Err(lif.to_owned()));
        let v1 = SessionRequest { in_lif: 1, out_lif: 2, vlan_in_lif: 100, ..SessionRequest::default() };
        assert_eq!(decode(&v1, Dialect::V1).map(|sides| sides.in_vlan), Ok(Vid::UNTAGGED), "v1 has no such field");
    }
}
