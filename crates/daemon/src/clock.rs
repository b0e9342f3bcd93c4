//! The only place that reads clocks. Everything else is told the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use opof_api::WallClock;
use opof_session::types::Moment;
use rustix::time::{ClockId, Timespec, clock_gettime};

#[cfg(any(test, feature = "simulation"))]
use crate::simulation::SimulatedTime;

/// How far the wall clock may move against the monotonic one before it is believed to have been set.
const STEP_NANOS: u64 = 50_000_000;

/// CLOCK_MONOTONIC, which the fast path stamps packets with as well, and its relation to the time of day.
#[derive(Clone, Debug)]
pub struct Clock {
    /// Time of day less monotonic time, in nanoseconds. Kept, so that one moment is one time of day in every answer
    /// although the two clocks can't be read at once.
    offset: Arc<AtomicU64>,
    #[cfg(any(test, feature = "simulation"))]
    simulated: Option<SimulatedTime>,
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock {
    /// The machine's clocks.
    pub fn new() -> Self {
        Self {
            offset: Arc::new(AtomicU64::new(measure())),
            #[cfg(any(test, feature = "simulation"))]
            simulated: None,
        }
    }

    /// One that goes by this time.
    #[cfg(any(test, feature = "simulation"))]
    pub fn simulated(time: SimulatedTime) -> Self {
        Self { simulated: Some(time), ..Self::new() }
    }

    /// Now.
    pub fn now(&self) -> Moment {
        #[cfg(any(test, feature = "simulation"))]
        if let Some(time) = &self.simulated {
            return time.now();
        }
        Moment(nanoseconds(ClockId::Monotonic))
    }

    /// Waits until `due`, which may have passed.
    pub(crate) async fn sleep_until(&self, due: Moment) {
        #[cfg(any(test, feature = "simulation"))]
        if let Some(time) = &self.simulated {
            return time.sleep_until(due).await;
        }
        tokio::time::sleep(due.saturating_since(self.now())).await;
    }

    /// By which moments become times of day. When somebody has set the clock, by the new setting.
    pub fn wall(&self) -> WallClock {
        let measured = measure();
        let kept = self.offset.load(Ordering::Relaxed);
        let offset = if measured.abs_diff(kept) < STEP_NANOS { kept } else { measured };
        self.offset.store(offset, Ordering::Relaxed);
        WallClock { moment: Moment(0), unix_nanos: offset }
    }

    /// The time of day, for certificates.
    pub fn time_of_day(&self) -> SystemTime {
        let unix = self.wall().unix_nanos.saturating_add(self.now().0);
        SystemTime::UNIX_EPOCH + Duration::from_nanos(unix)
    }
}

/// A machine that was started before 1970 is taken for one that was started then.
fn measure() -> u64 {
    nanoseconds(ClockId::Realtime).saturating_sub(nanoseconds(ClockId::Monotonic))
}

fn nanoseconds(clock: ClockId) -> u64 {
    let Timespec { tv_sec, tv_nsec } = clock_gettime(clock);
    let whole = u64::try_from(tv_sec).unwrap_or(0).saturating_mul(1_000_000_000);
    whole.saturating_add(u64::try_from(tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_moment_is_one_time_of_day() {
        let clock = Clock::new();
        let moment = clock.now();
        let first = clock.wall().timestamp(moment);
        assert!((0..1000).all(|_| clock.wall().timestamp(moment) == first));
        assert!(clock.now() >= moment);
    }

    #[test]
    fn the_time_of_day_is_that_of_the_machine() {
        #[expect(clippy::disallowed_methods, reason = "the clock is compared with the machine's")]
        let machine = SystemTime::now();
        let ours = Clock::new().time_of_day();
        let apart = ours.duration_since(machine).unwrap_or_else(|error| error.duration());
        assert!(apart < Duration::from_secs(1), "{apart:?}");
    }

    #[test]
    fn a_clock_that_was_set_is_believed() {
        let clock = Clock::new();
        let right = clock.time_of_day();
        clock.offset.fetch_sub(3_600_000_000_000, Ordering::Relaxed);
        let apart = clock.time_of_day().duration_since(right).unwrap_or_else(|error| error.duration());
        assert!(apart < Duration::from_secs(1), "{apart:?}");
    }
}
