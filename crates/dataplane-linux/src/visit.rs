//! A grace period in microseconds: the thread that waits lets itself be put on each processor in turn.
//!
//! XDP programs run with bottom halves disabled, on all their ways (the kernel's `bpf_prog_run_xdp()` says so and relies on it), and
//! unless the kernel is a real-time one nothing else is scheduled on a processor meanwhile. So where this thread runs, no program
//! runs; and when it has run on every processor, every program that ran when it began has ended. That is what RCU is for kernels that
//! are not preempted (Documentation/RCU/whatisRCU.rst, "toy" implementation 2: `for_each_possible_cpu(cpu) run_on(cpu)`). RCU itself
//! takes 8 to 16 ms for the same, for it waits until processors pass through the scheduler by themselves.
//!
//! The processor on which somebody asks for it runs no program at that moment either, and need not be visited: with two processors,
//! a thread that sleeps on the other one has only to wake up.
//!
//! Where that does not hold or can't be done, the kernel is asked for a grace period of RCU.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use rustix::system::uname;
use rustix::thread::{CpuSet, sched_getcpu, sched_setaffinity};

use crate::limits::{GRACE_TRIES, PROCESSOR_LIST};
use crate::sys::map::Barrier;

/// The processors that can run a program, by number and range: sysfs(5).
const ONLINE: &str = "/sys/devices/system/cpu/online";

/// Waits for programs under way, in one way or the other.
#[derive(Debug)]
pub(crate) struct Wait {
    barrier: Barrier,
    /// [`ONLINE`], kept open; `None` where visiting is no way to wait.
    online: Option<File>,
    /// Visits that failed, one after the other.
    failed: u32,
}

impl Wait {
    pub(crate) fn new() -> io::Result<Self> {
        let online = if is_real_time(&uname().version().to_string_lossy()) { None } else { File::open(ONLINE).ok() };
        Ok(Self { barrier: Barrier::new()?, online, failed: 0 })
    }

    /// Returns when every program has ended that ran when some thread found itself `on` a processor, for [`here`]. It leaves the
    /// calling thread on some processor.
    pub(crate) fn wait(&mut self, on: usize) -> io::Result<()> {
        if let Some(online) = &self.online {
            let Err(error) = visit_all_but(online, on) else {
                self.failed = 0;
                return Ok(());
            };
            // Once that can be a processor that has just gone. One that this process may not run on stays so.
            self.failed += 1;
            if self.failed == GRACE_TRIES {
                tracing::info!(%error, "can't run on every processor: removals take a grace period of the kernel's, some 10 ms");
                self.online = None;
            }
        }
        self.barrier.wait()
    }
}

/// Of the version in uname(2), where the kernel says how it was built.
fn is_real_time(version: &str) -> bool {
    version.contains("PREEMPT_RT") || version.contains("PREEMPT RT")
}

/// The processor on which the caller runs, and no program does: what the caller did before is done for all that will run there.
pub(crate) fn here() -> usize {
    sched_getcpu()
}

/// One that comes to be online meanwhile has not run a program of before.
fn visit_all_but(online: &File, passed_over: usize) -> io::Result<()> {
    let mut text = [0; PROCESSOR_LIST];
    // The kernel writes it anew for each read from the start.
    let length = online.read_at(&mut text, 0)?;
    let text = text.get(..length).and_then(|text| str::from_utf8(text).ok()).filter(|text| text.ends_with('\n'));
    let text = text.ok_or(io::ErrorKind::InvalidData)?;
    let mut all = processors(text).ok_or(io::ErrorKind::InvalidData)?;
    // The last one of the visit before: with it for the first one there is a journey less.
    let here = here();
    all.retain(|processor| *processor != passed_over);
    all.sort_by_key(|processor| *processor != here);
    for processor in all {
        if processor >= CpuSet::MAX_CPU {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let mut only = CpuSet::new();
        only.set(processor);
        // Returns on that processor.
        sched_setaffinity(None, &only)?;
    }
    Ok(())
}

/// The numbers in a list of numbers and ranges, "0-3,5".
fn processors(text: &str) -> Option<Vec<usize>> {
    let mut all = Vec::new();
    for range in text.trim().split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let range = first.parse::<usize>().ok()?..=last.parse::<usize>().ok()?;
        if range.is_empty() || *range.end() > CpuSet::MAX_CPU {
            return None;
        }
        all.extend(range);
    }
    Some(all)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "in a test a panic is the way to fail")]
mod tests {

    use super::*;

    #[test]
    fn lists_of_processors_as_the_kernel_writes_them() {
        assert_eq!(processors("0\n"), Some(vec![0]));
        assert_eq!(processors("0-2,5,7-8\n"), Some(vec![0, 1, 2, 5, 7, 8]));
        for bad in ["", "\n", "1-", "2-1", "x", "0-99999999"] {
            assert_eq!(processors(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_real_time_kernel_is_told_by_its_version() {
        assert!(!is_real_time("#1 SMP PREEMPT_DYNAMIC Debian 6.1.99-1 (2024-07-15)"));
        assert!(is_real_time("#1 SMP PREEMPT_RT Debian 6.1.99-1 (2024-07-15)"));
    }

    #[test]
    fn a_visit_begins_where_the_thread_is_and_passes_over_one() {
        let all = processors(&std::fs::read_to_string(ONLINE).unwrap()).unwrap();
        let of_none = CpuSet::MAX_CPU;
        std::thread::spawn(move || {
            let online = File::open(ONLINE).unwrap();
            for (from, passed_over) in
                all.iter().flat_map(|from| [(from, &of_none)].into_iter().chain(all.iter().map(move |on| (from, on))))
            {
                let mut only = CpuSet::new();
                only.set(*from);
                sched_setaffinity(None, &only).unwrap();
                visit_all_but(&online, *passed_over).unwrap();
                // The last one of the others.
                let last = all.iter().rfind(|processor| ![from, passed_over].contains(processor)).unwrap_or(from);
                assert_eq!(here(), *last, "from {from} of {all:?}, without {passed_over}");
            }
        })
        .join()
        .unwrap();
    }
}
