//! Frames a second from a port to a port, beside the shortest way that XDP has and beside other forwarders.

mod lane;
mod peers;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context, Result};

use self::lane::Lane;
use self::peers::{Forwarder, LinuxBridge, OpenVswitch, Socket, Testpmd};
use crate::area::{Scale, Setting};
use crate::calls::{self, Family};
use crate::report::{AreaReport, Bound, Figure, Target};
use crate::samples::Samples;
use crate::subject::Subject;
use crate::text;

const ABOUT: &str = "A generator, a device with two ports and a sink, each in a network namespace, joined by veth. The generator runs on one \
     processor: a program on live frames of BPF_PROG_TEST_RUN that sends as fast as it can, 60 bytes each, UDP over IPv4, from as many \
     sources as there are flows, in random order, each as often as the others. Everything from the device's first port to the sink \
     runs on another processor: the port's NAPI is threaded and its thread put there, what forwards is put there, and the sink's NAPI \
     runs where frames are sent to it. What is counted is what a program at the sink counts and drops, by processor. opofd has a session \
     for each flow, and a table for as many. The bare redirect is XDP to a device map without a look at the frame. The one with two reads does what no session table can do without: it looks \
     at the source, reads a line of memory that it says, then another, whose place depends on the first, in as much memory as the table has, \
     counts packets and bytes in it, exactly whatever processor they come on, and goes where it says. The Linux bridge \
     has a static entry for the destination and no packet filter. Open vSwitch has the userspace datapath and one flow from port to port; \
     testpmd forwards in io mode. Both have the row with the fewest flows, and are compared by it in all. Where the kernel and a program share \
     a processor, more frames can mean that fewer are forwarded: they have a part of their turn each with frames as fast as can be, and \
     400,000 and 150,000 a second, and what counts is the best of them.";

const FLOWS: [u32; 4] = [1_000, 100_000, 1_000_000, 4_000_000];
const STREAM: u32 = 4096;
const BARE: usize = 0;
const READING: usize = 1;
const OPOFD: usize = 2;
const LINUX_BRIDGE: usize = 3;
/// The same with either socket.
const OPEN_VSWITCH: [usize; 2] = [4, 5];
const TESTPMD: [usize; 2] = [6, 7];
const SUBJECTS: [&str; 8] = [
    "bare redirect",
    "redirect with two reads",
    "opofd, xdp",
    "Linux bridge",
    "Open vSwitch, AF_PACKET",
    "Open vSwitch, AF_XDP",
    "testpmd, AF_PACKET",
    "testpmd, AF_XDP",
];
/// Nanoseconds between frames for those in user space.
const INTERVALS: [u32; 3] = [0, 2_500, 6_667];
const SOCKETS: [Socket; 2] = [Socket::Packet, Socket::Xdp];

/// What has been measured, and what could not be.
struct Findings {
    rates: Figure,
    ceiling: Figure,
    /// Why a subject has no values, or none any more.
    failures: BTreeMap<usize, String>,
}

pub(crate) fn run(setting: &Setting<'_>) -> Result<AreaReport> {
    let flows = setting.scale.of(&FLOWS[..], &FLOWS[..1]);
    let lane = Lane::new(setting.scale)?;
    let mut findings = Findings {
        rates: Figure::new("forwarded", "Forwarded", "frames/s", &SUBJECTS).against(BARE),
        ceiling: Figure::new("ceiling", "Offered", "frames/s", &["counted and dropped at the first port"]),
        failures: BTreeMap::new(),
    };
    for round in 1..=setting.rounds {
        let say = |what: &str| setting.progress.say(&format!("round {round} of {}: {what}", setting.rounds));
        for &flows in flows {
            kernel(&lane, flows, &mut findings, &say)?;
        }
        if setting.scale == Scale::Full {
            user_space(&lane, &mut findings, &say);
        }
    }
    let mut about = ABOUT.to_owned();
    if setting.scale == Scale::Quick {
        about += " A quick run leaves Open vSwitch and testpmd out.";
    }
    for (subject, failure) in &findings.failures {
        let _ = write!(about, " {} could not be measured: {failure}.", SUBJECTS[*subject]);
    }
    let mut targets = targets(&findings.rates, flows);
    // A quick run has not tried to reach the others.
    targets.retain(|target| setting.scale == Scale::Full || !target.found.is_nan());
    Ok(AreaReport { name: "forward", about, figures: vec![findings.rates, findings.ceiling], targets })
}

/// Those that forward in the kernel. Without them there is nothing to compare: an error ends the run.
fn kernel(lane: &Lane, flows: u32, findings: &mut Findings, say: &impl Fn(&str)) -> Result<()> {
    let case = case(flows);
    let mut turn = |subject: usize, start: &dyn Fn() -> Result<Box<dyn Forwarder>>| -> Result<()> {
        say(&format!("{}, {case}", SUBJECTS[subject]));
        lane.clear()?;
        let forwarder = start().context(SUBJECTS[subject])?;
        findings.rates.add(&case, subject, lane.rate(flows, 0).context(SUBJECTS[subject])?);
        drop(forwarder);
        Ok(())
    };
    turn(BARE, &|| Ok(Box::new(peers::bare_redirect(lane)?)))?;
    turn(READING, &|| Ok(Box::new(peers::reading_redirect(lane, flows)?)))?;
    turn(OPOFD, &|| Ok(Box::new(opofd(lane, flows)?)))?;
    turn(LINUX_BRIDGE, &|| Ok(Box::new(LinuxBridge::start(lane)?)))?;
    say(&format!("ceiling, {case}"));
    lane.clear()?;
    findings.ceiling.add(&case, 0, lane.ceiling(flows)?);
    Ok(())
}

