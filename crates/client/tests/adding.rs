//! Adds in batches: how far ahead of the device a stream of sessions is read, and what is said of those it refuses.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use opof_client::{
    Client, ClientConfig, Dialect, Error, Link, NextHopId, Profile, Refusal, Session, Transport, Tunnel, limits,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};

mod support;
use support::Mock;

/// Long enough for a client that reads too far to have done so.
const A_WHILE: Duration = Duration::from_millis(300);

async fn connected() -> (Mock, Client) {
    let mock = Mock::start(None);
    let client = Client::connect(ClientConfig::new(mock.uri("http"))).await.expect("it listens");
    (mock, client)
}

fn session(id: u64) -> Session {
    let [source, destination] = ["10.0.0.1:1000", "10.1.0.3:80"].map(|text| text.parse::<SocketAddr>().expect(text));
    Session::new(id, Transport::Tcp, source, destination).expect("a good session")
}

/// Sessions that are always there (tokio's own stream of an iterator makes a pause now and then).
struct Ready<I>(I);

impl<I: Iterator<Item = u64> + Unpin> Stream for Ready<I> {
    type Item = Session;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Session>> {
        Poll::Ready(self.0.next().map(session))
    }
}

/// Sessions without end, and how many of them have been taken.
fn endless() -> (impl Stream<Item = Session>, Arc<AtomicUsize>) {
    let taken = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&taken);
    let ids = (0..).inspect(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
    });
    (Ready(ids), taken)
}

#[tokio::test]
async fn a_stalled_device_stops_the_pull_at_a_bound() {
    let (mock, client) = connected().await;
    mock.state().stalls = true;
    for in_flight in [1, 3] {
        let (sessions, taken) = endless();
        let mut adding = client.add_stream(sessions).in_flight(in_flight);
        tokio::time::timeout(A_WHILE, adding.next()).await.expect_err("the device answers nothing");
        let bound = (in_flight + 1) * limits::ADD_BATCH;
        assert_eq!(taken.load(Ordering::Relaxed), bound, "{in_flight} in flight and one in hand");
        tokio::time::timeout(A_WHILE, adding.next()).await.expect_err("still nothing");
        assert_eq!(taken.load(Ordering::Relaxed), bound);

        mock.state().stalls = false;
        let outcome = adding.next().await.expect("no end").expect("answered");
        assert_eq!(outcome.accepted, limits::ADD_BATCH as u64);
        assert_eq!(taken.load(Ordering::Relaxed), bound, "nothing is taken unless somebody asks");
        drop(adding);
        *mock.state() = support::State { stalls: true, ..support::State::default() };
    }
}

#[tokio::test]
async fn the_bound_is_bounded() {
    let (mock, client) = connected().await;
    mock.state().stalls = true;
    for (asked, granted) in [(0, 1), (usize::MAX, limits::ADD_IN_FLIGHT_MAX)] {
        let (sessions, taken) = endless();
        let mut adding = client.add_stream(sessions).in_flight(asked);
        tokio::time::timeout(A_WHILE, adding.next()).await.expect_err("the device answers nothing");
        assert_eq!(taken.load(Ordering::Relaxed), (granted + 1) * limits::ADD_BATCH);
    }
}

#[tokio::test]
async fn a_stream_is_added_to_its_end() {
    let (mock, client) = connected().await;
    mock.state().capacity = Some(10_000);
    let outcome = client.add_stream(Ready(0..10_003)).finish().await.expect("answered");
    assert_eq!((outcome.accepted, outcome.refused.len()), (10_000, 3));
    assert!(outcome.refused.iter().all(|refused| refused.reason == Refusal::TableFull));
    assert_eq!(mock.state().batches.iter().sum::<usize>(), 10_003);
    let nothing = client.add_stream(Ready(0..0)).finish().await.expect("no call at all");
    assert_eq!(nothing.accepted, 0);
    assert_eq!(mock.state().streams, 3);
}

#[tokio::test]
async fn a_slow_stream_is_not_kept_waiting_for_a_full_batch() {
    let (mock, client) = connected().await;
    let (sender, receiver) = mpsc::channel(1);
    let mut adding = client.add_stream(ReceiverStream::new(receiver));
    for id in 1..=3 {
        sender.send(session(id)).await.expect("it is read");
        assert_eq!(adding.next().await.expect("no end").expect("answered").accepted, 1);
    }
    drop(sender);
    assert_eq!(adding.next().await, None);
    assert_eq!(mock.state().batches, [1, 1, 1]);
}

#[tokio::test]
async fn while_a_batch_is_under_way_the_next_grows() {
    let (mock, client) = connected().await;
    mock.state().stalls = true;
    let (sender, receiver) = mpsc::channel(1);
    let mut adding = client.add_stream(ReceiverStream::new(receiver));
    let send = async {
        for id in 1..=10 {
            sender.send(session(id)).await.expect("it is read");
        }
    };
    tokio::select! {
        () = send => {}
        outcome = adding.next() => panic!("the device answers nothing, but {outcome:?}"),
    }
    tokio::time::timeout(A_WHILE, adding.next()).await.expect_err("the device answers nothing");
    mock.state().stalls = false;
    assert_eq!(adding.next().await.expect("no end").expect("answered").accepted, 1);
    assert_eq!(adding.next().await.expect("no end").expect("answered").accepted, 9);
}

