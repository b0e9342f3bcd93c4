//! A device without a fast path: the API over a map, on loopback, in the test's own process.
//!
//! It keeps to the contract where a client could notice, and can be told to misbehave.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};

use opof_api::device::device_server::{Device, DeviceServer};
use opof_api::v1::session_table_server::{SessionTable, SessionTableServer};
use opof_api::{AddReport, Dialect, Profile, Refusal, device, nonexistent, session_spec, v1};
use opof_session::types::SessionId;
use prost_types::{Duration, Timestamp};
use tokio::net::TcpListener;
use tokio_stream::{Stream, StreamExt};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status, Streaming};

type Answer<T> = Result<Response<T>, Status>;

/// What the device holds, and how it behaves.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) sessions: BTreeMap<u64, v1::SessionRequest>,
    pub(crate) closed: VecDeque<v1::SessionResponse>,
    /// Sessions that fit; `None` for any number.
    pub(crate) capacity: Option<usize>,
    /// addSession streams so far.
    pub(crate) streams: usize,
    /// Never answers.
    pub(crate) stalls: bool,
    /// Says by gRPC's NOT_FOUND what others say in the message.
    pub(crate) not_found: bool,
    /// Sends every page as if another came, from the same id on.
    pub(crate) endless: bool,
}

/// A running device. It ends with the test's runtime.
#[derive(Clone)]
pub(crate) struct Mock {
    state: Arc<Mutex<State>>,
    pub(crate) address: SocketAddr,
}

impl Mock {
    pub(crate) async fn start(identity: Option<Identity>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port on loopback");
        let address = listener.local_addr().expect("it is bound");
        let mock = Self { state: Arc::default(), address };
        let mut server = Server::builder();
        if let Some(identity) = identity {
            server = server.tls_config(ServerTlsConfig::new().identity(identity)).expect("a good identity");
        }
        let router =
            server.add_service(SessionTableServer::new(mock.clone())).add_service(DeviceServer::new(mock.clone()));
        tokio::spawn(router.serve_with_incoming(TcpIncoming::from(listener)));
        mock
    }

    pub(crate) fn uri(&self, scheme: &str) -> String {
        format!("{scheme}://localhost:{}", self.address.port())
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics with it")
    }

    async fn pause(&self) {
        let stalls = self.state().stalls;
        if stalls {
            std::future::pending::<()>().await;
        }
    }

    fn found(&self, id: u64, session: Option<v1::SessionResponse>) -> Answer<v1::SessionResponse> {
        match session {
            Some(session) => Ok(Response::new(session)),
            None if self.state().not_found => Err(Status::not_found("no such session")),
            None => Ok(Response::new(nonexistent(SessionId(id)))),
        }
    }
}

/// A session with figures that can be told apart.
pub(crate) fn live(id: u64) -> v1::SessionResponse {
    v1::SessionResponse {
        session_id: id,
        in_packets: id.wrapping_mul(10),
        out_packets: id.wrapping_mul(20),
        in_bytes: id.wrapping_mul(600),
        out_bytes: id.wrapping_mul(30_000),
        start_time: Some(STARTED),
        ..v1::SessionResponse::default()
    }
}

/// The same after its timeout.
pub(crate) fn timed_out(id: u64) -> v1::SessionResponse {
    let mut closed = live(id);
    closed.set_session_state(v1::SessionState::Closed);
    closed.set_session_close_code(v1::SessionCloseCode::Timeout);
    closed.end_time = Some(Timestamp { seconds: STARTED.seconds + 30, nanos: 250_000_000 });
    closed
}

/// 2026-05-28T20:26:40Z.
const STARTED: Timestamp = Timestamp { seconds: 1_780_000_000, nanos: 0 };

