//! The lab bench: a client and a server, a device in the wire between them, and a firewall beside the device.
//!
//! ```text
//!  client          device                                server
//!  eth0 ──────── wire1   fw1 ─┐     ┌─ fw2   wire2 ──────── eth0
//!                             │     │
//!                           a ┴─────┴ b
//!                            firewall
//! ```

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::Command;
use std::sync::Arc;

use super::error::{NetError, run};
use super::link::{Port, PortOptions, bridge, mac_text, veth};
use super::{NetNs, RawSocket, router};

/// Tags packets on hosts of kernels that have no VLAN interfaces. Source: `bpf/lab_vlan.bpf.c`, built by `cargo xtask bpf`.
const VLAN_OBJECT: &[u8] = include_bytes!("../../bpf/lab_vlan.bpf.o");
/// The VLAN of the hosts' tagged addresses.
pub const VLAN: u16 = 100;
/// Largest IP packet between hosts, in bytes.
const MTU: u16 = 1500;
/// The same where no host has an IP address: a full frame then has room for more tags than an interface allows for.
const MTU_SILENT: u16 = 2000;

/// What stands at the firewall ports.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FirewallMode {
    /// A bridge that lets everything through, between hosts that have addresses.
    Bridge,
    /// A router that lets everything through, between hosts in subnets of their own: [`super::CLIENT_NET`] and
    /// [`super::SERVER_NET`].
    Router,
    /// Nothing: frames end there, and no port sends anything of its own accord. The hosts have no addresses.
    Silent,
}

/// The addresses of a host, the same on every bench.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Addresses {
    /// Link address.
    pub mac: [u8; 6],
    /// Untagged.
    pub ipv4: Ipv4Addr,
    /// Untagged.
    pub ipv6: Ipv6Addr,
    /// Packets to and from it are in VLAN [`VLAN`].
    pub tagged: Ipv4Addr,
    /// Packets to and from it are in VLAN [`VLAN`].
    pub tagged_ipv6: Ipv6Addr,
}

/// The client's.
pub const CLIENT: Addresses = Addresses::new(1);
/// The server's.
pub const SERVER: Addresses = Addresses::new(2);
/// Link addresses of the firewall's ports a and b.
pub(super) const FIREWALL_MACS: [[u8; 6]; 2] = [mac(0x21), mac(0x22)];

/// Client or server.
#[derive(Clone, Debug)]
pub struct Host {
    /// Its port to the device.
    pub port: Port,
    /// Its addresses; the IP addresses only where the bench has a [`FirewallMode::Bridge`]. What it has in front of a router is
    /// its [`super::Subnet`].
    pub addresses: Addresses,
}

/// Four namespaces, six ports that matter, up and wired.
#[derive(Debug)]
pub struct Topology {
    /// Sends first.
    pub client: Host,
    /// The client's ends of its cables to the device: the port itself, where there is one.
    pub client_cables: Vec<Port>,
    /// Answers.
    pub server: Host,
    /// Where the daemon runs.
    pub device: Arc<NetNs>,
    /// Where frames off the fast path go.
    pub firewall: Arc<NetNs>,
    /// The device's port to the client.
    pub wire1: Port,
    /// The device's port to [`Self::firewall_a`].
    pub fw1: Port,
    /// The device's port to the server.
    pub wire2: Port,
    /// The device's port to [`Self::firewall_b`].
    pub fw2: Port,
    /// The firewall's port to `fw1`.
    pub firewall_a: Port,
    /// The firewall's port to `fw2`.
    pub firewall_b: Port,
}

impl Topology {
    /// Builds it. Needs root and the programs of [`crate::require::NETWORK`].
    pub fn new(mode: FirewallMode) -> Result<Self, NetError> {
        Self::cable(mode, false)
    }

    /// As with [`FirewallMode::Bridge`], but the client is on a bridge of its own with two cables to the device, to `wire1` and
    /// `wire1b`: it sends where it last heard the server from, and anywhere when that cable is cut.
    pub fn with_two_cables() -> Result<Self, NetError> {
        Self::cable(FirewallMode::Bridge, true)
    }

    fn cable(mode: FirewallMode, two: bool) -> Result<Self, NetError> {
        let ip = mode != FirewallMode::Silent;
        let namespace = |role| NetNs::new(role).map(Arc::new);
        let (client, device) = (namespace("client")?, namespace("device")?);
        let (firewall, server) = (namespace("firewall")?, namespace("server")?);

        let mtu = if ip { MTU } else { MTU_SILENT };
        let host = |addresses: Addresses| PortOptions { mac: addresses.mac, ip, promiscuous: !ip, mtu };
        let port = |last| PortOptions { mac: mac(last), ip: false, promiscuous: true, mtu };
        let [client_port, wire1] = veth([(&client, "eth0", host(CLIENT)), (&device, "wire1", port(0x11))])?;
        let [server_port, wire2] = veth([(&server, "eth0", host(SERVER)), (&device, "wire2", port(0x12))])?;
        let gateway = |mac| PortOptions { mac, ip: mode == FirewallMode::Router, promiscuous: true, mtu };
        let [a, b] = FIREWALL_MACS.map(gateway);
        let [firewall_a, fw1] = veth([(&firewall, "a0", a), (&device, "fw1", port(0x13))])?;
        let [firewall_b, fw2] = veth([(&firewall, "b0", b), (&device, "fw2", port(0x14))])?;

        let mut client_cables = vec![client_port.clone()];
        let mut client = Host { port: client_port, addresses: CLIENT };
        if two {
            let [second, _] = veth([(&client.port.namespace, "eth1", port(0x15)), (&device, "wire1b", port(0x16))])?;
            client_cables.push(second);
            client.port = host_bridge(&client_cables, CLIENT)?;
        }
        let server = Host { port: server_port, addresses: SERVER };
        let bench =
            Self { client, client_cables, server, device, firewall, wire1, fw1, wire2, fw2, firewall_a, firewall_b };
        match mode {
            FirewallMode::Bridge => {
                bench.client.set_up(&bench.server)?;
                bench.server.set_up(&bench.client)?;
                bridge("br0", &[&bench.firewall_a, &bench.firewall_b])?;
            }
            FirewallMode::Router => router::set_up(&bench)?,
            FirewallMode::Silent => {}
        }
        Ok(bench)
    }

