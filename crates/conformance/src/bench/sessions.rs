//! Sessions as the cases send them.
//!
//! Addresses are of the ranges for benchmarks and documentation (RFC 2544, 5737, 3849): no traffic has them.

use opof_api::v1::{ActionParameters, ActionType, IpVersion, ProtocolId, SessionRequest};

use super::Bench;
use crate::limits;

/// Source ports that are used with one address.
const PORTS: u64 = 50_000;
const FIRST_PORT: u64 = 10_000;
/// Seconds: no session of a case that is not about aging closes while it runs.
const LONG: u32 = 3600;

impl Bench {
    /// The id of the case's session number `n`.
    pub(crate) fn id(&self, n: u64) -> u64 {
        debug_assert!(n < limits::SESSIONS, "ids of cases overlap");
        (self.number as u64 + 1) * limits::SESSIONS + n
    }

    /// The case's session number `n`: IPv4, UDP or TCP, untagged, FORWARD from interface 1 to 2. Tuples of two numbers,
    /// and of two cases, have nothing in common.
    pub(crate) fn session(&self, n: u64) -> SessionRequest {
        let host = u8::try_from(n / PORTS).unwrap_or(u8::MAX);
        let case = u8::try_from(self.number).unwrap_or(u8::MAX);
        let protocol = if n.is_multiple_of(2) { ProtocolId::Udp } else { ProtocolId::Tcp };
        let action = ActionParameters { action_type: ActionType::Forward.into(), ..ActionParameters::default() };
        SessionRequest {
            session_id: self.id(n),
            in_lif: 1,
            out_lif: 2,
            source_ip: self.ipv4([198, 18, case, host]),
            source_port: u32::try_from(FIRST_PORT + n % PORTS).unwrap_or(u32::MAX),
            destination_ip: self.ipv4([203, 0, 113, 1]),
            destination_port: 443,
            protocol_id: protocol.into(),
            action: Some(action),
            cache_timeout: LONG,
            ..SessionRequest::default()
        }
    }

    /// Several of them.
    pub(crate) fn sessions(&self, numbers: impl IntoIterator<Item = u64>) -> Vec<SessionRequest> {
        numbers.into_iter().map(|n| self.session(n)).collect()
    }

    /// The same, which close after so many seconds.
    pub(crate) fn short_lived(&self, numbers: impl IntoIterator<Item = u64>, seconds: u32) -> Vec<SessionRequest> {
        let shorten = |session| SessionRequest { cache_timeout: seconds, ..session };
        self.sessions(numbers).into_iter().map(shorten).collect()
    }

    /// A session that every server refuses: its destination port has 17 bits.
    pub(crate) fn bad_session(&self, n: u64) -> SessionRequest {
        SessionRequest { destination_port: 65_536 + 443, ..self.session(n) }
    }

    /// An address as the profile writes it.
    pub(crate) const fn ipv4(&self, octets: [u8; 4]) -> u32 {
        self.terms.profile.ipv4_order.number(octets)
    }
}

/// The same session over IPv6.
pub(crate) fn ipv6(session: SessionRequest) -> SessionRequest {
    let address = |host: u32| {
        let prefix = [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0];
        prefix.into_iter().chain(host.to_be_bytes()).collect()
    };
    SessionRequest {
        ip_version: IpVersion::Ipv6.into(),
        source_ip_v6: address(session.source_ip),
        destination_ip_v6: address(session.destination_ip),
        source_ip: 0,
        destination_ip: 0,
        ..session
    }
}

/// The same session between other interfaces and VLANs, in the dialects that have both in one field.
pub(crate) const fn lifs(session: SessionRequest, in_vlan: i32, out_vlan: i32) -> SessionRequest {
    let mut session = session;
    session.in_lif = in_vlan << 16 | 1;
    session.out_lif = out_vlan << 16 | 2;
    session
}

/// The same session between other interfaces, untagged.
pub(crate) const fn untagged(session: SessionRequest, in_lif: i32, out_lif: i32) -> SessionRequest {
    let mut session = session;
    session.in_lif = in_lif;
    session.out_lif = out_lif;
    session
}
