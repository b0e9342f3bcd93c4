//! The latest changes of an active, for a standby that was away for a while: in frames, as they go to one that is not. Bounded: what is
//! older is forgotten.

use std::collections::VecDeque;
use std::sync::Arc;

use super::change::Change;
use super::message::Payload;
use crate::limits;

#[derive(Debug)]
pub(super) struct ChangeLog {
    /// In their order, without a gap.
    frames: VecDeque<Frame>,
    /// Changes in these.
    framed: usize,
    /// Behind these, in no frame yet.
    open: Vec<Change>,
    /// The number of the last one.
    last: u64,
}

#[derive(Debug)]
struct Frame {
    /// The number of its first change.
    first: u64,
    /// How many there are.
    count: usize,
    /// `Changes`, which a standby may be on its way to as well.
    payload: Arc<Payload>,
}

impl ChangeLog {
    pub(super) const fn new() -> Self {
        Self { frames: VecDeque::new(), framed: 0, open: Vec::new(), last: 0 }
    }

    pub(super) fn push(&mut self, change: Change) {
        if self.open.len() == limits::PEER_FRAME {
            self.close();
        }
        self.open.push(change);
        self.last += 1;
    }

    /// Those that are in no frame yet are in one, and the oldest ones forgotten.
    fn close(&mut self) {
        let mut changes = std::mem::take(&mut self.open);
        // As many may come the next time. One that follows many must not take up their room for as long as it is kept.
        self.open.reserve(changes.len());
        changes.shrink_to_fit();
        let (first, count) = (self.last + 1 - changes.len() as u64, changes.len());
        self.frames.push_back(Frame { first, count, payload: Arc::new(Payload::Changes { first, changes }) });
        self.framed += count;
        while let Some(oldest) = self.frames.front()
            && self.framed - oldest.count >= limits::PEER_LOG
        {
            self.framed -= oldest.count;
            self.frames.pop_front();
        }
    }

    /// The number of the last change.
    pub(super) const fn last(&self) -> u64 {
        self.last
    }

    /// True when everything behind this change is there.
    pub(super) fn reaches(&self, change: u64) -> bool {
        change <= self.last && self.last - change <= (self.framed + self.open.len()) as u64
    }

    /// A frame of changes behind this one, which is [in reach](Self::reaches), and the number of the last one in it; `None` when there are none.
    pub(super) fn behind(&mut self, change: u64) -> Option<(Arc<Payload>, u64)> {
        if change == self.last {
            return None;
        }
        let next = change + 1;
        if self.frames.back().is_none_or(|frame| frame.first + frame.count as u64 <= next) {
            self.close();
        }
        let after = self.frames.partition_point(|frame| frame.first <= next);
        let frame = self.frames.get(after.checked_sub(1)?)?;
        let payload = match &*frame.payload {
            // Who has a part of it gets the rest.
            Payload::Changes { changes, .. } if frame.first < next => {
                let known = usize::try_from(next - frame.first).ok()?;
                Arc::new(Payload::Changes { first: next, changes: changes.get(known..)?.to_vec() })
            }
            _ => Arc::clone(&frame.payload),
        };
        Some((payload, frame.first + frame.count as u64 - 1))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ended(sequence: u64) -> Change {
        Change::Ended { sequence }
    }

    /// Their numbers, where each has its own as its sequence.
    fn numbers((payload, last): (Arc<Payload>, u64)) -> Vec<u64> {
        let Payload::Changes { first, changes } = &*payload else { panic!("{payload:?}") };
        let expected: Vec<_> = (*first..).zip(changes).map(|(number, _)| number).collect();
        let told: Vec<_> =
            changes.iter().map(|change| if let Change::Ended { sequence } = change { *sequence } else { 0 }).collect();
        assert_eq!((told.last(), &told), (Some(&last), &expected));
        told
    }

    #[test]
    fn what_is_older_than_there_is_room_for_is_forgotten() {
        let mut log = ChangeLog::new();
        assert!(log.reaches(0) && !log.reaches(1) && log.behind(0).is_none());
        let count = (limits::PEER_LOG + 3 * limits::PEER_FRAME) as u64;
        (1..=count).for_each(|sequence| log.push(ended(sequence)));
        assert_eq!(log.last(), count);
        assert!(log.reaches(count - limits::PEER_LOG as u64) && log.reaches(count) && !log.reaches(count + 1));
        let oldest = (0..count).find(|change| log.reaches(*change)).unwrap();
        assert!(count - oldest < (limits::PEER_LOG + 2 * limits::PEER_FRAME) as u64, "{oldest} of {count}");
        assert_eq!(numbers(log.behind(oldest).unwrap()).len(), limits::PEER_FRAME);
        assert_eq!(numbers(log.behind(count - 1).unwrap()), [count]);
        assert!(log.behind(count).is_none());
    }

    #[test]
    fn who_has_heard_everything_gets_what_is_new_and_nothing_is_copied_for_that() {
        let mut log = ChangeLog::new();
        (1..=3).for_each(|sequence| log.push(ended(sequence)));
        let (payload, last) = log.behind(0).unwrap();
        assert_eq!(numbers((Arc::clone(&payload), last)), [1, 2, 3]);
        assert!(Arc::ptr_eq(&payload, &log.behind(0).unwrap().0));
        log.push(ended(4));
        assert_eq!(numbers(log.behind(last).unwrap()), [4]);
        assert_eq!(numbers(log.behind(1).unwrap()), [2, 3]);
        let sizes: Vec<_> = log.frames.iter().map(|frame| frame.count).collect();
        assert_eq!((sizes, log.framed), (vec![3, 1], 4));
    }

    proptest! {
        /// However far a standby is and however it gets on, it hears each change once and in order.
        #[test]
        fn every_change_is_told_once_and_in_order(steps in prop::collection::vec((0..700_u64, any::<bool>(), any::<prop::sample::Index>()), 1..40)) {
            let (mut log, mut known) = (ChangeLog::new(), 0);
            for (pushed, gets_on, back) in steps {
                (0..pushed).for_each(|_| log.push(ended(log.last() + 1)));
                if gets_on {
                    while let Some(frame) = log.behind(known) {
                        let told = numbers(frame);
                        prop_assert!(told[0] == known + 1 && told.len() <= limits::PEER_FRAME);
                        known = told[told.len() - 1];
                    }
                    prop_assert_eq!(known, log.last());
                    // Another one, that is somewhere.
                    known = back.index(usize::try_from(known).unwrap() + 1) as u64;
                }
            }
        }
    }
}
