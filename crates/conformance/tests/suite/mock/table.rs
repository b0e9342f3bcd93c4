//! Sessions, tuples, closed sessions, next hops, VLAN flows.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use opof_api::Refusal;
use opof_api::v1::{RequestStatus, SessionCloseCode, SessionResponse, SessionState};
use opof_session::l3::NextHopId;
use opof_session::types::{Action, MatchKey, SessionSpec};
use prost_types::Timestamp;
use tokio::time::Instant;

use super::{CAPACITY, Fault, SameTuple};

/// What a session gets that names no timeout.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(300);
/// The longest.
const MAX_TIMEOUT: Duration = Duration::from_secs(86_400);
/// 2026-05-28T20:26:40Z: when the server started.
const STARTED: i64 = 1_780_000_000;

#[derive(Clone, Debug)]
struct Entry {
    spec: SessionSpec,
    started: Timestamp,
    deadline: Instant,
    superseded: bool,
}

#[derive(Debug)]
pub(super) struct Table {
    fault: Option<Fault>,
    epoch: Instant,
    sessions: BTreeMap<u64, Entry>,
    owners: HashMap<MatchKey, u64>,
    pub(super) closed: VecDeque<SessionResponse>,
    pub(super) hops: BTreeSet<u32>,
    pub(super) flows: BTreeMap<u32, u32>,
    /// Of all streams so far, for a server that mixes them up.
    pub(super) errors: Vec<(u64, Refusal)>,
    pub(super) pages: u64,
    taken: BTreeSet<u64>,
    lost_room: usize,
    dying: Vec<(Instant, u64)>,
}

impl Table {
    pub(super) fn new(fault: Option<Fault>) -> Self {
        Self {
            fault,
            epoch: Instant::now(),
            sessions: BTreeMap::new(),
            owners: HashMap::new(),
            closed: VecDeque::new(),
            hops: BTreeSet::new(),
            flows: BTreeMap::new(),
            errors: Vec::new(),
            pages: 0,
            taken: BTreeSet::new(),
            lost_room: 0,
            dying: Vec::new(),
        }
    }

