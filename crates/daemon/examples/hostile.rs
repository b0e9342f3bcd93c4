//! How fast sessions are added while 2,000 connections say nothing, one drips a byte a second and one sends messages of 4 GiB, beside
//! the same without them; and opofd's peak memory in both.
//!
//! `cargo build --release --bin opofd && cargo run --release -p opof-daemon --example hostile`
//!
//! Rounds alternate, each with a fresh opofd, and medians are compared: the machine's other work falls on both.

#[path = "../tests/hostile/crowd.rs"]
mod crowd;

use std::path::PathBuf;

use opof_api::{Dialect, Rpc};
use tokio::time::Instant;
use tonic::transport::Endpoint;

use crowd::{Crowd, Opofd, session};

const SILENT: usize = 2000;
const ROUNDS: usize = 5;
const SESSIONS: u32 = 200_000;
/// Sessions in a stream.
const STREAMS: [u32; 2] = [64, 4096];

/// Sessions a second for each length of stream, and peak memory in KiB.
struct Round {
    rates: [f64; 2],
    memory: u64,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    crowd::raise_open_files(SILENT as u64 + 100);
    let example = std::env::current_exe().expect("this program has a path");
    let binary: PathBuf = example.parent().and_then(|folder| folder.parent()).expect("examples/").join("opofd");
    assert!(binary.exists(), "{} is missing: cargo build --release --bin opofd", binary.display());
    let (mut alone, mut crowded) = (Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        eprintln!("round {round} of {ROUNDS}");
        alone.push(measure(&binary, 0).await);
        crowded.push(measure(&binary, SILENT).await);
    }
    println!("sessions a second, medians of {ROUNDS} rounds, simulated data plane, {SILENT} silent connections");
    println!("{:>10} {:>12} {:>12} {:>6}", "a stream", "alone", "in a crowd", "ratio");
    for (index, length) in STREAMS.iter().enumerate() {
        let median = |rounds: &[Round]| middle(rounds.iter().map(|round| round.rates[index]));
        let (alone, crowded) = (median(&alone), median(&crowded));
        println!("{length:>10} {alone:>12.0} {crowded:>12.0} {:>6.2}", crowded / alone);
    }
    let peak = |rounds: &[Round]| rounds.iter().map(|round| round.memory).max().unwrap_or_default() / 1024;
    println!("peak memory of opofd: {} MiB alone, {} MiB in a crowd", peak(&alone), peak(&crowded));
}

fn middle(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

async fn measure(binary: &std::path::Path, silent: usize) -> Round {
    let opofd = Opofd::start(binary, &["--max-sessions", "1000000"]).await;
    let crowd = if silent > 0 { Some(Crowd::start(opofd.address, silent).await) } else { None };
    let endpoint = Endpoint::new(format!("http://{}", opofd.address)).expect("an address");
    let mut client = Rpc::new(endpoint.connect().await.expect("a connection"), Dialect::V1);
    let mut rates = [0.0; 2];
    let mut next = 0;
    for (rate, length) in rates.iter_mut().zip(STREAMS) {
        let end = next + SESSIONS;
        let before = Instant::now();
        while next < end {
            let ids = next..(next + length).min(end);
            next = ids.end;
            let sessions: Vec<_> = ids.map(session).collect();
            let answer = client.add_session(tokio_stream::iter(sessions)).await.expect("an answer").into_inner();
            assert_eq!(answer.response_error, []);
        }
        *rate = f64::from(SESSIONS) / before.elapsed().as_secs_f64();
    }
    drop(crowd);
    Round { rates, memory: opofd.peak_memory() }
}
