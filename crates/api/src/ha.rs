//! What a device says of its pair, to the operator's API.

use opof_session::ha::term::Role;
use opof_session::ha::{Standing, Status, Why};
use opof_session::types::Moment;

use crate::pair;

/// What a device of a pair knows from its configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PairFacts {
    /// Its name.
    pub node: String,
    /// The other device's.
    pub peer_node: String,
    /// Where the other device's API is reached, `host:port`.
    pub peer_api: String,
    /// Who says which is active: `etcd`, `external`, `fixed`.
    pub election: &'static str,
    /// An addSession is answered when the standby has the sessions, too.
    pub sync: bool,
}

/// How the pair stands at `now`, as one of its devices sees it.
pub fn pair_response(status: &Status, facts: &PairFacts, now: Moment) -> pair::GetPairResponse {
    let Status { role, term, peer, standing, position, lag, awaiting, current_until, is_handing_over, since, why } =
        *status;
    // All of them fit: they fail for more than 292 billion years.
    let age = |moment| now.saturating_since(moment).try_into().ok();
    let is_current = role == Role::Standby && current_until > now;
    pair::GetPairResponse {
        node: facts.node.clone(),
        role: message_role(role).into(),
        term: term.0,
        role_age: age(since),
        role_why: why_name(why).to_owned(),
        election: facts.election.to_owned(),
        sync: facts.sync,
        is_handing_over,
        peer: Some(pair::Peer {
            node: facts.peer_node.clone(),
            api: facts.peer_api.clone(),
            heard_ago: peer.and_then(|(_, heard)| age(heard)),
            role: peer.map_or(pair::Role::Unspecified, |(role, _)| message_role(role)).into(),
        }),
        standing: standing.map_or(pair::Standing::Unspecified, message_standing).into(),
        change: position.change,
        lag,
        awaiting: awaiting as u64,
        current_for: is_current.then(|| current_until.saturating_since(now).try_into().ok()).flatten(),
    }
}

/// What a device is to be; `None` where the message does not say it.
pub const fn role(role: pair::Role) -> Option<Role> {
    match role {
        pair::Role::Unspecified => None,
        pair::Role::Active => Some(Role::Active),
        pair::Role::Standby => Some(Role::Standby),
    }
}

const fn message_role(role: Role) -> pair::Role {
    match role {
        Role::Active => pair::Role::Active,
        Role::Standby => pair::Role::Standby,
    }
}

const fn message_standing(standing: Standing) -> pair::Standing {
    match standing {
        Standing::Out => pair::Standing::Out,
        Standing::Entering { .. } => pair::Standing::Entering,
        Standing::In => pair::Standing::In,
        Standing::Leaving => pair::Standing::Leaving,
    }
}

/// As the API writes it.
const fn why_name(why: Why) -> &'static str {
    match why {
        Why::Start => "start",
        Why::Elected => "elected",
        Why::ElectedAnew => "elected-anew",
        Why::Told => "told",
        Why::Handover => "handover",
        Why::LeaseOver => "lease-over",
        Why::HigherTerm => "higher-term",
    }
}

#[cfg(test)]
mod tests {
    use opof_session::ha::Term;
    use opof_session::ha::term::Position;

    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const NOW: Moment = Moment(100 * SECOND);

    fn facts() -> PairFacts {
        PairFacts {
            node: "opof-a".to_owned(),
            peer_node: "opof-b".to_owned(),
            peer_api: "192.0.2.2:3443".to_owned(),
            election: "etcd",
            sync: true,
        }
    }

    fn status() -> Status {
        Status {
            role: Role::Active,
            term: Term(1),
            peer: Some((Role::Standby, Moment(98 * SECOND))),
            standing: Some(Standing::In),
            position: Position { term: Term(10), change: 3 },
            lag: 4,
            awaiting: 5,
            current_until: Moment(106 * SECOND),
            is_handing_over: true,
            since: Moment(93 * SECOND),
            why: Why::Elected,
        }
    }

    const fn seconds(seconds: i64) -> prost_types::Duration {
        prost_types::Duration { seconds, nanos: 0 }
    }

    #[test]
    fn no_two_figures_are_mixed_up() {
        let active = pair::GetPairResponse {
            node: "opof-a".to_owned(),
            role: pair::Role::Active.into(),
            term: 1,
            role_age: Some(seconds(7)),
            role_why: "elected".to_owned(),
            election: "etcd".to_owned(),
            sync: true,
            is_handing_over: true,
            peer: Some(pair::Peer {
                node: "opof-b".to_owned(),
                api: "192.0.2.2:3443".to_owned(),
                heard_ago: Some(seconds(2)),
                role: pair::Role::Standby.into(),
            }),
            standing: pair::Standing::In.into(),
            change: 3,
            lag: 4,
            awaiting: 5,
            // An active is what its standby is to be as good as.
            current_for: None,
        };
        assert_eq!(pair_response(&status(), &facts(), NOW), active);
        let standby = Status { role: Role::Standby, standing: None, is_handing_over: false, ..status() };
        let answer = pair_response(&standby, &PairFacts { sync: false, ..facts() }, NOW);
        assert_eq!((answer.role(), answer.standing()), (pair::Role::Standby, pair::Standing::Unspecified));
        assert_eq!((answer.current_for, answer.sync, answer.is_handing_over), (Some(seconds(6)), false, false));
    }

    #[test]
    fn what_is_not_known_is_not_said() {
        let alone = Status { role: Role::Standby, peer: None, current_until: NOW, ..status() };
        let answer = pair_response(&alone, &facts(), NOW);
        let peer = answer.peer.unwrap();
        assert_eq!((peer.heard_ago, peer.role), (None, pair::Role::Unspecified.into()));
        assert_eq!(answer.current_for, None, "it was, until just now");
    }

    #[test]
    fn a_role_there_and_back() {
        for role in [Role::Active, Role::Standby] {
            assert_eq!(super::role(message_role(role)), Some(role));
        }
        assert_eq!(role(pair::Role::Unspecified), None);
    }
}
