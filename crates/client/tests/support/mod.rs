//! A device without a fast path: the API over a map, on loopback, in a runtime of its own.
//!
//! It keeps to the contract of every dialect and profile where a client could notice, and can be told to misbehave.
//! What it answers is in `answers`, the services that every dialect makes of it in `services`.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use opof_api::device::device_server::DeviceServer;
use opof_api::pair::GetPairResponse;
use opof_api::pair::pair_server::PairServer;
use opof_api::{Dialect, Profile, v1, v1_1, v1beta1, v2};
use prost_types::Timestamp;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tonic::Status;
use tonic::transport::server::{Router, TcpIncoming};
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::HealthServer;

mod answers;
mod services;

/// How long a device has to end, and to begin.
const SHUTDOWN: Duration = Duration::from_secs(10);
/// Between two looks for what a test changes.
const LOOK: Duration = Duration::from_millis(2);

/// What the device holds, and how it behaves.
#[allow(clippy::struct_excessive_bools, reason = "each is a fault of its own, and any may come together")]
#[derive(Default)]
pub(crate) struct State {
    pub(crate) sessions: BTreeMap<u64, v1beta1::SessionRequest>,
    pub(crate) closed: VecDeque<v1beta1::SessionResponse>,
    pub(crate) hops: BTreeMap<u32, v1beta1::NextHopParameters>,
    pub(crate) flows: BTreeMap<u32, v1beta1::VlanFlowDef>,
    /// How messages are read and written.
    pub(crate) profile: Profile,
    /// Sessions that fit; `None` for any number.
    pub(crate) capacity: Option<usize>,
    /// How its pair stands, if it is one of two.
    pub(crate) pair: Option<GetPairResponse>,
    /// What `grpc.health.v1` says.
    pub(crate) health: Option<ServingStatus>,
    /// The same, of what serves while nothing has a fault.
    pub(crate) faultless: Option<ServingStatus>,
    /// Says in its own words what is wrong with sessions.
    pub(crate) speaks: bool,
    /// Keeps streams of closed sessions open where a client asks for it.
    pub(crate) follows: bool,

    /// Does not answer while this is set.
    pub(crate) stalls: bool,
    /// Answers every call so.
    pub(crate) fails: Option<Status>,
    /// Sends every page as if another came, from the same id on.
    pub(crate) endless: bool,
    /// Does not end streams of closed sessions.
    pub(crate) hangs: bool,
    /// Breaks a stream of closed sessions after so many.
    pub(crate) breaks_after: Option<usize>,
    /// Breaks streams that it keeps open, soon after they begin.
    pub(crate) breaks_soon: bool,
    /// From one record of a stream that it does not keep open to the next.
    pub(crate) pause: Duration,

    /// Dialects of the calls so far, one after the other without repetitions.
    pub(crate) spoken: Vec<Dialect>,
    /// addSession streams so far.
    pub(crate) streams: usize,
    /// Sessions in each of them.
    pub(crate) batches: Vec<usize>,
    /// `pageSize` of each getAllSessions.
    pub(crate) pages: Vec<u32>,
    /// getClosedSessions so far.
    pub(crate) collections: usize,
    /// Resets so far.
    pub(crate) resets: usize,
    /// Deadlines of shutdowns.
    pub(crate) shutdowns: Vec<i32>,
}

/// How a device is to be reached.
#[derive(Default)]
pub(crate) struct Setup {
    pub(crate) identity: Option<Identity>,
    /// Who signs certificates of clients; without this they need none.
    pub(crate) client_ca: Option<Certificate>,
    /// A Unix domain socket instead of loopback.
    pub(crate) socket: Option<PathBuf>,
}

/// A running device. It ends with this value.
pub(crate) struct Mock {
    served: Served,
    setup: Setup,
    pub(crate) address: SocketAddr,
    runtime: Option<Runtime>,
}

/// What the services see of it.
#[derive(Clone, Default)]
struct Served(Arc<Mutex<State>>);

impl Served {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("nobody panics with it")
    }
}

impl Mock {
    pub(crate) fn start(identity: Option<Identity>) -> Self {
        Self::with(Setup { identity, ..Setup::default() })
    }

