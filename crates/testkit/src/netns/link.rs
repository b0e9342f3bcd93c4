//! veth pairs that behave like wires, bridges, and the kernel's counters of a port.

use std::process::Command;
use std::sync::Arc;

use serde_json::Value;

use super::NetNs;
use super::error::{NetError, run};

/// Length in bytes of the Ethernet header that the kernel leaves out of `rx_bytes`.
const ETHERNET_HEADER: u64 = 14;

/// One end of a veth pair.
#[derive(Clone, Debug)]
pub struct Port {
    /// Where it is.
    pub namespace: Arc<NetNs>,
    /// Its name there.
    pub name: String,
}

/// How an end of a veth pair is set up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PortOptions {
    /// Link address.
    pub mac: [u8; 6],
    /// False: a pure layer 2 port, without IPv6 of its own and so without frames of its own.
    pub ip: bool,
    /// Takes frames for every address, as a bridge or a device in the wire does.
    pub promiscuous: bool,
    /// Largest IP packet, in bytes.
    pub mtu: u16,
}

/// What the kernel counted on a port.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LinkCounters {
    /// Frames that came in.
    pub rx_packets: u64,
    /// Bytes that came in, as this kernel counts them: a veth port with XDP or GRO leaves out the 14 bytes of the Ethernet
    /// header for frames that the other end's stack sent, and has them for frames that XDP sent.
    pub rx_bytes: u64,
    /// Frames that came in and were lost.
    pub rx_dropped: u64,
    /// Frames that went out.
    pub tx_packets: u64,
    /// Frames that should have gone out and were lost.
    pub tx_dropped: u64,
}

impl LinkCounters {
    /// How much was counted since `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            rx_packets: self.rx_packets.wrapping_sub(earlier.rx_packets),
            rx_bytes: self.rx_bytes.wrapping_sub(earlier.rx_bytes),
            rx_dropped: self.rx_dropped.wrapping_sub(earlier.rx_dropped),
            tx_packets: self.tx_packets.wrapping_sub(earlier.tx_packets),
            tx_dropped: self.tx_dropped.wrapping_sub(earlier.tx_dropped),
        }
    }

    /// Bytes of whole frames that came in, for a port whose other end sends from its stack.
    pub fn rx_frame_bytes(&self) -> u64 {
        self.rx_bytes + self.rx_packets * ETHERNET_HEADER
    }
}

/// A veth pair, both ends up and set up like a piece of cable.
pub fn veth(ends: [(&Arc<NetNs>, &str, PortOptions); 2]) -> Result<[Port; 2], NetError> {
    let [(near, near_name, near_options), (far, far_name, far_options)] = ends;
    let pair = format!("link add name {near_name} type veth peer name {far_name} netns {}", far.name());
    near.ip(&pair)?;
    let ports = [(near, near_name, near_options), (far, far_name, far_options)]
        .map(|(namespace, name, options)| (Port { namespace: Arc::clone(namespace), name: name.to_owned() }, options));
    for (port, options) in &ports {
        set_up(port, *options)?;
    }
    Ok(ports.map(|(port, _)| port))
}

fn set_up(port: &Port, options: PortOptions) -> Result<(), NetError> {
    let Port { namespace, name } = port;
    let (mac, mtu) = (mac_text(options.mac), options.mtu);
    namespace.ip(&format!("link set dev {name} address {mac} mtu {mtu} addrgenmode none"))?;
    if !options.ip {
        namespace.sysctl(&format!("net/ipv6/conf/{name}/disable_ipv6"), "1")?;
    }
    // Checksums or tags left to the hardware that a veth does not have are lost when XDP moves the frame.
    run(namespace.command("ethtool").args(["-K", name, "tx", "off", "txvlan", "off", "tso", "off", "gso", "off"]))?;
    if options.promiscuous {
        namespace.ip(&format!("link set dev {name} promisc on"))?;
    }
    namespace.ip(&format!("link set dev {name} up"))?;
    // GRO gives the port its NAPI, without which a frame that XDP sends to it is lost; only switched on while the port is up
    // does it also make the driver say that it takes such frames.
    run(namespace.command("ethtool").args(["-K", name, "gro", "off"]))?;
    run(namespace.command("ethtool").args(["-K", name, "gro", "on"]))?;
    Ok(())
}

/// Keeps the kernel from joining TCP segments that come in at `port`, so that a capture shows frames as they were on the
/// cable. It costs TCP some of its speed.
pub fn keep_segments(port: &Port) -> Result<(), NetError> {
    // GRO itself must stay on, for the port's NAPI: see `set_up`. Nothing fits into one byte.
    port.namespace.ip(&format!("link set dev {} gro_max_size 1", port.name))?;
    Ok(())
}

/// As `ip` reads it.
pub(super) fn mac_text(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// Joins `ports`, all of one namespace, by a bridge that says nothing of its own.
pub fn bridge(name: &str, ports: &[&Port]) -> Result<(), NetError> {
    let Some(first) = ports.first() else { return Ok(()) };
    let namespace = &first.namespace;
    namespace.ip(&format!("link add name {name} type bridge stp_state 0 forward_delay 0 mcast_snooping 0"))?;
    namespace.sysctl(&format!("net/ipv6/conf/{name}/disable_ipv6"), "1")?;
    for port in ports {
        namespace.ip(&format!("link set dev {} master {name}", port.name))?;
    }
    namespace.ip(&format!("link set dev {name} up"))?;
    Ok(())
}

/// The kernel's counters of `port`.
pub fn counters(port: &Port) -> Result<LinkCounters, NetError> {
    let mut command = Command::new("ip");
    let output = run(command.args(["-n", port.namespace.name(), "-j", "-s", "link", "show", "dev", &port.name]))?;
    parse_counters(&output).ok_or_else(|| NetError::Output { what: format!("counters of {}", port.name), output })
}

fn parse_counters(output: &str) -> Option<LinkCounters> {
    let links: Value = serde_json::from_str(output).ok()?;
    let stats = links.get(0)?.get("stats64")?;
    let get = |direction: &str, name: &str| stats.get(direction)?.get(name)?.as_u64();
    Some(LinkCounters {
        rx_packets: get("rx", "packets")?,
        rx_bytes: get("rx", "bytes")?,
        rx_dropped: get("rx", "dropped")?,
        tx_packets: get("tx", "packets")?,
        tx_dropped: get("tx", "dropped")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read_from_what_ip_prints() {
        let output =
            r#"[{"ifname":"p0","stats64":{"rx":{"bytes":90,"packets":1,"dropped":2},"tx":{"packets":3,"dropped":4}}}]"#;
        let expected = LinkCounters { rx_packets: 1, rx_bytes: 90, rx_dropped: 2, tx_packets: 3, tx_dropped: 4 };
        assert_eq!(parse_counters(output), Some(expected));
        assert_eq!(parse_counters("[]"), None);
    }
}
