//! Clients that take what they can get, and one beside them that means well.

use std::time::Duration;

use opof_api::{Dialect, Rpc, v1beta1};
use opof_daemon::{Daemon, RunningDaemon};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::Code;
use tonic::transport::Endpoint;
use tonic_types::StatusExt;

use crate::common::{config, session, until};

async fn start(arguments: &[&str]) -> RunningDaemon {
    let all = ["--listener", "address=127.0.0.1:0,plaintext=true"];
    let all: Vec<_> = all.iter().chain(arguments).map(ToString::to_string).collect();
    Daemon::start(&config(&all)).await.unwrap()
}

async fn client(daemon: &RunningDaemon) -> Rpc {
    let endpoint = Endpoint::new(format!("http://{}", daemon.addresses()[0])).unwrap();
    Rpc::new(endpoint.connect().await.unwrap(), Dialect::V1)
}

async fn add(client: &mut Rpc, ids: std::ops::Range<u64>) -> Result<v1beta1::AddSessionResponse, tonic::Status> {
    let sessions: Vec<_> = ids.map(session).collect();
    client.add_session(tokio_stream::iter(sessions)).await.map(tonic::Response::into_inner)
}

async fn get(client: &mut Rpc) -> Result<(), tonic::Status> {
    client.get_session(v1beta1::SessionId { session_id: 1 }).await.map(|_| ())
}

/// Resolves when the other end closes the connection.
async fn closed(stream: &mut TcpStream) {
    let mut buffer = [0; 1024];
    let end = async { while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {} };
    tokio::time::timeout(Duration::from_secs(20), end).await.expect("it is closed");
}

#[tokio::test]
async fn connections_that_say_nothing_make_room_for_those_that_do() {
    let daemon = start(&["--max-connections", "8"]).await;
    let address = daemon.addresses()[0].to_string();
    let mut caller = client(&daemon).await;
    get(&mut caller).await.unwrap();
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(TcpStream::connect(&address).await.unwrap());
    }
    // A newcomer that calls at once gets its place among them, as often as it likes.
    for id in 0..10 {
        let mut newcomer = client(&daemon).await;
        add(&mut newcomer, id..id + 1).await.unwrap();
    }
    get(&mut caller).await.unwrap();
    closed(&mut silent[0]).await;
    assert_eq!(daemon.driver().statistics().await.unwrap().added, 10);
}

#[tokio::test]
async fn a_connection_that_drips_bytes_is_closed_when_its_header_is_due() {
    let daemon = start(&["--header-timeout", "1"]).await;
    let mut stream = TcpStream::connect(daemon.addresses()[0].to_string()).await.unwrap();
    let (mut read, mut write) = stream.split();
    let dripping = async {
        // The preface of HTTP/2 (RFC 9113, 3.4), ever so slowly.
        for byte in b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" {
            tokio::time::sleep(Duration::from_millis(200)).await;
            write.write_u8(*byte).await?;
        }
        Ok::<_, std::io::Error>(())
    };
    let closing = async {
        let mut buffer = [0; 1024];
        while read.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
    };
    tokio::select! {
        outcome = dripping => assert!(outcome.is_err(), "it has had five times the time it may take"),
        () = closing => {}
    }
}

#[tokio::test]
async fn a_connection_without_a_sign_of_life_is_closed_and_one_that_answers_pings_is_not() {
    let daemon = start(&["--idle-timeout", "5"]).await;
    let mut alive = client(&daemon).await;
    get(&mut alive).await.unwrap();
    // One call by hand, then nothing: not even an answer to a ping.
    let mut dead = TcpStream::connect(daemon.addresses()[0].to_string()).await.unwrap();
    dead.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    closed(&mut dead).await;
    get(&mut alive).await.unwrap();
}

#[tokio::test]
async fn a_message_that_is_too_large_ends_its_call_alone_whatever_it_claims_to_be() {
    let daemon = start(&["--max-message-bytes", "300"]).await;
    let mut client = client(&daemon).await;
    let large = v1beta1::SessionRequest { source_ip_v6: vec![0; 400], ..session(2) };
    let status = client.add_session(tokio_stream::iter([session(1), large])).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange, "{status:?}");
    get(&mut client).await.unwrap();
    until("what came before stays", async || daemon.driver().statistics().await.unwrap().sessions == 1).await;
}

#[tokio::test]
async fn a_stream_has_only_so_many_sessions_and_keeps_those() {
    let daemon = start(&["--max-stream-sessions", "10"]).await;
    let mut client = client(&daemon).await;
    assert_eq!(add(&mut client, 0..10).await.unwrap().response_error, []);
    let status = add(&mut client, 100..111).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.message().contains("10 sessions at most (limits.stream_sessions)"), "{status:?}");
    assert_eq!(daemon.driver().statistics().await.unwrap().added, 20);
    assert_eq!(status.get_details_quota_failure().unwrap().violations[0].subject, "addSession");
}

