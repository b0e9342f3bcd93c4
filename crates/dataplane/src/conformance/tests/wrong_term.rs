//! Planes that end too late, or in another way than they were told.

use opof_session::types::Moment;

use super::rig::{RigPorts, SimRig, WireSide, honest};
use super::{device, red};
use crate::conformance::Failure;
use crate::{Port, PortRole};

type Out = Vec<(Port, Vec<u8>)>;

fn caught(wire_side: WireSide, case: &str) {
    let (plane, ports) = device();
    let failure = red(case, &mut SimRig::new(Box::new(plane), ports, wire_side));
    assert!(matches!(failure, Failure::FrameMissing { .. }), "{case} finds something else: {failure}");
}

#[test]
fn goes_by_a_clock_that_is_behind() {
    fn wire_side(ports: &RigPorts, Moment(now): Moment, ingress: Port, frame: &[u8]) -> Out {
        honest(ports, Moment(now.saturating_sub(10_000)), ingress, frame)
    }
    caught(wire_side, "forwards_until_the_moment_it_was_told");
}

#[test]
fn drops_what_it_may_not_forward() {
    fn wire_side(ports: &RigPorts, now: Moment, ingress: Port, frame: &[u8]) -> Out {
        let out = honest(ports, now, ingress, frame);
        let is_forwarded = |out: &Out| out.iter().all(|(port, _)| port.role == PortRole::Wire);
        if !is_forwarded(&out) && is_forwarded(&honest(ports, Moment(0), ingress, frame)) { Vec::new() } else { out }
    }
    caught(wire_side, "forwards_until_the_moment_it_was_told");
    caught(wire_side, "sessions_come_and_go_when_nothing_is_forwarded");
}
