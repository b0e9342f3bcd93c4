//! How the daemon is: what of it does not work as it should, and what `grpc.health.v1` says because of that.
//!
//! What must not be here: how a fault is found out. Those who find one report it.

use std::sync::Arc;

use opof_api::{Dialect, FAULTLESS};
use opof_session::types::Moment;
use tokio::sync::Mutex;
use tonic_health::ServingStatus::{NotServing, Serving};
use tonic_health::server::HealthReporter;

use crate::clock::Clock;

const DEVICE: &str = opof_api::device::device_server::SERVICE_NAME;
const PAIR: &str = opof_api::pair::pair_server::SERVICE_NAME;

/// What may have a fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// Closed sessions can't be stored. They are kept, and shown to nobody; everything else goes on.
    ClosedLog,
    /// The session table does not answer in time: calls are about to fail.
    SessionTable,
}

impl Part {
    /// In words.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ClosedLog => "closed log",
            Self::SessionTable => "session table",
        }
    }

    /// Sessions can't be offloaded while it has a fault.
    const fn is_vital(self) -> bool {
        matches!(self, Self::SessionTable)
    }
}

/// What of a part does not work.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// The part.
    pub part: Part,
    /// One line.
    pub why: String,
    /// When it began.
    pub since: Moment,
}

/// All faults there are. Clones are one.
#[derive(Clone, Debug)]
pub struct Health {
    state: Arc<Mutex<State>>,
    clock: Clock,
    reporter: HealthReporter,
}

#[derive(Debug, Default)]
struct State {
    /// It is not on its way out.
    takes_calls: bool,
    /// It is one of a pair, and firewalls are for the other one to answer.
    is_standby: bool,
    /// At most one of each part.
    faults: Vec<Fault>,
}

impl Health {
    /// Nothing serves yet.
    pub fn new(clock: Clock) -> Self {
        Self { state: Arc::default(), clock, reporter: HealthReporter::new() }
    }

    /// What answers `grpc.health.v1`.
    pub const fn reporter(&self) -> &HealthReporter {
        &self.reporter
    }

    /// Calls are taken from now on, or no longer.
    pub async fn set_takes_calls(&self, takes_calls: bool) {
        let mut state = self.state.lock().await;
        state.takes_calls = takes_calls;
        self.publish(&state).await;
    }

    /// Firewalls are for the other device of a pair to answer from now on, or no longer.
    pub async fn set_standby(&self, is_standby: bool) {
        let mut state = self.state.lock().await;
        state.is_standby = is_standby;
        self.publish(&state).await;
    }

    /// A part has a fault, or none (any more). The same one again is still the same one. True when that is news.
    pub async fn report(&self, part: Part, why: Option<String>) -> bool {
        let mut state = self.state.lock().await;
        let known = state.faults.iter().position(|fault| fault.part == part);
        let is_news = known.is_some() != why.is_some();
        match (known, why) {
            (None, None) => return false,
            (Some(known), Some(why)) => state.faults[known].why = why,
            (Some(known), None) => {
                state.faults.remove(known);
            }
            (None, Some(why)) => state.faults.push(Fault { part, why, since: self.clock.now() }),
        }
        self.publish(&state).await;
        is_news
    }

    /// What there is, the oldest first.
    pub async fn faults(&self) -> Vec<Fault> {
        self.state.lock().await.faults.clone()
    }

    /// Every dialect, and the server as a whole (the empty name). A standby answers operators as any other device does, so their
    /// services say whether it is fit to become active.
    async fn publish(&self, state: &State) {
        let status = |is_well| if is_well { Serving } else { NotServing };
        let is_fit = state.takes_calls && !state.faults.iter().any(|fault| fault.part.is_vital());
        let serves = is_fit && !state.is_standby;
        for service in Dialect::ALL.map(Dialect::service).into_iter().chain([""]) {
            self.reporter.set_service_status(service, status(serves)).await;
        }
        for service in [DEVICE, PAIR] {
            self.reporter.set_service_status(service, status(is_fit)).await;
        }
        self.reporter.set_service_status(FAULTLESS, status(serves && state.faults.is_empty())).await;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "in a test a panic is the way to fail")]
mod tests {
    use tonic_health::pb::HealthCheckRequest;
    use tonic_health::pb::health_server::Health as _;
    use tonic_health::server::HealthService;

    use super::*;

    async fn says(health: &Health) -> [bool; 3] {
        says_of(health, ["", "openoffload.v1.SessionTable", FAULTLESS]).await
    }

    async fn says_of<const N: usize>(health: &Health, names: [&str; N]) -> [bool; N] {
        let service = HealthService::from_health_reporter(health.reporter().clone());
        let mut answers = [false; N];
        for (answer, name) in answers.iter_mut().zip(names) {
            let request = tonic::Request::new(HealthCheckRequest { service: name.to_owned() });
            *answer = service.check(request).await.unwrap().into_inner().status == 1;
        }
        answers
    }

    #[tokio::test]
    async fn a_fault_is_told_and_what_serves_in_spite_of_it_serves() {
        let health = Health::new(Clock::new());
        health.set_takes_calls(true).await;
        assert_eq!(says(&health).await, [true, true, true]);
        health.report(Part::ClosedLog, Some("no space".to_owned())).await;
        assert_eq!(says(&health).await, [true, true, false]);
        let since = health.faults().await[0].since;
        health.report(Part::SessionTable, Some("slow".to_owned())).await;
        assert_eq!(says(&health).await, [false, false, false]);
        // Another reason, but the same fault.
        health.report(Part::ClosedLog, Some("read-only".to_owned())).await;
        let faults = health.faults().await;
        assert_eq!((faults[0].why.as_str(), faults[0].since, faults.len()), ("read-only", since, 2));
        health.report(Part::SessionTable, None).await;
        assert_eq!(says(&health).await, [true, true, false]);
        health.report(Part::ClosedLog, None).await;
        assert_eq!(says(&health).await, [true, true, true]);
        assert_eq!(health.faults().await, []);
        // A standby that is well does not serve firewalls, and may be asked by operators.
        health.set_standby(true).await;
        assert_eq!(says(&health).await, [false, false, false]);
        assert_eq!(says_of(&health, [DEVICE, PAIR]).await, [true, true]);
        health.report(Part::SessionTable, Some("slow".to_owned())).await;
        assert_eq!(says_of(&health, [DEVICE, PAIR]).await, [false, false]);
        health.set_standby(false).await;
        assert_eq!(says(&health).await, [false, false, false]);
        // On its way out it does not serve, faults or none.
        health.set_takes_calls(false).await;
        health.report(Part::SessionTable, None).await;
        assert_eq!(says(&health).await, [false, false, false]);
    }
}
