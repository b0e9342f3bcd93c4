//! What a firewall sees of one flow, counted by the kernel at the firewall's ports, independently of the device.

use std::io::Write;
use std::net::IpAddr;
use std::sync::Arc;

use serde_json::Value;

use super::NetNs;
use super::error::{NetError, run};
use super::link::Port;

const COUNTERS: [&str; 4] = ["flow_control", "flow_data", "companion", "other"];

/// A flow to watch for, in both directions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FlowTuple {
    /// True for TCP, false for UDP.
    pub tcp: bool,
    /// The client's address.
    pub client: IpAddr,
    /// The client's port.
    pub client_port: u16,
    /// The server's address.
    pub server: IpAddr,
    /// The server's port.
    pub server_port: u16,
}

/// Packets that came in at the firewall, both ports together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SeenByFirewall {
    /// The flow's own with SYN, FIN or RST.
    pub flow_control: u64,
    /// The flow's own without.
    pub flow_data: u64,
    /// TCP to or from the server's port that is not the flow: the connection by which the tool controls its test.
    pub companion: u64,
    /// Everything else.
    pub other: u64,
}

/// Counters in the firewall's namespace, removed when this goes.
#[derive(Debug)]
pub struct Watch {
    firewall: Arc<NetNs>,
}

impl Watch {
    /// Counts from now on. One at a time in a namespace.
    pub fn start(ports: [&Port; 2], flow: &FlowTuple) -> Result<Self, NetError> {
        Self::of_all(ports, &[*flow])
    }

    /// The same for a flow that NAT gives another tuple on its way: with all tuples that it has.
    pub fn of_all(ports: [&Port; 2], flows: &[FlowTuple]) -> Result<Self, NetError> {
        let firewall = Arc::clone(&ports[0].namespace);
        let mut file = tempfile::NamedTempFile::new().map_err(io)?;
        file.write_all(rules(ports.map(|port| port.name.as_str()), flows).as_bytes()).map_err(io)?;
        run(firewall.command("nft").arg("-f").arg(file.path()))?;
        Ok(Self { firewall })
    }

    /// What has come in so far.
    pub fn seen(&self) -> Result<SeenByFirewall, NetError> {
        let output = run(self.firewall.command("nft").args(["-j", "list", "counters", "table", "netdev", "lab"]))?;
        parse(&output).ok_or_else(|| NetError::Output { what: "counters of the firewall".into(), output })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = run(self.firewall.command("nft").args(["delete", "table", "netdev", "lab"]));
    }
}

fn rules(devices: [&str; 2], flows: &[FlowTuple]) -> String {
    let own = flows.iter().flat_map(of_flow);
    let companion = flows.iter().flat_map(of_companion);
    let chain: Vec<String> = own.chain(companion).chain(["  counter name other\n".to_owned()]).collect();
    let chain = chain.concat();
    let counters = COUNTERS.map(|counter| format!(" counter {counter} {{\n }}\n")).concat();
    let hook = |port| format!("  type filter hook ingress device \"{port}\" priority 0;\n");
    let chains = devices.map(|port| format!(" chain at_{port} {{\n{}{chain} }}\n", hook(port))).concat();
    format!("table netdev lab {{\n{counters}{chains}}}\n")
}

/// How nftables calls the family of its addresses.
fn family(flow: &FlowTuple) -> &'static str {
    if flow.client.is_ipv6() { "ip6" } else { "ip" }
}

fn of_flow(flow: &FlowTuple) -> Vec<String> {
    let FlowTuple { client, client_port, server, server_port, .. } = flow;
    let (ip, transport) = (family(flow), if flow.tcp { "tcp" } else { "udp" });
    let directions = [
        format!(
            "{ip} saddr {client} {ip} daddr {server} {transport} sport {client_port} {transport} dport {server_port}"
        ),
        format!(
            "{ip} saddr {server} {ip} daddr {client} {transport} sport {server_port} {transport} dport {client_port}"
        ),
    ];
    let mut rules = Vec::new();
    for direction in &directions {
        if flow.tcp {
            rules.push(format!("  {direction} tcp flags & (fin|syn|rst) != 0 counter name flow_control return\n"));
        }
        rules.push(format!("  {direction} counter name flow_data return\n"));
    }
    rules
}

fn of_companion(flow: &FlowTuple) -> [String; 2] {
    let FlowTuple { client, server, server_port, .. } = flow;
    let ip = family(flow);
    ["sport", "dport"].map(|port| {
        format!("  {ip} saddr {{ {client}, {server} }} tcp {port} {server_port} counter name companion return\n")
    })
}

fn parse(output: &str) -> Option<SeenByFirewall> {
    let list: Value = serde_json::from_str(output).ok()?;
    let counters: Vec<&Value> =
        list.get("nftables")?.as_array()?.iter().filter_map(|item| item.get("counter")).collect();
    let packets = |name| counters.iter().find(|counter| counter["name"] == name)?.get("packets")?.as_u64();
    let [flow_control, flow_data, companion, other] = COUNTERS.map(packets);
    Some(SeenByFirewall { flow_control: flow_control?, flow_data: flow_data?, companion: companion?, other: other? })
}

fn io(source: std::io::Error) -> NetError {
    NetError::Io { what: "write the nftables rules".into(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read_from_what_nft_prints() {
        let counter = |name, packets| serde_json::json!({"counter": {"name": name, "packets": packets, "bytes": 9}});
        let list = [counter("other", 4), counter("flow_data", 2), counter("companion", 3), counter("flow_control", 1)];
        let output = serde_json::json!({ "nftables": list }).to_string();
        let expected = SeenByFirewall { flow_control: 1, flow_data: 2, companion: 3, other: 4 };
        assert_eq!(parse(&output), Some(expected));
        assert_eq!(parse(r#"{"nftables": []}"#), None);
    }
}
