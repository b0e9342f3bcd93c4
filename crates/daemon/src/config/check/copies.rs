//! Where copies of packets go.

use opof_wire::geneve::{OptionId, VNI_MAX};

use super::lif::is_interface_name;
use crate::config::fields::Fields;
use crate::config::model::{CopiesConfig, LifConfig};
use crate::config::source::{Document, Mistake};

/// The largest type of an option that receivers who don't know it may skip (RFC 8926, 3.5): the upper bit says that they may not.
const TYPE_MAX: u32 = 0x7F;

pub(super) fn check(document: &Document, lifs: &[LifConfig], mistakes: &mut Vec<Mistake>) -> Option<CopiesConfig> {
    let section = super::all(document, "copies").first()?;
    let mut fields = Fields::of(section, mistakes);
    let interface = fields.required_text("interface", "by which network interface do copies leave?");
    if let Some(name) = interface {
        if !is_interface_name(name) {
            fields.wrong("interface", format_args!("\"{name}\" can't be the name of a network interface"));
        }
        let taken = |lif: &&LifConfig| lif.firewall == name || lif.wire.iter().any(|wire| wire == name);
        if let Some(lif) = lifs.iter().find(taken) {
            fields.wrong("interface", format_args!("{name} is a port of lif {}: copies need another one", lif.id));
        }
    }
    let vni = fields.whole("vni", 0..=VNI_MAX).unwrap_or(0);
    let class = fields.whole("option_class", 0..=u32::from(u16::MAX)).and_then(|class| u16::try_from(class).ok());
    let kind = fields.whole("option_type", 0..=TYPE_MAX).and_then(|kind| u8::try_from(kind).ok());
    let default = OptionId::DEFAULT;
    let option = OptionId::new(class.unwrap_or(default.class()), kind.unwrap_or(default.kind()))?;
    Some(CopiesConfig { interface: interface?.to_owned(), vni, option })
}
