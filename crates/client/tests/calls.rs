//! The client against a device on loopback.

use std::net::SocketAddr;
use std::time::Duration;

use opof_client::{
    Action, Client, ClientConfig, CloseCode, Error, Fault, PortRole, Profile, Refusal, Session, SessionId,
    SessionReport, SessionState, Transport, limits,
};
use tokio::net::TcpListener;

mod support;
use support::{Mock, timed_out};

async fn connected() -> (Mock, Client) {
    let mock = Mock::start(None);
    let client = Client::connect(ClientConfig::new(mock.uri("http"))).await.expect("it listens");
    (mock, client)
}

fn session(id: u64) -> Session {
    let [source, destination] = ["10.0.0.1:1000", "10.1.0.3:80"].map(|text| text.parse::<SocketAddr>().expect(text));
    Session::new(id, Transport::Tcp, source, destination).expect("a good session")
}

fn ids(sessions: &[SessionReport]) -> Vec<u64> {
    sessions.iter().map(|session| session.id.0).collect()
}

#[tokio::test]
async fn sessions_are_added_and_refused_one_by_one() {
    let (mock, mut client) = connected().await;
    mock.state().capacity = Some(2);
    // The address of a session can be wrong only where somebody makes the specification by hand.
    let mut wrong = session(9).spec().clone();
    wrong.flow.addresses = opof_wire::Addresses::V4 { source: [0; 4], destination: [10, 0, 0, 1] };
    let outcome = client.add([session(1), session(1), wrong.into(), session(2), session(3)]).await.expect("answered");
    assert_eq!(outcome.accepted, 2);
    let refused: Vec<_> = outcome.refused.iter().map(|refused| (refused.id.0, refused.reason)).collect();
    assert_eq!(refused, [(1, Refusal::AlreadyExists), (9, Refusal::Rejected), (3, Refusal::TableFull)]);
    let sent = mock.state().sessions[&1].clone();
    assert_eq!((sent.in_lif, sent.out_lif, sent.source_ip, sent.destination_port), (1, 2, 0x0100_000A, 80));
}

#[tokio::test]
async fn many_sessions_go_in_several_streams() {
    let (mock, mut client) = connected().await;
    let many = limits::ADD_BATCH as u64 + 1;
    let outcome = client.add((0..many).map(session)).await.expect("answered");
    assert_eq!((outcome.accepted, outcome.refused.len()), (many, 0));
    assert_eq!(mock.state().streams, 2);
    assert_eq!(mock.state().sessions.len() as u64, many);
    assert_eq!(client.add([]).await.expect("no call at all").accepted, 0);
    assert_eq!(mock.state().streams, 2);
}

#[tokio::test]
async fn one_session_is_read_and_taken_back() {
    let (mock, mut client) = connected().await;
    client.add([session(5).action(Action::Drop)]).await.expect("answered");
    let live = client.get(5).await.expect("answered").expect("it is there");
    assert_eq!((live.id, live.state, live.close_code), (SessionId(5), SessionState::Established, CloseCode::NotClosed));
    assert_eq!((live.inward.packets, live.outward.bytes), (50, 150_000));
    let last = client.delete(5).await.expect("answered").expect("it was there");
    assert_eq!((last.id, last.state), (SessionId(5), SessionState::Closed));
    for profile in [Profile::SPEC, Profile::C_CLIENT] {
        mock.state().profile = profile;
        assert_eq!(client.get(5).await, Ok(None));
        assert_eq!(client.delete(5).await, Ok(None));
        assert_eq!(client.closed(0).await.expect("answered").collect().await, Ok(vec![]));
    }
}

#[tokio::test]
async fn a_list_comes_in_pages_and_ends() {
    let (_mock, mut client) = connected().await;
    client.add([1, 2, 3, 5, 8, 13, u64::MAX].map(session)).await.expect("answered");
    let mut pages = client.list().page_size(3);
    let mut seen = vec![];
    while let Some(page) = pages.next_page().await.expect("answered") {
        seen.push(ids(&page));
    }
    assert_eq!(seen, [vec![1, 2, 3], vec![5, 8, 13], vec![u64::MAX]]);
    let rest = client.list().starting_at(4).collect().await.expect("answered");
    assert_eq!(ids(&rest), [5, 8, 13, u64::MAX]);
}

#[tokio::test]
async fn pages_that_lead_nowhere_are_an_error() {
    let (mock, mut client) = connected().await;
    client.add([session(1)]).await.expect("answered");
    mock.state().endless = true;
    let error = client.list().collect().await.expect_err("it would never end");
    assert!(matches!(&error, Error::Answer { reason, .. } if reason.contains("goes on at session 1")), "{error}");
}

#[tokio::test]
async fn closed_sessions_are_told_once() {
    let (mock, mut client) = connected().await;
    mock.state().closed.extend([3, 1, 2].map(timed_out));
    let first = client.closed(2).await.expect("answered").collect().await.expect("whole");
    assert_eq!(ids(&first), [3, 1]);
    assert_eq!(first[0].close_code, CloseCode::Timeout);
    let lasted =
        first[0].ended.zip(first[0].started).map(|(ended, started)| ended.duration_since(started).expect("in order"));
    assert_eq!(lasted, Some(Duration::from_millis(30_250)));
    let rest = client.closed(0).await.expect("answered").collect().await.expect("whole");
    assert_eq!(ids(&rest), [2]);
}

