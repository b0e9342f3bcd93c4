//! What was asked is answered, or nobody waits for it any more.

use opof_daemon::driver::Lent;
use opof_daemon::simulation::Said;
use opof_session::request::{AddError, ReplyBody};
use opof_session::types::ClosedRecord;

use super::{Question, Subject, World};
use crate::ledger::{Checked, holds};

impl World {
    /// What has been answered meanwhile.
    pub(super) fn settle(&mut self) -> Checked {
        let mut at = 0;
        while at < self.questions.len() {
            let Some(said) = self.questions[at].asked.answer() else {
                at += 1;
                continue;
            };
            let Question { subject, .. } = self.questions.remove(at);
            self.hear(subject, said)?;
        }
        Ok(())
    }

    fn hear(&mut self, subject: Subject, said: Said) -> Checked {
        self.tell(match &said {
            Said::Lent(lent) => format!("{} records on loan", lent.as_ref().map_or(0, Lent::len)),
            said => format!("answer to {subject:?}: {said:?}"),
        });
        match (subject, said) {
            // Its driver has gone: whoever asked knows nothing of what became of it.
            (Subject::Add(ids), Said::Nothing) => ids.into_iter().for_each(|id| self.ledger.give_up(id)),
            (Subject::Add(ids), Said::Reply(ReplyBody::Added { refused })) => {
                for (index, id) in (0..).zip(ids) {
                    let refused = refused.iter().find(|refused| refused.index == index);
                    holds!(refused.is_none_or(|refused| refused.id == id), "{refused:?} is not about {id}");
                    if let Some(AddError::UnknownLif { field, .. }) = refused.map(|refused| refused.error) {
                        holds!(field == "outLif", "{refused:?} names another field than the wrong one");
                    }
                    self.ledger.answer(id, refused.is_none());
                }
            }
            (Subject::Delete { id, record }, Said::Reply(ReplyBody::Deleted(view))) => {
                if let Some(view) = view {
                    holds!(view.spec.id == id, "a delete of {id} is answered with {view:?}");
                    self.ledger.delete(&view, record)?;
                }
            }
            (Subject::Get(id), Said::Reply(ReplyBody::Got(view))) => {
                if let Some(view) = view {
                    holds!(view.spec.id == id, "a question for {id} is answered with {view:?}");
                    self.ledger.see(&view)?;
                }
            }
            (Subject::Reset(before), Said::Reply(ReplyBody::Swept { .. })) => {
                let now = self.forwarded();
                let left = before.iter().find(|session| now.contains(session));
                holds!(left.is_none(), "everything was reset, and {left:?} is forwarded");
            }
            (Subject::Records, Said::Lent(lent)) => self.loans.extend(lent),
            (Subject::Other, Said::Reply(ReplyBody::Listed { sessions, .. })) => {
                let is_sorted = sessions.is_sorted_by(|a, b| a.spec.id < b.spec.id);
                holds!(is_sorted, "a list is not in order: {sessions:?}");
                sessions.iter().try_for_each(|view| self.ledger.see(view))?;
            }
            (Subject::Other, Said::Reply(ReplyBody::Swept { .. } | ReplyBody::Done(_) | ReplyBody::VlanFlows(_)))
            // Too many of them at once.
            | (Subject::Reset(_), Said::Reply(ReplyBody::Done(Err(_))))
            | (_, Said::Nothing) => {}
            (subject, said) => return Err(format!("{subject:?} is answered with {said:?}")),
        }
        Ok(())
    }

    /// A reader takes some of the records that it was lent, and gives the others back.
    pub(super) fn deliver(&mut self) -> Checked {
        if self.loans.is_empty() {
            return Ok(());
        }
        let at = self.dice.below(self.loans.len());
        let mut lent = self.loans.swap_remove(at);
        let count = if self.is_calm { lent.len() } else { self.dice.below(lent.len() + 1) };
        let kept = self.ports.found();
        let records: Vec<ClosedRecord> = (0..count).filter_map(|_| lent.take_next()).collect();
        self.tell(format!("{} delivered of {}", records.len(), lent.len()));
        for record in &records {
            self.tell(format!("delivered {record:?}"));
        }
        let is_sorted = records.is_sorted_by(|a, b| a.sequence < b.sequence);
        holds!(is_sorted, "records are not in order: {records:?}");
        // Its driver may have gone; then nobody can say what is on the disk by now.
        for record in records.iter().filter(|_| self.table.is_some()) {
            self.ledger.lend(record, &kept)?;
        }
        lent.mark_delivered();
        records.iter().try_for_each(|record| self.ledger.deliver(record))
    }

    pub(super) fn give_up(&mut self) {
        if self.questions.is_empty() {
            return;
        }
        let at = self.dice.below(self.questions.len());
        let Question { subject, .. } = self.questions.swap_remove(at);
        self.tell(format!("nobody waits any more for {subject:?}"));
        match subject {
            Subject::Add(ids) => ids.into_iter().for_each(|id| self.ledger.give_up(id)),
            Subject::Delete { id, record: false } => self.ledger.give_up_delete(id),
            _ => {}
        }
    }
}
