//! A single thread of another process, made to hang.

use std::io;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

use nix::sys::ptrace;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

use crate::wait;

/// Stops a thread (ptrace(2)), and it alone, until its process ends or becomes another program.
pub fn halt(thread: i32) -> io::Result<()> {
    let pid = Pid::from_raw(thread);
    let (done, halted) = sync_channel(1);
    // Whoever traces a thread has to stay, and to take note of its end: without that its process could not become another program.
    thread::spawn(move || {
        let seized = ptrace::seize(pid, ptrace::Options::empty()).and_then(|()| ptrace::interrupt(pid));
        let stops = seized.is_ok();
        let _ = done.send(seized);
        while stops && waitpid(pid, Some(WaitPidFlag::__WALL)).is_ok_and(|status| status.pid().is_some()) {
            if !std::path::Path::new(&format!("/proc/{thread}")).exists() {
                return;
            }
        }
    });
    Ok(halted.recv().map_err(io::Error::other)??)
}

/// Stops a thread, and it alone, for so long. The caller waits.
pub fn pause(thread: i32, duration: Duration) -> io::Result<()> {
    let pid = Pid::from_raw(thread);
    ptrace::seize(pid, ptrace::Options::empty())?;
    ptrace::interrupt(pid)?;
    waitpid(pid, Some(WaitPidFlag::__WALL))?;
    wait::pause(duration);
    Ok(ptrace::detach(pid, None)?)
}
