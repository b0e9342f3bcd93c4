//! The logical interfaces and their ports.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

use opof_session::types::Lif;

use crate::config::fields::Fields;
use crate::config::model::{BondMode, FirewallConfig, LifConfig};
use crate::config::source::{Document, Entry, Mistake, Place, Section, Value};
use crate::limits;

const WHICH: &str = "which network interface is it?";
/// What the address of a firewall behind a tunnel stands behind. No name of an interface has a colon in it.
const GENEVE: &str = "geneve:";

/// Network interfaces by name, with the place of their first use.
type Used = BTreeMap<String, Place>;

pub(super) fn all(document: &Document, is_xdp: bool, mistakes: &mut Vec<Mistake>) -> Vec<LifConfig> {
    let sections = super::all(document, "lif");
    if sections.is_empty() {
        if is_xdp {
            let message =
                "at least one [[lif]] is needed: which ports are the network's and the firewall's?".to_owned();
            mistakes.push(Mistake { place: document.place.clone(), message });
        }
        return vec![simulated(1), simulated(2)];
    }
    if let Some(excess) = sections.get(limits::LIFS) {
        let message = format!("more than {} logical interfaces", limits::LIFS);
        mistakes.push(Mistake { place: excess.place.clone(), message });
    }
    let (mut ids, mut used) = (BTreeMap::new(), Used::new());
    sections.iter().filter_map(|section| lif(section, is_xdp, &mut ids, &mut used, mistakes)).collect()
}

fn simulated(id: u16) -> LifConfig {
    let id = Lif::new(id).expect("1 and 2 are not 0");
    let (wire, firewall) = (vec![simulated_port(id, "wire")], simulated_firewall(id));
    LifConfig { id, wire, bond: BondMode::default(), firewall }
}

fn simulated_port(id: Lif, key: &str) -> String {
    format!("sim{id}-{key}")
}

fn simulated_firewall(id: Lif) -> FirewallConfig {
    FirewallConfig::Interface(simulated_port(id, "firewall"))
}

fn lif(
    section: &Section,
    is_xdp: bool,
    ids: &mut BTreeMap<Lif, Place>,
    used: &mut Used,
    mistakes: &mut Vec<Mistake>,
) -> Option<LifConfig> {
    let mut fields = Fields::of(section, mistakes);
    if !fields.has("id") {
        fields.wrong("id", "id is missing: the number that clients use for this interface, 1 to 65535");
    }
    let id = fields.whole("id", 1..=u32::from(u16::MAX)).and_then(|id| Lif::new(u16::try_from(id).ok()?));
    if let Some(id) = id
        && let Some(first) = ids.insert(id, fields.place("id"))
    {
        fields.wrong("id", format_args!("{id} is taken by the lif at {first}"));
    }
    let bonds = [("active-standby", BondMode::ActiveStandby), ("balance", BondMode::Balance)];
    let bond = fields.choice("bond", &bonds).unwrap_or_default();
    let left_out = |fields: &Fields<'_>, key| !is_xdp && !fields.has(key);
    let wire = if left_out(&fields, "wire") {
        id.map(|id| vec![simulated_port(id, "wire")])
    } else {
        wires(&mut fields, used)
    };
    let firewall = if left_out(&fields, "firewall") { id.map(simulated_firewall) } else { firewall(&mut fields, used) };
    Some(LifConfig { id: id?, wire: wire?, bond, firewall: firewall? })
}

fn wires(fields: &mut Fields<'_>, used: &mut Used) -> Option<Vec<String>> {
    let names = fields.required_texts("wire", WHICH)?;
    if let Some((place, _)) = names.get(limits::WIRE_PORTS) {
        fields.wrong_at(place, "wire", format_args!("more than {} network interfaces", limits::WIRE_PORTS));
    }
    // All of them, so that each mistake is named.
    let ports: Vec<_> = names.into_iter().map(|(place, name)| port(fields, "wire", &place, name, used)).collect();
    ports.into_iter().collect()
}

fn firewall(fields: &mut Fields<'_>, used: &mut Used) -> Option<FirewallConfig> {
    let text = fields.required_text("firewall", WHICH)?;
    let Some(address) = text.strip_prefix(GENEVE) else {
        let place = fields.place("firewall");
        return port(fields, "firewall", &place, text, used).map(FirewallConfig::Interface);
    };
    let Some(address) = address_of(address) else {
        let such_as = format_args!("such as \"{GENEVE}192.0.2.10\" or \"{GENEVE}2001:db8::10\"");
        fields.wrong("firewall", format_args!("\"{address}\" is not the address of a tunnel's end, {such_as}"));
        return None;
    };
    if let Some(kind) = no_tunnel_end(address) {
        fields.wrong("firewall", format_args!("{address} is {kind}: it can't be the address of a tunnel's end"));
    }
    Some(FirewallConfig::Tunnel(address))
}

/// IPv6 may stand in brackets, as it does in front of a port.
fn address_of(text: &str) -> Option<IpAddr> {
    match text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        Some(text) => text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => text.parse().ok(),
    }
}

/// What `address` is, if not that of one host which routes lead to.
fn no_tunnel_end(address: IpAddr) -> Option<&'static str> {
    let (is_link_local, is_broadcast, is_mapped) = match address {
        IpAddr::V4(address) => (address.is_link_local(), address.is_broadcast(), false),
        IpAddr::V6(address) => (address.is_unicast_link_local(), false, address.to_ipv4_mapped().is_some()),
    };
    [
        (address.is_unspecified(), "unspecified"),
        (address.is_loopback(), "a loopback address"),
        (address.is_multicast(), "a multicast address"),
        (is_broadcast, "the broadcast address"),
        (is_link_local, "link-local, and names no link"),
        (is_mapped, "an IPv4 address written as IPv6"),
    ]
    .into_iter()
    .find_map(|(applies, kind)| applies.then_some(kind))
}

/// Is the firewall of the LIF that was written there behind a tunnel, whatever else is wrong with it?
pub(super) fn is_behind_tunnel(section: &Section) -> bool {
    let firewall = section.entries.get("firewall");
    matches!(firewall, Some(Entry { value: Value::Text(text) | Value::Bare(text), .. }) if text.starts_with(GENEVE))
}

fn port(fields: &mut Fields<'_>, key: &str, place: &Place, name: &str, used: &mut Used) -> Option<String> {
    if !is_interface_name(name) {
        fields.wrong_at(place, key, format_args!("\"{name}\" can't be the name of a network interface"));
        return None;
    }
    if let Some(first) = used.insert(name.to_owned(), place.clone()) {
        fields.wrong_at(place, key, format_args!("{name} is used already at {first}"));
    }
    Some(name.to_owned())
}

/// What Linux takes as the name of a network interface: IFNAMSIZ is 16 with the final NUL.
pub(super) fn is_interface_name(name: &str) -> bool {
    let fits = (1..16).contains(&name.len()) && name != "." && name != "..";
    fits && !name.contains(|c: char| c == '/' || c == ':' || c.is_whitespace() || c.is_control())
}
