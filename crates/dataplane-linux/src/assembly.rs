//! Putting a plane together: programs loaded, maps filled and opened, before anything is attached.
//!
//! What must not be here: what a plane does once it is up.

use std::io;

use opof_dataplane::PortRole;
use opof_dataplane::limits::ANSWERS_PER_SECOND;
use opof_dataplane::tunnel::AnswerBucket;
use opof_wire::geneve::OptionId;

use crate::abi;
use crate::clock::Clock;
use crate::collectors::Collectors;
use crate::config::{Firewall, LifPorts, TunnelConfig, XdpConfig};
use crate::error::OpenError;
use crate::exits::{CopyExit, Exits};
use crate::firewalls;
use crate::kept::{self, COLLECTORS, KEPT_MAPS, Kept};
use crate::layout::{self, Layout};
use crate::links::{Bundle, Links};
use crate::loader::{self, DeviceConstants, Loaded, SHARED_MAPS};
use crate::pin::PinDir;
use crate::ports::{self, Place, Port};
use crate::redirect;
use crate::routes::Routes;
use crate::sys::bpf;
use crate::sys::map::{Map, PerCpuArray};
use crate::table::{self, Beside, Shape, Table};
use crate::term::Term;
use crate::ways::Ways;

/// What has been prepared of the interfaces.
#[derive(Debug)]
pub(crate) struct Places {
    /// By their numbers in the layout.
    pub(crate) of_lifs: Vec<Place>,
    /// Behind which firewalls are that have no interface.
    pub(crate) uplink: Option<Port>,
}

impl Places {
    /// Prepares all of them, in the namespace of the calling thread.
    pub(crate) fn prepare(config: &XdpConfig) -> Result<Self, OpenError> {
        let mut of_lifs = Vec::new();
        for LifPorts { wire, firewall, .. } in &config.lifs {
            for name in wire {
                of_lifs.push(Place::Interface(Port::prepare(name)?));
            }
            of_lifs.push(match firewall {
                Firewall::Interface(name) => Place::Interface(Port::prepare(name)?),
                Firewall::Tunnel(address) => Place::Tunnel(*address),
            });
        }
        let uplink = config.uplink.as_ref().map(|uplink| Port::prepare_uplink(&uplink.tunnel.interface)).transpose()?;
        let (places, layout) = (Self { of_lifs, uplink }, Layout::new(&config.lifs));
        places.must_be_up(&layout)?;
        places.warn_of_narrow_tunnels(&layout).map_err(OpenError::system("reading the MTU of an interface"))?;
        Ok(places)
    }

    /// All interfaces.
    pub(crate) fn interfaces(&mut self) -> impl Iterator<Item = &mut Port> {
        let of_lifs = self.of_lifs.iter_mut().filter_map(|place| match place {
            Place::Interface(port) => Some(port),
            Place::Tunnel(_) => None,
        });
        of_lifs.chain(&mut self.uplink)
    }

    fn warn_of_narrow_tunnels(&self, layout: &Layout) -> io::Result<()> {
        let Some(uplink) = &self.uplink else { return Ok(()) };
        for ((_, wires), firewall) in layout.wires().zip(layout.firewalls()) {
            // The ports of a LIF stand for each other, so one line is enough.
            if let (Some(wire), Some(firewall)) = (self.of_lifs[wires.start].interface(), firewall) {
                firewalls::warn_if_narrow(wire, uplink, firewall)?;
            }
        }
        Ok(())
    }

    /// Firewall ports, and one wire port of each LIF: with a link of several out of service a device can still start.
    fn must_be_up(&self, layout: &Layout) -> Result<(), OpenError> {
        for (_, wires) in layout.wires() {
            if let Some(firewall) = self.of_lifs[wires.end].interface() {
                firewall.must_be_up()?;
            }
            let wires: Vec<&Port> = self.of_lifs[wires].iter().filter_map(Place::interface).collect();
            if !wires.iter().any(|port| port.was_up()) {
                wires[0].must_be_up()?;
            }
            for down in wires.iter().filter(|port| !port.was_up()) {
                tracing::warn!(interface = down.name(), "is down: `ip link set dev {} up`", down.name());
            }
        }
        Ok(())
    }
}

