//! A plane for tests: a map of keys, answers held back until asked for, faults on demand.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use core::num::NonZeroU32;
use core::time::Duration;

use opof_wire::ethernet::MacAddress;
use opof_wire::{Addresses, FlowKey, Transport, Vid};

use crate::engine::{Engine, EngineConfig, Event, Input, Unadoptable};
use crate::l3::{Family, Link, Links, NextHop, NextHopId, Tunnel, VlanFlow};
use crate::plane::{
    Capabilities, Command, Completion, Found, InstallError, Note, RemoveError, Route, RouteError, Rule, Slot,
};
use crate::request::{Reply, ReplyBody, Request, RequestBody, SameTuple, Ticket};
use crate::types::{Action, ClosedRecord, Counters, Direction, Lif, MatchKey, Moment, SessionId, SessionSpec};

pub(super) const SECOND: u64 = 1_000_000_000;

pub(crate) fn config() -> EngineConfig {
    EngineConfig {
        max_sessions: 8,
        max_next_hops: 1 << 12,
        max_closed: 4,
        stores_closed: false,
        tcp_timeout: Duration::from_secs(100),
        udp_timeout: Duration::from_secs(30),
        max_timeout: Duration::from_secs(1000),
        lifs: [1, 2, 3].map(|id| Lif::new(id).unwrap()).to_vec(),
        hash_seed: 7,
    }
}

/// A UDP session from port `port` with 10 s of idle time.
pub(in crate::engine) fn spec(id: u64, port: u16) -> SessionSpec {
    let addresses = Addresses::V4 { source: [10, 0, 0, 1], destination: [10, 1, 0, 3] };
    let (source_port, destination_port, transport) = (port, 53, Transport::Udp);
    SessionSpec {
        id: SessionId(id),
        in_lif: Lif::new(1).unwrap(),
        out_lif: Lif::new(2).unwrap(),
        flow: FlowKey {
            vlan: Vid::UNTAGGED,
            tunnel: Tunnel::None,
            addresses,
            source_port,
            destination_port,
            transport,
        },
        out_vlan: Vid::UNTAGGED,
        action: Action::Forward,
        timeout_seconds: 10,
    }
}

/// The same, out by the interface that it came in on.
pub(super) fn one_armed(id: u64, port: u16) -> SessionSpec {
    let spec = spec(id, port);
    SessionSpec { out_lif: spec.in_lif, ..spec }
}

/// One-armed, with a tuple that is its own mirror image.
pub(super) fn meets_itself(id: u64) -> SessionSpec {
    let mut spec = one_armed(id, 53);
    spec.flow.addresses = Addresses::V4 { source: [10, 0, 0, 1], destination: [10, 0, 0, 1] };
    spec
}

/// A next hop for IPv4.
pub(super) fn next_hop(id: u32) -> NextHop {
    let (source, destination) = (MacAddress([2, 0, 0, 0, 0, 1]), MacAddress([2, 0, 0, 0, 0, 2]));
    NextHop { id: NextHopId::new(id).unwrap(), family: Family::V4, source, destination }
}

/// Forward, and send what leaves by `out_lif` to that next hop.
pub(super) fn routed_by(id: u32) -> Action {
    let towards_out = Link { next_hop: NextHopId::new(id), ..Link::default() };
    Action::Route(Box::new(Links { towards_out, ..Links::default() }))
}

/// What is wrong with the store of closed records.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum StoreFault {
    None,
    /// Its disk is slow.
    StoresNothing,
    /// It stores, and its answers are late.
    SaysNothing,
}

