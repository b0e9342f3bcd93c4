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
