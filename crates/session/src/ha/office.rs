//! Whether a device is active, until when, and what it asks the store of roles.
//!
//! A device is active for a time: until its lease is over, counted from when it asked; or for as long as its standby has promised not to become
//! active, counted from when the message was sent that the promise answers. So it steps down before another can step up, if no two clocks differ
//! by more than [`limits::DRIFT`] says. What must not be here: sessions and messages.

use core::time::Duration;

use super::store::{StoreAnswer, StoreRequest};
use super::term::{Role, Side, Term};
use crate::limits;
use crate::types::Moment;

/// Who says which of the two is active.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Election {
    /// The configuration.
    Fixed(Role),
    /// Somebody outside, by a command.
    External,
    /// A store with leases and transactions.
    Elected {
        /// How long a lease is asked for.
        ttl: Duration,
    },
}

/// The end of time.
pub(super) const NEVER: Moment = Moment(u64::MAX);

#[derive(Debug)]
pub(super) struct Office {
    pub(super) election: Election,
    side: Side,
    /// The highest there is.
    known: Term,
    role: Role,
    /// An active's right ends.
    until: Moment,
    /// A question to the store that is not answered.
    asked: Option<(Moment, StoreRequest)>,
    next_ask: Moment,
    /// A standby has promised not to claim before this.
    not_before: Moment,
    /// It was told to.
    stays_out: bool,
    /// The term in which it was active last.
    last: Option<Term>,
}

/// What the store's answer comes to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// It is active from now on.
    Won(Term),
    /// It is not the holder any more, or nobody knows.
    Resigned,
    /// Another one is active.
    Lost,
    Nothing,
}

/// With what clocks may differ by.
pub(super) fn stretched(time: Duration) -> Duration {
    time + time / limits::DRIFT
}

fn shortened(time: Duration) -> Duration {
    time.saturating_sub(time / limits::DRIFT)
}

impl Office {
    /// A standby. What a process before this one has promised holds for this one.
    pub(super) fn new(now: Moment, election: Election, side: Side, last: Option<Term>) -> Self {
        let not_before = match election {
            Election::Elected { ttl } => now.saturating_add(stretched(ttl)),
            Election::Fixed(_) | Election::External => now,
        };
        let known = last.unwrap_or_default();
        let (role, until) = (Role::Standby, Moment(0));
        Self { election, side, known, role, until, asked: None, next_ask: now, not_before, stays_out: false, last }
    }

    pub(super) const fn role(&self) -> Role {
        self.role
    }

    pub(super) const fn known(&self) -> Term {
        self.known
    }

    pub(super) const fn until(&self) -> Moment {
        self.until
    }

    /// There is such a term.
    pub(super) fn learn(&mut self, term: Term) {
        self.known = self.known.max(term);
    }

    /// The next term that is this device's to take.
    pub(super) const fn own_term(&self) -> Term {
        self.known.next_of(self.side)
    }

    /// True when nobody else has been active since this device was, as far as that can be told from the term that it is given now.
    pub(super) fn is_successor_of_itself(&self, term: Term) -> bool {
        match (self.election, self.last) {
            (Election::Elected { .. }, Some(last)) => last.0 + 1 == term.0,
            // The other one never is.
            (Election::Fixed(_), _) => true,
            (Election::Elected { .. }, None) | (Election::External, _) => false,
        }
    }

    /// It is active.
    pub(super) fn take(&mut self, term: Term) {
        (self.role, self.known, self.last) = (Role::Active, term, Some(term));
        if !matches!(self.election, Election::Elected { .. }) {
            self.until = NEVER;
        }
    }

    /// It is none any more, and lets the other one go first.
    pub(super) fn leave(&mut self, now: Moment) {
        (self.role, self.until) = (Role::Standby, Moment(0));
        if let Election::Elected { ttl } = self.election {
            self.not_before = self.not_before.max(now.saturating_add(ttl));
        }
    }

    pub(super) const fn set_stays_out(&mut self, stays_out: bool) {
        self.stays_out = stays_out;
    }

    /// It need not wait to become active: the active has asked it to.
    pub(super) const fn invite(&mut self, now: Moment) {
        (self.not_before, self.next_ask, self.stays_out) = (now, now, false);
    }

