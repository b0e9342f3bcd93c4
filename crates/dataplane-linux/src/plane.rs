//! The XDP plane: opening and closing it, and [`DataPlane`] on top of table, records and grace periods.

mod found;

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::task::{Context, Poll};

use opof_dataplane::{DataPlane, Description, PortCounters, PortDescription, PortRole, Tally};
use opof_session::l3::{NextHop, VlanFlow};
use opof_session::plane::{
    Capabilities, Command, Completion, FastAction, Found, InstallError, Note, PacketChange, PacketCopy, RemoveError,
    Rule, Slot,
};
use opof_session::types::{Counters, Direction, Lif, MatchKey, Moment};
use opof_wire::SlowPath;

use crate::abi::{self, Copied, Edit, Edits, Forward, Key};
use crate::assembly::{self, Made, Places};
use crate::attach::{self, Attachments, mode_name};
use crate::collectors::Collectors;
use crate::config::XdpConfig;
use crate::error::OpenError;
use crate::grace::{Ended, Epoch, Grace};
use crate::layout::{self, Layout};
use crate::limits::{COLLECTORS, TOUCHED, UNDER_WAY};
use crate::links::Links;
use crate::loader::{self, DeviceConstants, Loaded};
use crate::pin::PinDir;
use crate::ports::{self, Place, Port};
use crate::routes::Routes;
use crate::settings::{self, Setting};
use crate::sys::bpf::XdpMode;
use crate::sys::map::PerCpuArray;
use crate::table::{NewFlow, Table, install_error};
use crate::term::Term;
use crate::ways::Ways;

/// The XDP data plane.
#[derive(Debug)]
pub struct XdpPlane {
    layout: Layout,
    device: DeviceConstants,
    table: Table,
    term: Term,
    /// Of an earlier process, and of another layout: until its sessions have been reported.
    departed: Option<Table>,
    /// Slots with an entry in the table of edits, each with the collector that it uses.
    edited: HashMap<Slot, Option<u8>>,
    /// Works by itself, until it is dropped. `None` where nothing is copied.
    collectors: Option<Collectors>,
    routes: Routes,
    statistics: PerCpuArray<abi::Tally>,
    grace: Grace,
    ready: VecDeque<Completion>,
    waiting: VecDeque<Waiting>,
    places: Places,
    /// By the numbers of ports in the layout; none where that is a tunnel.
    programs: Vec<Option<Loaded>>,
    /// The uplink's program.
    uplink: Option<Loaded>,
    attachments: Attachments,
    /// To firewalls behind tunnels. Works by itself, until it is dropped.
    ways: Option<Ways>,
    /// Works by itself, until it is dropped.
    _links: Links,
    /// Its end takes nothing down.
    stays: bool,
    pins: PinDir,
}

/// An answer that is given when a grace period is over.
#[derive(Debug)]
struct Waiting {
    epoch: Epoch,
    slot: Slot,
    what: After,
}

#[derive(Debug)]
enum After {
    /// One key was in the table for a moment.
    FailedInstall(InstallError),
    Removal(Result<(), RemoveError>),
}

impl XdpPlane {
    /// Prepares the ports, loads the programs and attaches them. The interfaces are those of the calling thread's
    /// network namespace, and must be up; of a LIF's wire ports one must be.
    pub fn open(config: &XdpConfig) -> Result<Self, OpenError> {
        config.check()?;
        // The first system call that needs a capability.
        let grace = Grace::start().map_err(OpenError::system("creating a BPF map"))?;
        let places = Places::prepare(config)?;
        let pins = PinDir::open(&config.pin_dir)?;
        Self::assemble(config, grace, places, pins)
    }

