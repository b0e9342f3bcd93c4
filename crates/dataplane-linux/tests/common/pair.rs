//! The XDP program and the Rust pipeline on the same table, frame by frame.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use opof_dataplane::conformance::Collectors;
use opof_dataplane::pipeline::{Decision, FrameCopy, Hit, Outcome, Port, SentCopy, Tables, decide};
use opof_dataplane::{DataPlane, FirewallTunnel, PortCounters, PortRole, Tally, TunnelPath};
use opof_dataplane_linux::probe::{CopyProbe, DROPPED, PortRunner, Probe, REDIRECTED, reaches};
use opof_dataplane_linux::{AttachMode, XdpPlane};
use opof_session::l3::{Family, NextHop, NextHopId, VlanFlow};
use opof_session::plane::{
    Command, Completion, CopyMoment, FastAction, Note, PacketChange, PacketCopy, ReadToken, Route, RouteToken, Rule,
    Slot,
};
use opof_session::types::{Counters, Direction, Lif, MatchKey, Moment};
use opof_testkit::frames::{self, Rng};
use opof_testkit::wait;
use opof_wire::encap::Template;
use opof_wire::ethernet::MacAddress;
use opof_wire::{Addresses, Endpoint, FlowKey, Macs, Tunnel, Vid, classify};

use super::{BOUND, COPIES_MTU, Lab, TUNNEL_MTU, command, install, lifs};

/// Both implementations on the same table.
pub struct Pair {
    pub plane: XdpPlane,
    pub probes: Vec<(Lif, Probe, PortRunner, CopyProbe)>,
    /// Everywhere that sessions copy to: the last one can't be reached.
    collectors: Vec<IpAddr>,
    pub tables: HashTables,
    pub sessions: u32,
    records: HashMap<Slot, Counters>,
    ports: HashMap<Lif, PortCounters>,
    pub verdicts: BTreeMap<String, u64>,
}

/// What the pipeline looks things up in.
#[derive(Default)]
pub struct HashTables {
    pub sessions: HashMap<MatchKey, Hit>,
    pub next_hops: HashMap<NextHopId, Macs>,
    pub vlan_flows: HashMap<Vid, Lif>,
    pub collectors: HashMap<IpAddr, TunnelPath>,
    /// Those behind tunnels.
    pub firewalls: Vec<(Lif, FirewallTunnel)>,
    pub is_over: bool,
}

impl Tables for HashTables {
    fn may_forward(&self) -> bool {
        !self.is_over
    }

    fn session(&self, key: &MatchKey) -> Option<Hit> {
        self.sessions.get(key).copied()
    }

    fn next_hop(&self, id: NextHopId) -> Option<Macs> {
        self.next_hops.get(&id).copied()
    }

    fn vlan_flow(&self, vlan: Vid) -> Option<Lif> {
        self.vlan_flows.get(&vlan).copied()
    }

    fn collector(&self, address: IpAddr) -> Option<TunnelPath> {
        self.collectors.get(&address).copied()
    }

    fn firewall(&self, lif: Lif) -> Option<FirewallTunnel> {
        self.firewalls.iter().find(|(known, _)| *known == lif).map(|(_, tunnel)| *tunnel)
    }
}

impl Pair {
    /// With firewalls at ports.
    pub fn new(lab: &mut Lab, rng: &mut Rng) -> Self {
        let collectors = lab.add_collectors().collectors;
        let plane = lab.open(&lab.config_with_copies(4096, AttachMode::Native)).unwrap();
        Self::on(plane, collectors, Vec::new(), rng)
    }

    /// With firewalls behind tunnels.
    pub fn with_tunnels(lab: &mut Lab, rng: &mut Rng) -> Self {
        let collectors = lab.add_collectors().collectors;
        let firewalls = lab.add_firewalls(TUNNEL_MTU).into_iter().collect();
        let plane = lab.open(&lab.config_with_tunnels(4096, AttachMode::Native)).unwrap();
        Self::on(plane, collectors, firewalls, rng)
    }

