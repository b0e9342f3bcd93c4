//! Who is active, and what that does to sessions.

use std::time::Duration;

use opof_api::pair::{ResyncRequest, Role, Standing, SwitchoverRequest};
use opof_api::peer::Envelope;
use opof_api::peer::peer_client::PeerClient;
use opof_testkit::etcd::{EtcdServer, Timing};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Status};

use super::super::common::until;
use super::Pair;

async fn until_active(pair: &Pair, which: usize) {
    until("a device to be active", async || {
        let status = pair.devices[which].status().await;
        status.role == i32::from(Role::Active) && !status.is_handing_over
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_switchover_keeps_every_session_and_its_counters_and_back_again() {
    let pair = Pair::with_active("").await;
    let [a, b] = &pair.devices;
    assert!(a.add(1..2000).await.unwrap());
    assert!((1..2000).all(|id| a.hits(id)));
    for (from, to, hits) in [(0, 1, 1), (1, 0, 2)] {
        let status = pair.devices[from].operator().await.switchover(SwitchoverRequest {}).await.unwrap().into_inner();
        assert_eq!(status.role, i32::from(Role::Standby));
        until_active(&pair, to).await;
        // Both forward, whoever is active.
        assert!((1..2000).all(|id| a.hits(id) && b.hits(id)));
        until("counters to come over", async || pair.devices[to].get(1999).await.unwrap().in_packets == 1 + 2 * hits)
            .await;
        pair.until_in(to).await;
    }
    assert!(a.status().await.term > 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_is_told_to_be_active_goes_on_with_what_the_dead_one_had() {
    let mut pair = Pair::with_active("mode = \"sync\"").await;
    assert!(pair.devices[0].add(1..500).await.unwrap());
    pair.devices[0].kill();
    pair.devices[1].become_(Role::Active).await.unwrap();
    let b = &pair.devices[1];
    assert!((1..500).all(|id| b.hits(id)));
    assert!(b.add(500..600).await.unwrap());
    assert_eq!(b.get(499).await.unwrap().in_packets, 1);
    // The dead one comes back as a standby.
    pair.devices[0].begin_anew().await;
    pair.until_in(1).await;
    until("everything to be there", async || (1..600).all(|id| pair.devices[0].hits(id))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_actives_the_one_with_the_lower_term_steps_down() {
    let pair = Pair::with_active("").await;
    assert!(pair.devices[0].add(1..10).await.unwrap());
    pair.devices[1].become_(Role::Active).await.unwrap();
    until("the other one to step down", async || pair.devices[0].status().await.role == i32::from(Role::Standby)).await;
    pair.until_in(1).await;
    let [a, b] = &pair.devices;
    until("both to forward", async || (1..10).all(|id| a.hits(id) && b.hits(id))).await;
    let (mine, theirs) = (a.status().await, b.status().await);
    assert_eq!((mine.term, mine.role_why.as_str()), (theirs.term, "higher-term"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_not_be_done_is_refused() {
    let pair = Pair::with_active("").await;
    let [a, b] = &pair.devices;
    let refused = b.operator().await.switchover(SwitchoverRequest {}).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
    let refused = a.operator().await.resync(ResyncRequest {}).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
    assert_eq!(a.become_(Role::Unspecified).await.unwrap_err().code(), Code::InvalidArgument);
    // A standby that is told so gets everything anew.
    assert!(a.add(1..300).await.unwrap());
    b.operator().await.resync(ResyncRequest {}).await.unwrap();
    until("everything to be there again", async || (1..300).all(|id| b.hits(id))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_etcd_a_dead_active_is_replaced_by_itself() {
    let etcd = EtcdServer::start(Timing::Quick).unwrap();
    let section = format!("mode = \"sync\"\netcd = {{ endpoints = [\"{}\"], prefix = \"/pair\" }}", etcd.endpoint());
    let mut pair = Pair::start("etcd", &section).await;
    let mut active = 0;
    until("one to be active", async || {
        for which in 0..2 {
            if pair.devices[which].status().await.role == i32::from(Role::Active) {
                active = which;
                return true;
            }
        }
        false
    })
    .await;
    pair.until_in(active).await;
    assert!(pair.devices[active].add(1..500).await.unwrap());
    pair.devices[active].kill();
    let begun = tokio::time::Instant::now();
    until_active(&pair, 1 - active).await;
    println!("active after {} ms", begun.elapsed().as_millis());
    let other = &pair.devices[1 - active];
    assert!((1..500).all(|id| other.hits(id)));
    assert!(other.add(500..600).await.unwrap());
    // Both are there again, and etcd is not: nothing happens while they hear each other.
    pair.devices[active].begin_anew().await;
    pair.until_in(1 - active).await;
    drop(etcd);
    tokio::time::sleep(Duration::from_secs(3)).await;
    let other = &pair.devices[1 - active];
    assert!(other.add(600..700).await.unwrap());
    assert_eq!(other.status().await.role, i32::from(Role::Active));
}

/// Of three who would talk to a device, one is its peer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_other_device_is_listened_to() {
    let pair = Pair::with_active("").await;
    let file = |name: &str| std::fs::read(pair.folder.path().join(name)).unwrap();
    let trusting = || ClientTlsConfig::new().ca_certificate(Certificate::from_pem(file("ca.crt"))).domain_name("b");
    let talk = async |tls: ClientTlsConfig| {
        let endpoint = Endpoint::new(format!("https://{}", pair.line)).unwrap().tls_config(tls).unwrap();
        let channel = endpoint.connect().await.map_err(|error| Status::unavailable(error.to_string()))?;
        PeerClient::new(channel).talk(tokio_stream::iter([Envelope::default()])).await
    };
    let nobody = talk(trusting()).await.unwrap_err();
    assert_ne!(nobody.code(), Code::PermissionDenied, "it does not come as far as that: {nobody}");
    let stranger = Identity::from_pem(file("stranger.crt"), file("stranger.key"));
    let refused = talk(trusting().identity(stranger)).await.unwrap_err();
    assert_eq!(
        (refused.code(), refused.message()),
        (Code::PermissionDenied, "the certificate must have the DNS name a")
    );
    assert_eq!(pair.devices[0].status().await.standing, i32::from(Standing::In), "nobody has noticed");
    // Who has the right name has the line, for as long as it makes sense.
    let peer = Identity::from_pem(file("a.crt"), file("a.key"));
    assert!(talk(trusting().identity(peer)).await.is_ok());
    pair.until_in(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_waits_for_the_other_one_takes_new_certificates() {
    let mut pair = Pair::with_active("").await;
    assert!(pair.devices[0].add(1..50).await.unwrap());
    pair.until_in(0).await;
    pair.certify_anew();
    pair.devices[1].daemon().reload_certificates();
    // The line that is open goes on; a new one is of the new authority at both ends.
    pair.devices[0].kill();
    until("its API to have them", async || pair.devices[1].try_channel().await.is_ok()).await;
    pair.devices[1].become_(Role::Active).await.unwrap();
    pair.devices[0].begin_anew().await;
    pair.until_in(1).await;
    until("everything to be there again", async || (1..50).all(|id| pair.devices[0].hits(id))).await;
}
