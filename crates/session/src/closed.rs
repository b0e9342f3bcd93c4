//! The closed log: records of sessions that have left the device, until a reader has taken them.
//!
//! Bounded and in memory. A record is waiting, or lent to one reader; it is gone only when that reader says so, or when
//! the log is full, and then the caller is given what was lost.

use std::collections::{BTreeMap, HashMap};

use crate::limits;
use crate::request::Loan;
use crate::types::ClosedRecord;

#[derive(Debug)]
pub(crate) struct ClosedLog {
    capacity: usize,
    next_sequence: u64,
    /// By sequence, so that a returned record finds its old place.
    waiting: BTreeMap<u64, ClosedRecord>,
    lent: HashMap<Loan, Vec<ClosedRecord>>,
    lent_records: usize,
    next_loan: u64,
}

impl ClosedLog {
    /// Room for `capacity` records, lent ones included.
    pub(crate) fn new(capacity: usize) -> Self {
        assert!((1..=limits::CLOSED_RECORDS).contains(&capacity), "a closed log holds 1 to 2^26 records");
        Self {
            capacity,
            next_sequence: 1,
            waiting: BTreeMap::new(),
            lent: HashMap::new(),
            lent_records: 0,
            next_loan: 1,
        }
    }

    /// Records that are waiting or lent.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len() + self.lent_records
    }

    /// Gives the record its sequence number and keeps it. Returns the record that had to go for it: the oldest that
    /// waits, or, with all of them lent, the new one itself.
    pub(crate) fn append(&mut self, mut record: ClosedRecord) -> Option<ClosedRecord> {
        record.sequence = self.next_sequence;
        self.next_sequence += 1;
        self.waiting.insert(record.sequence, record);
        if self.len() > self.capacity { self.waiting.pop_first().map(|(_, lost)| lost) } else { None }
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

    /// Ends a loan: the first `delivered` records are gone, the others wait again. Returns how many are gone; a loan that is
    /// not out changes nothing.
    pub(crate) fn settle(&mut self, loan: Loan, delivered: usize) -> usize {
        let Some(records) = self.lent.remove(&loan) else { return 0 };
        self.lent_records -= records.len();
        let delivered = delivered.min(records.len());
        self.waiting.extend(records[delivered..].iter().map(|record| (record.sequence, *record)));
        delivered
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
        let mut log = ClosedLog::new(capacity);
        for id in 1..=records {
            assert_eq!(log.append(record(id)), None);
        }
        log
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
        assert_eq!(log.settle(loan, 1), 1);
        assert_eq!(ids(&log.lend(10).unwrap().1), [2, 3, 4, 5]);
    }

    #[test]
    fn a_loan_is_settled_once() {
        let mut log = log_of(10, 2);
        let (loan, _) = log.lend(2).unwrap();
        assert_eq!(log.settle(loan, 9), 2, "no more than were lent");
        assert_eq!(log.settle(loan, 1), 0);
        assert_eq!(log.len(), 0);
    }

    #[test]
    fn what_is_reclaimed_waits_again_and_its_loan_is_over() {
        let mut log = log_of(10, 5);
        let (loan, _) = log.lend(3).unwrap();
        log.reclaim();
        assert_eq!(log.settle(loan, 3), 0);
        assert_eq!((log.len(), ids(&log.lend(10).unwrap().1)), (5, vec![1, 2, 3, 4, 5]));
    }

    #[test]
    fn a_full_log_gives_up_its_oldest_waiting_record_and_says_so() {
        let mut log = log_of(3, 3);
        let (_, lent) = log.lend(1).unwrap();
        assert_eq!(ids(&lent), [1]);
        assert_eq!(log.append(record(4)).map(|r| r.id.0), Some(2));
        assert_eq!(log.len(), 3);
    }

    #[test]
    fn with_everything_lent_the_new_record_is_the_one_lost() {
        let mut log = log_of(2, 2);
        let (loan, _) = log.lend(2).unwrap();
        assert_eq!(log.append(record(3)).map(|r| r.id.0), Some(3));
        log.settle(loan, 0);
        assert_eq!(ids(&log.lend(9).unwrap().1), [1, 2]);
    }

    #[test]
    fn sequence_numbers_count_every_record_lost_ones_too() {
        let mut log = log_of(1, 1);
        log.append(record(2));
        log.append(record(3));
        assert_eq!(log.lend(1).unwrap().1[0].sequence, 3);
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
