//! v1beta1's own messages: what happens on a link, next hops, VLAN flows, to domain values and back.
//!
//! What lives here: what can be judged without a device. Whether a next hop is there, the session engine knows.

use core::net::IpAddr;
use core::num::NonZeroU16;

use opof_session::l3::{Family, L3Error, Link, LinkFields, Links, Nat, NextHop, NextHopId, VlanFlow};
use opof_session::types::{Action, Lif};
use opof_wire::ethernet::MacAddress;
use opof_wire::{FlowKey, Transport, Tunnel, Vid};

use crate::Dialect;
use crate::add::{self, FieldError, Problem};
use crate::limits;
use crate::profile::Ipv4Order;
use crate::status::Refusal;
use crate::v1beta1::{
    IpVersion, MacRewrite, Nat as NatMessage, NextHopParameters, PerLinkActionParameters, VlanFlowDef,
};

const fn wrong(field: &'static str, problem: Problem) -> FieldError {
    FieldError { dialect: Dialect::V1Beta1, field, problem }
}

/// The action of a FORWARD session whose flow and VLAN on the other side are these. What changes nothing is as good as
/// absent, and what the two VLANs imply already is plain [`Action::Forward`].
pub(crate) fn forward(
    parameters: [Option<&PerLinkActionParameters>; 2],
    flow: &FlowKey,
    out_vlan: Vid,
    order: Ipv4Order,
) -> Result<Action, FieldError> {
    let [towards_in, towards_out] = parameters;
    let link = |parameters, fields, arrives_with| match parameters {
        Some(parameters) => link(parameters, fields, flow, arrives_with, order),
        None => Ok(Link::default()),
    };
    let links = Links {
        towards_in: link(towards_in, &LinkFields::TOWARDS_IN, out_vlan)?,
        towards_out: link(towards_out, &LinkFields::TOWARDS_OUT, flow.vlan)?,
    };
    Ok(if links == implied(flow.vlan, out_vlan) { Action::Forward } else { Action::Route(Box::new(links)) })
}

/// What a plain FORWARD does on both links.
fn implied(in_vlan: Vid, out_vlan: Vid) -> Links {
    let rewrite = |to| Link { vlan: (in_vlan != out_vlan).then_some(to), ..Link::default() };
    Links { towards_in: rewrite(in_vlan), towards_out: rewrite(out_vlan) }
}

fn link(
    parameters: &PerLinkActionParameters,
    fields: &LinkFields,
    flow: &FlowKey,
    arrives_with: Vid,
    order: Ipv4Order,
) -> Result<Link, FieldError> {
    let nat = |field, message: Option<&NatMessage>| match message {
        Some(message) => nat(message, flow, order).map(Some).map_err(|problem| wrong(field, problem)),
        None => Ok(None),
    };
    let vlan = vid(parameters.vlan).map_err(|problem| wrong(fields.vlan, problem))?;
    if !vlan.is_untagged() && arrives_with.is_untagged() {
        return Err(wrong(fields.vlan, Problem::VlanPushed(vlan.get())));
    }
    Ok(Link {
        next_hop: NextHopId::new(parameters.next_hop_id),
        snat: nat(fields.snat, parameters.snat.as_ref())?,
        dnat: nat(fields.dnat, parameters.dnat.as_ref())?,
        vlan: (!vlan.is_untagged() && vlan != arrives_with).then_some(vlan),
    })
}

fn vid(number: u32) -> Result<Vid, Problem> {
    u16::try_from(number).ok().and_then(Vid::new).ok_or(Problem::Vlan(number))
}

fn nat(message: &NatMessage, flow: &FlowKey, order: Ipv4Order) -> Result<Nat, Problem> {
    // What goes through a tunnel is translated at its outermost headers, whose family the session does not say.
    let is_tunnelled = flow.tunnel != Tunnel::None;
    let is_v4 = flow.addresses.source().is_ipv4();
    let address = match IpVersion::try_from(message.ip_version) {
        Ok(IpVersion::Ipv4) if is_v4 || is_tunnelled => IpAddr::from(order.octets(message.ipv4)),
        Ok(IpVersion::Ipv6) if !is_v4 || is_tunnelled => IpAddr::from(
            <[u8; limits::IPV6_BYTES]>::try_from(message.ipv6.as_slice())
                .map_err(|_| Problem::Ipv6Length(message.ipv6.len()))?,
        ),
        Ok(IpVersion::Ipv4 | IpVersion::Ipv6) => return Err(Problem::NatFamily),
        Err(_) => return Err(Problem::IpVersion(message.ip_version)),
    };
    if address.is_unspecified() {
        return Err(Problem::Unspecified(address));
    }
    // The tunnel that there is, GTP-U, is carried by UDP (3GPP TS 29.281, 4.4.2).
    let outermost = if is_tunnelled { Transport::Udp } else { flow.transport };
    if ![0, i32::from(flow.transport.number()), i32::from(outermost.number())].contains(&message.protocol_id) {
        return Err(Problem::NatProtocol(message.protocol_id));
    }
    let port = u16::try_from(message.port).map_err(|_| Problem::Port(message.port))?;
    Ok(Nat { address, port: NonZeroU16::new(port) })
}

