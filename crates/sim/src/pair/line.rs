//! The line between two devices: it loses, doubles, delays and reorders messages, and can be cut, in either direction.

use std::time::Duration;

use opof_dataplane::Dice;
use opof_session::ha::message::Message;

use super::{Which, nanos};

/// What is on its way, and how the line is.
#[derive(Debug, Default)]
pub(super) struct Line {
    on_its_way: Vec<(u64, Which, Message)>,
    /// Towards each of them.
    pub(super) is_cut: [bool; 2],
    /// In a thousand.
    pub(super) loss: u16,
    pub(super) doubles: u16,
    /// Some milliseconds more than there have to be, at most.
    pub(super) delay: u32,
}

impl Line {
    pub(super) fn heal(&mut self) {
        *self = Self { on_its_way: std::mem::take(&mut self.on_its_way), ..Self::default() };
    }

    pub(super) fn send(&mut self, dice: &mut Dice, now: u64, to: Which, message: &Message) {
        let copies = 1 + usize::from(dice.chance(self.doubles));
        for _ in 0..copies {
            if self.is_cut[to] || dice.chance(self.loss) || self.on_its_way.len() >= crate::limits::MESSAGES {
                continue;
            }
            let late =
                Duration::from_micros(u64::from(50 + dice.below_u32(100) + 1000 * dice.below_u32(self.delay + 1)));
            // As long as nothing delays, they come in the order in which they were sent.
            let at = now + nanos(if self.delay == 0 { Duration::from_micros(100) } else { late });
            self.on_its_way.push((at, to, message.clone()));
        }
    }

    pub(super) fn due(&self) -> Option<u64> {
        self.on_its_way.iter().map(|(at, ..)| *at).min()
    }

    pub(super) fn arrive(&mut self, now: u64) -> Vec<(Which, Message)> {
        let (here, away): (Vec<_>, Vec<_>) = self.on_its_way.drain(..).partition(|(at, ..)| *at <= now);
        self.on_its_way = away;
        here.into_iter().map(|(_, to, message)| (to, message)).collect()
    }
}
