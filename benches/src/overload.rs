//! Many more sessions are offered than the device can take: how many does it take, what does it keep in memory, how late are others?

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use opof_api::Rpc;
use opof_api::v1beta1::{SessionId, SessionRequestArgs};
use opof_testkit::wait::{self, Pacer, Stopwatch};
use tokio::task::JoinSet;

use crate::area::Setting;
use crate::calls::{self, Family, QUANTILES, quantile};
use crate::device::Device;
use crate::report::{AreaReport, Bound, Figure, Target};
use crate::subject::Subject;

const ABOUT: &str = "opofd on XDP with its closed log on disk. Firewalls add sessions as fast as they are taken; each closes a second later and is \
     collected meanwhile. As many firewalls as the sustainable rate needs, then ten times as many. Beside them one asks for one \
     session, 100 times a second. A session counts when its firewall has been told that it was accepted.";

const SESSIONS: &str = "4000000";
/// Of every session, in seconds: the least there is.
const TIMEOUT: u32 = 1;
/// The session that is asked for.
const ASKED: u32 = u32::MAX >> 1;
const LONG: u32 = 3600;
/// Calls of getSession in a second.
const GETS: u32 = 100;
const WARM_UP: Duration = Duration::from_secs(3);
const EMPTY: Duration = Duration::from_millis(50);

/// How many firewalls, and what each does.
struct Load {
    name: &'static str,
    connections: u32,
    /// Streams at once on each.
    in_flight: u32,
    /// Sessions of a stream.
    length: u32,
}

const SUSTAINABLE: [Load; 2] = [
    Load { name: "4 firewalls, a stream of 4,096 each", connections: 4, in_flight: 1, length: 4096 },
    Load { name: "4 firewalls, 16 streams of 64 each", connections: 4, in_flight: 16, length: 64 },
];
const TOO_MUCH: [Load; 2] = [
    Load { name: "40 firewalls, a stream of 4,096 each", connections: 40, in_flight: 1, length: 4096 },
    Load { name: "40 firewalls, 16 streams of 64 each", connections: 40, in_flight: 16, length: 64 },
];

pub(crate) fn run(setting: &Setting<'_>) -> Result<AreaReport> {
    let window = setting.scale.of(Duration::from_secs(60), Duration::from_secs(3));
    let device = Device::new()?;
    let subjects = ["opofd, xdp"];
    let mut rate = Figure::new("rate", "Sessions accepted", "sessions/s", &subjects);
    let mut refused = Figure::new("refused", "Sessions refused", "sessions/s", &subjects);
    let mut latency = Figure::new("latency", "One getSession meanwhile", "ms", &subjects);
    let mut memory = Figure::new("memory", "Memory of opofd beside its maps, at most", "MiB", &subjects);
    for round in 1..=setting.rounds {
        for load in SUSTAINABLE.iter().chain(&TOO_MUCH) {
            setting.progress.say(&format!("round {round} of {}: {}", setting.rounds, load.name));
            let found = under(&device, load, window).with_context(|| format!("{}, round {round}", load.name))?;
            rate.add(load.name, 0, found.accepted);
            refused.add(load.name, 0, found.refused);
            for (name, above) in QUANTILES {
                let case = format!("{}: {name}", load.name);
                latency.add(&case, 0, quantile(&found.gets, above).as_secs_f64() * 1e3);
            }
            memory.add(load.name, 0, found.memory);
        }
    }
    let mut targets = Vec::new();
    for (sustainable, load) in SUSTAINABLE.iter().zip(&TOO_MUCH) {
        let goodput = 100.0 * rate.samples(load.name, 0).ratio_to(&rate.samples(sustainable.name, 0));
        let what = format!("{}, of the sustainable rate", load.name);
        targets.push(Target::new(what, Bound::AtLeast(80.0), goodput, "%"));
        let p99 = latency.samples(&format!("{}: p99", load.name), 0).median();
        targets.push(Target::new(format!("{}, getSession p99", load.name), Bound::AtMost(50.0), p99, "ms"));
    }
    Ok(AreaReport { name: "overload", about: ABOUT.to_owned(), figures: vec![rate, refused, latency, memory], targets })
}

struct Found {
    /// Sessions a second.
    accepted: f64,
    refused: f64,
    /// How long each getSession took, in order.
    gets: Vec<Duration>,
    /// MiB.
    memory: f64,
}

/// What the firewalls have been told.
#[derive(Default)]
struct Told {
    accepted: AtomicU64,
    refused: AtomicU64,
    /// What they are told by the measurement: it has begun, it is over.
    measured: AtomicBool,
    over: AtomicBool,
}