/// The parameters that ask for a session's links: towards `in_lif`, towards `out_lif`. The inverse of [`forward`].
pub(crate) fn parameters(
    action: &Action,
    flow: &FlowKey,
    out_vlan: Vid,
    order: Ipv4Order,
) -> [Option<PerLinkActionParameters>; 2] {
    let implied = implied(flow.vlan, out_vlan);
    let links = match action {
        Action::Route(links) => links,
        _ => &implied,
    };
    [&links.towards_in, &links.towards_out].map(|link| {
        let nat = |nat: Option<Nat>| nat.map(|nat| nat_message(&nat, flow, order));
        (*link != Link::default()).then(|| PerLinkActionParameters {
            next_hop_id: link.next_hop.map_or(0, NextHopId::get),
            snat: nat(link.snat),
            dnat: nat(link.dnat),
            vlan: link.vlan.map_or(0, |vlan| vlan.get().into()),
        })
    })
}

fn nat_message(nat: &Nat, flow: &FlowKey, order: Ipv4Order) -> NatMessage {
    let mut message = NatMessage {
        port: nat.port.map_or(0, |port| port.get().into()),
        protocol_id: flow.transport.number().into(),
        ..NatMessage::default()
    };
    match nat.address {
        IpAddr::V4(address) => message.ipv4 = order.number(address.octets()),
        IpAddr::V6(address) => {
            message.ipv6 = address.octets().to_vec();
            message.set_ip_version(IpVersion::Ipv6);
        }
    }
    message
}

/// The number of a next hop.
///
/// # Errors
/// For 0, which names none.
pub fn next_hop_id(parameters: &NextHopParameters) -> Result<NextHopId, FieldError> {
    NextHopId::new(parameters.next_hop_id).ok_or(wrong("nextHopId", Problem::NextHopZero))
}

/// The next hop that a message describes.
///
/// # Errors
/// The first wrong field.
pub fn next_hop(parameters: &NextHopParameters) -> Result<NextHop, FieldError> {
    let id = next_hop_id(parameters)?;
    let rewrite = parameters.mac_rewrite.as_ref().ok_or(wrong("macRewrite", Problem::Missing))?;
    let family = match IpVersion::try_from(parameters.ip_version) {
        Ok(IpVersion::Ipv4) => Family::V4,
        Ok(IpVersion::Ipv6) => Family::V6,
        Err(_) => return Err(wrong("ipVersion", Problem::IpVersion(parameters.ip_version))),
    };
    Ok(NextHop {
        id,
        family,
        source: mac("macRewrite.srcMac", &rewrite.src_mac)?,
        destination: mac("macRewrite.dstMac", &rewrite.dst_mac)?,
    })
}

/// A neighbour and the device itself are single hosts: a group address (IEEE 802, 8.2) can't be meant, nor all zeros.
fn mac(field: &'static str, bytes: &[u8]) -> Result<MacAddress, FieldError> {
    let octets =
        <[u8; limits::MAC_BYTES]>::try_from(bytes).map_err(|_| wrong(field, Problem::MacLength(bytes.len())))?;
    if octets[0] & 1 == 1 || octets == [0; limits::MAC_BYTES] {
        return Err(wrong(field, Problem::MacGroup));
    }
    Ok(MacAddress(octets))
}

/// The message that describes a next hop.
pub fn next_hop_parameters(hop: &NextHop) -> NextHopParameters {
    let mut parameters = NextHopParameters {
        next_hop_id: hop.id.get(),
        mac_rewrite: Some(MacRewrite { src_mac: hop.source.0.to_vec(), dst_mac: hop.destination.0.to_vec() }),
        ip_version: 0,
    };
    parameters.set_ip_version(add::ip_version(hop.family));
    parameters
}

