//! The simulated device on the suite's bench, with a place to bend what the wire side does.

use std::cell::{Cell, RefCell};
use std::ops::RangeInclusive;

use opof_session::types::{Lif, Moment};

use opof_wire::Addresses;
use opof_wire::decap::{Decapsulated, TunnelEnd, decapsulate};
use opof_wire::encap::{Template, Tunnel};
use opof_wire::ethernet::MacAddress;
use opof_wire::geneve::{Metadata, OptionId};

use crate::conformance::{Collectors, Rig};
use crate::limits::COPY_LEN;
use crate::tunnel::{Encapsulation, FirewallTunnel, FromUplink, TunnelPath};
use crate::{DataPlane, Outcome, Port, PortRole, SimPorts};

/// What a device does with a frame: all that comes out of it.
pub(super) type WireSide = fn(&RigPorts, Moment, Port, &[u8]) -> Vec<(Port, Vec<u8>)>;

/// What a device does with the copies that it makes of a frame.
pub(super) type CopySide = fn(Vec<u8>) -> Option<Vec<u8>>;

/// The device's ports, and what came out of them to collectors.
pub(super) struct RigPorts {
    ports: SimPorts,
    copies: RefCell<Vec<Vec<u8>>>,
}

/// The device as it is.
pub(super) fn honest(ports: &RigPorts, now: Moment, ingress: Port, frame: &[u8]) -> Vec<(Port, Vec<u8>)> {
    match ports.ports.receive(now, ingress, frame) {
        Outcome::Out { port, frame, copy } => {
            ports.copies.borrow_mut().extend(copy);
            vec![(port, frame)]
        }
        Outcome::Dropped => Vec::new(),
    }
}

/// The device as it is, its firewalls behind the tunnels of [`tunnels`].
pub(super) fn tunnelled(ports: &RigPorts, now: Moment, ingress: Port, frame: &[u8]) -> Vec<(Port, Vec<u8>)> {
    let of = |lif| tunnels()[usize::from(lif == lifs()[1])];
    if ingress.role == PortRole::Firewall {
        let tunnel = of(ingress.lif);
        let metadata = Metadata { in_lif: 0, out_lif: ingress.lif.get().into(), key: 1 };
        let template =
            Template::new(&Tunnel { addresses: tunnel.addresses.reversed(), ..tunnel }).expect("the VNI fits");
        let outer = Encapsulation { template, source_port: 0xC000, metadata }.apply(frame);
        return match ports.ports.receive_from_uplink(&outer) {
            FromUplink::Out { lif, frame } => vec![(Port::wire(lif), outer[frame].to_vec())],
            FromUplink::Host(_) => Vec::new(),
        };
    }
    let unwrap = |(port, frame): (Port, Vec<u8>)| {
        if port.role != PortRole::Firewall {
            return (port, frame);
        }
        let tunnel = of(port.lif);
        let end = TunnelEnd { addresses: tunnel.addresses, vni: tunnel.vni, option: tunnel.option };
        let Decapsulated { frame: inner, metadata } = decapsulate(&frame, &end).expect("a packet of the tunnel");
        assert_eq!((metadata.in_lif, metadata.out_lif), (ingress.lif.get().into(), 0));
        (port, frame[inner].to_vec())
    };
    honest(ports, now, ingress, frame).into_iter().map(unwrap).collect()
}

/// To the firewalls of both interfaces.
fn tunnels() -> [Tunnel; 2] {
    let (source_mac, destination_mac) = (MacAddress([2; 6]), MacAddress([6; 6]));
    let addresses = [
        Addresses::V4 { source: [198, 51, 100, 1], destination: [198, 51, 100, 2] },
        Addresses::V6 { source: [0x22; 16], destination: [0x23; 16] },
    ];
    addresses.map(|addresses| Tunnel { source_mac, destination_mac, addresses, vni: 7, option: OptionId::DEFAULT })
}

