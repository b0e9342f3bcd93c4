//! What one client may have of the daemon, over all its connections: its rate, places, answers under way.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use opof_session::types::Moment;
use tokio::sync::Semaphore;

use crate::config::ClientLimits;
use crate::limits;
use crate::rate::Rate;

/// One client's.
#[derive(Debug)]
pub(crate) struct Account {
    /// Calls and sessions.
    pub(crate) rate: Rate,
    /// Answers that may be large and are not sent yet.
    pub(crate) lists: Arc<Semaphore>,
    /// Streams of closed sessions that are open.
    pub(crate) closed_streams: Arc<Semaphore>,
    /// Refused sessions that addSession calls will name.
    failures: AtomicUsize,
    /// Connections that keep their places.
    places: AtomicU32,
    most_places: u32,
}

impl Account {
    fn new(limits: &ClientLimits) -> Self {
        Self {
            rate: Rate::new(limits.rate),
            lists: Arc::new(Semaphore::new(limits::CLIENT_LISTS)),
            closed_streams: Arc::new(Semaphore::new(limits::CLIENT_CLOSED_STREAMS)),
            failures: AtomicUsize::new(0),
            places: AtomicU32::new(0),
            // No client may have all of them: there would be none for the others.
            most_places: (limits.connections / 2).max(1),
        }
    }

    /// A connection wants to keep its place. False when the client has as many as it may.
    pub(crate) fn take_place(&self) -> bool {
        let taken = self.places.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |places| {
            (places < self.most_places).then_some(places + 1)
        });
        taken.is_ok()
    }

    /// It does not need it any more.
    pub(crate) fn leave_place(&self) {
        self.places.fetch_sub(1, Ordering::Relaxed);
    }

    /// How many places it may have.
    pub(crate) const fn most_places(&self) -> u32 {
        self.most_places
    }

    fn is_at_rest(&self, now: Moment) -> bool {
        self.rate.is_at_rest(now)
    }
}

/// The refused sessions of one addSession call that are kept until its answer is sent.
#[derive(Clone, Debug)]
pub(crate) struct Failures(Arc<Kept>);

#[derive(Debug)]
struct Kept {
    account: Arc<Account>,
    count: AtomicUsize,
}

impl Failures {
    /// Of a call of this client.
    pub(crate) fn of(account: Arc<Account>) -> Self {
        Self(Arc::new(Kept { account, count: AtomicUsize::new(0) }))
    }

    /// One more. False when all calls of the client together have as many as they may.
    pub(crate) fn add(&self) -> bool {
        self.0.count.fetch_add(1, Ordering::Relaxed);
        self.0.account.failures.fetch_add(1, Ordering::Relaxed) < limits::CLIENT_FAILURES
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.account.failures.fetch_sub(*self.count.get_mut(), Ordering::Relaxed);
    }
}

/// Every client's, by who it is.
#[derive(Debug)]
pub(crate) struct Accounts {
    limits: ClientLimits,
    clients: Mutex<HashMap<String, Arc<Account>>>,
}

impl Accounts {
    /// Each client may have so much.
    pub(crate) fn new(limits: ClientLimits) -> Self {
        Self { limits, clients: Mutex::default() }
    }

    /// A client's; the same for all its connections, and after it has come back.
    pub(crate) fn of(&self, client: &str, now: Moment) -> Arc<Account> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if clients.len() >= limits::ACCOUNTS_KEPT {
            // What is in use is bounded by the connections; what is at rest is as good as new.
            clients.retain(|_, account| Arc::strong_count(account) > 1 || !account.is_at_rest(now));
        }
        let account = clients.entry(client.to_owned()).or_insert_with(|| Arc::new(Account::new(&self.limits)));
        Arc::clone(account)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accounts() -> Accounts {
        Accounts::new(ClientLimits { rate: 10, connections: 4, ..ClientLimits::default() })
    }

    #[test]
    fn a_client_is_one_whatever_its_connections() {
        let (accounts, now) = (accounts(), Moment(1));
        accounts.of("a", now).rate.take(now, 10).unwrap();
        assert!(accounts.of("a", now).rate.take(now, 1).is_err(), "it went and came back");
        assert!(accounts.of("b", now).rate.take(now, 1).is_ok());
    }

    #[test]
    fn clients_that_went_are_forgotten_when_there_are_too_many() {
        let (accounts, now) = (accounts(), Moment(1));
        for client in 0..3 * limits::ACCOUNTS_KEPT {
            let _ = accounts.of(&client.to_string(), now);
        }
        assert!(accounts.clients.lock().unwrap().len() <= limits::ACCOUNTS_KEPT);
    }

    #[test]
    fn no_client_has_all_places() {
        let account = accounts().of("a", Moment(1));
        assert!(account.take_place() && account.take_place());
        assert!(!account.take_place());
        account.leave_place();
        assert!(account.take_place());
    }

    #[test]
    fn failures_count_until_their_answer_is_gone() {
        let account = accounts().of("a", Moment(1));
        let first = Failures::of(Arc::clone(&account));
        assert!((0..limits::CLIENT_FAILURES).all(|_| first.add()));
        let second = Failures::of(Arc::clone(&account));
        assert!(!second.add());
        let answer = first.clone();
        drop(first);
        assert!(!second.add(), "the answer is not sent yet");
        drop(answer);
        assert!(second.add());
    }
}
