//! An etcd of a test's own, of one member, on loopback or in a namespace: started, made to hang, killed, started again with what it
//! had stored.
//!
//! What must not be here: what is stored in it.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use crate::netns::{NetError, NetNs, Process};
use crate::require::{self, ETCD};
use crate::wait;

const START_BOUND: Duration = Duration::from_secs(30);
/// How long it may take to say how it is.
const HEALTH_BOUND: Duration = Duration::from_secs(1);
/// The first of three ports for each one: clients, other members, how it is.
const FIRST_PORT: u16 = 23_790;
/// Bytes of its log that are shown where something went wrong.
const LOG_SHOWN: usize = 4096;

static NEXT: AtomicU16 = AtomicU16::new(0);

/// How quickly its member takes another for dead; a lease lasts at least one and a half times as long as that, in whole seconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Timing {
    /// After half a second: leases of 1 s and more.
    #[default]
    Quick,
    /// As it comes, after a second: leases of 2 s and more.
    Default,
}

/// Certificates for one that wants to be asked over TLS alone, by those who have one themselves.
#[derive(Clone, Debug)]
pub struct ServerTls {
    /// Its certificate, for [`EtcdServer::address`] as everybody's.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// The authority that signs clients' certificates.
    pub client_ca: PathBuf,
}

/// A running etcd; it ends and its data go with this value.
#[derive(Debug)]
pub struct EtcdServer {
    process: Process,
    directory: tempfile::TempDir,
    timing: Timing,
    tls: Option<ServerTls>,
    place: Place,
    port: u16,
}

/// Where it listens.
#[derive(Clone, Debug)]
struct Place {
    /// `None`: where the caller is.
    namespace: Option<Arc<NetNs>>,
    address: Ipv4Addr,
}

impl EtcdServer {
    /// Starts one, and waits until it answers.
    pub fn start(timing: Timing) -> Result<Self, NetError> {
        Self::start_with(timing, None)
    }

    /// The same over TLS.
    pub fn start_with(timing: Timing, tls: Option<ServerTls>) -> Result<Self, NetError> {
        Self::start_at(Place { namespace: None, address: Self::address() }, timing, tls)
    }

    /// The same without TLS in a namespace, at an address that this one has.
    pub fn start_in(namespace: &Arc<NetNs>, address: Ipv4Addr, timing: Timing) -> Result<Self, NetError> {
        Self::start_at(Place { namespace: Some(Arc::clone(namespace)), address }, timing, None)
    }

    fn start_at(place: Place, timing: Timing, tls: Option<ServerTls>) -> Result<Self, NetError> {
        require::require(ETCD)
            .map_err(|error| NetError::Io { what: "etcd".into(), source: io::Error::other(error) })?;
        let directory =
            tempfile::tempdir().map_err(|source| NetError::Io { what: "make a temporary directory".into(), source })?;
        let port = FIRST_PORT + 3 * NEXT.fetch_add(1, Ordering::Relaxed);
        let process = spawn(directory.path(), &place, port, timing, tls.as_ref())?;
        let mut server = Self { process, directory, timing, tls, place, port };
        server.wait_until_healthy()?;
        Ok(server)
    }

    /// The address that every etcd of this process has on loopback. No other process has it, so that ports need not be looked for.
    pub fn address() -> Ipv4Addr {
        let [_, high, middle, low] = std::process::id().to_be_bytes();
        Ipv4Addr::new(127, 64 | high, middle, low)
    }

    /// Where clients reach it.
    pub fn endpoint(&self) -> String {
        self.place.url(self.tls.is_some(), self.port)
    }

    /// Its process does nothing from now on, and holds what it has.
    pub fn freeze(&mut self) -> Result<(), NetError> {
        self.process.freeze()
    }

    /// It goes on.
    pub fn thaw(&mut self) -> Result<(), NetError> {
        self.process.thaw()
    }