    /// Whether a standby can promise not to become active by itself for a while since it has heard of the active last, and that it does.
    pub(super) fn promise(&mut self, heard: Moment) -> bool {
        let Election::Elected { ttl } = self.election else { return false };
        if self.asked.is_some() || self.role == Role::Active {
            return false;
        }
        self.not_before = self.not_before.max(heard.saturating_add(stretched(ttl)));
        true
    }

    /// The standby has promised that, when it had a message of this moment.
    pub(super) fn promised(&mut self, sent: Moment) {
        if let Election::Elected { ttl } = self.election
            && self.role == Role::Active
        {
            self.until = self.until.max(sent.saturating_add(ttl));
        }
    }

    /// The next question to the store.
    pub(super) fn ask(&mut self, now: Moment) -> Option<StoreRequest> {
        let Election::Elected { ttl } = self.election else { return None };
        if self.asked.is_some() || self.next_ask > now {
            return None;
        }
        let request = match self.role {
            Role::Active => StoreRequest::Renew { term: self.known },
            Role::Standby if self.stays_out || self.not_before > now => return None,
            Role::Standby => StoreRequest::Claim { at_least: Term(self.known.0 + 1), ttl },
        };
        self.asked = Some((now, request));
        self.next_ask = now.saturating_add(if self.role == Role::Active { ttl / 4 } else { limits::CLAIM_PAUSE });
        Some(request)
    }

    /// Gives its lease back; `None` while something else is being asked.
    pub(super) fn resign(&mut self, now: Moment) -> Option<StoreRequest> {
        if self.asked.is_some() {
            return None;
        }
        let request = StoreRequest::Resign { term: self.known };
        self.asked = Some((now, request));
        Some(request)
    }

    pub(super) fn answered(&mut self, answer: &StoreAnswer) -> Verdict {
        let Some((at, request)) = self.asked.take() else { return Verdict::Nothing };
        match (request, answer) {
            // It was told meanwhile not to be. Nobody is until the lease is over.
            (StoreRequest::Claim { .. }, StoreAnswer::Held { .. }) if self.stays_out => Verdict::Nothing,
            (StoreRequest::Claim { .. }, StoreAnswer::Held { term, ttl }) if *term > self.known => {
                self.until = at.saturating_add(shortened(*ttl));
                Verdict::Won(*term)
            }
            (StoreRequest::Renew { term }, StoreAnswer::Held { ttl, .. }) => {
                if self.role == Role::Active && term == self.known {
                    self.until = self.until.max(at.saturating_add(shortened(*ttl)));
                }
                Verdict::Nothing
            }
            (StoreRequest::Resign { .. }, _) => Verdict::Resigned,
            (StoreRequest::Renew { .. }, StoreAnswer::Taken { term, .. }) if *term > self.known => {
                self.learn(*term);
                Verdict::Lost
            }
            (_, StoreAnswer::Taken { term, .. }) => {
                self.learn(*term);
                Verdict::Nothing
            }
            _ => Verdict::Nothing,
        }
    }

