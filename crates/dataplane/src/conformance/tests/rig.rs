//! The simulated device on the suite's bench, with a place to bend what the wire side does.

use std::cell::Cell;

use opof_session::types::{Lif, Moment};

use crate::conformance::Rig;
use crate::{DataPlane, Outcome, Port, SimPorts};

/// What a device does with a frame: all that comes out of it.
pub(super) type WireSide = fn(&SimPorts, Moment, Port, &[u8]) -> Vec<(Port, Vec<u8>)>;

/// The device as it is.
pub(super) fn honest(ports: &SimPorts, now: Moment, ingress: Port, frame: &[u8]) -> Vec<(Port, Vec<u8>)> {
    match ports.receive(now, ingress, frame) {
        Outcome::Out { port, frame } => vec![(port, frame)],
        Outcome::Dropped => Vec::new(),
    }
}

pub(super) fn lifs() -> [Lif; 2] {
    [1, 2].map(|id| Lif::new(id).expect("not 0"))
}

pub(super) struct SimRig {
    plane: Box<dyn DataPlane>,
    ports: SimPorts,
    wire_side: WireSide,
    clock: Cell<u64>,
    out: Vec<(Port, Vec<u8>)>,
    pub(super) shortest: usize,
    pub(super) strays: bool,
}

impl SimRig {
    pub(super) fn new(plane: Box<dyn DataPlane>, ports: SimPorts, wire_side: WireSide) -> Self {
        Self { plane, ports, wire_side, clock: Cell::new(0), out: Vec::new(), shortest: 0, strays: false }
    }
}

impl Rig for SimRig {
    fn plane(&mut self) -> &mut dyn DataPlane {
        self.plane.as_mut()
    }

    fn now(&self) -> Moment {
        self.clock.set(self.clock.get() + 1000);
        Moment(self.clock.get())
    }

    fn lifs(&self) -> [Lif; 2] {
        lifs()
    }

    fn send(&mut self, port: Port, frame: &[u8]) {
        let now = self.now();
        self.out.extend((self.wire_side)(&self.ports, now, port, frame));
    }

    fn received(&mut self, _expected: usize) -> Vec<(Port, Vec<u8>)> {
        std::mem::take(&mut self.out)
    }

    fn carries(&self, frame: &[u8]) -> bool {
        frame.len() >= self.shortest
    }

    fn has_strays(&self) -> bool {
        self.strays
    }
}
