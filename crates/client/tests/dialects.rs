//! Every dialect and every profile, against a device that takes each at its word.

use std::net::SocketAddr;
use std::time::Duration;

use opof_client::profile::ListCursor;
use opof_client::{
    Client, ClientConfig, Dialect, Error, Family, Health, Lif, Link, MacAddress, Nat, NextHop, NextHopId, Profile,
    Refusal, Session, SessionReport, SessionState, Transport, Tunnel, Vid, VlanFlow,
};
use tokio_stream::StreamExt;
use tonic_health::pb::health_check_response::ServingStatus;

mod support;
use support::{Mock, timed_out};

async fn speaking(dialect: Dialect, profile: Profile) -> (Mock, Client) {
    let mock = Mock::start(None);
    mock.state().profile = profile;
    let config = ClientConfig::new(mock.uri("http")).dialect(dialect).profile(profile);
    let client = Client::connect(config).await.expect("it listens");
    (mock, client)
}

fn session(id: u64) -> Session {
    let [source, destination] = ["10.0.0.1:1000", "10.1.0.3:80"].map(|text| text.parse::<SocketAddr>().expect(text));
    Session::new(id, Transport::Tcp, source, destination).expect("a good session")
}

fn ids(sessions: &[SessionReport]) -> Vec<u64> {
    sessions.iter().map(|session| session.id.0).collect()
}

/// Every combination of a dialect and a named profile.
fn all() -> impl Iterator<Item = (Dialect, Profile)> {
    Dialect::ALL.into_iter().flat_map(|dialect| Profile::NAMED.map(|(_, profile)| (dialect, profile)))
}

#[tokio::test]
async fn the_five_calls_in_every_dialect_and_profile() {
    for (dialect, profile) in all() {
        let (mock, mut client) = speaking(dialect, profile).await;
        let outcome = client.add([session(1), session(2), session(1), session(3)]).await.expect("answered");
        assert_eq!(outcome.accepted, 3, "{dialect}");
        let refused: Vec<_> = outcome.refused.iter().map(|refused| (refused.id.0, refused.reason)).collect();
        assert_eq!(refused, [(1, Refusal::AlreadyExists)], "{dialect} {profile:?}");

        let live = client.get(2).await.expect("answered").expect("it is there");
        assert_eq!((live.state, live.inward.packets), (SessionState::Established, 20));
        let last = client.delete(2).await.expect("answered").expect("it was there");
        assert_eq!(last.state, SessionState::Closed);
        assert_eq!(client.get(2).await, Ok(None));
        assert_eq!(client.delete(2).await, Ok(None));
        assert_eq!(ids(&client.list().collect().await.expect("answered")), [1, 3]);

        mock.state().closed.push_back(timed_out(9));
        let closed = client.closed(0).await.expect("answered").collect().await.expect("whole");
        let deleted: &[u64] = if profile.report_deleted { &[2] } else { &[] };
        assert_eq!(ids(&closed), [deleted, &[9]].concat());
        assert_eq!(client.closed(0).await.expect("answered").collect().await, Ok(vec![]));
        assert_eq!(mock.state().spoken, [dialect]);
    }
}

#[tokio::test]
async fn addresses_go_in_the_order_of_the_profile() {
    for (profile, sent) in [(Profile::SPEC, 0x0100_000A), (Profile::BLUEFIELD, 0x0A00_0001)] {
        let (mock, mut client) = speaking(Dialect::V1, profile).await;
        client.add([session(1)]).await.expect("answered");
        assert_eq!(mock.state().sessions[&1].source_ip, sent);
    }
}

#[tokio::test]
async fn lists_are_whole_under_both_cursors() {
    let start = ListCursor::START;
    let there = [0, 1, 2, 5, start - 1, start, start + 1, start + 2, u64::MAX];
    for cursor in [ListCursor::Inclusive, ListCursor::Exclusive] {
        let (_mock, mut client) = speaking(Dialect::V1, Profile { list_cursor: cursor, ..Profile::SPEC }).await;
        assert_eq!(client.list().collect().await, Ok(vec![]));
        client.add(there.map(session)).await.expect("answered");
        for size in 1..=10 {
            let listed = client.list().page_size(size).collect().await.expect("answered");
            assert_eq!(ids(&listed), there, "{cursor:?}, pages of {size}");
            for from in there {
                let listed = client.list().page_size(size).starting_at(from).collect().await.expect("answered");
                let expected: Vec<_> = there.into_iter().filter(|id| *id >= from).collect();
                assert_eq!(ids(&listed), expected, "{cursor:?}, pages of {size} from {from}");
            }
        }
    }
}