    fn is(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    pub(super) fn now(&self) -> Timestamp {
        let since = self.epoch.elapsed();
        let seconds = i64::try_from(since.as_secs()).expect("tests are short");
        Timestamp { seconds: STARTED + seconds, nanos: i32::try_from(since.subsec_nanos()).expect("below 10^9") }
    }

    fn keys(&self, spec: &SessionSpec) -> Vec<MatchKey> {
        let mut answer = spec.flow.reversed();
        answer.vlan = spec.out_vlan;
        let mut keys =
            vec![MatchKey { lif: spec.in_lif, flow: spec.flow }, MatchKey { lif: spec.out_lif, flow: answer }];
        if self.is(Fault::TupleOneWay) {
            keys.pop();
        }
        for key in &mut keys {
            if self.is(Fault::TupleWithoutPorts) {
                (key.flow.source_port, key.flow.destination_port) = (0, 0);
            }
        }
        keys
    }

    pub(super) fn add(&mut self, spec: &SessionSpec, same_tuple: SameTuple) -> Result<(), Refusal> {
        let id = spec.id.0;
        if self.taken.contains(&id) {
            return Err(Refusal::AlreadyExists);
        }
        if let Some(first) = self.sessions.get(&id).cloned() {
            if self.is(Fault::SameIdIsAccepted) {
                return Ok(());
            }
            if self.is(Fault::SameIdReplaces) {
                self.release(&first.spec);
                self.insert(spec);
            }
            return Err(Refusal::AlreadyExists);
        }
        if self.sessions.len() + self.lost_room >= CAPACITY {
            if !self.is(Fault::FullEvicts) {
                return Err(if self.is(Fault::FullIsRejected) { Refusal::Rejected } else { Refusal::TableFull });
            }
            self.remove_first();
        }
        let same: BTreeSet<u64> = self.keys(spec).iter().filter_map(|key| self.owners.get(key).copied()).collect();
        let rejects = match same_tuple {
            SameTuple::Reject => !self.is(Fault::SupersedesAnyway),
            SameTuple::Supersede => self.is(Fault::RejectsAnyway),
        };
        if rejects && !same.is_empty() {
            return Err(Refusal::AlreadyExists);
        }
        for older in same {
            if let Some(entry) = self.sessions.get_mut(&older) {
                entry.superseded = true;
                let spec = entry.spec.clone();
                self.release(&spec);
            }
            if self.is(Fault::SupersededVanishes) {
                self.sessions.remove(&older);
            }
        }
        self.insert(spec);
        Ok(())
    }

    fn insert(&mut self, spec: &SessionSpec) {
        let asked = Duration::from_secs(spec.timeout_seconds.into());
        let timeout = match spec.timeout_seconds {
            0 if self.is(Fault::ZeroIsAtOnce) => Duration::ZERO,
            0 => DEFAULT_TIMEOUT,
            _ if self.is(Fault::ClosesEarly) => asked / 2,
            _ if self.is(Fault::ClosesLate) => asked + Duration::from_secs(3),
            _ => asked.min(MAX_TIMEOUT),
        };
        let (deadline, id) = (Instant::now() + timeout, spec.id.0);
        for key in self.keys(spec) {
            self.owners.insert(key, id);
        }
        let entry = Entry { spec: spec.clone(), started: self.now(), deadline, superseded: false };
        self.sessions.insert(id, entry);
    }

    fn release(&mut self, spec: &SessionSpec) {
        for key in self.keys(spec) {
            if self.owners.get(&key) == Some(&spec.id.0) {
                self.owners.remove(&key);
            }
        }
    }

    fn remove_first(&mut self) {
        if let Some((_, entry)) = self.sessions.pop_first() {
            self.release(&entry.spec);
        }
    }

    fn response(&self, entry: &Entry) -> SessionResponse {
        let mut response = SessionResponse {
            session_id: entry.spec.id.0,
            start_time: Some(if self.is(Fault::StartMoves) { self.now() } else { entry.started }),
            request_status: RequestStatus::Accepted.into(),
            ..SessionResponse::default()
        };
        response.set_session_state(SessionState::Established);
        match self.fault {
            Some(Fault::StateIsUnknown) => response.set_session_state(SessionState::UnknownState),
            Some(Fault::LiveHasAnEnd) => response.end_time = Some(self.now()),
            Some(Fault::CountersAreInvented) => response.in_bytes = 60,
            _ => {}
        }
        response
    }

    fn ended(&self, entry: &Entry, code: SessionCloseCode) -> SessionResponse {
        let mut response = self.response(entry);
        response.set_session_state(SessionState::Closed);
        response.set_session_close_code(code);
        response.end_time = Some(self.now());
        if self.is(Fault::EndBeforeStart) {
            std::mem::swap(&mut response.start_time, &mut response.end_time);
        }
        response
    }

    pub(super) fn get(&self, id: u64) -> Option<SessionResponse> {
        self.sessions.get(&id).map(|entry| self.response(entry))
    }

    /// Every session, by id.
    pub(super) fn all(&self) -> Vec<SessionResponse> {
        let mut all: Vec<_> = self.sessions.values().map(|entry| self.response(entry)).collect();
        if self.is(Fault::ClosedIsListed) {
            all.extend(self.closed.iter().copied());
            all.sort_by_key(|row| row.session_id);
        }
        if self.is(Fault::RowsAreBare) {
            for row in &mut all {
                row.start_time = None;
            }
        }
        all
    }

    pub(super) fn delete(&mut self, id: u64, reported: bool) -> Option<SessionResponse> {
        let entry = self.sessions.get(&id)?.clone();
        let response = self.ended(&entry, SessionCloseCode::NotClosed);
        if self.is(Fault::DeleteIsLate) {
            self.dying.push((Instant::now() + Duration::from_millis(500), id));
            return Some(response);
        }
        if !self.is(Fault::DeletesTwice) {
            self.sessions.remove(&id);
        }
        let twins = self.is(Fault::DeleteTakesTheOlder).then(|| {
            let same = |other: &&Entry| other.superseded && other.spec.flow == entry.spec.flow;
            self.sessions.values().filter(same).map(|other| other.spec.id.0).collect::<Vec<_>>()
        });
        for twin in twins.into_iter().flatten() {
            self.sessions.remove(&twin);
        }
        if self.is(Fault::DeleteTakesTheNext)
            && let Some(next) = self.sessions.range(id..).next().map(|(next, _)| *next)
        {
            self.sessions.remove(&next);
        }
        if self.is(Fault::DeletedIdStaysTaken) {
            self.taken.insert(id);
        }
        if self.is(Fault::RoomIsLost) {
            self.lost_room += 1;
        }
        if !self.is(Fault::DeletedKeepsItsTuple) {
            self.release(&entry.spec);
        }
        if reported {
            self.closed.push_back(response);
        }
        Some(response)
    }

    /// Takes back what a stream has brought.
    pub(super) fn forget(&mut self, ids: &[u64]) {
        for id in ids {
            if let Some(entry) = self.sessions.remove(id) {
                self.release(&entry.spec);
            }
        }
    }

    fn close(&mut self, id: u64, code: SessionCloseCode) {
        let Some(entry) = self.sessions.remove(&id) else { return };
        self.release(&entry.spec);
        if self.is(Fault::ClosedIdStaysTaken) {
            self.taken.insert(id);
        }
        let record = self.ended(&entry, code);
        if self.is(Fault::ClosedComesTwice) {
            self.closed.push_back(record);
        }
        self.closed.push_back(record);
    }

    pub(super) fn tick(&mut self) {
        let now = Instant::now();
        for (_, id) in self.dying.extract_if(.., |(when, _)| *when <= now).collect::<Vec<_>>() {
            self.forget(&[id]);
        }
        if self.is(Fault::NeverCloses) {
            return;
        }
        let stays = self.is(Fault::SupersededStays);
        let is_due = |entry: &&Entry| entry.deadline <= now && !(stays && entry.superseded);
        let mut due: Vec<_> =
            self.sessions.values().filter(is_due).map(|entry| (entry.deadline, entry.spec.id.0)).collect();
        due.sort_unstable();
        let code = if self.is(Fault::TimeoutIsFinAck) { SessionCloseCode::Finack } else { SessionCloseCode::Timeout };
        for (_, id) in due {
            self.close(id, code);
        }
    }

    /// Closes every session, and says so.
    pub(super) fn reset(&mut self) {
        let mut ids: Vec<u64> = self.sessions.keys().copied().collect();
        if self.is(Fault::ResetKeepsOne) {
            ids.pop();
        }
        for id in ids {
            self.close(id, SessionCloseCode::UnknownCloseCode);
        }
        if self.is(Fault::ResetIsSilent) {
            self.closed.clear();
        }
    }

    /// Closes the sessions that go through one of these next hops.
    pub(super) fn close_through(&mut self, hops: &BTreeSet<u32>) {
        if self.is(Fault::DestroyKeepsSessions) {
            return;
        }
        let all = self.is(Fault::DestroyClosesAll);
        let through = |entry: &&Entry| all || next_hops(&entry.spec).iter().any(|hop| hops.contains(hop));
        let ids: Vec<u64> = self.sessions.values().filter(through).map(|entry| entry.spec.id.0).collect();
        for id in ids {
            self.close(id, SessionCloseCode::UnknownCloseCode);
        }
    }
}

/// The next hops that a session names.
pub(super) fn next_hops(spec: &SessionSpec) -> Vec<u32> {
    match &spec.action {
        Action::Route(links) => {
            [links.towards_in.next_hop, links.towards_out.next_hop].into_iter().flatten().map(NextHopId::get).collect()
        }
        _ => Vec::new(),
    }
}
