//! What a firewall asks of the active, and what its standby has of it.

use opof_api::pair::Role;
use opof_api::v1::RequestStatus;
use tonic::Code;

use super::super::common::until;
use super::Pair;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_is_on_both_planes() {
    let pair = Pair::with_active("mode = \"sync\"").await;
    let [a, b] = &pair.devices;
    assert!(a.add(1..100).await.unwrap());
    assert!((1..100).all(|id| a.hits(id) && b.hits(id)));
    let gone = a.delete(7).await.unwrap();
    assert!(!a.hits(7) && !b.hits(7));
    assert_eq!(
        (gone.in_packets, gone.request_status),
        (2, i32::from(RequestStatus::Accepted)),
        "what both have counted"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_says_where_the_active_is() {
    let pair = Pair::with_active("").await;
    let [a, b] = &pair.devices;
    let status = b.get(1).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(status.metadata().get("opof-active").unwrap().to_str().unwrap(), a.api());
    assert_eq!(b.add(1..2).await.unwrap_err().code(), Code::Unavailable);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_standby_an_active_goes_on_and_a_newcomer_gets_everything() {
    let mut pair = Pair::with_active("mode = \"sync\"").await;
    assert!(pair.devices[0].add(1..50).await.unwrap());
    pair.devices[1].kill();
    assert!(pair.devices[0].add(50..3000).await.unwrap());
    // The word that the standby has is not over, so this one waits for it.
    assert_eq!(pair.devices[0].delete(3).await.unwrap().request_status, i32::from(RequestStatus::Accepted));
    pair.devices[1].begin_anew().await;
    pair.until_in(0).await;
    let [a, b] = &pair.devices;
    until("everything to be there", async || (1..3000).all(|id| b.hits(id) == (id != 3))).await;
    assert!(a.add(3000..3100).await.unwrap());
    assert!(b.hits(3099));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closed_sessions_are_delivered_once_across_a_switchover() {
    let pair = Pair::with_active("").await;
    let [a, b] = &pair.devices;
    let mut short: Vec<_> = (1..40).map(super::super::common::session).collect();
    for session in &mut short {
        session.cache_timeout = 1;
    }
    a.client().await.add_session(tokio_stream::iter(short)).await.unwrap();
    let mut ids: Vec<u64> = Vec::new();
    until("some to close", async || {
        ids.extend(a.closed().await.iter().map(|record| record.session_id));
        !ids.is_empty()
    })
    .await;
    a.operator().await.switchover(opof_api::pair::SwitchoverRequest {}).await.unwrap();
    until("the other one to be active", async || b.status().await.role == i32::from(Role::Active)).await;
    until("all to close", async || {
        ids.extend(b.closed().await.iter().map(|record| record.session_id));
        ids.len() >= 39
    })
    .await;
    ids.sort_unstable();
    assert_eq!(ids, (1..40).collect::<Vec<_>>());
}
