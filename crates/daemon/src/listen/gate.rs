//! How many connections there may be, and who goes when there is no room.
//!
//! A connection is a newcomer until its first call that it may make. Newcomers cost nothing to make, so they must cost nothing to others: when all
//! places are taken, the oldest newcomer goes. A connection that has made a call stays.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::limits;

/// A listener's places.
#[derive(Debug)]
pub(super) struct Gate {
    places: Arc<Semaphore>,
    newcomers: Mutex<Newcomers>,
}

#[derive(Debug, Default)]
struct Newcomers {
    next: u64,
    /// By the order in which they came.
    waiting: BTreeMap<u64, oneshot::Sender<()>>,
}

/// A connection's place. It is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    gate: Arc<Gate>,
    number: u64,
    is_settled: AtomicBool,
    _permit: OwnedSemaphorePermit,
}

/// Resolves when a newcomer has to go.
pub(super) type Eviction = oneshot::Receiver<()>;

impl Gate {
    pub(super) fn new(places: u32) -> Arc<Self> {
        let places = Arc::new(Semaphore::new(places as usize));
        Arc::new(Self { places, newcomers: Mutex::default() })
    }

    /// A place for a newcomer, once there is one.
    pub(super) async fn admit(self: &Arc<Self>) -> (Arc<Place>, Eviction) {
        let permit = loop {
            if let Ok(permit) = Arc::clone(&self.places).try_acquire_owned() {
                break permit;
            }
            self.evict();
            // One that was to go may have settled meanwhile, and stays: then it is the next one's turn.
            let places = Arc::clone(&self.places).acquire_owned();
            if let Ok(permit) = tokio::time::timeout(limits::EVICTION, places).await {
                break permit.expect("the semaphore is never closed");
            }
        };
        let (sender, eviction) = oneshot::channel();
        let mut newcomers = self.newcomers.lock().unwrap_or_else(PoisonError::into_inner);
        let number = newcomers.next;
        newcomers.next += 1;
        newcomers.waiting.insert(number, sender);
        drop(newcomers);
        let place = Place { gate: Arc::clone(self), number, is_settled: AtomicBool::new(false), _permit: permit };
        (Arc::new(place), eviction)
    }

    fn evict(&self) {
        let mut newcomers = self.newcomers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, oldest)) = newcomers.waiting.pop_first() {
            // One that is going anyway leaves its place all the same.
            let _ = oldest.send(());
        }
    }

    fn forget(&self, number: u64) {
        self.newcomers.lock().unwrap_or_else(PoisonError::into_inner).waiting.remove(&number);
    }
}

impl Place {
    /// The connection has made a call that it may make: it is no newcomer any more.
    pub(crate) fn settle(&self) {
        if !self.is_settled.swap(true, Ordering::Relaxed) {
            self.gate.forget(self.number);
        }
    }

    pub(super) fn is_settled(&self) -> bool {
        self.is_settled.load(Ordering::Relaxed)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.gate.forget(self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    async fn admitted(gate: &Arc<Gate>) -> (Arc<Place>, Eviction) {
        tokio::time::timeout(Duration::from_secs(5), gate.admit()).await.expect("a place")
    }

    #[tokio::test]
    async fn the_oldest_newcomer_goes_when_there_is_no_room() {
        let gate = Gate::new(3);
        let (first, first_eviction) = admitted(&gate).await;
        let (settled, mut settled_eviction) = admitted(&gate).await;
        let (_third, mut third_eviction) = admitted(&gate).await;
        settled.settle();
        let newcomer = tokio::spawn({
            let gate = Arc::clone(&gate);
            async move { gate.admit().await }
        });
        first_eviction.await.expect("it has to go");
        assert!(!newcomer.is_finished(), "not before the place is free");
        drop(first);
        let (_fourth, _) = newcomer.await.expect("no panic");
        assert!(third_eviction.try_recv().is_err());
        assert!(settled_eviction.try_recv().is_err());
    }

    #[tokio::test]
    async fn one_that_settles_when_it_was_to_go_is_not_waited_for() {
        let gate = Gate::new(2);
        let (stays, _) = admitted(&gate).await;
        let (goes, eviction) = admitted(&gate).await;
        let newcomer = tokio::spawn({
            let gate = Arc::clone(&gate);
            async move { gate.admit().await }
        });
        // The first was chosen, and pays no attention.
        stays.settle();
        eviction.await.expect("the second is chosen after a while");
        drop(goes);
        newcomer.await.expect("no panic");
    }

    #[tokio::test]
    async fn with_nobody_to_evict_the_next_one_waits() {
        let gate = Gate::new(1);
        let (place, _eviction) = admitted(&gate).await;
        place.settle();
        let waiting = tokio::time::timeout(Duration::from_millis(50), gate.admit()).await;
        assert!(waiting.is_err());
        drop(place);
        admitted(&gate).await;
    }

    #[tokio::test]
    async fn who_has_gone_is_forgotten() {
        let gate = Gate::new(2);
        for _ in 0..100 {
            let (place, _eviction) = admitted(&gate).await;
            place.settle();
        }
        for _ in 0..100 {
            admitted(&gate).await;
        }
        assert!(gate.newcomers.lock().unwrap().waiting.is_empty());
    }
}