    /// When there is something to be done.
    pub(super) fn poll_timeout(&self) -> Option<Moment> {
        let end = (self.role == Role::Active && self.until != NEVER).then_some(self.until);
        let may_ask = matches!(self.election, Election::Elected { .. }) && self.asked.is_none();
        let ask = match self.role {
            Role::Active => may_ask.then_some(self.next_ask),
            Role::Standby => (may_ask && !self.stays_out).then_some(self.next_ask.max(self.not_before)),
        };
        [end, ask].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(1);
    const ELECTED: Election = Election::Elected { ttl: TTL };

    const fn millis(millis: u64) -> Moment {
        Moment(millis * 1_000_000)
    }

    /// One that could ask from the first moment on, and is the holder of term 1 since it asked at 2 s.
    fn holder() -> Office {
        let mut office = Office::new(millis(0), ELECTED, Side::A, None);
        assert_eq!(office.ask(millis(2000)), Some(StoreRequest::Claim { at_least: Term(1), ttl: TTL }));
        assert_eq!(office.answered(&StoreAnswer::Held { term: Term(1), ttl: TTL }), Verdict::Won(Term(1)));
        office.take(Term(1));
        office
    }

    #[test]
    fn a_lease_counts_from_when_it_was_asked_for_and_is_over_before_it_is_in_the_store() {
        let office = holder();
        assert_eq!(office.until(), millis(2000).saturating_add(shortened(TTL)));
        assert!(office.until() < millis(3000));
        assert_eq!(office.poll_timeout(), Some(millis(2200)), "as a claim is followed by the next question");
    }

    #[test]
    fn a_process_keeps_what_one_before_it_may_have_promised() {
        let mut office = Office::new(millis(0), ELECTED, Side::A, Some(Term(4)));
        assert_eq!(office.ask(millis(999)), None);
        assert_eq!(office.ask(millis(1032)), Some(StoreRequest::Claim { at_least: Term(5), ttl: TTL }));
        assert_eq!(office.ask(millis(9000)), None, "one question at a time");
        assert!(!office.promise(millis(1033)), "the answer may make it active");
    }

    #[test]
    fn a_promise_keeps_one_out_and_the_other_one_in() {
        let mut standby = Office::new(millis(0), ELECTED, Side::B, None);
        assert!(standby.promise(millis(5000)));
        assert_eq!(standby.ask(millis(6030)), None);
        assert!(matches!(standby.ask(millis(6032)), Some(StoreRequest::Claim { .. })));
        let mut active = holder();
        active.promised(millis(5000));
        assert_eq!(active.until(), millis(6000));
        active.promised(millis(4000));
        assert_eq!(active.until(), millis(6000), "an older one takes nothing back");
    }

    #[test]
    fn an_answer_that_comes_late_gives_no_more_than_was_asked_for() {
        let mut office = Office::new(millis(0), ELECTED, Side::A, None);
        office.ask(millis(2000));
        // It comes at 4 s: the caller sees that it is over.
        assert_eq!(office.answered(&StoreAnswer::Held { term: Term(1), ttl: TTL }), Verdict::Won(Term(1)));
        assert!(office.until() < millis(3000));
        assert_eq!(office.answered(&StoreAnswer::Resigned), Verdict::Nothing, "nobody has asked");
    }

    #[test]
    fn another_holder_is_learned_of() {
        let mut office = holder();
        assert_eq!(office.ask(millis(2300)), Some(StoreRequest::Renew { term: Term(1) }));
        let taken = |term| StoreAnswer::Taken { term: Term(term), holder: String::new() };
        assert_eq!(office.answered(&taken(2)), Verdict::Lost);
        assert_eq!(office.known(), Term(2));
        office.leave(millis(2300));
        assert_eq!(office.ask(millis(2900)), None, "the other one goes first");
        assert_eq!(office.ask(millis(3300)), Some(StoreRequest::Claim { at_least: Term(3), ttl: TTL }));
        assert_eq!(office.answered(&taken(2)), Verdict::Nothing);
        assert_eq!(office.poll_timeout(), Some(millis(3500)));
    }

    #[test]
    fn what_was_to_be_given_back_is_given_back_whatever_the_store_says() {
        let taken = StoreAnswer::Taken { term: Term(2), holder: String::new() };
        let failed = StoreAnswer::Failed { why: String::new() };
        for answer in [StoreAnswer::Resigned, failed, taken] {
            let mut office = holder();
            assert_eq!(office.resign(millis(2300)), Some(StoreRequest::Resign { term: Term(1) }));
            assert_eq!(office.resign(millis(2301)), None, "one question at a time");
            assert_eq!(office.answered(&answer), Verdict::Resigned, "{answer:?}");
        }
    }

    #[test]
    fn each_side_has_terms_of_its_own() {
        let mut office = Office::new(millis(0), Election::External, Side::A, Some(Term(4)));
        assert_eq!(office.own_term(), Term(6));
        office.learn(Term(7));
        office.learn(Term(5));
        assert_eq!(office.own_term(), Term(8));
        let office = Office::new(millis(0), Election::External, Side::B, Some(Term(4)));
        assert_eq!(office.own_term(), Term(5));
        assert_eq!(office.poll_timeout(), None);
    }

    #[test]
    fn only_who_was_active_right_before_knows_what_there_is() {
        let after =
            |election, last, term| Office::new(millis(0), election, Side::A, last).is_successor_of_itself(Term(term));
        assert!(after(ELECTED, Some(Term(4)), 5));
        assert!(!after(ELECTED, Some(Term(4)), 6), "somebody was in between");
        assert!(!after(ELECTED, None, 1));
        assert!(!after(Election::External, Some(Term(4)), 6), "nobody knows");
        assert!(after(Election::Fixed(Role::Active), None, 2), "the other one never is");
    }
}
