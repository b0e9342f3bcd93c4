//! addSession, getSession, deleteSession, getAllSessions over TLS, with frames on the simulated ports beside them.

use std::time::Duration;

use crate::common::{add, lif, list, packet, session, start, start_with, until};
use opof_api::v1::{self, AddSessionStatus, RequestStatus, SessionCloseCode, SessionState};
use opof_dataplane::pipeline::Port;
use opof_session::types::SessionId;
use opof_testkit::packet::Packet;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;

/// And its answer.
fn answer(id: u8) -> Vec<u8> {
    Packet::new().ipv4([192, 0, 2, 1], [10, 0, 0, id]).udp(53, 1000).payload(b"answer").build()
}

fn id(session_id: u64) -> v1::SessionId {
    v1::SessionId { session_id }
}

fn failures(response: &v1::AddSessionResponse) -> Vec<(u64, i32)> {
    response.response_error.iter().map(|error| (error.session_id, error.error_status)).collect()
}

#[tokio::test]
async fn a_session_is_offloaded_when_the_reply_says_so_and_no_longer_when_deleted() {
    let fixture = start().await;
    let mut client = fixture.client().await;
    assert_eq!(fixture.forward(1, &packet(7)), Some(Port::firewall(lif(1))));

    let response = add(&mut client, [session(7)]).await;
    assert_eq!(response.request_status(), AddSessionStatus::SessionAccepted);
    assert_eq!((response.error_status, failures(&response)), (0, vec![]));
    assert!(response.start_time.is_some());
    assert_eq!(fixture.forward(1, &packet(7)), Some(Port::wire(lif(2))));
    assert_eq!(fixture.forward(1, &packet(7)), Some(Port::wire(lif(2))));
    assert_eq!(fixture.forward(2, &answer(7)), Some(Port::wire(lif(1))));

    let got = client.get_session(id(7)).await.unwrap().into_inner();
    assert_eq!(got.request_status(), RequestStatus::Accepted);
    assert_eq!((got.in_packets, got.out_packets), (2, 1));
    assert_eq!((got.in_bytes, got.out_bytes), (2 * packet(7).len() as u64, answer(7).len() as u64));
    assert_eq!(
        (got.session_state(), got.session_close_code()),
        (SessionState::Established, SessionCloseCode::NotClosed)
    );
    assert_eq!(got.end_time, None);

    let deleted = client.delete_session(id(7)).await.unwrap().into_inner();
    assert_eq!((deleted.in_packets, deleted.out_packets), (2, 1));
    assert_eq!(
        (deleted.session_state(), deleted.session_close_code()),
        (SessionState::Closed, SessionCloseCode::NotClosed)
    );
    assert_eq!(deleted.start_time, got.start_time);
    assert!(deleted.end_time.is_some());
    assert_eq!(fixture.forward(1, &packet(7)), Some(Port::firewall(lif(1))));
    assert_eq!(crate::common::closed(&mut client, 0).await, [], "what was deleted is not reported as closed");
    assert!(fixture.daemon.stop().await);
}

/// Each keeps a part of the room while it waits for more.
#[tokio::test]
async fn streams_with_more_sessions_than_there_is_room_for_are_all_answered() {
    const STREAMS: u64 = 200;
    let length = 8 * opof_daemon::limits::INTAKE as u64 / STREAMS;
    let fixture = start().await;
    let mut calls = JoinSet::new();
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(fixture.client().await);
    }
    for stream in 0..STREAMS {
        let mut client = clients[(stream % 4) as usize].clone();
        calls.spawn(async move {
            let sessions: Vec<_> = (stream * length..(stream + 1) * length).map(session).collect();
            length - add(&mut client, sessions).await.response_error.len() as u64
        });
    }
    let all = tokio::time::timeout(Duration::from_secs(60), calls.join_all());
    let accepted: u64 = all.await.expect("nobody waits for ever").into_iter().sum();
    let device = fixture.device().await.get_device(opof_api::device::GetDeviceRequest {}).await.unwrap().into_inner();
    let statistics = device.statistics.unwrap();
    assert_eq!((statistics.added, statistics.added + statistics.refused), (accepted, STREAMS * length));
}

