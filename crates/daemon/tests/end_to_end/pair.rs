//! Two daemons of a pair: the line between them, what is answered when, and who takes over.

mod roles;
mod sessions;

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::atomic::{AtomicU16, Ordering};

use clap::Parser;
use opof_api::pair::pair_client::PairClient;
use opof_api::pair::{BecomeRequest, GetPairRequest, GetPairResponse, Role, Standing};
use opof_api::v1;
use opof_api::v1::session_table_client::SessionTableClient;
use opof_daemon::config::flags::Cli;
use opof_daemon::config::{Config, from_text};
use opof_daemon::{Daemon, RunningDaemon};
use opof_dataplane::pipeline::{Outcome, Port};
use opof_dataplane::{PortRole, SimPorts};
use opof_testkit::authority::certify;
use opof_testkit::packet::Packet;
use tempfile::TempDir;
use tonic::Status;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};

use super::common::{closed, lif, session, until};

static NEXT: AtomicU16 = AtomicU16::new(0);

/// One of the two.
pub(crate) struct Device {
    pub(crate) daemon: Option<RunningDaemon>,
    pub(crate) ports: SimPorts,
    config: Config,
    ca: Vec<u8>,
}

/// Two devices.
pub(crate) struct Pair {
    pub(crate) devices: [Device; 2],
    pub(crate) folder: TempDir,
    /// Where the second one is connected to.
    pub(crate) line: String,
}

/// An address that no other process has.
fn address() -> Ipv4Addr {
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 64 | high, middle, low)
}