#[tonic::async_trait]
impl SessionTable for Mock {
    async fn add_session(&self, request: Request<Streaming<v1::SessionRequest>>) -> Answer<v1::AddSessionResponse> {
        self.pause().await;
        let mut stream = request.into_inner();
        let mut report = AddReport::new(100_000);
        let mut position = 0;
        while let Some(message) = stream.message().await? {
            let mut state = self.state();
            let id = SessionId(message.session_id);
            if session_spec(&message, Dialect::V1, &Profile::SPEC).is_err() {
                report.refuse(position, id, Refusal::Rejected);
            } else if state.sessions.contains_key(&id.0) {
                report.refuse(position, id, Refusal::AlreadyExists);
            } else if state.capacity.is_some_and(|capacity| state.sessions.len() >= capacity) {
                report.refuse(position, id, Refusal::TableFull);
            } else {
                state.sessions.insert(id.0, message);
            }
            position += 1;
        }
        self.state().streams += 1;
        Ok(Response::new(report.response(STARTED, &Profile::SPEC)))
    }

    async fn get_session(&self, request: Request<v1::SessionId>) -> Answer<v1::SessionResponse> {
        self.pause().await;
        let id = request.into_inner().session_id;
        let session = self.state().sessions.contains_key(&id).then(|| live(id));
        self.found(id, session)
    }

    async fn delete_session(&self, request: Request<v1::SessionId>) -> Answer<v1::SessionResponse> {
        self.pause().await;
        let id = request.into_inner().session_id;
        let session = self.state().sessions.remove(&id).map(|_| {
            let mut last = live(id);
            last.set_session_state(v1::SessionState::Closed);
            last
        });
        self.found(id, session)
    }

    async fn get_all_sessions(&self, request: Request<v1::SessionRequestArgs>) -> Answer<v1::SessionResponses> {
        self.pause().await;
        let args = request.into_inner();
        let state = self.state();
        let size = if args.page_size == 0 { usize::MAX } else { args.page_size as usize };
        let mut from = state.sessions.range(args.start_session..).map(|(id, _)| *id);
        let session_info = from.by_ref().take(size).map(live).collect();
        let nextkey = if state.endless { args.start_session.max(1) } else { from.next().unwrap_or(0) };
        Ok(Response::new(v1::SessionResponses { session_info, nextkey }))
    }

    type getClosedSessionsStream = Pin<Box<dyn Stream<Item = Result<v1::SessionResponse, Status>> + Send>>;

    async fn get_closed_sessions(
        &self,
        request: Request<v1::SessionRequestArgs>,
    ) -> Answer<Self::getClosedSessionsStream> {
        self.pause().await;
        let mut state = self.state();
        if state.closed.is_empty() && state.not_found {
            return Err(Status::not_found("no closed sessions"));
        }
        let wanted = match request.into_inner().page_size {
            0 => state.closed.len(),
            size => state.closed.len().min(size as usize),
        };
        let closed: Vec<_> = state.closed.drain(..wanted).collect();
        Ok(Response::new(Box::pin(tokio_stream::iter(closed).map(Ok))))
    }
}

#[tonic::async_trait]
impl Device for Mock {
    async fn get_device(&self, _: Request<device::GetDeviceRequest>) -> Answer<device::GetDeviceResponse> {
        self.pause().await;
        let tally = |packets| Some(device::Tally { packets, bytes: 60 * packets });
        let counters = device::PortCounters {
            received: tally(100),
            forwarded: tally(90),
            dropped: tally(3),
            slow_path: vec![device::SlowPathTally { reason: "miss".to_owned(), tally: tally(7) }],
        };
        let wire = device::Port {
            lif: 1,
            role: device::PortRole::Wire.into(),
            name: "wire1".to_owned(),
            mode: "simulated".to_owned(),
            counters: Some(counters),
        };
        let firewall = device::Port {
            role: device::PortRole::Firewall.into(),
            name: "firewall1".to_owned(),
            counters: None,
            ..wire.clone()
        };
        let statistics = device::Statistics {
            sessions: u32::try_from(self.state().sessions.len()).expect("a test has few sessions"),
            capacity: 1000,
            timed_out: 4,
            ..device::Statistics::default()
        };
        Ok(Response::new(device::GetDeviceResponse {
            version: "1.2.3".to_owned(),
            data_plane: "sim".to_owned(),
            uptime: Some(Duration { seconds: 3725, nanos: 0 }),
            statistics: Some(statistics),
            ports: vec![wire, firewall],
        }))
    }
}
