//! The firewall of a bench as a router with NAT, and what a flow is called on either side of it.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;

use opof_session::l3::{Family, Nat};
use opof_testkit::netns::{CLIENT_NET, FlowTuple, SERVER_NET, Topology, run};

use crate::Error;
use crate::iperf::SERVER_PORT;
use crate::routed::{flow, nat};

/// The port by which the server is reached at the firewall.
pub const PUBLIC_PORT: u16 = 5301;
/// Conntrack sees a connection begin and end, and nothing between: it must neither take its end for one that does not belong
/// (liberal) nor forget it before; to it the handshake lacks its last segment for as long as the connection lasts.
const CONNTRACK: [(&str, &str); 2] =
    [("nf_conntrack_tcp_be_liberal", "1"), ("nf_conntrack_tcp_timeout_syn_recv", "86400")];

/// What the firewall translates.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// The client's address is the firewall's towards the server; the port is kept.
    Source,
    /// The server is reached at the firewall's address towards the client and [`PUBLIC_PORT`].
    Destination,
    /// Both.
    Both,
}

/// A flow that the firewall translates.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Translated {
    /// As the client sees it.
    pub near: FlowTuple,
    /// As the server sees it.
    pub far: FlowTuple,
    /// As a session says it: source, then destination.
    pub nat: [Option<Nat>; 2],
}

impl Translated {
    /// What becomes of a flow from this port of the client's to the server.
    pub fn new(family: Family, kind: Kind, tcp: bool, client_port: u16) -> Self {
        let is_v4 = family == Family::V4;
        let direct = flow(family, tcp, client_port, SERVER_PORT);
        let (mut near, mut far, mut nats) = (direct, direct, [None; 2]);
        if kind != Kind::Destination {
            far.client = SERVER_NET.gateway(is_v4);
            nats[0] = Some(nat(far.client, None));
        }
        if kind != Kind::Source {
            (near.server, near.server_port) = (CLIENT_NET.gateway(is_v4), PUBLIC_PORT);
            nats[1] = Some(nat(far.server, Some(far.server_port)));
        }
        Self { near, far, nat: nats }
    }
}

/// Has the firewall do this to every connection from the client's side. Once a bench.
pub fn set_up(bench: &Topology, kind: Kind) -> Result<(), Error> {
    for (name, value) in CONNTRACK {
        bench.firewall.sysctl(&format!("net/netfilter/{name}"), value)?;
    }
    let mut rules = String::new();
    for (is_v4, ip) in [(true, "ip"), (false, "ip6")] {
        let (outside, inside) = (SERVER_NET.gateway(is_v4), CLIENT_NET.gateway(is_v4));
        let server = SocketAddr::new(SERVER_NET.host(is_v4), SERVER_PORT);
        let mut chains = String::new();
        if kind != Kind::Destination {
            let rule = format!("oifname {} snat to {outside}", bench.firewall_b.name);
            let _ = writeln!(chains, " chain post {{\n  type nat hook postrouting priority srcnat;\n  {rule}\n }}");
        }
        if kind != Kind::Source {
            let port = format!("meta l4proto {{ tcp, udp }} th dport {PUBLIC_PORT}");
            let rule = format!("iifname {} {ip} daddr {inside} {port} dnat to {server}", bench.firewall_a.name);
            let _ = writeln!(chains, " chain pre {{\n  type nat hook prerouting priority dstnat;\n  {rule}\n }}");
        }
        let _ = writeln!(rules, "table {ip} lab {{\n{chains}}}");
    }
    let file = tempfile::NamedTempFile::new().map_err(Error::io("make a temporary file"))?;
    fs::write(file.path(), rules).map_err(Error::io("write the nftables rules"))?;
    run(bench.firewall.command("nft").arg("-f").arg(file.path()))?;
    Ok(())
}
