//! Sessions that time out, and the stream they are collected from, over TLS.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::common::{Fixture, add, closed, list, session, start, start_with, until};
use opof_api::v1::session_table_client::SessionTableClient;
use opof_api::v1::{self, SessionCloseCode, SessionState};
use tokio::time::Instant;
use tonic::Request;

/// Adds so many sessions with a timeout of a second, and waits until all have closed.
async fn with_closed(count: u64) -> Fixture {
    let fixture = start().await;
    let sessions = (1..=count).map(|id| v1::SessionRequest { cache_timeout: 1, ..session(id) });
    assert_eq!(add(&mut fixture.client().await, sessions).await.error_status, 0);
    until("they close", async || waiting(&fixture).await == count).await;
    fixture
}

async fn waiting(fixture: &Fixture) -> u64 {
    fixture.daemon.driver().statistics().await.unwrap().closed_waiting
}

fn following(page_size: u32) -> Request<v1::SessionRequestArgs> {
    let mut request = Request::new(v1::SessionRequestArgs { page_size, ..Default::default() });
    request.metadata_mut().insert("opof-follow", "true".parse().unwrap());
    request
}

#[tokio::test]
async fn a_session_without_packets_arrives_within_a_second_after_its_deadline() {
    let fixture = start().await;
    let mut client = fixture.client().await;
    let mut stream = client.get_closed_sessions(following(0)).await.unwrap().into_inner();
    let begin = Instant::now();
    let sessions = [(1, 1), (2, 2)].map(|(id, cache_timeout)| v1::SessionRequest { cache_timeout, ..session(id) });
    add(&mut client, sessions).await;
    for (id, deadline) in [(1, 1.0), (2, 2.0)] {
        let message = tokio::time::timeout(Duration::from_secs(10), stream.message());
        let record = message.await.expect("it closes").unwrap().unwrap();
        let after = begin.elapsed().as_secs_f64();
        assert!((deadline..deadline + 1.0).contains(&after), "session {id} came after {after} s");
        assert_eq!(record.session_id, id);
        assert_eq!(
            (record.session_state(), record.session_close_code()),
            (SessionState::Closed, SessionCloseCode::Timeout)
        );
        let lived = record.end_time.unwrap().seconds - record.start_time.unwrap().seconds;
        assert!((1..=3).contains(&lived), "{lived}");
    }
    assert_eq!(list(&mut client, 0, 0, 0).await.0, [0; 0]);
}

#[tokio::test]
async fn without_any_the_stream_ends_at_once() {
    let fixture = start().await;
    let mut client = fixture.client().await;
    let records = tokio::time::timeout(Duration::from_secs(5), closed(&mut client, 0)).await.unwrap();
    assert_eq!(records, []);
}

#[tokio::test]
async fn each_once_in_pages() {
    let fixture = with_closed(500).await;
    let mut client = fixture.client().await;
    assert_eq!(list(&mut client, 0, 0, 0).await.0, [0; 0], "closed ones are not listed");
    let mut ids = BTreeSet::new();
    for (page_size, expected) in [(1, 1), (200, 200), (0, 299), (0, 0), (5, 0)] {
        let page = closed(&mut client, page_size).await;
        assert_eq!(page.len(), expected);
        ids.extend(page.iter().map(|record| record.session_id));
    }
    assert_eq!(ids.len(), 500);
}

#[tokio::test]
async fn two_readers_get_different_records() {
    let fixture = with_closed(3000).await;
    let (mut one, mut two) = (fixture.client().await, fixture.client().await);
    let (one, two) = tokio::join!(closed(&mut one, 0), closed(&mut two, 0));
    assert_eq!(one.len() + two.len(), 3000);
    let ids: BTreeSet<_> = one.iter().chain(&two).map(|record| record.session_id).collect();
    assert_eq!(ids.len(), 3000);
}

#[tokio::test]
async fn a_stream_that_is_cancelled_loses_only_what_was_written_to_it() {
    const COUNT: u64 = 20_000;
    let fixture = with_closed(COUNT).await;
    // The smallest window there is (RFC 9113, 6.9.2): about a thousand records.
    let channel = fixture.endpoint().initial_stream_window_size(65_535).connect().await.unwrap();
    let mut client = SessionTableClient::new(channel);
    let args = v1::SessionRequestArgs::default();
    let mut stream = client.get_closed_sessions(args).await.unwrap().into_inner();
    let first = stream.message().await.unwrap().unwrap();
    // The client stops reading: flow control stops the server, far from the end.
    tokio::time::sleep(Duration::from_millis(300)).await;
    drop(stream);
    let mut rest = BTreeSet::new();
    until("all are accounted for", async || {
        rest.extend(closed(&mut fixture.client().await, 0).await.iter().map(|record| record.session_id));
        waiting(&fixture).await == 0
    })
    .await;
    assert!(!rest.contains(&first.session_id), "what the client has seen does not come again");
    let delivered = fixture.daemon.driver().statistics().await.unwrap().closed_delivered;
    assert_eq!(delivered, COUNT);
    let written = COUNT - rest.len() as u64;
    assert!((1..3000).contains(&written), "{written} were on their way");
}

#[tokio::test]
async fn a_call_that_is_never_read_gives_everything_back() {
    let fixture = with_closed(10).await;
    for _ in 0..20 {
        let mut client = fixture.client().await;
        let call = client.get_closed_sessions(v1::SessionRequestArgs { page_size: 1, ..Default::default() });
        // Gone before the request is even on its way.
        let _ = tokio::time::timeout(Duration::ZERO, call).await;
    }
    let mut ids = BTreeSet::new();
    until("the ten are accounted for", async || {
        ids.extend(closed(&mut fixture.client().await, 0).await.iter().map(|record| record.session_id));
        waiting(&fixture).await == 0
    })
    .await;
    let delivered = fixture.daemon.driver().statistics().await.unwrap().closed_delivered;
    assert_eq!(delivered, 10);
}

#[tokio::test]
async fn a_full_log_loses_the_oldest_and_counts_it() {
    let fixture = start_with(&["--max-closed", "3"], "").await;
    let sessions = (1..=5).map(|id| v1::SessionRequest { cache_timeout: 1, ..session(id) });
    add(&mut fixture.client().await, sessions).await;
    until("two are lost", async || fixture.daemon.driver().statistics().await.unwrap().closed_lost == 2).await;
    assert_eq!(closed(&mut fixture.client().await, 0).await.len(), 3);
}

#[tokio::test]
async fn a_follower_does_not_keep_the_daemon_from_stopping() {
    let fixture = start().await;
    let mut client = fixture.client().await;
    let mut stream = client.get_closed_sessions(following(0)).await.unwrap().into_inner();
    let begin = Instant::now();
    assert!(fixture.daemon.stop().await);
    assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
    assert!(stream.message().await.unwrap().is_none(), "the stream ends in order");
}

#[tokio::test]
async fn other_metadata_is_named() {
    let fixture = start().await;
    let mut request = following(0);
    request.metadata_mut().insert("opof-follow", "yes".parse().unwrap());
    let error = fixture.client().await.get_closed_sessions(request).await.unwrap_err();
    assert_eq!(error.code(), tonic::Code::InvalidArgument);
    assert!(error.message().contains("opof-follow"));
}
