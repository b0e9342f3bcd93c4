//! `sessionRequest` to a session and back.
//!
//! What lives here: everything about the message that can be judged without a device. Unknown interfaces, a tuple that is
//! taken, what a data plane can't do: the session engine judges these.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use opof_session::l3::{Family, Tunnel};
use opof_session::types::{Action, SessionId, SessionSpec};
use opof_wire::{Addresses, FlowKey, Transport};

use crate::dialect::Dialect;
use crate::lif::{self, Sides};
use crate::limits;
use crate::link;
use crate::profile::{Ipv4Order, Profile};
use crate::v1beta1::{ActionParameters, ActionType, IpVersion, SessionRequest, TunnelType};

/// What is wrong with a message, and in which field.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
pub struct FieldError {
    /// Whose names the fields go by.
    pub dialect: Dialect,
    /// v1beta1's name of the field; a field of `action` has that in front.
    pub field: &'static str,
    /// What is wrong with it.
    pub problem: Problem,
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.dialect.field(self.field), self.problem)
    }
}

/// What a session asks for that a dialect has no words for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
#[error("session {id}: {dialect} has no words for {what}; use {instead}")]
pub struct Inexpressible {
    /// Which session.
    pub id: SessionId,
    /// The dialect that was to be spoken.
    pub dialect: Dialect,
    /// What is missing.
    pub what: &'static str,
    /// Which dialects have it.
    pub instead: &'static str,
}

/// What is wrong with a field.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
pub enum Problem {
    /// One of the two interfaces is 0.
    #[error("no interface in the lower 16 bits; give both, or neither for 1 and 2")]
    LifZero,
    /// Not the number of an interface.
    #[error("{0}, interfaces are numbered from 1 to 65535")]
    Lif(i64),
    /// The VLAN identifier is reserved or has more than 12 bits.
    #[error("VLAN {0}, the largest is {max}", max = limits::VLAN)]
    Vlan(u32),
    /// No VLAN where one is needed.
    #[error("0 is no VLAN, the smallest is 1")]
    VlanZero,
    /// A VLAN on one side alone.
    #[error("{0} is a VLAN on one side only: a tag can be rewritten, not pushed or popped")]
    VlanOneSided(u16),
    /// A VLAN for packets that have none.
    #[error("VLAN {0} for untagged packets: a tag can be rewritten, not pushed")]
    VlanPushed(u16),
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
    /// Not a tunnel.
    #[error("{0}, known are none (0) and GTP-U (1)")]
    Tunnel(i32),
    /// An address of the other family.
    #[error("not of the session's IP version; addresses are not translated from one to the other")]
    NatFamily,
    /// A protocol that is not the session's.
    #[error("protocolId {0} is not the session's")]
    NatProtocol(i32),
    /// 0 where a next hop is to be named.
    #[error("0 names no next hop")]
    NextHopZero,
    /// Not the length of a MAC address.
    #[error("{0} bytes, a MAC address has {len}", len = limits::MAC_BYTES)]
    MacLength(usize),
    /// A group address, or all zeros.
    #[error("not the address of one host")]
    MacGroup,
    /// An action that copies packets doesn't say where to.
    #[error("missing next hop: _MIRROR and _SNOOP need the address that copies go to")]
    MissingNextHop,
}

/// The session that a message asks for. Fields that the dialect does not have are not looked at.
///
/// # Errors
/// The first wrong field, in the order of the field numbers.
pub fn session_spec(request: &SessionRequest, dialect: Dialect, profile: &Profile) -> Result<SessionSpec, FieldError> {
    Reader { request, dialect, order: profile.ipv4_order }.spec()
}

struct Reader<'a> {
    request: &'a SessionRequest,
    dialect: Dialect,
    order: Ipv4Order,
}

