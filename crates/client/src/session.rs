//! A session to be offloaded, put together and checked before it is sent.

use std::net::SocketAddr;

use opof_session::l3::Tunnel;
use opof_session::types::{Action, Lif, SessionId, SessionSpec};
use opof_wire::{Addresses, FlowKey, Transport, Vid};

/// A session to be offloaded. "In" is from the source to the destination; the answer belongs to it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Session(SessionSpec);

/// What no device would accept.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
pub enum SessionError {
    /// One address is IPv4, the other IPv6.
    #[error("{0} and {1} are not of one family: both must be IPv4, or both IPv6")]
    Families(SocketAddr, SocketAddr),
    /// 0.0.0.0 or ::.
    #[error("{0}: no host has this address")]
    Unspecified(SocketAddr),
    /// A VLAN on one side and none on the other.
    #[error(
        "a VLAN on one side only: a tag can be rewritten, not pushed or popped; give both sides a VLAN, or neither"
    )]
    VlanOneSided,
}

impl Session {
    /// A session that is forwarded from LIF 1 to LIF 2, untagged, with the device's default timeout. `id` is yours to
    /// choose; two sessions can't have the same.
    ///
    /// # Errors
    /// When the addresses are not of one family, or not a host's.
    pub fn new(
        id: u64,
        transport: Transport,
        source: SocketAddr,
        destination: SocketAddr,
    ) -> Result<Self, SessionError> {
        for address in [source, destination] {
            if address.ip().is_unspecified() {
                return Err(SessionError::Unspecified(address));
            }
        }
        let addresses = match (source, destination) {
            (SocketAddr::V4(source), SocketAddr::V4(destination)) => {
                Addresses::V4 { source: source.ip().octets(), destination: destination.ip().octets() }
            }
            (SocketAddr::V6(source), SocketAddr::V6(destination)) => {
                Addresses::V6 { source: source.ip().octets(), destination: destination.ip().octets() }
            }
            _ => return Err(SessionError::Families(source, destination)),
        };
        let flow = FlowKey {
            vlan: Vid::UNTAGGED,
            addresses,
            source_port: source.port(),
            destination_port: destination.port(),
            transport,
        };
        let [in_lif, out_lif] = [1, 2].map(|id| Lif::new(id).expect("1 and 2 are not 0"));
        Ok(Self(SessionSpec {
            id: SessionId(id),
            in_lif,
            out_lif,
            flow,
            out_vlan: Vid::UNTAGGED,
            tunnel: Tunnel::None,
            action: Action::Forward,
            timeout_seconds: 0,
        }))
    }

    /// The interfaces by which "in" enters and leaves.
    #[must_use]
    pub fn lifs(mut self, in_lif: Lif, out_lif: Lif) -> Self {
        self.0.in_lif = in_lif;
        self.0.out_lif = out_lif;
        self
    }

    /// The VLAN on both sides.
    #[must_use]
    pub fn vlan(mut self, vlan: Vid) -> Self {
        self.0.flow.vlan = vlan;
        self.0.out_vlan = vlan;
        self
    }

    /// The VLAN on either side; the tag is rewritten on the way.
    ///
    /// # Errors
    /// When one side is untagged and the other not.
    pub fn vlans(mut self, inside: Vid, outside: Vid) -> Result<Self, SessionError> {
        if inside.is_untagged() != outside.is_untagged() {
            return Err(SessionError::VlanOneSided);
        }
        self.0.flow.vlan = inside;
        self.0.out_vlan = outside;
        Ok(self)
    }

    /// What the device does with its packets.
    #[must_use]
    pub fn action(mut self, action: Action) -> Self {
        self.0.action = action;
        self
    }

    /// Idle time after which it closes, both directions; 0 for the device's default.
    #[must_use]
    pub fn timeout_seconds(mut self, seconds: u32) -> Self {
        self.0.timeout_seconds = seconds;
        self
    }

    /// All of it.
    pub const fn spec(&self) -> &SessionSpec {
        &self.0
    }
}

impl From<SessionSpec> for Session {
    fn from(spec: SessionSpec) -> Self {
        Self(spec)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(source: &str, destination: &str) -> Result<Session, SessionError> {
        Session::new(7, Transport::Udp, source.parse().unwrap(), destination.parse().unwrap())
    }

    #[test]
    fn what_is_not_said_has_a_default() {
        let spec = session("10.0.0.1:53", "10.0.0.2:54").unwrap().spec().clone();
        assert_eq!(spec.flow.to_string(), "udp 10.0.0.1:53 > 10.0.0.2:54");
        assert_eq!((spec.in_lif.get(), spec.out_lif.get(), spec.out_vlan), (1, 2, Vid::UNTAGGED));
        assert_eq!((spec.action, spec.timeout_seconds), (Action::Forward, 0));
    }

    #[test]
    fn two_families_are_no_session() {
        let error = session("10.0.0.1:53", "[2001:db8::1]:54").unwrap_err().to_string();
        assert_eq!(error, "10.0.0.1:53 and [2001:db8::1]:54 are not of one family: both must be IPv4, or both IPv6");
    }

    #[test]
    fn nobody_has_the_unspecified_address() {
        assert_eq!(session("0.0.0.0:1", "10.0.0.1:1").unwrap_err().to_string(), "0.0.0.0:1: no host has this address");
        assert_eq!(session("[2001:db8::1]:1", "[::]:1").unwrap_err().to_string(), "[::]:1: no host has this address");
    }

    #[test]
    fn a_vlan_on_one_side_is_refused() {
        let session = session("10.0.0.1:53", "10.0.0.2:54").unwrap();
        let vid = |vid| Vid::new(vid).unwrap();
        assert_eq!(session.clone().vlans(vid(0), vid(5)), Err(SessionError::VlanOneSided));
        assert_eq!(session.clone().vlans(vid(5), vid(0)), Err(SessionError::VlanOneSided));
        let spec = session.clone().vlans(vid(5), vid(6)).unwrap().spec().clone();
        assert_eq!((spec.flow.vlan, spec.out_vlan), (vid(5), vid(6)));
        let spec = session.vlan(vid(5)).spec().clone();
        assert_eq!((spec.flow.vlan, spec.out_vlan), (vid(5), vid(5)));
    }
}
