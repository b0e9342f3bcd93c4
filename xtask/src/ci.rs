//! `cargo xtask ci`: everything that must hold before a change is taken, step by step, with the time that each takes.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use opof_testkit::require::{self, Program};
use opof_testkit::wait::Stopwatch;

use crate::{bpf, fuzz, instructions, shell, walls};

/// How long each fuzz target runs.
const FUZZ_SECONDS: u32 = 60;

/// What the steps need besides Rust and a C compiler.
const PROGRAMS: &[Program] = &[
    Program { name: "clang-19", package: "clang-19" },
    Program { name: "llvm-strip-19", package: "llvm-19" },
    Program { name: "bpftool", package: "bpftool" },
    Program { name: "/usr/include/bpf/bpf_helpers.h", package: "libbpf-dev" },
    Program { name: "/usr/include/linux/bpf.h", package: "linux-libc-dev" },
    Program { name: "python3", package: "python3" },
    Program { name: "valgrind", package: "valgrind" },
];
/// For a Python that can't make virtual environments.
const VENV: Program = Program { name: "/usr/share/doc/python3-venv", package: "python3-venv" };

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Only this step; may be given more than once
    #[arg(long, value_name = "STEP")]
    only: Vec<String>,
    /// Name the steps and do nothing
    #[arg(long)]
    list: bool,
}

struct Step {
    name: &'static str,
    title: &'static str,
    run: fn() -> Result<()>,
}

const STEPS: &[Step] = &[
    Step { name: "packages", title: "Debian packages that the steps need", run: packages },
    Step { name: "format", title: "Formatting", run: format },
    Step { name: "walls", title: "Walls between the crates", run: walls::run },
    Step { name: "clippy", title: "Lints, warnings denied", run: clippy },
    Step { name: "bpf", title: "BPF objects are what their source makes", run: || Ok(bpf::check()?) },
    Step { name: "test", title: "Unit, property, conformance and namespace tests", run: test },
    Step { name: "sim", title: "The simulated world finds bugs that are planted", run: sim },
    Step { name: "python", title: "Python clients against opofd", run: python },
    Step { name: "fuzz", title: "Fuzz targets", run: fuzz },
    Step { name: "doc", title: "Documentation, warnings denied", run: doc },
    Step { name: "demo", title: "The lab, in short", run: demo },
    Step {
        name: "instructions",
        title: "Hot paths take as many instructions as is written down",
        run: instructions::check,
    },
    Step { name: "bench", title: "Every benchmark still runs, figures aside", run: bench },
];

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if arguments.list {
        for step in STEPS {
            println!("{:<12} {}", step.name, step.title);
        }
        return Ok(());
    }
    let steps = chosen(&arguments.only)?;
    ensure!(
        rustix::process::geteuid().is_root()
            || !steps.iter().any(|step| ["test", "demo", "bench"].contains(&step.name)),
        "the namespace tests need root, and are never left out in silence: run `cargo xtask ci` as root"
    );
    let mut results: Vec<(&Step, Duration, Option<String>)> = Vec::new();
    for step in steps {
        println!("\n==> {}: {}", step.name, step.title);
        let watch = Stopwatch::start();
        let error = (step.run)().err().map(|error| format!("{error:#}"));
        if let Some(error) = &error {
            eprintln!("error: {error}");
        }
        println!("<== {}: {} in {:.1} s", step.name, outcome(error.as_ref()), watch.elapsed().as_secs_f64());
        let failed = error.is_some();
        results.push((step, watch.elapsed(), error));
        // What comes after would only repeat it, or be built on sand.
        if failed && ["packages", "clippy"].contains(&step.name) {
            break;
        }
    }
    print!("{}", summary(&results));
    let failed: Vec<&str> =
        results.iter().filter(|(_, _, error)| error.is_some()).map(|(step, ..)| step.name).collect();
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    Ok(())
}

fn chosen(only: &[String]) -> Result<Vec<&'static Step>> {
    if let Some(unknown) = only.iter().find(|name| !STEPS.iter().any(|step| step.name == **name)) {
        bail!("no step {unknown}; `cargo xtask ci --list` names them");
    }
    Ok(STEPS.iter().filter(|step| only.is_empty() || only.iter().any(|name| name == step.name)).collect())
}

fn outcome(error: Option<&String>) -> &'static str {
    if error.is_some() { "FAIL" } else { "ok" }
}

fn summary(results: &[(&Step, Duration, Option<String>)]) -> String {
    let mut text = String::from("\nstep          result     time\n");
    for (step, time, error) in results {
        let _ = writeln!(text, "{:<12}  {:<6} {:>6.1} s", step.name, outcome(error.as_ref()), time.as_secs_f64());
    }
    let total: Duration = results.iter().map(|(_, time, _)| *time).sum();
    let _ = writeln!(text, "{:<12}  {:<6} {:>6.1} s", "all", "", total.as_secs_f64());
    text
}

