//! Pauses that grow: doubled each time up to a bound, with jitter, so that many clients do not come back at once.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    first: Duration,
    most: Duration,
    next: Duration,
}

impl Backoff {
    pub(crate) fn new(first: Duration, most: Duration) -> Self {
        let first = first.min(most);
        Self { first, most, next: first }
    }

    /// The next pause: between half of it and all of it.
    pub(crate) fn next(&mut self) -> Duration {
        let pause = self.next;
        self.next = pause.saturating_mul(2).min(self.most);
        // The standard library seeds its maps from the system's randomness: enough for jitter.
        let [random, ..] = RandomState::new().hash_one(()).to_le_bytes();
        let half = pause / 2;
        half + half.mul_f64(f64::from(random) / f64::from(u8::MAX))
    }

    /// From the beginning again.
    pub(crate) fn reset(&mut self) {
        self.next = self.first;
    }

    pub(crate) const fn most(&self) -> Duration {
        self.most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_bound_and_begin_again() {
        let millis = Duration::from_millis;
        let mut backoff = Backoff::new(millis(100), millis(350));
        for whole in [100, 200, 350, 350] {
            let pause = backoff.next();
            assert!(pause >= millis(whole) / 2 && pause <= millis(whole), "{pause:?} of {whole} ms");
        }
        backoff.reset();
        assert!(backoff.next() <= millis(100));
        let pauses: Vec<_> = (0..20).map(|_| Backoff::new(millis(100), millis(100)).next()).collect();
        assert!(pauses.iter().any(|pause| *pause != pauses[0]), "no jitter: {pauses:?}");
        assert!(Backoff::new(millis(100), millis(10)).next() <= millis(10));
    }
}
