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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LATER: u64 = 1_000_000_000;

    #[test]
    fn what_is_not_heard_of_is_sent_again_from_the_first_one_on() {
        let mut channel = Channel::new(Moment(0));
        assert_eq!([channel.push('a'), channel.push('b'), channel.push('c')], [1, 2, 3]);
        assert_eq!(channel.poll_timeout(), Some(Moment(0)));
        let sent: Vec<_> = std::iter::from_fn(|| channel.poll(Moment(5))).collect();
        assert_eq!(sent, [(1, 'a'), (2, 'b'), (3, 'c')]);
        channel.heard(Moment(6), 1);
        assert_eq!(channel.poll(Moment(7)), None);
        assert_eq!(channel.poll_timeout(), Some(Moment(6).saturating_add(limits::PEER_RESEND)));
        assert_eq!(channel.poll(Moment(LATER)), Some((2, 'b')));
        assert_eq!(channel.poll(Moment(LATER)), Some((3, 'c')));
        // Both copies of both are heard of.
        channel.heard(Moment(LATER), 3);
        channel.heard(Moment(LATER), 2);
        assert!(channel.is_heard() && channel.poll(Moment(2 * LATER)).is_none() && channel.poll_timeout().is_none());
        assert_eq!((channel.heard_through(), channel.push('d')), (3, 4));
    }

    #[test]
    fn what_was_never_sent_is_not_heard_of() {
        let mut channel = Channel::new(Moment(0));
        channel.push('a');
        channel.push('b');
        channel.poll(Moment(1));
        channel.heard(Moment(1), 9);
        assert_eq!(channel.poll(Moment(2)), Some((2, 'b')));
    }

    #[test]
    fn there_is_room_for_a_window() {
        let mut channel = Channel::new(Moment(0));
        while channel.has_room() {
            channel.push(());
        }
        assert_eq!(channel.unheard.len(), limits::PEER_WINDOW);
    }

    #[test]
    fn a_frame_is_taken_in_its_turn_once_and_where_there_is_room() {
        let mut channel = Channel::<()>::new(Moment(0));
        assert_eq!(channel.arrives(2, true), Arrival::Useless);
        assert_eq!(channel.arrives(1, false), Arrival::Useless);
        assert_eq!(channel.arrives(1, true), Arrival::Next);
        assert_eq!((channel.arrives(1, true), channel.through()), (Arrival::Useless, 1));
    }

    proptest! {
        /// Whatever a line does to them, all frames arrive once and in order, if it lets something through now and then.
        #[test]
        fn frames_come_in_order_and_once(fates in prop::collection::vec((0..4_u8, any::<bool>()), 1..300)) {
            let (mut here, mut there) = (Channel::new(Moment(0)), Channel::<u64>::new(Moment(0)));
            let (mut given, mut taken, mut now) = (0_u64, Vec::new(), 0);
            let mut on_its_way: Vec<(u64, u64)> = Vec::new();
            for (fate, is_heard) in fates {
                now += 60_000_000;
                if here.has_room() {
                    given += 1;
                    here.push(given);
                }
                let sent = here.poll(Moment(now));
                match fate {
                    // Lost, late, doubled, or as it should be.
                    0 => {}
                    1 => on_its_way.extend(sent.map(|frame| (frame.0, frame.1))),
                    2 => on_its_way.extend(sent.into_iter().flat_map(|frame| [frame, frame])),
                    _ => {
                        on_its_way.extend(sent);
                        for (number, frame) in on_its_way.drain(..).rev() {
                            if there.arrives(number, true) == Arrival::Next {
                                taken.push(frame);
                            }
                        }
                    }
                }
                if is_heard {
                    here.heard(Moment(now), there.through());
                }
            }
            for _ in 0..4 * given {
                now += 60_000_000;
                while let Some((number, frame)) = here.poll(Moment(now)) {
                    if there.arrives(number, true) == Arrival::Next {
                        taken.push(frame);
                    }
                }
                here.heard(Moment(now), there.through());
            }
            prop_assert_eq!(taken, (1..=given).collect::<Vec<_>>());
            prop_assert!(here.is_heard());
        }
    }
}
