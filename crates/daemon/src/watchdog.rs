//! Somebody who sees that the session table does not get on any more: a thread of its own, for the others may hang with it.
//!
//! It counts its own looks, not time: a machine that was asleep, or a process that was stopped, is not stuck. What must not be here: what
//! is to be done about it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::limits;

/// Turns that something has had. Clones are one.
#[derive(Clone, Debug, Default)]
pub struct Pulse(Arc<AtomicU64>);

impl Pulse {
    /// One more.
    pub fn beat(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Looks at a [`Pulse`] until it is dropped.
#[derive(Debug)]
pub struct Watchdog {
    end: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    /// It looks whether there was a beat, `look` behind its last look, and calls `alive` when there was; `stuck` when there was none
    /// [`limits::WATCHDOG_LOOKS`] times in a row, and then it has done its work.
    pub fn start(
        pulse: Pulse,
        look: Duration,
        alive: impl FnMut() + Send + 'static,
        stuck: impl FnOnce() + Send + 'static,
    ) -> io::Result<Self> {
        let (end, ended) = sync_channel(0);
        let begin = pulse.count();
        let looks = move || watch(&ended, &pulse, begin, look, alive, stuck);
        let thread = Some(thread::Builder::new().name("watchdog".to_owned()).spawn(looks)?);
        Ok(Self { end: Some(end), thread })
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.end = None;
        if let Some(thread) = self.thread.take() {
            // It has ended, in whatever way.
            let _ = thread.join();
        }
    }
}

fn watch(
    ended: &Receiver<()>,
    pulse: &Pulse,
    begin: u64,
    look: Duration,
    mut alive: impl FnMut(),
    stuck: impl FnOnce(),
) {
    let (mut seen, mut missed) = (begin, 0);
    while ended.recv_timeout(look) == Err(RecvTimeoutError::Timeout) {
        let count = pulse.count();
        if count == seen {
            missed += 1;
        } else {
            (seen, missed) = (count, 0);
            alive();
        }
        if missed == limits::WATCHDOG_LOOKS {
            stuck();
            return;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "in a test a panic is the way to fail")]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    const LOOK: Duration = Duration::from_millis(100);

    #[test]
    fn a_pulse_that_stops_is_told_once_and_not_before() {
        let (told, says) = channel();
        let (alive, stuck) = (told.clone(), told);
        let pulse = Pulse::default();
        let beats = pulse.clone();
        let watchdog =
            Watchdog::start(pulse, LOOK, move || alive.send("alive").unwrap(), move || stuck.send("stuck").unwrap())
                .unwrap();
        let patience = LOOK * (limits::WATCHDOG_LOOKS + 5);
        for _ in 0..2 {
            beats.beat();
            assert_eq!(says.recv_timeout(patience), Ok("alive"));
        }
        // Nothing for a while is not the end.
        opof_testkit::wait::pause(LOOK * (limits::WATCHDOG_LOOKS / 2));
        beats.beat();
        assert_eq!(says.recv_timeout(patience), Ok("alive"));
        assert_eq!(says.recv_timeout(patience), Ok("stuck"));
        assert!(says.recv_timeout(patience).is_err(), "once");
        drop(watchdog);
    }

    #[test]
    fn one_that_is_dropped_is_gone() {
        let (told, says) = channel::<()>();
        drop(Watchdog::start(Pulse::default(), LOOK, || (), move || told.send(()).unwrap()).unwrap());
        assert_eq!(says.recv(), Err(std::sync::mpsc::RecvError));
    }
}
