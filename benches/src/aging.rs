//! Timeouts: what it costs to have millions of them running, what it costs to close many at once, and how late they are.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use opof_api::v1beta1::SessionResponse;
use opof_testkit::wait::{self, Stopwatch};

use crate::area::Setting;
use crate::calls::{self, Family};
use crate::device::Device;
use crate::report::{AreaReport, Bound, Figure, Target};
use crate::subject::Subject;
use crate::text;

const ABOUT: &str = "opofd on XDP, without packets. Idle: processor time of the whole daemon while the sessions, with timeouts from 5 minutes to \
     a day, do nothing. Expiring: the same while 100,000 sessions reach their timeout in each second, and how long after its timeout each \
     was closed, by the times in its closed record.";

/// Of sessions that stay.
const LONG: [u32; 4] = [300, 3_600, 7_440, 86_400];
/// Sessions that expire in a second.
const RATE: u32 = 100_000;
/// Streams of them.
const STREAM: u32 = 4096;

pub(crate) fn run(setting: &Setting<'_>) -> Result<AreaReport> {
    let (idle, seconds) = setting.scale.of((4_000_000, 20), (10_000, 2));
    let waves = setting.scale.of(Waves { count: 10, first: 30 }, Waves { count: 1, first: 8 });
    let device = Device::new()?;
    let mut cpu = Figure::new("cpu", "Processor time of opofd", "% of a core", &["opofd, xdp"]);
    let mut lateness = Figure::new("lateness", "Closed so long after the timeout", "ms", &["opofd, xdp"]);
    let idle_case = format!("{} idle sessions", text::whole(idle));
    let expiring_case = format!("{} closed a second", text::whole(RATE));
    for round in 1..=setting.rounds {
        setting.progress.say(&format!("round {round} of {}: {idle_case}", setting.rounds));
        cpu.add(&idle_case, 0, idle_cpu(&device, idle, Duration::from_secs(seconds)).context("idle sessions")?);
        setting.progress.say(&format!("round {round} of {}: {expiring_case}", setting.rounds));
        let (used, mut late) = expire(&device, &waves).context("expiring sessions")?;
        cpu.add(&expiring_case, 0, used);
        late.sort_unstable();
        for (name, above) in calls::QUANTILES {
            lateness.add(name, 0, calls::quantile(&late, above).as_secs_f64() * 1e3);
        }
    }
    let targets = vec![
        Target::new(idle_case.clone(), Bound::AtMost(2.0), cpu.samples(&idle_case, 0).median(), "% of a core"),
        Target::new(expiring_case.clone(), Bound::AtMost(50.0), cpu.samples(&expiring_case, 0).median(), "% of a core"),
        Target::new("lateness, p99", Bound::AtMost(1_000.0), lateness.samples("p99", 0).median(), "ms"),
    ];
    Ok(AreaReport { name: "aging", about: ABOUT.to_owned(), figures: vec![cpu, lateness], targets })
}

/// Sessions that expire, [`RATE`] of them in each second.
struct Waves {
    /// Seconds.
    count: u32,
    /// The shortest timeout, in seconds: all have been added by then.
    first: u32,
}

fn start(device: &Device, sessions: u32) -> Result<Subject> {
    let (sessions, mut flags) = (sessions.to_string(), device.flags());
    flags.extend(["--max-sessions".to_owned(), sessions.clone(), "--max-closed".to_owned(), sessions]);
    Subject::opofd(&device.namespace, &flags.iter().map(String::as_str).collect::<Vec<_>>())
}

/// In percent of a core.
fn idle_cpu(device: &Device, sessions: u32, window: Duration) -> Result<f64> {
    let server = start(device, sessions)?;
    calls::within(&device.namespace, async || {
        let mut client = calls::connect().await?;
        for first in (1..=sessions).step_by(STREAM as usize) {
            let ids = first..(first + STREAM).min(sessions + 1);
            calls::stream_of(&mut client, ids, Family::V4, |id| LONG[id as usize % LONG.len()]).await?;
        }
        Ok(())
    })?;
    // What adding has left to be done.
    wait::pause(Duration::from_secs(1));
    let (before, watch) = (server.cpu()?, Stopwatch::start());
    wait::pause(window);
    Ok(100.0 * server.cpu()?.saturating_sub(before).as_secs_f64() / watch.elapsed().as_secs_f64())
}

/// In percent of a core while they expire, and how late each was.
fn expire(device: &Device, waves: &Waves) -> Result<(f64, Vec<Duration>)> {
    let sessions = waves.count * RATE;
    let server = start(device, sessions)?;
    let watch = Stopwatch::start();
    // A session that is added later has the less to wait, so that waves stay a second apart.
    let timeouts = calls::within(&device.namespace, async || {
        let mut client = calls::connect().await?;
        let mut timeouts = Vec::new();
        for first in (0..sessions).step_by(STREAM as usize) {
            let elapsed = u32::try_from(watch.elapsed().as_secs()).context("seconds")?;
            let timeout = (waves.first + first / RATE).saturating_sub(elapsed);
            ensure!(timeout > 1, "{sessions} sessions were not added within {} s", waves.first);
            timeouts.push(timeout);
            let ids = first + 1..(first + STREAM).min(sessions) + 1;
            calls::stream_of(&mut client, ids, Family::V4, move |_| timeout).await?;
        }
        Ok(timeouts)
    })?;
    let begin = Duration::from_secs(u64::from(waves.first) - 1);
    wait::pause(begin.saturating_sub(watch.elapsed()));
    let (before, window) = (server.cpu()?, Stopwatch::start());
    wait::pause(Duration::from_secs(u64::from(waves.count) + 1));
    // Of the waves, not of the second in front of them.
    let used = server.cpu()?.saturating_sub(before).as_secs_f64() / (window.elapsed().as_secs_f64() - 1.0);
    wait::pause(Duration::from_secs(3));
    let mut late = Vec::new();
    calls::within(&device.namespace, async || {
        calls::closed(sessions, |record| late.extend(lateness(record, &timeouts))).await.map(|_| ())
    })?;
    ensure!(late.len() == sessions as usize, "{} of {sessions} closed records have their times", late.len());
    Ok((100.0 * used, late))
}

/// How long a session was there beyond its timeout.
fn lateness(record: &SessionResponse, timeouts: &[u32]) -> Option<Duration> {
    let nanoseconds = |time: &prost_types::Timestamp| i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos);
    let lived = nanoseconds(record.end_time.as_ref()?) - nanoseconds(record.start_time.as_ref()?);
    let stream = usize::try_from(record.session_id.checked_sub(1)? / u64::from(STREAM)).ok()?;
    let late = lived - i128::from(*timeouts.get(stream)?) * 1_000_000_000;
    Some(Duration::from_nanos(u64::try_from(late.max(0)).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lateness_is_what_is_beyond_the_timeout_of_the_stream() {
        let time = |seconds, nanos| Some(prost_types::Timestamp { seconds, nanos });
        let record = |id, end| SessionResponse {
            session_id: id,
            start_time: time(100, 500_000_000),
            end_time: end,
            ..SessionResponse::default()
        };
        let timeouts = [30, 31];
        let late = |record| lateness(&record, &timeouts).map(|late| late.as_millis());
        assert_eq!(late(record(1, time(130, 750_000_000))), Some(250));
        assert_eq!(late(record(4097, time(131, 500_000_000))), Some(0));
        assert_eq!((late(record(1, None)), late(record(9000, time(200, 0)))), (None, None));
    }
}
