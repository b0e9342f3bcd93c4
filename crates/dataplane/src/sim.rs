//! A whole device in memory: the plane that an engine programs, and the ports that frames go in and come out of.
//!
//! It exists to be right and to be read, not to be fast: one mutex guards everything, so a frame sees each command
//! either done or not yet begun. What must not be here: threads, clocks, faults (see [`crate::faulty`]).

mod keys;

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use opof_session::l3::{NextHop, NextHopId, VlanFlow};
use opof_session::plane::{
    Capabilities, Command, Completion, FastAction, Found, Note, PacketChange, Route, RouteError, Rule, Slot,
};
use opof_session::types::{Counters, Direction, DirectionCounters, Lif, MatchKey, Moment};
use opof_wire::encap::Template;
use opof_wire::{Macs, Vid};

use self::keys::{Keys, Owner};
use crate::limits::{ANSWERS_PER_SECOND, COPY_LEN, SIM_COLLECTORS, SIM_COMPLETIONS, SIM_NEXT_HOPS};
use crate::pipeline::{Decision, FrameCopy, Hit, Outcome, Port, Tables, decide};
use crate::tunnel::{AnswerBucket, FirewallTunnel, FromUplink, TunnelPath, decide_uplink};
use crate::{DataPlane, Description, PortCounters, PortDescription, PortRole, Tally};

/// In the order of a session's rules.
const DIRECTIONS: [Direction; 2] = [Direction::In, Direction::Out];
/// Why there is a session.
const OWNED: &str = "a key in the table has its session";

/// The simulated plane, as its owner drives it. Commands take effect in [`DataPlane::submit`] and are answered by the
/// next [`DataPlane::poll`]; an install never fails.
///
/// # Panics Its methods panic when the caller breaks the contract of [`Command`]: a slot past the capacity, an install
/// into a slot or under a key that is taken, a removal of what is not there.
#[derive(Debug)]
pub struct SimPlane {
    shared: Arc<Mutex<Device>>,
    capabilities: Capabilities,
}

/// The ports of a [`SimPlane`]: what would be its cables. Clones are the same ports.
#[derive(Clone, Debug)]
pub struct SimPorts {
    shared: Arc<Mutex<Device>>,
}

impl SimPlane {
    /// A device with one wire port and one firewall port for each of `lifs`, and room for `sessions`.
    ///
    /// # Panics
    /// When a LIF is there twice.
    pub fn new(lifs: &[Lif], sessions: u32) -> (Self, SimPorts) {
        let shared = Arc::new(Mutex::new(Device::new(lifs, sessions)));
        let plane = Self { shared: Arc::clone(&shared), capabilities: capabilities(sessions) };
        (plane, SimPorts { shared })
    }
}

#[cfg(test)]
impl SimPlane {
    /// Where the slow-path frames of a VLAN go instead.
    pub(crate) fn follows(&self, vlan: Vid) -> Option<Lif> {
        lock(&self.shared).lookups.vlan_flow(vlan)
    }
}

impl DataPlane for SimPlane {
    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn submit(&mut self, _now: Moment, commands: &[Command]) -> usize {
        let mut device = lock(&self.shared);
        let room = SIM_COMPLETIONS - device.completions.len();
        let taken = commands.len().min(room);
        for command in &commands[..taken] {
            let completion = device.execute(command);
            device.completions.push_back(completion);
        }
        assert!(device.completions.len() <= SIM_COMPLETIONS, "took more commands than it can answer");
        if taken > 0
            && let Some(waker) = device.waker.take()
        {
            waker.wake();
        }
        taken
    }

    fn poll(&mut self, context: &mut Context<'_>, completions: &mut Vec<Completion>) -> Poll<()> {
        let mut device = lock(&self.shared);
        if device.completions.is_empty() {
            device.waker = Some(context.waker().clone());
            return Poll::Pending;
        }
        completions.extend(device.completions.drain(..));
        Poll::Ready(())
    }

    fn found(&mut self, each: &mut dyn FnMut(&Found)) {
        lock(&self.shared).lookups.found().for_each(|found| each(&found));
    }