fn packages() -> Result<()> {
    require::require(PROGRAMS)?;
    require::require(require::NETWORK)?;
    require::require(require::DISSECTORS)?;
    require::require(require::ETCD)?;
    require::require(require::KEEPALIVED)?;
    if shell::output(shell::command("python3").args(["-c", "import ensurepip"])).is_err() {
        require::require(&[VENV])?;
    }
    Ok(())
}

fn format() -> Result<()> {
    shell::run(shell::cargo().args(["fmt", "--all", "--check"]))
}

fn clippy() -> Result<()> {
    shell::run(shell::cargo().args([
        "clippy",
        "--workspace",
        "--all-targets",
        "--features",
        "opof-sim/planted",
        "--locked",
        "--",
        "-D",
        "warnings",
    ]))
}

fn test() -> Result<()> {
    shell::run(shell::cargo().args(["test", "--workspace", "--locked", "--no-fail-fast"]))
}

/// Its seeds themselves are among the tests.
fn sim() -> Result<()> {
    let words = ["test", "--package", "opof-sim", "--features", "planted", "--test", "planted", "--locked"];
    shell::run(shell::cargo().args(words).args(["--", "--nocapture"]))
}

fn doc() -> Result<()> {
    let mut cargo = shell::cargo();
    cargo.env("RUSTDOCFLAGS", "-D warnings");
    shell::run(cargo.args(["doc", "--workspace", "--no-deps", "--locked"]))
}

fn fuzz() -> Result<()> {
    fuzz::all(FUZZ_SECONDS)
}

fn demo() -> Result<()> {
    shell::demo(&["--short".to_owned()])
}

/// On tables so small, and without optimization, that nothing can be said of the figures.
fn bench() -> Result<()> {
    let out = tempfile::tempdir().context("make a temporary directory")?;
    let out = out.path().to_string_lossy().into_owned();
    shell::bench(&["--quick", "--rounds", "1", "--out", &out].map(str::to_owned), false)
}

/// In a virtual environment that is thrown away.
fn python() -> Result<()> {
    shell::run(shell::cargo().args(["build", "--package", "opof-daemon", "--bin", "opofd", "--locked"]))?;
    let opofd = shell::target_directory()?.join("debug/opofd");
    let directory = tempfile::tempdir().context("make a temporary directory")?;
    let python = directory.path().join("bin/python");
    let python = python.to_string_lossy();
    shell::run(shell::command("python3").args(["-m", "venv"]).arg(directory.path()))?;
    let requirements = "tests/python/requirements.txt";
    let pip = || {
        let mut command = shell::command(&python);
        // The client's stubs are made by the version that the tests run with; how pip is told depends on pip's age.
        command.env("PIP_CONSTRAINT", requirements).env("PIP_BUILD_CONSTRAINT", requirements);
        command.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
        command
    };
    shell::run(pip().args(["--requirement", requirements]))?;
    shell::run(pip().arg("./clients/python[test]"))?;
    let config = "clients/python/pyproject.toml";
    shell::run(shell::command(&python).args(["-m", "mypy", "--config-file", config, "--strict", "--package", "opof"]))?;
    // Each by itself: both have a conftest.py.
    for tests in ["tests/python", "clients/python/tests"] {
        let mut pytest = shell::command(&python);
        pytest.env("OPOFD", &opofd);
        shell::run(pytest.args(["-m", "pytest", "-q", "-p", "no:cacheprovider", tests]))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_have_names_of_their_own() {
        for step in STEPS {
            assert_eq!(STEPS.iter().filter(|other| other.name == step.name).count(), 1, "{}", step.name);
        }
    }

    #[test]
    fn only_what_was_asked_for_runs_and_a_wrong_name_is_an_error() {
        let names = |only: &[&str]| {
            let only: Vec<String> = only.iter().map(|name| (*name).to_owned()).collect();
            chosen(&only).map(|steps| steps.iter().map(|step| step.name).collect::<Vec<_>>())
        };
        assert_eq!(names(&["doc", "format"]).unwrap(), ["format", "doc"]);
        assert_eq!(names(&[]).unwrap().len(), STEPS.len());
        assert!(names(&["dco"]).unwrap_err().to_string().contains("no step dco"));
    }

    #[test]
    fn a_failed_step_shows_in_the_summary() {
        let text = summary(&[(&STEPS[0], Duration::from_secs(1), None), (&STEPS[1], Duration::ZERO, Some("x".into()))]);
        assert!(text.contains("packages      ok") && text.contains("format        FAIL"), "{text}");
    }
}