#[tokio::test]
async fn a_list_can_be_a_stream() {
    let (mock, mut client) = speaking(Dialect::V2, Profile::C_CLIENT).await;
    client.add((0..200).map(session)).await.expect("answered");
    let listed: Result<Vec<_>, _> = client.list().into_stream().collect().await;
    assert_eq!(ids(&listed.expect("answered")), (0..200).collect::<Vec<_>>());

    let mut stream = client.list().page_size(10).into_stream();
    for _ in 0..10 {
        stream.next().await.expect("there are more").expect("answered");
    }
    mock.state().fails = Some(tonic::Status::permission_denied("not you"));
    let next = stream.next().await;
    assert!(matches!(next, Some(Err(Error::PermissionDenied { .. }))), "{next:?}");
    assert_eq!(stream.next().await, None, "an error is the end");
}

#[tokio::test]
async fn a_capped_device_is_never_asked_for_more_than_it_can_answer() {
    let (mock, mut client) = speaking(Dialect::V1_1, Profile::C_CLIENT).await;
    client.add((0..200).map(session)).await.expect("answered");
    assert_eq!(mock.state().batches, [64, 64, 64, 8]);
    let again = client.add((0..200).map(session)).await.expect("all errors fit");
    assert_eq!((again.accepted, again.refused.len()), (0, 200));
    assert_eq!(client.list().collect().await.expect("answered").len(), 200);
    assert!(mock.state().pages.iter().all(|size| *size == 64), "{:?}", mock.state().pages);
}

#[tokio::test]
async fn what_a_dialect_has_no_words_for_is_not_sent() {
    let gtpu = || session(1).tunnel(Tunnel::Gtpu);
    for dialect in [Dialect::V1, Dialect::V2] {
        let (mock, mut client) = speaking(dialect, Profile::SPEC).await;
        let error = client.add([gtpu()]).await.expect_err("no words");
        assert!(matches!(error.error, Error::Inexpressible(_)), "{error:?}");
        assert_eq!(mock.state().streams, 0);
        let error = client.shutdown_server(Duration::ZERO).await.expect_err("no such call");
        assert!(matches!(&error, Error::NoSuchCall { .. }), "{error:?}");
        let name = if dialect == Dialect::V2 { "ShutdownServer" } else { "shutdownServer" };
        assert_eq!(error.to_string(), format!("{dialect} has no {name}; use v1.1"));
        let error = client.service_version().await.expect_err("no such call");
        assert!(error.to_string().ends_with("etServiceVersion; use v1beta1"), "{error}");
    }
    for dialect in [Dialect::V1_1, Dialect::V1Beta1] {
        let (mock, mut client) = speaking(dialect, Profile::SPEC).await;
        assert_eq!(client.add([gtpu()]).await.expect("answered").accepted, 1);
        assert_eq!(mock.state().sessions[&1].encap_type, 1);
    }
}

#[tokio::test]
async fn a_server_is_told_to_end() {
    let (mock, mut client) = speaking(Dialect::V1_1, Profile::SPEC).await;
    client.shutdown_server(Duration::from_secs(7)).await.expect("answered");
    client.shutdown_server(Duration::MAX).await.expect("answered");
    assert_eq!(mock.state().shutdowns, [7, i32::MAX]);
}

