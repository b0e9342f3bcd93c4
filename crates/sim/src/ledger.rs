//! The model: of each number that firewalls have given, how many sessions were asked for, promised, ended, and what their packets were.
//!
//! It knows what was asked and answered, what was sent, and what is on the disk. What must not be here: how any of it comes about.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use opof_session::plane::Found;
use opof_session::request::SessionView;
use opof_session::types::{CloseReason, ClosedRecord, Counters, Direction, Moment, SessionId, SessionSpec};

use crate::traffic::timeout;

/// Packets and bytes, of both directions.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    packets: [u64; 2],
    bytes: [u64; 2],
}

impl Tally {
    fn add(&mut self, counters: &Counters) {
        for (at, one_way) in [counters.inward, counters.outward].into_iter().enumerate() {
            self.packets[at] += one_way.packets;
            self.bytes[at] += one_way.bytes;
        }
    }

    fn is_within(&self, other: &Self) -> bool {
        let pairs = self.packets.iter().chain(&self.bytes).zip(other.packets.iter().chain(&other.bytes));
        pairs.into_iter().all(|(mine, theirs)| mine <= theirs)
    }
}

/// All sessions of one number.
#[derive(Clone, Debug, Default)]
struct Account {
    /// What they were to be like.
    specs: Vec<SessionSpec>,
    /// Asked for, and not answered.
    asked: u64,
    /// The same, but whoever asked has gone away.
    unsure: u64,
    accepted: u64,
    /// Reported with their counters: by the answer to a delete, or by a record.
    ended: u64,
    /// Known to be off the device.
    gone: u64,
    /// Deletes that were answered and whose record is to come.
    recorded: u64,
    /// Deletes whose answer nobody took.
    abandoned: u64,
    /// Something of it is accounted for by nobody: see `abandoned`.
    is_inexact: bool,
    sent: Tally,
    /// When.
    hits: Vec<Moment>,
    reported: Tally,
}

impl Account {
    /// True when no packet came for as long as its timeout: at the end, or before packets that came while it was found to be due.
    fn was_idle(&self, record: &ClosedRecord) -> bool {
        let mut from = record.started;
        let within = self.hits.iter().filter(|hit| (record.started..=record.ended).contains(hit));
        within.chain([&record.ended]).any(|hit| {
            let idle = hit.saturating_since(from).as_secs();
            from = *hit;
            idle >= timeout(record.id).into()
        })
    }
}

/// All of it.
#[derive(Debug, Default)]
pub struct Ledger {
    accounts: BTreeMap<u64, Account>,
    /// By their sequences.
    delivered: HashMap<u64, ClosedRecord>,
    /// Delivered, and found on the disk by a table that began since.
    again: BTreeSet<u64>,
    /// Of sessions that are known to be off the device already.
    known: BTreeSet<u64>,
    /// Deletes that were answered with final counters, by number and start.
    deleted: HashMap<(u64, u64), Counters>,
    /// Those of them that a table found on the plane, not yet forgotten: they are reported once more, as closed.
    repeated: BTreeSet<(u64, u64)>,
    /// What is on the disk; `None`: there is none.
    disk: Option<BTreeSet<u64>>,
    /// What may be.
    attempt: Option<BTreeSet<u64>>,
}

/// By which sessions of one number are told apart.
fn name(record: &ClosedRecord) -> (u64, u64) {
    (record.id.0, record.started.0)
}

/// What is wrong, as far as a promise was broken.
pub type Checked = Result<(), String>;

/// `Err` with what is told, unless it holds.
macro_rules! holds {
    ($holds:expr, $($told:tt)*) => {
        if !$holds {
            return Err(format!($($told)*));
        }
    };
}
pub(crate) use holds;

impl Ledger {
    /// Nothing asked, nothing sent.
    pub fn new(has_disk: bool) -> Self {
        Self { disk: has_disk.then(BTreeSet::new), ..Self::default() }
    }

    fn account(&mut self, id: SessionId) -> &mut Account {
        self.accounts.entry(id.0).or_default()
    }

    /// Somebody asks for it.
    pub fn ask(&mut self, spec: &SessionSpec) {
        let account = self.account(spec.id);
        account.asked += 1;
        if !account.specs.contains(spec) {
            account.specs.push(spec.clone());
        }
    }

    /// It is promised, or refused.
    pub fn answer(&mut self, id: SessionId, is_accepted: bool) {
        let account = self.account(id);
        account.asked -= 1;
        account.accepted += u64::from(is_accepted);
    }

    /// Nobody takes the answer.
    pub fn give_up(&mut self, id: SessionId) {
        let account = self.account(id);
        account.asked -= 1;
        account.unsure += 1;
    }