    fn found_routes(&mut self) -> (Vec<NextHop>, Vec<VlanFlow>) {
        let Lookups { next_hops, vlan_flows, .. } = &lock(&self.shared).lookups;
        let flows = vlan_flows.iter().map(|(vlan, lif)| VlanFlow { vlan: *vlan, lif: *lif });
        (next_hops.values().copied().collect(), flows.collect())
    }

    fn purge(&mut self, slots: &[Slot]) {
        let mut device = lock(&self.shared);
        for slot in slots {
            let kept = device.lookups.installed.get_mut(slot.0 as usize).and_then(Option::take);
            for (rule, direction) in
                kept.iter().filter(|kept| !kept.is_out).flat_map(|kept| kept.rules.iter().zip(DIRECTIONS))
            {
                device.lookups.keys.remove(&rule.key, (*slot, direction));
            }
        }
    }

    fn forward_until(&mut self, until: Moment) {
        lock(&self.shared).until = until;
    }

    fn describe(&self) -> Description {
        let device = lock(&self.shared);
        let ports = device.ports.iter().map(|(port, counters)| describe_port(*port, counters));
        let uplink = (!device.lookups.firewalls.is_empty()).then(|| PortDescription {
            lif: None,
            role: PortRole::Uplink,
            name: "sim-uplink".to_owned(),
            mode: "simulated",
            counters: device.uplink,
        });
        Description { kind: "sim", ports: ports.chain(uplink).collect() }
    }
}

impl SimPorts {
    /// The plane of the next owner, whatever has become of the one before: the device goes on as it is. Answers that the one before was
    /// not given are nobody's.
    pub fn next_plane(&self) -> SimPlane {
        let mut device = lock(&self.shared);
        device.completions.clear();
        device.waker = None;
        let sessions = device.sessions;
        drop(device);
        SimPlane { shared: Arc::clone(&self.shared), capabilities: capabilities(sessions) }
    }

    /// From when on the device does not forward.
    pub fn forwards_until(&self) -> Moment {
        lock(&self.shared).until
    }

    /// Everything that the device keeps of sessions, in the order of their slots.
    pub fn found(&self) -> Vec<Found> {
        lock(&self.shared).lookups.found().collect()
    }

    /// Puts a whole L2 frame without FCS into `port` at `now`; what the device makes of it is there at once.
    ///
    /// # Panics
    /// When the device has no such port.
    pub fn receive(&self, now: Moment, port: Port, frame: &[u8]) -> Outcome {
        let decision = lock(&self.shared).receive(now, port, frame);
        decision.apply(port, frame)
    }

    /// From now on there is a way to `collector`, or none.
    ///
    /// # Panics
    /// With more of them than [`SIM_COLLECTORS`].
    pub fn set_collector(&self, collector: IpAddr, path: Option<Template>) {
        let collectors = &mut lock(&self.shared).lookups.collectors;
        match path {
            Some(template) => drop(collectors.insert(collector, template)),
            None => drop(collectors.remove(&collector)),
        }
        assert!(collectors.len() <= SIM_COLLECTORS, "more collectors than there can be");
    }

    /// From now on the firewall of `lif` is behind a tunnel, or at its own port again.
    ///
    /// # Panics
    /// When the device has no such LIF.
    pub fn set_firewall(&self, lif: Lif, tunnel: Option<FirewallTunnel>) {
        let mut device = lock(&self.shared);
        assert!(device.has_lif(lif), "a firewall of lif {lif}: the device has none");
        device.lookups.firewalls.retain(|(known, _)| *known != lif);
        device.lookups.firewalls.extend(tunnel.map(|tunnel| (lif, tunnel)));
    }

    /// Puts a whole L2 frame without FCS into the uplink, behind which those firewalls are.
    pub fn receive_from_uplink(&self, frame: &[u8]) -> FromUplink {
        lock(&self.shared).receive_from_uplink(frame)
    }
}

fn capabilities(sessions: u32) -> Capabilities {
    Capabilities {
        vlan_rewrite: true,
        next_hops: true,
        nat: true,
        gtpu: true,
        copies: true,
        vlan_flows: true,
        ..Capabilities::forwarding(sessions)
    }
}

