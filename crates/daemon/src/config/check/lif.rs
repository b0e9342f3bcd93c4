//! The logical interfaces and their ports.

use std::collections::BTreeMap;

use opof_session::types::Lif;

use crate::config::fields::Fields;
use crate::config::model::{BondMode, LifConfig};
use crate::config::source::{Document, Mistake, Place, Section};
use crate::limits;

const WHICH: &str = "which network interface is it?";

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
    let (wire, firewall) = (vec![simulated_port(id, "wire")], simulated_port(id, "firewall"));
    LifConfig { id, wire, bond: BondMode::default(), firewall }
}

fn simulated_port(id: Lif, key: &str) -> String {
    format!("sim{id}-{key}")
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
    let firewall = if left_out(&fields, "firewall") {
        id.map(|id| simulated_port(id, "firewall"))
    } else {
        fields.required_text("firewall", WHICH).and_then(|name| {
            let place = fields.place("firewall");
            port(&mut fields, "firewall", &place, name, used)
        })
    };
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
