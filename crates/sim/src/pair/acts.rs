//! What a step can be: somebody asks, a packet comes, something begins to fail or is well again.

use std::num::NonZeroU32;
use std::time::Duration;

use opof_daemon::simulation::Said;
use opof_dataplane::faulty::FaultRates;
use opof_dataplane::{Outcome, Port, PortRole};
use opof_session::ha::Command;
use opof_session::ha::term::Role;
use opof_session::request::{L3Request, ReplyBody, RequestBody, SameTuple};
use opof_session::types::{Direction, SessionId};

use super::ledger::{Instance, Mishap, Views, id_of};
use super::{Question, Subject, Which, World};
use crate::ledger::{Checked, holds};
use crate::limits;
use crate::traffic::{self, Kind};

/// What a step can be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Act {
    Wait,
    WaitLong,
    Add,
    Delete,
    See,
    Reset,
    NextHop,
    Collect,
    Packet,
    MoveWire,
    Faults,
    Line,
    CutLine,
    Store,
    Pause,
    Kill,
    Switchover,
    Become,
    Resync,
}

/// How often each happens beside the others, before a seed has its preferences.
pub(super) const ACTS: [(Act, u32); 19] = [
    (Act::Wait, 80),
    (Act::WaitLong, 8),
    (Act::Add, 30),
    (Act::Delete, 12),
    (Act::See, 6),
    (Act::Reset, 1),
    (Act::NextHop, 3),
    (Act::Collect, 8),
    (Act::Packet, 60),
    (Act::MoveWire, 2),
    (Act::Faults, 2),
    (Act::Line, 3),
    (Act::CutLine, 2),
    (Act::Store, 2),
    (Act::Pause, 2),
    (Act::Kill, 1),
    (Act::Switchover, 2),
    (Act::Become, 1),
    (Act::Resync, 1),
];

impl Act {
    /// Nothing would happen without it.
    pub(super) fn is_needed(self) -> bool {
        matches!(self, Self::Wait | Self::WaitLong | Self::Add)
    }

    /// What one device alone knows can be lost by it.
    pub(super) fn may_lose(self) -> bool {
        matches!(self, Self::CutLine | Self::Store | Self::Pause | Self::Kill | Self::Become | Self::Resync)
    }
}

