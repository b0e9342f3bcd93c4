//! `cargo xtask fuzz`: builds the targets with coverage feedback and runs them for a while.
//!
//! They are a workspace of their own, for they need compiler flags that nothing else should have; `fuzz/README.md` says
//! which, and why no nightly is needed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use anyhow::{Context, Result, bail, ensure};

use crate::shell;

/// One input that takes longer counts as a finding, in seconds.
const INPUT_TIMEOUT: u32 = 10;
/// A target that takes more memory counts as a finding, in MiB.
const MEMORY: u32 = 2048;
/// How much of a failed target's log is shown, in lines.
const SHOWN: usize = 40;

/// Targets that begin with what the tests use: the package and the example that writes it into a folder.
const SEEDS: &[(&str, &str, &str)] = &[
    ("frame", "opof-testkit", "seed_frames"),
    ("api_message", "opof-api", "seed_messages"),
    ("configuration", "opof-daemon", "seed_configurations"),
    ("peer_message", "opof-api", "seed_peer_messages"),
];

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Its name in `fuzz/fuzz_targets`; all of them when not given
    target: Vec<String>,
    /// How long each runs
    #[arg(long, default_value_t = 60)]
    seconds: u32,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let all = targets(&directory().join("fuzz_targets"))?;
    let chosen = if arguments.target.is_empty() { all.clone() } else { arguments.target.clone() };
    for target in &chosen {
        ensure!(all.contains(target), "no fuzz target {target}; there are: {}", all.join(", "));
    }
    ensure!(!chosen.is_empty(), "there are no fuzz targets");
    build()?;
    // Side by side: a target uses one core.
    let running: Vec<Running> = chosen.iter().map(|target| start(target, arguments.seconds)).collect::<Result<_>>()?;
    let findings: Vec<String> =
        running.into_iter().filter_map(|target| finish(target).err()).map(|e| format!("{e:#}")).collect();
    ensure!(findings.is_empty(), "{}", findings.join("\n"));
    Ok(())
}

/// All targets, side by side.
pub(crate) fn all(seconds: u32) -> Result<()> {
    run(&Arguments { target: Vec::new(), seconds })
}

fn directory() -> PathBuf {
    shell::root().join("fuzz")
}

/// Every source file in `fuzz_targets` is a target.
fn targets(directory: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(directory).with_context(|| format!("read {}", directory.display()))?;
    let names = entries.flatten().map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "rs"));
    let mut names: Vec<String> =
        names.filter_map(|path| Some(path.file_stem()?.to_string_lossy().into_owned())).collect();
    names.sort();
    Ok(names)
}

/// From within the directory, whose own cargo configuration has the flags.
fn build() -> Result<()> {
    let mut cargo = shell::cargo();
    // Ours would win over the directory's.
    cargo.env_remove("RUSTFLAGS").env("CARGO_TARGET_DIR", directory().join("target"));
    shell::run(cargo.current_dir(directory()).args(["build", "--release", "--bins"]))
}

struct Running {
    target: String,
    process: Child,
    log: PathBuf,
    _directory: tempfile::TempDir,
}

fn start(target: &str, seconds: u32) -> Result<Running> {
    let artifacts = directory().join("artifacts").join(target);
    fs::create_dir_all(&artifacts).with_context(|| format!("make {}", artifacts.display()))?;
    // What it learns is thrown away, so that a run leaves the tree as it was.
    let directory = tempfile::tempdir().context("make a temporary directory")?;
    let (log, learnt) = (directory.path().join("log"), directory.path().join("corpus"));
    fs::create_dir(&learnt).context("make a directory for the corpus")?;
    let mut command = Command::new(binary(target)?);
    command.arg(format!("-max_total_time={seconds}")).arg(format!("-timeout={INPUT_TIMEOUT}"));
    command.arg(format!("-rss_limit_mb={MEMORY}")).arg(format!("-artifact_prefix={}/", artifacts.display()));
    command.arg("-print_final_stats=1").arg(&learnt);
    if let Some((_, package, example)) = SEEDS.iter().find(|(name, ..)| name == &target) {
        let words = ["run", "--quiet", "--package", package, "--example", example, "--"];
        shell::run(shell::cargo().args(words).arg(&learnt))?;
    }
    // What a developer's own runs have found is a start too.
    let kept = self::directory().join("corpus").join(target);
    if kept.is_dir() {
        command.arg(kept);
    }
    let file = File::create(&log).context("make a log file")?;
    command.stdout(file.try_clone().context("share the log file")?).stderr(file);
    let process = command.spawn().with_context(|| format!("start fuzz target {target}"))?;
    println!("fuzz {target}: {seconds} s");
    Ok(Running { target: target.to_owned(), process, log, _directory: directory })
}

fn binary(target: &str) -> Result<PathBuf> {
    // With an explicit --target the directory has one level more.
    let names = ["release", "x86_64-unknown-linux-gnu/release", "aarch64-unknown-linux-gnu/release"];
    let paths = names.map(|name| directory().join("target").join(name).join(target));
    paths.into_iter().find(|path| path.is_file()).with_context(|| format!("fuzz target {target} was built nowhere"))
}

fn finish(mut running: Running) -> Result<()> {
    let status = running.process.wait().with_context(|| format!("wait for fuzz target {}", running.target))?;
    let log = fs::read(&running.log).context("read the log")?;
    let log = String::from_utf8_lossy(&log);
    if !status.success() {
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(SHOWN)..].join("\n");
        bail!("fuzz target {} has a finding ({status}); its input is in fuzz/artifacts\n{tail}", running.target);
    }
    let executions = log.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    println!("fuzz {}: no finding in {} runs", running.target, executions.unwrap_or("an unknown number of").trim());
    ensure!(executions.is_some(), "fuzz target {} did not say how much it ran", running.target);
    Ok(())
}
