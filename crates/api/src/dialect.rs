//! The published dialects of the API: what each is called, which calls it has, and which fields of the common messages.

use core::fmt;
use std::borrow::Cow;

/// A published dialect.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Dialect {
    /// `openoffload.v1`, the first release.
    #[default]
    V1,
    /// `openoffload.v1_1`: v1, GTP-U, and shutdown by request.
    V1_1,
    /// `openoffload.v1beta1`: v1 for routed devices.
    V1Beta1,
    /// `openoffload.v2`: v1 under other names.
    V2,
}

/// A call of the service `SessionTable`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Method {
    /// Offload sessions.
    AddSession,
    /// One session.
    GetSession,
    /// Take a session back.
    DeleteSession,
    /// A page of sessions.
    GetAllSessions,
    /// Sessions that have closed.
    GetClosedSessions,
    /// v1.1: end the server.
    ShutdownServer,
    /// v1beta1: who made the server.
    GetServiceVersion,
    /// v1beta1: close all sessions.
    Reset,
    /// v1beta1: make or replace a next hop.
    SetNextHop,
    /// v1beta1: take a next hop away.
    DestroyNextHop,
    /// v1beta1: take all next hops away.
    ClearNextHops,
    /// v1beta1: steer a VLAN's misses.
    AddVlanFlow,
    /// v1beta1: stop that for one VLAN.
    RemoveVlanFlow,
    /// v1beta1: all VLAN flows.
    GetVlanFlows,
    /// v1beta1: stop that for all VLANs.
    ClearVlanFlows,
}

impl Method {
    /// Every one, those that all dialects have first.
    pub const ALL: [Self; 15] = [
        Self::AddSession,
        Self::GetSession,
        Self::DeleteSession,
        Self::GetAllSessions,
        Self::GetClosedSessions,
        Self::ShutdownServer,
        Self::GetServiceVersion,
        Self::Reset,
        Self::SetNextHop,
        Self::DestroyNextHop,
        Self::ClearNextHops,
        Self::AddVlanFlow,
        Self::RemoveVlanFlow,
        Self::GetVlanFlows,
        Self::ClearVlanFlows,
    ];

    /// As v1 spells it.
    const fn name(self) -> &'static str {
        match self {
            Self::AddSession => "addSession",
            Self::GetSession => "getSession",
            Self::DeleteSession => "deleteSession",
            Self::GetAllSessions => "getAllSessions",
            Self::GetClosedSessions => "getClosedSessions",
            Self::ShutdownServer => "shutdownServer",
            Self::GetServiceVersion => "getServiceVersion",
            Self::Reset => "reset",
            Self::SetNextHop => "setNextHop",
            Self::DestroyNextHop => "destroyNextHop",
            Self::ClearNextHops => "clearNextHops",
            Self::AddVlanFlow => "addVlanFlow",
            Self::RemoveVlanFlow => "removeVlanFlow",
            Self::GetVlanFlows => "getVlanFlows",
            Self::ClearVlanFlows => "clearVlanFlows",
        }
    }
}

impl Dialect {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::V1, Self::V1_1, Self::V1Beta1, Self::V2];

    /// As people write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V1_1 => "v1.1",
            Self::V1Beta1 => "v1beta1",
            Self::V2 => "v2",
        }
    }

    /// The one of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dialect| dialect.name() == name)
    }

    /// The gRPC service, package included.
    pub const fn service(self) -> &'static str {
        match self {
            Self::V1 => "openoffload.v1.SessionTable",
            Self::V1_1 => "openoffload.v1_1.SessionTable",
            Self::V1Beta1 => "openoffload.v1beta1.SessionTable",
            Self::V2 => "openoffload.v2.SessionTable",
        }
    }

    /// True when it has the call.
    pub const fn has(self, method: Method) -> bool {
        match method {
            Method::AddSession
            | Method::GetSession
            | Method::DeleteSession
            | Method::GetAllSessions
            | Method::GetClosedSessions => true,
            Method::ShutdownServer => matches!(self, Self::V1_1),
            _ => matches!(self, Self::V1Beta1),
        }
    }

    /// Name of a call.
    pub fn method(self, method: Method) -> Cow<'static, str> {
        let name = method.name();
        match self {
            Self::V2 => Cow::Owned([&name[..1].to_ascii_uppercase(), &name[1..]].concat()),
            Self::V1 | Self::V1_1 | Self::V1Beta1 => Cow::Borrowed(name),
        }
    }

    /// The gRPC path of a call.
    pub fn path(self, method: Method) -> String {
        format!("/{}/{}", self.service(), self.method(method))
    }

    /// The call that a gRPC path names, and its dialect.
    pub fn of_path(path: &str) -> Option<(Self, Method)> {
        let (service, name) = path.strip_prefix('/')?.split_once('/')?;
        let dialect = Self::ALL.into_iter().find(|dialect| dialect.service() == service)?;
        let method = Method::ALL.into_iter().find(|method| dialect.has(*method) && dialect.method(*method) == name)?;
        Some((dialect, method))
    }

    /// Has field 14 of `sessionRequest`: what packets are wrapped in.
    pub const fn has_tunnel(self) -> bool {
        matches!(self, Self::V1_1 | Self::V1Beta1)
    }

    /// Has fields of their own for VLANs, and what happens on each link.
    pub const fn has_links(self) -> bool {
        matches!(self, Self::V1Beta1)
    }

    /// What this dialect calls a field, given v1beta1's name for it.
    pub fn field(self, name: &'static str) -> Cow<'static, str> {
        match self {
            Self::V1_1 if name == "encapType" => Cow::Borrowed("parentTunnelType"),
            Self::V1 | Self::V1_1 | Self::V1Beta1 => Cow::Borrowed(name),
            Self::V2 => Cow::Owned(snake_case(name)),
        }
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// As v2 spells v1's names: `sourceIpV6` is `source_ipv6`, but `actionNextHopV6` is `action_next_hop_v6`.
fn snake_case(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 4);
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake.replace("ip_v6", "ipv6")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_back() {
        assert_eq!(Dialect::V1_1.path(Method::AddSession), "/openoffload.v1_1.SessionTable/addSession");
        assert_eq!(Dialect::V2.path(Method::GetAllSessions), "/openoffload.v2.SessionTable/GetAllSessions");
        for dialect in Dialect::ALL {
            for method in Method::ALL {
                let expected = dialect.has(method).then_some((dialect, method));
                assert_eq!(Dialect::of_path(&dialect.path(method)), expected);
            }
            assert_eq!(Dialect::from_name(dialect.name()), Some(dialect));
        }
        for path in ["", "/", "/openoffload.v1.SessionTable", "/openoffload.v3.SessionTable/getSession", "getSession"] {
            assert_eq!(Dialect::of_path(path), None, "{path}");
        }
    }

    #[test]
    fn fields_go_by_the_names_of_their_dialect() {
        assert_eq!(Dialect::V2.field("sourceIpV6"), "source_ipv6");
        assert_eq!(Dialect::V2.field("action.actionNextHopV6"), "action.action_next_hop_v6");
        assert_eq!(Dialect::V1_1.field("encapType"), "parentTunnelType");
        assert_eq!(Dialect::V1.field("inLif"), "inLif");
    }
}
