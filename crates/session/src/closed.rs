//! The closed log: records of sessions that have left the device, until a reader has taken them.
//!
//! Bounded and in memory. A record is waiting, or lent to one reader; it is gone only when that reader says so, or when
//! the log is full, and then the caller is given what was lost.
//!
//! Where somebody stores the log, a record waits for that first, and then until the plane keeps nothing of its session any more: so
//! after whatever end, what is still kept has been shown to nobody, and what is stored is all that can have been.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use crate::limits;
use crate::plane::Slot;
use crate::planted::{self, Bug};
use crate::request::Loan;
use crate::types::{ClosedRecord, Moment, SessionId};

#[derive(Debug)]
pub(crate) struct ClosedLog {
    capacity: usize,
    /// Somebody stores it.
    is_stored: bool,
    next_sequence: u64,
    /// Not known to be stored, in the order of their sequences, each with the slot in which the plane keeps its session.
    unstored: VecDeque<(ClosedRecord, Option<Slot>)>,
    /// How many of these, from the front, are being stored.
    told: usize,
    /// Stored. The plane is to forget their sessions.
    forgetting: HashMap<Slot, ClosedRecord>,
    /// By sequence, so that a returned record finds its old place.
    waiting: BTreeMap<u64, ClosedRecord>,
    lent: HashMap<Loan, Vec<ClosedRecord>>,
    lent_records: usize,
    next_loan: u64,
    /// Delivered or lost, and still stored.
    ended: VecDeque<u64>,
    /// Ended while they were being stored: by their sequences.
    ended_early: HashSet<u64>,
    /// Whose records were there when the log was restored.
    restored: HashSet<(SessionId, Moment)>,
}

/// What became of an appended record.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Appended {
    /// The record that had to go for it.
    pub(crate) lost: Option<ClosedRecord>,
    /// The plane has to keep its session until it is stored.
    pub(crate) holds: bool,
}

impl ClosedLog {
    /// Room for `capacity` records, those included that are lent or not yet stored.
    pub(crate) fn new(capacity: usize, is_stored: bool) -> Self {
        assert!((1..=limits::CLOSED_RECORDS).contains(&capacity), "a closed log holds 1 to 2^26 records");
        Self {
            capacity,
            is_stored,
            next_sequence: 1,
            unstored: VecDeque::new(),
            told: 0,
            forgetting: HashMap::new(),
            waiting: BTreeMap::new(),
            lent: HashMap::new(),
            lent_records: 0,
            next_loan: 1,
            ended: VecDeque::new(),
            ended_early: HashSet::new(),
            restored: HashSet::new(),
        }
    }

    /// Goes on with what was stored, in any order; `last` is the last sequence that was ever given.
    pub(crate) fn restore(&mut self, records: impl IntoIterator<Item = ClosedRecord>, last: u64) {
        for record in records {
            self.restored.insert((record.id, record.started));
            self.waiting.insert(record.sequence, record);
        }
        let newest = self.waiting.last_key_value().map_or(0, |(sequence, _)| *sequence);
        self.next_sequence = last.max(newest) + 1;
    }

    /// True when the record of this session was among those that were restored.
    pub(crate) fn was_restored(&self, id: SessionId, started: Moment) -> bool {
        self.restored.contains(&(id, started))
    }

    /// From here on nobody asks for that any more.
    pub(crate) fn end_restoring(&mut self) {
        self.restored = HashSet::new();
    }