/// Those in user space, which may not be to be had, or not run on this kernel.
fn user_space(lane: &Lane, findings: &mut Findings, say: &impl Fn(&str)) {
    let flows = FLOWS[0];
    let mut turn = |subject: usize, start: &dyn Fn() -> Result<Box<dyn Forwarder>>| {
        if findings.failures.contains_key(&subject) {
            return;
        }
        say(SUBJECTS[subject]);
        let measured = lane.clear().and_then(|()| start()).and_then(|forwarder| {
            let rates = INTERVALS.map(|interval| lane.rate(flows, interval));
            drop(forwarder);
            rates.into_iter().reduce(|a, b| Ok(a?.max(b?))).context("no rates")?
        });
        match measured {
            Ok(rate) => findings.rates.add(&case(flows), subject, rate),
            Err(error) => drop(findings.failures.insert(subject, format!("{error:#}"))),
        }
    };
    for (subject, socket) in OPEN_VSWITCH.into_iter().zip(SOCKETS) {
        turn(subject, &|| Ok(Box::new(OpenVswitch::start(lane, socket)?)));
    }
    for (subject, socket) in TESTPMD.into_iter().zip(SOCKETS) {
        turn(subject, &|| Ok(Box::new(Testpmd::start(lane, socket)?)));
    }
}

impl Forwarder for Subject {}

/// With a session for each flow.
fn opofd(lane: &Lane, sessions: u32) -> Result<Subject> {
    let device = &lane.device;
    let mut flags = device.flags();
    flags.extend(["--max-sessions".to_owned(), sessions.to_string()]);
    let server = Subject::opofd(&device.namespace, &flags.iter().map(String::as_str).collect::<Vec<_>>())?;
    calls::within(&device.namespace, async || {
        let mut client = calls::connect().await?;
        for first in (1..=sessions).step_by(STREAM as usize) {
            calls::stream_of(&mut client, first..(first + STREAM).min(sessions + 1), Family::V4, |_| 86_400).await?;
        }
        Ok(())
    })?;
    Ok(server)
}

fn case(flows: u32) -> String {
    format!("{} flows", text::whole(flows))
}

fn targets(rates: &Figure, flows: &[u32]) -> Vec<Target> {
    let mut targets = Vec::new();
    for (flows, least) in [(1_000, 85.0), (4_000_000, 50.0)] {
        let case = case(flows);
        let found = 100.0 * rates.ratio(&case, OPOFD);
        let target = Target::new(format!("of a bare redirect, {case}"), Bound::AtLeast(least), found, "%");
        let limit = 100.0 * rates.ratio(&case, READING);
        targets.push(target.note(format!("a redirect with nothing but two reads of memory: {limit:.0} %")));
    }
    for case in flows.iter().map(|flows| case(*flows)) {
        let opofd = rates.samples(&case, OPOFD);
        let bridge = rates.samples(&case, LINUX_BRIDGE);
        let (found, limit) = (opofd.ratio_to(&bridge), rates.samples(&case, READING).ratio_to(&bridge));
        let target = Target::new(format!("over the Linux bridge, {case}"), Bound::AtLeast(2.0), found, "times");
        targets.push(target.note(format!("a redirect with nothing but two reads of memory: {limit:.1} times")));
        for (peer, subjects) in [("Open vSwitch's best", OPEN_VSWITCH), ("testpmd's best", TESTPMD)] {
            let best = best(rates, &self::case(FLOWS[0]), &subjects);
            let what = format!("over {peer}, {case}");
            targets.push(Target::new(what, Bound::AtLeast(3.0), opofd.ratio_to(&best), "times"));
        }
    }
    targets
}

/// Of the subjects the one that did most by its median.
fn best(rates: &Figure, case: &str, subjects: &[usize]) -> Samples {
    let all = subjects.iter().map(|subject| rates.samples(case, *subject)).filter(|samples| !samples.0.is_empty());
    all.max_by(|a, b| a.median().total_cmp(&b.median())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_of_a_peer_counts_and_one_that_was_not_measured_does_not() {
        let mut rates = Figure::new("forwarded", "Forwarded", "frames/s", &SUBJECTS).against(BARE);
        let case = case(1_000);
        for (subject, value) in
            [(BARE, 100.0), (READING, 95.0), (OPOFD, 90.0), (LINUX_BRIDGE, 50.0), (4, 10.0), (5, 20.0)]
        {
            rates.add(&case, subject, value);
        }
        assert_eq!(best(&rates, &case, &OPEN_VSWITCH).0, [20.0]);
        assert!(best(&rates, &case, &TESTPMD).0.is_empty());

        let targets = targets(&rates, &[1_000]);
        let met = |what: &str| targets.iter().find(|target| target.what.starts_with(what)).unwrap().is_met();
        assert!(met("of a bare redirect, 1,000") && met("over Open vSwitch"));
        assert!(!met("of a bare redirect, 4,000,000") && !met("over the Linux bridge") && !met("over testpmd"));
    }
}