#[tokio::test]
async fn a_drop_session_drops() {
    let fixture = start().await;
    let mut client = fixture.client().await;
    let action = v1::ActionParameters { action_type: v1::ActionType::Drop.into(), ..Default::default() };
    add(&mut client, [v1::SessionRequest { action: Some(action), ..session(1) }]).await;
    assert_eq!(fixture.forward(1, &packet(1)), None);
    assert_eq!(client.get_session(id(1)).await.unwrap().into_inner().in_packets, 1);
}

#[tokio::test]
async fn an_unknown_id_is_an_answer_not_an_error() {
    let fixture = start().await;
    let mut client = fixture.client().await;
    for answer in [client.get_session(id(9)).await, client.delete_session(id(9)).await] {
        let answer = answer.unwrap().into_inner();
        assert_eq!(answer.request_status(), RequestStatus::RejectedSessionNonexistent);
        assert_eq!(answer.session_id, 9);
    }
}

#[tokio::test]
async fn the_same_id_again_already_exists_and_the_first_is_untouched() {
    let fixture = start().await;
    let mut client = fixture.client().await;
    add(&mut client, [session(1)]).await;
    let other = v1::SessionRequest { session_id: 1, ..session(2) };
    let response = add(&mut client, [session(3), other, session(1), session(4)]).await;
    assert_eq!(response.request_status(), AddSessionStatus::SessionAlreadyExists);
    assert_eq!(response.error_status, 0b0110);
    assert_eq!(failures(&response), [(1, 4), (1, 4)]);
    assert_eq!(fixture.forward(1, &packet(1)), Some(Port::wire(lif(2))));
    assert_eq!(fixture.forward(1, &packet(2)), Some(Port::firewall(lif(1))));
    assert_eq!(list(&mut client, 0, 0, 0).await.0, [1, 3, 4]);
}

#[tokio::test]
async fn the_mask_is_over_the_first_64_and_the_names_are_all() {
    let fixture = start().await;
    let mut client = fixture.client().await;
    add(&mut client, [3, 63, 65, 9000].map(session)).await;
    // More than two batches, so that positions are counted across them.
    let response = add(&mut client, (0..10_000).map(session)).await;
    assert_eq!(response.request_status(), AddSessionStatus::SessionAlreadyExists);
    assert_eq!(response.error_status, 1 << 3 | 1 << 63);
    assert_eq!(failures(&response), [(3, 4), (63, 4), (65, 4), (9000, 4)]);
    assert_eq!(fixture.daemon.driver().statistics().await.unwrap().sessions, 10_000);
}

#[tokio::test]
async fn a_bad_field_rejects_its_session_and_no_other() {
    let fixture = start().await;
    let mut client = fixture.client().await;
    let v6 = |bytes: usize| v1::SessionRequest {
        ip_version: v1::IpVersion::Ipv6.into(),
        source_ip_v6: vec![1; bytes],
        destination_ip_v6: vec![2; 16],
        ..session(1)
    };
    let itself = v1::SessionRequest {
        out_lif: 1,
        destination_ip: session(1).source_ip,
        destination_port: session(1).source_port,
        ..session(1)
    };
    let action = |action_type| v1::ActionParameters { action_type, ..Default::default() };
    let bad = [
        v6(15),
        v6(17),
        v1::SessionRequest { source_port: 65_536, ..session(1) },
        v1::SessionRequest { protocol_id: 0, ..session(1) },
        v1::SessionRequest { protocol_id: 1, ..session(1) },
        v1::SessionRequest { ip_version: 2, ..session(1) },
        v1::SessionRequest { action: Some(action(4)), ..session(1) },
        v1::SessionRequest { action: Some(action(v1::ActionType::Mirror.into())), ..session(1) },
        v1::SessionRequest { action: None, ..session(1) },
        v1::SessionRequest { in_lif: 3, ..session(1) },
        v1::SessionRequest { out_lif: 9, ..session(1) },
        itself,
    ];
    let count = bad.len();
    for (index, bad) in bad.into_iter().enumerate() {
        let good = 100 + index as u64;
        let response = add(&mut client, [bad, session(good)]).await;
        assert_eq!(response.request_status(), AddSessionStatus::SessionRejected, "message {index}");
        assert_eq!((response.error_status, failures(&response)), (1, vec![(1, 1)]), "message {index}");
    }
    assert_eq!(list(&mut client, 0, 0, 0).await.0.len(), count);
    assert_eq!(add(&mut client, [v6(16)]).await.request_status(), AddSessionStatus::SessionAccepted);
}

