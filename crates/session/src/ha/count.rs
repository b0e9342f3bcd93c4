//! Rounds through all sessions, to tell the peer what this device's plane has counted of those that have seen a packet.
//!
//! Slow on purpose: to read a counter costs a line of memory. A newcomer is told as fast as it goes.

use crate::engine::Engine;
use crate::ha::change::Part;
use crate::limits;
use crate::plane::Slot;
use crate::types::Moment;

/// Where such a round is.
#[derive(Debug)]
pub(super) struct Count {
    /// `None` between two rounds.
    next: Option<Slot>,
    /// When this round began, or the last one.
    begun: Moment,
    /// Sessions without a packet since then are passed over.
    since: Moment,
    /// The last slots of a round are being read.
    is_ending: bool,
    due: Moment,
    /// Read, not told.
    parts: Vec<Part>,
    /// Every session is told of, as fast as it goes.
    is_urgent: bool,
}

impl Count {
    pub(super) fn new(now: Moment) -> Self {
        Self {
            next: None,
            begun: Moment(0),
            since: Moment(0),
            is_ending: false,
            due: now,
            parts: Vec::new(),
            is_urgent: false,
        }
    }

    /// Every session from the first on, as fast as it goes; nothing when that is under way.
    pub(super) fn hurry(&mut self, now: Moment) {
        if !self.is_urgent {
            *self = Self { is_urgent: true, begun: now, next: Some(Slot(0)), ..Self::new(now) };
        }
    }

    /// What was read since, and whether that was the end of a round through all.
    pub(super) fn work(&mut self, now: Moment, engine: &mut Engine) -> Option<(Vec<Part>, bool)> {
        self.parts.extend(engine.take_parts());
        if engine.counts_under_way() > 0 {
            return None;
        }
        if !self.parts.is_empty() || self.is_ending {
            let is_last = std::mem::take(&mut self.is_ending) && std::mem::take(&mut self.is_urgent);
            return Some((std::mem::take(&mut self.parts), is_last));
        }
        if self.due > now && !self.is_urgent {
            return None;
        }
        let from = self.next.unwrap_or_else(|| {
            (self.since, self.begun) = (self.begun, now);
            Slot(0)
        });
        self.next = engine.count_from(from, limits::COUNT_STEP, self.since);
        self.is_ending = self.next.is_none();
        let round = self.begun.saturating_add(limits::COUNT_ROUND);
        let pause = now.saturating_add(limits::COUNT_PAUSE);
        self.due = if self.is_ending { round.max(pause) } else { pause };
        None
    }

    /// When there is something to be done; what was asked of the plane comes by itself.
    pub(super) fn poll_timeout(&self, engine: &Engine) -> Option<Moment> {
        if engine.counts_under_way() > 0 {
            return None;
        }
        Some(if self.is_urgent || self.is_ending || !self.parts.is_empty() { Moment(0) } else { self.due })
    }
}