#[tokio::test]
async fn next_hops_come_and_go() {
    for profile in [Profile::SPEC, Profile::BLUEFIELD] {
        let (mock, mut client) = speaking(Dialect::V1Beta1, profile).await;
        let id = NextHopId::new(7).expect("not 0");
        let hop = NextHop {
            id,
            family: Family::V4,
            source: MacAddress([2, 0, 0, 0, 0, 1]),
            destination: MacAddress([2, 0, 0, 0, 0, 2]),
        };
        let routed = |id| {
            let snat = Some(Nat { address: [192, 0, 2, 1].into(), port: 4000.try_into().ok() });
            session(id).link_out(Link { next_hop: Some(hop.id), snat, ..Link::default() }).expect("a good link")
        };
        let early = client.add([routed(1)]).await.expect("answered");
        let missing = if profile == Profile::SPEC { Refusal::Rejected } else { Refusal::FailedPrecondition };
        assert_eq!(early.refused[0].reason, missing);

        client.set_next_hop(hop).await.expect("done");
        assert_eq!(mock.state().hops[&7].mac_rewrite.as_ref().expect("given").dst_mac, [2, 0, 0, 0, 0, 2]);
        assert_eq!(client.add([routed(1)]).await.expect("answered").accepted, 1);
        let sent = mock.state().sessions[&1].action.clone().expect("given");
        let out = sent.action_params_out_lif.expect("given");
        assert_eq!((out.next_hop_id, out.snat.expect("given").port), (7, 4000));

        client.destroy_next_hop(id).await.expect("done");
        let error = client.destroy_next_hop(id).await.expect_err("it is gone");
        let expected = if profile == Profile::SPEC { 1 } else { 9 };
        let Error::NextHop { id, code, reason, .. } = &error else { panic!("{error:?}") };
        assert_eq!((*id, *code, *reason), (Some(7), expected, missing));
        assert!(error.to_string().contains("refused next hop 7"), "{error}");
        mock.state().speaks = true;
        let error = client.destroy_next_hop(hop.id).await.expect_err("it is gone");
        assert!(error.to_string().ends_with("refused next hop 7: nextHopId: no next hop 7"), "{error}");
        client.set_next_hop(hop).await.expect("done");
        client.clear_next_hops().await.expect("done");
        assert!(mock.state().hops.is_empty());
    }
}

#[tokio::test]
async fn vlan_flows_come_and_go() {
    let (mock, mut client) = speaking(Dialect::V1Beta1, Profile::SPEC).await;
    let flow = |vlan, lif| VlanFlow { vlan: Vid::new(vlan).expect("a VLAN"), lif: Lif::new(lif).expect("not 0") };
    client.add_vlan_flow(flow(200, 2)).await.expect("done");
    client.add_vlan_flow(flow(100, 1)).await.expect("done");
    let error = client.add_vlan_flow(flow(100, 2)).await.expect_err("it has one");
    let Error::Rejected { what, status, .. } = &error else { panic!("{error:?}") };
    assert_eq!((what.as_str(), status.as_str()), ("the flow of vlan 100", "_REJECTED_SESSION_ALREADY_EXISTS"));
    mock.state().speaks = true;
    let error = client.add_vlan_flow(flow(100, 2)).await.expect_err("it has one");
    assert!(error.to_string().ends_with("refused the flow of vlan 100: vlanId: vlan 100 has a flow"), "{error}");
    assert_eq!(client.vlan_flows().await, Ok(vec![flow(100, 1), flow(200, 2)]));
    assert_eq!(client.remove_vlan_flow(flow(100, 1).vlan).await, Ok(true));
    assert_eq!(client.remove_vlan_flow(flow(100, 1).vlan).await, Ok(false));
    client.clear_vlan_flows().await.expect("done");
    assert_eq!(client.vlan_flows().await, Ok(vec![]));
}

#[tokio::test]
async fn a_device_is_emptied_and_says_who_made_it() {
    let (mock, mut client) = speaking(Dialect::V1Beta1, Profile::SPEC).await;
    client.add([session(1)]).await.expect("answered");
    client.reset().await.expect("done");
    assert_eq!(mock.state().resets, 1);
    assert!(mock.state().sessions.is_empty());
    let version = client.service_version().await.expect("answered");
    assert_eq!((version.vendor.as_str(), version.version.as_str()), ("nobody", "1.2.3"));
}

#[tokio::test]
async fn health_is_what_the_device_says() {
    let (mock, mut client) = speaking(Dialect::V1, Profile::SPEC).await;
    assert_eq!(client.health().await, Ok(Health::Unknown));
    for (said, meant) in [(ServingStatus::Serving, Health::Serving), (ServingStatus::NotServing, Health::NotServing)] {
        mock.state().health = Some(said);
        assert_eq!(client.health().await, Ok(meant));
    }
    // One that tells of its faults.
    mock.state().faultless = Some(ServingStatus::NotServing);
    for (said, meant) in [(ServingStatus::Serving, Health::Degraded), (ServingStatus::NotServing, Health::NotServing)] {
        mock.state().health = Some(said);
        assert_eq!(client.health().await, Ok(meant));
    }
}
