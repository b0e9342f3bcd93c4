//! A firewall at the far end of a GENEVE tunnel, as a process: the kernel need not know of such tunnels.
//!
//! What must not be here: how a packet is judged. That is the script's alone, so that a fault of ours is not made twice.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use opof_testkit::netns::{NetError, NetNs, Process};
use opof_testkit::require::{Program, require};
use opof_testkit::wait::TimedOut;
use opof_wire::geneve::OptionId;
use serde_json::Value;

use crate::Error;

const SCRIPT: &str = include_str!("../geneve/firewall.py");
const PYTHON: Program = Program { name: "/usr/bin/python3", package: "python3" };
const NAME: &str = "the firewall behind GENEVE";
/// Its first line.
const READY: &str = "ready";
/// For the start of Python, and for an answer while packets come as fast as they can, on a busy machine.
const BOUND: Duration = Duration::from_secs(20);
/// Lines that wait at most: there is one answer to each question.
const QUEUE: usize = 1;

/// What the tunnel's packets have to be like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GeneveEnd<'a> {
    /// Virtual network identifier.
    pub vni: u32,
    /// What the option is called.
    pub option: OptionId,
    /// Each LIF that it serves, and the out-LIF of its answers: the LIF that a frame which came in there leaves by.
    pub leaves_by: &'a [(u32, u32)],
}

/// A running firewall that lets everything through; it ends with this value.
#[derive(Debug)]
pub struct GeneveFirewall {
    process: Process,
    questions: ChildStdin,
    answers: Receiver<String>,
}

/// Frames that came in on one LIF.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FramesSeen {
    /// TCP with SYN, FIN or RST.
    pub control: u64,
    /// TCP without.
    pub data: u64,
    /// Everything else.
    pub other: u64,
}

/// What a firewall has counted since it was started.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct GeneveSeen {
    /// For each LIF that it serves the frames in packets that were right.
    pub lifs: BTreeMap<u32, FramesSeen>,
    /// How many packets were wrong, by the first thing that was wrong with each; such packets are not answered.
    pub wrong: BTreeMap<String, u64>,
    /// How the first wrong packet begins, from its GENEVE header, in hexadecimal.
    pub first_wrong: Option<String>,
    /// Answers that the kernel did not take.
    pub unsent: u64,
    /// Packets that came faster than they could be read.
    pub lost: u64,
}

impl FramesSeen {
    /// All of them.
    pub fn all(&self) -> u64 {
        self.control + self.data + self.other
    }
}

impl GeneveSeen {
    /// Of the LIF with this number; nothing when it is not served.
    pub fn lif(&self, number: u32) -> FramesSeen {
        self.lifs.get(&number).copied().unwrap_or_default()
    }

    /// True when no packet was wrong, and none was lost on its way into the firewall or out of it.
    pub fn is_clean(&self) -> bool {
        self.wrong.is_empty() && self.unsent == 0 && self.lost == 0
    }
}

impl GeneveFirewall {
    /// Starts it in `namespace`, on every address that this has, and waits until it takes packets.
    pub fn start(namespace: &NetNs, end: &GeneveEnd<'_>) -> Result<Self, Error> {
        require(&[PYTHON])?;
        let pairs: Vec<String> = end.leaves_by.iter().map(|(from, to)| format!("{from}={to}")).collect();
        let mut command = namespace.command(PYTHON.name);
        command.args(["-c", SCRIPT, &end.vni.to_string()]);
        command.args([end.option.class().to_string(), end.option.kind().to_string(), pairs.join(",")]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = Process::start(NAME, &mut command)?;
        let (stdin, stdout) = (process.child().stdin.take(), process.child().stdout.take());
        let (Some(questions), Some(stdout)) = (stdin, stdout) else { unreachable!("both were asked for as pipes") };
        let (sender, answers) = sync_channel(QUEUE);
        std::thread::spawn(move || {
            let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
            lines.try_for_each(|line| sender.send(line))
        });
        let firewall = Self { process, questions, answers };
        let line = firewall.line()?;
        if line == READY { Ok(firewall) } else { Err(unexpected(line)) }
    }

    /// What has come in so far. A frame whose answer has arrived somewhere is among it.
    pub fn seen(&self) -> Result<GeneveSeen, Error> {
        (&self.questions).write_all(b"counts\n").map_err(Error::io("ask the firewall behind GENEVE"))?;
        let line = self.line()?;
        parse(&line).ok_or_else(|| unexpected(line))
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    fn line(&self) -> Result<String, Error> {
        self.answers.recv_timeout(BOUND).map_err(|error| match error {
            RecvTimeoutError::Timeout => TimedOut { what: format!("{NAME} to answer"), bound: BOUND }.into(),
            RecvTimeoutError::Disconnected => unexpected("it ended; its errors are above".to_owned()),
        })
    }
}

fn unexpected(output: String) -> Error {
    NetError::Output { what: NAME.to_owned(), output }.into()
}

fn parse(line: &str) -> Option<GeneveSeen> {
    let counts: Value = serde_json::from_str(line).ok()?;
    let number = |value: &Value, name: &str| value.get(name)?.as_u64();
    let lif = |(lif, frames): (&String, &Value)| {
        let [control, data, other] = ["control", "data", "other"].map(|name| number(frames, name));
        Some((lif.parse().ok()?, FramesSeen { control: control?, data: data?, other: other? }))
    };
    let wrong = |(fault, count): (&String, &Value)| Some((fault.clone(), count.as_u64()?));
    Some(GeneveSeen {
        lifs: counts.get("lifs")?.as_object()?.iter().map(lif).collect::<Option<_>>()?,
        wrong: counts.get("wrong")?.as_object()?.iter().map(wrong).collect::<Option<_>>()?,
        first_wrong: counts.get("first_wrong")?.as_str().map(str::to_owned),
        unsent: number(&counts, "unsent")?,
        lost: number(&counts, "lost")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_from_what_the_firewall_prints() {
        let line = r#"{"lifs": {"1": {"control": 2, "data": 3, "other": 4}, "2": {"control": 0, "data": 0, "other": 0}},
            "wrong": {"another VNI": 5}, "first_wrong": "0400", "unsent": 6, "lost": 7}"#;
        let seen = parse(line).unwrap();
        let one = FramesSeen { control: 2, data: 3, other: 4 };
        assert_eq!((seen.lif(1), seen.lif(1).all()), (one, 9));
        assert_eq!((seen.lif(2), seen.lif(3)), (FramesSeen::default(), FramesSeen::default()));
        assert_eq!(seen.lifs.len(), 2);
        assert_eq!(seen.wrong, BTreeMap::from([("another VNI".to_owned(), 5)]));
        assert_eq!((seen.first_wrong.as_deref(), seen.unsent, seen.lost), (Some("0400"), 6, 7));
        assert!(!seen.is_clean());
    }

    #[test]
    fn a_clean_run_is_told_from_a_line_without_counts() {
        let line = r#"{"lifs": {}, "wrong": {}, "first_wrong": null, "unsent": 0, "lost": 0}"#;
        assert!(parse(line).unwrap().is_clean());
        assert_eq!(parse("ready"), None);
        assert_eq!(parse(r#"{"lifs": {"1": {"control": 2}}, "wrong": {}, "unsent": 0, "lost": 0}"#), None);
    }
}
