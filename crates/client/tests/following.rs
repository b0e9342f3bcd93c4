//! Two devices of which one is active: who is asked, and who never is.

use std::net::SocketAddr;
use std::time::Duration;

use opof_client::{Client, ClientConfig, Error, Health, Session, SubscribeConfig, Transport};
use tonic::transport::Identity;
use tonic::{Code, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_types::{ErrorDetails, StatusExt};

mod support;
use support::{Mock, timed_out};

const PAUSE: Duration = Duration::from_millis(20);

/// What a standby answers.
fn standby(active: &str) -> Status {
    let details = ErrorDetails::with_retry_info(Some(PAUSE));
    let mut status = Status::with_error_details(Code::Unavailable, "this device is standby", details);
    status.metadata_mut().insert(opof_api::metadata::ACTIVE, active.parse().expect("ASCII"));
    status
}

fn authority(mock: &Mock) -> String {
    format!("localhost:{}", mock.address.port())
}

/// From now on it is standby, and says that the other one is active.
fn yields(mock: &Mock, to: &Mock) {
    mock.state().fails = Some(standby(&authority(to)));
}

fn both(first: &Mock, second: &Mock) -> ClientConfig {
    ClientConfig::new(first.uri("http")).or(second.uri("http")).deadline(Duration::from_secs(5))
}

fn session(id: u64) -> Session {
    let [source, destination] = ["10.0.0.1:1000", "10.1.0.3:80"].map(|text| text.parse::<SocketAddr>().expect(text));
    Session::new(id, Transport::Tcp, source, destination).expect("a good session")
}

fn was_asked(mock: &Mock) -> bool {
    !std::mem::take(&mut mock.state().spoken).is_empty()
}

#[tokio::test]
async fn the_active_one_is_asked_and_stays_the_one() {
    let (a, b) = (Mock::start(None), Mock::start(None));
    yields(&a, &b);
    let mut client = Client::connect(both(&a, &b)).await.expect("it listens");
    client.add([session(1), session(2)]).await.expect("the other one takes them");
    assert_eq!(b.state().batches, [2]);
    assert!(was_asked(&a));
    assert!(client.get(1).await.expect("answered").is_some());
    assert!(!was_asked(&a), "it is known where the active one is");
    // And back.
    yields(&b, &a);
    a.state().fails = None;
    assert_eq!(client.clone().get(1).await, Ok(None));
    assert_eq!(client.device().await.expect("answered").version, "1.2.3");
}

#[tokio::test]
async fn nobody_sends_anything_to_a_stranger_in_plain_text() {
    let (a, b, stranger) = (Mock::start(None), Mock::start(None), Mock::start(None));
    yields(&a, &stranger);
    let mut alone = Client::connect(ClientConfig::new(a.uri("http"))).await.expect("it listens");
    let error = alone.add([session(1)]).await.expect_err("it is standby");
    assert!(matches!(&error.error, Error::Unavailable { .. }), "{error:?}");
    let mut client = Client::connect(both(&a, &b)).await.expect("it listens");
    client.add([session(1)]).await.expect("the other one that is configured takes it");
    assert_eq!(b.state().batches, [1]);
    let mut stays = Client::connect(both(&a, &b).stay()).await.expect("it listens");
    assert!(stays.get(1).await.is_err());
    assert!(!was_asked(&stranger));
}

fn self_signed(name: &str) -> (String, String) {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).expect("a certificate");
    (made.cert.pem(), made.signing_key.serialize_pem())
}

#[tokio::test]
async fn who_is_named_by_tls_must_be_as_trusted_as_the_one_that_names_him() {
    let (ours, theirs) = (self_signed("localhost"), self_signed("localhost"));
    let start = |(cert, key): &(String, String)| Mock::start(Some(Identity::from_pem(cert, key)));
    let (a, b, stranger, plain) = (start(&ours), start(&ours), start(&theirs), Mock::start(None));
    let config = ClientConfig::new(a.uri("https")).ca_pem(ours.0).deadline(Duration::from_secs(2));
    let mut client = Client::connect(config.clone()).await.expect("it listens");
    for wrong in [&stranger, &plain] {
        yields(&a, wrong);
        assert!(client.add([session(1)]).await.is_err());
        assert!(!was_asked(wrong));
    }
    yields(&a, &b);
    client.add([session(1)]).await.expect("it has the same certificate");
    assert_eq!(b.state().batches, [1]);
    let mut stays = Client::connect(config.stay()).await.expect("it listens");
    assert!(stays.get(1).await.is_err());
    yields(&b, &a);
    a.state().fails = None;
    assert_eq!(client.get(1).await, Ok(None), "and back");
}

#[tokio::test]
async fn one_that_is_away_is_passed_over() {
    let (mut a, b) = (Mock::start(None), Mock::start(None));
    let mut client = Client::connect(both(&a, &b)).await.expect("it listens");
    assert_eq!(client.get(1).await, Ok(None));
    assert!(was_asked(&a) && !was_asked(&b));
    a.stop();
    // This one may have been under way when the connection broke.
    let _ = client.get(1).await;
    client.add([session(1)]).await.expect("the other one takes it");
    assert_eq!(b.state().batches, [1]);
    let mut client = Client::connect(both(&a, &b)).await.expect("one listens");
    assert!(client.get(1).await.expect("answered").is_some());
    // It names one that is not there, until it is active itself.
    yields(&b, &a);
    let waits = tokio::spawn(async move { client.get(1).await });
    tokio::time::sleep(5 * PAUSE).await;
    assert!(!waits.is_finished());
    b.state().fails = None;
    assert!(waits.await.expect("no panic").expect("answered").is_some());
}

