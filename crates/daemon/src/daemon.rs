//! Start and stop: plane, driver, listeners, in this order, and back.

use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use opof_dataplane::DataPlane;
use opof_dataplane::sim::SimPorts;
use opof_session::engine::EngineConfig;
use opof_session::types::{Lif, Moment};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::access::Role;
use crate::clock::Clock;
use crate::config::{Address, AtStop, ClosedLogConfig, Config, DataPlaneConfig, Listener, Security};
use crate::driver::pair::PairHandle;
use crate::driver::{DriverHandle, RunningDriver, Seat};
use crate::error::StartError;
use crate::listen::Listening;
use crate::serve::Shared;
use crate::shutdown::Lifecycle;
use crate::store::ClosedStore;
use crate::tls::{self, Files, SelfSigned, Tls, TlsError};
use crate::watchdog::Pulse;
use crate::{adopt, ha, limits, plane, supervise};

/// A daemon that runs within this process. It needs a tokio runtime with timers and I/O.
#[derive(Debug)]
pub struct Daemon;

impl Daemon {
    /// Opens everything that `config` names, or nothing.
    pub async fn start(config: &Config) -> Result<RunningDaemon, StartError> {
        let clock = Clock::new();
        let started = clock.now();
        // Certificates and ports first: what goes wrong there must not have touched a network interface.
        let certificate = self_signed(config, &clock)?;
        let mut open = Vec::new();
        for listener in &config.listeners {
            open.push(Open::new(listener, certificate.as_ref(), &clock).await?);
        }
        let state = tls::state_folder(|name| std::env::var_os(name));
        let pair = match &config.ha {
            Some(ha) => {
                let folder = state.clone().unwrap_or_else(|| limits::STATE_FOLDER.into());
                Some(ha::Prepared::new(ha, &clock, &folder).await?)
            }
            None => None,
        };
        let stored = closed_log(config, state).map(|path| ClosedStore::open(&path, &clock)).transpose()?;
        let (mut plane, ports) = plane::open(config)?;
        // Not before everything is open: a start that fails says so in one line and nothing else.
        tracing::info!(version = env!("CARGO_PKG_VERSION"), "opofd starts: {}", config.summary());
        log_ports(plane.as_ref());
        let (store, restored) = stored.unzip();
        let engine = adopt::engine(&engine_config(config), restored, plane.as_mut(), clock.now(), pair.is_some());
        if matches!(config.data_plane, DataPlaneConfig::Xdp { at_stop: AtStop::Keep, .. }) {
            plane.stay();
        }
        if pair.is_none() {
            // A device alone is nobody's standby, also one that was: what an earlier process was bound by is over.
            plane.forward_until(Moment(u64::MAX));
        }
        let gauge = store.as_ref().map(ClosedStore::gauge);
        let seat = if config.threads.get() == 1 { Seat::Task } else { Seat::Thread };
        let mut background = JoinSet::new();
        let handle = pair.as_ref().map(|pair| pair.handle.clone());
        let of_line = pair.as_ref().map(|pair| Arc::clone(pair.tls()));
        let pair = pair.map(|pair| pair.start(&mut background));
        let (table, driver) = RunningDriver::start(engine, plane, clock.clone(), seat, store, pair)
            .map_err(|source| StartError::System { what: "starting the thread of the session table", source })?;
        let addresses = open.iter().map(|open| open.listening.address().clone()).collect();
        let certificates: Vec<_> = open.iter().filter_map(|open| open.tls.clone()).chain(of_line).collect();
        let lifecycle = Lifecycle::default();
        let facts = config.ha.as_ref().map(ha::facts);
        let of_pair = handle.clone().zip(facts);
        let shared = Shared::new(driver, of_pair, clock.clone(), started, lifecycle, config.limits, &config.clients);
        // One of a pair is standby until it is something else.
        shared.health().set_standby(shared.pair().is_some()).await;
        shared.health().set_takes_calls(true).await;
        let mut servers = JoinSet::new();
        for (listener, Open { listening, tls }) in config.listeners.iter().zip(open) {
            tracing::info!(
                address = %listening.address(),
                tls = tls.is_some(),
                profile = listener.profile.name(),
                role = listener.role.map_or("of each [[client]]", Role::name),
                "listening"
            );
            servers.spawn(shared.clone().serve(listener.clone(), listening, tls));
        }
        let (reload, asked) = watch::channel(0);
        background.spawn(tls::watch(certificates, clock, asked));
        background.spawn(supervise::session_table(shared.driver().clone(), shared.health().clone()));
        if let Some(pair) = shared.pair() {
            background.spawn(supervise::pair(pair.clone(), shared.health().clone()));
        }
        if let Some(gauge) = gauge {
            background.spawn(supervise::closed_log(gauge, shared.health().clone()));
        }
        Ok(RunningDaemon {
            addresses,
            ports,
            certificate,
            shared,
            table,
            servers,
            reload,
            pair: handle,
            _background: background,
        })
    }
}

