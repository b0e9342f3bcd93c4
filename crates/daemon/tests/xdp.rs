//! opofd on XDP, between real ports in namespaces: offload, `kill -9`, another start, an orderly stop. Needs root.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests as well")]

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use opof_api::v1;
use opof_api::v1::session_table_client::SessionTableClient;
use opof_testkit::netns::{Capture, FirewallMode, Process, RawSocket, Topology};
use opof_testkit::packet::Packet;
use opof_testkit::wait;
use tonic::transport::Channel;

const PATIENCE: Duration = Duration::from_secs(10);
const ADDRESS: &str = "127.0.0.1:3443";

struct Device {
    topology: Topology,
    pins: PathBuf,
    client: RawSocket,
    at_server: Capture,
    at_firewall: Capture,
}

impl Device {
    fn new() -> Self {
        let topology = Topology::new(FirewallMode::Silent).expect("root, and the programs of the testkit");
        let client = topology.client_socket().unwrap();
        let at_server = Capture::start(&topology.server.port).unwrap();
        let at_firewall = Capture::start(&topology.firewall_a).unwrap();
        let pins = PathBuf::from(format!("/sys/fs/bpf/{}", topology.device.name()));
        Self { topology, pins, client, at_server, at_firewall }
    }

    fn start(&self) -> Process {
        let mut command = self.topology.device.command(env!("CARGO_BIN_EXE_opofd"));
        command.args(["--data-plane", "xdp", "--max-sessions", "1000", "--pin-dir", self.pins.to_str().unwrap()]);
        command.args(["--lif", "id=1,wire=wire1,firewall=fw1", "--lif", "id=2,wire=wire2,firewall=fw2"]);
        command.args(["--listener", &format!("address={ADDRESS},plaintext=true"), "--log-level", "warn"]);
        Process::start("opofd", command.stdin(Stdio::null())).unwrap()
    }

    /// Asks the daemon something, from within its namespace. It may still be starting.
    fn ask<T: Send>(&self, question: impl AsyncFnOnce(SessionTableClient<Channel>) -> T + Send) -> T {
        let ask = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let connected = async {
                    loop {
                        match SessionTableClient::connect(format!("http://{ADDRESS}")).await {
                            Ok(client) => return client,
                            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                        }
                    }
                };
                question(tokio::time::timeout(PATIENCE, connected).await.expect("opofd answers")).await
            })
        };
        self.topology.device.run(ask).unwrap()
    }

    /// Its port is open before its data plane is, so that being connected says nothing.
    fn wait_until_it_answers(&self) {
        let args = v1::SessionRequestArgs::default();
        self.ask(async |mut client| client.get_all_sessions(args).await).unwrap();
    }

    fn add(&self) {
        let response = self.ask(async |mut client| client.add_session(tokio_stream::iter([session()])).await);
        assert_eq!(response.unwrap().into_inner().request_status(), v1::AddSessionStatus::SessionAccepted);
    }

    /// Sends a packet of the session; `true` when it arrives at the server, `false` at the firewall.
    fn takes_the_fast_path(&self) -> bool {
        self.client.send(&packet()).unwrap();
        let arrived = wait::until("the packet to arrive", PATIENCE, || {
            [(&self.at_server, true), (&self.at_firewall, false)]
                .into_iter()
                .find_map(|(capture, fast)| capture.drain(Duration::ZERO).contains(&packet()).then_some(fast))
        });
        arrived.unwrap()
    }

    fn has_programs(&self) -> bool {
        self.topology.device.ip("link show wire1").unwrap().contains("prog/xdp")
    }
}

impl Drop for Device {
    /// A test that fails leaves a daemon that is killed, and so its pins.
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.pins);
    }
}

fn packet() -> Vec<u8> {
    Packet::new().ipv4([10, 0, 0, 1], [192, 0, 2, 1]).udp(1000, 53).payload(&[7; 32]).build()
}

fn session() -> v1::SessionRequest {
    v1::SessionRequest {
        session_id: 1,
        in_lif: 1,
        out_lif: 2,
        source_ip: u32::from_le_bytes([10, 0, 0, 1]),
        source_port: 1000,
        destination_ip: u32::from_le_bytes([192, 0, 2, 1]),
        destination_port: 53,
        protocol_id: v1::ProtocolId::Udp.into(),
        action: Some(v1::ActionParameters { action_type: v1::ActionType::Forward.into(), ..Default::default() }),
        ..Default::default()
    }
}

#[test]
fn offload_kill_start_again_stop() {
    let device = Device::new();
    let mut daemon = device.start();
    device.wait_until_it_answers();
    assert!(!device.takes_the_fast_path(), "nothing is offloaded yet");
    device.add();
    assert!(device.takes_the_fast_path());
    let got = device.ask(async |mut client| client.get_session(v1::SessionId { session_id: 1 }).await).unwrap();
    assert_eq!((got.get_ref().in_packets, got.get_ref().in_bytes), (1, packet().len() as u64));

    daemon.kill().unwrap();
    let mut daemon = device.start();
    let listed = device.ask(async |mut client| client.get_all_sessions(v1::SessionRequestArgs::default()).await);
    assert_eq!(listed.unwrap().into_inner().session_info, [], "what was offloaded before is forgotten");
    assert!(!device.takes_the_fast_path(), "by the data plane as well");
    device.add();
    assert!(device.takes_the_fast_path());

    assert!(device.has_programs());
    assert_eq!(daemon.terminate(PATIENCE).unwrap().code(), Some(0));
    assert!(!device.has_programs() && !device.pins.exists(), "nothing is left behind");
}
