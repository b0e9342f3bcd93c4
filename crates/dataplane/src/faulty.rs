//! A plane that has bad days: it refuses, it dawdles, it takes less than it is given. All from one seed.
//!
//! It keeps the contract of [`DataPlane`] while it does so; an engine has to cope with everything it does. What must
//! not be here: frames that get lost (a matter of links), broken contracts (a matter of the conformance suite's own
//! tests).

use std::collections::{HashMap, HashSet, VecDeque};
use std::task::{Context, Poll, Waker};

use opof_session::l3::{NextHop, VlanFlow};
use opof_session::plane::{
    Capabilities, Command, Completion, Found, InstallError, Note, RemoveError, RouteError, Slot, Subject,
};
use opof_session::types::{Counters, MatchKey, Moment};

use crate::limits::{FAULTY_HOLD, FAULTY_UNDER_WAY};
use crate::{DataPlane, Description, Dice};

/// How often what goes wrong, in thousandths. All zero, the default, is a plane without faults.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FaultRates {
    /// Installs that fail with [`InstallError::Full`].
    pub install_full: u16,
    /// Installs that fail with [`InstallError::Unavailable`].
    pub install_unavailable: u16,
    /// Removals that fail; the session goes on being forwarded.
    pub remove_unavailable: u16,
    /// Changes of what packets are sent by that fail.
    pub route_unavailable: u16,
    /// Answers that are held back, so that those of other slots overtake them.
    pub hold: u16,
    /// For how many polls an answer is held back, from 1 to this; at most [`FAULTY_HOLD`].
    pub hold_polls: u32,
    /// Submits that take fewer commands than they could.
    pub short_submit: u16,
}

impl FaultRates {
    fn check(&self) {
        let installs = self.install_full.saturating_add(self.install_unavailable);
        let rates = [installs, self.remove_unavailable, self.route_unavailable, self.hold, self.short_submit];
        assert!(rates.iter().all(|rate| *rate <= 1000), "rates are thousandths: {self:?}");
        assert!(self.hold_polls <= FAULTY_HOLD, "answers held back for more than {FAULTY_HOLD} polls");
    }
}

/// Decorates a plane with faults.
///
/// Commands that it lets through take effect at once and in order; only answers are late. A late answer needs no
/// clock: it is counted in polls, and a poll that leaves one behind wakes its own waker.
#[derive(Debug)]
pub struct Faulty<D> {
    plane: D,
    rates: FaultRates,
    dice: Dice,
    /// Of each subject, what it has not answered yet, in the order of the commands.
    under_way: HashMap<Subject, VecDeque<Pending>>,
    /// Subjects with something under way, in the order in which they got it: the order to look at them in, for that of a
    /// hash map is not the seed's.
    order: Vec<Subject>,
    pending: usize,
    /// Slots whose last install was refused here, and whether that was answered: the decorated plane knows nothing of them. The owner
    /// may still ask for their removal, until it has taken the answer in.
    refused: HashMap<Slot, bool>,
    /// Keys that are in the table because a removal was refused here.
    stuck: HashMap<MatchKey, Slot>,
    /// Slots whose session is removed and perhaps not forgotten: its keys may be another's when it is to be removed again.
    removed: HashSet<Slot>,
    /// What the decorated plane answers, on its way to `under_way`; kept for its allocation.
    arrived: Vec<Completion>,
    /// Of the latest poll that found nothing, for answers that are made here.
    waker: Option<Waker>,
}

/// A command that was taken and not answered yet.
#[derive(Clone, Copy, Debug)]
struct Pending {
    /// `None` until the decorated plane has answered.
    answer: Option<Completion>,
    /// Polls to go before the answer may leave.
    hold: u32,
}

impl<D: DataPlane> Faulty<D> {
    /// `plane` with faults at `rates`; the same `seed` makes the same faults for the same calls.
    ///
    /// # Panics
    /// When a rate is above 1000, the two of installs together are, or `hold_polls` is above its limit.
    pub fn new(plane: D, rates: FaultRates, seed: u64) -> Self {
        rates.check();
        Self {
            plane,
            rates,
            dice: Dice(seed),
            under_way: HashMap::new(),
            order: Vec::new(),
            pending: 0,
            refused: HashMap::new(),
            stuck: HashMap::new(),
            removed: HashSet::new(),
            arrived: Vec::new(),
            waker: None,
        }
    }

    /// Other rates from now on, for instance none, to let a simulation come to rest.
    ///
    /// # Panics
    /// As [`Faulty::new`].
    pub fn set_rates(&mut self, rates: FaultRates) {
        rates.check();
        self.rates = rates;
    }

    /// How many of `offered` commands to take, the room there is left aside.
    fn appetite(&mut self, offered: usize) -> usize {
        if offered == 0 || !self.dice.chance(self.rates.short_submit) {
            return offered;
        }
        let least = usize::from(self.pending == 0);
        least + self.dice.below(offered - least)
    }