    fn on(plane: XdpPlane, collectors: Collectors, firewalls: Vec<(Lif, FirewallTunnel)>, rng: &mut Rng) -> Self {
        let Collectors { reachable, unreachable, .. } = collectors;
        let probes = lifs()
            .into_iter()
            .map(|lif| {
                let probe = Probe::new(&plane, lif).unwrap();
                let copies = CopyProbe::new(&plane, lif).unwrap();
                (lif, probe, PortRunner::new(&plane, lif, PortRole::Wire).unwrap(), copies)
            })
            .collect();
        for (_, tunnel) in firewalls.iter().filter(|(_, tunnel)| tunnel.path.is_some()) {
            assert!(reaches(&plane, tunnel.end.addresses.source()), "its neighbour was known from the beginning");
        }
        let mut tables = HashTables { firewalls, ..HashTables::default() };
        for (address, tunnel) in &reachable {
            let template = Template::new(tunnel).unwrap();
            let frame_len_max = template.layout().frame_len_of_mtu(COPIES_MTU.into());
            tables.collectors.insert(*address, TunnelPath { template, frame_len_max });
        }
        let collectors = reachable.iter().map(|(address, _)| *address).chain([unreachable]).collect();
        let (records, ports) = (HashMap::new(), HashMap::new());
        let (sessions, verdicts) = (0, BTreeMap::new());
        let mut pair = Self { plane, probes, collectors, tables, sessions, records, ports, verdicts };
        pair.fill(rng);
        pair
    }

    /// Of every seven keys one is missing, one dropped, one forwarded as it is, two forwarded with random changes, two copied; on
    /// both LIFs.
    fn fill(&mut self, rng: &mut Rng) {
        self.set_routes(rng);
        let fixtures = frames::whole().into_iter().filter_map(|fixture| fixture.expect.ok());
        let keys: Vec<FlowKey> = fixtures.chain(frames::pool()).collect();
        for flow in keys {
            let [a, b] = lifs();
            let [from, to] = if rng.chance(50) { [a, b] } else { [b, a] };
            let kind = rng.below(7);
            let (collector, key) = (rng.pick(&self.collectors), u32::from(u16::MAX) << rng.below(9));
            let copies =
                [CopyMoment::AsItCame, CopyMoment::AsItLeaves].map(|moment| PacketCopy { collector, moment, key });
            if kind == 0 {
                continue;
            }
            let mut answer = flow.reversed();
            if !flow.vlan.is_untagged() && rng.chance(30) {
                answer.vlan = Vid::new(4000).unwrap();
            }
            let mut action = |to, key: &FlowKey| match kind {
                1 => FastAction::Drop,
                2 => FastAction::Forward { to, change: PacketChange::default(), copy: None },
                3 | 4 => FastAction::Forward { to, change: change(rng, key), copy: None },
                // What is copied has its tag changed alone.
                kind => {
                    let change = PacketChange::vlan(change(rng, key).vlan);
                    FastAction::Forward { to, change, copy: Some(copies[kind - 5]) }
                }
            };
            let rules = [
                Rule { key: MatchKey { lif: from, flow }, action: action(to, &flow) },
                Rule { key: MatchKey { lif: to, flow: answer }, action: action(from, &answer) },
            ];
            if rules.iter().any(|rule| self.tables.sessions.contains_key(&rule.key)) {
                continue;
            }
            install(&mut self.plane, self.sessions, rules);
            let slot = Slot(self.sessions);
            for (rule, direction) in rules.into_iter().zip([Direction::In, Direction::Out]) {
                self.tables.sessions.insert(rule.key, Hit { slot, direction, action: rule.action });
            }
            self.records.insert(slot, Counters::default());
            self.sessions += 1;
        }
        for collector in self.tables.collectors.keys() {
            let plane = &self.plane;
            wait::until("a way to the collector", BOUND, || reaches(plane, *collector).then_some(())).unwrap();
        }
    }

    /// Of the next hops that sessions refer to one is missing.
    fn set_routes(&mut self, rng: &mut Rng) {
        for id in HOPS.into_iter().skip(1) {
            let mut mac = || MacAddress(rng.bytes(6).try_into().unwrap());
            let (id, source, destination) = (NextHopId::new(id).unwrap(), mac(), mac());
            self.tables.next_hops.insert(id, Macs { source, destination });
            self.route(Route::SetNextHop(NextHop { id, family: Family::V4, source, destination }));
        }
        self.route(Route::ClearVlanFlows);
        self.tables.vlan_flows.clear();
        for vlan in [100, 4094, 1 + rng.below(4094)] {
            let (vlan, lif) = (Vid::new(vlan.try_into().unwrap()).unwrap(), rng.pick(&lifs()));
            self.tables.vlan_flows.insert(vlan, lif);
            self.route(Route::SetVlanFlow(VlanFlow { vlan, lif }));
        }
    }