/// Engine, plane and time in one, driven as a daemon would.
pub(super) struct World {
    pub(super) engine: Engine,
    capabilities: Capabilities,
    pub(super) now: Moment,
    pub(super) table: HashMap<MatchKey, Slot>,
    pub(super) counters: HashMap<Slot, Counters>,
    /// With each slot, until it is forgotten.
    pub(super) kept: HashMap<Slot, (Note, [Rule; 2])>,
    /// Answers are held back while this is set.
    pub(super) hold: bool,
    pub(super) install_faults: VecDeque<InstallError>,
    pub(super) remove_faults: usize,
    pub(super) route_faults: VecDeque<RouteError>,
    /// What was installed last.
    pub(super) rules: Option<[Rule; 2]>,
    pub(super) next_hops: HashMap<NextHopId, NextHop>,
    pub(super) vlan_flows: HashMap<Vid, Lif>,
    pub(super) replies: Vec<Reply>,
    pub(super) events: Vec<Event>,
    /// Slots whose removal failed.
    stuck: HashSet<Slot>,
    held: VecDeque<Completion>,
    /// Closed records that are stored, when the engine says them.
    pub(super) store: BTreeMap<u64, ClosedRecord>,
    /// Told, and not yet stored.
    unstored: Vec<ClosedRecord>,
    pub(super) store_fault: StoreFault,
    last_stored: u64,
    /// The last record of which the engine knows that it is stored.
    last_said: u64,
    tickets: u64,
}

impl World {
    pub(super) fn new(config: &EngineConfig) -> Self {
        let forwarding = Capabilities::forwarding(1 << 20);
        let capabilities =
            Capabilities { vlan_rewrite: true, next_hops: true, nat: true, vlan_flows: true, ..forwarding };
        Self::over(config, capabilities)
    }

    pub(super) fn over(config: &EngineConfig, capabilities: Capabilities) -> Self {
        Self {
            engine: Engine::new(config, capabilities),
            capabilities,
            now: Moment(1000 * SECOND),
            table: HashMap::new(),
            counters: HashMap::new(),
            kept: HashMap::new(),
            hold: false,
            install_faults: VecDeque::new(),
            remove_faults: 0,
            route_faults: VecDeque::new(),
            rules: None,
            next_hops: HashMap::new(),
            vlan_flows: HashMap::new(),
            replies: Vec::new(),
            events: Vec::new(),
            stuck: HashSet::new(),
            held: VecDeque::new(),
            store: BTreeMap::new(),
            unstored: Vec::new(),
            store_fault: StoreFault::None,
            last_stored: 0,
            last_said: 0,
            tickets: 0,
        }
    }

    pub(super) fn send(&mut self, body: RequestBody) -> Ticket {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.engine.handle(self.now, Input::Request(Request { ticket, body }));
        self.run();
        ticket
    }

    /// The request's answer, which must be there already.
    pub(super) fn ask(&mut self, body: RequestBody) -> ReplyBody {
        let ticket = self.send(body);
        self.reply(ticket).expect("an answer")
    }

    pub(super) fn reply(&mut self, ticket: Ticket) -> Option<ReplyBody> {
        let at = self.replies.iter().position(|reply| reply.ticket == ticket)?;
        Some(self.replies.remove(at).body)
    }