    /// The answer that this command gets without the decorated plane's knowing, if it is to have one.
    fn refuse(&mut self, command: &Command) -> Option<Completion> {
        match *command {
            Command::Install { slot, rules, .. } => {
                self.removed.remove(&slot);
                let is_answered = self.refused.remove(&slot).unwrap_or(true);
                assert!(is_answered, "install into {slot:?}, whose last install is not answered yet");
                let die = self.dice.thousandth();
                let stuck = rules.iter().any(|rule| self.stuck.contains_key(&rule.key));
                let error = if die < self.rates.install_full {
                    InstallError::Full
                } else if stuck || die < self.rates.install_full + self.rates.install_unavailable {
                    InstallError::Unavailable
                } else {
                    return None;
                };
                self.refused.insert(slot, false);
                Some(Completion::Installed { slot, result: Err(error) })
            }
            // Nothing of it ever reached the table, so there is nothing that could fail.
            Command::Remove { slot, .. } if self.refused.contains_key(&slot) => {
                Some(Completion::Removed { slot, result: Ok(Counters::default()) })
            }
            Command::Remove { slot, keys, .. } => {
                if !self.dice.chance(self.rates.remove_unavailable) {
                    self.stuck.retain(|_, holder| *holder != slot);
                    self.removed.insert(slot);
                    return None;
                }
                if !self.removed.contains(&slot) {
                    self.stuck.extend(keys.map(|key| (key, slot)));
                }
                Some(Completion::Removed { slot, result: Err(RemoveError::Unavailable) })
            }
            Command::Read { slot, .. } => {
                assert!(!self.refused.contains_key(&slot), "read of {slot:?}, which is not installed");
                None
            }
            // A plane that can keep something can do without it.
            Command::Forget { .. } => None,
            Command::Route { token, .. } => self
                .dice
                .chance(self.rates.route_unavailable)
                .then_some(Completion::Routed { token, result: Err(RouteError::Unavailable) }),
        }
    }

    fn expect_answer(&mut self, subject: Subject, answer: Option<Completion>) {
        let late = self.dice.chance(self.rates.hold);
        let hold = if late { 1 + self.dice.below_u32(self.rates.hold_polls) } else { 0 };
        let queue = self.under_way.entry(subject).or_default();
        if queue.is_empty() {
            self.order.push(subject);
        }
        queue.push_back(Pending { answer, hold });
        self.pending += 1;
    }

    /// Gives each answer of the decorated plane to the oldest command of its subject that waits for one.
    fn sort_in(&mut self) {
        for completion in self.arrived.drain(..) {
            let queue = self.under_way.get_mut(&completion.subject());
            let waiting = queue.and_then(|queue| queue.iter_mut().find(|pending| pending.answer.is_none()));
            waiting.unwrap_or_else(|| panic!("an answer that nobody waits for: {completion:?}")).answer =
                Some(completion);
        }
    }

    /// Lets out what may leave. An answer that is held back holds those behind it on its subject, not those of others.
    fn release(&mut self, completions: &mut Vec<Completion>) {
        let Self { under_way, refused, order, pending, .. } = self;
        order.retain(|subject| {
            let queue = under_way.get_mut(subject).expect("a subject in the order has something under way");
            while let Some(first) = queue.front_mut() {
                let Some(answer) = first.answer else { break };
                if first.hold > 0 {
                    first.hold -= 1;
                    break;
                }
                if let Completion::Installed { slot, result: Err(_) } = &answer {
                    refused.entry(*slot).and_modify(|is_answered| *is_answered = true);
                }
                completions.push(answer);
                queue.pop_front();
                *pending -= 1;
            }
            let busy = !queue.is_empty();
            if !busy {
                under_way.remove(subject);
            }
            busy
        });
    }

    fn holds_answers(&self) -> bool {
        self.under_way.values().any(|queue| queue.front().is_some_and(|first| first.answer.is_some()))
    }
}

impl<D: DataPlane> DataPlane for Faulty<D> {
    fn capabilities(&self) -> Capabilities {
        self.plane.capabilities()
    }

    fn submit(&mut self, now: Moment, commands: &[Command]) -> usize {
        let room = FAULTY_UNDER_WAY - self.pending;
        let wanted = self.appetite(commands.len()).min(room);
        for (index, command) in commands[..wanted].iter().enumerate() {
            let answer = self.refuse(command);
            // One at a time: a fault decides about one command, and the next may depend on it.
            if answer.is_none() && self.plane.submit(now, std::slice::from_ref(command)) == 0 {
                return index;
            }
            if answer.is_some()
                && let Some(waker) = self.waker.take()
            {
                waker.wake();
            }
            self.expect_answer(command.subject(), answer);
        }
        wanted
    }

    fn poll(&mut self, context: &mut Context<'_>, completions: &mut Vec<Completion>) -> Poll<()> {
        let before = completions.len();
        while self.plane.poll(context, &mut self.arrived).is_ready() {}
        self.sort_in();
        self.release(completions);
        if completions.len() > before {
            return Poll::Ready(());
        }
        self.waker = Some(context.waker().clone());
        if self.holds_answers() {
            context.waker().wake_by_ref();
        }
        Poll::Pending
    }

    fn found(&mut self, each: &mut dyn FnMut(&Found)) {
        self.plane.found(each);
    }

    fn found_routes(&mut self) -> (Vec<NextHop>, Vec<VlanFlow>) {
        self.plane.found_routes()
    }

    fn purge(&mut self, slots: &[Slot]) {
        self.plane.purge(slots);
    }

    fn departed(&mut self, each: &mut dyn FnMut(&Note, Counters)) {
        self.plane.departed(each);
    }

    fn stay(&mut self) {
        self.plane.stay();
    }

    fn forward_until(&mut self, until: Moment) {
        self.plane.forward_until(until);
    }

    fn describe(&self) -> Description {
        self.plane.describe()
    }
}

#[cfg(test)]
mod tests;
