//! Frames in order, each once, over messages that get lost, come twice or too late: numbers, and acknowledgements that say up to which one
//! they have come. What has not been acknowledged for a while is sent again, from the first one on.
//!
//! Both sides keep a bounded number of frames. What must not be here: what is in a frame.

use std::collections::VecDeque;

use crate::limits;
use crate::types::Moment;

/// One side's end.
#[derive(Debug)]
pub(super) struct Channel<T> {
    /// Not acknowledged, from `first` on.
    unheard: VecDeque<T>,
    /// The number of the first of these.
    first: u64,
    /// How many of these were sent.
    sent: usize,
    /// When something was last sent for the first time, sent again, or acknowledged.
    moved: Moment,
    /// The number of the next frame of the other side.
    expected: u64,
}

/// What a frame is to its receiver.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Arrival {
    /// The next one.
    Next,
    /// It came before, or one in front of it is missing.
    Useless,
}

impl<T: Clone> Channel<T> {
    pub(super) fn new(now: Moment) -> Self {
        Self { unheard: VecDeque::new(), first: 1, sent: 0, moved: now, expected: 1 }
    }

    /// True when another frame can be given.
    pub(super) fn has_room(&self) -> bool {
        self.unheard.len() < limits::PEER_WINDOW
    }

    /// True when nothing is left to be acknowledged.
    pub(super) fn is_heard(&self) -> bool {
        self.unheard.is_empty()
    }

    /// The frame's number.
    pub(super) fn push(&mut self, frame: T) -> u64 {
        self.unheard.push_back(frame);
        self.first + self.unheard.len() as u64 - 1
    }

    /// The next frame to be sent, for the first time or again.
    pub(super) fn poll(&mut self, now: Moment) -> Option<(u64, T)> {
        if self.is_late(now) {
            self.sent = 0;
        }
        let frame = self.unheard.get(self.sent)?.clone();
        let number = self.first + self.sent as u64;
        if self.sent == 0 || self.is_late(now) {
            self.moved = now;
        }
        self.sent += 1;
        Some((number, frame))
    }

    fn is_late(&self, now: Moment) -> bool {
        self.sent > 0 && self.moved.saturating_add(limits::PEER_RESEND) <= now
    }

    /// When [`poll`](Self::poll) has something; in the past: now.
    pub(super) fn poll_timeout(&self) -> Option<Moment> {
        if self.sent < self.unheard.len() {
            return Some(Moment(0));
        }
        (self.sent > 0).then(|| self.moved.saturating_add(limits::PEER_RESEND))
    }

    /// The other side has all frames up to this one.
    pub(super) fn heard(&mut self, now: Moment, through: u64) {
        let most = self.first + self.sent as u64;
        while self.first <= through && self.first < most && self.unheard.pop_front().is_some() {
            self.first += 1;
            self.sent -= 1;
            self.moved = now;
        }
    }

    /// A frame of the other side with this number; the next one is taken only when there is `room` for it.
    pub(super) fn arrives(&mut self, number: u64, room: bool) -> Arrival {
        if number != self.expected || !room {
            return Arrival::Useless;
        }
        self.expected += 1;
        Arrival::Next
    }

    /// The last frame of the other side that was taken.
    pub(super) const fn through(&self) -> u64 {
        self.expected - 1
    }

    /// The last frame that the other side has.
    pub(super) const fn heard_through(&self) -> u64 {
        self.first - 1
    }
}
