//! `opofd` as a process in the device namespace of a bench.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use opof_testkit::halt::{halt, pause};
use opof_testkit::netns::{NetNs, Process, run};
use opof_testkit::{require, wait};

use crate::Error;

/// Where it listens, on the device's loopback.
pub const ADDRESS: &str = "127.0.0.1:3443";
/// The BPF file system, and how our folders in it begin; the creator's process id follows.
const BPFFS: &str = "/sys/fs/bpf";
const PIN_PREFIX: &str = "opof-test-";

/// Names a binary to test instead of one that is built here.
const BINARY_VARIABLE: &str = "OPOF_TESTS_OPOFD";

const START_BOUND: Duration = Duration::from_secs(30);
const STOP_BOUND: Duration = Duration::from_secs(10);

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A running `opofd`; what it left in the BPF file system goes with this value.
#[derive(Debug)]
pub struct Opofd {
    namespace: Arc<NetNs>,
    process: Process,
    directory: tempfile::TempDir,
    pins: PathBuf,
    /// What is started.
    binary: PathBuf,
    /// With what besides its configuration.
    arguments: Vec<String>,
}

impl Opofd {
    /// Starts it on XDP in `device` with these `[[lif]]` sections, and waits until it answers.
    pub fn start(device: &Arc<NetNs>, lifs: &str) -> Result<Self, Error> {
        Self::start_with(device, lifs, None)
    }

    /// The same with its closed log elsewhere than beside its configuration.
    pub fn start_with(device: &Arc<NetNs>, lifs: &str, closed_log: Option<&Path>) -> Result<Self, Error> {
        require_bpffs()?;
        remove_leftovers();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let pins = Path::new(BPFFS).join(format!("{PIN_PREFIX}{}-{number}", std::process::id()));
        let directory = tempfile::tempdir().map_err(Error::io("make a temporary directory"))?;
        let (cert, key) = certificate()?;
        let beside = directory.path().join("closed.redb");
        let config = config(directory.path(), &pins, closed_log.unwrap_or(&beside)) + lifs;
        for (name, text) in [("server.crt", cert), ("server.key", key), ("opofd.toml", config)] {
            fs::write(directory.path().join(name), text).map_err(Error::io("write the daemon's files"))?;
        }
        let binary = binary()?;
        let arguments = Vec::new();
        let process = spawn(&binary, &arguments, device, directory.path())?;
        let mut opofd = Self { namespace: Arc::clone(device), process, directory, pins, binary, arguments };
        opofd.wait_until_ready()?;
        Ok(opofd)
    }

    /// `kill -9`.
    pub fn kill(&mut self) -> Result<(), Error> {
        self.process.kill()?;
        Ok(())
    }

    /// An orderly stop, by a signal.
    pub fn stop(&mut self) -> Result<(), Error> {
        let status = self.process.terminate(STOP_BOUND)?;
        if status.success() { Ok(()) } else { Err(Error::Opofd { what: format!("ended: {status}"), log: self.log() }) }
    }

    /// What is started from now on.
    pub fn set_binary(&mut self, binary: PathBuf) {
        self.binary = binary;
    }

    /// What is started now.
    pub fn binary(&self) -> &Path {
        &self.binary
    }

    /// With what it is started from now on, besides its configuration.
    pub fn set_arguments(&mut self, arguments: &[&str]) {
        self.arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    }

    /// Starts it again after its end, with the same configuration.
    pub fn start_again(&mut self) -> Result<(), Error> {
        self.process = spawn(&self.binary, &self.arguments, &self.namespace, self.directory.path())?;
        self.wait_until_ready()
    }

    /// Has its data plane forward no more, as if it had been told of a moment that is past.
    pub fn end_term(&self) -> Result<(), Error> {
        require::require(require::BPFTOOL)?;
        let mut command = Command::new("bpftool");
        command.args(["map", "update", "pinned"]).arg(self.pins.join("term"));
        command.args(["key", "0", "0", "0", "0", "value"]).args(["0"; 16]);
        run(&mut command)?;
        Ok(())
    }

    /// Makes its session table hang: the thread that has it, and nothing else of the process.
    pub fn hang(&self) -> Result<(), Error> {
        halt(self.driver_thread()?).map_err(Error::io("halt a thread"))
    }

    /// The same for so long, during which the caller waits.
    pub fn hang_for(&self, duration: Duration) -> Result<(), Error> {
        pause(self.driver_thread()?, duration).map_err(Error::io("halt a thread for a while"))
    }

    /// The thread that has the session table.
    fn driver_thread(&self) -> Result<i32, Error> {
        let tasks = format!("/proc/{}/task", self.process.id());
        let named = |name: &fs::DirEntry| {
            fs::read_to_string(name.path().join("comm")).is_ok_and(|name| name.trim() == "opof-driver")
        };
        let entries = fs::read_dir(&tasks).map_err(Error::io("look at the daemon's threads"))?;
        let driver = entries.flatten().find(named).and_then(|entry| entry.file_name().to_str()?.parse().ok());
        // With few processors the only thread that serves anybody has it.
        Ok(driver.unwrap_or(self.process.id().cast_signed()))
    }

    /// The certificate that a client must trust.
    pub fn certificate(&self) -> PathBuf {
        self.directory.path().join("server.crt")
    }

    /// The namespace in which it listens.
    pub fn namespace(&self) -> &NetNs {
        &self.namespace
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(log_file(self.directory.path())).unwrap_or_default()
    }

