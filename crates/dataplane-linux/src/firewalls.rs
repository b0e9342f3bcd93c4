//! Firewalls behind tunnels: where slow-path frames go, and where what comes back leaves.
//!
//! All of it is written before a program is attached; from then on only the ways change. What must not be here: frames, routes.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;

use opof_wire::encap::Layout as Outer;
use opof_wire::vlan;

use crate::abi::{self, Exit, OuterHeaders, Peer, Returning};
use crate::config::TunnelConfig;
use crate::layout::{self, Layout};
use crate::limits::LIFS;
use crate::ports::Port;
use crate::sys::map::Map;
use crate::ways::{FarEnds, Ways};

const WORDS: FarEnds = FarEnds {
    what: "firewall",
    lost: "the firewall can't be reached: what is its to decide is lost",
    found: "there is a way to the firewall",
    frame_len_max: u16::MAX as usize,
};

/// The maps of `bpf/firewall.h`.
pub(crate) struct Maps {
    pub(crate) firewalls: Map<u32, OuterHeaders>,
    pub(crate) peers: Map<Peer, u32>,
    pub(crate) returning: Map<Returning, Exit>,
}

/// Fills them, and follows the ways. `interface` is the index of the one in `config`.
pub(crate) fn follow(maps: Maps, config: &TunnelConfig, interface: u32, layout: &Layout) -> io::Result<Ways> {
    let far_ends: Vec<Option<IpAddr>> = layout.firewalls().collect();
    let mut first: HashMap<IpAddr, u32> = HashMap::new();
    for (position, address) in (0..).zip(&far_ends) {
        let Some(address) = *address else { continue };
        let firewall = *first.entry(address).or_insert(layout::number(position));
        maps.peers.set(&address.into(), &firewall)?;
        let (lif, constants) = layout.returning(position);
        let exit = Exit::new(constants.other, constants.index * abi::KINDS, constants.spread);
        maps.returning.set(&Returning::new(firewall, lif.get()), &exit)?;
    }
    Ways::follow(maps.firewalls, config.clone(), interface, WORDS, &far_ends, LIFS)
}

/// Says so when a packet that comes in at `wire` is too large for the tunnel to `firewall` by `uplink`: it would never be seen there.
pub(crate) fn warn_if_narrow(wire: &Port, uplink: &Port, firewall: IpAddr) -> io::Result<()> {
    let outer = if firewall.is_ipv4() { Outer::V4 } else { Outer::V6 };
    let (packet, mtu) = (wire.mtu()?, uplink.mtu()?);
    let needed = mtu_for(&outer, packet);
    if mtu < needed {
        tracing::warn!(
            wire = wire.name(),
            uplink = uplink.name(),
            "packets of {packet} bytes come in and do not fit through the tunnel to {firewall}: senders have to be told, and some \
             can't be; `ip link set dev {} mtu {needed}`, and the same on the whole way",
            uplink.name()
        );
    }
    Ok(())
}

/// The MTU of a way through which a packet of so many bytes goes in a frame with one tag.
fn mtu_for(outer: &Outer, packet: usize) -> usize {
    // Less the Ethernet header in front of the outer packet, and with that of the frame.
    outer.len + vlan::HEADER_LEN + packet
}

#[cfg(test)]
mod tests {
    use opof_wire::ethernet;

    use super::*;

    #[test]
    fn an_mtu_is_large_enough_and_no_larger() {
        for outer in [Outer::V4, Outer::V6] {
            let frame = ethernet::HEADER_LEN + vlan::HEADER_LEN + 1500;
            let mtu = mtu_for(&outer, 1500);
            assert_eq!([mtu, mtu - 1].map(|mtu| outer.frame_len_of_mtu(mtu)), [frame, frame - 1]);
        }
        assert_eq!([Outer::V4, Outer::V6].map(|outer| mtu_for(&outer, 1500)), [1570, 1590]);
    }
}