fn describe_port(port: Port, counters: &PortCounters) -> PortDescription {
    let Port { lif, role } = port;
    let name = match role {
        PortRole::Wire => format!("sim{lif}-wire"),
        PortRole::Firewall => format!("sim{lif}-firewall"),
        PortRole::Uplink => unreachable!("a port of a LIF"),
    };
    PortDescription { lif: Some(lif), role, name, mode: "simulated", counters: *counters }
}

/// Everything the two faces share.
#[derive(Debug)]
struct Device {
    sessions: u32,
    lookups: Lookups,
    /// From then on it does not forward.
    until: Moment,
    /// In the order of [`Description::ports`].
    ports: Vec<(Port, PortCounters)>,
    uplink: PortCounters,
    answers: AnswerBucket,
    completions: VecDeque<Completion>,
    waker: Option<Waker>,
}

/// What frames are looked up in.
#[derive(Debug, Default)]
struct Lookups {
    keys: Keys,
    /// By slot, up to the last one that was ever used.
    installed: Vec<Option<Installed>>,
    next_hops: HashMap<NextHopId, NextHop>,
    vlan_flows: HashMap<Vid, Lif>,
    collectors: HashMap<IpAddr, Template>,
    /// Those behind tunnels, at most one for each LIF.
    firewalls: Vec<(Lif, FirewallTunnel)>,
    /// The frame that is being decided about came too late to be forwarded.
    is_over: bool,
}

impl Tables for Lookups {
    fn may_forward(&self) -> bool {
        !self.is_over
    }

    fn session(&self, key: &MatchKey) -> Option<Hit> {
        let rule = |(slot, direction): Owner| &self.installed(slot).expect(OWNED).rules[direction as usize];
        let (slot, direction) = self.keys.get(key, |owner| rule(owner).key == *key)?;
        Some(Hit { slot, direction, action: rule((slot, direction)).action })
    }

    fn next_hop(&self, id: NextHopId) -> Option<Macs> {
        self.next_hops.get(&id).map(|hop| Macs { source: hop.source, destination: hop.destination })
    }

    fn vlan_flow(&self, vlan: Vid) -> Option<Lif> {
        self.vlan_flows.get(&vlan).copied()
    }

    fn collector(&self, address: IpAddr) -> Option<TunnelPath> {
        self.collectors.get(&address).map(|template| TunnelPath { template: *template, frame_len_max: COPY_LEN })
    }

    fn firewall(&self, lif: Lif) -> Option<FirewallTunnel> {
        self.firewalls.iter().find(|(known, _)| *known == lif).map(|(_, tunnel)| *tunnel)
    }
}

/// A session that is being forwarded, or was and is not forgotten.
#[derive(Clone, Copy, Debug)]
struct Installed {
    rules: [Rule; 2],
    counters: Counters,
    note: Note,
    is_out: bool,
}

impl Lookups {
    fn installed(&self, slot: Slot) -> Option<&Installed> {
        self.installed.get(slot.0 as usize)?.as_ref().filter(|installed| !installed.is_out)
    }

    fn found(&self) -> impl Iterator<Item = Found> {
        (0..).map(Slot).zip(&self.installed).filter_map(|(slot, kept)| {
            let Installed { rules, counters, note, is_out } = (*kept)?;
            Some(Found { slot, rules, note, counters, forwarded: [!is_out; 2] })
        })
    }

    fn installed_mut(&mut self, slot: Slot) -> Option<&mut Installed> {
        self.installed.get_mut(slot.0 as usize)?.as_mut()
    }
}

impl Device {
    fn new(lifs: &[Lif], sessions: u32) -> Self {
        let ports: Vec<_> = lifs
            .iter()
            .flat_map(|&lif| [Port::wire(lif), Port::firewall(lif)])
            .map(|port| (port, PortCounters::default()))
            .collect();
        let device = Self {
            sessions,
            lookups: Lookups::default(),
            until: Moment(u64::MAX),
            ports,
            uplink: PortCounters::default(),
            answers: AnswerBucket::new(ANSWERS_PER_SECOND),
            completions: VecDeque::new(),
            waker: None,
        };
        for (index, lif) in lifs.iter().enumerate() {
            assert!(!lifs[..index].contains(lif), "lif {lif} is there twice");
        }
        device
    }