/// Of the device with this name; `ports`: its API and its end of the line, and those of the other one.
fn config(folder: &Path, [name, other]: [&str; 2], ports: [[u16; 2]; 2], election: &str, more: &str) -> Config {
    let (folder, address) = (folder.display(), address());
    let [[api, line], [other_api, other_line]] = ports;
    let text = format!(
        r#"[[listener]]
address = "{address}:{api}"
tls = {{ cert = "{folder}/{name}.crt", key = "{folder}/{name}.key" }}
role = "operator"
[data_plane]
kind = "sim"
[[lif]]
id = 1
wire = "w1"
firewall = "f1"
[[lif]]
id = 2
wire = "w2"
firewall = "f2"
[server]
threads = 2
[ha]
node = "{name}"
listen = "{address}:{line}"
api = "{address}:{api}"
tls = {{ cert = "{folder}/{name}.crt", key = "{folder}/{name}.key", ca = "{folder}/ca.crt" }}
election = "{election}"
hold = 2
term_file = "{folder}/{name}.term"
{more}
[ha.peer]
node = "{other}"
address = "{address}:{other_line}"
api = "{address}:{other_api}"
"#
    );
    let cli = Cli::parse_from(["opofd"]);
    from_text(Some(Path::new("opofd.toml")), &text, &cli.settings).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// Certificates of an authority that nobody has heard of before; the authority.
fn certify_all(folder: &Path) -> Vec<u8> {
    let names = ["a", "b", "stranger"].map(|name| (name, [name, "localhost"]));
    certify(folder, &names.each_ref().map(|(name, names)| (*name, names.as_slice()))).unwrap();
    fs::read(folder.join("ca.crt")).unwrap()
}

impl Pair {
    /// Both, started; `more` is for the `[ha]` sections.
    pub(crate) async fn start(election: &str, more: &str) -> Self {
        let _ = tracing_subscriber::fmt().with_test_writer().try_init();
        let folder = tempfile::tempdir().unwrap();
        let ca = certify_all(folder.path());
        let first = 31_000 + 4 * NEXT.fetch_add(1, Ordering::Relaxed);
        let (a, b) = ([first, first + 1], [first + 2, first + 3]);
        let configs = [
            config(folder.path(), ["a", "b"], [a, b], election, more),
            config(folder.path(), ["b", "a"], [b, a], election, more),
        ];
        let [first, second] = configs;
        let devices = [Device::start(first, &ca).await, Device::start(second, &ca).await];
        Self { devices, folder, line: format!("{}:{}", address(), b[1]) }
    }

    /// With the first one active, and the second one as good.
    pub(crate) async fn with_active(more: &str) -> Self {
        let pair = Self::start("external", more).await;
        pair.devices[0].become_(Role::Active).await.unwrap();
        pair.until_in(0).await;
        pair
    }

    /// All certificates are replaced, and their authority with them.
    pub(crate) fn certify_anew(&mut self) {
        let ca = certify_all(self.folder.path());
        self.devices.iter_mut().for_each(|device| device.ca.clone_from(&ca));
    }

    /// Until the standby has what the active has.
    pub(crate) async fn until_in(&self, active: usize) {
        until("the standby to have everything", async || {
            self.devices[active].status().await.standing == i32::from(Standing::In)
        })
        .await;
    }
}

impl Device {
    async fn start(config: Config, ca: &[u8]) -> Self {
        let daemon = Daemon::start(&config).await.unwrap_or_else(|error| panic!("{error}"));
        let ports = daemon.sim_ports().unwrap().clone();
        Self { daemon: Some(daemon), ports, config, ca: ca.to_vec() }
    }

    /// Its process is no more.
    pub(crate) fn kill(&mut self) {
        self.daemon = None;
    }

    /// Another one begins, with a plane of its own.
    pub(crate) async fn begin_anew(&mut self) {
        let (config, ca) = (self.config.clone(), self.ca.clone());
        *self = Self::start(config, &ca).await;
    }

    pub(crate) fn daemon(&self) -> &RunningDaemon {
        self.daemon.as_ref().unwrap()
    }

    pub(crate) fn api(&self) -> String {
        self.daemon().addresses()[0].to_string()
    }

    pub(crate) async fn channel(&self) -> Channel {
        self.try_channel().await.unwrap()
    }

    /// An error while the device has another certificate.
    pub(crate) async fn try_channel(&self) -> Result<Channel, tonic::transport::Error> {
        let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&self.ca)).domain_name("localhost");
        let endpoint = Endpoint::new(format!("https://{}", self.api())).unwrap().tls_config(tls).unwrap();
        endpoint.connect().await
    }

    pub(crate) async fn client(&self) -> SessionTableClient<Channel> {
        SessionTableClient::new(self.channel().await)
    }

    pub(crate) async fn operator(&self) -> PairClient<Channel> {
        PairClient::new(self.channel().await)
    }

    pub(crate) async fn status(&self) -> GetPairResponse {
        self.operator().await.get_pair(GetPairRequest {}).await.unwrap().into_inner()
    }

    pub(crate) async fn become_(&self, role: Role) -> Result<GetPairResponse, Status> {
        Ok(self.operator().await.r#become(BecomeRequest { role: role.into() }).await?.into_inner())
    }

    /// Adds sessions with these numbers; true when all were accepted.
    pub(crate) async fn add(&self, ids: std::ops::Range<u64>) -> Result<bool, Status> {
        let sessions: Vec<_> = ids.map(session).collect();
        let answer = self.client().await.add_session(tokio_stream::iter(sessions)).await?.into_inner();
        Ok(answer.response_error.is_empty())
    }

    pub(crate) async fn get(&self, id: u64) -> Result<v1::SessionResponse, Status> {
        Ok(self.client().await.get_session(v1::SessionId { session_id: id }).await?.into_inner())
    }

    pub(crate) async fn delete(&self, id: u64) -> Result<v1::SessionResponse, Status> {
        Ok(self.client().await.delete_session(v1::SessionId { session_id: id }).await?.into_inner())
    }

    pub(crate) async fn closed(&self) -> Vec<v1::SessionResponse> {
        closed(&mut self.client().await, 0).await
    }

    /// True when a packet of the session with this number takes the fast path.
    pub(crate) fn hits(&self, id: u64) -> bool {
        let [.., b, c, d] = id.to_be_bytes();
        let frame = Packet::new().ipv4([10, b, c, d], [192, 0, 2, 1]).udp(1000, 53).payload(b"question").build();
        let now = opof_daemon::clock::Clock::new().now();
        let outcome = self.ports.receive(now, Port::wire(lif(1)), &frame);
        matches!(outcome, Outcome::Out { port, .. } if port.role == PortRole::Wire)
    }
}