    fn route(&mut self, route: Route) {
        let token = RouteToken(9);
        let answers = command(&mut self.plane, &[Command::Route { route, token }]);
        assert_eq!(answers, [Completion::Routed { token, result: Ok(()) }]);
    }

    /// Until a moment that is past, or one that is not near.
    pub fn forward_until(&mut self, until: Moment, is_over: bool) {
        self.plane.forward_until(until);
        self.tables.is_over = is_over;
    }

    /// Takes all sessions out, with their counters compared, and puts others in.
    pub fn refill(&mut self, rng: &mut Rng) {
        self.compare_counters();
        let mut keys: HashMap<Slot, [Option<MatchKey>; 2]> = HashMap::new();
        for (key, hit) in self.tables.sessions.drain() {
            keys.entry(hit.slot).or_default()[hit.direction as usize] = Some(key);
        }
        for (slot, keys) in keys {
            let answers = command(
                &mut self.plane,
                &[Command::Remove { slot, keys: keys.map(Option::unwrap), note: Note::default() }],
            );
            let [Completion::Removed { result: Ok(counters), .. }] = answers[..] else { panic!("{answers:?}") };
            assert_eq!(counters.inward, self.records[&slot].inward, "{slot:?}");
        }
        self.records.clear();
        self.sessions = 0;
        self.fill(rng);
    }

    pub fn compare(&mut self, name: &str, frame: &[u8]) {
        for (lif, probe, runner, copies) in &mut self.probes {
            let port = Port::wire(*lif);
            let decision = decide(port, frame, &self.tables);

            let judged = probe.judge(&self.plane, frame).unwrap();
            let key = classify(frame).ok().map(|flow| MatchKey { lif: *lif, flow });
            assert_eq!(judged.key, key, "key of {name}: {frame:02x?}");
            let expected = match decision {
                Decision::SlowPath { reason, .. } => Some(Err(reason)),
                Decision::TooBig { .. } | Decision::Unreachable => None,
                _ => Some(Ok(self.tables.sessions[&key.unwrap()])),
            };
            match expected {
                Some(expected) => assert_eq!(judged.verdict, expected, "verdict on {name}: {frame:02x?}"),
                // It would have taken the slow path, whatever the reason.
                None => assert!(judged.verdict.is_err(), "verdict on {name}: {frame:02x?}"),
            }

            let run = runner.run(frame, 1).unwrap();
            match decision.apply(port, frame) {
                Outcome::Out { frame: left, copy, .. } => {
                    assert_eq!(run.code, REDIRECTED, "{name}: {frame:02x?}");
                    assert_eq!(run.frame, left, "what left of {name}");
                    if let Some(Ok(_)) = expected {
                        assert_eq!(copies.copy(frame).unwrap(), copy, "the copy of {name}");
                    }
                }
                Outcome::Dropped => assert_eq!(run.code, DROPPED, "{name}: {frame:02x?}"),
            }
            let len = frame.len() as u64;
            count(self.ports.entry(*lif).or_default(), &mut self.records, &decision, len);
            *self.verdicts.entry(word(&decision, key.map(|key| key.flow.tunnel))).or_default() += 1;
        }
    }

    /// Everything that was counted, on both sides.
    pub fn compare_counters(&mut self) {
        for port in self.plane.describe().ports.iter().filter(|port| port.role == PortRole::Wire) {
            let counters = port.lif.and_then(|lif| self.ports.get(&lif)).copied();
            assert_eq!(Some(port.counters), counters, "port {}", port.name);
        }
        for slot in (0..self.sessions).map(Slot) {
            let answers = command(&mut self.plane, &[Command::Read { slot, token: ReadToken(1) }]);
            let [Completion::Read { counters, .. }] = answers[..] else { panic!("{answers:?}") };
            let expected = self.records[&slot];
            assert_eq!((counters.inward, counters.outward), (expected.inward, expected.outward), "{slot:?}");
            assert_eq!(counters.last_seen.is_some(), expected != Counters::default(), "{slot:?}");
        }
    }
}

