//! The fast path as a pure function: a frame on a port, a table to look up in, and what becomes of the frame.
//!
//! This is the executable specification of every plane: the simulated one runs it, the others are compared with it
//! frame by frame. What must not be here: state, counters, time.

use std::fmt;

use opof_session::plane::{FastAction, Slot};
use opof_session::types::{Direction, Lif, MatchKey};
use opof_wire::{SlowPath, Vid, classify, rewrite_outer_vid};

use crate::PortRole;

/// One of a device's ports. Several wire ports of one LIF are one here: which of them a frame came in on decides nothing,
/// and which it leaves by is a matter of links.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Port {
    /// The interface it belongs to.
    pub lif: Lif,
    /// Its part in it.
    pub role: PortRole,
}

impl Port {
    /// The port of `lif` towards the network.
    pub const fn wire(lif: Lif) -> Self {
        Self { lif, role: PortRole::Wire }
    }

    /// The port of `lif` towards the firewall.
    pub const fn firewall(lif: Lif) -> Self {
        Self { lif, role: PortRole::Firewall }
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let role = match self.role {
            PortRole::Wire => "wire",
            PortRole::Firewall => "firewall",
        };
        write!(f, "lif {} {role}", self.lif)
    }
}

/// What the table has for a key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Hit {
    /// The session.
    pub slot: Slot,
    /// Which of its two keys it was.
    pub direction: Direction,
    /// What to do with the packet.
    pub action: FastAction,
}

/// What becomes of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Decision {
    /// From a wire port to the firewall port of the same interface, untouched.
    SlowPath(SlowPath),
    /// A hit: out of the wire port of `to`, counted for the session.
    Forward {
        /// Whose packet it is.
        slot: Slot,
        /// In which direction it goes.
        direction: Direction,
        /// The interface it leaves by.
        to: Lif,
        /// The VID to write into the outermost tag; `None` leaves the frame untouched.
        rewrite: Option<Vid>,
    },
    /// A hit: discarded, counted for the session.
    Drop {
        /// Whose packet it is.
        slot: Slot,
        /// In which direction it went.
        direction: Direction,
    },
    /// From a firewall port to the wire port of the same interface, untouched and without a look at it.
    FromFirewall,
}

/// What is left of a frame after the device.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Outcome {
    /// It came out.
    Out {
        /// Where.
        port: Port,
        /// As it left.
        frame: Vec<u8>,
    },
    /// It didn't.
    Dropped,
}

/// What becomes of `frame` (whole L2 frame without FCS), received on `ingress`. `lookup` is called at most once, and
/// only for a frame of a wire port that has a flow key.
pub fn decide(ingress: Port, frame: &[u8], lookup: impl FnOnce(&MatchKey) -> Option<Hit>) -> Decision {
    if ingress.role == PortRole::Firewall {
        return Decision::FromFirewall;
    }
    let flow = match classify(frame) {
        Ok(flow) => flow,
        Err(reason) => return Decision::SlowPath(reason),
    };
    let Some(hit) = lookup(&MatchKey { lif: ingress.lif, flow }) else {
        return Decision::SlowPath(SlowPath::Miss);
    };
    let Hit { slot, direction, action } = hit;
    match action {
        FastAction::Drop => Decision::Drop { slot, direction },
        FastAction::Forward { to, rewrite } => Decision::Forward { slot, direction, to, rewrite },
    }
}

impl Decision {
    /// The port that a frame which came in on `ingress` leaves by; `None` when it is dropped.
    pub const fn egress(&self, ingress: Port) -> Option<Port> {
        match self {
            Self::SlowPath(_) => Some(Port::firewall(ingress.lif)),
            Self::Forward { to, .. } => Some(Port::wire(*to)),
            Self::Drop { .. } => None,
            Self::FromFirewall => Some(Port::wire(ingress.lif)),
        }
    }

