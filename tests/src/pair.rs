//! Two devices that are a pair, between one client and one server whose frames come to one of them at a time.
//!
//! ```text
//!                          wire1 ┌──────────┐ wire2
//!                     ┌──────────┤ device a ├──────────┐
//!  client ─ switch ───┤          └──┬────┬──┘          ├─── switch ─ server
//!                     │             │    └ firewall a  │
//!                     │        line │                  │
//!                     │          ┌──┴───────┐          │
//!                     └──────────┤ device b ├──────────┘
//!                                └───────┬──┘
//!                                        └ firewall b
//! ```
//!
//! A network for management joins both devices, an etcd, and whoever asks. To move the wires is to have both switches send to the
//! other device, as switches do where an address has moved; cables can be cut besides.

mod api;
mod traffic;

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use opof_testkit::authority::certify;
use opof_testkit::etcd::{EtcdServer, Timing};
use opof_testkit::netns::{Addresses, CLIENT, NetNs, Port, PortOptions, SERVER, bridge, counters, run, veth};
use opof_testkit::require::{NETWORK, require};

pub use self::api::{Added, Api, Firewall, Reader};
pub use self::traffic::{Figures, Traffic, key};
use crate::{Error, Opofd};

const MTU: u16 = 1500;
const NAMES: [&str; 2] = ["a", "b"];
/// Of what asks, and of the etcd.
const MANAGEMENT: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
const API_PORT: u16 = 3443;
const LINE_PORT: u16 = 3445;

/// One of the two.
#[derive(Debug)]
pub struct Device {
    /// The daemon. First, so that it ends before its ports do.
    pub opofd: Opofd,
    /// The firewall's ports, which get what does not take the fast path.
    firewall: [Port; 2],
    /// The switches' ends of its wires.
    wires: [Port; 2],
    /// The far end of its port to the management network.
    management: Port,
}

/// A cable of a device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cable {
    /// Both to the switches.
    Wires,
    /// To etcd, and to whoever asks.
    Management,
    /// To the other device.
    Line,
}

/// The whole of it.
#[derive(Debug)]
pub struct Pair {
    /// `a` and `b`.
    pub devices: [Device; 2],
    /// Who elects.
    pub etcd: EtcdServer,
    /// Whoever asks has to be here.
    pub management: Arc<NetNs>,
    /// The switch with the client on it.
    pub client: Port,
    /// The switch with the server on it.
    pub server: Port,
    /// The end of the line at `a`.
    line: Port,
    folder: tempfile::TempDir,
}

/// How a device is placed.
struct Place {
    namespace: Arc<NetNs>,
    firewall: [Port; 2],
    wires: [Port; 2],
    management: Port,
}

impl Pair {
    /// Builds it, and starts both; the wires are at neither.
    pub fn start() -> Result<Self, Error> {
        require(NETWORK)?;
        let namespace = |role| NetNs::new(role).map(Arc::new);
        let [client, server, management] = [namespace("client")?, namespace("server")?, namespace("management")?];
        let [a, b] = [place(0, &client, &server, &management)?, place(1, &client, &server, &management)?];
        bridge("br0", &[&a.management, &b.management])?;
        management.ip(&format!("addr add {MANAGEMENT}/24 dev br0"))?;
        let [line, _] = veth([(&a.namespace, "line", host(0x31)), (&b.namespace, "line", host(0x32))])?;
        for (which, place) in [&a, &b].into_iter().enumerate() {
            place.namespace.ip(&format!("addr add {}/24 dev line", line_address(which)))?;
        }
        let client = switch([&a.wires[0], &b.wires[0]], &CLIENT, &SERVER)?;
        let server = switch([&a.wires[1], &b.wires[1]], &SERVER, &CLIENT)?;

        let folder = tempfile::tempdir().map_err(Error::io("make a temporary directory"))?;
        let names = NAMES.map(|name| (name, [name, "device.example"]));
        certify(folder.path(), &names.each_ref().map(|(name, names)| (*name, names.as_slice())))
            .map_err(Error::io("make certificates"))?;
        let etcd = EtcdServer::start_in(&management, MANAGEMENT, Timing::Quick)?;
        let device = |which, place: Place| {
            let opofd = Opofd::start(&place.namespace, &config(folder.path(), which, &etcd.endpoint()))?;
            let Place { firewall, wires, management, .. } = place;
            Ok::<Device, Error>(Device { opofd, firewall, wires, management })
        };
        let devices = [device(0, a)?, device(1, b)?];
        Ok(Self { devices, etcd, management, client, server, line, folder })
    }

    /// Has both switches send to this device.
    pub fn move_wires(&self, to: usize) -> Result<(), Error> {
        let [to_server, to_client] = &self.devices[to].wires;
        for (port, who) in [(to_server, SERVER), (to_client, CLIENT)] {
            let mut command = Command::new("bridge");
            command.args(["-n", port.namespace.name(), "fdb", "replace", &mac_text(who.mac), "dev", &port.name]);
            run(command.args(["master", "static"]))?;
        }
        Ok(())
    }

