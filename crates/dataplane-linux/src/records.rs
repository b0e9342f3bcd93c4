//! The counters of sessions, in memory that the programs write and this side reads without a system call.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicU64, Ordering};

use opof_session::plane::Slot;
use opof_session::types::{Counters, DirectionCounters, Moment};

use crate::abi::{DIRECTION_WORDS, RECORD_WORDS};
use crate::limits::READ_TRIES;
use crate::sys::shared::SharedWords;

/// One record a slot.
#[derive(Debug)]
pub(crate) struct Records {
    shared: SharedWords,
}

/// A record as it was read: both directions, each with its own last-seen time.
type Snapshot = [u64; 2 * DIRECTION_WORDS];

impl Records {
    /// The first `sessions` records of the `records` map.
    pub(crate) fn new(map: BorrowedFd<'_>, sessions: u32) -> io::Result<Self> {
        let words = (sessions as usize).checked_mul(RECORD_WORDS).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { shared: SharedWords::new(map, words)? })
    }

    /// Back to zero. Only for a slot that no program can reach: it is in no table, and has not been since before the
    /// last grace period.
    pub(crate) fn clear(&self, slot: Slot) {
        for word in self.record(slot) {
            word.store(0, Ordering::Relaxed);
        }
    }

    /// The counters of a session that may be counting. A program adds the packet, then its bytes: two equal readings
    /// one after the other show that none was between the two, short of one that was interrupted right there.
    pub(crate) fn read(&self, slot: Slot) -> Counters {
        let mut last = self.snapshot(slot);
        for _ in 0..READ_TRIES {
            let next = self.snapshot(slot);
            if next == last {
                break;
            }
            last = next;
        }
        counters(&last)
    }

    fn snapshot(&self, slot: Slot) -> Snapshot {
        let record = self.record(slot);
        std::array::from_fn(|word| record[word].load(Ordering::Acquire))
    }

    fn record(&self, slot: Slot) -> &[AtomicU64] {
        let at = slot.0 as usize * RECORD_WORDS;
        &self.shared.words()[at..at + RECORD_WORDS]
    }
}

fn counters(record: &Snapshot) -> Counters {
    let [in_packets, in_bytes, in_seen, out_packets, out_bytes, out_seen] = *record;
    let last_seen = in_seen.max(out_seen);
    Counters {
        inward: DirectionCounters { packets: in_packets, bytes: in_bytes },
        outward: DirectionCounters { packets: out_packets, bytes: out_bytes },
        last_seen: (last_seen != 0).then_some(Moment(last_seen)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_word_by_word() {
        let expected = Counters {
            inward: DirectionCounters { packets: 1, bytes: 2 },
            outward: DirectionCounters { packets: 4, bytes: 5 },
            last_seen: Some(Moment(6)),
        };
        assert_eq!(counters(&[1, 2, 3, 4, 5, 6]), expected);
        assert_eq!(counters(&[1, 2, 6, 4, 5, 3]), expected);
        assert_eq!(counters(&[0; 6]), Counters::default());
    }
}
