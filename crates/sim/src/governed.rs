//! A faulty plane whose faults the world sets while a driver has it.

use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};

use opof_dataplane::faulty::FaultRates;
use opof_dataplane::{DataPlane, Description, Faulty, SimPlane};
use opof_session::l3::{NextHop, VlanFlow};
use opof_session::plane::{Capabilities, Command, Completion, Found, Note, Slot};
use opof_session::types::{Counters, Moment};

/// The plane. Clones are the same one.
#[derive(Clone, Debug)]
pub(crate) struct Governed(Arc<Mutex<Faulty<SimPlane>>>);

impl Governed {
    pub(crate) fn new(plane: SimPlane, rates: FaultRates, seed: u64) -> Self {
        Self(Arc::new(Mutex::new(Faulty::new(plane, rates, seed))))
    }

    /// From now on.
    pub(crate) fn set_rates(&self, rates: FaultRates) {
        self.plane().set_rates(rates);
    }

    fn plane(&self) -> MutexGuard<'_, Faulty<SimPlane>> {
        // A panic with the plane in hand is a finding of its own, and told as such.
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl DataPlane for Governed {
    fn capabilities(&self) -> Capabilities {
        self.plane().capabilities()
    }

    fn submit(&mut self, now: Moment, commands: &[Command]) -> usize {
        self.plane().submit(now, commands)
    }

    fn poll(&mut self, context: &mut Context<'_>, completions: &mut Vec<Completion>) -> Poll<()> {
        self.plane().poll(context, completions)
    }

    fn found(&mut self, each: &mut dyn FnMut(&Found)) {
        self.plane().found(each);
    }

    fn found_routes(&mut self) -> (Vec<NextHop>, Vec<VlanFlow>) {
        self.plane().found_routes()
    }

    fn purge(&mut self, slots: &[Slot]) {
        self.plane().purge(slots);
    }

    fn departed(&mut self, each: &mut dyn FnMut(&Note, Counters)) {
        self.plane().departed(each);
    }

    fn stay(&mut self) {
        self.plane().stay();
    }

    fn forward_until(&mut self, until: Moment) {
        self.plane().forward_until(until);
    }

    fn describe(&self) -> Description {
        self.plane().describe()
    }
}