impl Reader<'_> {
    const fn wrong(&self, field: &'static str, problem: Problem) -> FieldError {
        FieldError { dialect: self.dialect, field, problem }
    }

    fn spec(&self) -> Result<SessionSpec, FieldError> {
        let Sides { in_lif, in_vlan, out_lif, out_vlan } = lif::decode(self.request, self.dialect)?;
        let flow = FlowKey {
            vlan: in_vlan,
            tunnel: self.tunnel()?,
            addresses: self.addresses()?,
            source_port: self.port("sourcePort", self.request.source_port)?,
            destination_port: self.port("destinationPort", self.request.destination_port)?,
            transport: self.transport()?,
        };
        let parameters = self.request.action.as_ref().ok_or(self.wrong("action", Problem::Missing))?;
        let action = match ActionType::try_from(parameters.action_type) {
            Ok(ActionType::Drop) => Action::Drop,
            Ok(ActionType::Forward) if self.dialect.has_links() => {
                let links = [parameters.action_params_in_lif.as_ref(), parameters.action_params_out_lif.as_ref()];
                link::forward(links, &flow, out_vlan, self.order)?
            }
            Ok(ActionType::Forward) => Action::Forward,
            Ok(ActionType::Mirror) => Action::Mirror { collector: self.collector(parameters)? },
            Ok(ActionType::Snoop) => Action::Snoop { collector: self.collector(parameters)? },
            Err(_) => return Err(self.wrong("action.actionType", Problem::ActionType(parameters.action_type))),
        };
        Ok(SessionSpec {
            id: SessionId(self.request.session_id),
            in_lif,
            out_lif,
            flow,
            out_vlan,
            action,
            timeout_seconds: self.request.cache_timeout,
        })
    }

    fn addresses(&self) -> Result<Addresses, FieldError> {
        let request = self.request;
        match IpVersion::try_from(request.ip_version) {
            Ok(IpVersion::Ipv4) => Ok(Addresses::V4 {
                source: self.ipv4("sourceIp", request.source_ip)?,
                destination: self.ipv4("destinationIp", request.destination_ip)?,
            }),
            Ok(IpVersion::Ipv6) => Ok(Addresses::V6 {
                source: self.ipv6("sourceIpV6", &request.source_ip_v6)?,
                destination: self.ipv6("destinationIpV6", &request.destination_ip_v6)?,
            }),
            Err(_) => Err(self.wrong("ipVersion", Problem::IpVersion(request.ip_version))),
        }
    }

    fn ipv4(&self, field: &'static str, number: u32) -> Result<[u8; 4], FieldError> {
        if number == 0 {
            return Err(self.wrong(field, Problem::Unspecified(Ipv4Addr::UNSPECIFIED.into())));
        }
        Ok(self.order.octets(number))
    }

    fn ipv6(&self, field: &'static str, bytes: &[u8]) -> Result<[u8; limits::IPV6_BYTES], FieldError> {
        let octets = <[u8; limits::IPV6_BYTES]>::try_from(bytes)
            .map_err(|_| self.wrong(field, Problem::Ipv6Length(bytes.len())))?;
        if octets == [0; limits::IPV6_BYTES] {
            return Err(self.wrong(field, Problem::Unspecified(Ipv6Addr::UNSPECIFIED.into())));
        }
        Ok(octets)
    }

    fn port(&self, field: &'static str, number: u32) -> Result<u16, FieldError> {
        u16::try_from(number).map_err(|_| self.wrong(field, Problem::Port(number)))
    }

    fn transport(&self) -> Result<Transport, FieldError> {
        let number = self.request.protocol_id;
        u8::try_from(number)
            .ok()
            .and_then(Transport::from_number)
            .ok_or(self.wrong("protocolId", Problem::Protocol(number)))
    }

    fn tunnel(&self) -> Result<Tunnel, FieldError> {
        if !self.dialect.has_tunnel() {
            return Ok(Tunnel::None);
        }
        match TunnelType::try_from(self.request.encap_type) {
            Ok(TunnelType::None) => Ok(Tunnel::None),
            Ok(TunnelType::Gtpu) => Ok(Tunnel::Gtpu),
            Err(_) => Err(self.wrong("encapType", Problem::Tunnel(self.request.encap_type))),
        }
    }

    /// Where copies go: the IPv6 next hop where one is given, the IPv4 one otherwise. A client that fills a C structure
    /// sends 16 zero bytes for "none".
    fn collector(&self, parameters: &ActionParameters) -> Result<IpAddr, FieldError> {
        let v6 = &parameters.action_next_hop_v6;
        if !v6.is_empty() {
            let octets = <[u8; limits::IPV6_BYTES]>::try_from(v6.as_slice())
                .map_err(|_| self.wrong("action.actionNextHopV6", Problem::Ipv6Length(v6.len())))?;
            if octets != [0; limits::IPV6_BYTES] {
                return Ok(IpAddr::from(octets));
            }
        }
        match parameters.action_next_hop {
            0 => Err(self.wrong("action.actionNextHop", Problem::MissingNextHop)),
            number => Ok(IpAddr::from(self.order.octets(number))),
        }
    }
}