    pub(crate) fn with(setup: Setup) -> Self {
        let mut mock =
            Self { served: Served::default(), setup, address: SocketAddr::from(([127, 0, 0, 1], 0)), runtime: None };
        mock.restart();
        mock
    }

    /// Breaks all connections and is not there any more. What it holds stays.
    pub(crate) fn stop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Waited for, so that the port is free. On a thread of its own, because a test's may not wait like this.
            let ended = std::thread::spawn(move || runtime.shutdown_timeout(SHUTDOWN)).join();
            assert!(ended.is_ok() || std::thread::panicking(), "it ends");
        }
        if let Some(socket) = &self.setup.socket {
            let _ = std::fs::remove_file(socket);
        }
    }

    /// The same device again, at the same address.
    pub(crate) fn restart(&mut self) {
        self.stop();
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).enable_all().build().expect("threads can be made");
        let router = self.router();
        if let Some(socket) = &self.setup.socket {
            let listener = UnixListener::bind(socket).expect("a socket");
            listener.set_nonblocking(true).expect("a socket");
            runtime.spawn(async move {
                let listener = tokio::net::UnixListener::from_std(listener).expect("it is bound");
                let incoming = tokio_stream::wrappers::UnixListenerStream::new(listener);
                router.serve_with_incoming(incoming).await
            });
        } else {
            let address = self.address;
            let (sender, bound) = std::sync::mpsc::sync_channel(1);
            runtime.spawn(async move {
                // A test beside this one that is starting a program may have a copy of the old listener for a moment.
                let listener = loop {
                    match TcpListener::bind(address).await {
                        Ok(listener) => break listener,
                        Err(_) => tokio::time::sleep(LOOK).await,
                    }
                };
                sender.send(listener.local_addr()).expect("it is waited for");
                router.serve_with_incoming(TcpIncoming::from(listener)).await
            });
            self.address = bound.recv_timeout(SHUTDOWN).expect("a port on loopback").expect("it is bound");
        }
        self.runtime = Some(runtime);
    }

    fn router(&self) -> Router {
        let mut server = Server::builder();
        if let Some(identity) = &self.setup.identity {
            let mut tls = ServerTlsConfig::new().identity(identity.clone());
            if let Some(authority) = &self.setup.client_ca {
                tls = tls.client_ca_root(authority.clone());
            }
            server = server.tls_config(tls).expect("a good identity");
        }
        server
            .add_service(v1::session_table_server::SessionTableServer::new(self.served.clone()))
            .add_service(v1_1::session_table_server::SessionTableServer::new(self.served.clone()))
            .add_service(v1beta1::session_table_server::SessionTableServer::new(self.served.clone()))
            .add_service(v2::session_table_server::SessionTableServer::new(self.served.clone()))
            .add_service(DeviceServer::new(self.served.clone()))
            .add_service(PairServer::new(self.served.clone()))
            .add_service(HealthServer::new(self.served.clone()))
    }

    pub(crate) fn uri(&self, scheme: &str) -> String {
        match &self.setup.socket {
            Some(socket) => format!("unix:{}", socket.display()),
            None => format!("{scheme}://localhost:{}", self.address.port()),
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.served.0.lock().expect("nobody panics with it")
    }
}

impl Drop for Mock {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A session with figures that can be told apart.
pub(crate) fn live(id: u64) -> v1beta1::SessionResponse {
    v1beta1::SessionResponse {
        session_id: id,
        in_packets: id.wrapping_mul(10),
        out_packets: id.wrapping_mul(20),
        in_bytes: id.wrapping_mul(600),
        out_bytes: id.wrapping_mul(30_000),
        start_time: Some(STARTED),
        ..v1beta1::SessionResponse::default()
    }
}

/// The same after its timeout.
pub(crate) fn timed_out(id: u64) -> v1beta1::SessionResponse {
    let mut closed = live(id);
    closed.set_session_state(v1beta1::SessionState::Closed);
    closed.set_session_close_code(v1beta1::SessionCloseCode::Timeout);
    closed.end_time = Some(Timestamp { seconds: STARTED.seconds + 30, nanos: 250_000_000 });
    closed
}

/// 2026-05-28T20:26:40Z.
const STARTED: Timestamp = Timestamp { seconds: 1_780_000_000, nanos: 0 };
