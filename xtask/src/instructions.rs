//! How many instructions hot paths take, counted by valgrind: a figure that does not move with the machine's load, so a check can
//! depend on it.
//!
//! What is counted is in the benchmark (`opof-bench work`); what it was is in `benches/instructions.txt`. The XDP programs are counted
//! by their length, for nothing here runs them instruction by instruction.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::shell;

/// From the root of the workspace.
const WRITTEN: &str = "benches/instructions.txt";
const HEAD: &str = "\
# Instructions for one session, message or frame, by valgrind, and the length of XDP programs in instructions.
# `cargo xtask instructions` compares, `cargo xtask instructions --write` writes anew.
";
/// A work, and the one that does the same but for what is counted.
const COUNTED: [(&str, Option<&str>); 5] = [
    ("decode", None),
    ("classify", None),
    ("engine-admit", None),
    ("engine-timer", Some("engine-admit")),
    ("engine-close", Some("engine-timer")),
];
/// How often each is done in two runs, whose difference has neither start nor end in it.
const TIMES: [u32; 2] = [20_000, 60_000];
/// In percent, up or down: tables that grow do so at other moments.
const TOLERANCE: u64 = 3;
/// Whose length is counted, and in which file.
const OBJECT: &str = "bpf/session.bpf.o";
const SECTIONS: [&str; 2] = ["xdp.frags", ".text"];

type Counts = BTreeMap<String, u64>;

/// Fails when a path takes more or fewer than is written down.
pub(crate) fn check() -> Result<()> {
    let text = fs::read_to_string(WRITTEN).with_context(|| format!("read {WRITTEN}"))?;
    let (written, found) = (parse(&text)?, count()?);
    let mut wrong = String::new();
    for (name, now) in &found {
        let before = written.get(name).copied();
        println!("{name:<14} {now:>8}  (written down: {})", before.map_or("nothing".to_owned(), |n| n.to_string()));
        if !before.is_some_and(|before| is_near(before, *now)) {
            let _ = write!(wrong, " {name}");
        }
    }
    ensure!(written.keys().all(|name| found.contains_key(name)), "{WRITTEN} has something that is not counted");
    ensure!(
        wrong.is_empty(),
        "more than {TOLERANCE} % from what is written down:{wrong}. If that is meant: cargo xtask instructions --write"
    );
    Ok(())
}

/// Writes down what is.
pub(crate) fn write() -> Result<()> {
    let mut text = HEAD.to_owned();
    for (name, count) in count()? {
        let _ = writeln!(text, "{name} {count}");
    }
    print!("{text}");
    fs::write(WRITTEN, text).with_context(|| format!("write {WRITTEN}"))
}

fn is_near(before: u64, now: u64) -> bool {
    before.abs_diff(now) * 100 <= before * TOLERANCE
}

fn parse(text: &str) -> Result<Counts> {
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines
        .map(|line| {
            let (name, count) =
                line.split_once(' ').with_context(|| format!("{WRITTEN}: \"{line}\" is not a name and a number"))?;
            Ok((name.to_owned(), count.parse().with_context(|| format!("{WRITTEN}: {line}"))?))
        })
        .collect()
}

fn count() -> Result<Counts> {
    shell::run(shell::cargo().args(["build", "--quiet", "--release", "--locked", "--package", "opof-bench"]))?;
    let program = shell::target_directory()?.join("release/opof-bench").to_string_lossy().into_owned();
    let mut whole = Counts::new();
    for (name, _) in COUNTED {
        let [few, many] = TIMES.map(|times| instructions(&program, name, times));
        let each =
            many?.checked_sub(few?).context("more work takes fewer instructions")? / u64::from(TIMES[1] - TIMES[0]);
        whole.insert(name.to_owned(), each);
    }
    let mut counts = Counts::new();
    for (name, without) in COUNTED {
        let without = without.map_or(0, |without| whole[without]);
        counts.insert(name.to_owned(), whole[name].checked_sub(without).context("a part is more than the whole")?);
    }
    for section in SECTIONS {
        counts.insert(format!("bpf:{section}"), length(section)?);
    }
    Ok(counts)
}

/// Of one run.
fn instructions(program: &str, work: &str, times: u32) -> Result<u64> {
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null", program, "work", work, &times.to_string()]);
    let output = valgrind.output().context("run valgrind; install it: apt-get install valgrind")?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("valgrind of {work} failed:\n{said}");
    }
    collected(&said).with_context(|| format!("valgrind of {work} counted nothing:\n{said}"))
}

/// "==42== Collected : 123".
fn collected(said: &str) -> Option<u64> {
    said.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok())
}

/// Instructions of a section of the object.
fn length(section: &str) -> Result<u64> {
    let sizes = shell::output(Command::new("llvm-objdump-19").args(["--section-headers", OBJECT]))?;
    let bytes = size(&sizes, section).with_context(|| format!("{OBJECT} has no section {section}"))?;
    Ok(bytes / 8)
}

/// " 3 xdp.frags 00001a58 0000000000000000 TEXT": the third word, hexadecimal.
fn size(headers: &str, section: &str) -> Option<u64> {
    headers.lines().find_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        (words.next() == Some(section)).then(|| u64::from_str_radix(words.next()?, 16).ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_written_as_they_are_read() {
        let counts = parse("# a line\n\ndecode 12\nbpf:.text 3\n").unwrap();
        assert_eq!(counts, [("bpf:.text".to_owned(), 3), ("decode".to_owned(), 12)].into());
        assert!(parse("decode").is_err() && parse("decode many").is_err());
    }

    #[test]
    fn three_percent_is_near() {
        assert!(is_near(100, 103) && is_near(100, 97) && !is_near(100, 104) && !is_near(100, 96));
    }

    #[test]
    fn what_the_tools_say_is_understood() {
        assert_eq!(collected("==7== Events    : Ir\n==7== Collected : 2468\n"), Some(2468));
        assert_eq!(collected("==7== nothing"), None);
        let headers = "Idx Name Size VMA Type\n  2 .text 00000010 0000 TEXT\n  3 xdp.frags 00000a08 0000 TEXT\n";
        assert_eq!((size(headers, "xdp.frags"), size(headers, ".bss")), (Some(0xa08), None));
    }
}
