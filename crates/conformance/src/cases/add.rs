//! addSession: one stream, one reply.

use std::pin::pin;

use opof_api::dialect::Method;
use opof_api::v1::{ActionType, SessionState, TunnelType};
use prost::Message;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::table;
use crate::bench::{Bench, failed, ids, ipv6, said};
use crate::case::{Check, Stop, holds, same, short};
use crate::limits;
use crate::raw::{self, Step};

table! {
    Required Add "add-empty-stream" ALWAYS empty_stream
        "A stream without messages is answered, and nothing failed";
    Required Add "add-accepts-each-kind" ALWAYS each_kind
        "IPv4 and IPv6, TCP and UDP, FORWARD and DROP are accepted and established";
    Required Add "add-names-the-failed-only" ALWAYS failed_only
        "responseError names each session that failed and no other; the others are accepted";
    Required Add "add-errors-in-stream-order" ALWAYS stream_order
        "Sessions of a stream are judged one by one wherever they stand, past the 64th as well";
    Required Add "add-within-gtp-u" TUNNELS within_gtpu
        "A session within GTP-U is accepted, or refused by itself where the server can't";
    Required Add "add-longer-than-64" ALWAYS longer_than_64
        "A stream may have more than 64 messages";
    Required Add "add-reply-waits-for-half-close" ALWAYS half_close
        "The reply comes when the client half-closes, not before";
    Required Add "add-counts-before-half-close" ALWAYS before_half_close
        "A session of a stream that is still open is accepted as it comes";
    Required Add "add-broken-off-keeps-accepted" ALWAYS broken_off
        "A stream that breaks off before half-close keeps what was accepted";
    Required Add "add-reply-has-a-time" ALWAYS start_time
        "The reply carries the time at which the stream was answered";
    Required Add "add-ids-of-64-bits" ALWAYS wide_ids
        "Any 64-bit number is an id, 0 too";
}

async fn empty_stream(bench: &mut Bench) -> Check {
    let response = bench.add(Vec::new()).await?;
    let seen = (response.request_status, response.error_status, failed(&response));
    same("requestStatus, errorStatus, responseError", &seen, &(0, 0, Vec::new()))
}

async fn each_kind(bench: &mut Bench) -> Check {
    let mut sessions = bench.sessions(0..8);
    for (n, session) in sessions.iter_mut().enumerate() {
        if n / 2 % 2 == 1 {
            *session = ipv6(std::mem::take(session));
        }
        if n >= 4 {
            session.action.get_or_insert_default().set_action_type(ActionType::Drop);
        }
    }
    let expected: Vec<u64> = sessions.iter().map(|session| session.session_id).collect();
    bench.accepted(sessions).await?;
    for id in &expected {
        let live = bench.live(*id).await?;
        same(&format!("sessionState of session {id}"), &live.session_state, &SessionState::Established.into())?;
    }
    same("ids listed", &bench.list_ids().await?, &expected)
}

async fn failed_only(bench: &mut Bench) -> Check {
    let (good, bad, other) = (bench.session(0), bench.bad_session(1), bench.session(2));
    bench.refused(vec![good, bad, other], &[bench.id(1)]).await?;
    bench.live(bench.id(0)).await?;
    bench.live(bench.id(2)).await?;
    bench.gone(bench.id(1)).await
}

async fn stream_order(bench: &mut Bench) -> Check {
    let bad = [3, 63, 64, 150];
    let one = |n| if bad.contains(&n) { bench.bad_session(n) } else { bench.session(n) };
    let sessions = (0..200).map(one).collect();
    let expected: Vec<u64> = bad.iter().map(|n| bench.id(*n)).collect();
    bench.refused(sessions, &expected).await?;
    same("sessions listed of 200 with 4 refused", &bench.list().await?.len(), &196)
}

async fn within_gtpu(bench: &mut Bench) -> Check {
    let mut session = bench.session(0);
    session.set_encap_type(TunnelType::Gtpu);
    let response = bench.add(vec![session, bench.session(1)]).await?;
    bench.live(bench.id(1)).await?;
    match failed(&response).as_slice() {
        [] => bench.live(bench.id(0)).await.map(drop),
        [(id, _)] if *id == bench.id(0) => Err(Stop::not_applicable("the server refuses sessions within GTP-U")),
        other => Err(Stop::failed("the session within GTP-U to be refused, if any", short(&other))),
    }
}

