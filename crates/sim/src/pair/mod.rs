//! A pair of devices: two session tables, each with its plane and its clock, the line between them, and a store of roles.
//!
//! The line loses, doubles, delays and reorders; it can be cut, as can the ways to the store, which can stop; devices pause, are killed and
//! begin anew. After each step both are compared with a model. What must not be here: the model (`ledger`).

mod acts;
mod device;
mod ledger;
mod line;
mod office;

use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::time::Duration;

use foldhash::fast::FixedState;
use opof_daemon::simulation::Asked;
use opof_dataplane::Dice;
use opof_session::ha::term::Role;
use opof_session::ha::{Command, Why};
use opof_session::request::RequestBody;
use opof_session::types::SessionId;

use self::acts::{ACTS, Act};
use self::device::Device;
use self::ledger::{Instance, Ledger, Mishap, Views};
use self::line::Line;
use self::office::Office;
use crate::choice::{choose, prefer};
use crate::ledger::{Checked, holds};
use crate::limits;

/// True time is counted in nanoseconds.
const fn nanos(time: Duration) -> u64 {
    time.as_secs() * 1_000_000_000 + time.subsec_nanos() as u64
}

/// The two, by number.
pub(crate) type Which = usize;

/// What somebody waits to hear of.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Subject {
    Add(Vec<Instance>),
    Delete(SessionId),
    See,
    Records,
    Other,
}

#[derive(Debug)]
struct Question {
    of: Which,
    asked: Asked,
    subject: Subject,
    /// What had been seen by then.
    before: Views,
}

/// Everything.
pub struct World {
    dice: Dice,
    acts: Vec<(Act, u32)>,
    /// True time.
    now: u64,
    devices: [Device; 2],
    line: Line,
    office: Office,
    /// Where the packets are.
    wire: Which,
    questions: Vec<Question>,
    ledger: Ledger,
    /// Who was active in each term.
    actives: BTreeMap<u64, u64>,
    next_port: u16,
    is_gentle: bool,
    is_calm: bool,
    told: Vec<String>,
    print: u64,
}

impl World {
    /// As the seed has it.
    ///
    /// # Errors
    /// When a device does not begin.
    pub fn new(seed: u64) -> Result<Self, String> {
        let mut dice = Dice(seed);
        let mut acts = prefer(&mut dice, &ACTS, Act::is_needed);
        // What is never lost can be counted.
        let is_gentle = dice.chance(limits::GENTLE);
        let is_mortal = !is_gentle && dice.chance(limits::MORTAL);
        let happens = |act: Act| !act.may_lose() || !is_gentle && (!is_mortal || act == Act::Kill);
        acts.retain(|(act, _)| happens(*act));
        let sync = dice.chance(500);
        let sessions = limits::SESSIONS.0 + dice.below_u32(limits::SESSIONS.1 - limits::SESSIONS.0 + 1);
        let seeds = [dice.number(), dice.number()];
        let mut device = |which: Which| Device::new(which, seeds[which], sessions, sync, &mut dice);
        let devices = [device(0)?, device(1)?];
        Ok(Self {
            acts,
            now: 0,
            devices,
            line: Line::default(),
            office: Office::default(),
            wire: 0,
            questions: Vec::new(),
            ledger: Ledger::new(dice.chance(300), sync),
            actives: BTreeMap::new(),
            next_port: 1,
            is_gentle,
            is_calm: false,
            told: Vec::new(),
            print: seed,
            dice,
        })
    }

    /// Everything that the seed has in store, and then until all has ended.
    ///
    /// # Errors
    /// When something is not as the model has it.
    pub fn run(&mut self) -> Checked {
        let steps = limits::STEPS.0 + self.dice.below(2 * limits::STEPS.1);
        for _ in 0..steps {
            self.step()?;
        }
        self.come_to_rest()
    }

    /// What was done last, for people.
    pub fn told(&self) -> &[String] {
        &self.told
    }

    /// Of everything that was done and answered: the same for the same seed.
    pub const fn print(&self) -> u64 {
        self.print
    }

    fn tell(&mut self, what: impl std::fmt::Display) {
        let at = self.now / 1_000_000;
        let line = format!("{}.{:03} {what}", at / 1000, at % 1000);
        self.print = FixedState::with_seed(self.print).hash_one(&line);
        self.told.push(line);
    }

    fn step(&mut self) -> Checked {
        let act = choose(&mut self.dice, &self.acts).unwrap_or(Act::Wait);
        self.act(act)?;
        self.go_on()
    }

    /// Whatever is due: messages arrive, devices have their turns, answers are heard.
    fn go_on(&mut self) -> Checked {
        for _ in 0..limits::TURNS {
            self.settle()?;
            self.check()?;
            let is_stored = self.dice.chance(300) && self.devices[self.dice.below(2)].store();
            let due = (0..2).find(|which| self.devices[*which].is_due());
            let Some(which) = due else {
                if is_stored || self.devices.iter_mut().any(Device::store) {
                    continue;
                }
                return Ok(());
            };
            self.turn(which)?;
        }
        Err("it never comes to rest".to_owned())
    }

