//! Grace periods, waited for by a thread of their own: when one is over, no program runs that ran when it was asked for.
//!
//! Requests that come while one is being waited for are served together by the next.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::thread::{self, JoinHandle};

use crate::limits::GRACE_TRIES;
use crate::visit::{self, Wait};

/// Names a request: all requests up to a number that is over are over.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub(crate) struct Epoch(u64);

/// The end of a wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Ended {
    /// This request and all before it that had not ended.
    pub(crate) through: Epoch,
    /// False when the kernel would not wait: nothing is known about the programs.
    pub(crate) waited: bool,
}

/// The thread and the way to it. Dropping it ends the thread, after the wait that it is in.
#[derive(Debug)]
pub(crate) struct Grace {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    asked: Condvar,
}

#[derive(Debug, Default)]
struct State {
    asked: Epoch,
    /// Where the last request was made.
    on: usize,
    /// At most one for each request that has not been fetched, and the plane bounds these.
    ended: Vec<Ended>,
    waker: Option<Waker>,
    stop: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that holds the lock can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Grace {
    /// Starts the thread.
    pub(crate) fn start() -> io::Result<Self> {
        let mut wait = Wait::new()?;
        Self::start_with(move |on| wait.wait(on))
    }

    fn start_with(wait: impl FnMut(usize) -> io::Result<()> + Send + 'static) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let of_thread = Arc::clone(&shared);
        let thread = thread::Builder::new().name("grace".to_owned()).spawn(move || serve(&of_thread, wait))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Asks for a grace period that begins after this call. For one thread, which does itself what is waited for.
    pub(crate) fn request(&self) -> Epoch {
        let mut state = self.shared.lock();
        state.asked.0 += 1;
        state.on = visit::here();
        self.shared.asked.notify_one();
        state.asked
    }

    /// What has ended since the last call, and whom to wake at the next end.
    pub(crate) fn ended(&self, waker: &Waker) -> Vec<Ended> {
        let mut state = self.shared.lock();
        match &mut state.waker {
            Some(known) => known.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
        std::mem::take(&mut state.ended)
    }

    /// Wakes whoever polled last, if that was after the last wake.
    pub(crate) fn wake(&self) {
        let waker = self.shared.lock().waker.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Drop for Grace {
    fn drop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.asked.notify_one();
        if let Some(thread) = self.thread.take() {
            // It ended, in whatever way: nothing more can be done about it here.
            let _ = thread.join();
        }
    }
}

fn serve(shared: &Shared, mut wait: impl FnMut(usize) -> io::Result<()>) {
    let mut over = Epoch::default();
    loop {
        let mut state = shared.lock();
        while state.asked == over && !state.stop {
            state = shared.asked.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.stop {
            return;
        }
        // Whoever asks is one, so where the last request was made all that was done for those before it is done.
        let (through, on) = (state.asked, state.on);
        drop(state);

        let waited = wait_with_retries(|| wait(on));
        over = through;
        let mut state = shared.lock();
        state.ended.push(Ended { through, waited });
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

fn wait_with_retries(mut wait: impl FnMut() -> io::Result<()>) -> bool {
    for _ in 0..GRACE_TRIES {
        match wait() {
            Ok(()) => return true,
            Err(error) => tracing::error!(%error, "the kernel would not wait for running programs"),
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::task::Wake;
    use std::time::Duration;

    use super::*;

    struct Bell(Sender<()>);

    impl Wake for Bell {
        fn wake(self: Arc<Self>) {
            self.0.send(()).unwrap();
        }
    }

    fn bell() -> (Waker, Receiver<()>) {
        let (sender, receiver) = channel();
        (Arc::new(Bell(sender)).into(), receiver)
    }

    const BOUND: Duration = Duration::from_secs(10);

    #[test]
    fn requests_during_a_wait_are_served_by_the_next() {
        let (begun, has_begun) = channel();
        let (go, may_go) = channel::<()>();
        let grace = Grace::start_with(move |_| {
            begun.send(()).unwrap();
            may_go.recv().unwrap();
            Ok(())
        })
        .unwrap();
        let (waker, rung) = bell();
        assert_eq!(grace.ended(&waker), []);

        let first = grace.request();
        has_begun.recv_timeout(BOUND).unwrap();
        grace.request();
        let third = grace.request();
        go.send(()).unwrap();
        rung.recv_timeout(BOUND).unwrap();
        assert_eq!(grace.ended(&waker), [Ended { through: first, waited: true }]);

        has_begun.recv_timeout(BOUND).unwrap();
        go.send(()).unwrap();
        rung.recv_timeout(BOUND).unwrap();
        assert_eq!(grace.ended(&waker), [Ended { through: third, waited: true }]);
    }

    #[test]
    fn a_kernel_that_will_not_wait_is_reported() {
        let grace = Grace::start_with(|_| Err(io::ErrorKind::OutOfMemory.into())).unwrap();
        let (waker, rung) = bell();
        assert_eq!(grace.ended(&waker), []);
        let through = grace.request();
        rung.recv_timeout(BOUND).unwrap();
        assert_eq!(grace.ended(&waker), [Ended { through, waited: false }]);
    }
}
