//! On which processor the kernel takes frames in.
//!
//! A veth port takes its frames in where its other end sends them, on the sender's time. With a thread of its own (threaded NAPI)
//! a port takes them in where that thread is put, and sends on what it forwards from there.

use std::fs;
use std::io;

use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use super::error::{NetError, run};
use super::link::Port;

impl Port {
    /// Gives the port a thread that takes its frames in. Only a port with NAPI has something to thread: GRO must be on.
    pub fn thread_napi(&self) -> Result<(), NetError> {
        // Each namespace has its own /sys/class/net; `ip netns exec` mounts it.
        let path = format!("/sys/class/net/{}/threaded", self.name);
        let mut command = std::process::Command::new("ip");
        run(command.args(["netns", "exec", self.namespace.name(), "sh", "-c", &format!("echo 1 > {path}")]))?;
        Ok(())
    }

    /// Puts the port's threads on a processor; again after anything that may have made new ones, such as another program on it.
    /// The port's name must be the only one such on the machine, for its threads have nothing else to be known by.
    pub fn pin_napi(&self, processor: usize) -> Result<(), NetError> {
        let what = || format!("put the threads of {} on processor {processor}", self.name);
        let failed = |source| NetError::Io { what: what(), source };
        let threads = threads(&self.name).map_err(failed)?;
        if threads.is_empty() {
            return Err(failed(io::ErrorKind::NotFound.into()));
        }
        for thread in threads {
            pin(Some(thread), processor).map_err(failed)?;
        }
        Ok(())
    }
}

/// The processors that the calling thread may use.
pub fn processors() -> Result<Vec<usize>, NetError> {
    let set = sched_getaffinity(None);
    let set = set.map_err(|source| NetError::Io { what: "ask for processors".to_owned(), source: source.into() })?;
    Ok((0..CpuSet::MAX_CPU).filter(|processor| set.is_set(*processor)).collect())
}

/// Puts the calling thread on a processor, and what it starts from now on.
pub fn pin_thread(processor: usize) -> Result<(), NetError> {
    pin(None, processor).map_err(|source| NetError::Io { what: format!("go to processor {processor}"), source })
}

fn pin(thread: Option<Pid>, processor: usize) -> io::Result<()> {
    let mut processors = CpuSet::new();
    processors.set(processor);
    Ok(sched_setaffinity(thread, &processors)?)
}

/// The kernel's threads that take in frames of the port of this name.
fn threads(port: &str) -> io::Result<Vec<Pid>> {
    let mut threads = Vec::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw) else {
            continue;
        };
        // A process that has ended meanwhile is none of them.
        let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        if is_thread(&name, port) {
            threads.push(pid);
        }
    }
    Ok(threads)
}

/// `napi/PORT-NUMBER`, as the kernel calls them.
fn is_thread(name: &str, port: &str) -> bool {
    let number = name.trim_end().strip_prefix("napi/").and_then(|rest| rest.strip_prefix(port)?.strip_prefix('-'));
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_known_by_the_whole_name_of_their_port() {
        assert!(is_thread("napi/wire1-8193\n", "wire1"));
        assert!(!is_thread("napi/wire1-8193\n", "wire"));
        assert!(!is_thread("napi/wire1-77-8193\n", "wire1"));
        assert!(!is_thread("kworker/0:1\n", "wire1") && !is_thread("napi/wire1-\n", "wire1"));
    }
}
