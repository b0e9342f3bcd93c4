//! Bytes a session, all in: the kernel's table and what the daemon has resident beside it.

use anyhow::{Context, Result};
use opof_testkit::wait::Stopwatch;

use crate::area::Setting;
use crate::calls::{self, Family};
use crate::device::Device;
use crate::report::{AreaReport, Bound, Figure, Target};
use crate::subject::Subject;
use crate::text;

const ABOUT: &str = "opofd on XDP with as many sessions as it has room for: what its BPF maps take of the kernel's memory, as the kernel \
     accounts for it, and what the process has resident without what it maps of those, each divided by the sessions. Once a size, for it does not vary.";

const SIZES: [u32; 3] = [1_000_000, 4_000_000, 16_000_000];
const QUICK: [u32; 1] = [10_000];
const STREAM: u32 = 4096;
const KERNEL: usize = 0;
const DAEMON: usize = 1;
const ALL: usize = 2;

pub(crate) fn run(setting: &Setting<'_>) -> Result<AreaReport> {
    let sizes = setting.scale.of(&SIZES[..], &QUICK[..]);
    let device = Device::new()?;
    let mut figure = Figure::new("session", "Memory of a session", "bytes", &["kernel", "daemon", "both"]);
    let mut adds = Figure::new("adds", "Sessions added until then, 4,096 a stream", "sessions/s", &["opofd, xdp"]);
    for family in [Family::V4, Family::V6] {
        for &size in sizes {
            let case = case(size, family);
            setting.progress.say(&case);
            let (kernel, daemon, rate) = measure(&device, size, family).with_context(|| case.clone())?;
            figure.add(&case, KERNEL, kernel);
            figure.add(&case, DAEMON, daemon);
            figure.add(&case, ALL, kernel + daemon);
            adds.add(&case, 0, rate);
        }
    }
    let found = |family| figure.samples(&case(4_000_000, family), ALL).median();
    let target = |family, most| {
        Target::new(format!("4,000,000 {family} sessions, all in"), Bound::AtMost(most), found(family), "B")
    };
    let targets = vec![target(Family::V4, 300.0), target(Family::V6, 420.0)];
    Ok(AreaReport { name: "memory", about: ABOUT.to_owned(), figures: vec![figure, adds], targets })
}

fn case(size: u32, family: Family) -> String {
    format!("{} {family} sessions", text::whole(size))
}

/// Bytes a session of the kernel and of the daemon, and sessions a second.
fn measure(device: &Device, size: u32, family: Family) -> Result<(f64, f64, f64)> {
    let mut flags = device.flags();
    flags.extend(["--max-sessions".to_owned(), size.to_string()]);
    let server = Subject::opofd(&device.namespace, &flags.iter().map(String::as_str).collect::<Vec<_>>())?;
    let watch = Stopwatch::start();
    calls::within(&device.namespace, async || {
        let mut client = calls::connect().await?;
        for first in (1..=size).step_by(STREAM as usize) {
            calls::stream_of(&mut client, first..(first + STREAM).min(size + 1), family, |_| 86_400).await?;
        }
        Ok(())
    })?;
    let rate = f64::from(size) / watch.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52 bytes")]
    let each = |bytes: u64| bytes as f64 / f64::from(size);
    Ok((each(server.map_memory()?), each(server.resident()?), rate))
}
