//! A device of two LIFs on veth pairs in a network namespace of its own, and a namespace around it.

#![allow(dead_code, unreachable_pub, reason = "each test takes from here what it needs")]

#[allow(clippy::unwrap_used, reason = "in a test a panic is the way to fail")]
pub mod pair;

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use opof_dataplane::DataPlane;
use opof_dataplane::conformance::Collectors;
use opof_dataplane::limits::ANSWERS_PER_SECOND_MAX;
use opof_dataplane::pipeline::Port as PlanePort;
use opof_dataplane::{FirewallTunnel, TunnelPath};
use opof_dataplane_linux::{
    AttachMode, Firewall, LifPorts, OpenError, TunnelConfig, UplinkConfig, XdpConfig, XdpPlane,
};
use opof_session::plane::{Command, Completion, FastAction, Note, PacketChange, Rule, Slot};
use opof_session::types::{Counters, Lif, MatchKey, Moment};
use opof_testkit::netns::{NetNs, Port, PortOptions, run, veth};
use opof_testkit::require;
use opof_testkit::wait;
use opof_wire::decap::TunnelEnd;
use opof_wire::ethernet::MacAddress;
use opof_wire::geneve::OptionId;
use opof_wire::{Addresses, FlowKey, Transport, Tunnel, Vid, encap};
use rustix::time::{ClockId, clock_gettime};

/// More than any answer needs.
pub const BOUND: Duration = Duration::from_secs(10);

pub fn lif(id: u16) -> Lif {
    Lif::new(id).expect("not 0")
}

/// The two LIFs: numbers that are no positions.
pub fn lifs() -> [Lif; 2] {
    [lif(7), lif(1000)]
}

