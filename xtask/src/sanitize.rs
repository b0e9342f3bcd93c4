//! `cargo xtask sanitize`: the tests of the one crate that has `unsafe` code, watched by a sanitizer of LLVM's.
//!
//! The flag is not stable. `RUSTC_BOOTSTRAP` has the stable compiler take it, for these builds alone, which go into a target directory of
//! their own; nothing that is shipped is built so.

use anyhow::{Context, Result};

use crate::shell;

/// Who has it.
const PACKAGE: &str = "opof-dataplane-linux";

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Only tests whose name has this in it
    filter: Option<String>,
}

/// Memory: what is used behind its end, after it was given back, or is given back twice.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let host = host(&shell::output(shell::command("rustc").arg("-vV"))?)?;
    let mut cargo = shell::cargo();
    // For the target only, so that build scripts and procedural macros are as ever.
    cargo.args(["test", "--package", PACKAGE, "--locked", "--target", &host]);
    cargo.env("RUSTC_BOOTSTRAP", "1").env("RUSTFLAGS", "-Zsanitizer=address");
    cargo.env("CARGO_TARGET_DIR", shell::target_directory()?.join("sanitize"));
    // What lives as long as the process is no leak; anything else ends the test.
    cargo.env("ASAN_OPTIONS", "detect_leaks=0:halt_on_error=1");
    shell::run(cargo.args(arguments.filter.as_ref()))
}

/// The target that the compiler builds for by itself.
fn host(version: &str) -> Result<String> {
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("`rustc -vV` names no host")?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_found_in_what_rustc_says() {
        assert_eq!(
            host("rustc 1.95.0\nhost: x86_64-unknown-linux-gnu\nrelease: 1.95.0\n").unwrap(),
            "x86_64-unknown-linux-gnu"
        );
        assert!(host("rustc 1.95.0").is_err());
    }
}
