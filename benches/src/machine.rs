//! What was measured on: a figure without it says nothing.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result};
use serde::Serialize;

/// A machine and what runs on it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(crate) struct Machine {
    /// The processor's own name.
    pub(crate) processor: String,
    /// Processors that may be used.
    pub(crate) processors: usize,
    /// Memory in MiB.
    pub(crate) memory_mib: u64,
    /// Linux, as it names itself.
    pub(crate) kernel: String,
    /// The compiler.
    pub(crate) rustc: String,
    /// opof's commit, with "+" behind it when the tree had changes.
    pub(crate) commit: String,
    /// Seconds since 1970 in UTC.
    pub(crate) time: u64,
}

impl Machine {
    /// The one that we run on, now.
    pub(crate) fn here() -> Result<Self> {
        let read = |path: &str| fs::read_to_string(path).with_context(|| format!("read {path}"));
        let meminfo = read("/proc/meminfo")?;
        let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
        let kib = total.and_then(|text| text.trim().trim_end_matches(" kB").trim().parse::<u64>().ok());
        let name = rustix::system::uname();
        let changed = !output("git", &["status", "--porcelain"]).is_empty();
        Ok(Self {
            processor: processor(&read("/proc/cpuinfo")?),
            processors: std::thread::available_parallelism().context("count the processors")?.get(),
            memory_mib: kib.unwrap_or_default() / 1024,
            kernel: format!("{} {}", name.sysname().to_string_lossy(), name.release().to_string_lossy()),
            rustc: output("rustc", &["--version"]),
            commit: output("git", &["rev-parse", "--short=12", "HEAD"]) + if changed { "+" } else { "" },
            time: rustix::time::clock_gettime(rustix::time::ClockId::Realtime).tv_sec.try_into().unwrap_or_default(),
        })
    }
}

fn processor(cpuinfo: &str) -> String {
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    model.map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, name)| name.trim().to_owned())
}

/// What a program says of itself; nothing when it can't be asked.
pub(crate) fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_processor_has_a_name() {
        assert_eq!(processor("processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\n"), "Some CPU @ 2 GHz");
        assert_eq!(processor("processor: 0"), std::env::consts::ARCH);
        let machine = Machine::here().unwrap();
        assert!(machine.processors > 0 && machine.memory_mib > 0 && machine.time > 1_600_000_000, "{machine:?}");
    }
}