    /// Records that are in it, in whatever way.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len() + self.lent_records + self.unstored.len() + self.forgetting.len()
    }

    /// Records that wait or are lent.
    pub(crate) fn ready(&self) -> usize {
        self.waiting.len() + self.lent_records
    }

    /// True while records are lent.
    pub(crate) fn has_loans(&self) -> bool {
        !self.lent.is_empty()
    }

    /// True while there is something to be stored, or no longer to be.
    pub(crate) fn has_unstored(&self) -> bool {
        self.is_stored && !(self.unstored.is_empty() && self.ended.is_empty())
    }

    /// Gives the record its sequence number and keeps it. When there is no room the oldest goes that waits, or else the new one itself.
    pub(crate) fn append(&mut self, mut record: ClosedRecord, slot: Option<Slot>) -> Appended {
        record.sequence = self.next_sequence;
        self.next_sequence += 1;
        self.put(record, slot)
    }

    /// The same, with the sequence number that another log has given it; nothing when it waits in this log already. Nobody tells one again
    /// that is still being stored.
    pub(crate) fn append_as_it_is(&mut self, record: ClosedRecord, slot: Option<Slot>) -> Appended {
        self.next_sequence = self.next_sequence.max(record.sequence + 1);
        // One that had ended here while it was being stored has not ended there.
        if self.waiting.contains_key(&record.sequence) || self.ended_early.remove(&record.sequence) {
            return Appended::default();
        }
        self.put(record, slot)
    }

    fn put(&mut self, record: ClosedRecord, slot: Option<Slot>) -> Appended {
        let mut lost = None;
        if self.len() >= self.capacity {
            lost = self.waiting.pop_first().map(|(_, lost)| lost);
            let Some(lost) = lost else { return Appended { lost: Some(record), holds: false } };
            self.end(lost.sequence);
        }
        if self.is_stored {
            self.unstored.push_back((record, slot));
        } else {
            self.waiting.insert(record.sequence, record);
        }
        Appended { lost, holds: self.is_stored && slot.is_some() }
    }

    /// The next record that is to be stored.
    pub(crate) fn poll_unstored(&mut self) -> Option<ClosedRecord> {
        let (record, _) = self.unstored.get(self.told)?;
        self.told += 1;
        Some(*record)
    }

    /// All records up to this sequence are stored; the slots whose sessions can be forgotten now. Others are ready to be lent.
    pub(crate) fn stored(&mut self, through: u64) -> Vec<Slot> {
        let (through, takes_untold) = if planted::is(Bug::Log) { (u64::MAX, true) } else { (through, false) };
        let mut slots = Vec::new();
        while (self.told > 0 || takes_untold)
            && self.unstored.front().is_some_and(|(record, _)| record.sequence <= through)
        {
            let Some((record, slot)) = self.unstored.pop_front() else { break };
            self.told = self.told.saturating_sub(1);
            match slot {
                Some(slot) => {
                    self.forgetting.insert(slot, record);
                    slots.push(slot);
                }
                None => self.wait(record),
            }
        }
        slots
    }

    /// The plane has forgotten what was in this slot; false when no record waited for that.
    pub(crate) fn forgotten(&mut self, slot: Slot) -> bool {
        // As a rule nobody waits, and a hash is not for nothing.
        if self.forgetting.is_empty() {
            return false;
        }
        let Some(record) = self.forgetting.remove(&slot) else { return false };
        self.wait(record);
        true
    }

    /// The number of the next record.
    pub(crate) const fn next_sequence(&self) -> u64 {
        self.next_sequence
    }

    /// The number of the next record is at least this.
    pub(crate) fn begin_at(&mut self, sequence: u64) {
        self.next_sequence = self.next_sequence.max(sequence);
    }

    /// All records, in the order of their sequences.
    pub(crate) fn records(&self) -> Vec<ClosedRecord> {
        let lent = self.lent.values().flatten();
        let unstored = self.unstored.iter().map(|(record, _)| record);
        let all = self.waiting.values().chain(lent).chain(unstored).chain(self.forgetting.values());
        let mut all: Vec<ClosedRecord> = all.copied().collect();
        all.retain(|record| !self.ended_early.contains(&record.sequence));
        all.sort_unstable_by_key(|record| record.sequence);
        all
    }

    /// A record that nobody here delivers is gone. Where it is being stored, that has to end first.
    pub(crate) fn end_elsewhere(&mut self, sequence: u64) {
        if self.waiting.remove(&sequence).is_some() {
            return self.end(sequence);
        }
        if !(self.unstored.is_empty() && self.forgetting.is_empty()) {
            self.ended_early.insert(sequence);
        }
    }

    /// Every record is gone: another log takes the place of this one.
    pub(crate) fn end_all(&mut self) {
        self.reclaim();
        for (sequence, _) in std::mem::take(&mut self.waiting) {
            self.end(sequence);
        }
        let kept = self.unstored.iter().map(|(record, _)| record).chain(self.forgetting.values());
        self.ended_early = kept.map(|record| record.sequence).collect();
    }

    /// A record that is stored, and whose session the plane has forgotten.
    fn wait(&mut self, record: ClosedRecord) {
        if !self.ended_early.is_empty() && self.ended_early.remove(&record.sequence) {
            self.end(record.sequence);
        } else {
            self.waiting.insert(record.sequence, record);
        }
        if self.unstored.is_empty() && self.forgetting.is_empty() {
            self.ended_early = HashSet::new();
        }
    }

    /// The sequence of a record that need not be stored any longer.
    pub(crate) fn poll_ended(&mut self) -> Option<u64> {
        self.ended.pop_front()
    }

    fn end(&mut self, sequence: u64) {
        if self.is_stored {
            self.ended.push_back(sequence);
        }
    }

    /// Slots that are kept until a record is stored and its session forgotten.
    #[cfg(any(test, feature = "audit"))]
    pub(crate) fn held(&self) -> usize {
        self.forgetting.len() + self.unstored.iter().filter(|(_, slot)| slot.is_some()).count()
    }

    /// Whether each record is in one place, and counted; what is wrong otherwise.
    #[cfg(any(test, feature = "audit"))]
    pub(crate) fn audit(&self) -> Result<(), String> {
        let lent = self.lent.values().flatten();
        let unstored = self.unstored.iter().map(|(record, _)| record);
        if self.lent_records != lent.clone().count() || self.len() > self.capacity {
            return Err(format!("{} lent, {} in all, room for {}", self.lent_records, self.len(), self.capacity));
        }
        if self.told > self.unstored.len() {
            return Err(format!("{} told of {} that are not stored", self.told, self.unstored.len()));
        }
        let all = self.waiting.values().chain(lent).chain(unstored).chain(self.forgetting.values());
        let mut sequences: Vec<u64> = all.map(|record| record.sequence).collect();
        sequences.sort_unstable();
        let is_once = sequences.is_sorted_by(|a, b| a < b);
        if !is_once || sequences.last().is_some_and(|last| *last >= self.next_sequence) {
            return Err(format!("sequences {sequences:?}, and the next one is {}", self.next_sequence));
        }
        Ok(())
    }

    /// Lends the oldest waiting records; `None` when none waits or too many loans are out.
    pub(crate) fn lend(&mut self, records: usize) -> Option<(Loan, Vec<ClosedRecord>)> {
        if self.waiting.is_empty() || self.lent.len() >= limits::LOANS {
            return None;
        }
        let mut lent = Vec::new();
        while lent.len() < records.min(limits::COLLECT_RECORDS)
            && let Some((_, record)) = self.waiting.pop_first()
        {
            lent.push(record);
        }
        let loan = Loan(self.next_loan);
        self.next_loan += 1;
        self.lent_records += lent.len();
        self.lent.insert(loan, lent.clone());
        Some((loan, lent))
    }

    /// Takes all loans back: their records wait again. Readers that go on all the same change nothing.
    pub(crate) fn reclaim(&mut self) {
        for (_, records) in self.lent.drain() {
            self.waiting.extend(records.into_iter().map(|record| (record.sequence, record)));
        }
        self.lent_records = 0;
    }

    /// Ends a loan: the first `delivered` records are gone, the others wait again. Returns which are gone; a loan that is
    /// not out changes nothing.
    pub(crate) fn settle(&mut self, loan: Loan, delivered: usize) -> Vec<u64> {
        let Some(records) = self.lent.remove(&loan) else { return Vec::new() };
        self.lent_records -= records.len();
        let (gone, back) = records.split_at(delivered.min(records.len()));
        let gone: Vec<u64> = gone.iter().map(|record| record.sequence).collect();
        for sequence in &gone {
            self.end(*sequence);
        }
        self.waiting.extend(back.iter().map(|record| (record.sequence, *record)));
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{CloseReason, Counters, Moment, SessionId};

    fn record(id: u64) -> ClosedRecord {
        let (started, ended) = (Moment(1), Moment(2));
        let counters = Counters::default();
        ClosedRecord { sequence: 0, id: SessionId(id), counters, started, ended, reason: CloseReason::Timeout }
    }

    fn ids(records: &[ClosedRecord]) -> Vec<u64> {
        records.iter().map(|r| r.id.0).collect()
    }

    fn log_of(capacity: usize, records: u64) -> ClosedLog {
        let mut log = ClosedLog::new(capacity, false);
        for id in 1..=records {
            assert_eq!(log.append(record(id), Some(Slot(0))), Appended::default());
        }
        log
    }

    fn appended(log: &mut ClosedLog, id: u64) -> Option<u64> {
        log.append(record(id), None).lost.map(|record| record.id.0)
    }

    #[test]
    fn lends_oldest_first_and_to_one_reader_only() {
        let mut log = log_of(10, 5);
        let (_, first) = log.lend(2).unwrap();
        let (_, second) = log.lend(10).unwrap();
        assert_eq!((ids(&first), ids(&second)), (vec![1, 2], vec![3, 4, 5]));
        assert_eq!(log.lend(1), None);
        assert_eq!(log.len(), 5, "lent is not yet gone");
    }

    #[test]
    fn what_was_not_delivered_waits_again_in_its_old_place() {
        let mut log = log_of(10, 5);
        let (loan, _) = log.lend(3).unwrap();
        assert_eq!(log.settle(loan, 1), [1]);
        assert_eq!(ids(&log.lend(10).unwrap().1), [2, 3, 4, 5]);
    }

    #[test]
    fn a_loan_is_settled_once() {
        let mut log = log_of(10, 2);
        let (loan, _) = log.lend(2).unwrap();
        assert_eq!(log.settle(loan, 9), [1, 2], "no more than were lent");
        assert_eq!(log.settle(loan, 1), []);
        assert_eq!(log.len(), 0);
    }

    #[test]
    fn what_is_reclaimed_waits_again_and_its_loan_is_over() {
        let mut log = log_of(10, 5);
        let (loan, _) = log.lend(3).unwrap();
        log.reclaim();
        assert_eq!(log.settle(loan, 3), []);
        assert_eq!((log.len(), ids(&log.lend(10).unwrap().1)), (5, vec![1, 2, 3, 4, 5]));
    }

    #[test]
    fn a_full_log_gives_up_its_oldest_waiting_record_and_says_so() {
        let mut log = log_of(3, 3);
        let (_, lent) = log.lend(1).unwrap();
        assert_eq!(ids(&lent), [1]);
        assert_eq!(appended(&mut log, 4), Some(2));
        assert_eq!(log.len(), 3);
    }

    #[test]
    fn with_everything_lent_the_new_record_is_the_one_lost() {
        let mut log = log_of(2, 2);
        let (loan, _) = log.lend(2).unwrap();
        assert_eq!(appended(&mut log, 3), Some(3));
        log.settle(loan, 0);
        assert_eq!(ids(&log.lend(9).unwrap().1), [1, 2]);
    }

    #[test]
    fn sequence_numbers_count_every_record_lost_ones_too() {
        let mut log = log_of(1, 1);
        appended(&mut log, 2);
        appended(&mut log, 3);
        assert_eq!(log.lend(1).unwrap().1[0].sequence, 3);
    }

    #[test]
    fn where_it_is_stored_a_record_is_lent_when_it_is_stored_and_its_session_forgotten() {
        let mut log = ClosedLog::new(4, true);
        let holds = Appended { holds: true, lost: None };
        assert_eq!([1, 2].map(|n| log.append(record(n.into()), Some(Slot(n)))), [holds; 2]);
        assert_eq!(log.append(record(3), None), Appended::default());
        assert_eq!(log.stored(9), [], "nobody has been told to store anything");
        let told: Vec<u64> = std::iter::from_fn(|| log.poll_unstored()).map(|record| record.sequence).collect();
        assert_eq!((told, log.lend(9)), (vec![1, 2, 3], None));
        assert_eq!(log.stored(1), [Slot(1)]);
        assert_eq!(log.lend(9), None, "the plane still has it");
        assert!(log.forgotten(Slot(1)) && !log.forgotten(Slot(1)));
        assert_eq!(log.stored(3), [Slot(2)]);
        let (loan, lent) = log.lend(9).unwrap();
        assert_eq!((ids(&lent), log.len()), (vec![1, 3], 3));
        log.settle(loan, 1);
        assert_eq!([log.poll_ended(), log.poll_ended()], [Some(1), None]);
        // Full: what waits goes, and out of the store as well; then the new one itself, which holds nothing.
        log.append(record(4), None);
        log.append(record(5), None);
        assert_eq!((appended(&mut log, 6), log.poll_ended()), (Some(3), Some(3)));
        assert_eq!(
            log.append(record(7), Some(Slot(7))),
            Appended { lost: Some(ClosedRecord { sequence: 7, ..record(7) }), holds: false }
        );
    }

    #[test]
    fn a_restored_log_goes_on_where_it_was() {
        let mut log = ClosedLog::new(4, true);
        log.restore([8, 5].map(|n| ClosedRecord { sequence: n, ..record(n) }), 11);
        assert!(log.was_restored(SessionId(8), Moment(1)) && !log.was_restored(SessionId(8), Moment(2)));
        assert_eq!(ids(&log.lend(9).unwrap().1), [5, 8]);
        log.append(record(1), None);
        assert_eq!(log.poll_unstored().unwrap().sequence, 12);
        log.end_restoring();
        assert!(!log.was_restored(SessionId(8), Moment(1)));
    }

    #[test]
    fn loans_are_bounded() {
        let count = u64::try_from(limits::LOANS).unwrap() + 1;
        let mut log = log_of(limits::LOANS + 1, count);
        for _ in 0..limits::LOANS {
            assert!(log.lend(1).is_some());
        }
        assert_eq!(log.lend(1), None);
    }
}