#[tokio::test]
async fn a_session_may_have_one_interface_on_both_sides() {
    let fixture = start().await;
    let mut client = fixture.client().await;
    let one_armed = v1::SessionRequest { out_lif: 1, ..session(1) };
    let between_vlans = v1::SessionRequest { in_lif: 0x0064_0001, out_lif: 0x00c8_0001, ..session(2) };
    assert_eq!(add(&mut client, [one_armed, between_vlans]).await.request_status(), AddSessionStatus::SessionAccepted);
    assert_eq!(list(&mut client, 0, 0, 0).await.0, [1, 2]);
}

#[tokio::test]
async fn a_full_table_keeps_what_fits() {
    let fixture = start_with(&["--max-sessions", "4"], "").await;
    let mut client = fixture.client().await;
    let response = add(&mut client, (1..=6).map(session)).await;
    assert_eq!(response.request_status(), AddSessionStatus::SessionTableFull);
    assert_eq!((response.error_status, failures(&response)), (0b11_0000, vec![(5, 2), (6, 2)]));
    client.delete_session(id(1)).await.unwrap();
    assert_eq!(add(&mut client, [session(5)]).await.request_status(), AddSessionStatus::SessionAccepted);
    assert_eq!(list(&mut client, 0, 0, 0).await.0, [2, 3, 4, 5]);
}

#[tokio::test]
async fn two_ids_for_one_tuple_as_the_listener_says() {
    let twin = v1::SessionRequest { session_id: 2, ..session(1) };
    for (policy, status, listed) in [
        ("supersede", AddSessionStatus::SessionAccepted, &[1, 2][..]),
        ("reject", AddSessionStatus::SessionAlreadyExists, &[1]),
    ] {
        let fixture = start_with(&[], &format!("same_tuple={policy}")).await;
        let mut client = fixture.client().await;
        let response = add(&mut client, [session(1), twin.clone()]).await;
        assert_eq!(response.request_status(), status, "{policy}");
        assert_eq!(list(&mut client, 0, 0, 0).await.0, listed, "{policy}");
    }
}

#[tokio::test]
async fn a_slow_clients_sessions_are_offloaded_as_they_come() {
    let fixture = start().await;
    let mut client = fixture.client().await;
    let (sender, receiver) = mpsc::channel(8);
    let call = tokio::spawn(async move { client.add_session(ReceiverStream::new(receiver)).await });
    for id in 1..=3 {
        sender.send(session(id.into())).await.unwrap();
        until("it is offloaded before the stream ends", async || {
            fixture.forward(1, &packet(id)) == Some(Port::wire(lif(2)))
        })
        .await;
    }
    drop(sender);
    let response = call.await.unwrap().unwrap().into_inner();
    assert_eq!(response.request_status(), AddSessionStatus::SessionAccepted);
}

#[tokio::test]
async fn a_stream_that_breaks_off_keeps_what_was_accepted() {
    let fixture = start().await;
    let mut client = fixture.client().await;
    let (sender, receiver) = mpsc::channel(8);
    let mut streaming = client.clone();
    let call = tokio::spawn(async move { streaming.add_session(ReceiverStream::new(receiver)).await });
    for id in 1..=3 {
        sender.send(session(id)).await.unwrap();
    }
    until("they are in", async || list(&mut fixture.client().await, 0, 0, 0).await.0.len() == 3).await;
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    assert_eq!(list(&mut client, 0, 0, 0).await.0, [1, 2, 3]);
    assert_eq!(add(&mut client, [session(1)]).await.request_status(), AddSessionStatus::SessionAlreadyExists);
}

#[tokio::test]
async fn an_empty_stream_is_accepted() {
    let fixture = start().await;
    let response = add(&mut fixture.client().await, []).await;
    assert_eq!(response.request_status(), AddSessionStatus::SessionAccepted);
}

