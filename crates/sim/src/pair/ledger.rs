//! The model of a pair: of each session, which is like no other, what was promised of it, what its packets were, and how its end was told.
//!
//! What must not be here: how any of it comes about.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use opof_session::plane::Found;
use opof_session::request::SessionView;
use opof_session::types::{ClosedRecord, Counters, Direction, SessionId, SessionSpec};

use super::Which;
use crate::ledger::{Checked, holds};

/// A session: its number and its source port are never used together again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct Instance {
    pub(super) id: u64,
    pub(super) port: u16,
}

impl Instance {
    pub(super) fn of(found: &Found) -> Self {
        Self { id: found.note.0[0], port: found.rules[0].key.flow.source_port }
    }

    pub(super) fn of_spec(spec: &SessionSpec) -> Self {
        Self { id: spec.id.0, port: spec.flow.source_port }
    }
}

#[derive(Clone, Debug, Default)]
struct Account {
    is_accepted: bool,
    is_refused: bool,
    /// Somebody was told that it has ended.
    is_over: bool,
    /// How often its end was told, each time by another number; deletes among them.
    told: u32,
    /// By how many numbers records of it were.
    numbers: u32,
    /// By a delete that was answered.
    deleted: Option<Counters>,
    sent: [u64; 2],
    reported: [u64; 2],
    seen: Seen,
}

/// The packets of a session as somebody was shown them last, and in which term.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Seen {
    term: u64,
    packets: [u64; 2],
}

/// What had been seen when somebody asked: an answer may be of that moment, for a list waits for the counters of all its sessions.
#[derive(Debug)]
pub(super) struct Views(BTreeMap<Instance, Seen>);

/// What has happened, after which less is promised.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Mishap {
    /// What one device alone knew may be gone, or the other one was not waited for.
    Loss,
    /// A device has come to lead without what the one before it knew.
    Oblivion,
    /// The devices did not hear each other for a while: then sessions are accepted without the standby.
    Silence,
}

#[derive(Debug)]
pub(super) struct Ledger {
    /// Numbers are used again. Then a record can be of any session with its number that fits it.
    pub(super) reuses: bool,
    accounts: BTreeMap<Instance, Account>,
    /// Which instance a record is of can't be seen from it: by number, in the order in which they were asked for.
    of_id: HashMap<u64, Vec<Instance>>,
    records: HashMap<u64, ClosedRecord>,
    mishaps: BTreeSet<Mishap>,
    /// Sessions are accepted when both devices have them.
    is_sync: bool,
}

const fn packets(counters: &Counters) -> [u64; 2] {
    [counters.inward.packets, counters.outward.packets]
}

impl Ledger {
    pub(super) fn new(reuses: bool, is_sync: bool) -> Self {
        Self {
            reuses,
            accounts: BTreeMap::new(),
            of_id: HashMap::new(),
            records: HashMap::new(),
            mishaps: BTreeSet::new(),
            is_sync,
        }
    }

    pub(super) fn note(&mut self, mishap: Mishap) {
        self.mishaps.insert(mishap);
    }

    pub(super) fn has_seen(&self, mishap: Mishap) -> bool {
        self.mishaps.contains(&mishap)
    }

    pub(super) fn knows(&self, instance: Instance) -> bool {
        self.accounts.contains_key(&instance)
    }

    pub(super) fn ask(&mut self, spec: &SessionSpec) {
        let instance = Instance::of_spec(spec);
        self.accounts.insert(instance, Account::default());
        self.of_id.entry(instance.id).or_default().push(instance);
    }

    pub(super) fn answer(&mut self, instance: Instance, is_accepted: bool) {
        let account = self.accounts.entry(instance).or_default();
        account.is_accepted |= is_accepted;
        account.is_refused |= !is_accepted;
    }

    pub(super) fn send(&mut self, instance: Instance, direction: Direction) {
        self.accounts.entry(instance).or_default().sent[direction as usize] += 1;
    }

    pub(super) fn views(&self) -> Views {
        Views(self.accounts.iter().map(|(instance, account)| (*instance, account.seen)).collect())
    }