pub(super) fn lifs() -> [Lif; 2] {
    [1, 2].map(|id| Lif::new(id).expect("not 0"))
}

pub(super) struct SimRig {
    plane: Box<dyn DataPlane>,
    ports: RigPorts,
    pub(super) wire_side: WireSide,
    clock: Cell<u64>,
    out: Vec<(Port, Vec<u8>)>,
    pub(super) copy_side: CopySide,
    pub(super) shortest: usize,
    pub(super) strays: bool,
    tunnels: Option<[usize; 2]>,
}

impl SimRig {
    pub(super) fn new(plane: Box<dyn DataPlane>, ports: SimPorts, wire_side: WireSide) -> Self {
        let ports = RigPorts { ports, copies: RefCell::default() };
        Self {
            plane,
            ports,
            wire_side,
            clock: Cell::new(0),
            out: Vec::new(),
            copy_side: Some,
            shortest: 0,
            strays: false,
            tunnels: None,
        }
    }

    /// Moves the clock on.
    fn tick(&self) -> Moment {
        self.clock.set(self.clock.get() + 1000);
        Moment(self.clock.get())
    }

    /// Firewalls behind tunnels that take frames of up to so many bytes.
    pub(super) fn behind_tunnels(plane: Box<dyn DataPlane>, ports: SimPorts, frame_len_max: [usize; 2]) -> Self {
        for ((lif, tunnel), frame_len_max) in lifs().into_iter().zip(tunnels()).zip(frame_len_max) {
            let template = Template::new(&tunnel).expect("the VNI fits");
            let end = TunnelEnd { addresses: tunnel.addresses.reversed(), vni: tunnel.vni, option: tunnel.option };
            let path = Some(TunnelPath { template, frame_len_max });
            ports.set_firewall(lif, Some(FirewallTunnel { end, path }));
        }
        // A tunnel carries no less than a header of Ethernet.
        Self { tunnels: Some(frame_len_max), shortest: 14, ..Self::new(plane, ports, tunnelled) }
    }
}

impl Rig for SimRig {
    fn plane(&mut self) -> &mut dyn DataPlane {
        self.plane.as_mut()
    }

    fn now(&self) -> RangeInclusive<Moment> {
        let now = self.tick();
        now..=now
    }

    fn lifs(&self) -> [Lif; 2] {
        lifs()
    }

    fn send(&mut self, port: Port, frame: &[u8]) {
        let now = self.tick();
        self.out.extend((self.wire_side)(&self.ports, now, port, frame));
    }

    fn collectors(&mut self) -> Option<Collectors> {
        let addresses = [
            Addresses::V4 { source: [192, 0, 2, 1], destination: [192, 0, 2, 2] },
            Addresses::V6 { source: [0x20; 16], destination: [0x21; 16] },
        ];
        let reachable = addresses.map(|addresses| {
            let (source_mac, destination_mac) = (MacAddress([2; 6]), MacAddress([4; 6]));
            let tunnel = Tunnel { source_mac, destination_mac, addresses, vni: 0x12_3456, option: OptionId::DEFAULT };
            let template = Template::new(&tunnel).expect("the VNI fits");
            self.ports.ports.set_collector(addresses.destination(), Some(template));
            (addresses.destination(), tunnel)
        });
        Some(Collectors { reachable: reachable.to_vec(), unreachable: [192, 0, 2, 3].into(), frame_len_max: COPY_LEN })
    }

    fn copies(&mut self, _expected: usize) -> Vec<Vec<u8>> {
        self.ports.copies.take().into_iter().filter_map(self.copy_side).collect()
    }

    fn received(&mut self, _expected: usize) -> Vec<(Port, Vec<u8>)> {
        std::mem::take(&mut self.out)
    }

    fn carries(&self, frame: &[u8]) -> bool {
        frame.len() >= self.shortest
    }

    fn has_strays(&self) -> bool {
        self.strays
    }

    fn tunnels(&self) -> Option<[usize; 2]> {
        self.tunnels
    }
}
