//! Sessions with one wrong field: refused, and the others of their stream are not affected.

use opof_api::v1::{ActionParameters, ActionType, SessionRequest};

use super::table;
use crate::bench::{Bench, failed, ipv6, untagged};
use crate::case::{Check, holds};

table! {
    Required BadInput "bad-port" ALWAYS port
        "A port over 65535 is refused";
    Required BadInput "bad-ipv6-length" ALWAYS ipv6_length
        "An IPv6 address that is not 16 bytes is refused";
    Required BadInput "bad-protocol" ALWAYS protocol
        "A protocol other than TCP and UDP is refused, HOPOPT and ICMP too";
    Required BadInput "bad-action-type" ALWAYS action_type
        "An unknown action is refused";
    Required BadInput "bad-action-missing" ALWAYS action_missing
        "A session without an action is refused";
    Required BadInput "bad-copy-without-next-hop" ALWAYS copy_without_next_hop
        "MIRROR and SNOOP without a next hop are refused";
    Required BadInput "bad-lif" ALWAYS lif
        "An interface that the device does not have is refused";
    Required BadInput "bad-tunnel-type" TUNNELS tunnel_type
        "An unknown tunnel type is refused";
    Advisory BadInput "bad-ip-version" ALWAYS ip_version
        "An unknown version of IP is refused";
}

/// Sends all of them in one stream between two good ones.
async fn refused(bench: &mut Bench, bad: Vec<(String, SessionRequest)>) -> Check {
    let last = bad.len() as u64 + 1;
    let mut sessions = vec![bench.session(0)];
    let mut expected = Vec::new();
    for (n, (what, session)) in (1..).zip(bad) {
        // Whatever was made wrong, the id is the case's own.
        expected.push((bench.id(n), what));
        sessions.push(SessionRequest { session_id: bench.id(n), ..session });
    }
    sessions.push(bench.session(last));
    let response = bench.add(sessions).await?;
    let named: Vec<u64> = failed(&response).iter().map(|(id, _)| *id).collect();
    for (id, what) in &expected {
        holds(named.contains(id), || format!("a session with {what} to be refused"), || "accepted".to_owned())?;
        bench.gone(*id).await?;
    }
    for id in [bench.id(0), bench.id(last)] {
        holds(
            !named.contains(&id),
            || "good sessions of a stream with bad ones to be accepted".to_owned(),
            || format!("session {id} is refused"),
        )?;
        bench.live(id).await?;
    }
    Ok(())
}

async fn port(bench: &mut Bench) -> Check {
    let mut bad = Vec::new();
    for (n, port) in (1..).step_by(2).zip([65_536, 65_536 + 443, u32::MAX]) {
        bad.push((format!("sourcePort {port}"), SessionRequest { source_port: port, ..bench.session(n) }));
        let other = SessionRequest { destination_port: port, ..bench.session(n + 1) };
        bad.push((format!("destinationPort {port}"), other));
    }
    refused(bench, bad).await
}

async fn ipv6_length(bench: &mut Bench) -> Check {
    let mut bad = Vec::new();
    for (n, bytes) in (1..).step_by(2).zip([0, 4, 15, 17, 32]) {
        let address = vec![0x20; bytes];
        let source = SessionRequest { source_ip_v6: address.clone(), ..ipv6(bench.session(n)) };
        bad.push((format!("a sourceIpV6 of {bytes} bytes"), source));
        let destination = SessionRequest { destination_ip_v6: address, ..ipv6(bench.session(n + 1)) };
        bad.push((format!("a destinationIpV6 of {bytes} bytes"), destination));
    }
    refused(bench, bad).await
}

async fn protocol(bench: &mut Bench) -> Check {
    // The last but one is TCP to those who look at 8 bits only.
    let wrong = [0, 1, 47, 58, 132, 255, 256 + 6, -1];
    let one = |(n, protocol)| {
        let session = SessionRequest { protocol_id: protocol, ..bench.session(n) };
        (format!("protocolId {protocol}"), session)
    };
    let bad = (1..).zip(wrong).map(one).collect();
    refused(bench, bad).await
}

fn with_action(session: SessionRequest, action: Option<ActionParameters>) -> SessionRequest {
    SessionRequest { action, ..session }
}

async fn action_type(bench: &mut Bench) -> Check {
    let one = |(n, action_type)| {
        let action = ActionParameters { action_type, ..ActionParameters::default() };
        (format!("actionType {action_type}"), with_action(bench.session(n), Some(action)))
    };
    let bad = (1..).zip([4, 255, -1]).map(one).collect();
    refused(bench, bad).await
}

async fn action_missing(bench: &mut Bench) -> Check {
    let bad = vec![("no action".to_owned(), with_action(bench.session(1), None))];
    refused(bench, bad).await
}

async fn copy_without_next_hop(bench: &mut Bench) -> Check {
    let one = |(n, kind): (u64, ActionType)| {
        let action = ActionParameters { action_type: kind.into(), ..ActionParameters::default() };
        (format!("{} and no next hop", kind.as_str_name()), with_action(bench.session(n), Some(action)))
    };
    let bad = (1..).zip([ActionType::Mirror, ActionType::Snoop]).map(one).collect();
    refused(bench, bad).await
}

async fn lif(bench: &mut Bench) -> Check {
    // The largest that fits the 16 bits of every dialect: no device has so many.
    const UNKNOWN: i32 = 0xFFFE;
    let bad = vec![
        (format!("inLif {UNKNOWN}"), untagged(bench.session(1), UNKNOWN, 2)),
        (format!("outLif {UNKNOWN}"), untagged(bench.session(2), 1, UNKNOWN)),
    ];
    refused(bench, bad).await
}

async fn tunnel_type(bench: &mut Bench) -> Check {
    let field = bench.terms().dialect.field("encapType");
    let one = |(n, kind)| (format!("{field} {kind}"), SessionRequest { encap_type: kind, ..bench.session(n) });
    let bad = (1..).zip([2, 255, -1]).map(one).collect();
    refused(bench, bad).await
}

async fn ip_version(bench: &mut Bench) -> Check {
    let one =
        |(n, version)| (format!("ipVersion {version}"), SessionRequest { ip_version: version, ..bench.session(n) });
    let bad = (1..).zip([2, 4, 6, -1]).map(one).collect();
    refused(bench, bad).await
}
