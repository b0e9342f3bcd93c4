//! A store of roles as etcd is one: a holder with a lease, and terms that grow.

use std::time::Duration;

use opof_dataplane::Dice;
use opof_session::ha::store::{StoreAnswer, StoreRequest};
use opof_session::ha::term::Term;

use super::{Which, nanos};

/// The store, and questions and answers on their way.
#[derive(Debug, Default)]
pub(super) struct Office {
    term: u64,
    /// Who, in which term, until when, for how long each time.
    holder: Option<(Which, u64, u64, Duration)>,
    /// When it gets there, when the answer is back, of whom.
    questions: Vec<(u64, u64, Which, StoreRequest)>,
    answers: Vec<(u64, Which, StoreAnswer)>,
    pub(super) is_stopped: bool,
    /// From each of them.
    pub(super) is_cut: [bool; 2],
    pub(super) delay: u32,
    pub(super) loses_answers: bool,
}

impl Office {
    pub(super) fn heal(&mut self) {
        (self.is_stopped, self.is_cut, self.delay, self.loses_answers) = (false, [false; 2], 0, false);
    }

    pub(super) fn ask(&mut self, dice: &mut Dice, now: u64, of: Which, request: StoreRequest) {
        let mut late = || nanos(Duration::from_micros(u64::from(100 + 1000 * dice.below_u32(self.delay + 1))));
        let (there, back) = (now + late(), late());
        self.questions.push((there, there + back, of, request));
    }

    /// What a device that was killed has asked comes to nobody.
    pub(super) fn forget(&mut self, of: Which) {
        self.answers.retain(|(_, to, _)| *to != of);
    }

    pub(super) fn due(&self) -> Option<u64> {
        let questions = self.questions.iter().map(|(there, ..)| *there);
        questions.chain(self.answers.iter().map(|(at, ..)| *at)).min()
    }

    pub(super) fn answers(&mut self, now: u64) -> Vec<(Which, StoreAnswer)> {
        self.questions.sort_by_key(|(there, ..)| *there);
        while self.questions.first().is_some_and(|(there, ..)| *there <= now) {
            let (there, back, of, request) = self.questions.remove(0);
            let is_lost = self.is_stopped || self.is_cut[of];
            // Done, and nobody hears of it.
            if self.loses_answers && !is_lost {
                self.decide(there, of, &request);
            }
            let is_lost = is_lost || self.loses_answers;
            let late = back - there > nanos(Duration::from_millis(400));
            let answer = if is_lost { None } else { Some(self.decide(there, of, &request)) };
            let failed = || StoreAnswer::Failed { why: "no answer".to_owned() };
            let deadline = there + nanos(Duration::from_millis(400));
            let (at, answer) =
                if late { (deadline, failed()) } else { answer.map_or_else(|| (deadline, failed()), |a| (back, a)) };
            self.answers.push((at, of, answer));
        }
        let (here, away): (Vec<_>, Vec<_>) = self.answers.drain(..).partition(|(at, ..)| *at <= now);
        self.answers = away;
        here.into_iter().map(|(_, to, answer)| (to, answer)).collect()
    }

    fn decide(&mut self, now: u64, of: Which, request: &StoreRequest) -> StoreAnswer {
        if self.holder.is_some_and(|(_, _, until, _)| until <= now) {
            self.holder = None;
        }
        let taken = |term: u64| StoreAnswer::Taken { term: Term(term), holder: "the other".to_owned() };
        match (request, self.holder) {
            (StoreRequest::Claim { .. }, Some((_, term, ..))) => taken(term),
            (StoreRequest::Claim { at_least, ttl }, None) => {
                self.term = (self.term + 1).max(at_least.0);
                self.holder = Some((of, self.term, now + nanos(*ttl), *ttl));
                StoreAnswer::Held { term: Term(self.term), ttl: *ttl }
            }
            (StoreRequest::Renew { term }, Some((who, held, _, ttl))) if who == of && held == term.0 => {
                self.holder = Some((who, held, now + nanos(ttl), ttl));
                StoreAnswer::Held { term: *term, ttl }
            }
            (StoreRequest::Renew { .. }, Some((_, held, ..))) => taken(held),
            (StoreRequest::Renew { .. }, None) => taken(self.term),
            (StoreRequest::Resign { term }, holder) => {
                if holder.is_some_and(|(who, held, ..)| who == of && held == term.0) {
                    self.holder = None;
                }
                StoreAnswer::Resigned
            }
        }
    }
}
