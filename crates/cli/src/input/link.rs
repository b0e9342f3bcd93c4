//! What happens to a session on either link, as people write it.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;
use std::str::FromStr;

use opof_client::{Link, Links, Nat, NextHopId, Vid};

use super::{Wrong, vid};
use crate::args::LinkArgs;

/// An address that takes the place of another, with or without a port: `192.0.2.1`, `192.0.2.1:4000`,
/// `[2001:db8::1]:4000`.
#[derive(serde::Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(try_from = "String")]
pub(crate) struct NatText(Nat);

impl FromStr for NatText {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let with_port = || {
            let address = text.parse::<SocketAddr>().ok()?;
            Some(Nat { address: address.ip(), port: NonZeroU16::new(address.port()) })
        };
        let alone = || Some(Nat { address: text.parse::<IpAddr>().ok()?, port: None });
        let nat = with_port().or_else(alone);
        nat.map(Self).ok_or_else(|| format!("{text}: an address, with or without a port, such as 192.0.2.1:4000"))
    }
}

impl TryFrom<String> for NatText {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// What was said; `None` where nothing was. Two VLANs that differ are rewritten into each other, as without links.
pub(super) fn links(said: &LinkArgs, [inside, outside]: [Vid; 2]) -> Result<Option<Links>, Wrong> {
    let towards_in = Link {
        next_hop: next_hop("in-next-hop", said.in_next_hop)?,
        snat: said.in_snat.map(|NatText(nat)| nat),
        dnat: said.in_dnat.map(|NatText(nat)| nat),
        vlan: rewrite("in-rewrite-vlan", said.in_rewrite_vlan)?,
    };
    let towards_out = Link {
        next_hop: next_hop("out-next-hop", said.out_next_hop)?,
        snat: said.out_snat.map(|NatText(nat)| nat),
        dnat: said.out_dnat.map(|NatText(nat)| nat),
        vlan: rewrite("out-rewrite-vlan", said.out_rewrite_vlan)?,
    };
    let said = Links { towards_in, towards_out };
    if said == Links::default() {
        return Ok(None);
    }
    let implied = |vlan| (inside != outside).then_some(vlan);
    Ok(Some(Links {
        towards_in: Link { vlan: towards_in.vlan.or(implied(inside)), ..towards_in },
        towards_out: Link { vlan: towards_out.vlan.or(implied(outside)), ..towards_out },
    }))
}

fn next_hop(name: &'static str, id: Option<u32>) -> Result<Option<NextHopId>, Wrong> {
    id.map(|id| NextHopId::new(id).ok_or(Wrong::NextHop { name })).transpose()
}

fn rewrite(name: &'static str, vlan: Option<u16>) -> Result<Option<Vid>, Wrong> {
    vlan.map(|vlan| vid(name, Some(vlan))).transpose()
}
