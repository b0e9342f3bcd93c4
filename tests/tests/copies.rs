//! Copies to collectors: real sessions through the real daemon, and an independent decoder for what arrives at the collector.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use opof_session::types::{Action, SessionSpec};
use opof_testkit::netns::{Capture, FirewallMode, FlowTuple, NetNs, Port, PortOptions, Topology, counters, veth};
use opof_testkit::packet::Packet;
use opof_testkit::require::{NETWORK, require};
use opof_testkit::wait;
use opof_tests::iperf::iperf3;
use opof_tests::{Opofd, frames, session, tshark};
use opof_wire::{FlowKey, Transport, Vid};

const BOUND: Duration = Duration::from_secs(10);
/// Has room for a whole frame and the outer headers.
const MTU: u16 = 1600;

const SECTIONS: &str = r#"[[lif]]
id = 1
wire = "wire1"
firewall = "fw1"
[[lif]]
id = 2
wire = "wire2"
firewall = "fw2"
[copies]
interface = "mon0"
vni = 4660
option_class = 0xff99
option_type = 0x21
"#;

/// A bench with a collector's host beside the device, which finds it by ARP and neighbour discovery.
struct Yard {
    opofd: Opofd,
    net: Topology,
    /// The collector's port.
    collector: Port,
    mon0: Port,
}

impl Yard {
    fn new(mode: FirewallMode) -> Self {
        require(NETWORK).unwrap();
        let net = Topology::new(mode).unwrap();
        let host = Arc::new(NetNs::new("collector").unwrap());
        let options = |last| PortOptions { mac: [2, 0x0f, 0, 9, 0, last], ip: true, promiscuous: false, mtu: MTU };
        let ends = [(&net.device, "mon0", options(1)), (&host, "eth0", options(2))];
        let [mon0, collector] = veth(ends).unwrap();
        for (port, last) in [(&mon0, 1), (&collector, 2)] {
            // Neighbour discovery asks from a link-local address.
            for address in
                [format!("10.99.0.{last}/24"), format!("fd99::{last}/64 nodad"), format!("fe80::{last}/64 nodad")]
            {
                port.namespace.ip(&format!("addr add {address} dev {}", port.name)).unwrap();
            }
        }
        Self { opofd: Opofd::start(&net.device, SECTIONS).unwrap(), net, collector, mon0 }
    }

    /// Copied and lost on both wire ports together.
    fn copies(&self) -> (u64, u64) {
        let ports = self.opofd.device().unwrap().ports;
        ports
            .iter()
            .fold((0, 0), |(copied, lost), port| (copied + port.copied.packets, lost + port.copies_lost.packets))
    }

    /// Sends `frame` from the client until a copy of it is sent: the way to a new collector is looked for meanwhile.
    fn reach(&self, frame: &[u8]) {
        let socket = self.net.client_socket().unwrap();
        wait::until("a way to the collector", BOUND, || {
            let (before, _) = self.copies();
            socket.send(frame).unwrap();
            wait::pause(Duration::from_millis(50));
            (self.copies().0 > before).then_some(())
        })
        .unwrap();
    }
}

fn copied(mut spec: SessionSpec, collector: &str, mirror: bool) -> SessionSpec {
    let collector: IpAddr = collector.parse().unwrap();
    spec.action = if mirror { Action::Mirror { collector } } else { Action::Snoop { collector } };
    spec
}

fn build(key: &FlowKey) -> Vec<u8> {
    Packet::with_key(key).payload(b"twenty bytes of data").build()
}

#[test]
fn copies_arrive_as_another_decoder_reads_them() {
    let yard = Yard::new(FirewallMode::Silent);
    let far = Vid::new(200).unwrap();
    let cases = [("10.99.0.2", true), ("fd99::2", false), ("fd99::2", true), ("10.99.0.2", false)];
    for (id, key) in (0x1_0000_0001_u64..).zip(frames::keys()) {
        let (collector, mirror) = cases[usize::try_from(id % 4).unwrap()];
        let out_vlan = if key.vlan.is_untagged() { key.vlan } else { far };
        yard.opofd.add(copied(SessionSpec { out_vlan, ..session(id, key) }, collector, mirror)).unwrap();
        yard.reach(&build(&key));
        let capture = Capture::start(&yard.collector).unwrap();
        let server = Capture::start(&yard.net.server.port).unwrap();
        yard.net.client_socket().unwrap().send(&build(&key)).unwrap();
        let left = server.next(BOUND).unwrap();
        assert_eq!(left, build(&FlowKey { vlan: out_vlan, ..key }), "{key}");
        let copy = next_copy(&capture);
        let inner = if mirror { build(&key) } else { left };
        assert!(copy.ends_with(&inner), "{key} to {collector}: {copy:02x?}");
        assert_decodes(&copy, &key, id, collector, if mirror { key.vlan } else { out_vlan });
    }
}

fn next_copy(capture: &Capture) -> Vec<u8> {
    loop {
        let frame = capture.next(BOUND).unwrap();
        // Neighbours are asked for now and then.
        if frame[12..14] == [8, 0] || (frame[12..14] == [0x86, 0xDD] && frame[20] == 17) {
            return frame;
        }
    }
}

