//! Start and stop: plane, driver, listeners, in this order, and back.

use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::path::PathBuf;

use opof_api::device::device_server::DeviceServer;
use opof_api::v1::session_table_server::SessionTableServer;
use opof_dataplane::DataPlane;
use opof_dataplane::sim::SimPorts;
use opof_session::engine::{Engine, EngineConfig};
use opof_session::types::Moment;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tonic::transport::{Server, ServerTlsConfig};

use crate::clock::Clock;
use crate::config::{Config, Listener, Profile, Security};
use crate::driver::{DriverHandle, DriverThread};
use crate::error::StartError;
use crate::listen;
use crate::service::{DeviceService, SessionTableService};
use crate::tls::{self, SelfSigned, TlsError};
use crate::{limits, plane};

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
            open.push(open_listener(listener, certificate.as_ref(), &clock).await?);
        }
        let (plane, ports) = plane::open(config)?;
        // Not before everything is open: a start that fails says so in one line and nothing else.
        tracing::info!(version = env!("CARGO_PKG_VERSION"), "opofd starts: {}", config.summary());
        log_ports(plane.as_ref());
        let engine = Engine::new(&engine_config(config), plane.capabilities());
        let (thread, driver) = DriverThread::start(engine, plane, clock.clone())
            .map_err(|source| StartError::System { what: "starting the driver's thread", source })?;
        let (stop, stopping) = watch::channel(false);
        let mut running = RunningDaemon {
            addresses: open.iter().map(|open| open.address).collect(),
            ports,
            certificate,
            clock,
            driver,
            thread,
            stop,
            servers: JoinSet::new(),
        };
        for (listener, open) in config.listeners.iter().zip(open) {
            running.serve(listener, open, started, &stopping);
        }
        Ok(running)
    }
}

struct Open {
    socket: TcpListener,
    address: SocketAddr,
    builder: Server,
}

async fn open_listener(
    listener: &Listener,
    certificate: Option<&SelfSigned>,
    clock: &Clock,
) -> Result<Open, StartError> {
    let tls = match &listener.security {
        Security::Plaintext => None,
        Security::Tls { cert, key } => Some((cert, key)),
        Security::SelfSigned => certificate.map(|made| (&made.cert, &made.key)),
    };
    let tls = tls.map(|(cert, key)| tls::server_config(cert, key, clock.time_of_day())).transpose()?;
    let builder = server(tls).map_err(|error| StartError::Tls(TlsError::Refused { message: error.to_string() }))?;
    let failed = |source| StartError::Listen { address: listener.address, source };
    let socket = listen::bind(listener.address).await.map_err(failed)?;
    let address = socket.local_addr().map_err(failed)?;
    Ok(Open { socket, address, builder })
}

fn server(tls: Option<ServerTlsConfig>) -> Result<Server, tonic::transport::Error> {
    let builder = Server::builder()
        .max_concurrent_streams(limits::STREAMS)
        .initial_stream_window_size(limits::STREAM_WINDOW)
        .initial_connection_window_size(limits::CONNECTION_WINDOW)
        .http2_max_header_list_size(limits::HEADER_BYTES)
        .http2_keepalive_interval(Some(limits::KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(limits::KEEPALIVE_TIMEOUT));
    match tls {
        Some(tls) => builder.tls_config(tls),
        None => Ok(builder),
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

fn engine_config(config: &Config) -> EngineConfig {
    EngineConfig {
        max_sessions: config.sessions.max,
        max_closed: config.sessions.closed_max,
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
        tracing::info!(lif = port.lif.get(), role = ?port.role, mode = port.mode, "port {}", port.name);
    }
}

/// A daemon that is running. Dropping it ends it without regard to calls under way; [`stop`](Self::stop) is the orderly way.
#[derive(Debug)]
pub struct RunningDaemon {
    addresses: Vec<SocketAddr>,
    ports: Option<SimPorts>,
    certificate: Option<SelfSigned>,
    clock: Clock,
    driver: DriverHandle,
    thread: DriverThread,
    stop: watch::Sender<bool>,
    servers: JoinSet<Result<(), tonic::transport::Error>>,
}

impl RunningDaemon {
    /// Where it listens, in the order of the configuration; never port 0.
    pub fn addresses(&self) -> &[SocketAddr] {
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

    /// The clock it runs by, for frames that go into simulated ports.
    pub const fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Its session table, without gRPC in between.
    pub const fn driver(&self) -> &DriverHandle {
        &self.driver
    }

    fn serve(&mut self, listener: &Listener, open: Open, started: Moment, stopping: &watch::Receiver<bool>) {
        let profile = match listener.profile {
            Profile::Spec => opof_api::Profile::SPEC,
        };
        let (driver, clock) = (&self.driver, &self.clock);
        let table =
            SessionTableService::new(driver.clone(), clock.clone(), profile, listener.same_tuple, stopping.clone());
        let device = DeviceService::new(driver.clone(), clock.clone(), started);
        let mut stopping = stopping.clone();
        let Open { socket, address, mut builder } = open;
        let is_plain = listener.security == Security::Plaintext;
        tracing::info!(%address, tls = !is_plain, "listening");
        let router = builder
            .add_service(SessionTableServer::new(table).max_decoding_message_size(limits::MESSAGE_BYTES))
            .add_service(DeviceServer::new(device).max_decoding_message_size(limits::MESSAGE_BYTES));
        self.servers.spawn(async move {
            let stop = async move { drop(stopping.wait_for(|stopping| *stopping).await) };
            router.serve_with_incoming_shutdown(listen::connections(socket), stop).await
        });
    }

    /// Resolves when something ended that should not have; the daemon is of no use any more.
    pub async fn failed(&mut self) -> String {
        tokio::select! {
            () = self.thread.finished() => "the driver's thread ended".to_owned(),
            ended = self.servers.join_next() => match ended {
                Some(Ok(Err(error))) => format!("a listener ended: {error}"),
                Some(Err(error)) => format!("a listener ended: {error}"),
                Some(Ok(Ok(()))) | None => "a listener ended".to_owned(),
            },
        }
    }

    /// Takes no new calls, lets those under way finish within [`limits::STOP_GRACE`], then closes the plane. False when
    /// something had failed.
    pub async fn stop(mut self) -> bool {
        self.stop.send_replace(true);
        let drained = async { while self.servers.join_next().await.is_some() {} };
        if tokio::time::timeout(limits::STOP_GRACE, drained).await.is_err() {
            tracing::warn!("calls were still open after {} s, and are cut off", limits::STOP_GRACE.as_secs());
            self.servers.shutdown().await;
        }
        drop(self.driver);
        let in_order = self.thread.stop().await;
        tracing::info!("opofd has stopped");
        in_order
    }
}
