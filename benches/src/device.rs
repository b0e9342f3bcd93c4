//! A device of two LIFs on veth ports, in a network namespace of its own, and the far ends of its ports in others.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use opof_dataplane_linux::{AttachMode, LifPorts, XdpConfig};
use opof_session::types::Lif;
use opof_testkit::netns::{NetNs, Port, PortOptions, run, veth};
use opof_testkit::require::{NETWORK, require};

/// Its LIFs.
const LIFS: [u8; 2] = [1, 2];
/// On a BPF file system; this process' id follows.
const PINS: &str = "/sys/fs/bpf/opof-bench-";

/// Everything around an opofd that is not there yet.
pub(crate) struct Device {
    pub(crate) namespace: Arc<NetNs>,
    /// The wire ports, by LIF. This process' id is in their names, so that no other port on the machine has the same.
    pub(crate) ports: Vec<Port>,
    /// Their far ends.
    pub(crate) wires: Vec<Port>,
    /// Where the other ports' far ends are; nobody is there.
    _firewall: Arc<NetNs>,
    pins: String,
}

impl Device {
    /// With all far ends in one namespace.
    pub(crate) fn new() -> Result<Self> {
        require(NETWORK)?;
        let outside = Arc::new(NetNs::new("outside")?);
        Self::between([&outside, &outside])
    }

    /// With the far ends of the wires in these namespaces.
    pub(crate) fn between(outside: [&Arc<NetNs>; 2]) -> Result<Self> {
        require(NETWORK)?;
        let process = std::process::id();
        let (namespace, firewall) = (Arc::new(NetNs::new("device")?), Arc::new(NetNs::new("firewall")?));
        let (mut ports, mut wires) = (Vec::new(), Vec::new());
        for (lif, outside) in LIFS.into_iter().zip(outside) {
            let names = [format!("wire{lif}-{process}"), format!("far{lif}-{process}")];
            let [near, far] = cable([&namespace, outside], names, [0, lif])?;
            ports.push(near);
            wires.push(far);
            cable([&namespace, &firewall], [firewall_port(lif), format!("far-{}", firewall_port(lif))], [1, lif])?;
        }
        Ok(Self { namespace, ports, wires, _firewall: firewall, pins: format!("{PINS}{process}") })
    }

    /// opofd's flags for these ports, on which nothing is left of one before: it would go on with that.
    pub(crate) fn flags(&self) -> Vec<String> {
        self.clear();
        let mut flags =
            ["--data-plane", "xdp", "--xdp-mode", "native", "--pin-dir", &self.pins].map(str::to_owned).to_vec();
        flags.extend(["--closed-log".to_owned(), closed_log().display().to_string()]);
        for (lif, wire) in LIFS.into_iter().zip(&self.ports) {
            let value = format!("id={lif},wire={},firewall={}", wire.name, firewall_port(lif));
            flags.extend(["--lif".to_owned(), value]);
        }
        flags
    }

    /// The same for a plane in this process, with room for so many sessions. It has to be opened in the namespace.
    pub(crate) fn plane(&self, sessions: u32) -> XdpConfig {
        let ports = lifs().into_iter().zip(LIFS).zip(&self.ports);
        let lifs = ports.map(|((lif, number), wire)| LifPorts::new(lif, &*wire.name, firewall_port(number))).collect();
        let (mode, pin_dir) = (AttachMode::Native, self.pins.clone().into());
        XdpConfig { lifs, sessions, next_hops: 1, mode, pin_dir, copies: None, uplink: None }
    }

    /// Takes off what a killed opofd has left on the ports: that goes on forwarding. And what it has not reported.
    pub(crate) fn clear(&self) {
        // Without one there is nothing.
        let _ = std::fs::remove_dir_all(&self.pins);
        let _ = std::fs::remove_file(closed_log());
    }
}

/// Where opofd stores closed sessions.
fn closed_log() -> PathBuf {
    std::env::temp_dir().join(format!("opof-bench-{}.redb", std::process::id()))
}

/// The two LIFs.
pub(crate) fn lifs() -> [Lif; 2] {
    LIFS.map(|lif| Lif::new(lif.into()).expect("1 and 2 are not 0"))
}

fn firewall_port(lif: u8) -> String {
    format!("fw{lif}")
}

/// Both ends of a cable from the device outwards; `number` tells its addresses from those of the others.
fn cable(namespaces: [&Arc<NetNs>; 2], names: [String; 2], number: [u8; 2]) -> Result<[Port; 2]> {
    let ([near, far], [near_name, far_name], [role, lif]) = (namespaces, names, number);
    let options = |side| PortOptions { mac: [2, 0, 0, side, role, lif], ip: false, promiscuous: side == 2, mtu: 1500 };
    let ports = veth([(near, near_name.as_str(), options(1)), (far, far_name.as_str(), options(2))])?;
    // The driver takes what XDP redirects to a port only when its other end has NAPI.
    for port in &ports {
        for gro in ["off", "on"] {
            run(port.namespace.command("ethtool").args(["-K", &port.name, "gro", gro])).context("switch GRO")?;
        }
    }
    Ok(ports)
}

impl Drop for Device {
    fn drop(&mut self) {
        self.clear();
    }
}