/// Ports in the order of the configuration, and their names in the device.
pub fn ports() -> [(PlanePort, &'static str); 4] {
    let [a, b] = lifs();
    [
        (PlanePort::wire(a), "wire-a"),
        (PlanePort::firewall(a), "fw.a"),
        (PlanePort::wire(b), "wire-b"),
        (PlanePort::firewall(b), "fw.b"),
    ]
}

/// The driver lets XDP send to a veth port when GRO is switched on at its other end while that is up, and only then.
pub fn accept_redirects(far_end: &Port) {
    for gro in ["off", "on"] {
        run(far_end.namespace.command("ethtool").args(["-K", &far_end.name, "gro", gro])).expect("ethtool");
    }
}

/// The namespaces, and the far ends of the device's ports.
#[derive(Debug)]
pub struct Lab {
    pub device: Arc<NetNs>,
    pub outside: Arc<NetNs>,
    pub near: Vec<Port>,
    pub far: Vec<(PlanePort, Port)>,
    pub pin_dir: PathBuf,
}

/// What [`Lab::add_collectors`] has made.
#[derive(Debug)]
pub struct Collected {
    pub collectors: Collectors,
    /// Where copies arrive.
    pub port: Port,
}

/// The interface that copies leave by.
pub const COPIES: &str = "copies";
pub const COPIES_MTU: u16 = 1400;
pub const COPIES_MACS: [MacAddress; 2] = [MacAddress([2, 0, 0, 9, 0, 1]), MacAddress([2, 0, 0, 9, 0, 2])];
const COPY_VNI: u32 = 0x00AB_CDEF;
const COPY_OPTION: OptionId = OptionId::new(0xFF01, 0x42).expect("not critical");

/// Of the tunnels to firewalls, which take the interface of the copies.
const TUNNEL_VNI: u32 = 0x0012_3456;
const TUNNEL_OPTION: OptionId = OptionId::new(0xFF02, 0x07).expect("not critical");
/// IP packets that a way to a firewall may take: few of those that have headers for tunnels fit.
pub const TUNNEL_MTU: u16 = 200;

fn collector_v6(last: u8) -> [u8; 16] {
    let mut address = [0; 16];
    (address[0], address[1], address[15]) = (0xFD, 0x99, last);
    address
}

static NEXT: AtomicU32 = AtomicU32::new(0);

impl Lab {
    /// # Panics
    /// Without root, without the programs that make networks: a test that can't run fails.
    pub fn new() -> Self {
        require::require(require::NETWORK).expect("programs");
        let device = Arc::new(NetNs::new("device").expect("a namespace"));
        let outside = Arc::new(NetNs::new("outside").expect("a namespace"));
        let (mut near, mut far) = (Vec::new(), Vec::new());
        for (n, (port, name)) in (0_u8..).zip(ports()) {
            let [near_end, far_end] = Self::pair(&device, &outside, name, n);
            near.push(near_end);
            far.push((port, far_end));
        }
        remove_leftovers();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let pin_dir = PathBuf::from(format!("{PINS}{}-{number}", std::process::id()));
        Self { device, outside, near, far, pin_dir }
    }

    /// Another port of the device; its far end. The device knows nothing of it before it is configured.
    pub fn add_wire(&mut self, name: &str) -> Port {
        let n = u8::try_from(self.near.len()).expect("few ports");
        let [near, far] = Self::pair(&self.device, &self.outside, name, n);
        self.near.push(near);
        far
    }

    fn pair(device: &Arc<NetNs>, outside: &Arc<NetNs>, name: &str, n: u8) -> [Port; 2] {
        let options = |side, promiscuous| PortOptions { mac: [2, 0, 0, side, 0, n], ip: false, promiscuous, mtu: 1500 };
        let far_name = format!("far-{n}");
        let ends = [(device, name, options(1, false)), (outside, far_name.as_str(), options(2, true))];
        let pair = veth(ends).expect("a veth pair");
        accept_redirects(&pair[1]);
        pair
    }

    /// An interface for copies, and behind it collectors that the device knows the MAC address of, and one that does not answer.
    pub fn add_collectors(&mut self) -> Collected {
        let options = |mac, ip| PortOptions { mac, ip, promiscuous: false, mtu: COPIES_MTU };
        let ends = [
            (&self.device, COPIES, options(COPIES_MACS[0].0, true)),
            (&self.outside, "collector", options(COPIES_MACS[1].0, false)),
        ];
        let [_, far] = veth(ends).expect("a veth pair");
        accept_redirects(&far);
        for address in ["10.99.0.1/24", "fd99::1/64 nodad"] {
            self.device.ip(&format!("addr add {address} dev {COPIES}")).expect("an address");
        }
        let addresses = [
            Addresses::V4 { source: [10, 99, 0, 1], destination: [10, 99, 0, 2] },
            Addresses::V6 { source: collector_v6(1), destination: collector_v6(2) },
        ];
        let reachable = addresses.map(|addresses| {
            let (to, mac) = (addresses.destination(), COPIES_MACS[1]);
            self.device.ip(&format!("neigh add {to} lladdr {mac} dev {COPIES} nud permanent")).expect("a neighbour");
            let [source_mac, destination_mac] = COPIES_MACS;
            (to, encap::Tunnel { source_mac, destination_mac, addresses, vni: COPY_VNI, option: COPY_OPTION })
        });
        let frame_len_max = encap::Layout::V4.frame_len_of_mtu(COPIES_MTU.into());
        let collectors =
            Collectors { reachable: reachable.to_vec(), unreachable: [10, 99, 0, 3].into(), frame_len_max };
        Collected { collectors, port: far }
    }

    /// Behind the interface of [`Lab::add_collectors`], which has to be there, a firewall for each LIF: one over IPv4 by a way that
    /// takes packets of `mtu` bytes, one over IPv6.
    pub fn add_firewalls(&self, mtu: u16) -> [(Lif, FirewallTunnel); 2] {
        let [a, b] = lifs();
        let addresses = [
            Addresses::V4 { source: [10, 99, 0, 1], destination: [10, 99, 0, 4] },
            Addresses::V6 { source: collector_v6(1), destination: collector_v6(4) },
        ];
        let route = format!("route add 10.99.0.4/32 dev {COPIES} src 10.99.0.1 mtu {mtu}");
        self.device.ip(&route).expect("a route");
        [(a, addresses[0], mtu), (b, addresses[1], COPIES_MTU)].map(|(lif, addresses, mtu)| {
            let (to, mac) = (addresses.destination(), COPIES_MACS[1]);
            self.device.ip(&format!("neigh add {to} lladdr {mac} dev {COPIES} nud permanent")).expect("a neighbour");
            let [source_mac, destination_mac] = COPIES_MACS;
            let (vni, option) = (TUNNEL_VNI, TUNNEL_OPTION);
            let template = encap::Tunnel { source_mac, destination_mac, addresses, vni, option };
            let template = encap::Template::new(&template).expect("the VNI fits");
            let frame_len_max = template.layout().frame_len_of_mtu(mtu.into());
            let end = TunnelEnd { addresses: addresses.reversed(), vni, option };
            (lif, FirewallTunnel { end, path: Some(TunnelPath { template, frame_len_max }) })
        })
    }

    /// As [`Lab::config_with_copies`], with the firewalls of [`Lab::add_firewalls`].
    pub fn config_with_tunnels(&self, sessions: u32, mode: AttachMode) -> XdpConfig {
        let tunnel = TunnelConfig { interface: COPIES.to_owned(), vni: TUNNEL_VNI, option: TUNNEL_OPTION };
        let mut config = self.config_with_copies(sessions, mode);
        config.uplink = Some(UplinkConfig { tunnel, answers_per_second: ANSWERS_PER_SECOND_MAX });
        config.lifs[0].firewall = Firewall::Tunnel([10, 99, 0, 4].into());
        config.lifs[1].firewall = Firewall::Tunnel(collector_v6(4).into());
        config
    }

    /// As [`Lab::config`], with the interface of [`Lab::add_collectors`].
    pub fn config_with_copies(&self, sessions: u32, mode: AttachMode) -> XdpConfig {
        let copies = TunnelConfig { interface: COPIES.to_owned(), vni: COPY_VNI, option: COPY_OPTION };
        XdpConfig { copies: Some(copies), ..self.config(sessions, mode) }
    }

    pub fn config(&self, sessions: u32, mode: AttachMode) -> XdpConfig {
        let [a, b] = lifs();
        let lifs = vec![LifPorts::new(a, "wire-a", "fw.a"), LifPorts::new(b, "wire-b", "fw.b")];
        XdpConfig {
            lifs,
            sessions,
            next_hops: 1 << 21,
            mode,
            pin_dir: self.pin_dir.clone(),
            copies: None,
            uplink: None,
        }
    }

    /// A plane in the device's namespace.
    pub fn open(&self, config: &XdpConfig) -> Result<XdpPlane, OpenError> {
        self.device.run(|| XdpPlane::open(config)).expect("enter the namespace")
    }

    pub fn plane(&self, sessions: u32) -> XdpPlane {
        self.open(&self.config(sessions, AttachMode::Native)).expect("root and BPF")
    }
}

/// Pin directories of all tests begin so; the process id follows.
const PINS: &str = "/sys/fs/bpf/opof-test-";

/// What killed tests left pinned.
fn remove_leftovers() {
    let Ok(entries) = fs::read_dir("/sys/fs/bpf") else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        let process = path.to_str().and_then(|path| path.strip_prefix(PINS)).and_then(|rest| rest.split('-').next());
        if process.is_some_and(|id| !PathBuf::from(format!("/proc/{id}")).exists()) {
            // Another test may be doing the same.
            let _ = fs::remove_dir_all(path);
        }
    }
}

