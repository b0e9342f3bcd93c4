//! The latest changes of an active, for a standby that was away for a while. Bounded: what is older is forgotten.

use std::collections::VecDeque;

use super::change::Change;
use crate::limits;

#[derive(Debug)]
pub(super) struct ChangeLog {
    changes: VecDeque<Change>,
    /// The number of the last one.
    last: u64,
}

impl ChangeLog {
    pub(super) const fn new() -> Self {
        Self { changes: VecDeque::new(), last: 0 }
    }

    pub(super) fn push(&mut self, change: Change) {
        if self.changes.len() == limits::PEER_LOG {
            self.changes.pop_front();
        }
        self.changes.push_back(change);
        self.last += 1;
    }

    /// The number of the last change.
    pub(super) const fn last(&self) -> u64 {
        self.last
    }

    /// True when everything behind this change is there.
    pub(super) fn reaches(&self, change: u64) -> bool {
        change <= self.last && self.last - change <= self.changes.len() as u64
    }

    /// Changes behind this one, so many at most.
    pub(super) fn behind(&self, change: u64, most: usize) -> Vec<Change> {
        let missing = usize::try_from(self.last - change).unwrap_or(usize::MAX);
        let from = self.changes.len().saturating_sub(missing);
        self.changes.range(from..).take(most).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_older_than_there_is_room_for_is_forgotten() {
        let mut log = ChangeLog::new();
        assert!(log.reaches(0) && !log.reaches(1));
        let ended = |sequence| Change::Ended { sequence };
        let count = limits::PEER_LOG as u64 + 2;
        (1..=count).for_each(|sequence| log.push(ended(sequence)));
        assert_eq!(log.last(), count);
        assert!(!log.reaches(1) && log.reaches(2) && log.reaches(count) && !log.reaches(count + 1));
        assert_eq!(log.behind(2, 2), [ended(3), ended(4)]);
        assert_eq!(log.behind(count - 1, 9), [ended(count)]);
        assert_eq!(log.behind(count, 9), []);
    }
}
