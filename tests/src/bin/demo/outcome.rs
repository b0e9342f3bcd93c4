//! What a case of the story found, and what must be true of it.

use opof_session::types::DirectionCounters;
use opof_testkit::netns::SeenByFirewall;
use opof_tests::iperf::{Figures, SERVER_PORT, UDP_GREETING, UDP_PAYLOAD};
use opof_tests::{Counted, WirePort};
use serde_json::{Value, json};

use crate::case::Case;

/// Ethernet header, VLAN tag, UDP header, TCP header with the timestamp option; bytes.
const ETHERNET: u64 = 14;
const TAG: u64 = 4;
const UDP: u64 = 8;
const TCP: u64 = 32;
/// What TCP sends that iperf3 does not count as data: its cookie, and segments that only acknowledge.
const TCP_EXTRA: u64 = 64 * 1024;
/// The largest payload of a TCP segment here.
const SEGMENT: u64 = 1460;

/// One run of traffic.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Run {
    /// What iperf3 says.
    pub figures: Figures,
    /// What the firewall saw, after its GRO has joined segments of TCP.
    pub seen: SeenByFirewall,
    /// Frames that came in at the firewall's ports, by their own counters, before GRO.
    pub at_firewall: u64,
}

/// A statement and whether it is true.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Check {
    pub what: &'static str,
    pub ok: bool,
    pub detail: String,
}

/// Everything about one case.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Outcome {
    pub case: Case,
    pub before: Run,
    pub after: Run,
    pub counted: Counted,
    /// The client's side, then the server's.
    pub wires: [WirePort; 2],
}

impl Outcome {
    /// The statements that make the case.
    pub(crate) fn checks(&self) -> Vec<Check> {
        let (before, after, counted) = (self.before.seen, self.after.seen, self.counted);
        let mut checks = vec![
            check(
                "without offload the firewall sees the flow",
                before.flow_data > 0,
                format!("{} packets", before.flow_data),
            ),
            check(
                "with offload it sees no packet of its data",
                after.flow_data == 0,
                format!("{} packets", after.flow_data),
            ),
            check(
                "it still sees the TCP control packets",
                (after.flow_control > 0) == self.case.tcp,
                format!("{} packets", after.flow_control),
            ),
            self.only_control(),
            check("nothing unexpected at the firewall", after.other == 0, format!("{} packets", after.other)),
        ];
        let directions = [counted.inward, counted.outward].map(|counters| (counters.packets, counters.bytes));
        let names = ["client's wire port = session + firewall", "server's wire port = session + firewall"];
        for ((wire, session), what) in self.wires.iter().zip(directions).zip(names) {
            let sum = (session.0 + wire.to_firewall.0, session.1 + wire.to_firewall.1);
            let detail = format!("{} = {} + {} packets", wire.received.0, session.0, wire.to_firewall.0);
            checks.push(check(what, sum == wire.received && session.0 > 0, detail + &byte_detail(wire, session)));
        }
        checks.push(if self.case.tcp { self.tcp_figures() } else { self.udp_figures() });
        checks
    }

    /// The frames at the firewall's ports are accounted for. GRO may have joined some of iperf3's own connection, by twos
    /// at most in so slow an exchange.
    fn only_control(&self) -> Check {
        let Run { seen, at_firewall, .. } = self.after;
        let least = seen.flow_control + seen.flow_data + seen.companion + seen.other;
        let ok = (least..=least + seen.companion).contains(&at_firewall);
        check("its ports carry control packets alone", ok, format!("{at_firewall} frames, {least} of them known"))
    }

    /// Headers in front of the transport header, in bytes.
    fn headers(&self) -> u64 {
        let ip = if self.case.client().is_ipv6() { 40 } else { 20 };
        ETHERNET + ip + if self.case.vlan { TAG } else { 0 }
    }

    /// To the byte: every datagram has the same length but the greeting.
    fn udp_figures(&self) -> Check {
        let (figures, counted) = (self.after.figures, self.counted);
        let header = self.headers() + UDP;
        let datagrams = figures.sent_packets;
        let greeting = UDP_GREETING + header;
        let bytes = datagrams * (UDP_PAYLOAD + header) + greeting;
        let expected = Counted {
            inward: DirectionCounters { packets: datagrams + 1, bytes },
            outward: DirectionCounters { packets: 1, bytes: greeting },
        };
        let detail = format!(
            "iperf3 {datagrams} + 1 greeting, device {}, lost {}",
            counted.inward.packets, figures.lost_packets
        );
        check("device = iperf3, packets and bytes", counted == expected && figures.lost_packets == 0, detail)
    }

    /// As near as can be said from outside TCP: what was read was carried, and no more than was sent, again included.
    fn tcp_figures(&self) -> Check {
        let (figures, counted) = (self.after.figures, self.counted);
        let payload = counted.inward.bytes.saturating_sub(counted.inward.packets * (self.headers() + TCP));
        // The segment with the FIN may carry data past the fast path.
        let least = figures.received_bytes.saturating_sub(TCP_EXTRA);
        let most = figures.sent_bytes + figures.retransmits * SEGMENT + TCP_EXTRA;
        let detail = format!("iperf3 {} bytes, device {payload} of payload", figures.received_bytes);
        check("device = iperf3, TCP payload", (least..=most).contains(&payload), detail)
    }

    /// All figures.
    pub(crate) fn json(&self) -> Value {
        let run = |run: &Run| {
            json!({
                "bits_per_second": run.figures.bits_per_second,
                "sent_bytes": run.figures.sent_bytes, "received_bytes": run.figures.received_bytes,
                "sent_packets": run.figures.sent_packets, "lost_packets": run.figures.lost_packets,
                "retransmits": run.figures.retransmits,
                "firewall": {
                    "frames_at_ports": run.at_firewall,
                    "flow_control": run.seen.flow_control, "flow_data": run.seen.flow_data,
                    "iperf3_control": run.seen.companion, "other": run.seen.other,
                },
            })
        };
        let wire = |wire: &WirePort| {
            json!({
                "received": {"packets": wire.received.0, "bytes": wire.received.1},
                "to_firewall": {"packets": wire.to_firewall.0, "bytes": wire.to_firewall.1},
            })
        };
        let checks: Vec<Value> = self
            .checks()
            .iter()
            .map(|check| json!({"what": check.what, "ok": check.ok, "detail": check.detail}))
            .collect();
        json!({
            "case": self.case.name, "server_port": SERVER_PORT,
            "without_offload": run(&self.before), "with_offload": run(&self.after),
            "session": self.counted.json(),
            "wire_ports": [wire(&self.wires[0]), wire(&self.wires[1])],
            "checks": checks,
        })
    }
}

fn byte_detail(wire: &WirePort, session: (u64, u64)) -> String {
    format!(", {} = {} + {} bytes", wire.received.1, session.1, wire.to_firewall.1)
}

fn check(what: &'static str, ok: bool, detail: String) -> Check {
    Check { what, ok, detail }
}