    fn execute(&mut self, command: &Command) -> Completion {
        match *command {
            Command::Install { slot, rules, note } => {
                self.install(slot, &rules, note);
                Completion::Installed { slot, result: Ok(()) }
            }
            Command::Remove { slot, keys, note } => {
                Completion::Removed { slot, result: Ok(self.remove(slot, keys, note)) }
            }
            Command::Forget { slot } => {
                let kept = self.lookups.installed.get_mut(slot.0 as usize).and_then(Option::take);
                assert!(kept.is_some_and(|kept| kept.is_out), "{slot:?} is forgotten, and was not removed");
                Completion::Forgotten { slot }
            }
            Command::Read { slot, token } => {
                let installed = self.lookups.installed(slot);
                let counters = installed.unwrap_or_else(|| panic!("read of {slot:?}, which is not installed")).counters;
                Completion::Read { slot, token, counters }
            }
            Command::Route { route, token } => Completion::Routed { token, result: self.route(&route) },
        }
    }

    fn route(&mut self, route: &Route) -> Result<(), RouteError> {
        let Lookups { next_hops, vlan_flows, .. } = &mut self.lookups;
        match *route {
            Route::SetNextHop(hop) => {
                if next_hops.len() >= SIM_NEXT_HOPS && !next_hops.contains_key(&hop.id) {
                    return Err(RouteError::Full);
                }
                next_hops.insert(hop.id, hop);
            }
            Route::RemoveNextHop(id) => drop(next_hops.remove(&id)),
            Route::SetVlanFlow(flow) => {
                vlan_flows.insert(flow.vlan, flow.lif);
                assert!(self.has_lif(flow.lif), "a VLAN flow to lif {}: the device has none", flow.lif);
            }
            Route::RemoveVlanFlow(vlan) => drop(vlan_flows.remove(&vlan)),
            Route::ClearVlanFlows => vlan_flows.clear(),
        }
        Ok(())
    }

    fn install(&mut self, slot: Slot, rules: &[Rule; 2], note: Note) {
        assert!(slot.0 < self.sessions, "install into {slot:?} of a plane with {} slots", self.sessions);
        for rule in rules {
            self.check_rule(rule);
        }
        let Lookups { installed, keys, .. } = &mut self.lookups;
        if installed.len() <= slot.0 as usize {
            installed.resize_with(slot.0 as usize + 1, || None);
        }
        let place = &mut installed[slot.0 as usize];
        assert!(place.as_ref().is_none_or(|kept| kept.is_out), "install into {slot:?}, which is taken");
        *place = Some(Installed { rules: *rules, counters: Counters::default(), note, is_out: false });
        for (rule, direction) in rules.iter().zip(DIRECTIONS) {
            let has = |(slot, direction): Owner| {
                installed[slot.0 as usize].as_ref().expect(OWNED).rules[direction as usize].key == rule.key
            };
            let owner = keys.insert(&rule.key, (slot, direction), has);
            assert!(owner.is_ok(), "install of {slot:?}: {} is in the table already, for {owner:?}", rule.key);
        }
    }

    fn remove(&mut self, slot: Slot, keys: [MatchKey; 2], note: Note) -> Counters {
        let installed = self.lookups.installed_mut(slot);
        let installed = installed.unwrap_or_else(|| panic!("removal of {slot:?}, which is not installed"));
        let known = installed.rules.map(|rule| rule.key);
        assert_eq!(known, keys, "removal of {slot:?} with other keys than it was installed with");
        installed.note = note;
        let counters = installed.counters;
        // One that an owner before this one has removed is removed.
        if std::mem::replace(&mut installed.is_out, true) {
            return counters;
        }
        for (key, direction) in keys.iter().zip(DIRECTIONS) {
            let was_there = self.lookups.keys.remove(key, (slot, direction));
            assert!(was_there, "{key} of an installed session is not in the table");
        }
        counters
    }

