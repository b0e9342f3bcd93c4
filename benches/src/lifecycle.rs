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
     as they close, twice over. Each closed record has to come once, and the table has to be empty then. Once, for it does not vary.";

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
    let mut rate =
        Figure::new("rate", "Sessions a second", "sessions/s", &["added", "collected after the last timeout"]);
    let mut flags = device.flags();
    for flag in ["--max-sessions", "--max-closed"] {
        flags.extend([flag.to_owned(), amounts.sessions.to_string()]);
    }
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
        let since = calls::within(&device.namespace, async || collect(&amounts, &watch).await)?;
        rate.add(cycle, 1, f64::from(amounts.sessions) / since.as_secs_f64());
        let (left, _) = calls::within(&device.namespace, async || calls::list(64).await)?;
        ensure!(left == 0, "{left} sessions are left");
        memory.add(cycle, 1, resident()?);
    }
    let grown = memory.samples(CYCLES[1], 1).ratio_to(&memory.samples(CYCLES[0], 1));
    let name = format!("{sessions} sessions, closed records that did not come, or came twice");
    let targets = vec![
        Target::new(name, Bound::AtMost(0.0), 0.0, "").note("anything else ends the run"),
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

/// Collects the record of each session; how long that took beyond the timeout of the first one.
async fn collect(amounts: &Amounts, since_first: &Stopwatch) -> Result<Duration> {
    let mut client = calls::connect().await?;
    let mut seen = vec![false; amounts.sessions as usize];
    let (mut left, timeout) = (amounts.sessions, Duration::from_secs(amounts.timeout.into()));
    while left > 0 {
        let args = SessionRequestArgs::default();
        let mut stream = client.get_closed_sessions(args).await.context("getClosedSessions")?.into_inner();
        let before = left;
        while let Some(record) = stream.message().await.context("a closed session")? {
            let id = record.session_id;
            let index = id.checked_sub(1).and_then(|index| usize::try_from(index).ok());
            let place =
                index.and_then(|index| seen.get_mut(index)).with_context(|| format!("session {id} never was"))?;
            ensure!(!*place, "session {id} was reported twice");
            *place = true;
            left -= 1;
        }
        let over = since_first.elapsed();
        ensure!(over < timeout + amounts.bound, "{left} sessions were not reported after {} s", over.as_secs());
        if left == before {
            tokio::time::sleep(PAUSE).await;
        }
    }
    Ok(since_first.elapsed().saturating_sub(timeout))
}