#[tokio::test]
async fn the_device_tells_about_itself() {
    let (_mock, mut client) = connected().await;
    client.add([session(1)]).await.expect("answered");
    let device = client.device().await.expect("answered");
    assert_eq!((device.version.as_str(), device.data_plane.as_str()), ("1.2.3", "sim"));
    assert_eq!(device.uptime, Duration::from_secs(3725));
    assert_eq!((device.statistics.sessions, device.statistics.capacity, device.statistics.timed_out), (1, 1000, 4));
    let [wire, firewall, uplink] = device.ports.as_slice() else { panic!("three ports") };
    assert_eq!((wire.role, wire.lif, wire.name.as_str(), wire.received.packets), (PortRole::Wire, 1, "wire1", 100));
    assert_eq!((wire.slow_path[0].reason.as_str(), wire.slow_path[0].tally.bytes), ("miss", 420));
    assert_eq!((wire.copied.packets, wire.copies_lost.packets), (2, 1));
    let lost = [wire.too_big_answered, wire.too_big_dropped, wire.unreachable].map(|tally| tally.packets);
    assert_eq!((lost, wire.refused.len()), ([4, 5, 6], 0));
    assert_eq!((firewall.role, firewall.received.packets), (PortRole::Firewall, 0));
    assert_eq!((uplink.role, uplink.lif, uplink.role.name()), (PortRole::Uplink, 0, "uplink"));
    assert_eq!((uplink.refused[0].reason.as_str(), uplink.refused[0].tally.bytes), ("vni", 480));
    let [Fault { part, why, age }] = device.faults.as_slice() else { panic!("one fault") };
    assert_eq!((part.as_str(), why.as_str(), *age), ("closed log", "no room", Duration::from_millis(7500)));
}

#[tokio::test]
async fn nobody_there() {
    let free = TcpListener::bind("127.0.0.1:0").await.expect("a port on loopback");
    let uri = format!("http://{}", free.local_addr().expect("it is bound"));
    drop(free);
    let error = Client::connect(ClientConfig::new(&uri)).await.expect_err("nobody listens");
    assert!(matches!(error, Error::Connect { .. }), "{error:?}");
    assert!(error.to_string().starts_with(&format!("cannot reach {uri}: ")), "{error}");
    assert!(error.is_unreachable());
}

#[tokio::test]
async fn a_device_that_does_not_answer_is_given_up() {
    let (mock, client) = connected().await;
    mock.state().stalls = true;
    let config = ClientConfig::new(mock.uri("http")).deadline(Duration::from_millis(50));
    let mut client_in_a_hurry = Client::connect(config).await.expect("it listens");
    drop(client);
    let late = |error: Error| assert!(matches!(error, Error::Deadline { .. }), "{error:?}");
    late(client_in_a_hurry.get(1).await.expect_err("no answer"));
    late(client_in_a_hurry.add([session(1)]).await.expect_err("no answer").into());
    late(client_in_a_hurry.list().next_page().await.expect_err("no answer"));
    late(client_in_a_hurry.closed(0).await.expect_err("no answer"));
    late(client_in_a_hurry.device().await.expect_err("no answer"));
}

mod tls {
    use tonic::transport::Identity;

    use super::*;

    /// A certificate that signs itself, and its key: for `name`.
    fn self_signed(name: &str) -> (String, Identity) {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).expect("a certificate");
        let cert = made.cert.pem();
        (cert.clone(), Identity::from_pem(cert, made.signing_key.serialize_pem()))
    }

    #[tokio::test]
    async fn a_self_signed_certificate_is_trusted_when_it_is_given() {
        let (cert, identity) = self_signed("localhost");
        let mock = Mock::start(Some(identity));
        let config = ClientConfig::new(mock.uri("https")).ca_pem(cert);
        let mut client = Client::connect(config).await.expect("trusted");
        assert_eq!(client.get(1).await, Ok(None));
    }

    #[tokio::test]
    async fn another_certificate_is_not_trusted() {
        let (_, identity) = self_signed("localhost");
        let (other, _) = self_signed("localhost");
        let mock = Mock::start(Some(identity));
        for config in [ClientConfig::new(mock.uri("https")), ClientConfig::new(mock.uri("https")).ca_pem(other)] {
            let error = Client::connect(config).await.expect_err("not trusted");
            assert!(matches!(error, Error::Tls { .. }), "{error:?}");
            assert!(error.to_string().contains("give the CA"), "{error}");
        }
    }

    #[tokio::test]
    async fn the_name_counts_unless_another_is_given() {
        let (cert, identity) = self_signed("dpu7.example");
        let mock = Mock::start(Some(identity));
        let config = ClientConfig::new(mock.uri("https")).ca_pem(cert);
        let error = Client::connect(config.clone()).await.expect_err("another name");
        assert!(matches!(error, Error::Tls { .. }), "{error:?}");
        let mut client = Client::connect(config.domain("dpu7.example")).await.expect("the right name");
        assert_eq!(client.get(1).await, Ok(None));
    }

    #[tokio::test]
    async fn plain_text_to_a_tls_port_fails_with_a_reason() {
        let (_, identity) = self_signed("localhost");
        let mock = Mock::start(Some(identity));
        // Nothing is exchanged before the first call, so the connection itself may seem good.
        let error = match Client::connect(ClientConfig::new(mock.uri("http"))).await {
            Ok(mut client) => client.get(1).await.expect_err("no HTTP there"),
            Err(error) => error,
        };
        assert!(error.is_unreachable(), "{error:?}");
    }
}