    /// Nobody takes the answer to a delete.
    pub fn give_up_delete(&mut self, id: SessionId) {
        let account = self.account(id);
        account.abandoned += 1;
        account.is_inexact = true;
    }

    /// The fast path took a packet.
    pub fn send(&mut self, now: Moment, id: SessionId, direction: Direction, bytes: usize) {
        let Account { sent, hits, .. } = self.account(id);
        hits.push(now);
        sent.packets[direction as usize] += 1;
        sent.bytes[direction as usize] += bytes as u64;
    }

    /// It was deleted, with these final counters; with `record` they come in a record.
    pub fn delete(&mut self, view: &SessionView, record: bool) -> Checked {
        self.see(view)?;
        if !record {
            self.deleted.insert((view.spec.id.0, view.started.0), view.counters);
        }
        let account = self.account(view.spec.id);
        account.gone += 1;
        if record {
            account.recorded += 1;
        } else {
            account.ended += 1;
            account.reported.add(&view.counters);
        }
        holds!(account.reported.is_within(&account.sent), "{view:?} was never sent: {account:?}");
        Ok(())
    }

    /// A firewall is shown a session.
    pub fn see(&mut self, view: &SessionView) -> Checked {
        let account = self.account(view.spec.id);
        holds!(account.specs.contains(&view.spec), "nobody has asked for {view:?}");
        // It may have ended since: a list waits for the counters of all its sessions.
        let mut shown = Tally::default();
        shown.add(&view.counters);
        holds!(shown.is_within(&account.sent), "{view:?}, of {account:?}");
        Ok(())
    }

    /// A record is handed to a reader. `kept` is what the plane has.
    pub fn lend(&self, record: &ClosedRecord, kept: &[Found]) -> Checked {
        let sequence = record.sequence;
        let is_stored = self.disk.as_ref().is_none_or(|disk| disk.contains(&sequence));
        holds!(is_stored, "{record:?} is shown, and on no disk");
        let is_first = !self.delivered.contains_key(&sequence) || self.again.contains(&sequence);
        holds!(is_first, "{record:?} is shown, and was delivered");
        let kept = kept.iter().find(|found| found.note.0[..2] == [record.id.0, record.started.0]);
        holds!(self.disk.is_none() || kept.is_none(), "{record:?} is shown, and the plane has {kept:?}");
        Ok(())
    }

    /// A reader has it.
    pub fn deliver(&mut self, record: &ClosedRecord) -> Checked {
        self.again.remove(&record.sequence);
        if let Some(before) = self.delivered.insert(record.sequence, *record) {
            holds!(before == *record, "{record:?} was delivered as {before:?}");
            return Ok(());
        }
        if record.reason == CloseReason::Deleted && self.repeated.contains(&name(record)) {
            let told = self.deleted.get(&name(record));
            holds!(told == Some(&record.counters), "{record:?}, and the answer was {told:?}");
            return Ok(());
        }
        if record.reason == CloseReason::Timeout {
            let is_idle = self.account(record.id).was_idle(record);
            holds!(is_idle, "{record:?} was not idle for {} s", timeout(record.id));
        }
        let is_known = self.known.remove(&record.sequence);
        let account = self.account(record.id);
        account.ended += 1;
        account.reported.add(&record.counters);
        // What was answered, or found to be off the device, is gone already.
        let is_answered = !is_known && record.reason == CloseReason::Deleted && account.recorded > 0;
        account.recorded -= u64::from(is_answered);
        account.gone += u64::from(!is_known && !is_answered);
        let account = &self.accounts[&record.id.0];
        holds!(account.reported.is_within(&account.sent), "{record:?} was never sent: {account:?}");
        let most = account.accepted + account.unsure + account.asked;
        holds!(account.ended <= most, "{record:?} is one too many: {account:?}");
        Ok(())
    }

    /// The disk has these, and these no longer.
    pub fn stored(&mut self, records: &[u64], ended: &[u64]) {
        let after = self.after(records, ended);
        (self.disk, self.attempt) = (after, None);
    }

    /// The disk has all of that or none of it.
    pub fn perhaps_stored(&mut self, records: &[u64], ended: &[u64]) {
        self.attempt = self.after(records, ended);
    }

    fn after(&self, records: &[u64], ended: &[u64]) -> Option<BTreeSet<u64>> {
        let mut after = self.disk.clone()?;
        after.retain(|sequence| !ended.contains(sequence));
        after.extend(records);
        Some(after)
    }