/// The VLAN of a VLAN flow.
///
/// # Errors
/// When there can't be such a VLAN.
pub fn flow_vlan(definition: &VlanFlowDef) -> Result<Vid, FieldError> {
    match vid(definition.vlan_id) {
        Ok(vlan) if vlan.is_untagged() => Err(wrong("vlanId", Problem::VlanZero)),
        Ok(vlan) => Ok(vlan),
        Err(problem) => Err(wrong("vlanId", problem)),
    }
}

/// The VLAN flow that a message describes.
///
/// # Errors
/// The first wrong field.
pub fn vlan_flow(definition: &VlanFlowDef) -> Result<VlanFlow, FieldError> {
    let vlan = flow_vlan(definition)?;
    let lif = u16::try_from(definition.internal_lif).ok().and_then(Lif::new);
    let lif = lif.ok_or(wrong("internalLif", Problem::Lif(definition.internal_lif.into())))?;
    Ok(VlanFlow { vlan, lif })
}

/// The message that describes a VLAN flow.
pub fn vlan_flow_def(flow: &VlanFlow) -> VlanFlowDef {
    VlanFlowDef { vlan_id: flow.vlan.get().into(), internal_lif: flow.lif.get().into() }
}

impl From<&L3Error> for Refusal {
    fn from(error: &L3Error) -> Self {
        match error {
            L3Error::NoNextHop(_) | L3Error::NoVlanFlow(_) | L3Error::OtherFamily { .. } => Self::FailedPrecondition,
            L3Error::NextHopsFull => Self::TableFull,
            L3Error::VlanFlowExists { .. } => Self::AlreadyExists,
            L3Error::UnknownLif(_) => Self::Rejected,
            L3Error::Busy | L3Error::Unavailable => Self::Unavailable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hop(source: &[u8], destination: &[u8]) -> NextHopParameters {
        let mac_rewrite = Some(MacRewrite { src_mac: source.to_vec(), dst_mac: destination.to_vec() });
        NextHopParameters { next_hop_id: 7, mac_rewrite, ip_version: 1 }
    }

    const A: [u8; 6] = [2, 0, 0, 0, 0, 1];
    const B: [u8; 6] = [2, 0, 0, 0, 0, 2];

    #[test]
    fn a_next_hop_there_and_back() {
        let message = hop(&A, &B);
        let read = next_hop(&message).unwrap();
        assert_eq!((read.id.get(), read.family, read.source.0, read.destination.0), (7, Family::V6, A, B));
        assert_eq!(next_hop_parameters(&read), message);
    }

    #[test]
    fn each_wrong_field_of_a_next_hop_is_named() {
        let said = |message: NextHopParameters| next_hop(&message).unwrap_err().to_string();
        assert_eq!(said(NextHopParameters { next_hop_id: 0, ..hop(&A, &B) }), "nextHopId: 0 names no next hop");
        assert_eq!(said(NextHopParameters { mac_rewrite: None, ..hop(&A, &B) }), "macRewrite: missing");
        assert_eq!(said(hop(&A[..5], &B)), "macRewrite.srcMac: 5 bytes, a MAC address has 6");
        let group = "macRewrite.dstMac: not the address of one host";
        assert_eq!(said(hop(&A, &[1, 0, 94, 0, 0, 1])), group);
        assert_eq!(said(hop(&A, &[0; 6])), group);
        assert_eq!(
            said(NextHopParameters { ip_version: 2, ..hop(&A, &B) }),
            "ipVersion: 2, known are _IPV4 (0) and _IPV6 (1)"
        );
    }

    #[test]
    fn a_vlan_flow_there_and_back_and_each_wrong_field() {
        let message = VlanFlowDef { vlan_id: 100, internal_lif: 2 };
        assert_eq!(vlan_flow_def(&vlan_flow(&message).unwrap()), message);
        let said = |vlan_id, internal_lif| vlan_flow(&VlanFlowDef { vlan_id, internal_lif }).unwrap_err().to_string();
        assert_eq!(said(0, 1), "vlanId: 0 is no VLAN, the smallest is 1");
        assert_eq!(said(4095, 1), "vlanId: VLAN 4095, the largest is 4094");
        assert_eq!(said(1, 0), "internalLif: 0, interfaces are numbered from 1 to 65535");
        assert_eq!(said(1, 65536), "internalLif: 65536, interfaces are numbered from 1 to 65535");
    }
}
