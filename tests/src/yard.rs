//! A device with LIFs of choice and `opofd` on it, every far end of its ports in the hand of the test.
//!
//! ```text
//!  network            device               firewall
//!  n10 ───────────── w10 ┐
//!  n11 ───────────── w11 ┴ LIF 1 ─ f1 ──── a1
//!  n20 ───────────── w20 ─ LIF 2 ─ f2 ──── a2
//! ```
//!
//! No port has an address and nothing sends of its own accord.

use std::fmt::Write as _;
use std::sync::Arc;

use opof_testkit::netns::{NetNs, Port, PortOptions, veth};
use opof_testkit::require::{NETWORK, require};

use crate::Error;
use crate::opofd::Opofd;

const MTU: u16 = 1500;

/// A LIF to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Arm {
    /// Wire ports.
    pub wires: u8,
    /// As in the configuration.
    pub bond: &'static str,
}

impl Arm {
    /// With one wire port.
    pub const SINGLE: Self = Self { wires: 1, bond: "active-standby" };
}

/// The namespaces, the daemon, and the far ends of its ports.
#[derive(Debug)]
pub struct Yard {
    /// The daemon. First, so that it ends before its ports do.
    pub opofd: Opofd,
    /// For each LIF the far ends of its wire ports.
    pub wires: Vec<Vec<Port>>,
    /// For each LIF the far end of its firewall port.
    pub firewalls: Vec<Port>,
    network: Arc<NetNs>,
}

impl Yard {
    /// Builds it, after installing what is missing. LIFs are numbered from 1.
    pub fn new(arms: &[Arm]) -> Result<Self, Error> {
        require(NETWORK)?;
        let namespace = |role| NetNs::new(role).map(Arc::new);
        let (network, device, firewall) = (namespace("network")?, namespace("device")?, namespace("firewall")?);
        let mut last = 0;
        let mut cable = |outside: &Arc<NetNs>, far: &str, near: &str| {
            last += 2;
            let options = |last| PortOptions { mac: [2, 0x0f, 0, 1, 0, last], ip: false, promiscuous: true, mtu: MTU };
            let [far, _] = veth([(outside, far, options(last)), (&device, near, options(last + 1))])?;
            Ok::<Port, Error>(far)
        };
        let (mut wires, mut firewalls, mut lifs) = (Vec::new(), Vec::new(), String::new());
        for (id, Arm { wires: count, bond }) in (1..).zip(arms) {
            let names: Vec<String> = (0..*count).map(|n| format!("w{id}{n}")).collect();
            let far = |n| format!("n{id}{n}");
            let ends = (0..).zip(&names).map(|(n, near)| cable(&network, &far(n), near)).collect::<Result<_, _>>()?;
            wires.push(ends);
            firewalls.push(cable(&firewall, &format!("a{id}"), &format!("f{id}"))?);
            let _ = writeln!(lifs, "[[lif]]\nid = {id}\nwire = {names:?}\nbond = \"{bond}\"\nfirewall = \"f{id}\"");
        }
        Ok(Self { opofd: Opofd::start(&device, &lifs)?, wires, firewalls, network })
    }

    /// Cuts the cable of a wire port or joins it again: `up` or `down`.
    pub fn cable(&self, wire: &Port, state: &str) -> Result<(), Error> {
        self.network.ip(&format!("link set dev {} {state}", wire.name))?;
        Ok(())
    }
}
