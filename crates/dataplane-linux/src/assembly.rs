//! Putting a plane together: programs loaded, maps filled and opened, before anything is attached.
//!
//! What must not be here: what a plane does once it is up.

use std::os::fd::AsFd;

use opof_dataplane::PortRole;

use crate::abi;
use crate::collectors::Collectors;
use crate::config::{TunnelConfig, XdpConfig};
use crate::error::OpenError;
use crate::exits::{CopyExit, Exits};
use crate::layout::{self, Layout};
use crate::links::{Bundle, Links};
use crate::loader::{self, Loaded, SHARED_MAPS};
use crate::pin::PinDir;
use crate::ports::{self, Port};
use crate::records::Records;
use crate::redirect;
use crate::routes::Routes;
use crate::sys::bpf;
use crate::sys::map::{Map, PerCpuArray};
use crate::table::Table;

/// What loading makes.
pub(crate) struct Made {
    pub(crate) layout: Layout,
    pub(crate) links: Links,
    pub(crate) table: Table,
    pub(crate) collectors: Option<Collectors>,
    pub(crate) routes: Routes,
    pub(crate) records: Records,
    pub(crate) statistics: PerCpuArray<abi::Tally>,
    pub(crate) programs: Vec<Loaded>,
}

impl Made {
    pub(crate) fn new(config: &XdpConfig, ports: &[Port], pins: &PinDir) -> Result<Self, OpenError> {
        let layout = Layout::new(&config.lifs);
        let load = |(index, (_, role))| {
            let program = if role == PortRole::Wire { "opof_wire" } else { "opof_firewall" };
            loader::load(pins.path(), config.sessions, layout.constants(index), program)
        };
        let programs: Vec<Loaded> = layout.ports().enumerate().map(load).collect::<Result<_, _>>()?;
        let copies = config.copies.as_ref().map(|copies| copy_exit(copies, config, &layout, pins)).transpose()?;
        let interface = copies.as_ref().map(|copies| copies.interface);
        let open = |name: &str| bpf::get_pinned(&pins.path().join(name));
        let maps = || {
            let exits = Exits::new(Map::new(open("ports")?)?, Map::new(open("pairs")?)?, copies);
            let mut bundles = Vec::new();
            for (position, (bond, wires)) in layout.wires().enumerate() {
                exits.set_firewall(layout::way_to_firewall(position), ports[wires.end].index())?;
                bundles.push(Bundle { position, bond, interfaces: ports[wires].iter().map(Port::index).collect() });
            }
            let records = open("records")?;
            Ok((
                Table {
                    four: Map::new(open("sessions4")?)?,
                    six: Map::new(open("sessions6")?)?,
                    edits: Map::new(open("edits_of_slot")?)?,
                },
                match (&config.copies, interface) {
                    (Some(copies), Some(interface)) => {
                        Some(Collectors::follow(Map::new(open("collectors")?)?, copies.clone(), interface)?)
                    }
                    _ => None,
                },
                Routes { next_hops: Map::new(open("next_hops")?)?, vlan_flows: Map::new(open("vlan_flows")?)? },
                Records::new(records.as_fd(), config.sessions)?,
                PerCpuArray::new(open("statistics")?)?,
                // Before a program is attached: from its first frame on there is a way.
                Links::follow(exits, bundles)?,
            ))
        };
        let (table, collectors, routes, records, statistics, links) =
            maps().map_err(OpenError::system("setting up the BPF maps"))?;
        Ok(Self { layout, links, table, collectors, routes, records, statistics, programs })
    }
}

/// The interface of the collectors, checked, and the program that makes copies on it.
fn copy_exit(copies: &TunnelConfig, config: &XdpConfig, layout: &Layout, pins: &PinDir) -> Result<CopyExit, OpenError> {
    let interface = ports::index(&copies.interface)?;
    if let Ok(Some(false)) = redirect::is_target(interface) {
        let interface = &copies.interface;
        tracing::warn!(
            interface,
            "its driver does not take frames from XDP now, so copies will be lost; for a veth pair: \
             `ethtool -K {interface} gro on` at both ends"
        );
    }
    let program = loader::load(pins.path(), config.sessions, layout.constants(0), "opof_copy")?.program;
    Ok(CopyExit { interface, program })
}

/// Firewall ports, and one wire port of each LIF: with a link of several out of service a device can still start.
pub(crate) fn must_be_up(layout: &Layout, ports: &[Port]) -> Result<(), OpenError> {
    for (_, wires) in layout.wires() {
        let (wires, firewall) = (&ports[wires.clone()], &ports[wires.end]);
        firewall.must_be_up()?;
        if !wires.iter().any(Port::was_up) {
            wires[0].must_be_up()?;
        }
        for down in wires.iter().filter(|port| !port.was_up()) {
            tracing::warn!(interface = down.name(), "is down: `ip link set dev {} up`", down.name());
        }
    }
    Ok(())
}

pub(crate) fn unpin_maps(pins: &PinDir) -> Result<(), OpenError> {
    for name in SHARED_MAPS {
        pins.unpin(name).map_err(|source| OpenError::PinDirectory { path: pins.path().join(name), source })?;
    }
    Ok(())
}
