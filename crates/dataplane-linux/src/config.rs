//! How a plane is set up, and what is wrong with a configuration that no system call has to tell.

use std::collections::HashSet;
use std::net::IpAddr;
use std::path::PathBuf;

use opof_dataplane::limits::ANSWERS_PER_SECOND_MAX;
use opof_session::types::Lif;
use opof_wire::geneve::OptionId;

use crate::error::OpenError;
use crate::limits::{LIFS, NEXT_HOPS, WIRE_PORTS};

/// How programs are attached to ports.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum AttachMode {
    /// Native; generic on all ports when a driver refuses.
    #[default]
    Auto,
    /// In the driver, or not at all.
    Native,
    /// Behind the driver: works with every driver, at a fraction of the speed.
    Generic,
}

/// Which of a LIF's wire ports carries what leaves it. What comes in is taken on each of them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Bond {
    /// The first in the list whose link is up carries everything.
    #[default]
    ActiveStandby,
    /// All whose link is up share it, each flow on one of them: link aggregation (IEEE 802.1AX) without its protocol.
    Balance,
}

/// A logical interface and the network interfaces that are its ports.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LifPorts {
    /// Its number.
    pub lif: Lif,
    /// The interfaces towards the network: at least one, at most [`WIRE_PORTS`].
    pub wire: Vec<String>,
    /// How several of them are used.
    pub bond: Bond,
    /// Where the firewall is.
    pub firewall: Firewall,
}

/// Where the firewall of a LIF is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Firewall {
    /// Behind an interface.
    Interface(String),
    /// Behind a tunnel, at this address. LIFs may have the same.
    Tunnel(IpAddr),
}

impl LifPorts {
    /// With one wire port.
    pub fn new(lif: Lif, wire: impl Into<String>, firewall: impl Into<String>) -> Self {
        let firewall = Firewall::Interface(firewall.into());
        Self { lif, wire: vec![wire.into()], bond: Bond::default(), firewall }
    }

    /// Names of its interfaces, in the order of their ports.
    pub(crate) fn names(&self) -> impl Iterator<Item = &String> {
        let firewall = match &self.firewall {
            Firewall::Interface(name) => Some(name),
            Firewall::Tunnel(_) => None,
        };
        self.wire.iter().chain(firewall)
    }
}

/// How a plane is set up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct XdpConfig {
    /// At least one, at most [`LIFS`].
    pub lifs: Vec<LifPorts>,
    /// Sessions at most. 154 bytes each of table and 16 bytes of an empty hash table are taken at once.
    pub sessions: u32,
    /// Next hops at most, at most [`NEXT_HOPS`]. 16 bytes of an empty hash table are taken at once for each.
    pub next_hops: u32,
    /// How programs are attached.
    pub mode: AttachMode,
    /// A directory on a BPF file system, for this plane alone.
    pub pin_dir: PathBuf,
    /// How copies travel; `None`: sessions may not copy. Generic mode can't.
    pub copies: Option<TunnelConfig>,
    /// How firewalls behind tunnels are reached; needed where there is one, and not otherwise.
    pub uplink: Option<UplinkConfig>,
}

/// What the packets of tunnels have in common.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TunnelConfig {
    /// The interface that they take. It stays the host's: it has addresses, and its routes and neighbours are the kernel's.
    pub interface: String,
    /// Virtual network identifier of all of them, at most [`opof_wire::geneve::VNI_MAX`].
    pub vni: u32,
    /// What our option is called.
    pub option: OptionId,
}

/// How firewalls behind tunnels are reached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UplinkConfig {
    /// What goes there and comes back. Copies may take the same interface.
    pub tunnel: TunnelConfig,
    /// How many answers to packets that do not fit are given in a second: at least one, at most
    /// [`ANSWERS_PER_SECOND_MAX`].
    pub answers_per_second: u32,
}

impl XdpConfig {
    /// The pin directory of a device that needs no other.
    pub const PIN_DIR: &str = "/sys/fs/bpf/opof";

    pub(crate) fn check(&self) -> Result<(), OpenError> {
        if !(1..=LIFS).contains(&self.lifs.len()) {
            return Err(OpenError::Lifs(self.lifs.len()));
        }
        let (mut lifs, mut names) = (HashSet::new(), HashSet::new());
        for ports in &self.lifs {
            let LifPorts { lif, wire, .. } = ports;
            if !lifs.insert(lif) {
                return Err(OpenError::DuplicateLif(*lif));
            }
            if !(1..=WIRE_PORTS).contains(&wire.len()) {
                return Err(OpenError::WirePorts { lif: *lif, wires: wire.len() });
            }
            if let Some(name) = ports.names().find(|name| !names.insert(*name)) {
                return Err(OpenError::DuplicateInterface(name.clone()));
            }
        }
        let uplink = self.uplink.as_ref().map(|uplink| &uplink.tunnel);
        if let Some(tunnel) = self.copies.iter().chain(uplink).find(|tunnel| names.contains(&tunnel.interface)) {
            return Err(OpenError::DuplicateInterface(tunnel.interface.clone()));
        }
        self.check_uplink()?;
        if !(1..=NEXT_HOPS).contains(&self.next_hops) {
            return Err(OpenError::NextHops { asked: self.next_hops, most: NEXT_HOPS });
        }
        let most = opof_session::limits::SESSIONS;
        if (1..=most).contains(&self.sessions) {
            Ok(())
        } else {
            Err(OpenError::Sessions { asked: self.sessions, most })
        }
    }

    fn check_uplink(&self) -> Result<(), OpenError> {
        let tunnelled = self.lifs.iter().find(|ports| matches!(ports.firewall, Firewall::Tunnel(_)));
        match (&self.uplink, tunnelled) {
            (None, Some(ports)) => Err(OpenError::NoUplink(ports.lif)),
            (Some(_), None) => Err(OpenError::NoTunnel),
            (Some(UplinkConfig { answers_per_second: asked, .. }), _)
                if !(1..=ANSWERS_PER_SECOND_MAX).contains(asked) =>
            {
                Err(OpenError::Answers { asked: *asked, most: ANSWERS_PER_SECOND_MAX })
            }
            _ => Ok(()),
        }
    }
}