    /// `kill -9`.
    pub fn kill(&mut self) -> Result<(), NetError> {
        self.process.kill().map(drop)
    }

    /// Starts it again after its end, with what it had stored.
    pub fn start_again(&mut self) -> Result<(), NetError> {
        self.process = spawn(self.directory.path(), &self.place, self.port, self.timing, self.tls.as_ref())?;
        self.wait_until_healthy()
    }

    /// Until it can write: a member that has no leader yet is not well.
    fn wait_until_healthy(&mut self) -> Result<(), NetError> {
        let well = wait::until("etcd to be well", START_BOUND, || {
            if !self.process.is_running() {
                return Some(false);
            }
            self.is_healthy().is_ok_and(|well| well).then_some(true)
        });
        if matches!(well, Ok(true)) {
            return Ok(());
        }
        let log = std::fs::read(log_file(self.directory.path())).unwrap_or_default();
        let output = String::from_utf8_lossy(&log[log.len().saturating_sub(LOG_SHOWN)..]).into_owned();
        Err(NetError::Output { what: "etcd does not answer".into(), output })
    }

    fn is_healthy(&self) -> io::Result<bool> {
        let address = SocketAddr::from((self.place.address, self.port + 2));
        match &self.place.namespace {
            None => is_healthy(address),
            Some(namespace) => namespace.run(|| is_healthy(address)).map_err(io::Error::other)?,
        }
    }
}

impl Place {
    fn url(&self, tls: bool, port: u16) -> String {
        format!("{}://{}:{port}", if tls { "https" } else { "http" }, self.address)
    }

    fn command(&self, program: &Path) -> Command {
        match &self.namespace {
            None => Command::new(program),
            Some(namespace) => namespace.command(&program.to_string_lossy()),
        }
    }
}

fn log_file(directory: &Path) -> PathBuf {
    directory.join("log")
}

fn spawn(
    directory: &Path,
    place: &Place,
    port: u16,
    timing: Timing,
    tls: Option<&ServerTls>,
) -> Result<Process, NetError> {
    let logged = |source| NetError::Io { what: "make a log file".into(), source };
    let log = File::options().create(true).append(true).open(log_file(directory)).map_err(logged)?;
    let mut command = place.command(&require::find("etcd").unwrap_or_else(|| "etcd".into()));
    // What the machine's own etcd is told is not for this one.
    command.env_clear().current_dir(directory).stdin(Stdio::null());
    command.stdout(log.try_clone().map_err(logged)?).stderr(log);
    command.args(["--name", "m", "--data-dir", "data", "--logger", "zap", "--log-level", "warn"]);
    let [clients, members] = [place.url(tls.is_some(), port), place.url(false, port + 1)];
    command.args(["--listen-client-urls", &clients, "--advertise-client-urls", &clients]);
    command.args(["--listen-peer-urls", &members, "--initial-advertise-peer-urls", &members]);
    command.args(["--initial-cluster", &format!("m={members}"), "--listen-metrics-urls", &place.url(false, port + 2)]);
    if timing == Timing::Quick {
        command.args(["--heartbeat-interval", "50", "--election-timeout", "500"]);
    }
    if let Some(ServerTls { certificate, key, client_ca }) = tls {
        command.arg("--cert-file").arg(certificate).arg("--key-file").arg(key);
        command.arg("--client-cert-auth").arg("--trusted-ca-file").arg(client_ca);
    }
    Process::start("etcd", &mut command)
}

/// What it says of itself, over HTTP and without TLS.
fn is_healthy(address: SocketAddr) -> io::Result<bool> {
    let mut stream = TcpStream::connect_timeout(&address, HEALTH_BOUND)?;
    stream.set_read_timeout(Some(HEALTH_BOUND))?;
    stream.write_all(b"GET /health HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(4096).read_to_string(&mut answer)?;
    Ok(answer.contains(r#""health":"true""#))
}
