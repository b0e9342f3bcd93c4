//! Who looks whether the parts of the daemon work, and reports what does not.
//!
//! What must not be here: what follows from a fault (`health`).

use tokio::time::{Instant, sleep, timeout};

use crate::driver::{DriverError, DriverHandle, PairHandle};
use crate::health::{Health, Part};
use crate::limits;
use crate::store::{Gauge, Reading};

/// Reports when closed sessions can't be stored, or it takes very long.
pub(crate) async fn closed_log(gauge: Gauge, health: Health) {
    let mut begun = Instant::now();
    let mut last = None;
    loop {
        let Reading { under_way, failure } = gauge.read();
        if under_way.is_none() || under_way != last {
            begun = Instant::now();
        }
        last = under_way;
        let is_slow = begun.elapsed() >= limits::STORE_SLOW;
        let why = failure.or_else(|| is_slow.then(|| SLOW.to_owned()));
        if health.report(Part::ClosedLog, why.clone()).await && why.as_deref() == Some(SLOW) {
            tracing::warn!("closed sessions: {SLOW}; they are shown when it has");
        }
        sleep(limits::LOOK_AT_LOG).await;
    }
}

const SLOW: &str = "the disk has not answered for some time";

/// Reports whether a device of a pair answers firewalls.
pub(crate) async fn pair(pair: PairHandle, health: Health) {
    let mut state = pair.state();
    loop {
        let takes_calls = state.borrow_and_update().takes_calls;
        health.set_standby(!takes_calls).await;
        if state.changed().await.is_err() {
            return;
        }
    }
}

/// Asks the session table something now and then, as a client would; reports when there is no answer, well before clients get none.
pub(crate) async fn session_table(driver: DriverHandle, health: Health) {
    loop {
        match timeout(limits::UNANSWERED, driver.statistics()).await {
            Ok(Ok(_)) => {
                if health.report(Part::SessionTable, None).await {
                    tracing::info!("the session table answers again");
                }
                sleep(limits::LOOK_AT_TABLE).await;
            }
            // A standby tells its figures, too.
            Ok(Err(DriverError::Stopped | DriverError::NotActive { .. })) => return,
            Ok(Err(DriverError::Busy)) | Err(_) => {
                let why = format!("no answer within {} s", limits::UNANSWERED.as_secs());
                if health.report(Part::SessionTable, Some(why)).await {
                    tracing::warn!("the session table does not answer in time");
                }
            }
        }
    }
}
