//! Admission: which sessions are taken in, and when a batch of them is answered.

use std::collections::HashMap;

use super::lifecycle::Session;
use super::{Engine, EngineConfig, Event};
use crate::limits;
use crate::plane::{Capabilities, Command, FastAction, Rule, Slot};
use crate::request::{AddError, Refused, ReplyBody, SameTuple, Ticket};
use crate::state;
use crate::types::{Action, Direction, Lif, Moment, SessionSpec};
use opof_wire::{Transport, Vid};

/// What a session is held against before it gets a slot.
#[derive(Debug)]
pub(super) struct Policy {
    pub(super) capacity: u32,
    tcp_timeout: u32,
    udp_timeout: u32,
    max_timeout: u32,
    lifs: Vec<Lif>,
    vlan_rewrite: bool,
}

impl Policy {
    pub(super) fn new(config: &EngineConfig, capabilities: Capabilities) -> Self {
        let capacity = config.max_sessions.min(capabilities.sessions);
        assert!((1..=limits::SESSIONS).contains(&capacity), "a table holds 1 to 2^26 sessions");
        let seconds = |timeout: core::time::Duration| u32::try_from(timeout.as_secs()).unwrap_or(u32::MAX).max(1);
        Self {
            capacity,
            tcp_timeout: seconds(config.tcp_timeout),
            udp_timeout: seconds(config.udp_timeout),
            max_timeout: seconds(config.max_timeout),
            lifs: config.lifs.clone(),
            vlan_rewrite: capabilities.vlan_rewrite,
        }
    }

    /// What this device can't do, whatever else is in the table.
    fn check(&self, spec: &SessionSpec) -> Result<(), AddError> {
        for (field, lif) in [("inLif", spec.in_lif), ("outLif", spec.out_lif)] {
            if !self.lifs.contains(&lif) {
                return Err(AddError::UnknownLif { field, lif });
            }
        }
        if spec.in_lif == spec.out_lif {
            return Err(AddError::SameLif(spec.out_lif));
        }
        if spec.flow.vlan.is_untagged() != spec.out_vlan.is_untagged() {
            return Err(AddError::VlanOneSided);
        }
        if spec.flow.vlan != spec.out_vlan && !self.vlan_rewrite {
            return Err(AddError::Unsupported { what: "VLAN rewrite", collector: None });
        }
        match spec.action {
            Action::Drop | Action::Forward => Ok(()),
            Action::Mirror { collector } => {
                Err(AddError::Unsupported { what: "action MIRROR", collector: Some(collector) })
            }
            Action::Snoop { collector } => {
                Err(AddError::Unsupported { what: "action SNOOP", collector: Some(collector) })
            }
        }
    }

    /// The timeout in force, and whether it was clamped.
    fn timeout(&self, spec: &SessionSpec) -> (u32, bool) {
        match (spec.timeout_seconds, spec.flow.transport) {
            (0, Transport::Tcp) => (self.tcp_timeout.min(self.max_timeout), false),
            (0, Transport::Udp) => (self.udp_timeout.min(self.max_timeout), false),
            (asked, _) => (asked.min(self.max_timeout), asked > self.max_timeout),
        }
    }
}

/// Adds that wait for the plane.
#[derive(Debug, Default)]
pub(super) struct Batches {
    open: HashMap<u32, Batch>,
    next: u32,
}

#[derive(Debug)]
struct Batch {
    ticket: Ticket,
    waiting: u32,
    refused: Vec<Refused>,
}

/// A session's place in the batch that it came with.
#[derive(Clone, Copy, Debug)]
pub(super) struct BatchPlace {
    batch: u32,
    index: u32,
}

