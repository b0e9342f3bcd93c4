//! Rung when somebody is to have a turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};

/// A bell. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bell(Arc<Ringing>);

#[derive(Debug, Default)]
struct Ringing(AtomicBool);

impl Wake for Ringing {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Bell {
    pub(crate) fn ring(&self) {
        self.0.0.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_rung(&self) -> bool {
        self.0.0.load(Ordering::Relaxed)
    }

    /// For a turn: it is quiet until it is rung again.
    pub(crate) fn answer(&self) -> Waker {
        self.0.0.store(false, Ordering::Relaxed);
        Waker::from(Arc::clone(&self.0))
    }
}