impl World {
    pub(super) fn act(&mut self, act: Act) -> Checked {
        if act.may_lose() {
            self.ledger.note(Mishap::Loss);
        }
        if matches!(act, Act::CutLine | Act::Pause) {
            self.ledger.note(Mishap::Silence);
        }
        match act {
            Act::Wait => {
                let longest = [1, 20, 150, 400][self.dice.below(4)];
                let time = Duration::from_micros(u64::from(200 + 1000 * self.dice.below_u32(longest)));
                return self.wait(time);
            }
            Act::WaitLong => {
                let time = Duration::from_millis(u64::from(500 + self.dice.below_u32(5000)));
                return self.wait(time);
            }
            Act::Add => self.add(),
            Act::Delete => {
                let id = self.id();
                let of = self.asked();
                self.ask(of, RequestBody::Delete { id, record: false }, Subject::Delete(id));
            }
            Act::See => {
                let (of, id) = (self.asked(), self.id());
                let rows = NonZeroU32::MIN.saturating_add(9);
                let body = if self.dice.chance(500) {
                    RequestBody::Get(id)
                } else {
                    RequestBody::List { from: id, skip: 0, rows }
                };
                self.ask(of, body, Subject::See);
            }
            Act::Reset => {
                let of = self.asked();
                self.ask(of, RequestBody::Reset, Subject::Other);
            }
            Act::NextHop => {
                let hop = traffic::next_hop(traffic::port(&mut self.dice));
                let of = self.asked();
                let gone = self.dice.chance(250);
                let request = if gone { L3Request::DestroyNextHop(hop.id) } else { L3Request::SetNextHop(hop) };
                self.ask(of, RequestBody::L3(request), Subject::Other);
            }
            Act::Collect => {
                let of = self.asked();
                let records = NonZeroU32::MIN.saturating_add(self.dice.below_u32(5));
                self.ask(of, RequestBody::Collect { records }, Subject::Records);
            }
            Act::Packet => self.packet(),
            Act::MoveWire => {
                self.wire = 1 - self.wire;
                self.tell(format!("the wire is at {}", self.wire));
            }
            Act::Faults => self.set_faults(),
            Act::Line => {
                let is_well = self.dice.chance(300);
                let mut rate = |most| if is_well { 0 } else { self.dice.below_u32(most) };
                let rates = [rate(300), rate(200)].map(|rate| u16::try_from(rate).unwrap_or_default());
                self.line.delay = rate(60);
                [self.line.loss, self.line.doubles] = rates;
                self.tell(format!("line: {rates:?}, {} ms", self.line.delay));
            }
            Act::CutLine => {
                let cut = self.dice.chance(500);
                self.line.is_cut = if self.dice.chance(700) { [cut; 2] } else { [cut, !cut] };
                self.tell(format!("line cut: {:?}", self.line.is_cut));
            }
            Act::Store => {
                self.office.is_stopped = self.dice.chance(250);
                self.office.is_cut = [self.dice.chance(250), self.dice.chance(250)];
                self.office.delay = [0, 0, 5, 300][self.dice.below(4)];
                self.office.loses_answers = self.dice.chance(150);
                self.tell(format!("store stopped: {}, cut: {:?}", self.office.is_stopped, self.office.is_cut));
            }
            Act::Pause => {
                let which = self.dice.below(2);
                self.devices[which].is_paused = self.dice.chance(500);
                self.tell(format!("{which} pauses: {}", self.devices[which].is_paused));
            }
            Act::Kill => return self.kill(),
            Act::Switchover => {
                if let Some(which) = self.active() {
                    self.tell(format!("{which} is told to hand over"));
                    self.devices[which].command(Command::Switchover);
                }
            }
            Act::Become => {
                let which = self.dice.below(2);
                let role = if self.dice.chance(700) { Role::Active } else { Role::Standby };
                self.tell(format!("{which} is told to be {role}"));
                self.devices[which].command(Command::Become(role));
            }
            Act::Resync => {
                let which = self.dice.below(2);
                self.tell(format!("{which} is told to begin anew"));
                self.devices[which].command(Command::Resync);
            }
        }
        Ok(())
    }

    /// Who is asked: mostly the one that answers.
    fn asked(&mut self) -> Which {
        let any = self.dice.below(2);
        if self.dice.chance(100) { any } else { self.active().unwrap_or(any) }
    }

    fn id(&mut self) -> SessionId {
        let any = self.dice.number() % limits::IDS;
        SessionId(if self.ledger.reuses { any } else { u64::from(self.next_port).saturating_sub(any) })
    }

    fn add(&mut self) {
        let of = self.asked();
        let count = 1 + self.dice.below(limits::BATCH);
        let mut sessions = Vec::new();
        for _ in 0..count {
            let kind = [Kind::Across, Kind::Across, Kind::V6, Kind::OneArmed, Kind::Routed][self.dice.below(5)];
            self.next_port = self.next_port.wrapping_add(1).max(1);
            let id = if self.ledger.reuses { self.dice.number() % limits::IDS } else { self.next_port.into() };
            sessions.push(kind.session(id, self.next_port));
        }
        // Another one takes the tuple of one that is there.
        if self.dice.chance(200)
            && let Some(first) = self.devices[of].lit().first()
        {
            let again = Kind::Across.session(sessions[0].id.0, first.rules[0].key.flow.source_port);
            if !self.ledger.knows(Instance::of_spec(&again)) {
                sessions[0] = again;
            }
        }
        let instances: Vec<_> = sessions.iter().map(Instance::of_spec).collect();
        let before = self.questions.len();
        let body = RequestBody::Add { sessions: sessions.clone(), same_tuple: SameTuple::Supersede };
        self.ask(of, body, Subject::Add(instances));
        if self.questions.len() > before {
            for spec in &sessions {
                self.ledger.ask(spec);
            }
        }
    }