    fn assemble(config: &XdpConfig, grace: Grace, mut places: Places, pins: PinDir) -> Result<Self, OpenError> {
        let left = assembly::left(config, &pins);
        let goes_on = left.is_some();
        let departed = if goes_on { None } else { assembly::departed(&pins) };
        let attached = Made::new(config, &places, &pins, left.as_ref()).and_then(|made| {
            let ports = places.of_lifs.iter().zip(&made.programs);
            let ports = ports.filter_map(|(place, loaded)| Some((place.interface()?, &loaded.as_ref()?.program)));
            let uplink = places.uplink.as_ref().zip(made.uplink.as_ref().map(|loaded| &loaded.program));
            let pairs: Vec<_> = ports.chain(uplink).collect();
            let attachments = Attachments::make(&pins, config.mode, &pairs)?;
            Ok((made, attachments))
        });
        let (made, attachments) = match attached {
            Ok(made) => made,
            Err(error) => {
                // Links of an earlier process stay, and keep the wire going. Then the directory stays, too, and what a next attempt can
                // go on with.
                let _ = assembly::clear(&pins, goes_on);
                let _ = pins.remove();
                return Err(error);
            }
        };
        if made.collectors.is_some() && attachments.mode() == XdpMode::Generic {
            tracing::warn!("generic mode can't copy packets: sessions that ask for it will be refused");
        }
        if let Err(error) = remember_changes(&mut places, &pins) {
            tracing::warn!(%error, "could not write down what was changed on interfaces: only this process can put it back");
        }
        tracing::info!(
            mode = mode_name(attachments.mode()),
            ports = places.of_lifs.len(),
            sessions = config.sessions,
            "XDP data plane is up"
        );
        Ok(Self {
            layout: made.layout,
            device: made.device,
            table: made.table,
            term: made.term,
            departed,
            edited: HashMap::new(),
            collectors: made.collectors,
            routes: made.routes,
            statistics: made.statistics,
            grace,
            ready: VecDeque::new(),
            waiting: VecDeque::new(),
            places,
            programs: made.programs,
            uplink: made.uplink,
            attachments,
            ways: made.ways,
            _links: made.links,
            stays: false,
            pins,
        })
    }

    /// Detaches all programs and removes all pins, as dropping it does: nothing is left in the kernel, and nothing
    /// connects the ports any more. Answers that were not fetched are lost.
    pub fn close(self) {
        drop(self);
    }

    /// The program of a port, the first of its role, for test runs.
    pub(crate) fn program(&self, lif: Lif, role: PortRole) -> Option<&OwnedFd> {
        Some(&self.programs[self.layout.port(lif, role)?].as_ref()?.program)
    }

    /// The program of the uplink.
    pub(crate) fn uplink_program(&self) -> Option<&OwnedFd> {
        Some(&self.uplink.as_ref()?.program)
    }

    /// Loads another program of the object with the constants of a LIF's wire port.
    pub(crate) fn load_beside(&self, lif: Lif, program: &str) -> Option<Result<Loaded, OpenError>> {
        let constants = self.layout.constants(self.layout.port(lif, PortRole::Wire)?);
        Some(loader::load(self.pins.path(), &self.device, constants, program))
    }

    /// The LIF at this position.
    pub(crate) fn lif_at(&self, position: u8) -> Option<Lif> {
        self.layout.lif(position.into())
    }

    /// The table, to be measured.
    pub(crate) fn table(&self) -> &Table {
        &self.table
    }

    /// What packets are sent by, to be measured.
    pub(crate) fn routes(&self) -> &Routes {
        &self.routes
    }

    /// The way to the firewall of a LIF.
    fn way_to_firewall(&self, lif: Lif) -> Option<u32> {
        self.layout.position(lif).map(layout::way_to_firewall)
    }

    /// What a slot's packets have changed, the tag left aside, and who gets a copy. `None` when the tables contradict each other.
    pub(crate) fn edit(
        &self,
        slot: Slot,
        direction: Direction,
    ) -> std::io::Result<Option<(PacketChange, Option<PacketCopy>)>> {
        let edit = self.table.edits.get(&slot.0)?.edit(direction == Direction::Out);
        let Some(Edit { change, copy }) = edit else { return Ok(None) };
        let Some(Copied { collector, moment, key, .. }) = copy else { return Ok(Some((change, None))) };
        let address = self.collectors.as_ref().and_then(|collectors| collectors.address(collector));
        Ok(address.map(|collector| (change, Some(PacketCopy { collector, moment, key }))))
    }

    /// True when there is a way to a collector or a firewall behind a tunnel now.
    pub(crate) fn reaches(&self, far_end: IpAddr) -> bool {
        self.collectors.as_ref().is_some_and(|collectors| collectors.reaches(far_end))
            || self.ways.as_ref().is_some_and(|ways| ways.reaches(far_end))
    }