#[tokio::test]
async fn one_that_says_nothing_is_passed_over_by_whoever_has_waited_for_it() {
    let (a, b) = (Mock::start(None), Mock::start(None));
    a.state().stalls = true;
    let mut client = Client::connect(both(&a, &b)).await.expect("it listens");
    tokio::select! {
        biased;
        _ = client.get(1) => panic!("it says nothing"),
        () = std::future::ready(()) => {}
    }
    let silence = opof_client::limits::SILENCE;
    assert!(tokio::time::timeout(silence / 2, client.get(1)).await.is_err());
    assert!(tokio::time::timeout(2 * silence, client.get(1)).await.is_err());
    assert!(!was_asked(&b), "nobody had waited for long before that");
    assert_eq!(client.get(1).await, Ok(None));
    assert!(was_asked(&b));
}

/// Of two whose first one takes no connections, as one whose cable is cut.
#[tokio::test]
async fn one_to_which_no_connection_comes_about_is_passed_over() {
    let full = tokio::net::TcpSocket::new_v4().expect("a socket");
    full.bind(([127, 0, 0, 1], 0).into()).expect("a free port");
    let full = full.listen(0).expect("it listens");
    let address = full.local_addr().expect("bound");
    // Nobody takes them, and behind them the kernel answers nobody.
    let mut waiting = Vec::new();
    while let Ok(stream) = tokio::time::timeout(5 * PAUSE, tokio::net::TcpStream::connect(address)).await {
        waiting.push(stream.expect("loopback"));
    }
    let b = Mock::start(None);
    let long = Duration::from_secs(60);
    let config = ClientConfig::new(format!("http://{address}")).or(b.uri("http")).deadline(long).connect_timeout(long);
    let mut client = Client::connect_lazy(&config).expect("a good configuration");
    let answer =
        tokio::time::timeout(long / 3, client.get(1)).await.expect("long before the connection's own time is over");
    assert_eq!(answer, Ok(None));
    assert!(was_asked(&b));
}

#[tokio::test]
async fn while_nobody_is_active_a_call_waits_for_as_long_as_it_may() {
    let (a, b) = (Mock::start(None), Mock::start(None));
    yields(&a, &b);
    yields(&b, &a);
    let config = both(&a, &b).deadline(Duration::from_millis(200));
    let mut client = Client::connect(config.clone()).await.expect("it listens");
    let error = client.get(1).await.expect_err("nobody is active");
    assert!(error.is_retryable() && error.is_unreachable(), "{error:?}");
    let mut client = Client::connect(config.deadline(Duration::from_secs(5))).await.expect("it listens");
    let waits = tokio::spawn(async move { client.get(1).await });
    tokio::time::sleep(5 * PAUSE).await;
    assert!(!waits.is_finished());
    a.state().fails = None;
    assert_eq!(waits.await.expect("no panic"), Ok(None));
}

#[tokio::test]
async fn a_pair_serves_when_one_of_it_does() {
    let (a, b) = (Mock::start(None), Mock::start(None));
    a.state().health = Some(ServingStatus::NotServing);
    b.state().health = Some(ServingStatus::Serving);
    let mut client = Client::connect(both(&a, &b)).await.expect("it listens");
    assert_eq!(client.health().await, Ok(Health::Serving));
    b.state().health = Some(ServingStatus::NotServing);
    assert_eq!(client.health().await, Ok(Health::NotServing));
}

#[tokio::test]
async fn a_subscription_goes_on_with_the_one_that_is_active() {
    for follow in [false, true] {
        let (a, b) = (Mock::start(None), Mock::start(None));
        (a.state().follows, b.state().follows) = (true, true);
        a.state().closed.push_back(timed_out(1));
        let client = Client::connect(both(&a, &b)).await.expect("it listens");
        let quick = SubscribeConfig::new().follow(follow).retry(PAUSE, PAUSE).idle(PAUSE, PAUSE);
        let mut closed = client.subscribe_closed(quick);
        assert_eq!(closed.next().await.expect("a session").id.0, 1);
        yields(&a, &b);
        a.state().breaks_soon = true;
        b.state().closed.push_back(timed_out(2));
        let next = tokio::time::timeout(Duration::from_secs(5), closed.next()).await.expect("soon");
        assert_eq!(next.expect("a session").id.0, 2, "{follow}");
    }
}

#[tokio::test]
async fn batches_of_a_stream_go_where_the_active_one_is() {
    let (a, b) = (Mock::start(None), Mock::start(None));
    let client = Client::connect(both(&a, &b)).await.expect("it listens");
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    let mut adding = client.add_stream(tokio_stream::wrappers::ReceiverStream::new(receiver));
    sender.send(session(1)).await.expect("it is read");
    assert_eq!(adding.next().await.expect("an outcome").expect("taken").accepted, 1);
    yields(&a, &b);
    sender.send(session(2)).await.expect("it is read");
    assert_eq!(adding.next().await.expect("an outcome").expect("taken").accepted, 1);
    assert_eq!((a.state().sessions.len(), b.state().sessions.len()), (1, 1));
}
