//! A session to be offloaded, put together and checked before it is sent.

use std::net::{IpAddr, SocketAddr};

use opof_session::l3::{Link, Links, Nat, Tunnel};
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
    /// A translation from one family to the other.
    #[error("{0}: not of the session's family; addresses are not translated from IPv4 to IPv6 or back")]
    NatFamily(IpAddr),
    /// A translation to 0.0.0.0 or ::.
    #[error("{0}: no packet can be translated to this address")]
    NatUnspecified(IpAddr),
    /// A link gives a VLAN to packets that have none.
    #[error(
        "{0} on a link of an untagged session: a tag can be rewritten, not pushed; give the session its VLANs first"
    )]
    VlanPushed(Vid),
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
            tunnel: Tunnel::None,
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

    /// What its packets are wrapped in; addresses, ports and protocol are those of the inner packet then. v1.1 and
    /// v1beta1 have words for it.
    #[must_use]
    pub fn tunnel(mut self, tunnel: Tunnel) -> Self {
        self.0.flow.tunnel = tunnel;
        self
    }

    /// Forwards it, and changes on each link exactly what is said here: where packets go (their MAC addresses, and TTL
    /// or hop limit), their source, their destination, their VLAN. v1beta1 has words for it. The reply to what is
    /// translated is translated back by itself, but for what goes through a tunnel: that is translated at its outermost
    /// headers, as each link says. Comes after [`vlan`](Self::vlan) or [`vlans`](Self::vlans), and [`tunnel`](Self::tunnel).
    ///
    /// # Errors
    /// When an address is of another family or no host's, or a VLAN is for untagged packets.
    pub fn links(mut self, links: Links) -> Result<Self, SessionError> {
        for (link, arrives_with) in [(&links.towards_in, self.0.out_vlan), (&links.towards_out, self.0.flow.vlan)] {
            for Nat { address, .. } in link.snat.iter().chain(&link.dnat) {
                // Through a tunnel it is the outermost packet that is translated, of either family.
                let tunnelled = self.0.flow.tunnel != Tunnel::None;
                if !tunnelled && address.is_ipv4() != self.0.flow.addresses.source().is_ipv4() {
                    return Err(SessionError::NatFamily(*address));
                }
                if address.is_unspecified() {
                    return Err(SessionError::NatUnspecified(*address));
                }
            }
            if let Some(vlan) = link.vlan.filter(|vlan| !vlan.is_untagged() && arrives_with.is_untagged()) {
                return Err(SessionError::VlanPushed(vlan));
            }
        }
        self.0.action = Action::Route(Box::new(links));
        Ok(self)
    }

    /// The same for packets that leave by the "out" interface; the other link stays as it is.
    ///
    /// # Errors
    /// As of [`links`](Self::links).
    pub fn link_out(self, link: Link) -> Result<Self, SessionError> {
        let links = self.links_so_far();
        self.links(Links { towards_out: link, ..links })
    }

    /// The same for packets that leave by the "in" interface; the other link stays as it is.
    ///
    /// # Errors
    /// As of [`links`](Self::links).
    pub fn link_in(self, link: Link) -> Result<Self, SessionError> {
        let links = self.links_so_far();
        self.links(Links { towards_in: link, ..links })
    }

    fn links_so_far(&self) -> Links {
        match &self.0.action {
            Action::Route(links) => **links,
            _ => Links::default(),
        }
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
    fn each_link_has_what_it_was_given() {
        let nat = |address: &str| Some(Nat { address: address.parse().unwrap(), port: None });
        let (out, back) =
            (Link { snat: nat("192.0.2.1"), ..Link::default() }, Link { vlan: Vid::new(7), ..Link::default() });
        let plain = session("10.0.0.1:53", "10.0.0.2:54").unwrap().vlan(Vid::new(5).unwrap()).tunnel(Tunnel::Gtpu);
        let both = plain.clone().link_out(out).unwrap().link_in(back).unwrap();
        let links = Links { towards_in: back, towards_out: out };
        assert_eq!(both.spec().action, Action::Route(Box::new(links)));
        assert_eq!(both, plain.links(links).unwrap());
        assert_eq!(both.spec().flow.tunnel, Tunnel::Gtpu);
    }

    #[test]
    fn a_link_that_no_device_could_do_is_refused() {
        let plain = session("10.0.0.1:53", "10.0.0.2:54").unwrap();
        let nat = |address: &str| Some(Nat { address: address.parse().unwrap(), port: None });
        let said = |link| plain.clone().link_out(link).unwrap_err().to_string();
        assert!(
            said(Link { dnat: nat("2001:db8::1"), ..Link::default() }).starts_with("2001:db8::1: not of the session's")
        );
        assert!(said(Link { snat: nat("0.0.0.0"), ..Link::default() }).starts_with("0.0.0.0: no packet can be"));
        assert!(said(Link { vlan: Vid::new(7), ..Link::default() }).starts_with("vlan 7 on a link of an untagged"));
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