    fn packet(&mut self) {
        let which = if self.dice.chance(900) { self.wire } else { 1 - self.wire };
        let lit = self.devices[which].lit();
        if lit.is_empty() {
            return;
        }
        let found = &lit[self.dice.below(lit.len())];
        let (at, direction) = if self.dice.chance(500) { (0, Direction::In) } else { (1, Direction::Out) };
        let rule = found.rules[at];
        let frame = opof_testkit::packet::Packet::with_key(&rule.key.flow).payload(&[0xA5; 20]).build();
        let now = self.devices[which].now();
        let outcome = self.devices[which].ports.receive(now, Port::wire(rule.key.lif), &frame);
        let is_hit = matches!(&outcome, Outcome::Out { port, .. } if port.role == PortRole::Wire);
        let instance = Instance::of(found);
        self.tell(format!("packet of {instance:?} at {which}: {is_hit}"));
        if is_hit {
            self.ledger.send(instance, direction);
        }
    }

    fn set_faults(&mut self) {
        let which = self.dice.below(2);
        let rates = if self.dice.chance(400) {
            FaultRates::default()
        } else {
            let mut rate = || u16::try_from(self.dice.below_u32(300)).unwrap_or_default();
            FaultRates {
                install_full: 0,
                install_unavailable: 0,
                remove_unavailable: rate(),
                route_unavailable: rate(),
                hold: 2 * rate(),
                hold_polls: 1 + u32::from(rate()) / 30,
                short_submit: rate(),
            }
        };
        self.tell(format!("{which}: {rates:?}"));
        self.devices[which].set_rates(rates);
    }

    fn kill(&mut self) -> Checked {
        let (which, power) = (self.dice.below(2), self.dice.chance(300));
        self.tell(format!("{which} is killed, power: {power}"));
        self.office.forget(which);
        self.devices[which].begin_anew(&mut self.dice, power)?;
        self.settle()
    }

    /// What has been answered meanwhile.
    pub(super) fn settle(&mut self) -> Checked {
        let mut at = 0;
        while at < self.questions.len() {
            let Some(said) = self.questions[at].asked.answer() else {
                at += 1;
                continue;
            };
            let Question { of, subject, before, .. } = self.questions.remove(at);
            self.hear(of, subject, &before, said)?;
        }
        Ok(())
    }

    fn hear(&mut self, of: Which, subject: Subject, before: &Views, said: Said) -> Checked {
        let state = self.devices[of].state();
        let text = match &said {
            Said::Lent(lent) => format!("{} records", lent.as_ref().map_or(0, opof_daemon::driver::Lent::len)),
            said => format!("{said:?}"),
        };
        self.tell(format!("{of} answers {subject:?}: {text}"));
        if !matches!(said, Said::NotActive | Said::Nothing) {
            // Whoever answers is active, and nobody is since.
            let highest = self.actives.keys().next_back().copied().unwrap_or_default();
            holds!(state.term.0 >= highest, "{of} answers in term {}, and there is {highest}", state.term);
        }
        match (subject, said) {
            (Subject::Add(instances), Said::Reply(ReplyBody::Added { refused })) => {
                for (index, instance) in (0..).zip(instances) {
                    let refused = refused.iter().find(|refused| refused.index == index);
                    holds!(refused.is_none_or(|r| r.id == id_of(instance)), "{refused:?} is not {instance:?}");
                    self.ledger.answer(instance, refused.is_none());
                }
            }
            (Subject::Delete(id), Said::Reply(ReplyBody::Deleted(Some(view)))) => {
                holds!(view.spec.id == id, "a delete of {id} is answered with {view:?}");
                self.ledger.delete(&view, state.term.0)?;
            }
            (Subject::See, Said::Reply(ReplyBody::Got(view))) => {
                view.iter().try_for_each(|view| self.ledger.see(view, state.term.0, before))?;
            }
            (Subject::See, Said::Reply(ReplyBody::Listed { sessions, .. })) => {
                sessions.iter().try_for_each(|view| self.ledger.see(view, state.term.0, before))?;
            }
            (Subject::Records, Said::Lent(Some(mut lent))) => {
                let records: Vec<_> = std::iter::from_fn(|| lent.take_next()).collect();
                for record in &records {
                    self.tell(format!("delivered {record:?}"));
                    self.ledger.deliver(record)?;
                }
                lent.mark_delivered();
            }
            _ => {}
        }
        Ok(())
    }
}