#[tokio::test]
async fn a_client_beyond_its_rate_is_told_when_to_come_back() {
    let daemon = start(&["--max-rate", "20"]).await;
    let mut client = client(&daemon).await;
    let status = loop {
        if let Err(status) = get(&mut client).await {
            break status;
        }
    };
    assert_eq!(status.code(), Code::ResourceExhausted);
    let wait = status.get_details_retry_info().unwrap().retry_delay.unwrap();
    assert!(wait <= Duration::from_secs(1), "{wait:?}");
    tokio::time::sleep(wait).await;
    get(&mut client).await.unwrap();
}

#[tokio::test]
async fn a_stream_beyond_the_rate_is_slowed_down_and_loses_nothing() {
    let daemon = start(&["--max-rate", "100"]).await;
    let mut client = client(&daemon).await;
    let before = tokio::time::Instant::now();
    assert_eq!(add(&mut client, 0..250).await.unwrap().response_error, []);
    // 100 at once, 100 ahead; the rest after a second.
    assert!(before.elapsed() > Duration::from_millis(900), "{:?}", before.elapsed());
    assert_eq!(daemon.driver().statistics().await.unwrap().added, 250);
}

#[tokio::test]
async fn a_call_whose_deadline_is_over_ends_and_keeps_what_was_accepted() {
    let daemon = start(&["--max-rate", "10"]).await;
    let mut client = client(&daemon).await;
    let mut request = tonic::Request::new(tokio_stream::iter((0..1000).map(session).collect::<Vec<_>>()));
    request.set_timeout(Duration::from_millis(300));
    // Which end says so first, and so by which code, is a race; the daemon's own is a unit test.
    client.add_session(request).await.unwrap_err();
    let accepted = daemon.driver().statistics().await.unwrap().added;
    assert!((1..1000).contains(&accepted), "{accepted}");
}

#[tokio::test]
async fn a_client_has_only_so_many_streams_of_closed_sessions_and_gets_them_back() {
    let daemon = start(&[]).await;
    let mut client = client(&daemon).await;
    let open = async |client: &mut Rpc| {
        let mut request = tonic::Request::new(v1beta1::SessionRequestArgs::default());
        request.metadata_mut().insert("opof-follow", "true".parse().unwrap());
        client.get_closed_sessions(request).await.map(tonic::Response::into_inner)
    };
    let mut streams = Vec::new();
    let status = loop {
        match open(&mut client).await {
            Ok(stream) => streams.push(stream),
            Err(status) => break status,
        }
    };
    assert_eq!((streams.len(), status.code()), (16, Code::ResourceExhausted));
    streams.pop();
    until("one that has ended makes room", async || open(&mut client).await.is_ok()).await;
}

#[tokio::test]
async fn short_streams_cost_what_they_carry() {
    let daemon = start(&["--max-rate", "100"]).await;
    let mut client = client(&daemon).await;
    let before = tokio::time::Instant::now();
    for id in 0..90 {
        add(&mut client, id..id + 1).await.unwrap();
    }
    assert!(before.elapsed() < Duration::from_secs(5), "{:?} for 90 sessions at 100 a second", before.elapsed());
}

#[tokio::test]
async fn several_listeners_are_one_table() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("opofd.sock");
    let daemon = start(&[
        "--listener",
        &format!("address=unix:{},profile=bluefield", path.display()),
        "--listener",
        "address=[::1]:0,plaintext=true,same_tuple=reject,role=reader",
    ])
    .await;
    let mut tcp = client(&daemon).await;
    assert_eq!(add(&mut tcp, 7..8).await.unwrap().response_error, []);
    let channel = Endpoint::new(format!("unix:{}", path.display())).unwrap().connect().await.unwrap();
    let mut unix = Rpc::new(channel, Dialect::V1);
    let unknown = unix.get_session(v1beta1::SessionId { session_id: 8 }).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound, "each listener has its own profile");
    assert_eq!(unix.get_session(v1beta1::SessionId { session_id: 7 }).await.unwrap().into_inner().session_id, 7);
    let channel = Endpoint::new(format!("http://{}", daemon.addresses()[2])).unwrap().connect().await.unwrap();
    let mut reader = Rpc::new(channel, Dialect::V2);
    get(&mut reader).await.unwrap();
    assert_eq!(add(&mut reader, 9..10).await.unwrap_err().code(), Code::PermissionDenied, "and its own role");
    assert!(daemon.stop().await);
    assert!(!path.exists());
}

#[tokio::test]
async fn reflection_knows_every_dialect() {
    use tonic_reflection::pb::v1::ServerReflectionRequest;
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
    let daemon = start(&[]).await;
    let channel = Endpoint::new(format!("http://{}", daemon.addresses()[0])).unwrap().connect().await.unwrap();
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut answers = ServerReflectionClient::new(channel)
        .server_reflection_info(tokio_stream::iter([request]))
        .await
        .unwrap()
        .into_inner();
    let answer = answers.message().await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else { panic!("{answer:?}") };
    let names: Vec<_> = list.service.iter().map(|service| service.name.as_str()).collect();
    for dialect in Dialect::ALL {
        assert!(names.contains(&dialect.service()), "{names:?}");
    }
    for name in ["grpc.health.v1.Health", "opof.device.v1.Device", "opof.pair.v1.Pair"] {
        assert!(names.contains(&name), "{names:?}");
    }
}
