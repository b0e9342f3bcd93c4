//! cacheTimeout: sessions without packets close, in time.

use std::collections::BTreeMap;
use std::time::Duration;

use opof_api::v1::{SessionCloseCode, SessionRequest, SessionState};
use tokio::time::Instant;

use super::get_delete::{counters, in_order};
use super::table;
use crate::bench::Bench;
use crate::case::{Check, Stop, holds, same, short};
use crate::limits;

table! {
    Required Aging "aging-closes-in-time" ALWAYS in_time
        "A session closes within a second after cacheTimeout seconds without a packet, not before";
    Required Aging "aging-record" ALWAYS record
        "The record of a timeout says _CLOSED and _TIMEOUT, zero counters, start before end";
    Required Aging "aging-closed-is-not-listed" ALWAYS not_listed
        "A session that closed is neither listed nor found, though nobody has collected it";
    Required Aging "aging-zero-is-the-default" ALWAYS zero_is_default
        "cacheTimeout 0 is the device's default, not at once";
    Required Aging "aging-beyond-the-maximum" ALWAYS beyond_maximum
        "A cacheTimeout above the device's maximum is clamped, not refused";
}

async fn in_time(bench: &mut Bench) -> Check {
    let began = Instant::now();
    bench.accepted([bench.short_lived(0..1, 1), bench.short_lived(1..2, 2)].concat()).await?;
    let answered = Instant::now();
    // One look may bring both, and each is told once.
    let mut heard = BTreeMap::new();
    for (n, seconds) in [(0, 1), (1, 2)] {
        let id = bench.id(n);
        let timeout = Duration::from_secs(seconds);
        let latest = answered + timeout + limits::CLOSING + limits::SLACK;
        loop {
            // Before the question, so that a late answer is not held against the server.
            let asked = Instant::now();
            let records = bench.collect(0).await?;
            let early = asked.duration_since(began).as_secs_f64();
            for id in bench.own_ids(&records) {
                heard.entry(id).or_insert_with(|| Instant::now().duration_since(began));
            }
            if let Some(heard) = heard.get(&id).copied() {
                let expected = || format!("session {id} to close after its timeout of {seconds} s");
                holds(heard >= timeout, expected, || format!("closed after {:.3} s", heard.as_secs_f64()))?;
                break;
            }
            if asked > latest {
                let expected = format!("session {id} to close within a second after its timeout of {seconds} s");
                return Err(Stop::failed(expected, format!("no record of it after {early:.3} s")));
            }
            tokio::time::sleep(limits::POLL).await;
        }
    }
    Ok(())
}

async fn record(bench: &mut Bench) -> Check {
    bench.accepted(bench.short_lived(0..1, 1)).await?;
    let live = bench.live(bench.id(0)).await?;
    bench.until_none_is_listed(1).await?;
    let all = bench.collect_all().await?;
    let records = bench.own(all);
    let [seen] = records.as_slice() else {
        return Err(Stop::failed(format!("one record of session {}", bench.id(0)), short(&records)));
    };
    same("sessionState", &seen.session_state, &SessionState::Closed.into())?;
    same("sessionCloseCode", &seen.session_close_code, &SessionCloseCode::Timeout.into())?;
    same("counters", &counters(seen), &[0; 4])?;
    same("startTime", &seen.start_time, &live.start_time)?;
    holds(
        in_order(seen),
        || "an endTime not before startTime".to_owned(),
        || short(&(seen.start_time, seen.end_time)),
    )?;
    let lived = match (&seen.start_time, &seen.end_time) {
        (Some(start), Some(end)) => end.seconds - start.seconds,
        _ => 0,
    };
    // Whole seconds: 0.9 to 2.1 are 1.2 s.
    holds((1..=3).contains(&lived), || "endTime a second or two after startTime".to_owned(), || format!("{lived} s"))
}

async fn not_listed(bench: &mut Bench) -> Check {
    bench.accepted(bench.short_lived(0..2, 1)).await?;
    bench.accepted(bench.sessions(2..3)).await?;
    let longest = Duration::from_secs(1) + limits::CLOSING + limits::SLACK;
    let (closing, staying) = ([bench.id(0), bench.id(1)], bench.id(2));
    let seen = bench.until(longest, async |bench| Ok(bench.list_ids().await? == [staying])).await?;
    if !seen {
        let left = bench.list_ids().await?;
        return Err(Stop::failed(format!("session {staying} alone in the list"), short(&left)));
    }
    for id in closing {
        bench.gone(id).await?;
    }
    bench.live(staying).await.map(drop)
}

async fn zero_is_default(bench: &mut Bench) -> Check {
    bench.accepted(bench.short_lived(0..1, 0)).await?;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    bench.live(bench.id(0)).await.map(drop)
}

async fn beyond_maximum(bench: &mut Bench) -> Check {
    let session = SessionRequest { cache_timeout: u32::MAX, ..bench.session(0) };
    bench.accepted(vec![session]).await?;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    bench.live(bench.id(0)).await.map(drop)
}
