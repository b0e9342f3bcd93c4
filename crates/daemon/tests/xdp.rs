//! opofd on XDP, between real ports in namespaces: offload, `kill -9`, another start, an orderly stop, `--remove`. Needs root.

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
    state: tempfile::TempDir,
    client: RawSocket,
    at_server: Capture,
    at_firewall: Capture,
}

impl Device {
    fn new() -> Self {
        let topology = Topology::new(FirewallMode::Silent).expect("root, and the programs of the testkit");
        // That is for opofd to set.
        topology.device.ip("link set wire1 promisc off").unwrap();
        let client = topology.client_socket().unwrap();
        let at_server = Capture::start(&topology.server.port).unwrap();
        let at_firewall = Capture::start(&topology.firewall_a).unwrap();
        let pins = PathBuf::from(format!("/sys/fs/bpf/{}", topology.device.name()));
        let state = tempfile::tempdir().unwrap();
        Self { topology, pins, state, client, at_server, at_firewall }
    }

    fn start(&self, sessions: u32, at_stop: &str) -> Process {
        let mut command = self.topology.device.command(env!("CARGO_BIN_EXE_opofd"));
        let (sessions, pins) = (sessions.to_string(), self.pins.to_str().unwrap());
        command.args(["--data-plane", "xdp", "--max-sessions", &sessions, "--pin-dir", pins, "--at-stop", at_stop]);
        command.args(["--lif", "id=1,wire=wire1,firewall=fw1", "--lif", "id=2,wire=wire2,firewall=fw2"]);
        command.args(["--listener", &format!("address={ADDRESS},plaintext=true"), "--log-level", "warn"]);
        command.arg("--closed-log").arg(self.state.path().join("closed.redb"));
        Process::start("opofd", command.stdin(Stdio::null())).unwrap()
    }

    /// Exit code, and what it said.
    fn remove(&self) -> (Option<i32>, String) {
        let mut command = self.topology.device.command(env!("CARGO_BIN_EXE_opofd"));
        let output = command.args(["--remove", "--pin-dir", self.pins.to_str().unwrap()]).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).unwrap())
    }

    /// The numbers of all sessions, with the packets that they have counted.
    fn listed(&self) -> Vec<(u64, u64)> {
        let listed = self.ask(async |mut client| client.get_all_sessions(v1::SessionRequestArgs::default()).await);
        let sessions = listed.unwrap().into_inner().session_info;
        sessions.iter().map(|session| (session.session_id, session.in_packets)).collect()
    }

    /// The same of those that are closed.
    fn closed(&self) -> Vec<(u64, u64)> {
        let page = v1::SessionRequestArgs { page_size: 10, ..Default::default() };
        let closed = self.ask(async |mut client| {
            let mut stream = client.get_closed_sessions(page).await.unwrap().into_inner();
            stream.message().await.unwrap()
        });
        closed.iter().map(|session| (session.session_id, session.in_packets)).collect()
    }

    fn is_promiscuous(&self) -> bool {
        self.topology.device.ip("link show wire1").unwrap().contains("PROMISC")
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
fn a_session_outlives_kill_and_stop_and_remove_ends_it() {
    let device = Device::new();
    let mut daemon = device.start(1000, "keep");
    device.wait_until_it_answers();
    assert!(!device.takes_the_fast_path(), "nothing is offloaded yet");
    assert!(device.is_promiscuous());
    device.add();
    assert!(device.takes_the_fast_path());
    assert_eq!(device.listed(), [(1, 1)]);
    let (code, said) = device.remove();
    assert!(code == Some(5) && said.contains("in use"), "{code:?}: {said}");

    daemon.kill().unwrap();
    assert!(device.takes_the_fast_path(), "while no daemon is there");
    let mut daemon = device.start(1000, "keep");
    assert_eq!(device.listed(), [(1, 2)], "with all that it has counted");
    assert!(device.takes_the_fast_path());

    assert_eq!(daemon.terminate(PATIENCE).unwrap().code(), Some(0));
    assert!(device.takes_the_fast_path(), "behind an orderly stop");
    assert!(device.has_programs() && device.is_promiscuous());
    let mut daemon = device.start(1000, "keep");
    assert_eq!(device.listed(), [(1, 4)]);
    let deleted = device.ask(async |mut client| client.delete_session(v1::SessionId { session_id: 1 }).await).unwrap();
    assert_eq!(deleted.get_ref().in_packets, 4, "it can be deleted as any other");
    assert!(!device.takes_the_fast_path());
    device.add();
    assert!(device.takes_the_fast_path());

    assert_eq!(daemon.terminate(PATIENCE).unwrap().code(), Some(0));
    let (code, said) = device.remove();
    assert!(code == Some(0) && said.contains("4 interfaces have no program any more"), "{code:?}: {said}");
    assert!(!device.has_programs() && !device.pins.exists(), "nothing is left behind");
    assert!(!device.is_promiscuous(), "also what the first of these daemons has set");
    let (code, said) = device.remove();
    assert!(code == Some(0) && said.contains("nothing is there"), "{code:?}: {said}");
}

#[test]
fn a_table_of_another_size_begins_empty_and_a_stop_that_removes_leaves_nothing() {
    let device = Device::new();
    let mut daemon = device.start(1000, "remove");
    device.wait_until_it_answers();
    device.add();
    assert!(device.takes_the_fast_path());

    daemon.kill().unwrap();
    let mut daemon = device.start(2000, "remove");
    assert_eq!(device.listed(), [], "what was offloaded before is the firewall's again");
    assert_eq!(device.closed(), [(1, 1)], "which hears of it, with all that was counted");
    assert!(!device.takes_the_fast_path(), "by the data plane as well");
    device.add();
    assert!(device.takes_the_fast_path());

    assert!(device.has_programs());
    assert_eq!(daemon.terminate(PATIENCE).unwrap().code(), Some(0));
    assert!(!device.has_programs() && !device.pins.exists(), "nothing is left behind");
    assert!(!device.is_promiscuous(), "not even what the killed one has set");
}
