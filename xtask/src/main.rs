//! `cargo xtask`: what a developer does besides `cargo build`. Run it without arguments for the list.
//!
//! What lives here: driving other programs. What must not: anything that opof itself needs at run time.

mod bpf;
mod ci;
mod fuzz;
mod instructions;
mod sanitize;
mod shell;
mod walls;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The project's own commands", arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Everything that must hold before a change is taken (as root)
    Ci(ci::Arguments),
    /// The lab: real traffic through opofd in network namespaces (as root), or a simulation of it
    Demo {
        /// As `cargo xtask demo --help` lists them
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// What opof costs, measured beside its peers (as root)
    Bench {
        /// As `cargo xtask bench --help` lists them
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Runs of a simulated world, with faults, from seeds
    Sim {
        /// As `cargo xtask sim --help` lists them
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Count the instructions of hot paths, and compare them with those that are written down
    Instructions {
        /// Write them down instead
        #[arg(long)]
        write: bool,
    },
    /// The walls between the crates
    Walls,
    /// Run a fuzz target for a while
    Fuzz(fuzz::Arguments),
    /// Tests of the crate with unsafe code under AddressSanitizer (as root)
    Sanitize(sanitize::Arguments),
    /// Build the BPF objects from source
    Bpf {
        /// Change nothing; fail when a committed object is not what its source makes
        #[arg(long)]
        check: bool,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<()> {
    match command {
        Command::Ci(arguments) => ci::run(&arguments),
        Command::Demo { arguments } => shell::demo(&arguments),
        Command::Bench { arguments } => shell::bench(&arguments, true),
        Command::Sim { arguments } => shell::sim(&arguments),
        Command::Instructions { write: false } => instructions::check(),
        Command::Instructions { write: true } => instructions::write(),
        Command::Walls => walls::run(),
        Command::Fuzz(arguments) => fuzz::run(&arguments),
        Command::Sanitize(arguments) => sanitize::run(&arguments),
        Command::Bpf { check: true } => Ok(bpf::check()?),
        Command::Bpf { check: false } => Ok(bpf::build()?),
    }
}
