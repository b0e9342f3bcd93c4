//! How much one client may ask in a second, over all its connections.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use opof_session::types::Moment;

use crate::limits;

/// One client's rate.
#[derive(Debug)]
pub struct Rate {
    per_second: u32,
    /// When everything that was taken so far would have been earned.
    paid_until: Mutex<Moment>,
}

impl Rate {
    fn new(per_second: u32) -> Self {
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
        let price = Duration::from_secs(count.into()) / self.per_second;
        *paid_until = (*paid_until).max(now).saturating_add(price);
        Ok(())
    }

    /// How many to take at once: a step must not cost more than a second.
    pub fn step(&self) -> u32 {
        limits::RATE_STEP.min(self.per_second)
    }

    fn is_at_rest(&self, now: Moment) -> bool {
        *self.paid_until.lock().unwrap_or_else(PoisonError::into_inner) <= now
    }
}

/// Every client's rate, by who it is.
#[derive(Debug)]
pub struct Rates {
    per_second: u32,
    clients: Mutex<HashMap<String, Arc<Rate>>>,
}

impl Rates {
    /// Each client may ask so much in a second.
    pub fn new(per_second: u32) -> Self {
        Self { per_second, clients: Mutex::default() }
    }

    /// The rate of a client; the same for all its connections, and after it has come back.
    pub fn of(&self, client: &str, now: Moment) -> Arc<Rate> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if clients.len() >= limits::RATES_KEPT {
            // What is in use is bounded by the connections; what is at rest is as good as new.
            clients.retain(|_, rate| Arc::strong_count(rate) > 1 || !rate.is_at_rest(now));
        }
        let rate = clients.entry(client.to_owned()).or_insert_with(|| Arc::new(Rate::new(self.per_second)));
        Arc::clone(rate)
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
    fn a_client_is_one_whatever_its_connections() {
        let rates = Rates::new(10);
        let now = Moment(1);
        rates.of("a", now).take(now, 10).unwrap();
        assert!(rates.of("a", now).take(now, 1).is_err(), "it went and came back");
        assert!(rates.of("b", now).take(now, 1).is_ok());
    }

    #[test]
    fn clients_that_went_are_forgotten_when_there_are_too_many() {
        let rates = Rates::new(10);
        let now = Moment(1);
        for client in 0..3 * limits::RATES_KEPT {
            let _ = rates.of(&client.to_string(), now);
        }
        assert!(rates.clients.lock().unwrap().len() <= limits::RATES_KEPT);
    }
}