    fn turn(&mut self, which: Which) -> Checked {
        let told = self.devices[which].turn()?;
        self.tell(format!("{which} turns: {told}"));
        let state = self.devices[which].state();
        let run = self.devices[which].run();
        // What a device alone knows goes with it, unless it hands over.
        let is_first = self.actives.range(..state.term.0).next().is_none();
        let is_forgetful = state.role == Role::Active && state.why == Why::ElectedAnew && !is_first;
        if is_forgetful {
            self.ledger.note(Mishap::Oblivion);
        }
        // Both have the same room.
        holds!(self.devices[which].statistics().unfollowed == 0, "{which} has not taken in what the other one had");
        if is_forgetful || state.role == Role::Standby && !matches!(state.why, Why::Start | Why::Handover) {
            self.ledger.note(Mishap::Loss);
        }
        if state.role == Role::Active {
            let before = *self.actives.entry(state.term.0).or_insert(run);
            holds!(before == run, "two devices are active in term {}", state.term);
        }
        while let Some(message) = self.devices[which].said() {
            self.line.send(&mut self.dice, self.now, 1 - which, &message);
        }
        while let Some(request) = self.devices[which].asked_of_store() {
            self.tell(format!("{which} asks the store: {request:?}"));
            self.office.ask(&mut self.dice, self.now, which, request);
        }
        Ok(())
    }

    fn check(&mut self) -> Checked {
        for which in 0..2 {
            self.ledger.check_plane(which, &self.devices[which].lit())?;
        }
        Ok(())
    }

    /// True time goes on, step by step, as things become due.
    fn wait(&mut self, time: Duration) -> Checked {
        let end = self.now + nanos(time);
        self.tell(format!("{time:?} pass"));
        while self.now < end {
            let due =
                [self.line.due(), self.office.due(), self.devices[0].due(self.now), self.devices[1].due(self.now)];
            let next = due.into_iter().flatten().min().unwrap_or(end).clamp(self.now + 1, end);
            let by = next - self.now;
            self.now = next;
            for device in &mut self.devices {
                device.pass(by);
            }
            for (to, message) in self.line.arrive(self.now) {
                self.devices[to].hear(message);
            }
            for (to, answer) in self.office.answers(self.now) {
                self.tell(format!("{to} hears of the store: {answer:?}"));
                self.devices[to].hear_store(answer);
            }
            self.go_on()?;
        }
        Ok(())
    }

    fn ask(&mut self, of: Which, body: RequestBody, subject: Subject) {
        if self.questions.len() >= limits::QUESTIONS {
            return;
        }
        self.tell(format!("ask {of}: {body:?}"));
        if let Some(asked) = self.devices[of].ask(body) {
            let before = self.ledger.views();
            self.questions.push(Question { of, asked, subject, before });
        }
    }

    /// The device that answers firewalls.
    fn active(&self) -> Option<Which> {
        (0..2).find(|which| self.devices[*which].state().takes_calls)
    }

    /// Nothing fails any more: one becomes active, the other one has what it has, and everything ends and is reported.
    fn come_to_rest(&mut self) -> Checked {
        self.tell("everything comes to rest");
        self.is_calm = true;
        self.line.heal();
        self.office.heal();
        for device in &mut self.devices {
            device.heal();
            // Both may have been told to be standby.
            device.command(Command::Become(Role::Active));
        }
        let end = self.now + nanos(limits::PAIR_REST);
        let mut has_converged = false;
        loop {
            let what = || format!("{:?} and {:?}", self.devices[0].describe(), self.devices[1].describe());
            holds!(self.now < end, "it never comes to rest: {}", what());
            self.wait(Duration::from_millis(50))?;
            let Some(active) = self.active() else { continue };
            let standby = &self.devices[1 - active];
            if !has_converged && self.devices[active].statistics().sessions == standby.statistics().sessions {
                let (mine, theirs) = (self.devices[active].forwarded(), standby.forwarded());
                has_converged = mine == theirs && standby.is_lit();
            }
            if self.questions.is_empty() && self.devices[active].statistics().closed_waiting > 0 {
                let records = std::num::NonZeroU32::MIN.saturating_add(99);
                self.ask(active, RequestBody::Collect { records }, Subject::Records);
                continue;
            }
            let is_empty = |device: &Device| {
                let statistics = device.statistics();
                statistics.sessions == 0 && statistics.closed_waiting == 0 && device.kept() == 0
            };
            if has_converged && self.questions.is_empty() && self.devices.iter().all(is_empty) {
                break;
            }
        }
        holds!(!(self.is_gentle && self.ledger.has_seen(Mishap::Loss)), "something was lost by itself");
        self.ledger.balance()
    }
}
