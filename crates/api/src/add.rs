//! `sessionRequest` to a session and back.
//!
//! What lives here: everything about the message that can be judged without a device. Unknown interfaces, a tuple that is
//! taken, what a data plane can't do: the session engine judges these.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use opof_session::types::{Action, SessionId, SessionSpec};
use opof_wire::{Addresses, FlowKey, Transport};

use crate::lif::{self, Sides};
use crate::limits;
use crate::profile::{Ipv4Order, Profile};
use crate::v1;

/// What is wrong with a message, and in which field.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct FieldError {
    /// The field's name in the .proto file; a field of `action` has that in front.
    pub field: &'static str,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with a field.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
pub enum Problem {
    /// One of the two interfaces is 0.
    #[error("no interface in the lower 16 bits; give both, or neither for 1 and 2")]
    LifZero,
    /// The VLAN identifier is reserved or has more than 12 bits.
    #[error("VLAN {0}, the largest is {max}", max = limits::VLAN)]
    Vlan(u16),
    /// A VLAN towards the outer side alone.
    #[error("VLAN {0} here and none in inLif; a tag can be rewritten, not pushed")]
    VlanOneSided(u16),
    /// Not a version of IP.
    #[error("{0}, known are _IPV4 (0) and _IPV6 (1)")]
    IpVersion(i32),
    /// Not the length of an IPv6 address.
    #[error("{0} bytes, an IPv6 address has {len}", len = limits::IPV6_BYTES)]
    Ipv6Length(usize),
    /// 0.0.0.0 (RFC 1122, 3.2.1.3) or :: (RFC 4291, 2.5.2): no session has it.
    #[error("{0} is no host's address")]
    Unspecified(IpAddr),
    /// A port of more than 16 bits.
    #[error("{0}, the largest port is {max}", max = limits::PORT)]
    Port(u32),
    /// A protocol that can't be offloaded.
    #[error("{0}, only _TCP (6) and _UDP (17) are offloaded")]
    Protocol(i32),
    /// The field is absent.
    #[error("missing")]
    Missing,
    /// Not an action.
    #[error("{0}, known are _DROP (0), _FORWARD (1), _MIRROR (2) and _SNOOP (3)")]
    ActionType(i32),
    /// An action that copies packets doesn't say where to.
    #[error("missing next hop: _MIRROR and _SNOOP need the address that copies go to")]
    MissingNextHop,
}

/// The session that a message asks for.
///
/// # Errors
/// The first wrong field, in the order of the field numbers.
pub fn session_spec(request: &v1::SessionRequest, profile: &Profile) -> Result<SessionSpec, FieldError> {
    let Sides { in_lif, in_vlan, out_lif, out_vlan } = lif::decode(request.in_lif, request.out_lif)?;
    let flow = FlowKey {
        vlan: in_vlan,
        addresses: addresses(request, profile.ipv4_order)?,
        source_port: port("sourcePort", request.source_port)?,
        destination_port: port("destinationPort", request.destination_port)?,
        transport: transport(request.protocol_id)?,
    };
    let action = action(request.action.as_ref(), profile.ipv4_order)?;
    let id = SessionId(request.session_id);
    Ok(SessionSpec { id, in_lif, out_lif, flow, out_vlan, action, timeout_seconds: request.cache_timeout })
}

/// The message that asks for a session: the inverse of [`session_spec`].
pub fn session_request(spec: &SessionSpec, profile: &Profile) -> v1::SessionRequest {
    let mut request = v1::SessionRequest {
        session_id: spec.id.0,
        in_lif: lif::encode(spec.in_lif, spec.flow.vlan),
        out_lif: lif::encode(spec.out_lif, spec.out_vlan),
        source_port: spec.flow.source_port.into(),
        destination_port: spec.flow.destination_port.into(),
        protocol_id: spec.flow.transport.number().into(),
        action: Some(action_parameters(spec.action, profile.ipv4_order)),
        cache_timeout: spec.timeout_seconds,
        ..v1::SessionRequest::default()
    };
    match spec.flow.addresses {
        Addresses::V4 { source, destination } => {
            request.set_ip_version(v1::IpVersion::Ipv4);
            request.source_ip = profile.ipv4_order.number(source);
            request.destination_ip = profile.ipv4_order.number(destination);
        }
        Addresses::V6 { source, destination } => {
            request.set_ip_version(v1::IpVersion::Ipv6);
            request.source_ip_v6 = source.to_vec();
            request.destination_ip_v6 = destination.to_vec();
        }
    }
    request
}