    fn install(&mut self, commands: &[Command]) {
        let mut results: Vec<Result<[NewFlow; 2], InstallError>> = Vec::with_capacity(commands.len());
        let (mut slots, mut edits, mut owners) = (Vec::new(), Vec::new(), Vec::new());
        for (owner, command) in commands.iter().enumerate() {
            let Command::Install { slot, rules, .. } = command else { unreachable!("a run of installs") };
            let flows = self.flows(*slot, rules);
            results.push(flows.map(|(flows, changes)| {
                if let Some(changes) = changes {
                    slots.push(slot.0);
                    edits.push(changes);
                    owners.push(owner);
                }
                flows
            }));
        }
        self.table.insert_edits(&slots, &edits, |at, error| {
            tracing::warn!(%error, "could not say what a session changes");
            results[owners[at]] = Err(install_error(&error));
        });
        // Answered when no packet can count in them any more.
        let mut failed = Vec::new();
        for (at, command) in commands.iter().enumerate() {
            let Command::Install { slot, note, .. } = *command else { unreachable!("a run of installs") };
            if at % TOUCHED == 0 {
                for [(inward, _), (outward, _)] in results[at..].iter().take(TOUCHED).flatten() {
                    self.table.touch([inward, outward]);
                }
            }
            let result = std::mem::replace(&mut results[at], Err(InstallError::Unavailable));
            match result.and_then(|flows| self.table.insert(slot, &flows, note)) {
                Ok(()) => self.ready.push_back(Completion::Installed { slot, result: Ok(()) }),
                Err(error) => failed.push((slot, After::FailedInstall(error))),
            }
        }
        self.await_grace(failed);
    }

    /// Both directions as the table has them, and what they change besides the tag.
    fn flows(&mut self, slot: Slot, rules: &[Rule; 2]) -> Result<([NewFlow; 2], Option<Edits>), InstallError> {
        if slot.0 >= self.device.sessions {
            return Err(InstallError::Full);
        }
        let [inward, outward] = rules;
        let keys = [self.key(&inward.key), self.key(&outward.key)];
        let [Some(in_key), Some(out_key)] = keys else { return Err(InstallError::Unavailable) };
        let exits = [self.exit(inward)?, self.exit(outward)?];
        let collector = self.acquire(rules)?;
        let changes = Edits::new([edit(inward, collector), edit(outward, collector)]);
        if changes.is_some() {
            self.edited.insert(slot, collector);
        }
        let forward = |rule: &Rule, exit: Option<u8>| {
            let vlan = if let FastAction::Forward { change, .. } = rule.action { change.vlan } else { None };
            exit.map(|lif| Forward { lif, vlan, edits: changes.is_some() })
        };
        Ok(([(in_key, forward(inward, exits[0])), (out_key, forward(outward, exits[1]))], changes))
    }

    /// As the table has it; `None` when its LIF is none of ours, so that no packet has it.
    fn key(&self, key: &MatchKey) -> Option<Key> {
        Some(Key::new(key, layout::byte(self.layout.position(key.lif)?)))
    }

    /// The position of the LIF that a rule's packets leave by; `None` when they don't.
    fn exit(&self, rule: &Rule) -> Result<Option<u8>, InstallError> {
        let FastAction::Forward { to, .. } = rule.action else { return Ok(None) };
        let position = self.layout.position(to).ok_or(InstallError::Unavailable)?;
        Ok(Some(layout::byte(position)))
    }

    /// The collector of a session; both directions have the same one.
    fn acquire(&mut self, rules: &[Rule; 2]) -> Result<Option<u8>, InstallError> {
        let copies = rules.iter().find_map(|rule| match rule.action {
            FastAction::Forward { copy, .. } => copy,
            FastAction::Drop => None,
        });
        let Some(copy) = copies else { return Ok(None) };
        let collectors = self.collectors.as_mut().ok_or(InstallError::Unavailable)?;
        let index = collectors.acquire(copy.collector);
        if index.is_none() {
            tracing::warn!(collector = %copy.collector, most = COLLECTORS, "sessions copy to too many collectors");
        }
        index.map(Some).ok_or(InstallError::Full)
    }

    fn remove(&mut self, commands: &[Command]) {
        let mut answers = Vec::with_capacity(commands.len());
        for commands in commands.chunks(TOUCHED) {
            let removals = commands.iter().map(|command| {
                let Command::Remove { slot, keys: [inward, outward], note } = command else {
                    unreachable!("a run of removals")
                };
                let known = slot.0 < self.device.sessions;
                (*slot, known, known.then(|| Some([self.key(inward)?, self.key(outward)?])).flatten(), *note)
            });
            let removals: Vec<_> = removals.collect();
            for keys in removals.iter().filter_map(|(_, _, keys, _)| keys.as_ref()) {
                self.table.touch(keys.each_ref());
            }
            for (slot, known, keys, note) in removals {
                if let Some(keys) = keys {
                    self.table.remove(slot, &keys, note);
                }
                answers.push((slot, After::Removal(if known { Ok(()) } else { Err(RemoveError::Unavailable) })));
            }
        }
        self.await_grace(answers);
    }

    /// Requests made while the thread waits are served by one grace period, so one for each run is no waste.
    fn await_grace(&mut self, answers: Vec<(Slot, After)>) {
        if answers.is_empty() {
            return;
        }
        let epoch = self.grace.request();
        self.waiting.extend(answers.into_iter().map(|(slot, what)| Waiting { epoch, slot, what }));
    }

