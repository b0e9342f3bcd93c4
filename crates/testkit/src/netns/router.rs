//! The firewall of a bench as a router: its ports are the gateways of the hosts, which are in subnets of their own.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::error::{NetError, run};
use super::link::{Port, mac_text};
use super::topology::{FIREWALL_MACS, Topology, io};
use super::{CLIENT, SERVER};

const LENGTH_V4: u8 = 24;
const LENGTH_V6: u8 = 64;

/// A host and the firewall's port that is its gateway, the same on every bench whose firewall is a router.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Subnet {
    /// The host's link address.
    pub mac: [u8; 6],
    /// The host's.
    pub ipv4: Ipv4Addr,
    /// The host's.
    pub ipv6: Ipv6Addr,
    /// The link address of the firewall's port.
    pub gateway_mac: [u8; 6],
    /// The firewall's.
    pub gateway_ipv4: Ipv4Addr,
    /// The firewall's.
    pub gateway_ipv6: Ipv6Addr,
}

/// The client and the firewall's port a.
pub const CLIENT_NET: Subnet = Subnet::new(1, CLIENT.mac, FIREWALL_MACS[0]);
/// The server and the firewall's port b.
pub const SERVER_NET: Subnet = Subnet::new(2, SERVER.mac, FIREWALL_MACS[1]);

impl Subnet {
    const fn new(number: u8, mac: [u8; 6], gateway_mac: [u8; 6]) -> Self {
        let net = number as u16;
        Self {
            mac,
            ipv4: Ipv4Addr::new(10, 78, number, 1),
            ipv6: Ipv6Addr::new(0xfd78, net, 0, 0, 0, 0, 0, 1),
            gateway_mac,
            gateway_ipv4: Ipv4Addr::new(10, 78, number, 254),
            gateway_ipv6: Ipv6Addr::new(0xfd78, net, 0, 0, 0, 0, 0, 0xfe),
        }
    }

    /// The host's address of one family.
    pub fn host(&self, is_v4: bool) -> IpAddr {
        if is_v4 { self.ipv4.into() } else { self.ipv6.into() }
    }

    /// The gateway's address of one family.
    pub fn gateway(&self, is_v4: bool) -> IpAddr {
        if is_v4 { self.gateway_ipv4.into() } else { self.gateway_ipv6.into() }
    }
}

/// Addresses, static neighbours and routes; nothing is sent of its own accord.
pub(super) fn set_up(bench: &Topology) -> Result<(), NetError> {
    for (subnet, host, gateway) in
        [(CLIENT_NET, &bench.client.port, &bench.firewall_a), (SERVER_NET, &bench.server.port, &bench.firewall_b)]
    {
        for is_v4 in [true, false] {
            join(host, (subnet.host(is_v4), subnet.mac), gateway, (subnet.gateway(is_v4), subnet.gateway_mac))?;
        }
    }
    let firewall = &bench.firewall;
    for (key, value) in [
        ("net/ipv4/ip_forward", "1"),
        ("net/ipv6/conf/all/forwarding", "1"),
        // A test waits for each of its errors.
        ("net/ipv4/icmp_ratelimit", "0"),
        ("net/ipv6/icmp/ratelimit", "0"),
    ] {
        firewall.sysctl(key, value)?;
    }
    let directory = tempfile::tempdir().map_err(|source| io("make a temporary directory", source))?;
    let file = directory.path().join("quiet.nft");
    let rules = "table inet quiet {\n chain out {\n  type filter hook output priority mangle;\n  \
                 icmpv6 type mld2-listener-report drop\n }\n}\n";
    fs::write(&file, rules).map_err(|source| io("write the nftables rules", source))?;
    for namespace in [firewall, &bench.client.port.namespace, &bench.server.port.namespace] {
        run(namespace.command("nft").arg("-f").arg(&file))?;
    }
    Ok(())
}

/// A host and its gateway, each with its port, IP address and link address.
fn join(
    host: &Port,
    at_host: (IpAddr, [u8; 6]),
    gateway: &Port,
    at_gateway: (IpAddr, [u8; 6]),
) -> Result<(), NetError> {
    for (port, (address, _), (other, mac)) in [(host, at_host, at_gateway), (gateway, at_gateway, at_host)] {
        let Port { namespace, name } = port;
        let (length, nodad) = if address.is_ipv4() { (LENGTH_V4, "") } else { (LENGTH_V6, "nodad") };
        let mac = mac_text(mac);
        namespace.ip(&format!("addr add {address}/{length} dev {name} {nodad}"))?;
        namespace.ip(&format!("neigh add {other} lladdr {mac} dev {name} nud permanent"))?;
    }
    let family = if at_host.0.is_ipv4() { "-4" } else { "-6" };
    host.namespace.ip(&format!("{family} route add default via {} dev {}", at_gateway.0, host.name))?;
    Ok(())
}