impl Engine {
    pub(super) fn add(&mut self, now: Moment, ticket: Ticket, sessions: &[SessionSpec], same_tuple: SameTuple) {
        debug_assert!(sessions.len() <= limits::ADD_BATCH, "the caller keeps to the batch size");
        let batch = self.batches.next;
        self.batches.next = batch.wrapping_add(1);
        // One more than there are sessions, so that no answer goes out before the last of them was looked at.
        let waiting = u32::try_from(sessions.len()).expect("a batch is at most ADD_BATCH") + 1;
        self.batches.open.insert(batch, Batch { ticket, waiting, refused: Vec::new() });
        for (index, spec) in (0..).zip(sessions) {
            let place = BatchPlace { batch, index };
            if let Err(error) = self.admit(now, place, *spec, same_tuple) {
                self.refuse(place, spec.id, error);
            }
        }
        self.settle_one(batch);
    }

    /// Takes one session in and asks the plane to install it.
    fn admit(
        &mut self,
        now: Moment,
        place: BatchPlace,
        mut spec: SessionSpec,
        same_tuple: SameTuple,
    ) -> Result<(), AddError> {
        if self.table.by_id(spec.id).is_some() {
            return Err(AddError::IdExists(spec.id));
        }
        self.policy.check(&spec)?;
        if self.table.len() >= self.policy.capacity as usize {
            return Err(AddError::TableFull);
        }
        for direction in [Direction::In, Direction::Out] {
            let Some(older) = self.table.by_key(&spec.match_key(direction)) else { continue };
            if same_tuple == SameTuple::Reject {
                let id = self.table.get(older).expect("the index names entries").spec.id;
                return Err(AddError::TupleExists(id));
            }
            self.statistics.superseded += 1;
            self.apply(now, older, state::Event::Supersede);
        }
        let (timeout, clamped) = self.policy.timeout(&spec);
        if clamped {
            self.statistics.clamped += 1;
            self.events.push_back(Event::TimeoutClamped { id: spec.id, asked: spec.timeout_seconds });
        }
        spec.timeout_seconds = timeout;
        let slot = self.table.insert(Session::installing(spec, place));
        self.commands.push_back(Command::Install { slot, rules: rules(&spec) });
        Ok(())
    }

    /// The plane has the session.
    pub(super) fn accept(&mut self, place: BatchPlace) {
        self.statistics.added += 1;
        self.settle_one(place.batch);
    }

    pub(super) fn refuse(&mut self, place: BatchPlace, id: crate::types::SessionId, error: AddError) {
        self.statistics.refused += 1;
        if let Some(batch) = self.batches.open.get_mut(&place.batch) {
            batch.refused.push(Refused { index: place.index, id, error });
        }
        self.settle_one(place.batch);
    }

    /// One session fewer to wait for; the last one sends the answer.
    fn settle_one(&mut self, number: u32) {
        let Some(batch) = self.batches.open.get_mut(&number) else { return };
        batch.waiting -= 1;
        if batch.waiting == 0
            && let Some(Batch { ticket, mut refused, .. }) = self.batches.open.remove(&number)
        {
            refused.sort_unstable_by_key(|refused| refused.index);
            self.reply(ticket, ReplyBody::Added { refused });
        }
    }

    /// The command that takes the slot's session off the plane; its keys are free from here on.
    pub(super) fn remove_from_plane(&mut self, slot: Slot) {
        let Some(session) = self.table.get(slot) else { return };
        let keys = [Direction::In, Direction::Out].map(|direction| session.spec.match_key(direction));
        self.commands.push_back(Command::Remove { slot, keys });
        self.table.release_keys(slot);
    }
}

/// A session as two rules, one for each direction.
fn rules(spec: &SessionSpec) -> [Rule; 2] {
    let rewrite = |to: Vid| (spec.flow.vlan != spec.out_vlan).then_some(to);
    [(Direction::In, spec.out_lif, spec.out_vlan), (Direction::Out, spec.in_lif, spec.flow.vlan)].map(
        |(direction, to, vlan)| {
            let action = match spec.action {
                Action::Drop => FastAction::Drop,
                // The copies of MIRROR and SNOOP are refused by `Policy::check`.
                Action::Forward | Action::Mirror { .. } | Action::Snoop { .. } => {
                    FastAction::Forward { to, rewrite: rewrite(vlan) }
                }
            };
            Rule { key: spec.match_key(direction), action }
        },
    )
}
