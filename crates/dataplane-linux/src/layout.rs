//! Which port is which: the order of a plane's ports, and the ways by which frames leave.
//!
//! A port's number is its position in the configuration: for each LIF its wire ports, then its firewall port, which has a number
//! also where it is a tunnel; behind them all comes the uplink. Statistics are counted by it. A way out is an index of the map `ports`, numbered as `bpf/abi.h` says; several ways lead to one
//! interface, and a LIF's ways don't move when a link does. What must not be here: interfaces, links, maps.

use std::net::IpAddr;
use std::ops::Range;

use opof_dataplane::PortRole;
use opof_session::types::Lif;

use crate::config::{Bond, Firewall, LifPorts};
use crate::limits::{LIFS, WAYS};
use crate::loader::PortConstants;

/// The LIFs of a plane and the numbers of their ports.
#[derive(Debug)]
pub(crate) struct Layout {
    lifs: Vec<LifLayout>,
}

#[derive(Debug)]
struct LifLayout {
    lif: Lif,
    bond: Bond,
    /// Numbers of its wire ports; that of its firewall port is the next one.
    wires: Range<usize>,
    /// Where its firewall is, when that is behind a tunnel.
    tunnel: Option<IpAddr>,
}

impl Layout {
    /// For LIFs that have been checked.
    pub(crate) fn new(lifs: &[LifPorts]) -> Self {
        let mut next = 0;
        let lifs = lifs.iter().map(|LifPorts { lif, wire, bond, firewall }| {
            let wires = next..next + wire.len();
            next = wires.end + 1;
            let tunnel = if let Firewall::Tunnel(address) = firewall { Some(*address) } else { None };
            LifLayout { lif: *lif, bond: *bond, wires, tunnel }
        });
        Self { lifs: lifs.collect() }
    }

    /// Where a LIF stands in the configuration.
    pub(crate) fn position(&self, lif: Lif) -> Option<usize> {
        self.lifs.iter().position(|known| known.lif == lif)
    }

    /// The LIF at a position.
    pub(crate) fn lif(&self, position: usize) -> Option<Lif> {
        self.lifs.get(position).map(|known| known.lif)
    }

    /// For each LIF the address of its firewall, where that is behind a tunnel.
    pub(crate) fn firewalls(&self) -> impl Iterator<Item = Option<IpAddr>> + '_ {
        self.lifs.iter().map(|known| known.tunnel)
    }

    /// A bit for each LIF, by position: its firewall is behind a tunnel.
    pub(crate) fn tunnelled(&self) -> u32 {
        (0..)
            .zip(self.firewalls())
            .filter(|(_, tunnel)| tunnel.is_some())
            .fold(0, |bits, (position, _)| bits | 1 << position)
    }

    /// The number of the uplink.
    pub(crate) fn uplink(&self) -> usize {
        self.lifs.last().map_or(0, |last| last.wires.end + 1)
    }

    /// The LIF and the role of each port, in the order of their numbers.
    pub(crate) fn ports(&self) -> impl Iterator<Item = (Lif, PortRole)> + '_ {
        self.lifs.iter().flat_map(|LifLayout { lif, wires, .. }| {
            let roles = std::iter::repeat_n(PortRole::Wire, wires.len()).chain([PortRole::Firewall]);
            roles.map(|role| (*lif, role))
        })
    }

    /// For each LIF how it uses its wire ports, and their numbers.
    pub(crate) fn wires(&self) -> impl Iterator<Item = (Bond, Range<usize>)> + '_ {
        self.lifs.iter().map(|LifLayout { bond, wires, .. }| (*bond, wires.clone()))
    }

    /// The number of a LIF's port; the first of its wire ports.
    pub(crate) fn port(&self, lif: Lif, role: PortRole) -> Option<usize> {
        let wires = &self.lifs[self.position(lif)?].wires;
        Some(if role == PortRole::Wire { wires.start } else { wires.end })
    }

    /// The LIF at a position, and where what its firewall sends leaves.
    pub(crate) fn returning(&self, position: usize) -> (Lif, PortConstants) {
        let LifLayout { lif, wires, .. } = &self.lifs[position];
        (*lif, self.constants(wires.end))
    }

    /// What differs between the programs of the ports.
    pub(crate) fn constants(&self, port: usize) -> PortConstants {
        if port == self.uplink() {
            return PortConstants { lif: 0, position: 0, index: number(port), other: 0, spread: false };
        }
        let known = self.lifs.iter().enumerate().find(|(_, known)| port <= known.wires.end);
        let (position, LifLayout { lif, bond, wires, .. }) = known.expect("a port of this plane");
        let from_firewall = port == wires.end;
        let other = if from_firewall { way(position, 0) } else { way_to_firewall(position) };
        let spread = from_firewall && *bond == Bond::Balance && wires.len() > 1;
        PortConstants { lif: lif.get(), position: byte(position), index: number(port), other, spread }
    }
}

