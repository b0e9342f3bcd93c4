//! Hot paths one by one, as often as they are asked for: what a simulator of a processor counts the instructions of.
//!
//! Everything is the same in each run: seeds, keys, order. What must not be here: clocks, threads, system calls.

use std::hint::black_box;

use anyhow::{Context, Result, ensure};
use opof_api::v1beta1::SessionRequest;
use opof_api::{Dialect, Profile, session_spec};
use opof_testkit::packet::Packet;
use opof_wire::classify;
use prost::Message;

use crate::calls;
use crate::engine::Bench;

/// Does it so many times.
type Work = fn(u32) -> Result<()>;

/// What can be counted: its name, and the work. Those of the engine each do what the one before them does, and something more.
pub(crate) const WORKS: &[(&str, Work)] = &[
    ("decode", decode),
    ("classify", classify_frames),
    ("engine-admit", |count| Bench::work(count, 1)),
    ("engine-timer", |count| Bench::work(count, 2)),
    ("engine-close", |count| Bench::work(count, 3)),
];

/// Does the work of this name so many times.
pub(crate) fn run(name: &str, count: u32) -> Result<()> {
    let (_, work) = WORKS.iter().find(|(known, _)| *known == name).with_context(|| format!("no work {name}"))?;
    work(count)
}

/// A message of addSession, from its bytes to what the engine takes.
fn decode(count: u32) -> Result<()> {
    let messages: Vec<Vec<u8>> = [calls::Family::V4, calls::Family::V6]
        .map(|family| calls::session(1, family, 60).encode_to_vec())
        .into_iter()
        .collect();
    let profile = Profile::default();
    for message in messages.iter().cycle().take(count as usize) {
        let request = SessionRequest::decode(black_box(&message[..])).context("a message of ours")?;
        black_box(session_spec(&request, Dialect::V1, &profile).context("a session of ours")?);
    }
    Ok(())
}

/// A frame to its key, by the rules that the XDP program follows, too.
fn classify_frames(count: u32) -> Result<()> {
    let (v4, v6) = ([10, 1, 2, 3], [0xFD; 16]);
    let frames = [
        Packet::new().ipv4(v4, [192, 0, 2, 1]).udp(1, 2).build(),
        Packet::new().ipv6(v6, [0xFC; 16]).udp(1, 2).build(),
        Packet::new().vlan(7).ipv4(v4, [192, 0, 2, 1]).udp(1, 2).build(),
    ];
    for frame in frames.iter().cycle().take(count as usize) {
        ensure!(black_box(classify(black_box(frame))).is_ok(), "a frame of ours has a key");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_work_can_be_done() {
        for (name, _) in WORKS {
            run(name, 100).unwrap();
        }
        assert!(run("nothing", 1).is_err());
    }
}