fn assert_decodes(copy: &[u8], key: &FlowKey, id: u64, collector: &str, vlan: Vid) {
    let fields = [
        "eth.dst",
        "ip.dst",
        "ipv6.dst",
        "udp.dstport",
        "geneve.vni",
        "geneve.option.class",
        "geneve.option.type",
        "geneve.option.length",
        "geneve.option.unknown.data",
        "vlan.id",
        "ip.checksum.status",
        "tcp.checksum.status",
        "_ws.malformed",
    ];
    let decoded = tshark::decode(&[copy.to_vec()], &fields).unwrap().remove(0);
    let row: Vec<Vec<&str>> = decoded.iter().map(|field| field.split(',').collect()).collect();
    assert_eq!(row[0][0], "02:0f:00:09:00:02", "{decoded:?}");
    let outer = if collector.contains(':') { row[2][0] } else { row[1][0] };
    assert_eq!((outer, row[3][0]), (collector, "6081"), "{decoded:?}");
    let word = |text: &str| u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap();
    let option = [word(row[4][0]), word(row[5][0]), word(row[6][0])];
    assert_eq!(option, [0x1234, 0xff99, 0x21], "{decoded:?}");
    assert_eq!(row[8][0], format!("0000000100000002{:08x}", id & 0xffff_ffff), "in-LIF, out-LIF, session: {decoded:?}");
    let tag = if vlan.is_untagged() { String::new() } else { vlan.get().to_string() };
    assert_eq!(row[9][0], tag, "{decoded:?}");
    assert!(row[10].iter().all(|status| ["1", ""].contains(status)), "{decoded:?}");
    let tcp = if key.transport == Transport::Tcp { "1" } else { "" };
    assert_eq!((row[11][0], row[12][0]), (tcp, ""), "{decoded:?}");
}

#[test]
fn without_a_way_to_the_collector_copies_are_lost_and_counted_and_packets_are_not() {
    const FRAMES: usize = 1_000;
    let yard = Yard::new(FirewallMode::Silent);
    let key = frames::keys()[0];
    // Nobody has this address; then somebody does.
    yard.opofd.add(copied(session(1, key), "10.99.0.77", true)).unwrap();
    let before = counters(&yard.net.server.port).unwrap();
    frames::send(&yard.net.client_socket().unwrap(), &[build(&key)], FRAMES).unwrap();
    let count = u64::try_from(FRAMES).unwrap();
    let arrived = || counters(&yard.net.server.port).unwrap().since(&before).rx_packets;
    wait::until("all packets", BOUND, || (arrived() == count).then_some(())).unwrap();
    assert_eq!(yard.copies(), (0, count));
    assert_eq!(yard.opofd.get(1).unwrap().unwrap().inward.packets, count);
    assert!(yard.opofd.log().contains("copies to the collector are lost"), "{}", yard.opofd.log());

    yard.collector.namespace.ip("addr add 10.99.0.77/24 dev eth0").unwrap();
    yard.mon0.namespace.ip("neigh flush dev mon0").unwrap();
    yard.reach(&build(&key));
    // One that is too large for the way goes on uncopied.
    let (copied_before, lost_before) = yard.copies();
    let large = Packet::with_key(&key).payload(&[0x5A; 1560]).build();
    let capture = Capture::start(&yard.net.server.port).unwrap();
    yard.net.client_socket().unwrap().send(&large).unwrap();
    assert_eq!(capture.next(BOUND).unwrap(), large);
    assert_eq!(yard.copies(), (copied_before, lost_before + 1));
}

#[test]
fn a_tcp_session_is_mirrored_while_it_runs_and_after_the_daemon_has_died() {
    const SECONDS: u32 = 2;
    let mut yard = Yard::new(FirewallMode::Bridge);
    let (client, server) = (yard.net.client.addresses, yard.net.server.addresses);
    let flow = FlowTuple {
        tcp: true,
        client: client.ipv4.into(),
        client_port: 40_123,
        server: server.ipv4.into(),
        server_port: opof_tests::iperf::SERVER_PORT,
    };
    let addresses = opof_wire::Addresses::V4 { source: client.ipv4.octets(), destination: server.ipv4.octets() };
    let key =
        FlowKey { addresses, source_port: flow.client_port, destination_port: flow.server_port, ..frames::keys()[0] };
    yard.opofd.add(copied(session(1, key), "10.99.0.2", true)).unwrap();
    yard.reach(&build(&key));
    // Filler frames of ours are counted, too.
    let before = (yard.opofd.get(1).unwrap().unwrap(), yard.copies());
    let figures = iperf3(&yard.net, &flow, SECONDS).unwrap();
    assert!(figures.received_bytes > 10_000_000, "{figures:?}");
    let after = (yard.opofd.get(1).unwrap().unwrap(), yard.copies());
    let packets = |counted: opof_tests::Counted| counted.inward.packets + counted.outward.packets;
    let forwarded = packets(after.0) - packets(before.0);
    assert_eq!(after.1.0 - before.1.0 + after.1.1 - before.1.1, forwarded, "each packet is copied or lost");
    assert_eq!(after.1.1, before.1.1, "none is lost: {after:?}");

    yard.opofd.kill().unwrap();
    let capture = Capture::start(&yard.collector).unwrap();
    yard.net.client_socket().unwrap().send(&build(&key)).unwrap();
    assert!(next_copy(&capture).ends_with(&build(&key)));
}