/// What loading makes.
pub(crate) struct Made {
    pub(crate) layout: Layout,
    pub(crate) device: DeviceConstants,
    pub(crate) links: Links,
    pub(crate) table: Table,
    pub(crate) term: Term,
    pub(crate) collectors: Option<Collectors>,
    /// To firewalls behind tunnels.
    pub(crate) ways: Option<Ways>,
    pub(crate) routes: Routes,
    pub(crate) statistics: PerCpuArray<abi::Tally>,
    /// By port; none where that is a tunnel.
    pub(crate) programs: Vec<Option<Loaded>>,
    /// Of the uplink.
    pub(crate) uplink: Option<Loaded>,
}

impl Made {
    /// With the maps that an earlier process has `left`, or with new ones.
    pub(crate) fn new(
        config: &XdpConfig,
        places: &Places,
        pins: &PinDir,
        left: Option<&Kept>,
    ) -> Result<Self, OpenError> {
        let layout = Layout::new(&config.lifs);
        clear(pins, left.is_some())?;
        let multipliers = match left {
            Some(left) => left.multipliers(),
            None => table::draw_multipliers().map_err(OpenError::system("drawing random numbers"))?,
        };
        let device = constants(config, &layout, Shape::new(config.sessions, multipliers));
        let load = |port, program| loader::load(pins.path(), &device, layout.constants(port), program);
        let load_port = |((index, (_, role)), place): ((usize, (_, PortRole)), &Place)| {
            let program = if role == PortRole::Wire { "opof_wire" } else { "opof_firewall" };
            place.interface().map(|_| load(index, program)).transpose()
        };
        let programs = layout.ports().enumerate().zip(&places.of_lifs).map(load_port).collect::<Result<_, _>>()?;
        let uplink = places.uplink.as_ref().map(|_| load(layout.uplink(), "opof_uplink")).transpose()?;
        let copies = config.copies.as_ref().map(|copies| copy_exit(copies, &device, &layout, pins)).transpose()?;
        let copies_leave = copies.as_ref().map(|copies| copies.interface);
        let clock = Clock::start()?;
        let term = Term::open(pins).map_err(OpenError::system("setting up the BPF maps"))?;
        if left.is_none() {
            term.begin();
            Kept::of(config, &device.shape).leave(pins).map_err(OpenError::system("making room for notes"))?;
        }
        let open = |name: &str| bpf::get_pinned(&pins.path().join(name));
        let index = |place: &Place| place.interface().or(places.uplink.as_ref()).map(Port::index);
        let maps = || {
            let exits = Exits::new(Map::new(open("ports")?)?, Map::new(open("pairs")?)?, copies);
            let mut bundles = Vec::new();
            for (position, (bond, wires)) in layout.wires().enumerate() {
                if let Some(interface) = index(&places.of_lifs[wires.end]) {
                    exits.set_firewall(layout::way_to_firewall(position), interface)?;
                }
                let interfaces = places.of_lifs[wires].iter().filter_map(index).collect();
                bundles.push(Bundle { position, bond, interfaces });
            }
            let collectors = match (&config.copies, copies_leave) {
                (Some(copies), Some(interface)) => Some(Collectors::new(
                    Map::new(open("collectors")?)?,
                    copies.clone(),
                    interface,
                    &open(COLLECTORS)?,
                )?),
                _ => None,
            };
            let ways = match (&config.uplink, &places.uplink) {
                (Some(uplink), Some(port)) => {
                    let maps = firewalls::Maps {
                        firewalls: Map::new(open("firewalls")?)?,
                        peers: Map::new(open("peers")?)?,
                        returning: Map::new(open("returning")?)?,
                    };
                    Some(firewalls::follow(maps, &uplink.tunnel, port.index(), &layout)?)
                }
                _ => None,
            };
            Ok((
                Table::new(
                    device.shape,
                    config.sessions,
                    [open("buckets")?, open("flows")?],
                    Beside::open(pins.path(), config.sessions)?,
                    Map::new(open("edits_of_slot")?)?,
                    clock,
                )?,
                (collectors, ways),
                Routes { next_hops: Map::new(open("next_hops")?)?, vlan_flows: Map::new(open("vlan_flows")?)? },
                PerCpuArray::new(open("statistics")?)?,
                // Before a program is attached: from its first frame on there is a way.
                Links::follow(exits, bundles)?,
            ))
        };
        let (table, (collectors, ways), routes, statistics, links) =
            maps().map_err(OpenError::system("setting up the BPF maps"))?;
        if left.is_some() {
            table.mend();
        }
        Ok(Self { layout, device, links, table, term, collectors, ways, routes, statistics, programs, uplink })
    }
}

