//! `cargo xtask bench`: what opof costs, measured beside its peers on the same work in the same run.
//!
//! What lives here: the work of each area, and the report. What must not: anything that ships, and a verdict that depends on how busy
//! the machine is: every figure is a ratio of medians that took turns, and stands in the report with its spread.

mod aging;
mod area;
mod calls;
mod control;
mod device;
mod engine;
mod forward;
mod lifecycle;
mod limits;
mod machine;
mod memory;
mod overload;
mod packet;
mod progress;
mod report;
mod samples;
mod subject;
mod text;
mod work;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Parser, Subcommand};

use crate::area::{AREAS, Area, Scale, Setting};
use crate::machine::Machine;
use crate::progress::Progress;
use crate::report::Report;

const EXAMPLES: &str = "\
Examples:
  cargo xtask bench
      Everything, and a report in bench/. As root, an hour or so.
  cargo xtask bench control engine
      Two areas of it.
  cargo xtask bench --quick --rounds 1 --out /tmp/bench
      The same work on tables so small that the figures say nothing: does it still run?";

/// Measures opof and its peers on the same work, in turns, and writes what came of it.
#[derive(Parser, Debug)]
#[command(name = "cargo xtask bench", after_help = EXAMPLES, term_width = 0)]
struct Arguments {
    #[command(subcommand)]
    serve: Option<Serve>,
    /// What to measure; everything when none is named
    #[arg(value_name = "AREA")]
    areas: Vec<String>,
    /// How often each subject has its turn
    #[arg(long, value_name = "N", default_value_t = limits::ROUNDS, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Small tables and little work
    #[arg(long)]
    quick: bool,
    /// Where report.json, report.md and the plots go
    #[arg(long, value_name = "DIR", default_value = "bench")]
    out: PathBuf,
    /// Print the report as JSON, not as text
    #[arg(long)]
    json: bool,
    /// Name the areas and do nothing
    #[arg(long)]
    list: bool,
}

/// What this program is, when it stands beside opofd.
#[derive(Subcommand, Debug)]
enum Serve {
    /// A server that only decodes and inserts
    #[command(hide = true)]
    ServeFloor,
    /// A hot path, so many times
    #[command(hide = true)]
    Work {
        /// Which
        name: String,
        /// How often
        count: u32,
    },
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    match &arguments.serve {
        Some(Serve::ServeFloor) => return control::floor::serve(),
        Some(Serve::Work { name, count }) => return work::run(name, *count),
        None => {}
    }
    if arguments.list {
        for Area { name, what, .. } in AREAS {
            println!("{name:<8} {what}");
        }
        return Ok(());
    }
    let areas = chosen(&arguments.areas)?;
    let scale = if arguments.quick { Scale::Quick } else { Scale::Full };
    let mut report = Report::new(Machine::here()?, arguments.rounds, scale);
    for area in areas {
        let progress = Progress::start(area.name);
        let setting = Setting { rounds: arguments.rounds, scale, progress: &progress };
        report.areas.push((area.run)(&setting)?);
        // After each area: what was measured is not lost with one that fails.
        report.write(&arguments.out)?;
    }
    print!("{}", if arguments.json { report.to_json()? } else { report.to_text() });
    eprintln!("written to {}", arguments.out.display());
    Ok(())
}

fn chosen(names: &[String]) -> Result<Vec<&'static Area>> {
    if let Some(unknown) = names.iter().find(|name| !AREAS.iter().any(|area| area.name == **name)) {
        let all: Vec<_> = AREAS.iter().map(|area| area.name).collect();
        bail!("no area {unknown}; there are: {}", all.join(", "));
    }
    Ok(AREAS.iter().filter(|area| names.is_empty() || names.iter().any(|name| name == area.name)).collect())
}
