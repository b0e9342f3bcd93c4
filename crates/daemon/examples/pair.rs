//! What replication costs an active, and how long a newcomer takes: two daemons of a pair over simulated planes, asked without gRPC in
//! between. Each has a processor of its own, as each has a machine. But processors share memory, and machines do not: so beside an active that is
//! alone there is another device that is alone, and takes the same sessions at the same time.
//!
//! `cargo run --release -p opof-daemon --example pair`, and `-- newcomer`.

#![allow(clippy::unwrap_used, reason = "a measurement that fails says so by panicking")]

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command as Process, Stdio};
use std::time::Duration;

use clap::Parser;
use opof_daemon::config::flags::Cli;
use opof_daemon::config::from_text;
use opof_daemon::{Daemon, RunningDaemon};
use opof_session::ha::term::Role;
use opof_session::ha::{Command, Standing};
use opof_session::request::SameTuple;
use opof_session::types::{Action, Lif, SessionId, SessionSpec};
use opof_testkit::authority::certify;
use opof_testkit::wait::Stopwatch;
use opof_wire::{Addresses, FlowKey, Transport, Tunnel, Vid};
use rustix::thread::{CpuSet, sched_setaffinity};

const SESSIONS: u64 = 1_000_000;
const BATCH: u64 = 1000;
const ROUNDS: usize = 9;
/// What goes on while a newcomer is told everything.
const ADDS_A_SECOND: u64 = 50_000;

/// Measures what a pair of devices costs.
#[derive(clap::Parser)]
struct Arguments {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(clap::Subcommand)]
enum What {
    /// The rate of adds alone and with a standby.
    Cost,
    /// How long a standby takes to have everything.
    Newcomer,
    /// The other device: until its standard input ends; then it says how many sessions it has. Without a mode it is alone, and adds sessions
    /// when it is told something.
    #[command(hide = true)]
    Other { folder: Box<Path>, mode: Option<String> },
}

fn main() {
    let what = Arguments::parse().what.unwrap_or(What::Cost);
    // Before there are other threads, which are bound as this one is.
    bind(usize::from(matches!(what, What::Other { .. })));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    if let What::Other { folder, mode } = what {
        runtime.block_on(other(&folder, mode.as_deref()));
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    certify(folder.path(), &[("a", &["a", "localhost"]), ("b", &["b", "localhost"])]).unwrap();
    if matches!(what, What::Newcomer) {
        runtime.block_on(newcomer(folder.path()));
    } else {
        runtime.block_on(cost(folder.path()));
    }
}

/// This process stays on this processor.
fn bind(processor: usize) {
    let mut only = CpuSet::new();
    only.set(processor);
    sched_setaffinity(None, &only).unwrap_or_else(|error| panic!("processor {processor}: {error}"));
}

/// The other device, in a process of its own. It ends with this one.
struct Other(Child);

impl Other {
    fn start(folder: &Path, mode: Option<&str>) -> Self {
        let mut process = Process::new(std::env::current_exe().unwrap());
        process.arg("other").arg(folder).args(mode).stdin(Stdio::piped()).stdout(Stdio::piped());
        Self(process.spawn().unwrap())
    }

    /// Tells it that sessions are being added.
    fn go(&mut self) {
        self.0.stdin.as_ref().unwrap().write_all(b"\n").unwrap();
    }

    /// Ends it; how many sessions it had.
    fn end(mut self) -> u64 {
        drop(self.0.stdin.take());
        let mut said = String::new();
        self.0.stdout.take().unwrap().read_to_string(&mut said).unwrap();
        assert!(self.0.wait().unwrap().success());
        said.trim().parse().unwrap()
    }
}

async fn other(folder: &Path, mode: Option<&str>) {
    let device = start(folder, ["b", "a"], [33_442, 33_441], mode).await;
    let line = tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new())).await.unwrap().unwrap();
    if line > 0 && mode.is_none() {
        add(&device, 0..SESSIONS).await;
    }
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await.unwrap().unwrap();
    println!("{}", device.driver().statistics().await.unwrap().sessions);
}

async fn start(
    folder: &Path,
    [name, other]: [&str; 2],
    [line, other_line]: [u16; 2],
    mode: Option<&str>,
) -> RunningDaemon {
    let folder = folder.display();
    let pair = mode.map_or_else(String::new, |mode| {
        format!(
            r#"[ha]
node = "{name}"
listen = "127.0.0.1:{line}"
api = "127.0.0.1:1"
tls = {{ cert = "{folder}/{name}.crt", key = "{folder}/{name}.key", ca = "{folder}/ca.crt" }}
election = "external"
mode = "{mode}"
term_file = "{folder}/{name}.term"
[ha.peer]
node = "{other}"
address = "127.0.0.1:{other_line}"
api = "127.0.0.1:2"
"#
        )
    });
    let text = format!(
        r#"[[listener]]
address = "127.0.0.1:0"
tls = {{ cert = "{folder}/{name}.crt", key = "{folder}/{name}.key" }}
[data_plane]
kind = "sim"
[[lif]]
id = 1
wire = "w1"
firewall = "f1"
[[lif]]
id = 2
wire = "w2"
firewall = "f2"
[sessions]
max = 4000000
[server]
threads = 2
{pair}"#
    );
    let config = from_text(Some(Path::new("opofd.toml")), &text, &Cli::parse_from(["opofd"]).settings);
    Daemon::start(&config.unwrap_or_else(|error| panic!("{error}"))).await.unwrap()
}

