//! Admission: which sessions are taken in, and when a batch of them is answered.

use std::collections::VecDeque;

use super::lifecycle::Session;
use super::note::{self, Fate};
use super::routing::Routing;
use super::{Engine, EngineConfig, Event};
use crate::index::Hashed;
use crate::l3::{Link, LinkFields, Links, Tunnel};
use crate::limits;
use crate::plane::{Capabilities, Command, CopyMoment, FastAction, PacketChange, PacketCopy, Rule, Slot};
use crate::request::{AddError, Refused, ReplyBody, SameTuple, Ticket};
use crate::types::{Action, Direction, Lif, Moment, SessionSpec};
use opof_wire::{Endpoint, Transport, Vid};

/// What a session is held against before it gets a slot.
#[derive(Debug)]
pub(super) struct Policy {
    pub(super) capacity: u32,
    tcp_timeout: u32,
    udp_timeout: u32,
    max_timeout: u32,
    lifs: Vec<Lif>,
    pub(super) can: Capabilities,
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
            can: capabilities,
        }
    }

    /// What this device can't do, whatever else is in the table.
    pub(super) fn check(&self, spec: &SessionSpec, keys: &[Hashed; 2], routing: &Routing) -> Result<(), AddError> {
        for (field, lif) in [("inLif", spec.in_lif), ("outLif", spec.out_lif)] {
            if !self.has_lif(lif) {
                return Err(AddError::UnknownLif { field, lif });
            }
        }
        if keys[0] == keys[1] {
            return Err(AddError::MeetsItself(spec.out_lif));
        }
        if spec.flow.vlan.is_untagged() != spec.out_vlan.is_untagged() {
            return Err(AddError::VlanOneSided);
        }
        if spec.flow.tunnel == Tunnel::Gtpu {
            self.must(self.can.gtpu, "encapType", "GTP-U")?;
        }
        match &spec.action {
            Action::Drop => Ok(()),
            Action::Forward => {
                self.must(self.can.vlan_rewrite || spec.flow.vlan == spec.out_vlan, "outLif", "VLAN rewrite")
            }
            Action::Route(links) => self.check_links(spec, links, routing),
            Action::Mirror { .. } => self.must(self.can.copies, "action.actionType", "MIRROR"),
            Action::Snoop { .. } => self.must(self.can.copies, "action.actionType", "SNOOP"),
        }
    }

    fn check_links(&self, spec: &SessionSpec, links: &Links, routing: &Routing) -> Result<(), AddError> {
        for (fields, link) in links.named() {
            self.must(self.can.next_hops || link.next_hop.is_none(), fields.next_hop, "next hops")?;
            self.must(self.can.nat || link.snat.is_none(), fields.snat, "NAT")?;
            self.must(self.can.nat || link.dnat.is_none(), fields.dnat, "NAT")?;
            self.must(self.can.vlan_rewrite || link.vlan.is_none(), fields.vlan, "VLAN rewrite")?;
            if let Some(id) = link.next_hop
                // The outermost packet of a tunnel is of either family.
                && !routing.has_next_hop(id, (spec.flow.tunnel == Tunnel::None).then(|| spec.family()))
            {
                return Err(AddError::NoNextHop { field: fields.next_hop, id, family: spec.family() });
            }
        }
        check_way_back(spec, links)
    }

    pub(super) fn has_lif(&self, lif: Lif) -> bool {
        self.lifs.contains(&lif)
    }

    #[expect(clippy::unused_self, reason = "reads as what it is: a demand of the policy")]
    const fn must(&self, can: bool, field: &'static str, what: &'static str) -> Result<(), AddError> {
        if can { Ok(()) } else { Err(AddError::Unsupported { field, what }) }
    }

    /// A timeout that was in force, as it is with this engine.
    pub(super) fn clamp(&self, seconds: u32) -> u32 {
        seconds.min(self.max_timeout)
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

/// Adds that wait for the plane, by their numbers, which follow each other.
#[derive(Debug, Default)]
pub(super) struct Batches {
    /// From `first` on; `None` for one that was answered before an older one. The oldest always waits, for as long as the plane
    /// takes for a command: no more come meanwhile than the plane has room for.
    open: VecDeque<Option<Batch>>,
    first: u32,
}

impl Batches {
    /// The number of one more.
    fn push(&mut self, batch: Batch) -> u32 {
        let behind = u32::try_from(self.open.len()).expect("2^32 batches are not answered while one waits");
        self.open.push_back(Some(batch));
        self.first.wrapping_add(behind)
    }

    fn get_mut(&mut self, number: u32) -> Option<&mut Batch> {
        self.open.get_mut(number.wrapping_sub(self.first) as usize)?.as_mut()
    }

    /// Sessions that the plane has not answered for.
    #[cfg(any(test, feature = "audit"))]
    pub(super) fn waiting(&self) -> usize {
        self.open.iter().flatten().map(|batch| batch.waiting as usize).sum()
    }

    /// True when somebody waits for the session that has this place.
    #[cfg(any(test, feature = "audit"))]
    pub(super) fn has(&self, place: BatchPlace) -> bool {
        !place.is_none() && self.open.get(place.batch.wrapping_sub(self.first) as usize).is_some_and(Option::is_some)
    }

    /// Nobody waits any more. Numbers are not used again for it.
    pub(super) fn end_all(&mut self) {
        self.first = self.first.wrapping_add(u32::try_from(self.open.len()).unwrap_or(u32::MAX));
        self.open.clear();
    }

    fn take(&mut self, number: u32) -> Option<Batch> {
        let batch = self.open.get_mut(number.wrapping_sub(self.first) as usize)?.take();
        while let Some(None) = self.open.front() {
            self.open.pop_front();
            self.first = self.first.wrapping_add(1);
        }
        batch
    }
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

impl BatchPlace {
    /// Of one that came with none: it is accepted already.
    pub(super) const NONE: Self = Self { batch: u32::MAX, index: u32::MAX };

    pub(super) const fn is_none(self) -> bool {
        self.index == u32::MAX
    }
}

impl Engine {
    pub(super) fn add(&mut self, now: Moment, ticket: Ticket, sessions: Vec<SessionSpec>, same_tuple: SameTuple) {
        debug_assert!(sessions.len() <= limits::ADD_BATCH, "the caller keeps to the batch size");
        // One more than there are sessions, so that no answer goes out before the last of them was looked at.
        let waiting = u32::try_from(sessions.len()).expect("a batch is at most ADD_BATCH") + 1;
        let batch = self.batches.push(Batch { ticket, waiting, refused: Vec::new() });
        for (index, spec) in (0..).zip(sessions) {
            let place = BatchPlace { batch, index };
            let id = spec.id;
            if let Err(error) = self.admit(now, place, spec, same_tuple) {
                self.refuse(place, id, error);
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
        let keys = self.table.keys_of(&spec);
        self.policy.check(&spec, &keys, &self.routing)?;
        if self.table.taken() >= self.policy.capacity as usize {
            return Err(AddError::TableFull);
        }
        let owners = keys.each_ref().map(|key| self.table.owner(key));
        for older in owners.into_iter().flatten() {
            self.check_tuple(&spec, &keys, older, same_tuple)?;
        }
        let twice = owners[0] == owners[1];
        for older in owners.into_iter().skip(usize::from(twice)).flatten() {
            self.statistics.superseded += 1;
            self.supersede(now, older);
        }
        let (timeout, clamped) = self.policy.timeout(&spec);
        if clamped {
            self.statistics.clamped += 1;
            self.events.push_back(Event::TimeoutClamped { id: spec.id, asked: spec.timeout_seconds });
        }
        spec.timeout_seconds = timeout;
        let rules = rules(&spec, &keys);
        let note = note::write(&spec, now, Fate::Lives);
        let links = if let Action::Route(links) = &spec.action { Some(**links) } else { None };
        let slot = self.table.insert(Session::installing(now, spec, place), &keys);
        if let Some(links) = links {
            self.routing.refer(slot, &links);
        }
        self.commands.push_back(Command::Install { slot, rules, note });
        Ok(())
    }

    /// Whether a key may be taken from the session that has it. A newer session with the same tuple takes its place; one that
    /// NAT has led to the same key by accident does not.
    fn check_tuple(
        &self,
        spec: &SessionSpec,
        keys: &[Hashed; 2],
        slot: Slot,
        same_tuple: SameTuple,
    ) -> Result<(), AddError> {
        let older = &self.table.get(slot).expect("the index names entries").packed;
        let again = older.match_key(Direction::In) == keys[0].key;
        if !again && (spec.is_translated() || older.is_translated()) {
            return Err(AddError::TranslatedTupleExists(older.id()));
        }
        if same_tuple == SameTuple::Reject { Err(AddError::TupleExists(older.id())) } else { Ok(()) }
    }

    /// The plane has the session.
    pub(super) fn accept(&mut self, place: BatchPlace) {
        if place.is_none() {
            self.statistics.adopted += 1;
            return;
        }
        self.statistics.added += 1;
        self.settle_one(place.batch);
    }

    pub(super) fn refuse(&mut self, place: BatchPlace, id: crate::types::SessionId, error: AddError) {
        self.statistics.refused += 1;
        if let Some(batch) = self.batches.get_mut(place.batch) {
            batch.refused.push(Refused { index: place.index, id, error });
        }
        self.settle_one(place.batch);
    }

    /// One session fewer to wait for; the last one sends the answer.
    fn settle_one(&mut self, number: u32) {
        let Some(batch) = self.batches.get_mut(number) else { return };
        batch.waiting -= 1;
        if batch.waiting == 0
            && let Some(Batch { ticket, mut refused, .. }) = self.batches.take(number)
        {
            refused.sort_unstable_by_key(|refused| refused.index);
            self.reply(ticket, ReplyBody::Added { refused });
        }
    }

    /// The command that takes the slot's session off the plane; its keys are free from here on.
    pub(super) fn remove_from_plane(&mut self, slot: Slot) {
        // Those of one that is asked for again are given up already.
        let released = self.table.release_keys(slot);
        let Some(session) = self.table.get(slot) else { return };
        let keys = released
            .unwrap_or_else(|| [Direction::In, Direction::Out].map(|direction| session.packed.match_key(direction)));
        let note = note::write(&session.packed.spec(session.timeout_seconds), session.started, session.fate());
        self.commands.push_back(Command::Remove { slot, keys, note });
    }
}

/// NAT towards `in_lif` is implied by that towards `out_lif`: it may be told, but not otherwise.
pub(super) fn check_way_back(spec: &SessionSpec, links: &Links) -> Result<(), AddError> {
    if spec.flow.tunnel != Tunnel::None {
        return Ok(());
    }
    let Link { snat, dnat, .. } = links.towards_in;
    let (fields, flow) = (LinkFields::TOWARDS_IN, &spec.flow);
    let told = [
        (fields.snat, snat, flow.addresses.destination(), flow.destination_port),
        (fields.dnat, dnat, flow.addresses.source(), flow.source_port),
    ];
    for (field, nat, address, port) in told {
        if nat.is_some_and(|nat| nat.address != address || nat.port.is_some_and(|told| told.get() != port)) {
            return Err(AddError::NatNotBack { field, back: Endpoint { address, port: Some(port) } });
        }
    }
    Ok(())
}

/// A session as two rules, one for each direction.
pub(super) fn rules(spec: &SessionSpec, keys: &[Hashed; 2]) -> [Rule; 2] {
    let (changes, copy) = (changes(spec), copy(spec));
    [(keys[0].key, spec.out_lif, changes[0]), (keys[1].key, spec.in_lif, changes[1])].map(|(key, to, change)| {
        let action = match spec.action {
            Action::Drop => FastAction::Drop,
            _ => FastAction::Forward { to, change, copy },
        };
        Rule { key, action }
    })
}

/// Who gets a copy of the packets of both directions. Their key is the lower half of the session's number: collectors know what it is, and
/// a firewall that wants to be sure keeps its numbers below 2^32.
fn copy(spec: &SessionSpec) -> Option<PacketCopy> {
    let (collector, moment) = match spec.action {
        Action::Mirror { collector } => (collector, CopyMoment::AsItCame),
        Action::Snoop { collector } => (collector, CopyMoment::AsItLeaves),
        Action::Drop | Action::Forward | Action::Route(_) => return None,
    };
    let [.., a, b, c, d] = spec.id.0.to_be_bytes();
    Some(PacketCopy { collector, moment, key: u32::from_be_bytes([a, b, c, d]) })
}

/// What happens to the packets of both directions on their way.
fn changes(spec: &SessionSpec) -> [PacketChange; 2] {
    let Action::Route(links) = &spec.action else {
        let implied = |to: Vid| PacketChange::vlan((spec.flow.vlan != spec.out_vlan).then_some(to));
        return [implied(spec.out_vlan), implied(spec.flow.vlan)];
    };
    let as_told = |link: &Link| PacketChange {
        vlan: link.vlan,
        next_hop: link.next_hop,
        source: link.snat.map(Endpoint::from),
        destination: link.dnat.map(Endpoint::from),
    };
    let (forth, mut back) = (as_told(&links.towards_out), as_told(&links.towards_in));
    if spec.flow.tunnel == Tunnel::None {
        // What was put in the place of an endpoint is replaced by what was there.
        let restore =
            |put: Option<Endpoint>, address, port| put.map(|put| Endpoint { address, port: put.port.map(|_| port) });
        let flow = &spec.flow;
        back.source = restore(forth.destination, flow.addresses.destination(), flow.destination_port);
        back.destination = restore(forth.source, flow.addresses.source(), flow.source_port);
    }
    [forth, back]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_found_by_their_numbers_whatever_the_order_in_which_they_end() {
        let mut batches = Batches { first: u32::MAX - 1, ..Batches::default() };
        let numbers: Vec<u32> = (0..4)
            .map(|ticket| batches.push(Batch { ticket: Ticket(ticket), waiting: 1, refused: Vec::new() }))
            .collect();
        assert_eq!(numbers, [u32::MAX - 1, u32::MAX, 0, 1]);
        let ticket = |batch: Option<Batch>| batch.map(|batch| batch.ticket.0);
        assert_eq!((ticket(batches.take(0)), batches.open.len()), (Some(2), 4));
        assert_eq!((ticket(batches.take(0)), batches.get_mut(1).map(|batch| batch.ticket.0)), (None, Some(3)));
        assert_eq!((ticket(batches.take(u32::MAX - 1)), batches.open.len()), (Some(0), 3));
        assert_eq!((ticket(batches.take(u32::MAX)), batches.open.len()), (Some(1), 1));
        assert_eq!((ticket(batches.take(1)), batches.open.len()), (Some(3), 0));
        assert!(batches.get_mut(1).is_none() && batches.get_mut(2).is_none());
    }
}
