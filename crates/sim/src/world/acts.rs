//! What a step can be: somebody asks, a packet comes, something begins to fail.

use std::num::NonZeroU32;
use std::time::Duration;

use opof_dataplane::faulty::FaultRates;
use opof_dataplane::{Outcome, Port, PortRole};
use opof_session::plane::FastAction;
use opof_session::request::{L3Request, RequestBody, SameTuple};
use opof_session::types::{Direction, SessionId};
use opof_wire::Transport;
use opof_wire::tcp::Flags;

use super::{Question, Subject, World};
use crate::ledger::{Checked, holds};
use crate::limits;
use crate::traffic::{self, Kind};

/// What a step can be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Act {
    Turn,
    Store,
    Wait,
    Add,
    Delete,
    Get,
    List,
    Reset,
    SetNextHop,
    DestroyNextHop,
    VlanFlow,
    Collect,
    Deliver,
    Packet,
    GiveUp,
    Faults,
    DiskFaults,
    Kill,
    Stop,
    PowerFailure,
}

/// How often each happens beside the others, before a seed has its preferences.
pub(super) const ACTS: [(Act, u32); 20] = [
    (Act::Turn, 60),
    (Act::Store, 20),
    (Act::Wait, 15),
    (Act::Add, 25),
    (Act::Delete, 10),
    (Act::Get, 4),
    (Act::List, 3),
    (Act::Reset, 1),
    (Act::SetNextHop, 4),
    (Act::DestroyNextHop, 2),
    (Act::VlanFlow, 1),
    (Act::Collect, 8),
    (Act::Deliver, 8),
    (Act::Packet, 30),
    (Act::GiveUp, 1),
    (Act::Faults, 3),
    (Act::DiskFaults, 3),
    (Act::Kill, 2),
    (Act::Stop, 1),
    (Act::PowerFailure, 1),
];

impl World {
    pub(super) fn act(&mut self, act: Act) -> Checked {
        match act {
            // Now and then nobody has rung, which must do no harm.
            Act::Turn if self.is_due() || self.dice.chance(60) => return self.turn(),
            Act::Turn => {}
            Act::Store => drop(self.store()),
            Act::Wait => {
                let longest = [1, 20, 150, 1000, 4000][self.dice.below(5)];
                let millis = 1 + self.dice.below_u32(longest);
                self.wait(Duration::from_millis(millis.into()));
            }
            Act::Add => self.add(),
            Act::Delete => {
                let (id, record) = (self.id(), self.dice.chance(400));
                self.ask(RequestBody::Delete { id, record }, Subject::Delete { id, record });
            }
            Act::Get => {
                let id = self.id();
                self.ask(RequestBody::Get(id), Subject::Get(id));
            }
            Act::List => {
                let (from, skip) = (self.id(), self.dice.below_u32(3));
                let rows = NonZeroU32::MIN.saturating_add(self.dice.below_u32(20));
                self.ask(RequestBody::List { from, skip, rows }, Subject::Other);
            }
            Act::Reset => self.ask(RequestBody::Reset, Subject::Reset(self.forwarded())),
            Act::SetNextHop => {
                let hop = traffic::next_hop(traffic::port(&mut self.dice));
                self.ask(RequestBody::L3(L3Request::SetNextHop(hop)), Subject::Other);
            }
            Act::DestroyNextHop => {
                let hop = traffic::next_hop(traffic::port(&mut self.dice));
                let all = self.dice.chance(200);
                let request = if all { L3Request::ClearNextHops } else { L3Request::DestroyNextHop(hop.id) };
                self.ask(RequestBody::L3(request), Subject::Other);
            }
            Act::VlanFlow => {
                let request = if self.dice.chance(500) { L3Request::ListVlanFlows } else { L3Request::ClearVlanFlows };
                self.ask(RequestBody::L3(request), Subject::Other);
            }
            Act::Collect => {
                let records = NonZeroU32::MIN.saturating_add(self.dice.below_u32(5));
                if self.loans.len() < limits::LOANS {
                    self.ask(RequestBody::Collect { records }, Subject::Records);
                }
            }
            Act::Deliver => return self.deliver(),
            Act::Packet => return self.packet(),
            Act::GiveUp => self.give_up(),
            Act::Faults => self.set_faults(),
            Act::DiskFaults => self.set_disk_faults(),
            Act::Kill | Act::PowerFailure => return self.kill(act == Act::PowerFailure),
            Act::Stop => return self.stop(),
        }
        Ok(())
    }

