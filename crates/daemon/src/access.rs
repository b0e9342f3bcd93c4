//! Who may do what: roles, and which call needs which.
//!
//! What lives here: the decision. What must not: certificates (`tls`), connections (`listen`), the call itself.

use opof_api::dialect::{Dialect, Method};

/// What a client is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Role {
    /// Only looks: one session, lists, the device.
    Reader,
    /// The sessions: everything that a dialect of the API has.
    Firewall,
    /// Everything.
    Operator,
}

impl Role {
    /// Every one, by its name.
    pub const NAMED: [(&'static str, Self); 3] =
        [("reader", Self::Reader), ("firewall", Self::Firewall), ("operator", Self::Operator)];

    /// As the configuration writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reader => "reader",
            Self::Firewall => "firewall",
            Self::Operator => "operator",
        }
    }
}

/// What a call does, as far as permission goes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Access {
    /// Health, reflection, the version of the service: for everybody who has a role.
    Ask,
    /// Looks at sessions and changes nothing. Closed sessions are no such call: what was read is gone.
    Read,
    /// Changes sessions or what they refer to, or collects closed ones.
    Change,
    /// Looks at the device itself.
    Device,
    /// Says what the device is in its pair.
    Pair,
    /// Ends the daemon.
    Shutdown,
}

impl Access {
    /// What the call of a gRPC path needs. One that nobody serves needs nothing more than a role: it is answered with
    /// UNIMPLEMENTED.
    pub fn of_path(path: &str) -> Self {
        match Dialect::of_path(path) {
            Some((_, method)) => match method {
                Method::GetServiceVersion => Self::Ask,
                Method::GetSession | Method::GetAllSessions | Method::GetVlanFlows => Self::Read,
                Method::ShutdownServer => Self::Shutdown,
                Method::AddSession
                | Method::DeleteSession
                | Method::GetClosedSessions
                | Method::Reset
                | Method::SetNextHop
                | Method::DestroyNextHop
                | Method::ClearNextHops
                | Method::AddVlanFlow
                | Method::RemoveVlanFlow
                | Method::ClearVlanFlows => Self::Change,
            },
            None if path.starts_with("/opof.device.v1.") => Self::Device,
            None if path == "/opof.pair.v1.Pair/GetPair" => Self::Device,
            None if path.starts_with("/opof.pair.v1.") => Self::Pair,
            None => Self::Ask,
        }
    }

    /// True when `role` may, where `shutdown` says whether anybody may end the daemon by a call.
    pub const fn is_granted(self, role: Role, shutdown: bool) -> bool {
        match self {
            Self::Ask | Self::Read => true,
            Self::Change => matches!(role, Role::Firewall | Role::Operator),
            Self::Device => matches!(role, Role::Reader | Role::Operator),
            Self::Pair => matches!(role, Role::Operator),
            Self::Shutdown => shutdown && matches!(role, Role::Firewall | Role::Operator),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every call and who may make it. Where it changes, the reason belongs into the commit.
    const SNAPSHOT: &str = "\
addSession Change firewall operator
getSession Read reader firewall operator
deleteSession Change firewall operator
getAllSessions Read reader firewall operator
getClosedSessions Change firewall operator
shutdownServer Shutdown
getServiceVersion Ask reader firewall operator
reset Change firewall operator
setNextHop Change firewall operator
destroyNextHop Change firewall operator
clearNextHops Change firewall operator
addVlanFlow Change firewall operator
removeVlanFlow Change firewall operator
getVlanFlows Read reader firewall operator
clearVlanFlows Change firewall operator
/opof.device.v1.Device/GetDevice Device reader operator
/opof.pair.v1.Pair/GetPair Device reader operator
/opof.pair.v1.Pair/Switchover Pair operator
/opof.pair.v1.Pair/Become Pair operator
/opof.pair.v1.Pair/Resync Pair operator
/grpc.health.v1.Health/Check Ask reader firewall operator
/no.such.Service/call Ask reader firewall operator
";

    fn granted(access: Access, shutdown: bool) -> Vec<&'static str> {
        Role::NAMED.iter().filter(|(_, role)| access.is_granted(*role, shutdown)).map(|(name, _)| *name).collect()
    }

    #[test]
    fn every_call_has_its_roles() {
        let mut table = String::new();
        let mut row = |name: &str, access: Access| {
            let words = [
                vec![name.to_owned(), format!("{access:?}")],
                granted(access, false).into_iter().map(str::to_owned).collect(),
            ];
            table += &(words.concat().join(" ") + "\n");
        };
        for method in Method::ALL {
            let dialect = Dialect::ALL.into_iter().find(|dialect| dialect.has(method)).unwrap();
            row(&dialect.method(method), Access::of_path(&dialect.path(method)));
        }
        let paths = [
            "/opof.device.v1.Device/GetDevice",
            "/opof.pair.v1.Pair/GetPair",
            "/opof.pair.v1.Pair/Switchover",
            "/opof.pair.v1.Pair/Become",
            "/opof.pair.v1.Pair/Resync",
            "/grpc.health.v1.Health/Check",
            "/no.such.Service/call",
        ];
        for path in paths {
            row(path, Access::of_path(path));
        }
        assert_eq!(table, SNAPSHOT);
    }

    #[test]
    fn a_call_needs_the_same_in_every_dialect() {
        for method in Method::ALL {
            let mut needs: Vec<_> = Dialect::ALL
                .into_iter()
                .filter(|dialect| dialect.has(method))
                .map(|dialect| Access::of_path(&dialect.path(method)))
                .collect();
            needs.dedup();
            assert_eq!(needs.len(), 1, "{method:?}");
        }
    }

    #[test]
    fn nobody_ends_the_daemon_unless_the_listener_allows_it() {
        assert_eq!(granted(Access::Shutdown, false), [""; 0]);
        assert_eq!(granted(Access::Shutdown, true), ["firewall", "operator"]);
    }
}