/// The message that asks for a session: the inverse of [`session_spec`].
///
/// # Errors
/// When the session asks for something that the dialect has no words for. Nothing is left out in silence: a session that
/// lacks half of what it asks for is another session.
pub fn session_request(
    spec: &SessionSpec,
    dialect: Dialect,
    profile: &Profile,
) -> Result<SessionRequest, Inexpressible> {
    let lacks = |what, instead| Inexpressible { id: spec.id, dialect, what, instead };
    if spec.flow.tunnel != Tunnel::None && !dialect.has_tunnel() {
        return Err(lacks("GTP-U", "v1.1 or v1beta1"));
    }
    if matches!(spec.action, Action::Route(_)) && !dialect.has_links() {
        return Err(lacks("next hops, NAT and VLAN rewrite by link", "v1beta1"));
    }
    let mut request = SessionRequest {
        session_id: spec.id.0,
        source_port: spec.flow.source_port.into(),
        destination_port: spec.flow.destination_port.into(),
        protocol_id: spec.flow.transport.number().into(),
        action: Some(action_parameters(spec, dialect, profile.ipv4_order)),
        cache_timeout: spec.timeout_seconds,
        ..SessionRequest::default()
    };
    let (in_vlan, out_vlan) = (spec.flow.vlan, spec.out_vlan);
    lif::encode(Sides { in_lif: spec.in_lif, in_vlan, out_lif: spec.out_lif, out_vlan }, dialect, &mut request);
    request.set_ip_version(ip_version(spec.family()));
    match spec.flow.addresses {
        Addresses::V4 { source, destination } => {
            request.source_ip = profile.ipv4_order.number(source);
            request.destination_ip = profile.ipv4_order.number(destination);
        }
        Addresses::V6 { source, destination } => {
            request.source_ip_v6 = source.to_vec();
            request.destination_ip_v6 = destination.to_vec();
        }
    }
    if spec.flow.tunnel == Tunnel::Gtpu {
        request.set_encap_type(TunnelType::Gtpu);
    }
    Ok(request)
}

pub(crate) const fn ip_version(family: Family) -> IpVersion {
    match family {
        Family::V4 => IpVersion::Ipv4,
        Family::V6 => IpVersion::Ipv6,
    }
}

fn action_parameters(spec: &SessionSpec, dialect: Dialect, order: Ipv4Order) -> ActionParameters {
    let mut parameters = ActionParameters::default();
    let (kind, collector) = match spec.action {
        Action::Drop => (ActionType::Drop, None),
        Action::Forward | Action::Route(_) => (ActionType::Forward, None),
        Action::Mirror { collector } => (ActionType::Mirror, Some(collector)),
        Action::Snoop { collector } => (ActionType::Snoop, Some(collector)),
    };
    parameters.set_action_type(kind);
    match collector {
        Some(IpAddr::V4(address)) => parameters.action_next_hop = order.number(address.octets()),
        Some(IpAddr::V6(address)) => parameters.action_next_hop_v6 = address.octets().to_vec(),
        None => {}
    }
    if dialect.has_links() && kind == ActionType::Forward {
        [parameters.action_params_in_lif, parameters.action_params_out_lif] =
            link::parameters(&spec.action, &spec.flow, spec.out_vlan, order);
    }
    parameters
}

#[cfg(test)]
mod tests;
