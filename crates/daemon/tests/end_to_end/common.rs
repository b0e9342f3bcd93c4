//! A daemon in this process, and clients made from the generated code.

use std::time::Duration;

use clap::Parser;
use opof_api::device::device_client::DeviceClient;
use opof_api::v1;
use opof_api::v1::session_table_client::SessionTableClient;
use opof_daemon::clock::Clock;
use opof_daemon::config::flags::Cli;
use opof_daemon::config::{Config, from_text};
use opof_daemon::tls::SelfSigned;
use opof_daemon::{Daemon, RunningDaemon};
use opof_dataplane::pipeline::{Outcome, Port};
use opof_session::types::Lif;
use opof_testkit::packet::Packet;
use tempfile::TempDir;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};

pub(crate) struct Fixture {
    pub(crate) daemon: RunningDaemon,
    pub(crate) tls: SelfSigned,
    _folder: TempDir,
}

/// What the flags say, as opofd would have it.
pub(crate) fn config(arguments: &[String]) -> Config {
    let cli = Cli::parse_from(["opofd".to_owned()].iter().chain(arguments));
    from_text(None, "", &cli.settings).unwrap()
}

/// A simulated device behind TLS; `arguments` are flags of opofd, `listener` keys of the listener.
pub(crate) async fn start_with(arguments: &[&str], listener: &str) -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let tls = SelfSigned::in_folder(folder.path(), Clock::new().time_of_day()).unwrap();
    let (cert, key) = (tls.cert.display(), tls.key.display());
    let mut all: Vec<_> = arguments.iter().map(ToString::to_string).collect();
    all.extend(["--listener".to_owned(), format!("address=127.0.0.1:0,tls.cert={cert},tls.key={key},{listener}")]);
    let daemon = Daemon::start(&config(&all)).await.unwrap();
    Fixture { daemon, tls, _folder: folder }
}

pub(crate) async fn start() -> Fixture {
    start_with(&[], "").await
}

impl Fixture {
    pub(crate) async fn channel(&self) -> Channel {
        self.endpoint().connect().await.unwrap()
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        let root = Certificate::from_pem(std::fs::read(&self.tls.cert).unwrap());
        let address = format!("https://{}", self.daemon.addresses()[0]);
        Endpoint::new(address)
            .unwrap()
            .tls_config(ClientTlsConfig::new().ca_certificate(root).domain_name("localhost"))
            .unwrap()
    }

    pub(crate) async fn client(&self) -> SessionTableClient<Channel> {
        SessionTableClient::new(self.channel().await)
    }

    pub(crate) async fn device(&self) -> DeviceClient<Channel> {
        DeviceClient::new(self.channel().await)
    }

    /// Where a frame that comes in on the wire of `from` goes out.
    pub(crate) fn forward(&self, from: u16, frame: &[u8]) -> Option<Port> {
        let ports = self.daemon.sim_ports().unwrap();
        match ports.receive(self.daemon.clock().now(), Port::wire(lif(from)), frame) {
            Outcome::Out { port, .. } => Some(port),
            Outcome::Dropped => None,
        }
    }
}

pub(crate) fn lif(id: u16) -> Lif {
    Lif::new(id).unwrap()
}

/// 10.x.y.z:1000 > 192.0.2.1:53, UDP, from LIF 1 to LIF 2; another address for each id.
pub(crate) fn session(id: u64) -> v1::SessionRequest {
    let [.., b, c, d] = id.to_be_bytes();
    v1::SessionRequest {
        session_id: id,
        in_lif: 1,
        out_lif: 2,
        source_ip: u32::from_le_bytes([10, b, c, d]),
        source_port: 1000,
        destination_ip: u32::from_le_bytes([192, 0, 2, 1]),
        destination_port: 53,
        protocol_id: v1::ProtocolId::Udp.into(),
        action: Some(v1::ActionParameters { action_type: v1::ActionType::Forward.into(), ..Default::default() }),
        ..Default::default()
    }
}

/// A packet of `session(id)` from the client's side.
pub(crate) fn packet(id: u8) -> Vec<u8> {
    Packet::new().ipv4([10, 0, 0, id], [192, 0, 2, 1]).udp(1000, 53).payload(b"question").build()
}

pub(crate) async fn add(
    client: &mut SessionTableClient<Channel>,
    sessions: impl IntoIterator<Item = v1::SessionRequest>,
) -> v1::AddSessionResponse {
    let sessions: Vec<_> = sessions.into_iter().collect();
    client.add_session(tokio_stream::iter(sessions)).await.unwrap().into_inner()
}

pub(crate) async fn list(
    client: &mut SessionTableClient<Channel>,
    page_size: u32,
    page: u32,
    start_session: u64,
) -> (Vec<u64>, u64) {
    let args = v1::SessionRequestArgs { page_size, page, start_session };
    let answer = client.get_all_sessions(args).await.unwrap().into_inner();
    (answer.session_info.iter().map(|session| session.session_id).collect(), answer.nextkey)
}

/// One call of getClosedSessions, to its end.
pub(crate) async fn closed(client: &mut SessionTableClient<Channel>, page_size: u32) -> Vec<v1::SessionResponse> {
    let args = v1::SessionRequestArgs { page_size, ..Default::default() };
    let mut stream = client.get_closed_sessions(args).await.unwrap().into_inner();
    let mut records = Vec::new();
    while let Some(record) = stream.message().await.unwrap() {
        records.push(record);
    }
    records
}

/// Waits for `condition`, for ten seconds at most.
pub(crate) async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let met = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), met).await.unwrap_or_else(|_| panic!("{what}"));
}