    fn check_rule(&self, rule: &Rule) {
        assert!(self.has_lif(rule.key.lif), "{}: the device has no such lif", rule.key);
        if let FastAction::Forward { to, change, copy } = rule.action {
            let tag_alone = change == PacketChange::vlan(change.vlan);
            assert!(copy.is_none() || tag_alone, "{}: what is copied has its tag changed alone", rule.key);
            assert!(self.has_lif(to), "forward to lif {to}: the device has none");
            let tagged = !rule.key.flow.vlan.is_untagged();
            assert!(
                change.vlan.is_none_or(|vid| tagged && !vid.is_untagged()),
                "{}: a tag is rewritten only",
                rule.key
            );
        }
    }

    fn has_lif(&self, lif: Lif) -> bool {
        self.ports.iter().any(|(port, _)| port.lif == lif)
    }

    fn receive(&mut self, now: Moment, ingress: Port, frame: &[u8]) -> Decision {
        self.lookups.is_over = now >= self.until;
        let mut decision = decide(ingress, frame, &self.lookups);
        if let Decision::TooBig { answer } = &mut decision {
            *answer = answer.filter(|_| self.answers.take(now));
        }
        let counters = self.ports.iter_mut().find(|(port, _)| *port == ingress).map(|(_, counters)| counters);
        let counters = counters.unwrap_or_else(|| panic!("the device has no port {ingress}"));
        count(&mut counters.received, frame);
        match &decision {
            Decision::SlowPath { reason, .. } => count(&mut counters.slow_path[*reason as usize], frame),
            Decision::TooBig { answer: Some(_) } => count(&mut counters.too_big_answered, frame),
            Decision::TooBig { answer: None } => count(&mut counters.too_big_dropped, frame),
            Decision::Unreachable => count(&mut counters.unreachable, frame),
            Decision::Forward { slot, direction, copy, .. } => {
                count(&mut counters.forwarded, frame);
                match copy {
                    Some(FrameCopy::Sent(_)) => count(&mut counters.copied, frame),
                    Some(FrameCopy::Lost) => count(&mut counters.copies_lost, frame),
                    None => {}
                }
                self.count_hit(now, *slot, *direction, frame);
            }
            Decision::Drop { slot, direction } => {
                count(&mut counters.dropped, frame);
                self.count_hit(now, *slot, *direction, frame);
            }
            Decision::FromFirewall => {}
        }
        decision
    }

    fn receive_from_uplink(&mut self, frame: &[u8]) -> FromUplink {
        let said = decide_uplink(frame, &self.lookups.firewalls);
        match &said {
            FromUplink::Out { lif, frame: inner } => {
                let port = Port::firewall(*lif);
                let counters = self.ports.iter_mut().find(|(known, _)| *known == port).map(|(_, counters)| counters);
                count(&mut counters.expect("a LIF with a firewall").received, &frame[inner.clone()]);
                count(&mut self.uplink.received, frame);
            }
            FromUplink::Host(Some(refused)) => {
                count(&mut self.uplink.received, frame);
                count(&mut self.uplink.refused[refused.number()], frame);
            }
            FromUplink::Host(None) => {}
        }
        said
    }

    fn count_hit(&mut self, now: Moment, slot: Slot, direction: Direction, frame: &[u8]) {
        let counters = &mut self.lookups.installed_mut(slot).expect(OWNED).counters;
        let one_way = match direction {
            Direction::In => &mut counters.inward,
            Direction::Out => &mut counters.outward,
        };
        *one_way = DirectionCounters { packets: one_way.packets + 1, bytes: one_way.bytes + length(frame) };
        counters.last_seen = counters.last_seen.max(Some(now));
    }
}

fn count(tally: &mut Tally, frame: &[u8]) {
    tally.packets += 1;
    tally.bytes += length(frame);
}

fn length(frame: &[u8]) -> u64 {
    u64::try_from(frame.len()).expect("a frame's length fits 64 bits")
}

/// A panic under the lock is a broken contract, and everybody else should hear of it too.
fn lock(shared: &Mutex<Device>) -> MutexGuard<'_, Device> {
    shared.lock().expect("the simulated device has not panicked")
}

#[cfg(test)]
mod tests;
