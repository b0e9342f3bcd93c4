//! One of the two: a session table as it is in a daemon, a plane, and a clock that is neither right nor even.

use std::collections::BTreeSet;
use std::task::Context;
use std::time::Duration;

use opof_daemon::simulation::{Asked, Disk, PairState, Parts, SimulatedTime, Stored, Table};
use opof_dataplane::faulty::FaultRates;
use opof_dataplane::{Dice, SimPlane, SimPorts};
use opof_session::engine::{EngineConfig, Statistics};
use opof_session::ha::message::Message;
use opof_session::ha::store::{StoreAnswer, StoreRequest};
use opof_session::ha::term::Side;
use opof_session::ha::{Command, Election, Settings};
use opof_session::plane::Found;
use opof_session::request::RequestBody;
use opof_session::types::Moment;

use super::Which;
use super::ledger::Instance;
use crate::bell::Bell;
use crate::governed::Governed;
use crate::limits;
use crate::traffic;
use crate::watch::Watch;

pub(super) struct Device {
    config: EngineConfig,
    settings: Settings,
    time: SimulatedTime,
    /// How many of its nanoseconds a million true ones are.
    pace: u64,
    /// What is less than one.
    rest: u64,
    plane: Governed,
    pub(super) ports: SimPorts,
    /// `None`: closed records are in memory alone.
    disk: Option<Disk>,
    boots: u64,
    table: Table,
    bell: Bell,
    watch: Watch,
    pub(super) is_paused: bool,
}

impl Device {
    pub(super) fn new(which: Which, seed: u64, sessions: u32, sync: bool, dice: &mut Dice) -> Result<Self, String> {
        let config = EngineConfig {
            max_sessions: sessions,
            max_closed: 1 << 16,
            stores_closed: false,
            max_next_hops: 2,
            tcp_timeout: Duration::from_secs(100),
            udp_timeout: Duration::from_secs(30),
            max_timeout: Duration::from_secs(1000),
            lifs: traffic::lifs(),
            hash_seed: seed,
        };
        let (plane, ports) = SimPlane::new(&traffic::lifs(), sessions + 2);
        let plane = Governed::new(plane, FaultRates::default(), seed);
        let time = SimulatedTime::default();
        time.advance(Duration::from_secs(1000 + u64::from(dice.below_u32(100_000))));
        let pace = 1_000_000 - limits::DRIFT / 2 + u64::from(dice.below_u32(u32::try_from(limits::DRIFT).unwrap_or(0)));
        let settings = Settings {
            run: seed >> 1,
            side: if which == 0 { Side::A } else { Side::B },
            election: Election::Elected { ttl: limits::TTL },
            hold: limits::HOLD,
            sync,
            last: None,
        };
        let watch = Watch::default();
        let disk = dice.chance(500).then(Disk::default);
        let table = start(&config, settings, &plane, &ports, &time, &watch, disk.clone().map(|disk| (disk, 1)))?;
        let bell = Bell::default();
        bell.ring();
        Ok(Self {
            config,
            settings,
            time,
            pace,
            rest: 0,
            plane,
            ports,
            disk,
            boots: 1,
            table,
            bell,
            watch,
            is_paused: false,
        })
    }

    /// The process is killed, and another one begins: with the plane as it is, or, when the power had failed, with an empty one.
    pub(super) fn begin_anew(&mut self, dice: &mut Dice, power: bool) -> Result<(), String> {
        self.settings.run += 1 + u64::from(dice.below_u32(1000));
        self.disk = self.disk.as_ref().map(|disk| {
            let kept: Vec<u8> = (0..8).map(|_| dice.number().to_le_bytes()[0]).collect();
            if power { disk.after_power_failure(&kept) } else { disk.after_kill() }
        });
        self.boots += u64::from(power);
        let plane = if power {
            let sessions = self.config.max_sessions + 2;
            let (plane, ports) = SimPlane::new(&traffic::lifs(), sessions);
            self.ports = ports;
            plane
        } else {
            self.ports.next_plane()
        };
        self.plane = Governed::new(plane, FaultRates::default(), dice.number());
        let disk = self.disk.clone().map(|disk| (disk, self.boots));
        self.table = start(&self.config, self.settings, &self.plane, &self.ports, &self.time, &self.watch, disk)?;
        self.bell.ring();
        self.is_paused = false;
        Ok(())
    }

