//! Firewalls behind tunnels: where slow-path frames go, and where what comes back leaves.
//!
//! All of it is written before a program is attached; from then on only the ways change. What must not be here: frames, routes.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;

use crate::abi::{self, Exit, OuterHeaders, Peer, Returning};
use crate::config::TunnelConfig;
use crate::layout::{self, Layout};
use crate::limits::LIFS;
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
        let (lif, constants) = layout.from_firewall(position);
        let exit = Exit::new(constants.other, constants.index * abi::KINDS, constants.spread);
        maps.returning.set(&Returning::new(firewall, lif.get()), &exit)?;
    }
    Ways::follow(maps.firewalls, config.clone(), interface, WORDS, &far_ends, LIFS)
}