fn session(id: u64) -> SessionSpec {
    let [.., a, b, c, d] = id.to_be_bytes();
    let addresses = Addresses::V4 { source: [10, b, c, d], destination: [192, 0, 2, a] };
    let (vlan, tunnel, transport) = (Vid::UNTAGGED, Tunnel::None, Transport::Udp);
    let flow = FlowKey { vlan, tunnel, addresses, source_port: 1000, destination_port: 53, transport };
    let [in_lif, out_lif] = [1, 2].map(|lif| Lif::new(lif).unwrap());
    let (id, action) = (SessionId(id), Action::Forward);
    SessionSpec { id, in_lif, out_lif, flow, out_vlan: Vid::UNTAGGED, action, timeout_seconds: 3600 }
}

/// Adds sessions, two batches at a time.
async fn add(daemon: &RunningDaemon, ids: std::ops::Range<u64>) {
    let halves = [ids.start..ids.start.midpoint(ids.end), ids.start.midpoint(ids.end)..ids.end];
    let tasks = halves.map(|half| {
        let driver = daemon.driver().clone();
        tokio::spawn(async move {
            for from in half.clone().step_by(usize::try_from(BATCH).unwrap()) {
                let batch = (from..(from + BATCH).min(half.end)).map(session).collect();
                assert!(driver.add(batch, SameTuple::Reject).await.unwrap().is_empty());
            }
        })
    });
    for task in tasks {
        task.await.unwrap();
    }
}

async fn lead(daemon: &RunningDaemon) {
    daemon.pair().unwrap().command(Command::Become(Role::Active)).await.unwrap().unwrap();
}

async fn until_in(daemon: &RunningDaemon) {
    while daemon.pair().unwrap().status().await.unwrap().standing != Some(Standing::In) {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn cost(folder: &Path) {
    println!("{SESSIONS} sessions a round, in batches of {BATCH}, two at a time; sessions a second");
    let mut ratios = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        let alone = rate(folder, None).await;
        print!("alone {alone:.0}");
        for (mode, ratios) in ["async", "sync"].into_iter().zip(&mut ratios) {
            let rate = rate(folder, Some(mode)).await;
            print!(", {mode} {rate:.0} ({:.2})", rate / alone);
            ratios.push(rate / alone);
        }
        println!();
    }
    let medians = ratios.map(|mut ratios| {
        ratios.sort_by(f64::total_cmp);
        ratios[ROUNDS / 2]
    });
    println!("medians: async {:.2}, sync {:.2}", medians[0], medians[1]);
}

/// Sessions a second that are added to an active.
async fn rate(folder: &Path, mode: Option<&str>) -> f64 {
    let active = start(folder, ["a", "b"], [33_441, 33_442], mode).await;
    let mut other = Other::start(folder, mode);
    if mode.is_some() {
        lead(&active).await;
        until_in(&active).await;
    }
    other.go();
    let watch = Stopwatch::start();
    add(&active, 0..SESSIONS).await;
    let rate = f64::from(u32::try_from(SESSIONS).unwrap()) / watch.elapsed().as_secs_f64();
    other.end();
    rate
}

async fn newcomer(folder: &Path) {
    for _ in 0..3 {
        let active = start(folder, ["a", "b"], [33_441, 33_442], Some("async")).await;
        lead(&active).await;
        add(&active, 0..SESSIONS).await;
        let driver = active.driver().clone();
        let adding = tokio::spawn(async move {
            let watch = Stopwatch::start();
            let mut next = SESSIONS;
            loop {
                let due = SESSIONS + ADDS_A_SECOND * u64::try_from(watch.elapsed().as_millis()).unwrap() / 1000;
                while next < due {
                    let batch = (next..next + 500).map(session).collect();
                    assert!(driver.add(batch, SameTuple::Reject).await.unwrap().is_empty());
                    next += 500;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
        let watch = Stopwatch::start();
        let standby = Other::start(folder, Some("async"));
        until_in(&active).await;
        let took = watch.elapsed();
        adding.abort();
        let there = standby.end();
        println!("{there} sessions after {} ms, with {ADDS_A_SECOND} more a second", took.as_millis());
    }
}