    fn finish(&mut self, ended: Ended) {
        let over = self.waiting.iter().take_while(|waiting| waiting.epoch <= ended.through).count();
        let mut forgotten = Vec::new();
        for Waiting { slot, what, .. } in self.waiting.drain(..over) {
            let completion = match what {
                After::FailedInstall(error) => Completion::Installed { slot, result: Err(error) },
                After::Removal(result) => {
                    let result = if ended.waited { result } else { Err(RemoveError::Unavailable) };
                    Completion::Removed { slot, result: result.map(|()| self.table.read(slot)) }
                }
            };
            let is_out = ended.waited && !matches!(completion, Completion::Removed { result: Err(_), .. });
            if is_out && let Some(collector) = self.edited.remove(&slot) {
                forgotten.push(slot.0);
                if let (Some(collectors), Some(collector)) = (&mut self.collectors, collector) {
                    collectors.release(collector);
                }
            }
            self.ready.push_back(completion);
        }
        self.table.forget_edits(&forgotten);
    }

    fn counters(&self, index: usize, role: PortRole) -> PortCounters {
        let kind = |kind: u32| self.tally(u32::try_from(index).expect("ports are few") * abi::KINDS + kind);
        let mut counters = PortCounters::default();
        if role != PortRole::Wire {
            counters.received = kind(abi::KIND_RECEIVED);
        }
        if role == PortRole::Uplink {
            counters.refused = std::array::from_fn(|number| kind(abi::KIND_REFUSED + layout::number(number)));
            counters.received = counters.refused.into_iter().chain([counters.received]).sum();
        }
        if role != PortRole::Wire {
            return counters;
        }
        counters.forwarded = kind(abi::KIND_FORWARDED);
        counters.dropped = kind(abi::KIND_DROPPED);
        counters.copied = kind(abi::KIND_COPIED);
        counters.copies_lost = kind(abi::KIND_COPY_LOST);
        counters.too_big_answered = kind(abi::KIND_TOO_BIG_ANSWERED);
        counters.too_big_dropped = kind(abi::KIND_TOO_BIG_DROPPED);
        counters.unreachable = kind(abi::KIND_UNREACHABLE);
        for reason in SlowPath::ALL {
            counters.slow_path[reason as usize] = kind(abi::KIND_SLOW + reason as u32);
        }
        counters.received = counters.fates().sum();
        counters
    }

    /// Over all CPUs; zero, and a word in the log, when the kernel does not tell.
    fn tally(&self, index: u32) -> Tally {
        match self.statistics.get(index) {
            Ok(values) => values.iter().map(|value| Tally { packets: value.packets(), bytes: value.bytes() }).sum(),
            Err(error) => {
                tracing::error!(%error, "could not read port statistics");
                Tally::default()
            }
        }
    }
}

/// What a rule changes and copies, as the programs know it.
fn edit(rule: &Rule, collector: Option<u8>) -> Edit {
    let FastAction::Forward { to, change, copy } = rule.action else { return Edit::default() };
    let copied = |(PacketCopy { moment, key, .. }, collector)| Copied { collector, out_lif: to, moment, key };
    Edit { change, copy: copy.zip(collector).map(copied) }
}

/// What has been changed on the interfaces until now, also by earlier processes, is written down, and put back by whoever takes it down.
fn remember_changes(places: &mut Places, pins: &PinDir) -> std::io::Result<()> {
    let namespace = attach::namespace()?;
    let known = settings::read(pins.path());
    let of = |index| known.iter().find(|known| (known.namespace, known.index) == (namespace, index));
    let mut changed = Vec::new();
    for port in places.interfaces() {
        if let Some(setting) = of(port.index()) {
            port.take_over(setting.changes);
        }
        changed.push(Setting { namespace, index: port.index(), changes: port.changes() });
    }
    // Interfaces that are no ports any more are put back; those of another namespace can't be from here.
    for setting in known {
        if changed.iter().any(|port| (port.namespace, port.index) == (setting.namespace, setting.index)) {
            continue;
        }
        if setting.namespace == namespace {
            ports::put_back(setting.index, setting.changes)?;
        }
    }
    settings::write(pins.path(), &changed)
}

/// One kind of command is carried out together.
fn same_kind(a: &Command, b: &Command) -> bool {
    std::mem::discriminant(a) == std::mem::discriminant(b)
}