/// Without a tunnel no program looks at what is about tunnels.
fn constants(config: &XdpConfig, layout: &Layout, shape: Shape) -> DeviceConstants {
    let uplink = config.uplink.as_ref();
    let answers = uplink.map_or(ANSWERS_PER_SECOND, |uplink| uplink.answers_per_second);
    DeviceConstants {
        sessions: config.sessions,
        next_hops: config.next_hops,
        shape,
        tunnelled: layout.tunnelled(),
        vni: uplink.map_or(0, |uplink| uplink.tunnel.vni),
        option: uplink.map_or(OptionId::DEFAULT, |uplink| uplink.tunnel.option),
        answer_interval: AnswerBucket::interval(answers),
    }
}

/// The interface of the collectors, checked, and the program that makes copies on it.
fn copy_exit(
    copies: &TunnelConfig,
    device: &DeviceConstants,
    layout: &Layout,
    pins: &PinDir,
) -> Result<CopyExit, OpenError> {
    let interface = ports::index(&copies.interface)?;
    if let Ok(Some(false)) = redirect::is_target(interface) {
        let interface = &copies.interface;
        tracing::warn!(
            interface,
            "its driver does not take frames from XDP now, so copies will be lost; for a veth pair: \
             `ethtool -K {interface} gro on` at both ends"
        );
    }
    let program = loader::load(pins.path(), device, layout.constants(0), "opof_copy")?.program;
    Ok(CopyExit { interface, program })
}

/// What an earlier process left, if a device of this configuration can go on with it.
pub(crate) fn left(config: &XdpConfig, pins: &PinDir) -> Option<Kept> {
    Kept::left(pins).filter(|left| *left == Kept::of(config, &Shape::new(config.sessions, left.multipliers())))
}

/// The table of an earlier process with which this one can't go on, to be read.
pub(crate) fn departed(pins: &PinDir) -> Option<Table> {
    let open = |name: &str| bpf::get_pinned(&pins.path().join(name));
    let Some(kept) = Kept::left(pins) else {
        if pins.path().join("flows").exists() {
            tracing::warn!(
                "an earlier process has left sessions in a form that this version can't read: their counters are lost"
            );
        }
        return None;
    };
    let table = || -> Result<Table, OpenError> {
        let failed = |source| OpenError::System { what: "opening the maps of an earlier process".to_owned(), source };
        let (sessions, shape) = (kept.sessions(), Shape::new(kept.sessions(), kept.multipliers()));
        let maps = [open("buckets").map_err(failed)?, open("flows").map_err(failed)?];
        let edits = open("edits_of_slot").and_then(Map::new).map_err(failed)?;
        let notes = Beside::open(pins.path(), sessions).map_err(failed)?;
        Table::new(shape, sessions, maps, notes, edits, Clock::start()?).map_err(failed)
    };
    table().inspect_err(|error| tracing::warn!(%error, "the counters of an earlier process are lost")).ok()
}

/// Takes the names of maps away that nobody goes on with: all of them, or all but those that are kept. Programs hold them until they are
/// replaced.
pub(crate) fn clear(pins: &PinDir, keeps: bool) -> Result<(), OpenError> {
    let failed = |source| OpenError::PinDirectory { path: pins.path().to_owned(), source };
    if !keeps {
        kept::unpin(pins).map_err(failed)?;
    }
    SHARED_MAPS.iter().filter(|name| !KEPT_MAPS.contains(name)).try_for_each(|name| pins.unpin(name)).map_err(failed)
}
