//! iperf3 between the client and the server of a bench, and what it says of itself.

use std::process::Stdio;
use std::time::Duration;

use opof_testkit::netns::{FlowTuple, NetError, NetNs, Process, Topology, run, run_bounded};
use opof_testkit::wait;
use serde_json::Value;

/// The server's port.
pub const SERVER_PORT: u16 = 5201;
/// Payload of a UDP datagram in bytes; fits a 1500-byte packet of either family.
pub const UDP_PAYLOAD: u64 = 1400;
/// Payload of the datagram by which client and server begin a UDP test, one each way, in no report.
pub const UDP_GREETING: u64 = 4;
/// Below what a veth pair carries without a loss on a busy machine.
const UDP_RATE: &str = "50M";
/// Of a connection beside other traffic.
const PACED_RATE: &str = "100M";

const SERVER_BOUND: Duration = Duration::from_secs(10);
/// What a test may take beyond its own duration.
const SLACK: Duration = Duration::from_secs(20);

/// The least that a busy machine carries, bytes a second.
const SLOWEST: u64 = 12_500_000;

/// How much a run transfers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Amount {
    /// As much as fits into this time.
    Seconds(u32),
    /// For this time, at 100 Mbit/s also over TCP: so rings that hold other frames have room.
    Paced(u32),
    /// This much payload.
    Bytes(u64),
}

impl Amount {
    fn arguments(self) -> Vec<String> {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        match self {
            Self::Seconds(seconds) => words(&["--time", &seconds.to_string()]),
            Self::Paced(seconds) => words(&["--time", &seconds.to_string(), "--bitrate", PACED_RATE]),
            Self::Bytes(bytes) => words(&["--bytes", &bytes.to_string()]),
        }
    }

    fn bound(self) -> Duration {
        let own = match self {
            Self::Seconds(seconds) | Self::Paced(seconds) => seconds.into(),
            Self::Bytes(bytes) => bytes / SLOWEST,
        };
        Duration::from_secs(own) + SLACK
    }
}

/// Who sends; who connects is the client in either case.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sender {
    /// As ever.
    Client,
    /// iperf3's `--reverse`.
    Server,
}

/// The figures of one run, from who sends to who does not.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Figures {
    /// Payload bytes that were written.
    pub sent_bytes: u64,
    /// Payload bytes that were read.
    pub received_bytes: u64,
    /// Datagrams that were sent; 0 for TCP.
    pub sent_packets: u64,
    /// Datagrams that did not arrive; 0 for TCP.
    pub lost_packets: u64,
    /// Segments that TCP sent again; 0 for UDP.
    pub retransmits: u64,
    /// What arrived, payload bits a second.
    pub bits_per_second: f64,
}

impl Figures {
    /// True when most datagrams arrived. The rings of the ports hold 256 frames, so a busy machine that stalls for a while loses
    /// some in them, which is in no counter of the device; tests that ask for every single frame send fewer by themselves.
    pub fn mostly_arrived(&self) -> bool {
        self.lost_packets * 4 <= self.sent_packets
    }
}

/// Runs it over `flow` for `seconds`.
pub fn iperf3(bench: &Topology, flow: &FlowTuple, seconds: u32) -> Result<Figures, NetError> {
    transfer(bench, flow, Sender::Client, Amount::Seconds(seconds))
}

/// Runs it over `flow`, whose server may be another than the one that NAT leads to.
pub fn transfer(bench: &Topology, flow: &FlowTuple, sender: Sender, amount: Amount) -> Result<Figures, NetError> {
    let mut server = serve(&bench.server.port.namespace)?;
    let mut client = bench.client.port.namespace.command("iperf3");
    client.args(["--json", "--interval", "0", "--client", &flow.server.to_string()]);
    client.args(["--port", &flow.server_port.to_string(), "--cport", &flow.client_port.to_string()]);
    client.args(amount.arguments());
    if !flow.tcp {
        client.args(["--udp", "--bitrate", UDP_RATE, "--length", &UDP_PAYLOAD.to_string()]);
    }
    if sender == Sender::Server {
        client.arg("--reverse");
    }
    let output = run_bounded(&mut client, amount.bound())?;
    server.wait(SERVER_BOUND)?;
    parse(&output).ok_or_else(|| NetError::Output { what: "iperf3".into(), output })
}

/// A server for one test, listening.
fn serve(namespace: &NetNs) -> Result<Process, NetError> {
    let mut command = namespace.command("iperf3");
    command.args(["--server", "--one-off"]).stdin(Stdio::null()).stdout(Stdio::null());
    let server = Process::start("iperf3 --server", &mut command)?;
    let port = SERVER_PORT.to_string();
    wait::until("iperf3 to listen", SERVER_BOUND, || {
        let sockets = run(namespace.command("ss").args(["-Hltn", "sport", "=", &port]));
        sockets.is_ok_and(|list| !list.is_empty()).then_some(())
    })?;
    Ok(server)
}

fn parse(output: &str) -> Option<Figures> {
    let report: Value = serde_json::from_str(output).ok()?;
    let end = report.get("end")?;
    let (sent, received) = (end.get("sum_sent")?, end.get("sum_received")?);
    let number = |sum: &Value, name: &str| sum.get(name).and_then(Value::as_u64).unwrap_or(0);
    Some(Figures {
        sent_bytes: sent.get("bytes")?.as_u64()?,
        received_bytes: received.get("bytes")?.as_u64()?,
        sent_packets: number(sent, "packets"),
        lost_packets: number(received, "lost_packets"),
        retransmits: number(sent, "retransmits"),
        bits_per_second: received.get("bits_per_second")?.as_f64()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_udp_report_is_read() {
        let report = r#"{"end": {
            "sum_sent": {"bytes": 2800, "packets": 2, "lost_packets": 0, "bits_per_second": 1},
            "sum_received": {"bytes": 1400, "packets": 2, "lost_packets": 1, "bits_per_second": 11200.5}}}"#;
        let figures = parse(report).unwrap();
        assert_eq!((figures.sent_packets, figures.lost_packets, figures.sent_bytes), (2, 1, 2800));
        assert!((figures.bits_per_second - 11200.5).abs() < 0.01);
    }

    #[test]
    fn a_report_of_an_error_is_none() {
        assert_eq!(parse(r#"{"error": "unable to connect to server", "end": {}}"#), None);
    }
}