    pub(super) fn heal(&mut self) {
        self.plane.set_rates(FaultRates::default());
        self.is_paused = false;
    }

    pub(super) fn set_rates(&self, rates: FaultRates) {
        self.plane.set_rates(rates);
    }

    pub(super) const fn run(&self) -> u64 {
        self.settings.run
    }

    pub(super) fn now(&self) -> Moment {
        self.time.now()
    }

    /// So many true nanoseconds go by.
    pub(super) fn pass(&mut self, nanos: u64) {
        let scaled = nanos * self.pace + self.rest;
        self.rest = scaled % 1_000_000;
        self.time.advance(Duration::from_nanos(scaled / 1_000_000));
    }

    pub(super) fn is_due(&self) -> bool {
        !self.is_paused && (self.bell.is_rung() || self.table.due().is_some_and(|due| due <= self.time.now()))
    }

    /// In true time.
    pub(super) fn due(&self, now: u64) -> Option<u64> {
        let due = self.table.due().filter(|_| !self.is_paused)?;
        let wait = u64::try_from(due.saturating_since(self.time.now()).as_nanos()).unwrap_or(u64::MAX);
        Some(now.saturating_add(wait.saturating_mul(1_000_000) / self.pace + 1))
    }

    pub(super) fn turn(&mut self) -> Result<String, String> {
        let waker = self.bell.answer();
        if self.table.turn(&mut Context::from_waker(&waker)).is_ready() {
            return Err("the driver has ended".to_owned());
        }
        let mut seen = self.watch.seen();
        if let Some(wrong) = seen.wrong.take() {
            return Err(wrong);
        }
        let Statistics { sessions, closed_waiting, .. } = seen.statistics;
        drop(seen);
        let PairState { role, term, takes_calls, why } = self.state();
        Ok(format!("{role} of {term} ({why:?}), answers: {takes_calls}, {sessions} sessions, {closed_waiting} records"))
    }

    /// Gives its closed log its turn; false when there was nothing to do.
    pub(super) fn store(&mut self) -> bool {
        self.table.store() != Stored::Nothing
    }

    pub(super) fn said(&mut self) -> Option<Message> {
        self.table.said()
    }

    pub(super) fn hear(&mut self, message: Message) {
        self.table.hear(message);
    }

    pub(super) fn asked_of_store(&mut self) -> Option<StoreRequest> {
        self.table.asked_of_store()
    }

    pub(super) fn hear_store(&mut self, answer: StoreAnswer) {
        self.table.hear_store(answer);
    }

    pub(super) fn command(&mut self, command: Command) {
        self.table.tell(command);
    }

    pub(super) fn ask(&mut self, body: RequestBody) -> Option<Asked> {
        self.table.ask(body)
    }

    pub(super) fn state(&self) -> PairState {
        self.table.state()
    }

    pub(super) fn statistics(&self) -> Statistics {
        self.watch.seen().statistics
    }

    /// Whether its plane forwards anything.
    pub(super) fn is_lit(&self) -> bool {
        self.time.now() < self.ports.forwards_until()
    }

    /// What its plane forwards, if it forwards.
    pub(super) fn lit(&self) -> Vec<Found> {
        if !self.is_lit() {
            return Vec::new();
        }
        self.ports.found().into_iter().filter(|found| found.forwarded.contains(&true)).collect()
    }

    /// What its plane would forward.
    pub(super) fn forwarded(&self) -> BTreeSet<Instance> {
        let found = self.ports.found();
        found.iter().filter(|found| found.forwarded == [true; 2]).map(Instance::of).collect()
    }

    /// Sessions that its plane keeps in whatever way.
    pub(super) fn kept(&self) -> usize {
        self.ports.found().len()
    }

    pub(super) fn describe(&self) -> (PairState, Statistics, usize, bool) {
        (self.state(), self.statistics(), self.kept(), self.is_lit())
    }
}

fn start(
    config: &EngineConfig,
    settings: Settings,
    plane: &Governed,
    cables: &SimPorts,
    time: &SimulatedTime,
    watch: &Watch,
    disk: Option<(Disk, u64)>,
) -> Result<Table, String> {
    let parts = Parts {
        config: config.clone(),
        plane: Box::new(plane.clone()),
        time: time.clone(),
        disk,
        pair: Some(settings),
        watcher: watch.watcher(cables.clone(), time.clone()),
    };
    Table::start(parts).map_err(|error| format!("the table does not begin: {error}"))
}
