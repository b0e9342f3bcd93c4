//! Calls beside each other, and calls that are none.

use opof_api::dialect::Method;
use prost::Message;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;

use super::table;
use crate::bench::{Bench, failed, said};
use crate::case::{Check, Stop, holds, same, short};
use crate::raw::{self, Step};

/// A field of type 7, which there is none of (Protocol Buffers, Encoding, "Message Structure").
const NO_MESSAGE: [u8; 3] = [0x0F, 0xFF, 0xFF];

table! {
    Required Streams "streams-in-parallel" ALWAYS parallel
        "Streams beside each other are judged and answered each by itself";
    Required Streams "streams-race-for-an-id" ALWAYS race
        "Of streams beside each other that add one id, one has it accepted";
    Required Streams "malformed-message-ends-its-call" ALWAYS malformed
        "Bytes that are no message end their call with an error, and harm no other call";
    Required Streams "malformed-in-a-stream" ALWAYS malformed_in_stream
        "A malformed message in an addSession stream takes back nothing that was accepted";
}

async fn parallel(bench: &mut Bench) -> Check {
    const STREAMS: u64 = 6;
    const EACH: u64 = 50;
    let mut calls = JoinSet::new();
    for stream in 0..STREAMS {
        let numbers = stream * EACH..(stream + 1) * EACH;
        // One of each is bad, at a place of its own.
        let bad = stream * EACH + stream;
        let sessions: Vec<_> =
            numbers.map(|n| if n == bad { bench.bad_session(n) } else { bench.session(n) }).collect();
        bench.name(&sessions);
        let (mut beside, id) = (bench.beside(), bench.id(bad));
        calls.spawn(async move { beside.refused(sessions, &[id]).await });
    }
    while let Some(call) = calls.join_next().await {
        call.unwrap_or_else(|_| Err(Stop::failed("a call to end", "it was cancelled")))?;
    }
    let expected = usize::try_from(STREAMS * (EACH - 1)).unwrap_or(usize::MAX);
    same("sessions listed", &bench.list().await?.len(), &expected)
}

async fn race(bench: &mut Bench) -> Check {
    let mut calls = JoinSet::new();
    bench.name(&bench.sessions(0..1));
    for _ in 0..8 {
        let mut beside = bench.beside();
        let session = beside.session(0);
        calls.spawn(async move { beside.add(vec![session]).await });
    }
    let mut accepted = 0;
    while let Some(call) = calls.join_next().await {
        let response = call.unwrap_or_else(|_| Err(Stop::failed("a call to end", "it was cancelled")))?;
        accepted += u32::from(failed(&response).is_empty());
    }
    same("streams of 8 with one id that had it accepted", &accepted, &1)?;
    same("ids listed", &bench.list_ids().await?, &vec![bench.id(0)])
}

async fn malformed(bench: &mut Bench) -> Check {
    let session = bench.session(0);
    bench.name(std::slice::from_ref(&session));
    // A stream that is open meanwhile, on the same connection.
    let (sender, receiver) = mpsc::channel(4);
    let mut rpc = bench.rpc();
    let open = tokio::spawn(async move { rpc.add_session(ReceiverStream::new(receiver)).await });
    let _ = sender.send(session).await;
    for method in [Method::GetSession, Method::DeleteSession, Method::GetAllSessions] {
        let path = bench.terms().dialect.path(method);
        let answer = bench.within(&path, raw::unary(bench.channel(), &path, NO_MESSAGE.to_vec())).await?;
        holds(answer.is_err(), || format!("{path} to fail for bytes that are no message"), || short(&answer))?;
    }
    let _ = sender.send(bench.session(1)).await;
    bench.name(&bench.sessions(1..2));
    drop(sender);
    let reply = bench.within("addSession beside malformed calls", open).await?;
    let reply = reply.map_err(|_| Stop::failed("a call to end", "it was cancelled"))?;
    let reply = reply.map_err(|status| Stop::failed("other calls to go on", said(&status)))?;
    same("sessions refused", &failed(reply.get_ref()), &Vec::new())?;
    same("ids listed", &bench.list_ids().await?, &vec![bench.id(0), bench.id(1)])
}

async fn malformed_in_stream(bench: &mut Bench) -> Check {
    let path = bench.terms().dialect.path(Method::AddSession);
    let session = bench.session(0);
    bench.name(std::slice::from_ref(&session));
    let (sender, receiver) = mpsc::channel(4);
    let channel = bench.channel();
    let call = tokio::spawn(async move { raw::client_streaming(channel, &path, ReceiverStream::new(receiver)).await });
    let _ = sender.send(Step::Message(session.encode_to_vec())).await;
    let id = bench.id(0);
    let there = bench.until(bench.deadline(), async |bench| Ok(bench.get(id).await?.is_some())).await?;
    holds(
        there,
        || "getSession to find the session of a stream that is still open".to_owned(),
        || "no such session".to_owned(),
    )?;
    let _ = sender.send(Step::Message(NO_MESSAGE.to_vec())).await;
    let answer = bench.within("addSession with a malformed message", call).await?;
    let answer = answer.map_err(|_| Stop::failed("a call to end", "it was cancelled"))?;
    holds(answer.is_err(), || "addSession to fail for bytes that are no message".to_owned(), || short(&answer))?;
    bench.live(id).await?;
    same("ids listed", &bench.list_ids().await?, &vec![id])
}