#[tokio::test]
async fn in_order_the_first_of_a_kind_wins() {
    let (mock, client) = connected().await;
    // The same ids in two batches: whichever comes second is refused.
    let batch = limits::ADD_BATCH as u64;
    let mut adding = client.add_stream(Ready((0..batch).chain(0..batch))).in_order();
    assert_eq!(adding.next().await.expect("two batches").expect("answered").accepted, batch);
    let second = adding.next().await.expect("two batches").expect("answered");
    assert_eq!((second.accepted, second.refused.len() as u64), (0, batch));
    assert_eq!(adding.next().await, None);
    assert_eq!(mock.state().streams, 2);
}

#[tokio::test]
async fn after_an_error_no_more_is_taken() {
    let (mock, client) = connected().await;
    mock.state().fails = Some(tonic::Status::resource_exhausted("full"));
    let (sessions, taken) = endless();
    let mut adding = client.add_stream(sessions).in_flight(2);
    let mut errors = 0;
    while let Some(outcome) = adding.next().await {
        assert!(matches!(outcome, Err(Error::ResourceExhausted { .. })), "{outcome:?}");
        errors += 1;
    }
    assert_eq!(errors, 2, "each batch that was under way has its outcome");
    assert!(taken.load(Ordering::Relaxed) <= 3 * limits::ADD_BATCH);
    let error = client.add_stream(tokio_stream::iter([session(1)])).finish().await.expect_err("it fails still");
    assert!(error.error.is_retryable(), "{error:?}");
    let inexpressible = client.add_stream(tokio_stream::iter([session(1).tunnel(Tunnel::Gtpu)])).finish().await;
    assert!(matches!(inexpressible.map_err(Error::from), Err(Error::Inexpressible(_))));
}

/// Every session that was taken is in an outcome or handed back, once.
#[tokio::test]
async fn what_a_failed_call_leaves_without_an_answer_is_handed_back() {
    let (mock, client) = connected().await;
    let batch = limits::ADD_BATCH as u64;
    let (sessions, taken) = endless();
    let mut adding = client.add_stream(sessions).in_order();
    assert_eq!(adding.next().await.expect("no end").expect("answered").accepted, batch);
    assert_eq!(adding.unanswered(), []);
    mock.state().fails = Some(tonic::Status::unavailable("not now"));
    adding.next().await.expect("no end").expect_err("it fails");
    assert_eq!(adding.next().await, None);
    let ids: Vec<_> = adding.unanswered().iter().map(|session| session.spec().id.0).collect();
    let all = taken.load(Ordering::Relaxed) as u64;
    assert_eq!(ids, (batch..all).collect::<Vec<_>>());
    assert_eq!(adding.unanswered(), [], "once");

    mock.state().fails = None;
    let mut adding = client.add_stream(tokio_stream::iter([session(1), session(2).tunnel(Tunnel::Gtpu), session(3)]));
    let error = adding.next().await.expect("no end").expect_err("v1 has no words for it");
    assert!(matches!(error, Error::Inexpressible(_)), "{error:?}");
    assert_eq!(adding.unanswered(), [session(1), session(2).tunnel(Tunnel::Gtpu)], "the third was not taken");
}

#[tokio::test]
async fn what_was_answered_before_a_call_failed_is_told() {
    let (mock, mut client) = connected().await;
    let batch = limits::ADD_BATCH as u64;
    mock.state().capacity = Some(limits::ADD_BATCH - 1);
    let last = session(batch).tunnel(Tunnel::Gtpu);
    let failed = client.add((0..batch).map(session).chain([last.clone()])).await.expect_err("v1 has no words for it");
    assert!(matches!(failed.error, Error::Inexpressible(_)), "{failed:?}");
    assert_eq!((failed.outcome.accepted, failed.outcome.refused.len()), (batch - 1, 1));
    let sessions = Ready(0..batch).chain(tokio_stream::iter([last]));
    let failed = client.add_stream(sessions).in_order().finish().await.expect_err("v1 has no words for it");
    assert_eq!((failed.outcome.accepted, failed.outcome.refused.len() as u64), (0, batch));
}

#[tokio::test]
async fn a_refused_session_has_the_words_of_the_device() {
    let mock = Mock::start(None);
    mock.state().speaks = true;
    let config = ClientConfig::new(mock.uri("http")).dialect(Dialect::V1Beta1).profile(Profile::BLUEFIELD);
    mock.state().profile = Profile::BLUEFIELD;
    let mut client = Client::connect(config).await.expect("it listens");
    let hop = Link { next_hop: NextHopId::new(5), ..Link::default() };
    let routed = session(2).link_out(hop).expect("a good link");
    let outcome = client.add([session(1), session(1), routed]).await.expect("answered");
    let said: Vec<_> = outcome.refused.iter().map(|r| (r.id.0, r.reason, r.message.as_deref().unwrap_or(""))).collect();
    let expected = [
        (1, Refusal::AlreadyExists, "sessionId: in use"),
        (2, Refusal::FailedPrecondition, "action.actionParams_outLif.nextHopId: no next hop 5"),
    ];
    assert_eq!(said, expected);
    mock.state().speaks = false;
    let silent = client.add([session(1)]).await.expect("answered");
    assert_eq!(silent.refused[0].message, None);
}