/// An address that is open, and its TLS.
struct Open {
    listening: Listening,
    tls: Option<Arc<Tls>>,
}

impl Open {
    async fn new(listener: &Listener, made: Option<&SelfSigned>, clock: &Clock) -> Result<Self, StartError> {
        let files = match &listener.security {
            Security::Plaintext => None,
            Security::Tls { cert, key, client_ca, min_version } => Some(Files {
                cert: cert.clone(),
                key: key.clone(),
                client_ca: client_ca.clone(),
                min_version: *min_version,
            }),
            Security::SelfSigned => made.map(|made| Files::pair(&made.cert, &made.key)),
        };
        let tls = files.map(|files| Tls::load(files, clock.time_of_day())).transpose()?.map(Arc::new);
        let failed = |source| StartError::Listen { address: listener.address.clone(), source };
        let listening = Listening::open(&listener.address, listener.mode).await.map_err(failed)?;
        Ok(Self { listening, tls })
    }
}

fn self_signed(config: &Config, clock: &Clock) -> Result<Option<SelfSigned>, StartError> {
    if !config.listeners.iter().any(|listener| listener.security == Security::SelfSigned) {
        return Ok(None);
    }
    let Some(state) = tls::state_folder(|name| std::env::var_os(name)) else {
        let message =
            "neither XDG_STATE_HOME nor HOME says where; set one of them, or give tls = { cert, key }".to_owned();
        return Err(TlsError::SelfSigned { folder: PathBuf::from("~/.local/state/opof"), message }.into());
    };
    Ok(Some(SelfSigned::in_folder(&state.join("self-signed"), clock.time_of_day())?))
}

/// Where closed records are stored; `None` where they are kept in memory alone. `state` is the folder that the environment says.
fn closed_log(config: &Config, state: Option<PathBuf>) -> Option<PathBuf> {
    match (&config.sessions.closed_log, &config.data_plane) {
        (ClosedLogConfig::Memory, _) | (ClosedLogConfig::Default, DataPlaneConfig::Sim) => None,
        (ClosedLogConfig::File(path), _) => Some(path.clone()),
        (ClosedLogConfig::Default, DataPlaneConfig::Xdp { pin_dir, .. }) => {
            let state = state.unwrap_or_else(|| limits::STATE_FOLDER.into());
            // Each opofd of a machine has a pin directory of its own.
            let name = pin_dir.file_name().unwrap_or_default().to_string_lossy();
            Some(state.join(format!("closed-{name}.redb")))
        }
    }
}

fn engine_config(config: &Config) -> EngineConfig {
    EngineConfig {
        max_sessions: config.sessions.max,
        max_closed: config.sessions.closed_max,
        stores_closed: false,
        max_next_hops: config.sessions.next_hops_max as usize,
        tcp_timeout: config.sessions.tcp_timeout,
        udp_timeout: config.sessions.udp_timeout,
        max_timeout: config.sessions.max_timeout,
        lifs: config.lifs.iter().map(|lif| lif.id).collect(),
        // The standard library's hasher is keyed at random, by the operating system.
        hash_seed: RandomState::new().hash_one(0),
    }
}

fn log_ports(plane: &dyn DataPlane) {
    for port in plane.describe().ports {
        tracing::info!(lif = port.lif.map(Lif::get), role = ?port.role, mode = port.mode, "port {}", port.name);
    }
}

/// What a running daemon says by itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Notice {
    /// Something ended that should not have, and why: the daemon is of no use any more.
    Failed(String),
    /// A client has asked for the end by a call, and how long it may take: first [`RunningDaemon::drained`], then
    /// [`RunningDaemon::stop`].
    ShutdownAsked(Duration),
}

/// A daemon that is running. Dropping it ends it without regard to calls under way; [`stop`](Self::stop) is the orderly way.
#[derive(Debug)]
pub struct RunningDaemon {
    addresses: Vec<Address>,
    ports: Option<SimPorts>,
    certificate: Option<SelfSigned>,
    shared: Shared,
    table: RunningDriver,
    servers: JoinSet<Result<(), tonic::transport::Error>>,
    reload: watch::Sender<u64>,
    /// When it is one of two.
    pair: Option<PairHandle>,
    /// Ends with the daemon.
    _background: JoinSet<()>,
}

impl RunningDaemon {
    /// Where it listens, in the order of the configuration; never port 0.
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// The ports of the simulated plane, if that is what runs.
    pub const fn sim_ports(&self) -> Option<&SimPorts> {
        self.ports.as_ref()
    }