    /// No more sessions are on the plane than somebody may believe to be there, each as it was asked for.
    pub fn check_plane(&self, kept: &[Found]) -> Checked {
        let mut forwarded: BTreeMap<u64, u64> = BTreeMap::new();
        for found in kept.iter().filter(|found| found.forwarded.contains(&true)) {
            let id = found.note.0[0];
            *forwarded.entry(id).or_default() += 1;
            let is_asked = self.accounts.get(&id).is_some_and(|account| {
                account.specs.iter().any(|spec| {
                    let keys = [Direction::In, Direction::Out].map(|direction| spec.match_key(direction));
                    keys == found.rules.map(|rule| rule.key)
                })
            });
            holds!(is_asked, "nobody has asked for {found:?}");
        }
        for (id, count) in forwarded {
            let account = &self.accounts[&id];
            let most = (account.asked + account.unsure + account.accepted).saturating_sub(account.gone);
            holds!(count <= most, "{count} sessions {id} are forwarded: {account:?}");
        }
        Ok(())
    }

    /// A table begins with what the plane has kept and with what is on the disk. Nobody waits for answers of the one before it. `rebooted`:
    /// the plane began anew as well.
    pub fn restart(&mut self, kept: &[Found], restored: &[ClosedRecord], rebooted: bool, lost: u64) -> Checked {
        let on_disk: BTreeSet<u64> = restored.iter().map(|record| record.sequence).collect();
        let (disk, attempt) = (self.disk.as_ref(), self.attempt.as_ref());
        let is_whole = disk == Some(&on_disk) || attempt == Some(&on_disk);
        holds!(is_whole, "the disk has {on_disk:?}, and should have {disk:?}, or perhaps {attempt:?}");
        let is_delivered = |record: &&ClosedRecord| self.delivered.contains_key(&record.sequence);
        self.again = restored.iter().filter(is_delivered).map(|record| record.sequence).collect();
        let waiting: Vec<&ClosedRecord> = restored.iter().filter(|record| !is_delivered(record)).collect();
        let mut on_plane: BTreeSet<_> = kept.iter().map(|found| (found.note.0[0], found.note.0[1])).collect();
        let waiting_again = waiting.iter().map(|record| name(record)).filter(|name| self.repeated.contains(name));
        let kept_again = on_plane.iter().filter(|name| self.deleted.contains_key(name)).copied();
        let repeated: BTreeSet<_> = waiting_again.chain(kept_again).collect();
        on_plane.retain(|name| !repeated.contains(name));
        self.known = waiting.iter().filter(|r| !on_plane.contains(&name(r))).map(|r| r.sequence).collect();
        let all = on_plane.iter().copied().chain(waiting.iter().map(|record| name(record)));
        let all: BTreeSet<_> = all.filter(|name| !repeated.contains(name)).collect();
        for (id, account) in &mut self.accounts {
            let open = all.iter().filter(|(of, _)| of == id).count() as u64;
            let there = on_plane.iter().filter(|(of, _)| of == id).count() as u64;
            let promised = account.accepted - account.ended.min(account.accepted);
            let is_there = rebooted || promised <= open + account.abandoned + lost;
            holds!(is_there, "of sessions {id} there are {open}: {account:?}");
            account.accepted = account.ended + open;
            account.gone = account.accepted - there;
            (account.asked, account.unsure, account.recorded, account.abandoned) = (0, 0, 0, 0);
            if rebooted {
                // What the plane had counted went with it.
                account.sent = account.reported;
                waiting
                    .iter()
                    .filter(|r| r.id.0 == *id && !repeated.contains(&name(r)))
                    .for_each(|r| account.sent.add(&r.counters));
            }
        }
        (self.disk, self.attempt, self.repeated) = (Some(on_disk), None, repeated);
        Ok(())
    }

    /// Everything has ended: each session that was promised was reported once, with every packet; but for `lost` records, which the log
    /// had no room for.
    pub fn balance(&self, lost: u64) -> Checked {
        let mut missing = 0;
        for (id, account) in &self.accounts {
            holds!(account.asked == 0, "somebody still waits for {id}: {account:?}");
            holds!(account.ended <= account.accepted + account.unsure, "of {id} too many have ended: {account:?}");
            missing += (account.accepted - account.ended.min(account.accepted)).saturating_sub(account.abandoned);
            let is_exact = !account.is_inexact && lost == 0;
            let is_whole = account.reported == account.sent || !is_exact && account.reported.is_within(&account.sent);
            holds!(is_whole, "packets of {id} were not reported, or too many: {account:?}");
        }
        holds!(missing <= lost, "{missing} sessions were never reported, and {lost} records were lost");
        holds!(self.disk.as_ref().is_none_or(BTreeSet::is_empty), "the disk still has {:?}", self.disk);
        Ok(())
    }
}
