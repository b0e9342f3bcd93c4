//! The lab: what opof does, shown on real traffic.
//!
//! A client and a server, `opofd` on XDP in the wire between them, and a bridging firewall beside it, each in a network
//! namespace of its own. iperf3 runs without offload, then with its session offloaded; every figure is checked against
//! somebody else's count of the same packets.

mod case;
mod outcome;
mod progress;
mod real;
mod report;
mod simulated;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use serde_json::{Value, json};

use report::Verdict;

/// The lab: real iperf3 traffic through opofd in network namespaces, without and with offload.
///
/// As root on Linux; otherwise the same story on the simulated data plane.
#[derive(Parser)]
#[command(name = "cargo xtask demo")]
struct Arguments {
    /// How long each run of iperf3 takes
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    /// Runs of one second, for a quick look
    #[arg(long, conflicts_with = "seconds")]
    short: bool,
    /// Write all figures to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// On the simulated data plane, whatever the machine can
    #[arg(long)]
    simulated: bool,
}

/// What the story comes to.
struct Story {
    verdicts: Vec<Verdict>,
    figures: Value,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<bool> {
    let seconds = if arguments.short { 1 } else { arguments.seconds };
    let story = match if arguments.simulated { Some("as asked for") } else { real::obstacle() } {
        None => real::tell(seconds)?,
        Some(why) => {
            println!("On the simulated data plane, in this process ({why}).\n");
            simulated::tell()?
        }
    };
    let ok = story.verdicts.iter().all(Verdict::ok);
    println!("{}\n{}", report::verdicts(&story.verdicts), report::word(ok));
    if let Some(file) = &arguments.json {
        let text = format!("{:#}\n", json!({ "pass": ok, "figures": story.figures }));
        std::fs::write(file, text).with_context(|| format!("write {}", file.display()))?;
    }
    Ok(ok)
}