    /// A socket that sends whole frames as the client.
    pub fn client_socket(&self) -> Result<RawSocket, NetError> {
        RawSocket::open(&self.client.port)
    }

    /// A socket that sends whole frames as the server.
    pub fn server_socket(&self) -> Result<RawSocket, NetError> {
        RawSocket::open(&self.server.port)
    }
}

/// A bridge over a host's cables in the place of its port.
fn host_bridge(cables: &[Port], addresses: Addresses) -> Result<Port, NetError> {
    let name = "br0";
    bridge(name, &cables.iter().collect::<Vec<_>>())?;
    let namespace = &cables[0].namespace;
    namespace.ip(&format!("link set dev {name} address {} addrgenmode none", mac_text(addresses.mac)))?;
    namespace.sysctl(&format!("net/ipv6/conf/{name}/disable_ipv6"), "0")?;
    run(namespace.command("ethtool").args(["-K", name, "tx", "off", "tso", "off", "gso", "off"]))?;
    Ok(Port { namespace: Arc::clone(namespace), name: name.to_owned() })
}

const fn mac(last: u8) -> [u8; 6] {
    [0x02, 0x0f, 0, 0, 0, last]
}

impl Addresses {
    const fn new(number: u8) -> Self {
        let last = number as u16;
        Self {
            mac: mac(number),
            ipv4: Ipv4Addr::new(10, 77, 0, number),
            ipv6: Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, last),
            tagged: Ipv4Addr::new(10, 77, 100, number),
            tagged_ipv6: Ipv6Addr::new(0xfd77, 0x100, 0, 0, 0, 0, 0, last),
        }
    }

    /// All IP addresses, each with its prefix length.
    fn with_lengths(&self) -> [(IpAddr, u8); 4] {
        [(self.ipv4.into(), 24), (self.tagged.into(), 24), (self.ipv6.into(), 64), (self.tagged_ipv6.into(), 64)]
    }
}

impl Host {
    /// Addresses, the other host as a static neighbour, and the VLAN.
    fn set_up(&self, other: &Self) -> Result<(), NetError> {
        let Port { namespace, name } = &self.port;
        self.set_up_output(other)?;
        for (address, length) in self.addresses.with_lengths() {
            let nodad = if address.is_ipv6() { "nodad" } else { "" };
            namespace.ip(&format!("addr add {address}/{length} dev {name} {nodad}"))?;
        }
        let mac = mac_text(other.addresses.mac);
        for (address, _) in other.addresses.with_lengths() {
            namespace.ip(&format!("neigh add {address} lladdr {mac} dev {name} nud permanent"))?;
        }
        Ok(())
    }

    /// A packet to a tagged address is marked with the VID; on the way out the mark becomes a tag. Multicast reports,
    /// the last thing that a host would send of its own accord, are not sent.
    fn set_up_output(&self, other: &Self) -> Result<(), NetError> {
        let Port { namespace, name } = &self.port;
        let rules = format!(
            "table inet lab {{\n chain out {{\n  type filter hook output priority mangle;\n  \
             ip daddr {} meta mark set {VLAN}\n  ip6 daddr {} meta mark set {VLAN}\n  \
             icmpv6 type mld2-listener-report drop\n }}\n}}\n",
            other.addresses.tagged, other.addresses.tagged_ipv6
        );
        let directory = tempfile::tempdir().map_err(|source| io("make a temporary directory", source))?;
        let (rule_file, object) = (directory.path().join("lab.nft"), directory.path().join("lab_vlan.bpf.o"));
        fs::write(&rule_file, rules).map_err(|source| io("write the nftables rules", source))?;
        fs::write(&object, VLAN_OBJECT).map_err(|source| io("write the BPF object", source))?;
        run(namespace.command("nft").arg("-f").arg(&rule_file))?;
        let tc = || {
            let mut command = Command::new("tc");
            command.args(["-n", namespace.name()]);
            command
        };
        run(tc().args(["qdisc", "add", "dev", name, "clsact"]))?;
        for hook in ["egress", "ingress"] {
            let section = format!("tc/{hook}");
            let filter = ["filter", "add", "dev", name, hook, "bpf", "direct-action", "object-file"];
            run(tc().args(filter).arg(&object).args(["section", &section]))?;
        }
        Ok(())
    }
}

pub(super) fn io(what: &str, source: std::io::Error) -> NetError {
    NetError::Io { what: what.to_owned(), source }
}
