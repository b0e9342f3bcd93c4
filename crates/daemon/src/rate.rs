//! How much may be asked in a second.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use opof_session::types::Moment;

use crate::limits;

/// A rate, and how far it is used.
#[derive(Debug)]
pub struct Rate {
    per_second: u32,
    /// When everything that was taken so far would have been earned.
    paid_until: Mutex<Moment>,
}

impl Rate {
    /// So much in a second.
    pub const fn new(per_second: u32) -> Self {
        Self { per_second, paid_until: Mutex::new(Moment(0)) }
    }

    /// Takes `count` at `now`, or says how long to wait before trying again. A client that is within its rate may get ahead of it
    /// once, by [`limits::BURST`] and one such step.
    pub fn take(&self, now: Moment, count: u32) -> Result<(), Duration> {
        let mut paid_until = self.paid_until.lock().unwrap_or_else(PoisonError::into_inner);
        let ahead = paid_until.saturating_since(now);
        if let Some(wait) = ahead.checked_sub(limits::BURST) {
            // One nanosecond more, so that it is not asked again at the very edge.
            return Err(wait + Duration::from_nanos(1));
        }
        *paid_until = (*paid_until).max(now).saturating_add(self.price(count));
        Ok(())
    }

    /// So many of what was taken were not needed.
    pub fn give_back(&self, count: u32) {
        let mut paid_until = self.paid_until.lock().unwrap_or_else(PoisonError::into_inner);
        let nanos = u64::try_from(self.price(count).as_nanos()).unwrap_or(u64::MAX);
        *paid_until = Moment(paid_until.0.saturating_sub(nanos));
    }

    fn price(&self, count: u32) -> Duration {
        Duration::from_secs(count.into()) / self.per_second
    }

    /// How many to take at once: a step must not cost more than a second.
    pub fn step(&self) -> u32 {
        limits::RATE_STEP.min(self.per_second)
    }

    /// True when it is as good as new.
    pub fn is_at_rest(&self, now: Moment) -> bool {
        *self.paid_until.lock().unwrap_or_else(PoisonError::into_inner) <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_client_gets_its_rate_and_a_burst() {
        let rate = Rate::new(100);
        let start = Moment(5_000_000_000);
        let taken = |now| (0..1000).take_while(|_| rate.take(now, 1).is_ok()).count();
        assert_eq!(taken(start), 100, "a second's worth ahead");
        assert_eq!(taken(start), 0);
        let later = start.saturating_add(SECOND / 2);
        assert_eq!(taken(later), 50);
        let long_after = start.saturating_add(100 * SECOND);
        assert_eq!(taken(long_after), 100, "what was not used is not saved up");
    }

    #[test]
    fn the_wait_is_as_long_as_it_says() {
        let rate = Rate::new(10);
        let start = Moment(1);
        rate.take(start, 10).unwrap();
        rate.take(start, 10).unwrap_err();
        rate.take(start.saturating_add(SECOND), 20).unwrap();
        let now = start.saturating_add(SECOND);
        let wait = rate.take(now, 1).unwrap_err();
        assert!(rate.take(now.saturating_add(wait.mul_f64(0.99)), 1).is_err());
        assert!(rate.take(now.saturating_add(wait), 1).is_ok());
    }

    #[test]
    fn what_was_not_needed_is_there_again() {
        let rate = Rate::new(100);
        let start = Moment(5_000_000_000);
        let calls = (0..1000).take_while(|_| {
            let taken = rate.take(start, rate.step()).is_ok();
            rate.give_back(if taken { rate.step() - 1 } else { 0 });
            taken
        });
        assert_eq!(calls.count(), 100, "a call of one session costs one, whatever it takes at once");
    }
}
