//! Bounded waits and paced sending for tests that deal with real processes and real packets.
//!
//! The one place of the test code that reads a clock or sleeps. Nothing that ships may use it.

use std::time::{Duration, Instant};

/// How long a condition is left alone before it is looked at again.
const POLL: Duration = Duration::from_millis(5);

/// A condition that did not come true in time.
#[derive(Debug, thiserror::Error)]
#[error("waited {} ms for {what}", bound.as_millis())]
pub struct TimedOut {
    /// What was waited for.
    pub what: String,
    /// How long.
    pub bound: Duration,
}

/// Measures how long something took.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts now.
    #[expect(clippy::disallowed_methods, reason = "tests with real processes need a real clock")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Time since the start.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// Asks `condition` until it has an answer, at most for `bound`.
///
/// # Errors
/// [`TimedOut`] with `what` when there was none.
pub fn until<T>(what: &str, bound: Duration, mut condition: impl FnMut() -> Option<T>) -> Result<T, TimedOut> {
    let watch = Stopwatch::start();
    loop {
        if let Some(answer) = condition() {
            return Ok(answer);
        }
        if watch.elapsed() >= bound {
            return Err(TimedOut { what: what.to_owned(), bound });
        }
        pause(POLL);
    }
}

/// Lets time pass where its passing is itself what is tested, such as an idle timeout or the absence of a frame.
#[expect(clippy::disallowed_methods, reason = "the one sleep of the test code")]
pub fn pause(duration: Duration) {
    std::thread::sleep(duration);
}

/// Spreads events evenly: a veth ring holds 256 frames, and a burst of more loses the rest.
#[derive(Debug)]
pub struct Pacer {
    watch: Stopwatch,
    per_second: u32,
    done: u64,
}

impl Pacer {
    /// At most `per_second` events a second.
    pub fn new(per_second: u32) -> Self {
        Self { watch: Stopwatch::start(), per_second: per_second.max(1), done: 0 }
    }

    /// Returns when the next event is due; an event that is late makes no burst of those behind it.
    pub fn wait(&mut self) {
        let due = Duration::from_nanos(self.done.saturating_mul(1_000_000_000) / u64::from(self.per_second));
        let now = self.watch.elapsed();
        if due > now {
            pause(due.saturating_sub(now));
        } else if now.saturating_sub(due) > POLL {
            self.watch = Stopwatch::start();
            self.done = 0;
        }
        self.done += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn until_gives_up_and_says_on_what() {
        let error = until("the end of time", Duration::from_millis(10), || None::<()>).unwrap_err();
        assert_eq!(error.to_string(), "waited 10 ms for the end of time");
    }

    #[test]
    fn until_returns_the_first_answer() {
        let mut asked = 0;
        let answer = until("3", Duration::from_secs(5), || {
            asked += 1;
            (asked == 3).then_some(asked)
        });
        assert_eq!(answer.unwrap(), 3);
    }

    #[test]
    fn a_pacer_does_not_run_ahead() {
        let mut pacer = Pacer::new(1_000);
        let watch = Stopwatch::start();
        for _ in 0..50 {
            pacer.wait();
        }
        assert!(watch.elapsed() >= Duration::from_millis(45), "{:?}", watch.elapsed());
    }
}
