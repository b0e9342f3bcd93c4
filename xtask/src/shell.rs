//! Running other programs from the root of the repository.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// The root of the repository that cargo was called in: asked for at run time, since two clones may share a target
/// directory and so this program.
pub(crate) fn root() -> PathBuf {
    let package = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&package).parent().map(Path::to_owned).unwrap_or_default()
}

/// `program` in the root of the repository, without standard input.
pub(crate) fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root()).stdin(Stdio::null());
    command
}

/// The cargo that runs us.
pub(crate) fn cargo() -> Command {
    command(&env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()))
}

/// Where cargo puts what it builds: `target` in the root, unless the environment or cargo's configuration says otherwise.
pub(crate) fn target_directory() -> Result<PathBuf> {
    let metadata = output(cargo().args(["metadata", "--format-version=1", "--no-deps", "--offline"]))?;
    let directory = target_of(&metadata).context("`cargo metadata` names no target_directory")?;
    Ok(directory.into())
}

/// One string out of a page of JSON: not worth a parser among the dependencies.
fn target_of(metadata: &str) -> Option<&str> {
    let (_, rest) = metadata.split_once(r#""target_directory":""#)?;
    let (directory, _) = rest.split_once('"')?;
    // An escape would need the parser after all.
    (!directory.contains('\\')).then_some(directory)
}

/// Runs it with its output on ours; an error names the command line.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("can't run `{}`", line(command)))?;
    if !status.success() {
        bail!("`{}` failed ({status})", line(command));
    }
    Ok(())
}

/// Runs it and returns its standard output; its standard error is part of the error.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("can't run `{}`", line(command)))?;
    if !output.status.success() {
        bail!("`{}` failed ({}):\n{}", line(command), output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The lab is a package of its own, so that the other commands need no gRPC to be built.
pub(crate) fn demo(arguments: &[String]) -> Result<()> {
    let words = ["run", "--quiet", "--package", "opof-tests", "--bin", "demo", "--"];
    run(cargo().args(words).args(arguments))
}

/// The benchmark, and the opofd that it measures, from one build: optimized, or as tests are.
pub(crate) fn bench(arguments: &[String], optimized: bool) -> Result<()> {
    let profile = if optimized { "release" } else { "dev" };
    let cargo = |words: &[&str]| {
        let mut cargo = cargo();
        cargo.args([words[0], "--quiet", "--profile", profile]).args(&words[1..]);
        cargo
    };
    run(&mut cargo(&["build", "--package", "opof-daemon", "--bin", "opofd"]))?;
    run(cargo(&["run", "--package", "opof-bench", "--"]).args(arguments))
}

/// The simulated world, optimized, but with all of its assertions.
pub(crate) fn sim(arguments: &[String]) -> Result<()> {
    let words = ["run", "--quiet", "--profile", "checked", "--package", "opof-sim", "--"];
    run(cargo().args(words).args(arguments))
}

fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_directory_is_found_in_what_cargo_says() {
        assert_eq!(target_of(r#"{"packages":[],"target_directory":"/a/b","version":1}"#), Some("/a/b"));
        assert_eq!(target_of(r#"{"version":1}"#), None);
        assert_eq!(target_of(r#"{"target_directory":"/a\"b"}"#), None);
        assert!(target_directory().unwrap().is_absolute());
    }
}