    /// Until it answers: its port is open before its data plane is.
    fn wait_until_ready(&mut self) -> Result<(), Error> {
        let ready = wait::until("opofd to answer", START_BOUND, || {
            if !self.process.is_running() {
                return Some(false);
            }
            self.device().is_ok().then_some(true)
        });
        match ready {
            Ok(true) => Ok(()),
            Ok(false) => Err(Error::Opofd { what: "ended".into(), log: self.log() }),
            Err(error) => Err(Error::Opofd { what: error.to_string(), log: self.log() }),
        }
    }
}

impl Drop for Opofd {
    fn drop(&mut self) {
        let _ = self.process.terminate(STOP_BOUND);
        let _ = fs::remove_dir_all(&self.pins);
        if std::thread::panicking() {
            eprintln!("--- log of opofd ---\n{}", self.log());
        }
    }
}

fn spawn(binary: &Path, arguments: &[String], namespace: &NetNs, directory: &Path) -> Result<Process, Error> {
    let log =
        File::options().create(true).append(true).open(log_file(directory)).map_err(Error::io("make a log file"))?;
    let errors = log.try_clone().map_err(Error::io("share the log file"))?;
    let mut command = namespace.command(&binary.to_string_lossy());
    command.arg("--config").arg(directory.join("opofd.toml")).args(arguments);
    command.stdin(Stdio::null()).stdout(log).stderr(errors);
    Ok(Process::start("opofd", &mut command)?)
}

fn log_file(directory: &Path) -> PathBuf {
    directory.join("opofd.log")
}

fn config(directory: &Path, pins: &Path, closed_log: &Path) -> String {
    let (directory, pins, closed_log) = (directory.display(), pins.display(), closed_log.display());
    format!(
        r#"[[listener]]
address = "{ADDRESS}"
tls = {{ cert = "{directory}/server.crt", key = "{directory}/server.key" }}
profile = "spec"
[sessions]
closed_log = "{closed_log}"
[data_plane]
kind = "xdp"
pin_dir = "{pins}"
"#
    )
}

/// A certificate for the address, that is its own authority, and its key.
fn certificate() -> Result<(String, String), Error> {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned(), "localhost".to_owned()]);
    let made = made.map_err(|error| Error::Opofd { what: format!("no certificate: {error}"), log: String::new() })?;
    Ok((made.cert.pem(), made.signing_key.serialize_pem()))
}

/// The binary that the environment names, such as a packaged one; else it is built, once a process. Tests of one package
/// don't have the binaries of another built for them.
fn binary() -> Result<PathBuf, Error> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    if let Some(given) = std::env::var_os(BINARY_VARIABLE) {
        return Ok(given.into());
    }
    BUILT.get_or_init(build).clone().map_err(|log| Error::Opofd { what: "was not built".into(), log })
}

/// Returns its path, or what cargo says.
fn build() -> Result<PathBuf, String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let words = ["build", "--quiet", "--package", "opof-daemon", "--bin", "opofd", "--message-format", "json"];
    // At run time: two clones may share a target directory, and so this code.
    let package = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    let output = Command::new(cargo).current_dir(package).args(words).output().map_err(|error| error.to_string())?;
    let messages = String::from_utf8_lossy(&output.stdout);
    executable(&messages).ok_or_else(|| {
        let rendered: Vec<String> = messages.lines().filter_map(rendered).collect();
        format!("{}{}", rendered.concat(), String::from_utf8_lossy(&output.stderr))
    })
}

/// A compiler's message for people.
fn rendered(message: &str) -> Option<String> {
    let message: serde_json::Value = serde_json::from_str(message).ok()?;
    Some(message["message"]["rendered"].as_str()?.to_owned())
}

/// The path in cargo's messages.
fn executable(messages: &str) -> Option<PathBuf> {
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    messages
        .filter(|message| message["reason"] == "compiler-artifact" && message["target"]["name"] == "opofd")
        .find_map(|message| Some(PathBuf::from(message["executable"].as_str()?)))
}

/// Containers and small machines have none until somebody mounts it.
fn require_bpffs() -> Result<(), Error> {
    let mounts = fs::read_to_string("/proc/mounts").map_err(Error::io("read /proc/mounts"))?;
    if mounts.lines().any(|line| line.split(' ').skip(1).take(2).eq([BPFFS, "bpf"])) {
        return Ok(());
    }
    run(Command::new("mount").args(["-t", "bpf", "bpf", BPFFS]))?;
    Ok(())
}

/// What killed tests left pinned. Errors don't matter: the next one tries again.
fn remove_leftovers() {
    let entries: Vec<io::Result<fs::DirEntry>> = fs::read_dir(BPFFS).map(Iterator::collect).unwrap_or_default();
    for entry in entries.into_iter().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let pid = name
            .strip_prefix(PIN_PREFIX)
            .and_then(|rest| rest.split('-').next())
            .and_then(|pid| pid.parse::<u32>().ok());
        if pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_binary_is_found_in_cargos_messages() {
        let messages = r#"{"reason":"compiler-artifact","target":{"name":"opof_daemon"},"executable":null}
{"reason":"compiler-artifact","target":{"name":"opofd"},"executable":"/x/opofd"}
{"reason":"build-finished","success":true}"#;
        assert_eq!(executable(messages), Some(PathBuf::from("/x/opofd")));
        assert_eq!(executable("not json"), None);
    }
}