    /// A firewall that had seen so much is shown a session by the active of a term.
    pub(super) fn see(&mut self, view: &SessionView, term: u64, before: &Views) -> Checked {
        let instance = Instance::of_spec(&view.spec);
        let Some(account) = self.accounts.get_mut(&instance) else { return Err(format!("nobody asked for {view:?}")) };
        let now = packets(&view.counters);
        // It may be over: so late a list may be.
        holds!((0..2).all(|at| now[at] <= account.sent[at]), "{view:?} was never sent: {account:?}");
        let seen = before.0.get(&instance).copied().unwrap_or_default();
        let grows = seen.term != term || (0..2).all(|at| now[at] >= seen.packets[at]);
        holds!(grows, "{view:?} goes back behind {seen:?}: {account:?}");
        account.seen = match account.seen {
            Seen { term: last, packets } if last == term => {
                Seen { term, packets: [0, 1].map(|at| packets[at].max(now[at])) }
            }
            _ => Seen { term, packets: now },
        };
        Ok(())
    }

    pub(super) fn delete(&mut self, view: &SessionView, term: u64) -> Checked {
        // Nobody counts any more: whatever anybody has seen was before.
        self.see(view, term, &self.views())?;
        let instance = Instance::of_spec(&view.spec);
        let account = self.accounts.entry(instance).or_default();
        account.deleted = Some(view.counters);
        account.is_over = true;
        account.told += 1;
        let now = packets(&view.counters);
        account.reported = [account.reported[0] + now[0], account.reported[1] + now[1]];
        Ok(())
    }

    /// A record reaches a reader.
    pub(super) fn deliver(&mut self, record: &ClosedRecord) -> Checked {
        if let Some(before) = self.records.get(&record.sequence) {
            holds!(before.id == record.id, "{record:?} was delivered as {before:?}");
            holds!(self.has_seen(Mishap::Loss), "{record:?} is delivered again");
            return Ok(());
        }
        self.records.insert(record.sequence, *record);
        let now = packets(&record.counters);
        let all = self.of_id.get(&record.id.0).cloned().unwrap_or_default();
        // Of two that were asked for by one number at once, one at most was taken in.
        let asked: Vec<_> = all.iter().filter(|instance| !self.accounts[*instance].is_refused).collect();
        if let ([instance], false) = (asked.as_slice(), self.reuses) {
            let may_be_told_again = self.has_seen(Mishap::Oblivion);
            let account = self.accounts.entry(**instance).or_default();
            account.numbers += 1;
            holds!(
                may_be_told_again || account.numbers == 1,
                "{record:?} was delivered by another number: {account:?}"
            );
        }
        // The oldest of those with this number that it can be: they end in the order in which they began.
        let accounts = &self.accounts;
        let fits = |instance: &&Instance| {
            let account = &accounts[*instance];
            !account.is_refused && account.told == 0 && (0..2).all(|at| now[at] <= account.sent[at])
        };
        let Some(instance) = all.iter().find(fits).copied() else {
            let known: Vec<_> = all.iter().map(|instance| &self.accounts[instance]).collect();
            holds!(self.has_seen(Mishap::Loss), "{record:?} is one too many: {known:?}");
            return Ok(());
        };
        let reuses = self.reuses;
        let account = self.accounts.entry(instance).or_default();
        account.is_over |= !reuses;
        account.told += 1;
        account.reported = [account.reported[0] + now[0], account.reported[1] + now[1]];
        Ok(())
    }

    /// What a plane forwards was asked for, and nobody was told that it has ended.
    pub(super) fn check_plane(&self, which: Which, lit: &[Found]) -> Checked {
        for found in lit {
            let account = self.accounts.get(&Instance::of(found));
            holds!(account.is_some_and(|account| !account.is_refused), "{which} forwards {found:?}: {account:?}");
            holds!(account.is_some_and(|account| !account.is_over), "{which} forwards {found:?}, which is over");
        }
        Ok(())
    }

    /// Everything has ended.
    pub(super) fn balance(&self) -> Checked {
        for (instance, account) in &self.accounts {
            let is_within = (0..2).all(|at| account.reported[at] <= account.sent[at]);
            holds!(
                self.has_seen(Mishap::Loss) || self.reuses || is_within,
                "{instance:?} has more packets than were sent: {account:?}"
            );
            if account.is_accepted && !self.has_seen(Mishap::Loss) && !self.reuses {
                holds!(account.told == 1, "{instance:?} was reported {} times: {account:?}", account.told);
                holds!(account.reported == account.sent, "packets of {instance:?} are missing: {account:?}");
            }
            let is_promised = self.is_sync && !self.has_seen(Mishap::Silence) && !self.has_seen(Mishap::Oblivion);
            if account.is_accepted && is_promised && !self.reuses {
                holds!(account.told > 0, "{instance:?} was accepted, and never heard of again: {account:?}");
            }
        }
        Ok(())
    }
}

/// A session's number, as it is asked for.
pub(super) const fn id_of(instance: Instance) -> SessionId {
    SessionId(instance.id)
}
