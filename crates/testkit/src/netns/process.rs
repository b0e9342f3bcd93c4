//! A program that runs beside the test and ends with it.

use std::io;
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::error::NetError;
use crate::wait;

/// A running program; killed when this value goes.
#[derive(Debug)]
pub struct Process {
    child: Child,
    what: String,
}

impl Process {
    /// Starts `command`; `what` names it in errors.
    pub fn start(what: &str, command: &mut Command) -> Result<Self, NetError> {
        let start = |source| NetError::Start { command: what.to_owned(), source };
        Ok(Self { child: command.spawn().map_err(start)?, what: what.to_owned() })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its pipes, where the command asked for some.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// True while it has not ended.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// SIGTERM, then waits for the end.
    pub fn terminate(&mut self, bound: Duration) -> Result<ExitStatus, NetError> {
        self.signal(Signal::TERM)?;
        self.wait(bound)
    }

    /// SIGKILL, then waits for the end.
    pub fn kill(&mut self) -> Result<ExitStatus, NetError> {
        self.signal(Signal::KILL)?;
        self.wait(Duration::from_secs(10))
    }

    /// SIGSTOP: it does nothing any more, and holds what it has.
    pub fn freeze(&mut self) -> Result<(), NetError> {
        self.signal(Signal::STOP)
    }

    /// SIGCONT: it goes on.
    pub fn thaw(&mut self) -> Result<(), NetError> {
        self.signal(Signal::CONT)
    }

    /// Waits for the end.
    pub fn wait(&mut self, bound: Duration) -> Result<ExitStatus, NetError> {
        let child = &mut self.child;
        let ended = wait::until(&format!("{} to end", self.what), bound, || child.try_wait().transpose())?;
        ended.map_err(|source| NetError::Io { what: format!("wait for {}", self.what), source })
    }

    fn signal(&mut self, signal: Signal) -> Result<(), NetError> {
        if !self.is_running() {
            return Ok(());
        }
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let sent =
            pid.map_or(Err(io::ErrorKind::NotFound.into()), |pid| kill_process(pid, signal).map_err(io::Error::from));
        sent.map_err(|source| NetError::Io { what: format!("signal {}", self.what), source })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// SIGKILL to a process that is not a child.
pub(super) fn kill(pid: i32) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _ = kill_process(pid, Signal::KILL);
    }
}