fn under(device: &Device, load: &Load, window: Duration) -> Result<Found> {
    let flags = [device.flags(), ["--max-sessions", SESSIONS, "--max-closed", SESSIONS].map(str::to_owned).to_vec()];
    let flags = flags.concat();
    let server = Subject::opofd(&device.namespace, &flags.iter().map(String::as_str).collect::<Vec<_>>())?;
    calls::within(&device.namespace, async || {
        calls::stream_of(&mut calls::connect().await?, ASKED..ASKED + 1, Family::V4, |_| LONG).await
    })?;
    let told = Arc::new(Told::default());
    std::thread::scope(|scope| {
        let firewalls = scope.spawn(|| calls::within(&device.namespace, async || add(load, &told).await));
        let asker = scope.spawn(|| calls::within(&device.namespace, async || ask(&told).await));
        wait::pause(WARM_UP);
        told.measured.store(true, Ordering::Relaxed);
        let counts = || [&told.accepted, &told.refused].map(|count| count.load(Ordering::Relaxed));
        let (watch, before) = (Stopwatch::start(), counts());
        let mut memory = 0;
        let mut failure = None;
        while watch.elapsed() < window && !firewalls.is_finished() && !asker.is_finished() {
            wait::pause(Duration::from_secs(1));
            match server.resident() {
                Ok(resident) => memory = memory.max(resident),
                Err(error) => failure = Some(error),
            }
        }
        let (seconds, after) = (watch.elapsed().as_secs_f64(), counts());
        told.over.store(true, Ordering::Relaxed);
        firewalls.join().expect("the firewalls do not panic")?;
        let mut gets = asker.join().expect("the asker does not panic")?;
        if let Some(failure) = failure {
            return Err(failure);
        }
        gets.sort_unstable();
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let [accepted, refused] = [0, 1].map(|n| (after[n] - before[n]) as f64 / seconds);
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52 bytes")]
        let memory = memory as f64 / f64::from(1 << 20);
        Ok(Found { accepted, refused, gets, memory })
    })
}

/// All firewalls, until it is over, and one that collects what has closed.
async fn add(load: &Load, told: &Arc<Told>) -> Result<()> {
    let next = Arc::new(AtomicU32::new(1));
    let mut tasks = JoinSet::new();
    for _ in 0..load.connections {
        let client = calls::connect().await?;
        for _ in 0..load.in_flight {
            tasks.spawn_local(firewall(client.clone(), Arc::clone(&next), load.length, Arc::clone(told)));
        }
    }
    tasks.spawn_local(collect(calls::connect().await?, Arc::clone(told)));
    while let Some(done) = tasks.join_next().await {
        done.context("a client")??;
    }
    Ok(())
}

async fn firewall(mut client: Rpc, next: Arc<AtomicU32>, length: u32, told: Arc<Told>) -> Result<()> {
    while !told.over.load(Ordering::Relaxed) {
        let first = next.fetch_add(length, Ordering::Relaxed);
        let sessions = (first..first + length).map(|id| calls::session(id, Family::V4, TIMEOUT));
        let answer = client.add_session(tokio_stream::iter(sessions)).await.context("addSession")?.into_inner();
        let refused = answer.response_error.len() as u64;
        told.refused.fetch_add(refused, Ordering::Relaxed);
        told.accepted.fetch_add(u64::from(length) - refused, Ordering::Relaxed);
    }
    Ok(())
}

async fn collect(mut client: Rpc, told: Arc<Told>) -> Result<()> {
    while !told.over.load(Ordering::Relaxed) {
        let stream = client.get_closed_sessions(SessionRequestArgs::default()).await.context("getClosedSessions")?;
        let mut stream = stream.into_inner();
        let mut some = false;
        while stream.message().await.context("a closed session")?.is_some() {
            some = true;
        }
        if !some {
            tokio::time::sleep(EMPTY).await;
        }
    }
    Ok(())
}

/// How long each answer took, from the warm-up's end on.
async fn ask(told: &Told) -> Result<Vec<Duration>> {
    let mut client = calls::connect().await?;
    let (mut pacer, mut times) = (Pacer::new(GETS), Vec::new());
    while !told.over.load(Ordering::Relaxed) {
        pacer.wait();
        let watch = Stopwatch::start();
        client.get_session(SessionId { session_id: ASKED.into() }).await.context("getSession")?;
        if told.measured.load(Ordering::Relaxed) {
            times.push(watch.elapsed());
        }
    }
    Ok(times)
}
