//! `cargo xtask sim`: runs seeds of the simulated world.

use std::hash::{BuildHasher, RandomState};
use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use opof_sim::{Finding, Of, Searched, limits, run, search};
use opof_testkit::wait::Stopwatch;

const EXAMPLES: &str = "\
Examples:
  cargo xtask sim
      The seeds that are run before a change is taken.
  cargo xtask sim --minutes 30
      Others, from one on that nobody has chosen, until something is found or the time is over.
  cargo xtask sim --pair --minutes 30
      The same of a pair of devices.
  cargo xtask sim --seed 192
      This one again, with everything that is done in it.

Exit code: 0 when nothing was found, 1 when something was, 2 for wrong arguments.";

/// Runs seeds of the simulated world: a session table with firewalls, packets and faults, in virtual time. A seed is the same run whenever
/// it is run, on the same version.
#[derive(Parser, Debug)]
#[command(name = "cargo xtask sim", after_help = EXAMPLES, term_width = 0)]
struct Arguments {
    /// Of a pair of devices instead of one
    #[arg(long)]
    pair: bool,
    /// Run this seed alone, and tell what is done in it
    #[arg(long, value_name = "N", conflicts_with_all = ["seeds", "minutes", "from"])]
    seed: Option<u64>,
    /// Run so many seeds
    #[arg(long, value_name = "COUNT", default_value_t = limits::SEEDS, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// Run seeds for so long
    #[arg(long, value_name = "M", conflicts_with = "seeds", value_parser = clap::value_parser!(u64).range(1..=10_000))]
    minutes: Option<u64>,
    /// Begin with this seed; 0 when not given, or with --minutes a random one
    #[arg(long, value_name = "N")]
    from: Option<u64>,
    /// Print what came of it as JSON
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // A panic is a finding, and told as one.
    std::panic::set_hook(Box::new(|_| {}));
    let watch = Stopwatch::start();
    let searched = match arguments.seed {
        Some(seed) => one(arguments.of(), seed, arguments.json),
        None => many(&arguments, &watch),
    };
    say(&searched, &watch, arguments.json);
    if searched.finding.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

impl Arguments {
    fn of(&self) -> Of {
        if self.pair { Of::Pair } else { Of::Device }
    }
}

fn one(of: Of, seed: u64, json: bool) -> Searched {
    let outcome = run(of, seed);
    if let (Ok(passed), false) = (&outcome, json) {
        passed.told.iter().for_each(|line| println!("{line}"));
    }
    let finding = outcome.err().map(|mut finding| {
        // All of it, above what is said of each finding.
        let last = finding.told.len().saturating_sub(limits::TOLD);
        if !json {
            finding.told.drain(..last).for_each(|line| println!("  {line}"));
        }
        finding
    });
    Searched { seeds: 1, finding }
}

fn many(arguments: &Arguments, watch: &Stopwatch) -> Searched {
    let end = arguments.minutes.map(|minutes| Duration::from_secs(60 * minutes));
    // Somewhere that leaves room; the standard library's hasher is keyed at random, by the operating system.
    let somewhere = || RandomState::new().hash_one(0) >> 1;
    let from = arguments.from.unwrap_or_else(|| if end.is_some() { somewhere() } else { 0 });
    let count = if end.is_some() { u64::MAX } else { arguments.seeds };
    let bar = bar(end, arguments.seeds);
    let searched = search(arguments.of(), from..=from.saturating_add(count - 1), None, |done| {
        let elapsed = watch.elapsed();
        bar.set_position(end.map_or(done, |_| elapsed.as_secs()));
        bar.set_message(format!("{done} seeds from {from} on"));
        end.is_none_or(|end| elapsed < end)
    });
    bar.finish_and_clear();
    searched
}

/// Where a person sees it.
fn bar(end: Option<Duration>, seeds: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:32} {percent}%  {msg}  {elapsed}, {eta} to go");
    let length = end.map_or(seeds, |end| end.as_secs());
    ProgressBar::new(length).with_style(style.expect("the template is good"))
}

fn say(Searched { seeds, finding }: &Searched, watch: &Stopwatch, json: bool) {
    let seconds = watch.elapsed().as_secs_f64();
    if json {
        let finding = finding
            .as_deref()
            .map(|Finding { of, seed, what, told }| {
                serde_json::json!({ "pair": *of == Of::Pair, "seed": seed, "what": what, "told": told })
            });
        println!("{}", serde_json::json!({ "seeds": seeds, "seconds": seconds, "finding": finding }));
        return;
    }
    match finding {
        Some(finding) => println!("{finding}"),
        None => println!("{seeds} seeds in {seconds:.1} s: nothing found"),
    }
}
