//! Programs under measurement: started, asked by /proc what they have used, ended by their pid.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use opof_testkit::netns::NetNs;
use opof_testkit::wait;

use crate::calls;

/// For a table of many millions to be allocated.
const START: Duration = Duration::from_secs(60);
/// The line by which a server of ours says that it listens.
pub(crate) const READY: &str = "ready";
/// Where every server listens: each has a network namespace to itself.
pub(crate) const ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 3443);

/// A running program; it is killed with this value.
pub(crate) struct Subject {
    child: Child,
    /// What it says; nobody reads it while it runs.
    log: Option<tempfile::NamedTempFile>,
}

impl Subject {
    /// opofd in a namespace, at [`ADDRESS`] in plain text, with nothing in a client's way.
    pub(crate) fn opofd(namespace: &NetNs, flags: &[&str]) -> Result<Self> {
        let log = tempfile::NamedTempFile::new().context("make a log file")?;
        let mut command = namespace.command(&binary()?.to_string_lossy());
        let most = u32::MAX.to_string();
        command.args(["--listener", &format!("address={ADDRESS},plaintext=true"), "--log-level", "warn"]);
        command.args(["--max-rate", &most, "--max-stream-sessions", &most]).args(flags);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log.reopen().context("share the log file")?);
        let mut subject = Self { child: command.spawn().context("start opofd")?, log: Some(log) };
        let listens = || namespace.run(|| std::net::TcpStream::connect(ADDRESS).is_ok());
        wait::until("opofd to listen", START, || {
            let is_over = !matches!(subject.child.try_wait(), Ok(None));
            (is_over || matches!(listens(), Ok(true))).then_some(())
        })?;
        if let Some(status) = subject.child.try_wait().context("look after opofd")? {
            bail!("opofd ended ({status}): {}", subject.log().trim());
        }
        // Its port is open before its data plane is.
        calls::within(namespace, async || calls::answer().await)
            .with_context(|| format!("opofd does not answer, and said: {}", subject.log().trim()))?;
        Ok(subject)
    }

    /// This program again, in a namespace, with other arguments: one that prints [`READY`].
    pub(crate) fn own(namespace: &NetNs, arguments: &[&str]) -> Result<Self> {
        let program = std::env::current_exe().context("find this program")?;
        let mut command = namespace.command(&program.to_string_lossy());
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("start {}", arguments.join(" ")))?;
        let stdout = child.stdout.take().expect("asked for as a pipe");
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).context("wait for a server of ours")?;
        if line.trim() != READY {
            bail!("{} did not become ready", arguments.join(" "));
        }
        Ok(Self { child, log: None })
    }

    /// Processor time that it has used, in the kernel too (proc_pid_stat(5)).
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let path = format!("/proc/{}/stat", self.child.id());
        let stat = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
        let ticks = cpu_ticks(&stat).with_context(|| format!("{path} is not as expected: {stat}"))?;
        let second = rustix::param::clock_ticks_per_second();
        Ok(Duration::from_nanos(ticks * 1_000_000_000 / second))
    }

    /// Bytes that it has resident, without what it has mapped of BPF maps: that is the kernel's.
    pub(crate) fn resident(&self) -> Result<u64> {
        let path = format!("/proc/{}/smaps", self.child.id());
        let maps = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
        Ok(own(&maps).context("no mapping has an Rss")? * 1024)
    }

    /// Bytes of the kernel's that its BPF maps take, each map once.
    pub(crate) fn map_memory(&self) -> Result<u64> {
        let path = format!("/proc/{}/fdinfo", self.child.id());
        let mut maps = BTreeMap::new();
        for entry in fs::read_dir(&path).with_context(|| format!("read {path}"))?.flatten() {
            // One that was closed meanwhile is nobody's.
            let Ok(info) = fs::read_to_string(entry.path()) else { continue };
            maps.extend(map_of(&info));
        }
        Ok(maps.values().sum())
    }

    /// What it has said.
    pub(crate) fn log(&self) -> String {
        self.log.as_ref().and_then(|file| fs::read_to_string(file.path()).ok()).unwrap_or_default()
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// utime and stime, behind the name, which may have spaces in it.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    Some(fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?)
}

/// KiB resident in all mappings (proc(5), smaps) but those of BPF maps.
fn own(smaps: &str) -> Option<u64> {
    let (mut of_a_map, mut sum) = (false, None);
    for line in smaps.lines() {
        let mut words = line.split_ascii_whitespace();
        match words.next() {
            Some("Rss:") if !of_a_map => {
                let kib = words.next().and_then(|number| number.parse::<u64>().ok())?;
                sum = Some(sum.unwrap_or(0) + kib);
            }
            // A mapping begins with its range of addresses; its name is the last of six words.
            Some(word) if word.contains('-') => of_a_map = words.nth(4) == Some("anon_inode:bpf-map"),
            _ => {}
        }
    }
    sum
}

/// The number of a map and its bytes, when it is one.
fn map_of(fdinfo: &str) -> Option<(u32, u64)> {
    let value = |name: &str| fdinfo.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    Some((value("map_id:")?.parse().ok()?, value("memlock:")?.parse().ok()?))
}

/// It is built beside this program.
fn binary() -> Result<PathBuf> {
    let own = std::env::current_exe().context("find this program")?;
    let path = own.with_file_name("opofd");
    if !path.exists() {
        bail!("{} is missing: cargo build --release --bin opofd", path.display());
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_mapped_of_bpf_maps_is_not_its_own() {
        let smaps = "55d0-55d8 r-xp 00000000 00:1f 42   /usr/bin/opofd\nSize: 8 kB\nRss:  5 kB\nVmFlags: rd ex\n\
            7f00-7f10 rw-s 00000000 00:0e 1057  anon_inode:bpf-map\nRss:  64 kB\n\
            7f20-7f30 rw-p 00000000 00:00 0 \nRss:  7 kB\nAnonHugePages: 0 kB\n";
        assert_eq!(own(smaps), Some(12));
        assert_eq!(own(""), None);
    }

    #[test]
    fn a_map_has_a_number_and_bytes() {
        assert_eq!(map_of("pos:\t0\nmap_type:\t1\nmemlock:\t4096\nmap_id:\t7\nfrozen:\t0\n"), Some((7, 4096)));
        assert_eq!(map_of("pos:\t0\nflags:\t02\n"), None);
    }

    #[test]
    fn processor_time_is_read_behind_the_name() {
        let stat = "42 (a (b) c) S 1 42 42 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 8 0 100 1000 10";
        assert_eq!(cpu_ticks(stat), Some(300));
        assert_eq!(cpu_ticks("42 (short) S 1"), None);
    }
}