fn addresses(request: &v1::SessionRequest, order: Ipv4Order) -> Result<Addresses, FieldError> {
    match v1::IpVersion::try_from(request.ip_version) {
        Ok(v1::IpVersion::Ipv4) => Ok(Addresses::V4 {
            source: ipv4("sourceIp", request.source_ip, order)?,
            destination: ipv4("destinationIp", request.destination_ip, order)?,
        }),
        Ok(v1::IpVersion::Ipv6) => Ok(Addresses::V6 {
            source: ipv6("sourceIpV6", &request.source_ip_v6)?,
            destination: ipv6("destinationIpV6", &request.destination_ip_v6)?,
        }),
        Err(_) => Err(FieldError { field: "ipVersion", problem: Problem::IpVersion(request.ip_version) }),
    }
}

fn ipv4(field: &'static str, number: u32, order: Ipv4Order) -> Result<[u8; 4], FieldError> {
    if number == 0 {
        return Err(FieldError { field, problem: Problem::Unspecified(Ipv4Addr::UNSPECIFIED.into()) });
    }
    Ok(order.octets(number))
}

fn ipv6(field: &'static str, bytes: &[u8]) -> Result<[u8; limits::IPV6_BYTES], FieldError> {
    let octets = <[u8; limits::IPV6_BYTES]>::try_from(bytes)
        .map_err(|_| FieldError { field, problem: Problem::Ipv6Length(bytes.len()) })?;
    if octets == [0; limits::IPV6_BYTES] {
        return Err(FieldError { field, problem: Problem::Unspecified(Ipv6Addr::UNSPECIFIED.into()) });
    }
    Ok(octets)
}

fn port(field: &'static str, number: u32) -> Result<u16, FieldError> {
    u16::try_from(number).map_err(|_| FieldError { field, problem: Problem::Port(number) })
}

fn transport(number: i32) -> Result<Transport, FieldError> {
    u8::try_from(number)
        .ok()
        .and_then(Transport::from_number)
        .ok_or(FieldError { field: "protocolId", problem: Problem::Protocol(number) })
}

fn action(parameters: Option<&v1::ActionParameters>, order: Ipv4Order) -> Result<Action, FieldError> {
    let parameters = parameters.ok_or(FieldError { field: "action", problem: Problem::Missing })?;
    match v1::ActionType::try_from(parameters.action_type) {
        Ok(v1::ActionType::Drop) => Ok(Action::Drop),
        Ok(v1::ActionType::Forward) => Ok(Action::Forward),
        Ok(v1::ActionType::Mirror) => Ok(Action::Mirror { collector: collector(parameters, order)? }),
        Ok(v1::ActionType::Snoop) => Ok(Action::Snoop { collector: collector(parameters, order)? }),
        Err(_) => {
            let problem = Problem::ActionType(parameters.action_type);
            Err(FieldError { field: "action.actionType", problem })
        }
    }
}

/// Where copies go: the IPv6 next hop where one is given, the IPv4 one otherwise. A client that fills a C structure
/// sends 16 zero bytes for "none".
fn collector(parameters: &v1::ActionParameters, order: Ipv4Order) -> Result<IpAddr, FieldError> {
    let v6 = &parameters.action_next_hop_v6;
    if !v6.is_empty() {
        let octets = <[u8; limits::IPV6_BYTES]>::try_from(v6.as_slice())
            .map_err(|_| FieldError { field: "action.actionNextHopV6", problem: Problem::Ipv6Length(v6.len()) })?;
        if octets != [0; limits::IPV6_BYTES] {
            return Ok(IpAddr::from(octets));
        }
    }
    match parameters.action_next_hop {
        0 => Err(FieldError { field: "action.actionNextHop", problem: Problem::MissingNextHop }),
        number => Ok(IpAddr::from(order.octets(number))),
    }
}

fn action_parameters(action: Action, order: Ipv4Order) -> v1::ActionParameters {
    let mut parameters = v1::ActionParameters::default();
    let (kind, collector) = match action {
        Action::Drop => (v1::ActionType::Drop, None),
        Action::Forward => (v1::ActionType::Forward, None),
        Action::Mirror { collector } => (v1::ActionType::Mirror, Some(collector)),
        Action::Snoop { collector } => (v1::ActionType::Snoop, Some(collector)),
    };
    parameters.set_action_type(kind);
    match collector {
        Some(IpAddr::V4(address)) => parameters.action_next_hop = order.number(address.octets()),
        Some(IpAddr::V6(address)) => parameters.action_next_hop_v6 = address.octets().to_vec(),
        None => {}
    }
    parameters
}

#[cfg(test)]
mod tests;