fn count(port: &mut PortCounters, records: &mut HashMap<Slot, Counters>, decision: &Decision, len: u64) {
    let add = |tally: &mut Tally| {
        tally.packets += 1;
        tally.bytes += len;
    };
    add(&mut port.received);
    match decision {
        Decision::SlowPath { reason, .. } => add(&mut port.slow_path[*reason as usize]),
        Decision::TooBig { answer: Some(_) } => add(&mut port.too_big_answered),
        Decision::TooBig { answer: None } => add(&mut port.too_big_dropped),
        Decision::Unreachable => add(&mut port.unreachable),
        Decision::Forward { copy, .. } => {
            add(&mut port.forwarded);
            match copy {
                Some(FrameCopy::Sent(_)) => add(&mut port.copied),
                Some(FrameCopy::Lost) => add(&mut port.copies_lost),
                None => {}
            }
        }
        Decision::Drop { .. } => add(&mut port.dropped),
        Decision::FromFirewall => unreachable!("all frames come from wire ports"),
    }
    let (Decision::Forward { slot, direction, .. } | Decision::Drop { slot, direction }) = decision else { return };
    let record = records.get_mut(slot).unwrap();
    let counters = if *direction == Direction::In { &mut record.inward } else { &mut record.outward };
    counters.packets += 1;
    counters.bytes += len;
}

/// What became of a frame, and whether the key that it had is of a tunnelled packet.
fn word(decision: &Decision, tunnel: Option<Tunnel>) -> String {
    let word = match decision {
        Decision::SlowPath { reason, tunnel: None, .. } => format!("slow path, {reason}"),
        Decision::SlowPath { reason, tunnel: Some(outer), .. } => {
            format!("tunnel of {} bytes, {reason}", outer.template.bytes().len())
        }
        // Who is told has a packet of his own; whoever is not may have anything.
        Decision::TooBig { answer: Some(mtu) } => return format!("too big, told of {mtu} bytes"),
        Decision::TooBig { answer: None } => return "too big, not told".to_owned(),
        Decision::Unreachable => return "unreachable".to_owned(),
        Decision::Forward { copy: Some(FrameCopy::Lost), .. } => "hit, copy lost".to_owned(),
        Decision::Forward { copy: Some(FrameCopy::Sent(copy)), edit, .. } => {
            let SentCopy { moment, outer } = &**copy;
            let tag = if edit.vlan.is_some() { " VID" } else { "" };
            format!("hit, copied {moment:?} over {} bytes, forward{tag}", outer.template.bytes().len())
        }
        Decision::Forward { edit, .. } => {
            let parts = [
                ("VID", edit.vlan.is_some()),
                ("next hop", edit.macs.is_some()),
                ("source", edit.source.is_some()),
                ("destination", edit.destination.is_some()),
            ];
            let changed: Vec<_> = parts.iter().filter(|(_, changed)| *changed).map(|(name, _)| *name).collect();
            format!("hit, forward {}", changed.join(" + "))
        }
        Decision::Drop { .. } => "hit, drop".to_owned(),
        Decision::FromFirewall => unreachable!("all frames come from wire ports"),
    };
    if tunnel == Some(Tunnel::Gtpu) { format!("{word}, in GTP-U") } else { word }
}

/// Numbers of next hops; the first is never set.
const HOPS: [u32; 4] = [1, 2, 0x0102_0304, u32::MAX];

/// Anything that can be changed in packets with this key, and what can't: an address of the other family.
fn change(rng: &mut Rng, key: &FlowKey) -> PacketChange {
    let other_family = rng.chance(5);
    let is_v4 = matches!(key.addresses, Addresses::V4 { .. }) != other_family;
    let mut endpoint = |percent| {
        let address = if is_v4 {
            IpAddr::from(<[u8; 4]>::try_from(rng.bytes(4)).unwrap())
        } else {
            IpAddr::from(<[u8; 16]>::try_from(rng.bytes(16)).unwrap())
        };
        let any = u16::try_from(rng.below(0x1_0000)).unwrap();
        let port = rng.chance(60).then_some(rng.pick(&[0, 1, 0xFFFF, any]));
        rng.chance(percent).then_some(Endpoint { address, port })
    };
    let (source, destination) = (endpoint(50), endpoint(50));
    let vlan = (!key.vlan.is_untagged() && rng.chance(40)).then_some(rng.pick(&[1, 100, 4094]));
    PacketChange {
        vlan: vlan.and_then(Vid::new),
        next_hop: if rng.chance(50) { NextHopId::new(rng.pick(&HOPS)) } else { None },
        source,
        destination,
    }
}