#[tokio::test]
async fn pages_by_cursor_and_by_number() {
    let fixture = start().await;
    let mut client = fixture.client().await;
    assert_eq!(list(&mut client, 0, 0, 0).await, (vec![], 0));
    let ids = [0, 1, 2, 5, 8, 1 << 40, u64::MAX];
    add(
        &mut client,
        ids.map(session).map(|request| v1::SessionRequest {
            source_port: u32::try_from(request.session_id % 1000 + 1).unwrap(),
            ..request
        }),
    )
    .await;
    assert_eq!(list(&mut client, 0, 0, 0).await, (ids.to_vec(), 0));
    assert_eq!(list(&mut client, 3, 0, 0).await, (vec![0, 1, 2], 5));
    assert_eq!(list(&mut client, 3, 0, 5).await, (vec![5, 8, 1 << 40], u64::MAX));
    assert_eq!(list(&mut client, 3, 0, u64::MAX).await, (vec![u64::MAX], 0));
    assert_eq!(list(&mut client, 0, 0, 6).await, (vec![8, 1 << 40, u64::MAX], 0));
    assert_eq!(list(&mut client, 3, 1, 0).await, (vec![0, 1, 2], 5));
    assert_eq!(list(&mut client, 3, 2, 0).await, (vec![5, 8, 1 << 40], u64::MAX));
    assert_eq!(list(&mut client, 3, 3, 0).await, (vec![u64::MAX], 0));
    assert_eq!(list(&mut client, 3, 4, 0).await, (vec![], 0));
    assert_eq!(list(&mut client, 7, 1, 0).await, (ids.to_vec(), 0));
    assert_eq!(list(&mut client, u32::MAX, u32::MAX, 0).await, (vec![], 0));
}

#[tokio::test]
async fn far_pages_and_long_lists_are_put_together() {
    const COUNT: u64 = 70_000;
    let fixture = start().await;
    let mut client = fixture.client().await.max_decoding_message_size(64 << 20);
    add(&mut client, (1..=COUNT).map(session)).await;
    let (all, next) = list(&mut client, 0, 0, 0).await;
    assert_eq!((all.len() as u64, next), (COUNT, 0));
    assert!(all.iter().copied().eq(1..=COUNT));
    for (size, page) in [(10, 6_900), (1, 65_537), (1, 65_538), (65_536, 2), (65_537, 2), (69_999, 2)] {
        let (ids, next) = list(&mut client, size, page, 0).await;
        let first = u64::from(page - 1) * u64::from(size) + 1;
        let last = (first + u64::from(size) - 1).min(COUNT);
        assert!(ids.iter().copied().eq(first..=last), "{size} {page}: {:?}..{:?}", ids.first(), ids.last());
        assert_eq!(next, if last == COUNT { 0 } else { last + 1 }, "{size} {page}");
    }
}

#[tokio::test]
async fn a_message_that_is_none_ends_its_call_alone() {
    let fixture = start().await;
    let mut client = fixture.client().await;
    add(&mut client, [session(1)]).await;
    let endless = v1::SessionRequest { source_ip_v6: vec![0; 1 << 20], ..session(2) };
    let error = client.add_session(tokio_stream::iter([endless])).await.unwrap_err();
    assert_ne!(error.code(), tonic::Code::Ok);
    assert_eq!(list(&mut client, 0, 0, 0).await.0, [1]);
}

#[tokio::test]
async fn without_tls_nobody_is_heard_where_tls_is_asked_for() {
    let fixture = start().await;
    let address = format!("http://{}", fixture.daemon.addresses()[0]);
    let client = async {
        let mut client = v1::session_table_client::SessionTableClient::connect(address).await?;
        client.get_session(id(1)).await.map_err(Box::<dyn std::error::Error>::from)
    };
    assert!(tokio::time::timeout(Duration::from_secs(20), client).await.expect("it is refused at once").is_err());
}

#[tokio::test]
async fn plaintext_where_it_is_asked_for() {
    let config = crate::common::config(&["--listener".to_owned(), "address=127.0.0.1:0,plaintext=true".to_owned()]);
    let daemon = opof_daemon::Daemon::start(&config).await.unwrap();
    let address = format!("http://{}", daemon.addresses()[0]);
    let mut client = v1::session_table_client::SessionTableClient::connect(address).await.unwrap();
    add(&mut client, [session(1)]).await;
    assert!(daemon.driver().get(SessionId(1)).await.unwrap().is_some());
    assert!(daemon.stop().await);
}
