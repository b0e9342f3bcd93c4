//! Closed records in the hands of one reader, and how they get back when the reader goes away.

use opof_session::request::Loan;
use opof_session::types::ClosedRecord;
use tokio::sync::mpsc;

/// The end of a loan, on its way to the engine.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settle {
    pub(super) loan: Loan,
    pub(super) delivered: u32,
}

/// Closed records on loan. What was not marked as delivered when this is dropped waits again, in its old place:
/// wherever a call is cut off, nothing is lost.
#[derive(Debug)]
pub struct Lent {
    loan: Loan,
    records: Vec<ClosedRecord>,
    taken: u32,
    delivered: u32,
    settles: mpsc::Sender<Settle>,
}

impl Lent {
    pub(super) const fn new(loan: Loan, records: Vec<ClosedRecord>, settles: mpsc::Sender<Settle>) -> Self {
        Self { loan, records, taken: 0, delivered: 0, settles }
    }

    /// How many records were lent.
    pub const fn len(&self) -> usize {
        self.records.len()
    }

    /// True when none were lent.
    pub const fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The next record, oldest first. Taking it does not deliver it.
    pub fn take_next(&mut self) -> Option<ClosedRecord> {
        let record = *self.records.get(self.taken as usize)?;
        self.taken += 1;
        Some(record)
    }

    /// All records taken so far have reached their reader.
    pub const fn mark_delivered(&mut self) {
        self.delivered = self.taken;
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        // The channel holds as many as there can be loans; it is closed only when the engine is gone, and its records
        // with it.
        let _ = self.settles.try_send(Settle { loan: self.loan, delivered: self.delivered });
    }
}
