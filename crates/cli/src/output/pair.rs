//! A pair of devices, as one of them sees it.

use std::time::Duration;

use opof_client::{Pair, PairPeer, PairRole, PairStanding};
use serde_json::{Value, json};

use super::uptime;

/// The pair, and whether the device is fit to be active, where that was asked.
pub(crate) fn view(pair: &Pair, is_fit: Option<bool>, json: bool) -> String {
    if json { pair_json(pair, is_fit).to_string() } else { pair_text(pair, is_fit) }
}

fn pair_text(pair: &Pair, is_fit: Option<bool>) -> String {
    let PairPeer { node, api, heard_ago, role } = &pair.peer;
    let heard = heard_ago.map_or_else(|| "never heard".to_owned(), |ago| format!("heard {} ago", seconds(ago)));
    let handing_over = if pair.is_handing_over { ", handing over" } else { "" };
    let sync = if pair.sync { "an add waits for the standby" } else { "an add does not wait for the standby" };
    let mut lines = vec![
        ("node", pair.node.clone()),
        ("role", format!("{} for {} ({}){handing_over}", pair.role.name(), uptime(pair.role_age), pair.role_why)),
        ("term", pair.term.to_string()),
        ("election", pair.election.clone()),
        ("sync", sync.to_owned()),
        ("peer", format!("{node}, API at {api}, {}, {heard}", role.name())),
    ];
    if pair.role == PairRole::Active {
        let standing = pair.standing.map_or("unknown", PairStanding::name);
        lines.push(("standby", format!("{standing}, {} changes behind {}", pair.lag, pair.change)));
        lines.push(("awaiting", format!("{} ended sessions that the standby has not let go", pair.awaiting)));
    } else {
        let current = pair.current_for.map_or_else(
            || "not as good as the active's".to_owned(),
            |left| format!("as good as the active's for {} at least", seconds(left)),
        );
        lines.push(("table", format!("{current}, at change {}", pair.change)));
    }
    if let Some(is_fit) = is_fit {
        lines.push(("fit", if is_fit { "yes" } else { "no: not to be active" }.to_owned()));
    }
    lines.iter().map(|(name, value)| format!("{name:<9} {value}")).collect::<Vec<_>>().join("\n")
}

/// To the millisecond: what matters here is often less than a second.
fn seconds(time: Duration) -> String {
    format!("{}.{:03} s", time.as_secs(), time.subsec_millis())
}

fn pair_json(pair: &Pair, is_fit: Option<bool>) -> Value {
    let PairPeer { node, api, heard_ago, role } = &pair.peer;
    let mut value = json!({
        "node": pair.node,
        "role": pair.role.name(),
        "term": pair.term,
        "role_age_seconds": pair.role_age.as_secs_f64(),
        "role_why": pair.role_why,
        "election": pair.election,
        "sync": pair.sync,
        "handing_over": pair.is_handing_over,
        "peer": {
            "node": node,
            "api": api,
            "heard_ago_seconds": heard_ago.map(|ago| ago.as_secs_f64()),
            "role": role.name(),
        },
        "standing": pair.standing.map(PairStanding::name),
        "change": pair.change,
        "lag": pair.lag,
        "awaiting": pair.awaiting,
        "current_for_seconds": pair.current_for.map(|left| left.as_secs_f64()),
    });
    if let Some(is_fit) = is_fit {
        value["fit"] = is_fit.into();
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn active() -> Pair {
        Pair {
            node: "opof-a".to_owned(),
            role: PairRole::Active,
            term: 7,
            role_age: Duration::from_secs(75),
            role_why: "elected".to_owned(),
            election: "etcd".to_owned(),
            sync: true,
            is_handing_over: false,
            peer: PairPeer {
                node: "opof-b".to_owned(),
                api: "192.0.2.2:3443".to_owned(),
                heard_ago: Some(Duration::from_millis(250)),
                role: PairRole::Standby,
            },
            standing: Some(PairStanding::In),
            change: 120,
            lag: 4,
            awaiting: 5,
            current_for: None,
        }
    }

    fn standby() -> Pair {
        Pair {
            role: PairRole::Standby,
            role_why: "start".to_owned(),
            sync: false,
            standing: None,
            current_for: Some(Duration::from_millis(1900)),
            ..active()
        }
    }

    #[test]
    fn a_pair_for_people() {
        let expected = "\
node      opof-a
role      active for 1 min 15 s (elected)
term      7
election  etcd
sync      an add waits for the standby
peer      opof-b, API at 192.0.2.2:3443, standby, heard 0.250 s ago
standby   in, 4 changes behind 120
awaiting  5 ended sessions that the standby has not let go
fit       yes";
        assert_eq!(view(&active(), Some(true), false), expected);
        let handing = view(&Pair { is_handing_over: true, ..active() }, None, false);
        assert!(handing.contains("(elected), handing over\n") && !handing.contains("fit"), "{handing}");
        let text = view(&standby(), Some(false), false);
        assert!(text.contains("\ntable     as good as the active's for 1.900 s at least, at change 120\n"), "{text}");
        assert!(text.ends_with("\nfit       no: not to be active"), "{text}");
        let peer = PairPeer { heard_ago: None, role: PairRole::Unknown, ..active().peer };
        let text = view(&Pair { peer, current_for: None, ..standby() }, None, false);
        assert!(text.contains(", unknown, never heard\n") && text.contains("not as good as the active's"), "{text}");
    }

    #[test]
    fn a_pair_for_programs() {
        let value: Value = serde_json::from_str(&view(&active(), Some(true), true)).unwrap();
        let expected = json!({
            "node": "opof-a", "role": "active", "term": 7, "role_age_seconds": 75.0, "role_why": "elected", "election": "etcd",
            "sync": true, "handing_over": false, "standing": "in", "change": 120, "lag": 4, "awaiting": 5,
            "current_for_seconds": null, "fit": true,
            "peer": {"node": "opof-b", "api": "192.0.2.2:3443", "heard_ago_seconds": 0.25, "role": "standby"},
        });
        assert_eq!(value, expected);
        let value: Value = serde_json::from_str(&view(&standby(), None, true)).unwrap();
        assert_eq!((&value["current_for_seconds"], value.get("fit")), (&json!(1.9), None));
    }
}