    pub(super) fn add(&mut self, sessions: &[SessionSpec]) -> Vec<crate::request::Refused> {
        let body = RequestBody::Add { sessions: sessions.to_vec(), same_tuple: SameTuple::Supersede };
        match self.ask(body) {
            ReplyBody::Added { refused } => refused,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn get(&mut self, id: u64) -> Option<crate::request::SessionView> {
        match self.ask(RequestBody::Get(SessionId(id))) {
            ReplyBody::Got(view) => view,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn delete(&mut self, id: u64) -> Option<crate::request::SessionView> {
        match self.ask(RequestBody::Delete { id: SessionId(id), record: false }) {
            ReplyBody::Deleted(view) => view,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn list(&mut self, from: u64, skip: u32, rows: u32) -> (Vec<u64>, Option<u64>) {
        let rows = NonZeroU32::new(rows).unwrap();
        match self.ask(RequestBody::List { from: SessionId(from), skip, rows }) {
            ReplyBody::Listed { sessions, next } => {
                (sessions.iter().map(|view| view.spec.id.0).collect(), next.map(|id| id.0))
            }
            other => panic!("{other:?}"),
        }
    }

    /// Closed records, taken for good.
    pub(super) fn collect(&mut self) -> Vec<ClosedRecord> {
        match self.ask(RequestBody::Collect { records: NonZeroU32::new(1000).unwrap() }) {
            ReplyBody::Collected { loan, records } => {
                if let Some(loan) = loan {
                    let delivered = u32::try_from(records.len()).unwrap();
                    self.send(RequestBody::Settle { loan, delivered });
                }
                records
            }
            other => panic!("{other:?}"),
        }
    }

    /// A packet of the session's direction; true when it hits.
    pub(super) fn packet(&mut self, spec: &SessionSpec, direction: Direction, bytes: u64) -> bool {
        let Some(slot) = self.table.get(&spec.match_key(direction)) else { return false };
        let counters = self.counters.get_mut(slot).expect("an installed slot counts");
        let side = if direction == Direction::In { &mut counters.inward } else { &mut counters.outward };
        side.packets += 1;
        side.bytes += bytes;
        counters.last_seen = Some(self.now);
        true
    }

    /// Lets time pass, with a tick whenever the engine asks for one.
    pub(super) fn advance(&mut self, nanoseconds: u64) {
        let end = Moment(self.now.0 + nanoseconds);
        while let Some(due) = self.engine.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.engine.handle(self.now, Input::Tick);
            self.run();
        }
        self.now = end;
    }

    /// Gives the held answers to the engine.
    pub(super) fn release(&mut self) {
        self.hold = false;
        self.run();
    }

    /// Gives so many of the held answers to the engine.
    pub(super) fn release_some(&mut self, count: usize) {
        for _ in 0..count {
            let completion = self.held.pop_front().expect("an answer that is held");
            self.engine.handle(self.now, Input::Completion(completion));
            self.run();
        }
    }

    fn run(&mut self) {
        loop {
            while let Some(command) = self.engine.poll_command() {
                let completion = self.execute(&command);
                self.held.push_back(completion);
            }
            self.replies.extend(std::iter::from_fn(|| self.engine.poll_reply()));
            self.events.extend(std::iter::from_fn(|| self.engine.poll_event()));
            if self.store_records() {
                continue;
            }
            if self.hold {
                return;
            }
            let Some(completion) = self.held.pop_front() else { return };
            self.engine.handle(self.now, Input::Completion(completion));
        }
    }

    /// True when there was something to be stored, and was.
    fn store_records(&mut self) -> bool {
        self.unstored.extend(std::iter::from_fn(|| self.engine.poll_unstored()));
        for ended in std::iter::from_fn(|| self.engine.poll_ended()) {
            assert!(self.store.remove(&ended).is_some(), "what has ended was stored");
        }
        if self.store_fault != StoreFault::StoresNothing {
            for record in self.unstored.drain(..) {
                self.last_stored = record.sequence;
                assert!(self.store.insert(record.sequence, record).is_none(), "a sequence is given once");
            }
        }
        if self.store_fault != StoreFault::None || self.last_said == self.last_stored {
            return false;
        }
        self.last_said = self.last_stored;
        self.engine.handle(self.now, Input::Stored { through: self.last_stored });
        true
    }

    pub(super) fn release_store(&mut self) {
        self.store_fault = StoreFault::None;
        self.run();
    }

    fn execute(&mut self, command: &Command) -> Completion {
        match *command {
            Command::Install { slot, rules, note } => {
                assert!(!self.counters.contains_key(&slot), "a slot is free when it is installed");
                if let Some(error) = self.install_faults.pop_front() {
                    return Completion::Installed { slot, result: Err(error) };
                }
                for rule in rules {
                    let taken = self.table.insert(rule.key, slot);
                    assert!(taken.is_none_or(|old| self.stuck.contains(&old)), "a key is free when it is installed");
                }
                self.counters.insert(slot, Counters::default());
                self.kept.insert(slot, (note, rules));
                self.rules = Some(rules);
                Completion::Installed { slot, result: Ok(()) }
            }
            Command::Remove { slot, keys, note } => {
                if let Some((kept, _)) = self.kept.get_mut(&slot) {
                    *kept = note;
                }
                if self.remove_faults > 0 {
                    self.remove_faults -= 1;
                    self.stuck.insert(slot);
                    return Completion::Removed { slot, result: Err(RemoveError::Unavailable) };
                }
                self.stuck.remove(&slot);
                for key in keys {
                    if self.table.get(&key) == Some(&slot) {
                        self.table.remove(&key);
                    }
                }
                Completion::Removed { slot, result: Ok(self.counters.get(&slot).copied().unwrap_or_default()) }
            }
            Command::Forget { slot } => {
                let removed =
                    self.kept.remove(&slot).is_some_and(|(_, rules)| !self.leads_to(slot, &rules).contains(&true));
                assert!(removed, "what is forgotten was kept, and is removed");
                self.counters.remove(&slot);
                Completion::Forgotten { slot }
            }
            Command::Read { slot, token } => Completion::Read { slot, token, counters: self.counters[&slot] },
            Command::Route { route, token } => {
                let result = self.route_faults.pop_front().map_or(Ok(()), Err);
                if result.is_ok() {
                    self.route(route);
                }
                Completion::Routed { token, result }
            }
        }
    }

    /// Which of the rules' keys are the slot's.
    fn leads_to(&self, slot: Slot, rules: &[Rule; 2]) -> [bool; 2] {
        rules.map(|rule| self.table.get(&rule.key) == Some(&slot))
    }

    /// Everything as the plane has it.
    pub(super) fn found(&self) -> Vec<Found> {
        let found = self.kept.iter().map(|(slot, (note, rules))| Found {
            slot: *slot,
            rules: *rules,
            note: *note,
            counters: self.counters[slot],
            forwarded: self.leads_to(*slot, rules),
        });
        let mut found: Vec<_> = found.collect();
        found.sort_unstable_by_key(|found| found.slot);
        found
    }

    /// The engine is gone, with everything that it has not said and every answer that it was not given. Another one goes on with
    /// what the plane has.
    pub(super) fn restart(&mut self, config: &EngineConfig) -> Vec<(Slot, Unadoptable)> {
        self.held.clear();
        self.stuck.clear();
        self.unstored.clear();
        self.last_said = self.last_stored;
        self.engine = Engine::new(config, self.capabilities);
        if config.stores_closed {
            self.engine.restore_closed(self.store.values().copied(), self.last_stored);
        }
        let vlan_flows = self.vlan_flows.iter().map(|(vlan, lif)| VlanFlow { vlan: *vlan, lif: *lif });
        self.engine.adopt_routes(self.next_hops.values().copied(), vlan_flows);
        let left = self.adopt(&self.found());
        self.run();
        left
    }

    /// What the engine can't go on with.
    pub(super) fn adopt(&mut self, found: &[Found]) -> Vec<(Slot, Unadoptable)> {
        let left = found.iter().filter_map(|found| Some((found.slot, self.engine.adopt(self.now, found).err()?)));
        let left = left.collect();
        self.engine.end_adoption();
        left
    }

    fn route(&mut self, route: Route) {
        match route {
            Route::SetNextHop(hop) => drop(self.next_hops.insert(hop.id, hop)),
            Route::RemoveNextHop(id) => drop(self.next_hops.remove(&id)),
            Route::SetVlanFlow(flow) => drop(self.vlan_flows.insert(flow.vlan, flow.lif)),
            Route::RemoveVlanFlow(vlan) => drop(self.vlan_flows.remove(&vlan)),
            Route::ClearVlanFlows => self.vlan_flows.clear(),
        }
    }
}