    /// Cuts a cable of a device, or joins it again.
    pub fn set_cable(&self, which: usize, cable: Cable, joined: bool) -> Result<(), Error> {
        let device = &self.devices[which];
        let ports = match cable {
            Cable::Wires => device.wires.each_ref().to_vec(),
            Cable::Management => vec![&device.management],
            Cable::Line => vec![&self.line],
        };
        for port in ports {
            port.namespace.ip(&format!("link set dev {} {}", port.name, if joined { "up" } else { "down" }))?;
        }
        Ok(())
    }

    /// Frames that a device has sent to its firewall.
    pub fn to_firewall(&self, which: usize) -> Result<u64, Error> {
        let [a, b] = &self.devices[which].firewall;
        Ok(counters(a)?.rx_packets + counters(b)?.rx_packets)
    }

    /// For whoever asks a device.
    pub fn api(&self, which: usize) -> Result<Api, Error> {
        let ca = fs::read(self.folder.path().join("ca.crt")).map_err(Error::io("read the certificate"))?;
        let uri = |which| format!("https://{}:{API_PORT}", address(which));
        Api::new(&uri(which), &uri(1 - which), ca)
    }
}

/// Addresses in the management network.
fn address(which: usize) -> Ipv4Addr {
    [Ipv4Addr::new(198, 51, 100, 11), Ipv4Addr::new(198, 51, 100, 12)][which]
}

fn line_address(which: usize) -> Ipv4Addr {
    [Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2)][which]
}

/// A port with an IP address, that takes frames for itself.
fn host(last: u8) -> PortOptions {
    PortOptions { mac: [2, 0x0f, 0, 3, 0, last], ip: true, promiscuous: false, mtu: MTU }
}

/// A device's namespace, that of its firewall, and the cables that are its own.
fn place(which: usize, client: &Arc<NetNs>, server: &Arc<NetNs>, management: &Arc<NetNs>) -> Result<Place, Error> {
    let name = NAMES[which];
    let namespace = NetNs::new(&format!("device-{name}")).map(Arc::new)?;
    let firewall = NetNs::new(&format!("firewall-{name}")).map(Arc::new)?;
    let mut last = [0x40, 0x60][which];
    let mut port = || {
        last += 1;
        PortOptions { mac: [2, 0x0f, 0, 2, 0, last], ip: false, promiscuous: true, mtu: MTU }
    };
    let cable = format!("to-{name}");
    let [to_client, _] = veth([(client, &cable, port()), (&namespace, "wire1", port())])?;
    let [to_server, _] = veth([(server, &cable, port()), (&namespace, "wire2", port())])?;
    let [inside, _] = veth([(&firewall, "a0", port()), (&namespace, "fw1", port())])?;
    let [outside, _] = veth([(&firewall, "b0", port()), (&namespace, "fw2", port())])?;
    bridge("br0", &[&inside, &outside])?;
    let own = host([0x33, 0x34][which]);
    let [far, _] = veth([(management, &cable, port()), (&namespace, "management", own)])?;
    namespace.ip(&format!("addr add {}/24 dev management", address(which)))?;
    Ok(Place { namespace, firewall: [inside, outside], wires: [to_client, to_server], management: far })
}

/// A host that is its own switch: it sends to one of its ports, and takes what comes in at any. It says nothing of its own accord.
fn switch(ports: [&Port; 2], own: &Addresses, other: &Addresses) -> Result<Port, Error> {
    let (name, namespace) = ("br0", &ports[0].namespace);
    bridge(name, &ports)?;
    for port in ports {
        let quiet = "learning off flood off mcast_flood off bcast_flood off";
        namespace.ip(&format!("link set dev {} type bridge_slave {quiet}", port.name))?;
    }
    namespace.ip(&format!("link set dev {name} address {}", mac_text(own.mac)))?;
    namespace.ip(&format!("addr add {}/24 dev {name}", own.ipv4))?;
    namespace.ip(&format!("neigh add {} lladdr {} dev {name} nud permanent", other.ipv4, mac_text(other.mac)))?;
    Ok(Port { namespace: Arc::clone(namespace), name: name.to_owned() })
}

/// As `ip` reads it.
fn mac_text(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// What a device's configuration has besides what every device has.
fn config(folder: &Path, which: usize, etcd: &str) -> String {
    let (name, other) = (NAMES[which], NAMES[1 - which]);
    let (own, own_line) = (address(which), line_address(which));
    let (peer, peer_line) = (address(1 - which), line_address(1 - which));
    let folder = folder.display();
    format!(
        r#"[[listener]]
address = "{own}:{API_PORT}"
tls = {{ cert = "{folder}/{name}.crt", key = "{folder}/{name}.key" }}
role = "operator"
[[lif]]
id = 1
wire = "wire1"
firewall = "fw1"
[[lif]]
id = 2
wire = "wire2"
firewall = "fw2"
[ha]
node = "{name}"
listen = "{own_line}:{LINE_PORT}"
api = "{own}:{API_PORT}"
tls = {{ cert = "{folder}/{name}.crt", key = "{folder}/{name}.key", ca = "{folder}/ca.crt" }}
mode = "sync"
hold = 3
election = "etcd"
term_file = "{folder}/{name}.term"
[ha.peer]
node = "{other}"
address = "{peer_line}:{LINE_PORT}"
api = "{peer}:{API_PORT}"
[ha.etcd]
endpoints = ["{etcd}"]
prefix = "/pair"
ttl = 1
"#
    )
}
