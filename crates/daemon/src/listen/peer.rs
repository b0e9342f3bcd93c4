//! Who is at the other end of a connection, and what that one may do.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::gate::Place;
use crate::access::{Access, Role};
use crate::account::Account;
use crate::config::KnownClient;
use crate::tls::{Identity, Unidentified};

/// Where a connection comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Origin {
    /// An address.
    Tcp(SocketAddr),
    /// A Unix socket; the user at its other end, where the kernel says.
    Unix(Option<u32>),
}

impl Origin {
    /// Whom to count as one client when there is no certificate: a host (an IPv6 one has a whole /64), or a user.
    pub(super) fn client(self) -> String {
        match self {
            Self::Tcp(SocketAddr::V4(address)) => format!("ip {}", address.ip()),
            Self::Tcp(SocketAddr::V6(address)) => {
                let [a, b, c, d, ..] = address.ip().segments();
                let network = || format!("ip {a:x}:{b:x}:{c:x}:{d:x}::/64");
                address.ip().to_ipv4_mapped().map_or_else(network, |v4| format!("ip {v4}"))
            }
            Self::Unix(Some(user)) => format!("user {user}"),
            Self::Unix(None) => "unknown user".to_owned(),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(Some(user)) => write!(f, "unix:user {user}"),
            Self::Unix(None) => f.write_str("unix"),
        }
    }
}

/// Why a client may make no call at all, or not this one.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum Denial {
    /// Nobody knows who it is.
    #[error("{0}")]
    Unidentified(Unidentified),
    /// It is known and has no role.
    #[error("client {0} has no role here; a [[client]] section with this name gives it one")]
    NoRole(Identity),
    /// Its role is another.
    #[error("{client} has role {role}, which may not call {call}", role = .role.name())]
    Role {
        /// Who.
        client: String,
        /// As what.
        role: Role,
        /// What it has called.
        call: String,
    },
    /// It has too many connections.
    #[error("one client may have {0} connections (half of limits.connections)")]
    Places(u32),
    /// Nobody may end this daemon.
    #[error("shutdown by a call is not allowed here; shutdown = true in the [[listener]] section allows it")]
    Shutdown,
}

/// What a listener grants.
#[derive(Clone, Debug)]
pub(crate) struct Grants {
    /// Clients that are known by name.
    pub(crate) clients: Arc<[KnownClient]>,
    /// The role of all others.
    pub(crate) role: Option<Role>,
    /// May anybody end the daemon?
    pub(crate) shutdown: bool,
}

impl Grants {
    /// The role of a client; `None` for one that did not have to say who it is.
    pub(super) fn role(&self, identity: Option<&Identity>) -> Option<Role> {
        let named = identity.and_then(|identity| {
            let client = self.clients.iter().find(|client| identity.has(&client.name))?;
            Some(client.role)
        });
        named.or(self.role)
    }
}

/// The peer of a connection, as each of its calls finds it.
#[derive(Clone, Debug)]
pub(crate) struct Peer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    origin: Origin,
    name: Option<Identity>,
    standing: Result<Role, Denial>,
    shutdown: bool,
    account: Arc<Account>,
    place: Arc<Place>,
    /// Has it made a call, so that it keeps its place?
    is_settled: AtomicBool,
    /// Has a call of this connection been refused and logged already?
    is_told: AtomicBool,
}

impl Peer {
    pub(super) fn new(
        origin: Origin,
        identity: Option<Result<Identity, Unidentified>>,
        grants: &Grants,
        account: Arc<Account>,
        place: Arc<Place>,
    ) -> Self {
        let (name, standing) = match identity {
            Some(Err(why)) => (None, Err(Denial::Unidentified(why))),
            Some(Ok(identity)) => {
                let role = grants.role(Some(&identity)).ok_or_else(|| Denial::NoRole(identity.clone()));
                (Some(identity), role)
            }
            // A listener that asks for no certificate has a role for everybody.
            None => (None, grants.role(None).ok_or(Denial::Unidentified(Unidentified::NoCertificate))),
        };
        let shutdown = grants.shutdown;
        let [is_settled, is_told] = [AtomicBool::new(false), AtomicBool::new(false)];
        Self(Arc::new(Inner { origin, name, standing, shutdown, account, place, is_settled, is_told }))
    }

    /// What it may have, with all its connections.
    pub(crate) fn account(&self) -> &Arc<Account> {
        &self.0.account
    }

    /// It has made a call that it may make, and keeps its place; unless its client has too many.
    pub(crate) fn settle(&self) -> Result<(), Denial> {
        if self.0.is_settled.load(Ordering::Relaxed) {
            return Ok(());
        }
        if !self.0.account.take_place() {
            return Err(Denial::Places(self.0.account.most_places()));
        }
        if self.0.is_settled.swap(true, Ordering::Relaxed) {
            // Another call of this connection was first.
            self.0.account.leave_place();
        } else {
            self.0.place.settle();
        }
        Ok(())
    }

    /// May it make the call of this gRPC path?
    pub(crate) fn may(&self, path: &str) -> Result<(), Denial> {
        let access = Access::of_path(path);
        let role = self.0.standing.clone()?;
        if access.is_granted(role, self.0.shutdown) {
            return Ok(());
        }
        if access == Access::Shutdown && !self.0.shutdown {
            return Err(Denial::Shutdown);
        }
        let call = path.rsplit('/').next().unwrap_or_default().to_owned();
        Err(Denial::Role { client: self.to_string(), role, call })
    }

    /// True the first time: a refused client is logged once, not with each call.
    pub(crate) fn tell_once(&self) -> bool {
        !self.0.is_told.swap(true, Ordering::Relaxed)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if *self.is_settled.get_mut() {
            self.account.leave_place();
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.name {
            Some(name) => write!(f, "{name} ({})", self.0.origin),
            None => self.0.origin.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_one_client_and_so_is_an_ipv6_network() {
        let client = |text: &str| Origin::Tcp(text.parse().unwrap()).client();
        assert_eq!(client("192.0.2.1:1"), client("192.0.2.1:2"));
        assert_eq!(client("[::ffff:192.0.2.1]:1"), client("192.0.2.1:1"));
        assert_ne!(client("192.0.2.1:1"), client("192.0.2.2:1"));
        assert_eq!(client("[2001:db8::1]:1"), client("[2001:db8::2]:1"));
        assert_ne!(client("[2001:db8::1]:1"), client("[2001:db8:0:1::1]:1"));
    }
}