    /// The decision carried out on `frame`, the one it was made for.
    pub fn apply(&self, ingress: Port, frame: &[u8]) -> Outcome {
        let Some(port) = self.egress(ingress) else { return Outcome::Dropped };
        let mut frame = frame.to_vec();
        if let Self::Forward { rewrite: Some(vid), .. } = self {
            rewrite_outer_vid(&mut frame, *vid);
        }
        Outcome::Out { port, frame }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFS: [Lif; 2] = [Lif::new(1).unwrap(), Lif::new(2).unwrap()];

    /// UDP from 10.0.0.1:1 to 10.0.0.2:2 without payload, on VLAN 100 with PCP 5 and DEI.
    #[rustfmt::skip]
    const UDP: [u8; 46] = [
        2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x81, 0x00, 0xB0, 0x64, 0x08, 0x00,
        0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
        0, 1, 0, 2, 0, 8, 0, 0,
    ];

    fn hit(action: FastAction) -> Hit {
        Hit { slot: Slot(7), direction: Direction::Out, action }
    }

    fn forward(rewrite: Option<Vid>) -> FastAction {
        FastAction::Forward { to: LIFS[1], rewrite }
    }

    #[test]
    fn the_key_has_the_interface_and_the_flow() {
        let mut seen = None;
        let decision = decide(Port::wire(LIFS[0]), &UDP, |key| {
            seen = Some(*key);
            None
        });
        assert_eq!(decision, Decision::SlowPath(SlowPath::Miss));
        assert_eq!(seen.unwrap().to_string(), "udp 10.0.0.1:1 > 10.0.0.2:2 vlan 100 lif 1");
    }

    #[test]
    fn a_miss_goes_to_the_firewall_untouched() {
        let ingress = Port::wire(LIFS[0]);
        let outcome = decide(ingress, &UDP, |_| None).apply(ingress, &UDP);
        assert_eq!(outcome, Outcome::Out { port: Port::firewall(LIFS[0]), frame: UDP.to_vec() });
    }

    #[test]
    fn a_hit_is_forwarded_untouched() {
        let ingress = Port::wire(LIFS[0]);
        let decision = decide(ingress, &UDP, |_| Some(hit(forward(None))));
        assert_eq!(
            decision,
            Decision::Forward { slot: Slot(7), direction: Direction::Out, to: LIFS[1], rewrite: None }
        );
        assert_eq!(decision.apply(ingress, &UDP), Outcome::Out { port: Port::wire(LIFS[1]), frame: UDP.to_vec() });
    }

    #[test]
    fn a_rewrite_changes_the_vid_and_nothing_else() {
        let ingress = Port::wire(LIFS[0]);
        let outcome = decide(ingress, &UDP, |_| Some(hit(forward(Vid::new(0xABC))))).apply(ingress, &UDP);
        let mut expected = UDP.to_vec();
        expected[14..16].copy_from_slice(&[0xBA, 0xBC]);
        assert_eq!(outcome, Outcome::Out { port: Port::wire(LIFS[1]), frame: expected });
    }

    #[test]
    fn a_drop_is_counted_for_its_session_and_goes_nowhere() {
        let ingress = Port::wire(LIFS[0]);
        let decision = decide(ingress, &UDP, |_| Some(hit(FastAction::Drop)));
        assert_eq!(decision, Decision::Drop { slot: Slot(7), direction: Direction::Out });
        assert_eq!(decision.egress(ingress), None);
        assert_eq!(decision.apply(ingress, &UDP), Outcome::Dropped);
    }

    #[test]
    fn what_has_no_key_is_not_looked_up() {
        let ingress = Port::wire(LIFS[0]);
        let decision = decide(ingress, &UDP[..45], |key| panic!("looked up {key}"));
        assert_eq!(decision, Decision::SlowPath(SlowPath::Truncated));
    }

    #[test]
    fn what_the_firewall_sends_is_not_looked_at() {
        let ingress = Port::firewall(LIFS[1]);
        for frame in [&UDP[..], &UDP[..3], &[]] {
            let decision = decide(ingress, frame, |key| panic!("looked up {key}"));
            assert_eq!(decision, Decision::FromFirewall);
            let expected = Outcome::Out { port: Port::wire(LIFS[1]), frame: frame.to_vec() };
            assert_eq!(decision.apply(ingress, frame), expected);
        }
    }
}
