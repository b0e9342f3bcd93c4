//! What goes through tunnels: copies to collectors, and what is the firewall's where that is behind one.

use opof_dataplane::limits::{ANSWERS_PER_SECOND, ANSWERS_PER_SECOND_MAX};
use opof_wire::geneve::{OptionId, VNI_MAX};

use super::lif::{is_behind_tunnel, is_interface_name};
use crate::config::fields::Fields;
use crate::config::model::{FirewallConfig, LifConfig, TunnelConfig, UplinkConfig};
use crate::config::source::{Document, Mistake};

/// The largest type of an option that receivers who don't know it may skip (RFC 8926, 3.5): the upper bit says that they may not.
const TYPE_MAX: u32 = 0x7F;

pub(super) fn copies(document: &Document, lifs: &[LifConfig], mistakes: &mut Vec<Mistake>) -> Option<TunnelConfig> {
    let section = super::all(document, "copies").first()?;
    let mut fields = Fields::of(section, mistakes);
    tunnel(&mut fields, lifs, "copies need another one", "by which network interface do copies leave?")
}

pub(super) fn uplink(
    document: &Document,
    is_xdp: bool,
    lifs: &[LifConfig],
    mistakes: &mut Vec<Mistake>,
) -> Option<UplinkConfig> {
    // As it was written: a firewall that is wrong in something else has its tunnel all the same.
    let user = super::all(document, "lif").iter().find(|lif| is_behind_tunnel(lif));
    let Some(section) = super::all(document, "tunnel").first() else {
        if let Some(lif) = user.filter(|_| is_xdp) {
            let text =
                "a tunnel needs a [tunnel] section, or --tunnel-interface: by which network interface is it reached?";
            Fields::of(lif, mistakes).wrong("firewall", text);
        }
        return None;
    };
    let mut fields = Fields::of(section, mistakes);
    if user.is_none() {
        fields.wrong_section("nothing uses [tunnel]: no lif has a firewall such as \"geneve:192.0.2.10\"");
    }
    let tunnel = tunnel(
        &mut fields,
        lifs,
        "tunnels need another one",
        "by which network interface are firewalls behind tunnels reached?",
    );
    let answers = fields.whole("answers", 1..=ANSWERS_PER_SECOND_MAX).unwrap_or(ANSWERS_PER_SECOND);
    Some(UplinkConfig { tunnel: tunnel?, answers })
}

/// What both sections say of a tunnel.
fn tunnel(fields: &mut Fields<'_>, lifs: &[LifConfig], need: &str, which: &str) -> Option<TunnelConfig> {
    let interface = fields.required_text("interface", which);
    if let Some(name) = interface {
        if !is_interface_name(name) {
            fields.wrong("interface", format_args!("\"{name}\" can't be the name of a network interface"));
        }
        if let Some(lif) = lifs.iter().find(|lif| is_port_of(name, lif)) {
            fields.wrong("interface", format_args!("{name} is a port of lif {}: {need}", lif.id));
        }
    }
    let vni = fields.whole("vni", 0..=VNI_MAX).unwrap_or(0);
    let class = fields.whole("option_class", 0..=u32::from(u16::MAX)).and_then(|class| u16::try_from(class).ok());
    let kind = fields.whole("option_type", 0..=TYPE_MAX).and_then(|kind| u8::try_from(kind).ok());
    let default = OptionId::DEFAULT;
    let option = OptionId::new(class.unwrap_or(default.class()), kind.unwrap_or(default.kind()))?;
    Some(TunnelConfig { interface: interface?.to_owned(), vni, option })
}

fn is_port_of(name: &str, lif: &LifConfig) -> bool {
    let is_firewall = matches!(&lif.firewall, FirewallConfig::Interface(firewall) if firewall == name);
    is_firewall || lif.wire.iter().any(|wire| wire == name)
}
