//! What of a session was counted elsewhere: by the plane of the peer, and by planes that the peer had before. A session's counters are the
//! sum of that and of what this device's plane has counted.
//!
//! Few sessions of an active have any; of a standby, all that have seen a packet.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use crate::plane::Slot;
use crate::types::Counters;

#[derive(Clone, Copy, Debug, Default)]
struct Share {
    /// As the peer has told it last.
    peer: Counters,
    /// What this device has taken over from a peer that has it no longer.
    past: Counters,
}

/// By slot, which nobody outside chooses.
#[derive(Debug, Default)]
pub(super) struct Shares(HashMap<Slot, Share, FixedState>);

impl Shares {
    /// Of both devices; `own` is what this device's plane has counted.
    #[inline]
    pub(super) fn sum(&self, slot: Slot, own: Counters) -> Counters {
        // As those of a device alone always are.
        if self.0.is_empty() {
            return own;
        }
        self.0.get(&slot).map_or(own, |share| own.plus(share.past).plus(share.peer))
    }

    /// What this device has to tell its peer.
    pub(super) fn part(&self, slot: Slot, own: Counters) -> Counters {
        self.0.get(&slot).map_or(own, |share| own.plus(share.past))
    }

    /// The peer has counted so much. It never gets less, in whatever order that is told.
    pub(super) fn tell(&mut self, slot: Slot, counters: Counters) {
        if counters != Counters::default() {
            let share = self.0.entry(slot).or_default();
            share.peer = share.peer.most(counters);
        }
    }

    /// The peer begins anew with the session.
    pub(super) fn fold(&mut self, slot: Slot) {
        if let Some(share) = self.0.get_mut(&slot) {
            share.past = share.past.plus(std::mem::take(&mut share.peer));
        }
    }

    /// The session is gone.
    pub(super) fn forget(&mut self, slot: Slot) {
        if !self.0.is_empty() {
            self.0.remove(&slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{DirectionCounters, Moment};

    fn counted(packets: u64, seen: u64) -> Counters {
        let inward = DirectionCounters { packets, bytes: 100 * packets };
        Counters { inward, last_seen: Some(Moment(seen)), ..Counters::default() }
    }

    #[test]
    fn a_session_has_what_both_have_counted_and_what_was_counted_before() {
        let (mut shares, slot) = (Shares::default(), Slot(3));
        assert_eq!(shares.sum(slot, counted(5, 10)), counted(5, 10));
        shares.tell(slot, counted(2, 20));
        shares.tell(slot, counted(1, 15));
        assert_eq!(shares.sum(slot, counted(5, 10)), counted(7, 20), "what comes late takes nothing back");
        assert_eq!(shares.part(slot, counted(5, 10)), counted(5, 10), "the peer knows its own");
        // The peer begins anew, and counts from nothing.
        shares.fold(slot);
        assert_eq!(shares.part(slot, counted(5, 30)), counted(7, 30));
        shares.tell(slot, counted(1, 40));
        assert_eq!(shares.sum(slot, counted(5, 30)), counted(8, 40));
        shares.forget(slot);
        assert_eq!(shares.sum(slot, Counters::default()), Counters::default());
    }

    #[test]
    fn a_moment_before_zero_is_earlier_than_any_other() {
        let (mut shares, slot) = (Shares::default(), Slot(0));
        shares.tell(slot, counted(1, Moment(5).shifted(-100).0));
        assert_eq!(shares.sum(slot, counted(1, 7)).last_seen, Some(Moment(7)));
    }
}
