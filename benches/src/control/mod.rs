//! The calls of the API: how many a second, at what cost, how late.
//!
//! Every server has a fresh process for each turn, the same calls in the same order, and one thread of a client against it.

pub(crate) mod floor;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use opof_testkit::netns::RawSocket;
use opof_testkit::packet::Packet;
use opof_testkit::wait::{self, Pacer, Stopwatch};

use crate::area::Setting;
use crate::calls::{self, Call, Family, QUANTILES, quantile};
use crate::device::Device;
use crate::report::{AreaReport, Bound, Figure, Target};
use crate::subject::Subject;

const ABOUT: &str = "Sessions and calls through gRPC over TCP on the loopback, in plain text, from one thread of a client. The floor is a server \
     that decodes and inserts into a hash map, on one thread, and does nothing else. Each server has a fresh process in each round. \
     Single calls are 16 in flight on each of 4 connections.";

/// Who is measured, in turn.
const SUBJECTS: [&str; 3] = ["floor", "opofd, sim", "opofd, xdp"];
const FLOOR: usize = 0;
const SIM: usize = 1;
const XDP: usize = 2;

const STREAMS: [u32; 2] = [64, 4096];
const CONNECTIONS: [u32; 2] = [1, 4];
/// Sessions that are closed by timeout wait this long for it, in seconds: the least there is.
const TIMEOUT: u32 = 1;
const EXPIRED: Duration = Duration::from_secs(4);
/// Frames a second of the traffic that runs meanwhile: what a veth ring carries without loss on a busy machine.
const TRAFFIC: u32 = 10_000;
/// How much of each.
struct Amounts {
    /// Sessions for each length of stream.
    adds: [u32; 2],
    calls: u32,
    closed: u32,
    /// Sessions that are installed while latency is measured.
    installed: u32,
    timed: u32,
}

pub(crate) fn run(setting: &Setting<'_>) -> Result<AreaReport> {
    let amounts = setting.scale.of(
        Amounts { adds: [100_000, 400_000], calls: 40_000, closed: 100_000, installed: 1_000_000, timed: 5_000 },
        Amounts { adds: [4_096, 16_384], calls: 1_000, closed: 1_000, installed: 10_000, timed: 200 },
    );
    let device = Device::new()?;
    let mut figures = Figures::new();
    for round in 1..=setting.rounds {
        for (subject, name) in SUBJECTS.iter().enumerate() {
            setting.progress.say(&format!("round {round} of {}: {name}", setting.rounds));
            figures.turn(&device, subject, &amounts).with_context(|| format!("{name}, round {round}"))?;
        }
        setting
            .progress
            .say(&format!("round {round} of {}: latency with {} sessions", setting.rounds, amounts.installed));
        figures.latency(&device, &amounts).context("latency")?;
    }
    Ok(figures.report())
}

struct Figures {
    adds: Figure,
    cpu: Figure,
    calls: Figure,
    reads: Figure,
    latency: Figure,
}

impl Figures {
    fn new() -> Self {
        Self {
            adds: Figure::new("adds", "Sessions added", "sessions/s", &SUBJECTS).against(FLOOR),
            cpu: Figure::new("cpu", "Processor time of the server for a session that is added", "µs", &SUBJECTS)
                .against(FLOOR),
            calls: Figure::new("calls", "Single calls", "calls/s", &SUBJECTS).against(FLOOR),
            reads: Figure::new("reads", "Sessions listed, and closed sessions collected", "sessions/s", &SUBJECTS),
            latency: Figure::new("latency", "One addSession of 64, while traffic runs", "ms", &["opofd, xdp"]),
        }
    }

    /// One server, from its start to its end.
    fn turn(&mut self, device: &Device, subject: usize, amounts: &Amounts) -> Result<()> {
        let server = start(device, subject, "4000000")?;
        let namespace = &device.namespace;
        let mut next = 1;
        for (length, sessions) in STREAMS.into_iter().zip(amounts.adds) {
            for connections in CONNECTIONS {
                let ids = next..next + sessions;
                next = ids.end;
                let before = server.cpu()?;
                let took = calls::within(namespace, async || calls::add(ids, length, connections, 0).await)?;
                let case = adds_case(length, connections);
                self.adds.add(&case, subject, f64::from(sessions) / took.as_secs_f64());
                let cpu = server.cpu()?.saturating_sub(before);
                self.cpu.add(&case, subject, cpu.as_secs_f64() * 1e6 / f64::from(sessions));
            }
        }
        for call in [Call::Get, Call::Delete] {
            let took = calls::within(namespace, async || calls::calls(1..1 + amounts.calls, 4, call).await)?;
            self.calls.add(calls_case(call), subject, f64::from(amounts.calls) / took.as_secs_f64());
        }
        if subject != FLOOR {
            self.read(device, subject, next, amounts)?;
        }
        Ok(())
    }