impl DataPlane for XdpPlane {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            vlan_rewrite: true,
            next_hops: true,
            nat: true,
            gtpu: true,
            copies: self.collectors.is_some() && self.attachments.mode() == XdpMode::Native,
            vlan_flows: true,
            ..Capabilities::forwarding(self.device.sessions)
        }
    }

    fn submit(&mut self, now: Moment, commands: &[Command]) -> usize {
        self.table.look_at_the_clock(now);
        let room = UNDER_WAY - self.ready.len() - self.waiting.len();
        let taken = &commands[..room.min(commands.len())];
        for run in taken.chunk_by(same_kind) {
            match run[0] {
                Command::Install { .. } => self.install(run),
                Command::Remove { .. } => self.remove(run),
                Command::Forget { .. } => {
                    for command in run {
                        let Command::Forget { slot } = *command else { unreachable!("a run of the same") };
                        if slot.0 < self.device.sessions {
                            self.table.forget(slot);
                        }
                        self.ready.push_back(Completion::Forgotten { slot });
                    }
                }
                Command::Read { .. } => {
                    for command in run {
                        let Command::Read { slot, token } = *command else { unreachable!("a run of reads") };
                        let counters = self.table.read(slot);
                        self.ready.push_back(Completion::Read { slot, token, counters });
                    }
                }
                Command::Route { .. } => {
                    for command in run {
                        let Command::Route { route, token } = *command else { unreachable!("a run of routes") };
                        let result = self.routes.change(&route, |lif| self.way_to_firewall(lif));
                        self.ready.push_back(Completion::Routed { token, result });
                    }
                }
            }
        }
        if !self.ready.is_empty() {
            self.grace.wake();
        }
        taken.len()
    }

    fn poll(&mut self, context: &mut Context<'_>, completions: &mut Vec<Completion>) -> Poll<()> {
        for ended in self.grace.ended(context.waker()) {
            self.finish(ended);
        }
        if self.ready.is_empty() {
            return Poll::Pending;
        }
        completions.extend(self.ready.drain(..));
        Poll::Ready(())
    }

    fn found(&mut self, each: &mut dyn FnMut(&Found)) {
        self.found_sessions(each);
    }

    fn found_routes(&mut self) -> (Vec<NextHop>, Vec<VlanFlow>) {
        let layout = &self.layout;
        self.routes.found(|way| layout.lif(layout::position_of_way_to_firewall(way)?)).unwrap_or_else(|error| {
            tracing::error!(%error, "could not read next hops and VLAN flows of an earlier process");
            Default::default()
        })
    }

    fn purge(&mut self, slots: &[Slot]) {
        self.take_out(slots);
    }

    fn departed(&mut self, each: &mut dyn FnMut(&Note, Counters)) {
        self.departed_sessions(each);
    }

    fn stay(&mut self) {
        self.stays = true;
        self.places.interfaces().for_each(Port::stay);
    }

    /// To the nanosecond, as far as the kernel's ticks are no more than [`TICKS_BEHIND`](crate::limits::TICKS_BEHIND) behind. Of the last
    /// packets before that moment each costs a look at the exact clock.
    fn forward_until(&mut self, until: Moment) {
        self.term.set(until, self.table.clock());
    }

    fn describe(&self) -> Description {
        let mode = mode_name(self.attachments.mode());
        let ports =
            self.places.of_lifs.iter().zip(self.layout.ports()).enumerate().map(|(index, (place, (lif, role)))| {
                let (name, mode) = match place {
                    Place::Interface(port) => (port.name().to_owned(), mode),
                    Place::Tunnel(address) => (format!("geneve:{address}"), "tunnel"),
                };
                PortDescription { lif: Some(lif), role, name, mode, counters: self.counters(index, role) }
            });
        let uplink = self.places.uplink.as_ref().map(|port| {
            let (name, role) = (port.name().to_owned(), PortRole::Uplink);
            PortDescription { lif: None, role, name, mode, counters: self.counters(self.layout.uplink(), role) }
        });
        Description { kind: "xdp", ports: ports.chain(uplink).collect() }
    }
}

impl Drop for XdpPlane {
    fn drop(&mut self) {
        if self.stays {
            return;
        }
        self.attachments.remove(&self.pins);
        let failed = |source| OpenError::PinDirectory { path: self.pins.path().to_owned(), source };
        let unpinned =
            assembly::clear(&self.pins, false).and_then(|()| self.pins.unpin(settings::NAME).map_err(failed));
        if let Err(error) = unpinned {
            tracing::error!(%error, "could not unpin maps");
        }
        if let Err(error) = self.pins.remove() {
            tracing::error!(path = %self.pins.path().display(), %error, "could not remove the pin directory");
        }
    }
}