/// What a plane stamps packets with and ends by: `CLOCK_MONOTONIC`.
pub fn monotonic() -> Moment {
    let now = clock_gettime(ClockId::Monotonic);
    let [seconds, nanoseconds] = [now.tv_sec, now.tv_nsec].map(|part| u64::try_from(part).expect("not negative"));
    Moment(seconds * 1_000_000_000 + nanoseconds)
}

/// Gives the plane all commands, returns all answers.
pub fn command(plane: &mut XdpPlane, commands: &[Command]) -> Vec<Completion> {
    let (mut rest, mut answers) = (commands, Vec::new());
    while answers.len() < commands.len() {
        let taken = plane.submit(Moment(0), rest);
        rest = &rest[taken..];
        wait::until("an answer", BOUND, || {
            let mut context = Context::from_waker(Waker::noop());
            (plane.poll(&mut context, &mut answers) == Poll::Ready(())).then_some(())
        })
        .expect("the plane answers");
    }
    answers
}

pub fn install(plane: &mut XdpPlane, slot: u32, rules: [Rule; 2]) {
    let slot = Slot(slot);
    let answers = command(plane, &[Command::Install { slot, rules, note: Note::default() }]);
    assert_eq!(answers, [Completion::Installed { slot, result: Ok(()) }]);
}

pub fn remove(plane: &mut XdpPlane, slot: u32, rules: &[Rule; 2]) -> Counters {
    let command_ = Command::Remove { slot: Slot(slot), keys: rules.map(|rule| rule.key), note: Note::default() };
    match command(plane, &[command_])[..] {
        [Completion::Removed { slot: Slot(found), result: Ok(counters) }] if found == slot => counters,
        ref answers => panic!("{answers:?}"),
    }
}

pub fn flow(n: u32, vlan: u16) -> FlowKey {
    FlowKey {
        vlan: Vid::new(vlan).expect("a VLAN"),
        tunnel: Tunnel::None,
        addresses: Addresses::V4 { source: (0x0A00_0000 + n).to_be_bytes(), destination: [192, 0, 2, 1] },
        source_port: 40_000,
        destination_port: 443,
        transport: Transport::Udp,
    }
}

/// "In" on the first LIF, "out" on the second.
pub fn keys(flow: FlowKey) -> [MatchKey; 2] {
    let [a, b] = lifs();
    [MatchKey { lif: a, flow }, MatchKey { lif: b, flow: flow.reversed() }]
}

pub fn forward(flow: FlowKey) -> [Rule; 2] {
    let [a, b] = lifs();
    let [inward, outward] = keys(flow);
    let to = |to| FastAction::Forward { to, change: PacketChange::default(), copy: None };
    [Rule { key: inward, action: to(b) }, Rule { key: outward, action: to(a) }]
}

/// Both directions on one LIF.
pub fn forward_on(lif: Lif, flow: FlowKey) -> [Rule; 2] {
    let action = FastAction::Forward { to: lif, change: PacketChange::default(), copy: None };
    [flow, flow.reversed()].map(|flow| Rule { key: MatchKey { lif, flow }, action })
}

pub fn drop_all(flow: FlowKey) -> [Rule; 2] {
    keys(flow).map(|key| Rule { key, action: FastAction::Drop })
}
