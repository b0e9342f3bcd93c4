//! A table that is filled, left alone until all of it has aged out, and filled again: is everything reported, once, and is the memory
//! there for the next time?

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use opof_api::v1beta1::SessionRequestArgs;
use opof_testkit::wait::Stopwatch;

use crate::area::Setting;
use crate::calls::{self, Family};
use crate::device::Device;
use crate::report::{AreaReport, Bound, Figure, Target};
use crate::subject::Subject;
use crate::text;

const ABOUT: &str = "opofd on XDP: as many sessions as it has room for are added, reach their timeout without a packet, and are collected \
     as they close, twice over. Each closed record has to come once, and the table has to be empty then. In one run, for it does not vary.";

const STREAM: u32 = 4096;
const CYCLES: [&str; 2] = ["the first time", "again"];
/// Between two looks for closed sessions when there were none.
const PAUSE: Duration = Duration::from_millis(100);

/// How much, and how long it stays.
struct Amounts {
    sessions: u32,
    /// Seconds: all have been added by then.
    timeout: u32,
    /// Until all are collected.
    bound: Duration,
}

pub(crate) fn run(setting: &Setting<'_>) -> Result<AreaReport> {
    let full = Amounts { sessions: 16_000_000, timeout: 90, bound: Duration::from_secs(300) };
    let quick = Amounts { sessions: 10_000, timeout: 2, bound: Duration::from_secs(30) };
    let amounts = setting.scale.of(full, quick);
    let device = Device::new()?;
    let sessions = text::whole(amounts.sessions);
    let mut memory = Figure::new(
        "memory",
        format!("Memory of opofd beside its maps, {sessions} sessions"),
        "MiB",
        &["full", "empty again"],
    );
    let mut rate = Figure::new(
        "rate",
        "Sessions a second",
        "sessions/s",
        &["added", "closed and collected, from the first timeout on"],
    );
    let mut flags = device.flags();
    for flag in ["--max-sessions", "--max-closed"] {
        flags.extend([flag.to_owned(), amounts.sessions.to_string()]);
    }
    let mut wrong = 0;
    let server = Subject::opofd(&device.namespace, &flags.iter().map(String::as_str).collect::<Vec<_>>())?;
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52 bytes")]
    let resident = || server.resident().map(|bytes| bytes as f64 / f64::from(1 << 20));
    for cycle in CYCLES {
        setting.progress.say(&format!("{sessions} sessions added, {cycle}"));
        let watch = Stopwatch::start();
        calls::within(&device.namespace, async || add(&amounts).await)?;
        let added = watch.elapsed();
        ensure!(
            added.as_secs() < u64::from(amounts.timeout),
            "{sessions} sessions were not added within their timeout"
        );
        rate.add(cycle, 0, f64::from(amounts.sessions) / added.as_secs_f64());
        memory.add(cycle, 0, resident()?);
        setting.progress.say(&format!("{sessions} sessions closed and collected, {cycle}"));
        let collected = calls::within(&device.namespace, async || collect(&amounts, &watch).await)?;
        rate.add(cycle, 1, f64::from(amounts.sessions) / collected.took.as_secs_f64());
        let (left, _) = calls::within(&device.namespace, async || calls::list(64).await)?;
        wrong += collected.wrong + left;
        memory.add(cycle, 1, resident()?);
    }
    let grown = memory.samples(CYCLES[1], 1).ratio_to(&memory.samples(CYCLES[0], 1));
    let name = format!(
        "{sessions} sessions, twice: closed records that did not come, came again, or were of none; sessions left"
    );
    let targets = vec![
        Target::new(name, Bound::AtMost(0.0), f64::from(wrong), ""),
        Target::new("memory after the second time, of after the first".to_owned(), Bound::AtMost(1.1), grown, "×"),
    ];
    Ok(AreaReport { name: "lifecycle", about: ABOUT.to_owned(), figures: vec![memory, rate], targets })
}

async fn add(amounts: &Amounts) -> Result<()> {
    let mut client = calls::connect().await?;
    let (sessions, timeout) = (amounts.sessions, amounts.timeout);
    for first in (1..=sessions).step_by(STREAM as usize) {
        let ids = first..(first + STREAM).min(sessions + 1);
        calls::stream_of(&mut client, ids, Family::V4, move |_| timeout).await?;
    }
    Ok(())
}

/// What came of closed sessions.
struct Collected {
    /// Beyond the timeout of the first one.
    took: Duration,
    /// Records that did not come, and those that should not have.
    wrong: u32,
}

/// Collects the record of each session, as long as that may take.
async fn collect(amounts: &Amounts, since_first: &Stopwatch) -> Result<Collected> {
    let mut client = calls::connect().await?;
    let mut seen = vec![false; amounts.sessions as usize];
    let (mut left, mut wrong) = (amounts.sessions, 0);
    let timeout = Duration::from_secs(amounts.timeout.into());
    while left > 0 && since_first.elapsed() < timeout + amounts.bound {
        let args = SessionRequestArgs::default();
        let mut stream = client.get_closed_sessions(args).await.context("getClosedSessions")?.into_inner();
        let before = left;
        while let Some(record) = stream.message().await.context("a closed session")? {
            let index = record.session_id.checked_sub(1).and_then(|index| usize::try_from(index).ok());
            match index.and_then(|index| seen.get_mut(index)) {
                Some(seen @ false) => {
                    *seen = true;
                    left -= 1;
                }
                Some(true) | None => wrong += 1,
            }
        }
        if left == before {
            tokio::time::sleep(PAUSE).await;
        }
    }
    let took = since_first.elapsed().saturating_sub(timeout);
    let mut stream =
        client.get_closed_sessions(SessionRequestArgs::default()).await.context("one call more")?.into_inner();
    while stream.message().await.context("a closed session too many")?.is_some() {
        wrong += 1;
    }
    Ok(Collected { took, wrong: wrong + left })
}
