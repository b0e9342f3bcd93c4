//! The world: one table, those who ask it, packets, a plane and a disk, and the steps that they take in an order that the seed says.

mod acts;
mod answers;
mod lives;

use std::hash::BuildHasher;
use std::num::NonZeroU32;
use std::task::Context;
use std::time::Duration;

use foldhash::fast::FixedState;
use opof_daemon::driver::Lent;
use opof_daemon::simulation::{Asked, Disk, SimulatedTime, Stored, Table};
use opof_dataplane::faulty::FaultRates;
use opof_dataplane::{Dice, SimPlane, SimPorts};
use opof_session::engine::EngineConfig;
use opof_session::plane::Slot;
use opof_session::request::RequestBody;
use opof_session::types::SessionId;

use self::acts::{ACTS, Act};
use crate::bell::Bell;
use crate::choice::{choose, prefer};
use crate::governed::Governed;
use crate::ledger::{Checked, Ledger, holds};
use crate::limits;
use crate::traffic;
use crate::watch::Watch;

/// What somebody waits to hear of.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Subject {
    Add(Vec<SessionId>),
    Delete {
        id: SessionId,
        record: bool,
    },
    Get(SessionId),
    /// With what was forwarded when it was asked for, by slot, number and start.
    Reset(Vec<(Slot, u64, u64)>),
    Records,
    Other,
}

#[derive(Debug)]
struct Question {
    asked: Asked,
    subject: Subject,
}

/// Everything.
pub struct World {
    dice: Dice,
    /// What the seed prefers.
    acts: Vec<(Act, u32)>,
    config: EngineConfig,
    time: SimulatedTime,
    plane: Governed,
    ports: SimPorts,
    disk: Option<Disk>,
    boots: u64,
    /// `None` while none runs.
    table: Option<Table>,
    bell: Bell,
    questions: Vec<Question>,
    loans: Vec<Lent>,
    ledger: Ledger,
    watch: Watch,
    is_calm: bool,
    /// What was done, for people.
    told: Vec<String>,
    /// Of everything that was done and answered.
    print: u64,
}

fn between(dice: &mut Dice, (least, most): (u32, u32)) -> u32 {
    least + dice.below_u32(most - least + 1)
}

impl World {
    /// As the seed has it.
    ///
    /// # Errors
    /// When a table does not begin.
    pub fn new(seed: u64) -> Result<Self, String> {
        let mut dice = Dice(seed);
        let acts = prefer(&mut dice, &ACTS, |act| act == Act::Turn);
        let sessions = between(&mut dice, limits::SESSIONS);
        let config = EngineConfig {
            max_sessions: sessions,
            max_closed: if dice.chance(150) { 2 + dice.below(6) } else { 1 << 16 },
            // Where there is a disk.
            stores_closed: false,
            max_next_hops: 2,
            tcp_timeout: Duration::from_secs(100),
            udp_timeout: Duration::from_secs(30),
            max_timeout: Duration::from_secs(1000),
            lifs: traffic::lifs(),
            hash_seed: dice.number(),
        };
        let disk = dice.chance(750).then(Disk::default);
        let (plane, ports) = SimPlane::new(&traffic::lifs(), sessions + dice.below_u32(3));
        let plane = Governed::new(plane, FaultRates::default(), dice.number());
        let time = SimulatedTime::default();
        time.advance(Duration::from_secs(1000));
        let mut world = Self {
            acts,
            config,
            time,
            plane,
            ports,
            boots: 1,
            table: None,
            bell: Bell::default(),
            questions: Vec::new(),
            loans: Vec::new(),
            ledger: Ledger::new(disk.is_some()),
            watch: Watch::default(),
            is_calm: false,
            told: Vec::new(),
            print: seed,
            disk,
            dice,
        };
        world.begin()?;
        Ok(world)
    }

