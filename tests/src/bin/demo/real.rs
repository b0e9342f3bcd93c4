//! The story on real packets.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use opof_session::types::SessionSpec;
use opof_testkit::netns::{FirewallMode, Watch, counters};
use opof_testkit::wait::{self, Stopwatch};
use opof_tests::iperf::iperf3;
use opof_tests::{Bench, Closed, Wires, session};
use serde_json::{Value, json};

use crate::Story;
use crate::case::Case;
use crate::outcome::{Check, Outcome, Run};
use crate::progress::Progress;
use crate::report::{self, Verdict};

/// Idle time after which the demo's sessions close, in seconds: longer than iperf3 takes to begin.
const TIMEOUT: u32 = 4;
/// How long after the last session's deadline it must have arrived.
const CLOSED_BOUND: Duration = Duration::from_secs(TIMEOUT as u64 + 6);
const CLOSED_POLL: Duration = Duration::from_millis(200);
/// The client's port in the run without offload, and in the run with.
const PORT_BEFORE: u16 = 40_000;
const PORT_OFFLOADED: u16 = 40_001;

const PICTURE: &str = "\
  client ── wire1  opofd on XDP  wire2 ── server
              fw1 ──┐       ┌── fw2
                    firewall (a bridge)
";

/// Why the story can't be told on real packets here.
pub(crate) fn obstacle() -> Option<&'static str> {
    if !rustix::process::geteuid().is_root() {
        Some("real packets need root")
    } else if !Path::new("/proc/sys/net/core/bpf_jit_enable").exists() {
        Some("this kernel has no BPF")
    } else {
        None
    }
}

/// All of it.
pub(crate) fn tell(seconds: u32) -> Result<Story> {
    let progress = Progress::start()?;
    progress.now("building opofd and four network namespaces");
    let bench = Bench::new(FirewallMode::Bridge)?;
    progress.say(PICTURE);
    progress.say(&ports(&bench)?);

    let mut outcomes = Vec::new();
    let mut closed = Vec::new();
    for (id, case) in (1..).zip(Case::all()) {
        let outcome = play(&bench, &case, id, seconds, &progress).with_context(|| case.name)?;
        progress.say(&report::case(&outcome));
        outcomes.push(outcome);
        closed.extend(bench.opofd.closed()?);
    }
    progress.now("waiting for the sessions to time out");
    collect(&bench, &mut closed, outcomes.len())?;
    progress.say("Closed sessions, as they were collected:");
    for record in &closed {
        progress.say(&report::closed(record));
    }
    progress.say("");
    progress.end();

    let verdict = |outcome: &Outcome| Verdict { case: outcome.case.name.to_owned(), checks: outcome.checks() };
    let mut verdicts: Vec<Verdict> = outcomes.iter().map(verdict).collect();
    verdicts.push(Verdict { case: "closed sessions".into(), checks: closed_checks(&outcomes, &closed) });
    let cases: Vec<Value> = outcomes.iter().map(Outcome::json).collect();
    let record = |record: &Closed| json!({"id": record.id, "counters": record.counted.json()});
    let records: Vec<Value> = closed.iter().map(record).collect();
    Ok(Story { verdicts, figures: json!({ "seconds": seconds, "cases": cases, "closed": records }) })
}

/// How the daemon took its ports.
fn ports(bench: &Bench) -> Result<String> {
    let device = bench.opofd.device()?;
    let ports: Vec<String> = device.ports.iter().map(|port| format!("{} ({})", port.name, port.mode)).collect();
    Ok(format!("opofd {}, plane {}: {}\n", device.version, device.data_plane, ports.join(", ")))
}

/// One case: a run that the firewall sees, then one that it does not.
fn play(bench: &Bench, case: &Case, id: u64, seconds: u32, progress: &Progress) -> Result<Outcome> {
    progress.now(&format!("{}: without offload, {seconds} s", case.name));
    let before = run(bench, case, PORT_BEFORE, seconds)?;

    progress.now(&format!("{}: offloaded, {seconds} s", case.name));
    let wires_before = Wires::read(bench)?;
    let spec = session(id, case.key(PORT_OFFLOADED));
    bench.opofd.add(SessionSpec { timeout_seconds: TIMEOUT, ..spec })?;
    let after = run(bench, case, PORT_OFFLOADED, seconds)?;
    let counted = bench.opofd.get(id)?.context("the session is gone before its time")?;
    let wires = Wires::read(bench)?.since(&wires_before);
    Ok(Outcome { case: *case, before, after, counted, wires })
}

fn run(bench: &Bench, case: &Case, client_port: u16, seconds: u32) -> Result<Run> {
    let flow = case.flow(client_port);
    let watch = Watch::start([&bench.firewall_a, &bench.firewall_b], &flow)?;
    let ports = [&bench.firewall_a, &bench.firewall_b];
    let before = ports.map(counters);
    let figures = iperf3(bench, &flow, seconds)?;
    Wires::still(bench)?;
    let seen = watch.seen()?;
    let mut at_firewall = 0;
    for (port, before) in ports.into_iter().zip(before) {
        at_firewall += counters(port)?.since(&before?).rx_packets;
    }
    Ok(Run { figures, seen, at_firewall })
}

/// Collects until there are `expected` records, or until they should have come long ago.
fn collect(bench: &Bench, closed: &mut Vec<Closed>, expected: usize) -> Result<()> {
    let watch = Stopwatch::start();
    while closed.len() < expected && watch.elapsed() < CLOSED_BOUND {
        wait::pause(CLOSED_POLL);
        closed.extend(bench.opofd.closed()?);
    }
    Ok(())
}

fn closed_checks(outcomes: &[Outcome], closed: &[Closed]) -> Vec<Check> {
    let mut ids: Vec<u64> = closed.iter().map(|record| record.id).collect();
    ids.sort_unstable();
    let expected: Vec<u64> = (1..).take(outcomes.len()).collect();
    let same = |record: &&Closed| {
        let counted = usize::try_from(record.id).ok().and_then(|id| outcomes.get(id.checked_sub(1)?));
        counted.is_some_and(|outcome| outcome.counted == record.counted)
    };
    let (final_ones, by_timeout) = (closed.iter().filter(same).count(), closed.iter().filter(|r| r.by_timeout).count());
    let check = |what, ok, detail| Check { what, ok, detail };
    vec![
        check("each session arrives once", ids == expected, format!("{ids:?}")),
        check("closed by timeout", by_timeout == closed.len(), format!("{by_timeout} of {}", closed.len())),
        check("its counters are final", final_ones == closed.len(), format!("{final_ones} of {}", closed.len())),
    ]
}
