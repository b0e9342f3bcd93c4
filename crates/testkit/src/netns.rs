//! Network namespaces as a guard, and what a test wants to put into them: veth pairs, raw sockets, captures, counters.
//!
//! What lives here: everything that makes a network out of one machine. What must not: anything about sessions or
//! `opofd`. All of it needs root, and none of it leaves something behind: what a killed test left is removed by the next.

mod capture;
mod error;
mod link;
mod napi;
mod process;
mod raw;
mod router;
mod snmp;
mod topology;
mod watch;

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

pub use capture::Capture;
pub use error::{NetError, run, run_bounded};
pub use link::{LinkCounters, Port, PortOptions, bridge, counters, keep_segments, veth};
pub use napi::{pin_thread, processors};
pub use process::Process;
pub use raw::RawSocket;
pub use router::{CLIENT_NET, SERVER_NET, Subnet};
pub use snmp::{InErrors, in_errors};
pub use topology::{Addresses, CLIENT, FirewallMode, Host, SERVER, Topology, VLAN};
pub use watch::{FlowTuple, SeenByFirewall, Watch};

/// All names start so; the creator's process id follows, which tells what is left over.
const PREFIX: &str = "opof";
const DIRECTORY: &str = "/run/netns";

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A network namespace that lives as long as this value.
#[derive(Debug)]
pub struct NetNs {
    name: String,
    file: File,
}

impl NetNs {
    /// A new, empty one with `lo` up. Its name is unique and ends in `role`.
    ///
    /// Namespaces whose creator is dead are removed first, with the processes in them.
    pub fn new(role: &str) -> Result<Self, NetError> {
        if !rustix::process::geteuid().is_root() {
            return Err(NetError::NotRoot);
        }
        remove_leftovers();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}-{}-{number}-{role}", std::process::id());
        run(Command::new("ip").args(["netns", "add", &name]))?;
        let path = PathBuf::from(DIRECTORY).join(&name);
        let file =
            File::open(&path).map_err(|source| NetError::Io { what: format!("open {}", path.display()), source })?;
        let namespace = Self { name, file };
        namespace.ip("link set lo up")?;
        // Nothing of its own accord: every frame in a test is one that the test sent.
        for family in ["default", "all"] {
            for (key, value) in [("accept_ra", "0"), ("dad_transmits", "0"), ("router_solicitations", "0")] {
                namespace.sysctl(&format!("net/ipv6/conf/{family}/{key}"), value)?;
            }
        }
        Ok(namespace)
    }

    /// As `ip netns list` shows it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs `work` on a thread of its own inside the namespace. Sockets that it makes stay in the namespace wherever they
    /// are used later. `/sys` is still the caller's.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, NetError> {
        let enter = || move_into_link_name_space(self.file.as_fd(), Some(LinkNameSpaceType::Network));
        let result = std::thread::scope(|scope| scope.spawn(|| enter().map(|()| work())).join());
        match result {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(NetError::Io { what: format!("enter {}", self.name), source: error.into() }),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    /// `program`, to be run inside the namespace. The process is the program itself, so that its id is the one to signal;
    /// the file system stays the caller's, bpffs and sysfs included.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={DIRECTORY}/{}", self.name)).arg("--").arg(program);
        command
    }

    /// `ip -n NAME` with these words.
    pub fn ip(&self, words: &str) -> Result<String, NetError> {
        run(Command::new("ip").args(["-n", &self.name]).args(words.split_whitespace()))
    }

    /// Sets `key` (with slashes, below `/proc/sys`) inside the namespace.
    pub fn sysctl(&self, key: &str, value: &str) -> Result<(), NetError> {
        let path = format!("/proc/sys/{key}");
        self.run(|| fs::write(&path, value))?.map_err(|source| NetError::Io { what: format!("write {path}"), source })
    }
}

impl Drop for NetNs {
    fn drop(&mut self) {
        remove(&self.name);
    }
}

/// Ends what runs in the namespace, then removes it. Errors don't matter: the next run tries again.
fn remove(name: &str) {
    if let Ok(pids) = run(Command::new("ip").args(["netns", "pids", name])) {
        for pid in pids.split_whitespace().filter_map(|pid| pid.parse().ok()) {
            // The caller itself may have a thread in there, which is about to leave.
            if pid != rustix::process::getpid().as_raw_nonzero().get() {
                process::kill(pid);
            }
        }
    }
    let _ = run(Command::new("ip").args(["netns", "del", name]));
}

fn remove_leftovers() {
    let Ok(entries) = fs::read_dir(DIRECTORY) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let creator =
            name.strip_prefix(PREFIX).and_then(|rest| rest.strip_prefix('-')).and_then(|rest| rest.split('-').next());
        if creator
            .and_then(|pid| pid.parse::<u32>().ok())
            .is_some_and(|pid| !PathBuf::from(format!("/proc/{pid}")).exists())
        {
            remove(&name);
        }
    }
}
