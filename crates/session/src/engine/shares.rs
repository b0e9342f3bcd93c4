//! What of a session was counted elsewhere: by the plane of the peer, and by planes that the peer had before. A session's counters are the
//! sum of that and of what this device's plane has counted.
//!
//! Few sessions of an active have any; of a standby, all that have seen a packet.

use std::collections::HashMap;

use crate::plane::Slot;
use crate::types::Counters;

#[derive(Clone, Copy, Debug, Default)]
struct Share {
    /// As the peer has told it last.
    peer: Counters,
    /// What this device has taken over from a peer that has it no longer.
    past: Counters,
}

/// By slot.
#[derive(Debug, Default)]
pub(super) struct Shares(HashMap<Slot, Share>);

impl Shares {
    /// Of both devices; `own` is what this device's plane has counted.
    pub(super) fn sum(&self, slot: Slot, own: Counters) -> Counters {
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