    fn id(&mut self) -> SessionId {
        SessionId(self.dice.number() % limits::IDS)
    }

    fn add(&mut self) {
        let (kind, count) = (traffic::kind(&mut self.dice), 1 + self.dice.below(limits::BATCH));
        let sessions = (0..count).map(|_| {
            let (id, port) = (self.dice.number() % limits::IDS, traffic::port(&mut self.dice));
            kind.session(id, port)
        });
        let sessions: Vec<_> = sessions.collect();
        let ids = sessions.iter().map(|spec| spec.id).collect();
        let same_tuple = if self.dice.chance(300) { SameTuple::Reject } else { SameTuple::Supersede };
        // Sessions are told apart by number and start.
        self.time.advance(Duration::from_nanos(1));
        let body = RequestBody::Add { sessions: sessions.clone(), same_tuple };
        let before = self.questions.len();
        self.ask(body, Subject::Add(ids));
        if self.questions.len() > before {
            for spec in &sessions {
                self.ledger.ask(spec);
            }
        }
    }

    pub(super) fn ask(&mut self, body: RequestBody, subject: Subject) {
        if self.questions.len() >= limits::QUESTIONS {
            return;
        }
        self.tell(format!("ask {body:?}"));
        if let Some(asked) = self.table.as_ref().and_then(|table| table.ask(body)) {
            self.questions.push(Question { asked, subject });
        }
    }

    fn packet(&mut self) -> Checked {
        let kind = traffic::kind(&mut self.dice);
        if kind == Kind::Elsewhere {
            return Ok(());
        }
        let spec = kind.session(0, traffic::port(&mut self.dice));
        let direction = if self.dice.chance(500) { Direction::In } else { Direction::Out };
        let control = self.dice.chance(100).then(|| [Flags::SYN, Flags::FIN, Flags::RST][self.dice.below(3)]);
        let frame = traffic::frame(&spec, direction, control, self.dice.below(100));
        let key = spec.match_key(direction);
        let found = self.ports.found();
        let owner = found.iter().find_map(|found| {
            let at = found.rules.iter().position(|rule| rule.key == key).filter(|at| found.forwarded[*at])?;
            let direction = if at == 0 { Direction::In } else { Direction::Out };
            let is_routed =
                matches!(found.rules[at].action, FastAction::Forward { change, .. } if change.next_hop.is_some());
            Some((SessionId(found.note.0[0]), direction, is_routed))
        });
        let outcome = self.ports.receive(self.time.now(), Port::wire(key.lif), &frame);
        let is_hit = match &outcome {
            Outcome::Out { port, .. } => port.role == PortRole::Wire,
            Outcome::Dropped => true,
        };
        let taken = if is_hit { "hits" } else { "misses" };
        self.tell(format!("packet {key} {taken} {}", owner.map_or_else(String::new, |(id, ..)| format!("{id:?}"))));
        let is_control = control.is_some() && key.flow.transport == Transport::Tcp;
        if !is_hit {
            // Its next hop may be gone.
            let may_miss = is_control || owner.is_none_or(|(.., is_routed)| is_routed);
            holds!(may_miss, "{key} of {owner:?} missed");
            return Ok(());
        }
        holds!(!is_control, "a packet with {control:?} took the fast path: {key}");
        let Some((id, direction, _)) = owner else { return Err(format!("{key} took the fast path of nobody")) };
        self.ledger.send(self.time.now(), id, direction, frame.len());
        Ok(())
    }

    fn set_faults(&mut self) {
        let rates = if self.dice.chance(300) {
            FaultRates::default()
        } else {
            let mut rate = || u16::try_from(self.dice.below_u32(350)).unwrap_or_default();
            FaultRates {
                install_full: rate(),
                install_unavailable: rate(),
                remove_unavailable: rate(),
                route_unavailable: rate(),
                hold: 2 * rate(),
                hold_polls: 1 + u32::from(rate()) / 30,
                short_submit: rate(),
            }
        };
        self.tell(format!("{rates:?}"));
        self.plane.set_rates(rates);
    }

    fn set_disk_faults(&mut self) {
        let calls = self.dice.chance(600).then(|| self.dice.below_u32(40));
        let Some(disk) = &self.disk else { return };
        disk.fail_after(calls);
        self.tell(format!("the disk fails after {calls:?} calls"));
    }
}
