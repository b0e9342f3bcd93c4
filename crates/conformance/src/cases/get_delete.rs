//! getSession and deleteSession.

use opof_api::v1::{SessionCloseCode, SessionResponse, SessionState};
use prost_types::Timestamp;
use tokio::time::Instant;

use super::table;
use crate::bench::{Bench, ids};
use crate::case::{Check, holds, same, short};
use crate::limits;

table! {
    Required GetDelete "get-live-session" ALWAYS live_session
        "A session that was accepted is established, not closed, with a start and no end";
    Required GetDelete "get-twice-is-the-same" ALWAYS twice
        "Without traffic, two looks at a session see the same; so does the list";
    Required GetDelete "counters-zero-without-traffic" ALWAYS zero_counters
        "A session without packets has counters of zero, live, listed and deleted";
    Required GetDelete "delete-final-state" QUIET_DELETE final_state
        "A delete answers _CLOSED and _NOT_CLOSED, with the start and the end of the session";
    Required GetDelete "delete-takes-effect" ALWAYS takes_effect
        "A session is gone when its delete is answered";
    Required GetDelete "delete-leaves-others" ALWAYS leaves_others
        "A delete takes away the session that it names and no other";
    Required GetDelete "delete-id-again-at-once" ALWAYS again_at_once
        "The id and tuple of a deleted session can be added again at once";
    Required GetDelete "delete-twice" ALWAYS delete_twice
        "A session is deleted once: the second delete finds none";
    Advisory GetDelete "calls-within-100-ms" ALWAYS soon
        "Deployed C clients wait 100 ms for every call: add, get, list and delete answer sooner";
}

/// The four counters.
pub(super) const fn counters(session: &SessionResponse) -> [u64; 4] {
    [session.in_packets, session.out_packets, session.in_bytes, session.out_bytes]
}

/// A time after 1970 whose fraction is one.
pub(super) fn is_time(time: Option<&Timestamp>) -> bool {
    time.is_some_and(|time| time.seconds > 0 && (0..1_000_000_000).contains(&time.nanos))
}

async fn live_session(bench: &mut Bench) -> Check {
    bench.accepted(bench.sessions(0..2)).await?;
    for n in 0..2 {
        let seen = bench.live(bench.id(n)).await?;
        same("sessionId", &seen.session_id, &bench.id(n))?;
        same("sessionState", &seen.session_state, &SessionState::Established.into())?;
        same("sessionCloseCode", &seen.session_close_code, &SessionCloseCode::NotClosed.into())?;
        holds(is_time(seen.start_time.as_ref()), || "a startTime".to_owned(), || short(&seen.start_time))?;
        same("endTime", &seen.end_time, &None)?;
    }
    Ok(())
}

async fn twice(bench: &mut Bench) -> Check {
    bench.accepted(bench.sessions(0..1)).await?;
    let first = bench.live(bench.id(0)).await?;
    tokio::time::sleep(limits::WATCH).await;
    same("the session", &bench.live(bench.id(0)).await?, &first)?;
    same("the session in the list", &bench.list().await?, &vec![first])
}

async fn zero_counters(bench: &mut Bench) -> Check {
    bench.accepted(bench.sessions(0..1)).await?;
    let zero = [0; 4];
    same("counters in getSession", &counters(&bench.live(bench.id(0)).await?), &zero)?;
    for row in bench.list().await? {
        same("counters in the list", &counters(&row), &zero)?;
    }
    same("counters in deleteSession", &counters(&bench.deleted(bench.id(0)).await?), &zero)
}

async fn final_state(bench: &mut Bench) -> Check {
    bench.accepted(bench.sessions(0..1)).await?;
    let live = bench.live(bench.id(0)).await?;
    let seen = bench.deleted(bench.id(0)).await?;
    same("sessionId", &seen.session_id, &bench.id(0))?;
    same("sessionState", &seen.session_state, &SessionState::Closed.into())?;
    same("sessionCloseCode", &seen.session_close_code, &SessionCloseCode::NotClosed.into())?;
    same("startTime", &seen.start_time, &live.start_time)?;
    holds(in_order(&seen), || "an endTime not before startTime".to_owned(), || short(&(seen.start_time, seen.end_time)))
}

/// It has a start and an end, in this order.
pub(super) fn in_order(session: &SessionResponse) -> bool {
    let at = |time: &Timestamp| (time.seconds, time.nanos);
    let (start, end) = (session.start_time.as_ref(), session.end_time.as_ref());
    is_time(start) && is_time(end) && start.map(at) <= end.map(at)
}

async fn takes_effect(bench: &mut Bench) -> Check {
    bench.accepted(bench.sessions(0..8)).await?;
    for n in 0..8 {
        bench.deleted(bench.id(n)).await?;
        bench.gone(bench.id(n)).await?;
        let expected: Vec<u64> = (n + 1..8).map(|n| bench.id(n)).collect();
        same("ids listed", &bench.list_ids().await?, &expected)?;
    }
    Ok(())
}

async fn leaves_others(bench: &mut Bench) -> Check {
    bench.accepted(bench.sessions(0..5)).await?;
    bench.deleted(bench.id(2)).await?;
    let expected: Vec<u64> = [0, 1, 3, 4].map(|n| bench.id(n)).to_vec();
    same("ids listed", &ids(&bench.list().await?), &expected)?;
    for id in expected {
        bench.live(id).await?;
    }
    Ok(())
}

async fn again_at_once(bench: &mut Bench) -> Check {
    for _ in 0..16 {
        bench.accepted(bench.sessions(0..1)).await?;
        bench.deleted(bench.id(0)).await?;
    }
    Ok(())
}

async fn delete_twice(bench: &mut Bench) -> Check {
    bench.accepted(bench.sessions(0..1)).await?;
    bench.deleted(bench.id(0)).await?;
    let seen = bench.delete(bench.id(0)).await?;
    holds(seen.is_none(), || "no session to delete the second time".to_owned(), || short(&seen))
}

/// The best of a few tries: a busy machine is not the server's fault.
async fn soon(bench: &mut Bench) -> Check {
    let calls = ["addSession", "getSession", "getAllSessions", "deleteSession"];
    let mut best = [limits::C_CLIENTS * 2; 4];
    for _ in 0..limits::TRIES {
        let mut began = Instant::now();
        let mut lap = |call: usize| {
            let ended = Instant::now();
            best[call] = best[call].min(ended.duration_since(began));
            began = ended;
        };
        bench.accepted(bench.sessions(0..1)).await?;
        lap(0);
        bench.live(bench.id(0)).await?;
        lap(1);
        bench.page(1, bench.start()).await?;
        lap(2);
        bench.deleted(bench.id(0)).await?;
        lap(3);
    }
    for (call, took) in calls.iter().zip(best) {
        let expected = || format!("an answer to {call} within {} ms", limits::C_CLIENTS.as_millis());
        holds(took <= limits::C_CLIENTS, expected, || format!("none of {} came so soon", limits::TRIES))?;
    }
    Ok(())
}