    /// Everything that the seed has in store, and then until all has ended.
    ///
    /// # Errors
    /// When something is not as the model has it.
    pub fn run(&mut self) -> Checked {
        let (least, most) = limits::STEPS;
        let steps = least + self.dice.below(most - least);
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
        let at = self.time.now().0 / 1_000_000;
        let line = format!("{}.{:03} {what}", at / 1000, at % 1000);
        self.print = FixedState::with_seed(self.print).hash_one(&line);
        self.told.push(line);
    }

    /// By slot, number and start.
    fn forwarded(&self) -> Vec<(Slot, u64, u64)> {
        let found = self.ports.found().into_iter().filter(|found| found.forwarded.contains(&true));
        found.map(|found| (found.slot, found.note.0[0], found.note.0[1])).collect()
    }

    fn step(&mut self) -> Checked {
        let act = choose(&mut self.dice, &self.acts).unwrap_or(Act::Turn);
        self.act(act)?;
        self.settle()?;
        self.ledger.check_plane(&self.ports.found())
    }

    fn is_due(&self) -> bool {
        let due = self.table.as_ref().and_then(Table::due);
        self.bell.is_rung() || due.is_some_and(|due| due <= self.time.now())
    }

    fn turn(&mut self) -> Checked {
        let Some(table) = &mut self.table else { return Ok(()) };
        let waker = self.bell.answer();
        if table.turn(&mut Context::from_waker(&waker)).is_ready() {
            self.tell("the driver has ended");
            self.table = None;
            return Ok(());
        }
        let (wrong, statistics) = {
            let mut seen = self.watch.seen();
            (seen.wrong.take(), seen.statistics)
        };
        self.tell(format!("turn: {} sessions, {} records", statistics.sessions, statistics.closed_waiting));
        wrong.map_or(Ok(()), Err)
    }

    fn store(&mut self) -> Stored {
        let stored = self.table.as_mut().map_or(Stored::Nothing, Table::store);
        match &stored {
            Stored::Nothing => {}
            Stored::Batch { records, ended } => self.ledger.stored(records, ended),
            Stored::Not { records, ended } => self.ledger.perhaps_stored(records, ended),
        }
        if stored != Stored::Nothing {
            self.tell(format!("disk: {stored:?}"));
        }
        stored
    }

    fn wait(&mut self, time: Duration) {
        self.time.advance(time);
        self.tell(format!("{time:?} pass"));
    }

    /// Nothing fails any more and nobody asks for anything: everything is answered, runs out and is reported.
    fn come_to_rest(&mut self) -> Checked {
        self.tell("everything comes to rest");
        self.is_calm = true;
        self.plane.set_rates(FaultRates::default());
        if let Some(disk) = &self.disk {
            disk.fail_after(None);
        }
        let end = self.time.now().saturating_add(limits::REST);
        let mut turns = 0;
        loop {
            turns += 1;
            holds!(turns < limits::TURNS, "it never comes to rest");
            self.settle()?;
            self.ledger.check_plane(&self.ports.found())?;
            if self.is_due() {
                self.turn()?;
                continue;
            }
            if self.store() != Stored::Nothing {
                continue;
            }
            if !self.loans.is_empty() {
                self.deliver()?;
                continue;
            }
            let statistics = self.watch.seen().statistics;
            if statistics.closed_waiting > 0 && self.questions.is_empty() {
                let records = NonZeroU32::MIN.saturating_add(99);
                self.ask(RequestBody::Collect { records }, Subject::Records);
                continue;
            }
            if statistics.sessions == 0 && self.questions.is_empty() {
                break;
            }
            let due = self.table.as_ref().and_then(Table::due);
            let Some(due) = due.filter(|due| *due <= end) else {
                return Err(format!("it waits for {due:?} with {statistics:?} and questions {:?}", self.questions));
            };
            self.wait(due.saturating_since(self.time.now()));
        }
        let kept = self.ports.found();
        holds!(kept.is_empty(), "the plane still has {kept:?}");
        self.ledger.balance(self.watch.seen().lost)
    }
}
