//! A device of two LIFs on veth ports, in a network namespace of its own, and the far ends of its ports in another.

use std::sync::Arc;

use anyhow::{Context, Result};
use opof_dataplane_linux::{AttachMode, LifPorts, XdpConfig};
use opof_session::types::Lif;
use opof_testkit::netns::{NetNs, Port, PortOptions, run, veth};
use opof_testkit::require::{NETWORK, require};

/// Its ports, by LIF: wire, firewall.
const PORTS: [[&str; 2]; 2] = [["wire1", "fw1"], ["wire2", "fw2"]];
/// On a BPF file system; this process' id follows.
const PINS: &str = "/sys/fs/bpf/opof-bench-";

/// Everything around an opofd that is not there yet.
pub(crate) struct Device {
    pub(crate) namespace: Arc<NetNs>,
    /// The far ends of the wire ports.
    pub(crate) wires: Vec<Port>,
    pins: String,
}

impl Device {
    pub(crate) fn new() -> Result<Self> {
        require(NETWORK)?;
        let namespace = Arc::new(NetNs::new("device")?);
        let outside = Arc::new(NetNs::new("outside")?);
        let mut wires = Vec::new();
        for (n, [wire, firewall]) in (0_u8..).zip(PORTS) {
            for (role, name) in (0_u8..).zip([wire, firewall]) {
                let options =
                    |side| PortOptions { mac: [2, 0, 0, side, role, n], ip: false, promiscuous: side == 2, mtu: 1500 };
                let far = format!("far-{name}");
                let [_, far] = veth([(&namespace, name, options(1)), (&outside, far.as_str(), options(2))])?;
                // The driver takes what XDP redirects to a port only when the far end has NAPI.
                for gro in ["off", "on"] {
                    run(far.namespace.command("ethtool").args(["-K", &far.name, "gro", gro])).context("switch GRO")?;
                }
                if role == 0 {
                    wires.push(far);
                }
            }
        }
        Ok(Self { namespace, wires, pins: format!("{PINS}{}", std::process::id()) })
    }

    /// opofd's flags for these ports.
    pub(crate) fn flags(&self) -> Vec<String> {
        let mut flags =
            ["--data-plane", "xdp", "--xdp-mode", "native", "--pin-dir", &self.pins].map(str::to_owned).to_vec();
        for (id, [wire, firewall]) in (1..).zip(PORTS) {
            flags.extend(["--lif".to_owned(), format!("id={id},wire={wire},firewall={firewall}")]);
        }
        flags
    }

    /// The same for a plane in this process, with room for so many sessions. It has to be opened in the namespace.
    pub(crate) fn plane(&self, sessions: u32) -> XdpConfig {
        let lifs = lifs().into_iter().zip(PORTS).map(|(lif, [wire, firewall])| LifPorts::new(lif, wire, firewall));
        let (lifs, mode, pin_dir) = (lifs.collect(), AttachMode::Native, self.pins.clone().into());
        XdpConfig { lifs, sessions, mode, pin_dir, copies: None, uplink: None }
    }
}

/// The two LIFs, in the order of [`PORTS`].
pub(crate) fn lifs() -> [Lif; 2] {
    [1, 2].map(|lif| Lif::new(lif).expect("1 and 2 are not 0"))
}

impl Drop for Device {
    fn drop(&mut self) {
        // What a killed opofd has pinned.
        let _ = std::fs::remove_dir_all(&self.pins);
    }
}