    fn read(&mut self, device: &Device, subject: usize, next: u32, amounts: &Amounts) -> Result<()> {
        let namespace = &device.namespace;
        for (case, page) in [("listed at once", 0), ("listed in pages of 64", 64)] {
            let (count, took) = calls::within(namespace, async || calls::list(page).await)?;
            ensure!(count > 0, "nothing was listed");
            self.reads.add(case, subject, f64::from(count) / took.as_secs_f64());
        }
        let ids = next..next + amounts.closed;
        calls::within(namespace, async || calls::add(ids, 4096, 1, TIMEOUT).await)?;
        wait::pause(EXPIRED);
        let took = calls::within(namespace, async || calls::closed(amounts.closed, |_| {}).await)?;
        self.reads.add("closed sessions collected", subject, f64::from(amounts.closed) / took.as_secs_f64());
        Ok(())
    }

    /// Streams of 64 one by one, with many sessions installed, while frames of one of them are forwarded.
    fn latency(&mut self, device: &Device, amounts: &Amounts) -> Result<()> {
        let _server = start(device, XDP, "4000000")?;
        let namespace = &device.namespace;
        let installed = amounts.installed;
        calls::within(namespace, async || calls::add(1..1 + installed, 4096, 1, 0).await)?;
        let over = AtomicBool::new(false);
        let mut times = std::thread::scope(|scope| {
            let traffic = scope.spawn(|| traffic(device, &over));
            let times = calls::within(namespace, async || {
                let mut client = calls::connect().await?;
                let mut times = Vec::new();
                for n in 0..amounts.timed {
                    let first = installed + 1 + n * 64;
                    let watch = Stopwatch::start();
                    calls::stream_of(&mut client, first..first + 64, Family::V4, |_| 0).await?;
                    times.push(watch.elapsed());
                }
                Ok(times)
            });
            over.store(true, Ordering::Relaxed);
            traffic.join().expect("the traffic does not panic")?;
            times
        })?;
        times.sort_unstable();
        for (name, above) in QUANTILES {
            self.latency.add(name, 0, quantile(&times, above).as_secs_f64() * 1e3);
        }
        self.latency.add("max", 0, times.last().copied().unwrap_or_default().as_secs_f64() * 1e3);
        Ok(())
    }

    fn report(self) -> AreaReport {
        let percent = |figure: &Figure, case: &str, subject| 100.0 * figure.ratio(case, subject);
        let mut targets = Vec::new();
        for (subject, plane, wanted) in [(SIM, "sim", [85.0, 70.0]), (XDP, "xdp", [75.0, 50.0])] {
            for (length, wanted) in STREAMS.into_iter().zip(wanted) {
                let found = percent(&self.adds, &adds_case(length, 1), subject);
                let what = format!("adds, {plane}, {length} a stream, of the floor");
                targets.push(Target::new(what, Bound::AtLeast(wanted), found, "%"));
            }
        }
        for (subject, plane) in [(SIM, "sim"), (XDP, "xdp")] {
            for length in STREAMS {
                let [one, four] =
                    CONNECTIONS.map(|connections| self.adds.samples(&adds_case(length, connections), subject));
                let what = format!("adds, {plane}, {length} a stream, 4 connections of 1");
                targets.push(Target::new(what, Bound::AtLeast(100.0), 100.0 * four.ratio_to(&one), "%"));
            }
            for call in [Call::Get, Call::Delete] {
                let what = format!("{}, {plane}, of the floor", calls_case(call));
                targets.push(Target::new(
                    what,
                    Bound::AtLeast(80.0),
                    percent(&self.calls, calls_case(call), subject),
                    "%",
                ));
            }
        }
        let p99 = self.latency.samples("p99", 0).median();
        targets.push(Target::new(
            "addSession of 64, p99, 1,000,000 installed, traffic",
            Bound::AtMost(10.0),
            p99,
            "ms",
        ));
        let figures = vec![self.adds, self.cpu, self.calls, self.reads, self.latency];
        AreaReport { name: "control", about: ABOUT.to_owned(), figures, targets }
    }
}

fn start(device: &Device, subject: usize, sessions: &str) -> Result<Subject> {
    let mut flags = match subject {
        FLOOR => return Subject::own(&device.namespace, &["serve-floor"]),
        XDP => device.flags(),
        _ => vec!["--data-plane".to_owned(), "sim".to_owned()],
    };
    flags.extend(["--max-sessions".to_owned(), sessions.to_owned()]);
    Subject::opofd(&device.namespace, &flags.iter().map(String::as_str).collect::<Vec<_>>())
}

fn adds_case(length: u32, connections: u32) -> String {
    let many = if connections == 1 { "connection" } else { "connections" };
    format!("{length} a stream, {connections} {many}")
}

const fn calls_case(call: Call) -> &'static str {
    match call {
        Call::Get => "getSession, 4 × 16 in flight",
        Call::Delete => "deleteSession, 4 × 16 in flight",
    }
}

/// Frames of session 1, until it is over.
fn traffic(device: &Device, over: &AtomicBool) -> Result<()> {
    let packet = Packet::new().ipv4([10, 0, 0, 1], [192, 0, 2, 1]).udp(1000, 53).pad_to(60);
    let (frame, socket, mut pacer) = (packet.build(), RawSocket::open(&device.wires[0])?, Pacer::new(TRAFFIC));
    while !over.load(Ordering::Relaxed) {
        pacer.wait();
        socket.send(&frame)?;
    }
    Ok(())
}