/// One of the ways to the network of the LIF at `position`.
pub(crate) fn way(position: usize, way: usize) -> u32 {
    debug_assert!(position < LIFS && way < WAYS, "as checked when the plane was opened");
    number(position * WAYS + way)
}

/// The way to the firewall of the LIF at `position`.
pub(crate) fn way_to_firewall(position: usize) -> u32 {
    number(LIFS * WAYS + position)
}

/// The position of the LIF whose firewall a way leads to.
pub(crate) fn position_of_way_to_firewall(way: u32) -> Option<usize> {
    (way as usize).checked_sub(LIFS * WAYS).filter(|position| *position < LIFS)
}

/// The position of a LIF, as it is in keys and actions.
pub(crate) fn byte(position: usize) -> u8 {
    u8::try_from(position).expect("limits.rs: a LIF's position is one byte")
}

pub(crate) fn number(index: usize) -> u32 {
    u32::try_from(index).expect("limits.rs: ports and ways are few")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ports(lif: u16, wires: usize, bond: Bond) -> LifPorts {
        let wire = (0..wires).map(|n| format!("w{lif}{n}")).collect();
        LifPorts { wire, bond, ..LifPorts::new(Lif::new(lif).unwrap(), "", format!("f{lif}")) }
    }

    #[test]
    fn ports_are_numbered_in_the_order_of_the_configuration() {
        let configured = [ports(7, 1, Bond::Balance), ports(3, 3, Bond::Balance), ports(9, 2, Bond::ActiveStandby)];
        let layout = Layout::new(&configured);
        let lifs: Vec<u16> = layout.ports().map(|(lif, _)| lif.get()).collect();
        assert_eq!(lifs, [7, 7, 3, 3, 3, 3, 9, 9, 9]);
        let firewalls: Vec<usize> =
            (0..).zip(layout.ports()).filter(|(_, (_, role))| *role == PortRole::Firewall).map(|(n, _)| n).collect();
        assert_eq!(firewalls, [1, 5, 8]);
        let [three, nine] = [3, 9].map(|lif| Lif::new(lif).unwrap());
        assert_eq!((layout.position(three), layout.lif(1)), (Some(1), Some(three)));
        assert_eq!(layout.port(nine, PortRole::Wire), Some(6));
        assert_eq!(layout.port(nine, PortRole::Firewall), Some(8));
        assert_eq!(layout.wires().map(|(_, wires)| wires).collect::<Vec<_>>(), [0..1, 2..5, 6..8]);
    }

    #[test]
    fn each_program_knows_its_lif_and_where_the_rest_goes() {
        let configured = [ports(7, 1, Bond::Balance), ports(3, 3, Bond::Balance), ports(9, 2, Bond::ActiveStandby)];
        let layout = Layout::new(&configured);
        let all: Vec<_> = (0..9).map(|port| layout.constants(port)).collect();
        let expected = |index, lif, other, spread| {
            let position = [7, 3, 9].iter().position(|known| *known == lif).unwrap().try_into().unwrap();
            PortConstants { lif, position, index, other, spread }
        };
        let [first, second, third] = [0, 1, 2].map(way_to_firewall);
        let wires = [expected(0, 7, first, false), expected(2, 3, second, false), expected(4, 3, second, false)];
        assert_eq!([all[0], all[2], all[4]], wires);
        assert_eq!([all[6], all[7]], [6, 7].map(|index| expected(index, 9, third, false)));
        // Only where there is something to choose from are frames told apart.
        let firewalls = [expected(1, 7, way(0, 0), false), expected(5, 3, way(1, 0), true)];
        assert_eq!([all[1], all[5]], firewalls);
        assert_eq!(all[8], expected(8, 9, way(2, 0), false));
    }

    #[test]
    fn a_firewall_behind_a_tunnel_has_a_number_and_the_uplink_has_the_last() {
        let address = IpAddr::from([192, 0, 2, 1]);
        let [first, mut second, mut third] =
            [ports(7, 1, Bond::Balance), ports(3, 3, Bond::Balance), ports(9, 1, Bond::Balance)];
        second.firewall = Firewall::Tunnel(address);
        third.firewall = Firewall::Tunnel(address);
        let layout = Layout::new(&[first, second, third]);
        assert_eq!(layout.firewalls().collect::<Vec<_>>(), [None, Some(address), Some(address)]);
        assert_eq!((layout.tunnelled(), layout.uplink()), (0b110, 8));
        let (lif, constants) = layout.returning(1);
        let expected = PortConstants { lif: 3, position: 1, index: 5, other: way(1, 0), spread: true };
        assert_eq!((lif.get(), constants), (3, expected));
        assert_eq!(layout.constants(8), PortConstants { lif: 0, position: 0, index: 8, other: 0, spread: false });
    }

    #[test]
    fn no_two_ways_have_one_number() {
        let mut all: Vec<u32> = (0..LIFS).map(way_to_firewall).collect();
        all.extend((0..LIFS).flat_map(|position| (0..WAYS).map(move |n| way(position, n))));
        all.sort_unstable();
        assert!(all.iter().copied().eq(0..number(crate::limits::EXITS)));
    }
}