    /// The certificate that the daemon made itself, if a listener uses it.
    pub const fn certificate(&self) -> Option<&SelfSigned> {
        self.certificate.as_ref()
    }

    /// That of its session table, for a [`Watchdog`](crate::watchdog::Watchdog).
    pub fn pulse(&self) -> Pulse {
        self.table.pulse().clone()
    }

    /// The clock it runs by, for frames that go into simulated ports.
    pub const fn clock(&self) -> &Clock {
        self.shared.clock()
    }

    /// Its part in a pair, if it is one of two.
    pub const fn pair(&self) -> Option<&PairHandle> {
        self.pair.as_ref()
    }

    /// Its session table, without gRPC in between.
    pub const fn driver(&self) -> &DriverHandle {
        self.shared.driver()
    }

    /// Reads the certificates of all listeners again, and that of the line to the other device of a pair.
    pub fn reload_certificates(&self) {
        self.reload.send_modify(|generation| *generation = generation.wrapping_add(1));
    }

    /// Waits until it has something to say by itself.
    pub async fn notice(&mut self) -> Notice {
        let lifecycle = self.shared.lifecycle().clone();
        tokio::select! {
            why = self.failed() => Notice::Failed(why),
            within = lifecycle.draining() => Notice::ShutdownAsked(within),
        }
    }

    /// Resolves when something ended that should not have.
    async fn failed(&mut self) -> String {
        tokio::select! {
            () = self.table.finished() => "the session table ended".to_owned(),
            ended = self.servers.join_next() => match ended {
                Some(Ok(Err(error))) => format!("a listener ended: {error}"),
                Some(Err(error)) => format!("a listener ended: {error}"),
                Some(Ok(Ok(()))) | None => "a listener ended".to_owned(),
            },
        }
    }

    /// Waits until the closed sessions are collected, as far as somebody does so, but no longer than a client that has asked
    /// for the end gives: of `within`, some is left for [`stop`](Self::stop). No new sessions are taken from here on.
    pub async fn drained(&self, within: Duration) {
        tracing::info!(seconds = within.as_secs(), "shutting down by request: no new sessions");
        self.shared.health().set_takes_calls(false).await;
        let collected = async {
            while self.driver().statistics().await.is_ok_and(|statistics| statistics.closed_waiting > 0) {
                sleep(limits::DRAIN_POLL).await;
            }
        };
        let _ = tokio::time::timeout(within.saturating_sub(limits::SHUTDOWN_RESERVE), collected).await;
    }

    /// As [`stop_within`](Self::stop_within), within [`limits::STOP_GRACE`].
    pub async fn stop(self) -> bool {
        self.stop_within(limits::STOP_GRACE).await
    }

    /// Takes no new calls, lets those under way finish, then closes the plane; all of it within `grace` and a little. False
    /// when something had failed.
    pub async fn stop_within(mut self, grace: Duration) -> bool {
        let end = Instant::now() + grace;
        if let Some(pair) = &self.pair {
            ha::leave(pair, grace / 4).await;
        }
        self.shared.health().set_takes_calls(false).await;
        self.shared.lifecycle().stop();
        let drained = async { while self.servers.join_next().await.is_some() {} };
        // Half for the calls, half for what they asked of the driver.
        if tokio::time::timeout(grace / 2, drained).await.is_err() {
            tracing::warn!("calls were still open after {} ms, and are cut off", (grace / 2).as_millis());
            self.servers.shutdown().await;
        }
        drop(self.shared);
        let in_order = self.table.stop(end.saturating_duration_since(Instant::now())).await;
        tracing::info!("opofd has stopped");
        in_order
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::XdpMode;

    #[test]
    fn each_opofd_has_a_closed_log_of_its_own() {
        let xdp = |pin_dir: &str| DataPlaneConfig::Xdp {
            mode: XdpMode::Auto,
            pin_dir: pin_dir.into(),
            at_stop: AtStop::Keep,
        };
        let mut config = Config { data_plane: xdp("/sys/fs/bpf/opof"), ..Config::default() };
        let of = |config: &Config, state: Option<&str>| closed_log(config, state.map(PathBuf::from));
        assert_eq!(of(&config, Some("/s/opof")), Some("/s/opof/closed-opof.redb".into()));
        assert_eq!(of(&config, None), Some("/var/lib/opof/closed-opof.redb".into()));
        config.data_plane = xdp("/sys/fs/bpf/second");
        assert_eq!(of(&config, None), Some("/var/lib/opof/closed-second.redb".into()));
        config.sessions.closed_log = ClosedLogConfig::File("/a/b".into());
        assert_eq!(of(&config, None), Some("/a/b".into()));
        config.sessions.closed_log = ClosedLogConfig::Memory;
        assert_eq!(of(&config, None), None);
        let sim = Config::default();
        assert_eq!(of(&sim, Some("/s/opof")), None);
    }
}
