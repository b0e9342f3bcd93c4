//! Until when the programs forward: two words that they read with each hit, so that it ends by itself.
//!
//! What must not be here: who may say so, and what becomes of sessions.

use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};

use opof_session::types::Moment;

use crate::clock::Clock;
use crate::pin::PinDir;
use crate::sys::bpf;
use crate::sys::shared::SharedWords;

/// The map's name in `bpf/maps.h` and in the pin directory.
pub(crate) const NAME: &str = "term";
/// `struct opof_term`.
const LOOK: usize = 0;
const UNTIL: usize = 1;
const WORDS: usize = 2;

/// The term of a plane, in memory that it shares with the programs.
#[derive(Debug)]
pub(crate) struct Term(SharedWords);

impl Term {
    /// As it is in the pinned map.
    pub(crate) fn open(pins: &PinDir) -> io::Result<Self> {
        Ok(Self(SharedWords::new(bpf::get_pinned(&pins.path().join(NAME))?.as_fd(), WORDS)?))
    }

    /// Without an end. A map that nobody has written to says that it was over before it began.
    pub(crate) fn begin(&self) {
        set(self.0.words(), Moment(u64::MAX), u64::MAX);
    }

    /// Holds for each packet from here on.
    pub(crate) fn set(&self, until: Moment, clock: &Clock) {
        set(self.0.words(), until, clock.tick_before(until));
    }
}

/// Programs that read it in between obey the older or the newer moment, and go on so should this process end in the middle of it.
fn set(words: &[AtomicU64], until: Moment, look: u64) {
    for (at, word) in [(LOOK, 0), (UNTIL, until.0), (LOOK, look)] {
        words[at].store(word, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_words_in_the_order_of_the_header() {
        let words = [0, 0].map(AtomicU64::new);
        set(&words, Moment(5), 3);
        assert_eq!(words.map(AtomicU64::into_inner), [3, 5]);
    }
}