async fn longer_than_64(bench: &mut Bench) -> Check {
    let sessions = bench.sessions(0..300);
    let expected: Vec<u64> = sessions.iter().map(|session| session.session_id).collect();
    bench.accepted(sessions).await?;
    same("ids listed", &bench.list_ids().await?, &expected)
}

async fn half_close(bench: &mut Bench) -> Check {
    let sessions = bench.sessions(0..2);
    bench.name(&sessions);
    let (sender, receiver) = mpsc::channel(4);
    let mut rpc = bench.rpc();
    let mut call = pin!(rpc.add_session(ReceiverStream::new(receiver)));
    for session in sessions {
        // It fails when the call has ended, which is what comes out next.
        let _ = sender.send(session).await;
    }
    if let Ok(early) = timeout(limits::WATCH, &mut call).await {
        let seen = early.map_or_else(|status| said(&status), |reply| short(reply.get_ref()));
        return Err(Stop::failed("no reply to addSession before the client half-closes", seen));
    }
    drop(sender);
    let reply = bench.within("addSession after half-close", call).await?;
    let reply = reply.map_err(|status| Stop::failed("a reply after half-close", said(&status)))?;
    same("sessions refused", &failed(reply.get_ref()), &Vec::new())
}

/// An addSession stream that is open.
struct OpenStream {
    sender: mpsc::Sender<Step>,
    call: JoinHandle<Result<Vec<u8>, Status>>,
}

/// Sends two sessions, and waits until they are there while the stream is open.
async fn open_stream(bench: &mut Bench) -> Result<OpenStream, Stop> {
    let sessions = bench.sessions(0..2);
    bench.name(&sessions);
    let (sender, receiver) = mpsc::channel(4);
    let (channel, path) = (bench.channel(), bench.terms().dialect.path(Method::AddSession));
    let call = tokio::spawn(async move { raw::client_streaming(channel, &path, ReceiverStream::new(receiver)).await });
    for session in sessions {
        let _ = sender.send(Step::Message(session.encode_to_vec())).await;
    }
    let ids = [bench.id(0), bench.id(1)];
    let mut there = 0;
    let found = bench
        .until(bench.deadline(), async |bench| {
            if bench.get(ids[there]).await?.is_some() {
                there += 1;
            }
            Ok(there == ids.len())
        })
        .await?;
    holds(
        found,
        || "getSession to find the sessions of a stream that is still open".to_owned(),
        || format!("{there} of {}", ids.len()),
    )?;
    Ok(OpenStream { sender, call })
}

async fn before_half_close(bench: &mut Bench) -> Check {
    let OpenStream { sender, call } = open_stream(bench).await?;
    drop(sender);
    let reply = bench.within("addSession after half-close", call).await?;
    match reply {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(status)) => Err(Stop::failed("a reply after half-close", said(&status))),
        Err(_) => Err(Stop::failed("a call to end", "it was cancelled")),
    }
}

async fn broken_off(bench: &mut Bench) -> Check {
    let OpenStream { sender, call } = open_stream(bench).await?;
    let _ = sender.send(Step::BreakOff).await;
    // It ends with an error of this side.
    let _ = bench.within("addSession that breaks off", call).await?;
    tokio::time::sleep(limits::WATCH).await;
    same("ids listed after the stream broke off", &bench.list_ids().await?, &vec![bench.id(0), bench.id(1)])?;
    bench.refused(vec![bench.session(0)], &[bench.id(0)]).await
}

async fn start_time(bench: &mut Bench) -> Check {
    let response = bench.add(vec![bench.session(0)]).await?;
    let is_good =
        response.start_time.as_ref().is_some_and(|time| time.seconds > 0 && (0..1_000_000_000).contains(&time.nanos));
    holds(is_good, || "a startTime".to_owned(), || short(&response.start_time))
}

async fn wide_ids(bench: &mut Bench) -> Check {
    let wide = [0, 1 << 31, 1 << 40, u64::MAX];
    let mut sessions = bench.sessions(0..4);
    for (session, id) in sessions.iter_mut().zip(wide) {
        session.session_id = id;
    }
    bench.accepted(sessions).await?;
    for id in wide {
        same("sessionId", &bench.live(id).await?.session_id, &id)?;
    }
    let listed = bench.list().await?;
    same("ids listed", &ids(&listed), &wide.to_vec())
}
