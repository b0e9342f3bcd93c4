//! What a process before this one has left: read from the table, as the engine knows it.
//!
//! What must not be here: whether it can be gone on with (the maps' description says so), and what becomes of it.

use std::io;

use opof_session::plane::{FastAction, Found, Note, PacketChange, PacketCopy, Rule, Slot};
use opof_session::types::Counters;

use super::XdpPlane;
use crate::abi::{Copied, Edit, Edits};
use crate::table::{Kept, NewFlow};
use crate::visit::{self, Wait};

impl XdpPlane {
    /// All sessions that it finds; what makes no sense is taken out.
    pub(super) fn found_sessions(&mut self, each: &mut dyn FnMut(&Found)) {
        // Those that an earlier process removed count no more when all programs of its time have ended.
        if let Err(error) = wait_for_programs() {
            tracing::error!(%error, "could not wait for packets that are under way");
        }
        let mut lost = Vec::new();
        for slot in (0..self.device.sessions).map(Slot) {
            let Some(kept) = self.table.kept(slot) else { continue };
            match self.rules(slot, &kept) {
                Some(rules) => {
                    let Kept { note, forwarded, .. } = kept;
                    each(&Found { slot, rules, note, counters: self.table.read(slot), forwarded });
                }
                None => lost.push(slot),
            }
        }
        if !lost.is_empty() {
            tracing::error!(
                sessions = lost.len(),
                "what an earlier process left of these sessions makes no sense: taken out"
            );
            self.take_out(&lost);
        }
    }

    /// Nothing of these is left, and no packet is forwarded for them any more.
    pub(super) fn take_out(&mut self, slots: &[Slot]) {
        for slot in slots {
            self.table.forget(*slot);
            if let Some(Some(collector)) = self.edited.remove(slot)
                && let Some(collectors) = &mut self.collectors
            {
                collectors.release(collector);
            }
        }
        // Without their notes their entries go as well.
        self.table.mend();
        if let Err(error) = wait_for_programs() {
            // A slot that is used again at once could be counted into by packets of before.
            tracing::error!(%error, "could not wait for packets that are under way");
        }
        let slots: Vec<u32> = slots.iter().map(|slot| slot.0).collect();
        self.table.forget_edits(&slots);
    }

    /// The sessions of a table that nobody goes on with, once.
    pub(super) fn departed_sessions(&mut self, each: &mut dyn FnMut(&Note, Counters)) {
        let Some(table) = self.departed.take() else { return };
        // The programs that count in it have been replaced; those that still run have to end.
        if let Err(error) = wait_for_programs() {
            tracing::error!(%error, "could not wait for packets that are under way");
        }
        for slot in (0..table.sessions()).map(Slot) {
            if let Some(Kept { note, .. }) = table.kept(slot) {
                each(&note, table.read(slot));
            }
        }
    }

    /// What was installed in a slot; `None` when that can't have been.
    fn rules(&mut self, slot: Slot, kept: &Kept) -> Option<[Rule; 2]> {
        let edits = kept.directions.iter().any(|(_, forward)| forward.is_some_and(|forward| forward.edits));
        let edits = if edits { Some(self.table.edits.get(&slot.0).ok()?) } else { None };
        let collector = edits.and_then(|edits| edits.edit(false)?.copy).map(|copy| copy.collector);
        if edits.is_some() {
            let adopted = collector.is_none_or(|index| self.collectors.as_mut().is_some_and(|all| all.adopt(index)));
            if !adopted {
                return None;
            }
            self.edited.insert(slot, collector);
        }
        let [inward, outward] = kept.directions;
        Some([self.rule(&inward, false, edits)?, self.rule(&outward, true, edits)?])
    }

    fn rule(&self, (key, forward): &NewFlow, is_outward: bool, edits: Option<Edits>) -> Option<Rule> {
        let key = key.to_match_key(self.lif_at(key.position())?)?;
        let Some(forward) = forward else { return Some(Rule { key, action: FastAction::Drop }) };
        let Edit { change, copy } = match edits {
            Some(edits) => edits.edit(is_outward)?,
            None => Edit::default(),
        };
        let copy = match copy {
            Some(Copied { collector, moment, key, .. }) => {
                let collector = self.collectors.as_ref()?.address(collector)?;
                Some(PacketCopy { collector, moment, key })
            }
            None => None,
        };
        let change = PacketChange { vlan: forward.vlan, ..change };
        Some(Rule { key, action: FastAction::Forward { to: self.lif_at(forward.lif)?, change, copy } })
    }
}

/// From now on no program holds what it could find before.
fn wait_for_programs() -> io::Result<()> {
    Wait::new()?.wait(visit::here())
}
