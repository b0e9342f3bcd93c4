//! A firewall behind a tunnel: real hosts, the real daemon, a firewall in user space that shares no code with us, and an
//! independent decoder for what travels between them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use opof_client::{Port as DevicePort, PortRole};
use opof_testkit::netns::{
    Capture, FirewallMode, FlowTuple, InErrors, NetNs, Port, PortOptions, Topology, in_errors, run_bounded, veth,
};
use opof_testkit::require::{NETWORK, PING, require};
use opof_testkit::wait;
use opof_tests::geneve::GeneveEnd;
use opof_tests::iperf::{Amount, SERVER_PORT, Sender, iperf3, transfer};
use opof_tests::{Counted, GeneveFirewall, Opofd, frames, session, tshark};
use opof_wire::geneve::OptionId;
use opof_wire::{Addresses, FlowKey};

const BOUND: Duration = Duration::from_secs(10);
/// Has room for a whole packet of a host, a tag and the outer headers over IPv6, as docs/operation.md says.
const ROOMY: u16 = 1590;
/// As narrow as the wire.
const NARROW: u16 = 1500;
/// Where the firewall is, by family.
const FIREWALLS: [&str; 2] = ["10.98.0.2", "fd98::2"];

const VNI: u32 = 0x00AB_CDEF;
const OPTION: OptionId = OptionId::new(0xFF99, 0x21).unwrap();

/// Client and server, the device between them, and the firewall at the other end of the uplink.
struct Bench {
    firewall: GeneveFirewall,
    opofd: Opofd,
    net: Topology,
    /// The firewall's end of the uplink.
    far: Port,
}

impl Bench {
    /// The firewall at this address; the uplink takes IP packets of `mtu` bytes.
    fn new(address: &str, mtu: u16) -> Self {
        require(NETWORK).unwrap();
        require(PING).unwrap();
        let net = Topology::new(FirewallMode::Bridge).unwrap();
        let host = Arc::new(NetNs::new("beyond").unwrap());
        let options = |last| PortOptions { mac: [2, 0x0f, 0, 8, 0, last], ip: true, promiscuous: false, mtu };
        let [near, far] = veth([(&net.device, "up0", options(1)), (&host, "eth0", options(2))]).unwrap();
        for (port, last) in [(&near, 1), (&far, 2)] {
            // Neighbour discovery asks from a link-local address.
            for own in
                [format!("10.98.0.{last}/24"), format!("fd98::{last}/64 nodad"), format!("fe80::{last}/64 nodad")]
            {
                port.namespace.ip(&format!("addr add {own} dev {}", port.name)).unwrap();
            }
        }
        let end = GeneveEnd { vni: VNI, option: OPTION, leaves_by: &[(1, 2), (2, 1)] };
        let firewall = GeneveFirewall::start(&host, &end).unwrap();
        let (class, kind) = (OPTION.class(), OPTION.kind());
        let sections = format!(
            r#"[[lif]]
id = 1
wire = "wire1"
firewall = "geneve:{address}"
[[lif]]
id = 2
wire = "wire2"
firewall = "geneve:{address}"
[tunnel]
interface = "up0"
vni = {VNI}
option_class = {class}
option_type = {kind}
"#
        );
        let bench = Self { firewall, opofd: Opofd::start(&net.device, &sections).unwrap(), net, far };
        bench.await_way();
        bench
    }

    /// The device asks for its neighbour when it starts.
    fn await_way(&self) {
        let log = || self.opofd.log().contains("there is a way to the firewall").then_some(());
        wait::until("a way to the firewall", BOUND, log).unwrap();
    }

    /// `ping`'s words when all came back.
    fn ping(&self, to: IpAddr, arguments: &[&str]) -> Result<String, String> {
        let mut ping = self.net.client.port.namespace.command("ping");
        ping.args(["-n", "-W", "2"]).args(arguments).arg(to.to_string());
        run_bounded(&mut ping, BOUND).map_err(|error| error.to_string())
    }

    fn wire(&self, lif: u32) -> DevicePort {
        self.port(|port| port.lif == lif && port.role == PortRole::Wire)
    }

    fn port(&self, wanted: impl Fn(&DevicePort) -> bool) -> DevicePort {
        self.opofd.device().unwrap().ports.into_iter().find(wanted).unwrap()
    }
}

/// From the client to the server, over TCP.
fn flow(net: &Topology, v6: bool, client_port: u16) -> (FlowTuple, FlowKey) {
    let (client, server) = (net.client.addresses, net.server.addresses);
    let (from, to): (IpAddr, IpAddr) =
        if v6 { (client.ipv6.into(), server.ipv6.into()) } else { (client.ipv4.into(), server.ipv4.into()) };
    let addresses = match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => Addresses::V4 { source: from.octets(), destination: to.octets() },
        (IpAddr::V6(from), IpAddr::V6(to)) => Addresses::V6 { source: from.octets(), destination: to.octets() },
        _ => unreachable!("of one family"),
    };
    let tuple = FlowTuple { tcp: true, client: from, client_port, server: to, server_port: SERVER_PORT };
    let key = FlowKey { addresses, source_port: client_port, destination_port: SERVER_PORT, ..frames::keys()[0] };
    (tuple, key)
}

#[test]
fn tcp_goes_through_the_firewall_until_it_is_offloaded_and_its_control_packets_always_do() {
    for (address, v6) in FIREWALLS.into_iter().zip([true, false]) {
        let bench = Bench::new(address, ROOMY);
        assert!(!bench.opofd.log().contains("do not fit"), "{}", bench.opofd.log());
        let (tuple, _) = flow(&bench.net, v6, 40_001);
        let figures = iperf3(&bench.net, &tuple, 2).unwrap();
        let through = bench.firewall.seen().unwrap();
        assert!(through.is_clean(), "{through:?}");
        let frames = figures.received_bytes / 1500;
        assert!(frames > 500 && through.lif(1).data > frames && through.lif(2).data > 0, "{figures:?} {through:?}");

        let (tuple, key) = flow(&bench.net, v6, 40_002);
        bench.opofd.add(session(1, key)).unwrap();
        let figures = iperf3(&bench.net, &tuple, 2).unwrap();
        let seen = bench.firewall.seen().unwrap();
        assert!(seen.is_clean(), "{seen:?}");
        // What is left are the control connection of iperf3, and SYN and FIN of both.
        for (lif, most) in [(1, 100), (2, 100)] {
            let (before, after) = (through.lif(lif), seen.lif(lif));
            assert!((2..=8).contains(&(after.control - before.control)), "{before:?} {after:?}");
            assert!(after.data - before.data < most, "{before:?} {after:?}");
        }
        let Counted { inward, outward } = bench.opofd.get(1).unwrap().unwrap();
        assert!(inward.bytes > figures.received_bytes && outward.packets > 0, "{inward:?} {outward:?} {figures:?}");
        // Nothing was damaged on the way.
        for host in [&bench.net.client, &bench.net.server] {
            assert_eq!(in_errors(&host.port.namespace).unwrap(), InErrors::default());
        }
        // Each frame of a wire port has one fate, and what came back is what the firewall port says.
        for lif in [1, 2] {
            let wire = bench.wire(lif);
            let to_firewall: u64 = wire.slow_path.iter().map(|reason| reason.tally.packets).sum();
            assert_eq!(to_firewall, seen.lif(lif).all(), "{wire:?}");
            assert_eq!(wire.received.packets, to_firewall + wire.forwarded.packets, "{wire:?}");
            let back = bench.port(|port| port.lif == lif && port.role == PortRole::Firewall);
            assert_eq!((back.received.packets, back.mode.as_str()), (seen.lif(3 - lif).all(), "tunnel"), "{back:?}");
            assert_eq!(back.name, format!("geneve:{address}"));
        }
        let uplink = bench.port(|port| port.role == PortRole::Uplink);
        assert_eq!(uplink.received.packets, seen.lif(1).all() + seen.lif(2).all(), "{uplink:?}");
        assert_eq!((uplink.name.as_str(), uplink.refused.len()), ("up0", 0), "{uplink:?}");
    }
}

#[test]
fn what_travels_is_read_by_another_decoder() {
    for address in FIREWALLS {
        let bench = Bench::new(address, ROOMY);
        let capture = Capture::start(&bench.far).unwrap();
        let server = bench.net.server.addresses;
        for to in [IpAddr::from(server.ipv4), server.ipv6.into(), server.tagged.into()] {
            bench.ping(to, &["-c", "2"]).unwrap();
        }
        // Some thousands of packets: each is decoded twice.
        let flow = flow(&bench.net, true, 40_003).0;
        transfer(&bench.net, &flow, Sender::Client, Amount::Bytes(3_000_000)).unwrap();
        let packets: Vec<Vec<u8>> =
            capture.drain(Duration::from_millis(200)).into_iter().filter(|f| is_udp(f)).collect();
        assert_valid(&packets, address);
    }
}

/// Each is a packet of the tunnel to or from `address`, with an option that says where it came in and leaves; and each flow keeps its
/// source port on its way to the firewall, SYN and FIN included.
fn assert_valid(packets: &[Vec<u8>], address: &str) {
    let fields = [
        "eth.dst",
        "ip.dst",
        "ipv6.dst",
        "udp.srcport",
        "udp.dstport",
        "udp.checksum",
        "geneve.vni",
        "geneve.option.class",
        "geneve.option.type",
        "geneve.option.length",
        "geneve.option.unknown.data",
        "ip.checksum.status",
        "tcp.checksum.status",
        "tcp.srcport",
        "tcp.dstport",
        "vlan.id",
        "_ws.malformed",
    ];
    let decoded = tshark::decode(packets, &fields).unwrap();
    let (mut flows, mut ports, mut tagged) = (HashSet::new(), HashSet::new(), 0);
    for (packet, row) in packets.iter().zip(&decoded) {
        let row: Vec<Vec<&str>> = row.iter().map(|field| field.split(',').collect()).collect();
        let to = if address.contains(':') { row[2][0] } else { row[1][0] };
        let is_out = to == address;
        assert_eq!(row[0][0], if is_out { "02:0f:00:08:00:02" } else { "02:0f:00:08:00:01" }, "{row:?}");
        assert_eq!((row[4][0], row[5][0]), ("6081", "0x0000"), "{row:?}");
        let word = |text: &str| u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap();
        let option = [&row[6], &row[7], &row[8]].map(|field| word(field[0]));
        assert_eq!(option, [u64::from(VNI), OPTION.class().into(), OPTION.kind().into()], "{row:?}");
        let data = row[10][0];
        let lifs =
            if is_out { ["0000000100000000", "0000000200000000"] } else { ["0000000100000002", "0000000200000001"] };
        assert!(data.len() == 24 && lifs.contains(&&data[..16]), "in-LIF, out-LIF: {row:?}");
        let is_good = row[11].iter().chain(&row[12]).all(|status| [tshark::GOOD, ""].contains(status));
        assert!(is_good, "a checksum: {row:?} {packet:02x?}");
        assert_eq!(row[16][0], "", "{row:?}");
        tagged += usize::from(row[15][0] == "100");
        if is_out {
            let port: u16 = row[3][0].parse().unwrap();
            // The key is the flow's hash, and the port is cut from it.
            assert_eq!(u64::from(port), 0xC000 | word(&data[16..]) & 0x3FFF, "{row:?}");
            if !row[13][0].is_empty() {
                flows.insert((row[13][0].to_owned(), row[14][0].to_owned(), port));
            }
            ports.insert(port);
        }
    }
    let directions: HashSet<_> = flows.iter().map(|(source, destination, _)| (source, destination)).collect();
    // iperf3's two connections, both directions of each.
    assert_eq!((directions.len(), flows.len()), (4, 4), "{flows:?}");
    // And the echoes of two families and a VLAN; hosts without ports have their link for a flow.
    assert!(ports.len() >= 6, "{ports:?}");
    assert!(tagged > 0 && decoded.len() > 50, "{} packets, {tagged} tagged", decoded.len());
}

fn is_udp(frame: &[u8]) -> bool {
    (frame[12..14] == [8, 0] && frame[23] == 17) || (frame[12..14] == [0x86, 0xDD] && frame[20] == 17)
}

#[test]
fn hosts_are_told_what_fits_and_send_that() {
    // Both outer families; what an IP packet of a host may be is what is left of the MTU.
    for (address, mtu) in FIREWALLS.into_iter().zip([1434, 1414]) {
        let bench = Bench::new(address, NARROW);
        let needed = if address.contains(':') { 1590 } else { 1570 };
        assert!(bench.opofd.log().contains(&format!("`ip link set dev up0 mtu {needed}`")), "{}", bench.opofd.log());
        let capture = Capture::start(&bench.net.client.port).unwrap();
        let server = bench.net.server.addresses;
        let most = format!("mtu = {mtu}");
        // Who may be fragmented is not told; nobody fragments it here.
        bench.ping(server.ipv4.into(), &["-c", "3", "-i", "0.2", "-W", "1", "-M", "dont", "-s", "1472"]).unwrap_err();
        let wire = bench.wire(1);
        assert_eq!((wire.too_big_dropped.packets, wire.too_big_answered.packets), (3, 0), "{wire:?}");

        for (to, headers) in [(IpAddr::from(server.ipv4), 28), (server.ipv6.into(), 48)] {
            let (fits, too_large) = ((mtu - headers).to_string(), (mtu - headers + 1).to_string());
            let refused = bench.ping(to, &["-c", "1", "-M", "do", "-s", &too_large]).unwrap_err();
            assert!(refused.contains(&format!("mtu={mtu}")) || refused.contains(&most), "{refused}");
            bench.ping(to, &["-c", "1", "-M", "do", "-s", &fits]).unwrap();
            let learned = bench.net.client.port.namespace.ip(&format!("route get {to}")).unwrap();
            assert!(learned.contains(&format!("mtu {mtu}")), "{learned}");
        }
        let answers: Vec<_> = capture.drain(Duration::from_millis(100)).into_iter().filter(|f| is_answer(f)).collect();
        assert_answers(&answers, mtu);

        // TCP that is not offloaded runs with what it has learned, in both families.
        for v6 in [false, true] {
            let figures = iperf3(&bench.net, &flow(&bench.net, v6, 40_004).0, 1).unwrap();
            assert!(figures.received_bytes > 100_000, "{figures:?}");
        }
        let wire = bench.wire(1);
        assert!(wire.too_big_answered.packets >= 2 && wire.unreachable.packets == 0, "{wire:?}");
        let to_firewall: u64 = wire.slow_path.iter().map(|reason| reason.tally.packets).sum();
        let lost = wire.too_big_answered.packets + wire.too_big_dropped.packets;
        assert_eq!(wire.received.packets, to_firewall + lost, "{wire:?}");
        assert!(bench.firewall.seen().unwrap().is_clean());
    }
}

/// An ICMP error that is no part of a host's own traffic.
fn is_answer(frame: &[u8]) -> bool {
    (frame[12..14] == [8, 0] && frame[23] == 1 && frame[34] == 3)
        || (frame[12..14] == [0x86, 0xDD] && frame[20] == 58 && frame[54] == 2)
}

fn assert_answers(answers: &[Vec<u8>], mtu: u32) {
    let fields = [
        "icmp.type",
        "icmp.code",
        "icmp.mtu",
        "icmp.checksum.status",
        "icmpv6.type",
        "icmpv6.code",
        "icmpv6.mtu",
        "icmpv6.checksum.status",
        "eth.dst",
        "ip.checksum.status",
        "_ws.malformed",
    ];
    let decoded = tshark::decode(answers, &fields).unwrap();
    let (mut v4, mut v6) = (0, 0);
    for row in &decoded {
        let first: Vec<&str> = row.iter().map(|field| field.split(',').next().unwrap_or_default()).collect();
        assert_eq!((first[8], first[10]), ("02:0f:00:00:00:01", ""), "to the client, well-formed: {row:?}");
        if first[0].is_empty() {
            assert_eq!(first[4..8], ["2", "0", &mtu.to_string(), tshark::GOOD], "{row:?}");
            v6 += 1;
        } else {
            assert_eq!(first[0..4], ["3", "4", &mtu.to_string(), tshark::GOOD], "{row:?}");
            assert_eq!(first[9], tshark::GOOD, "{row:?}");
            v4 += 1;
        }
    }
    assert_eq!((v4, v6), (1, 1), "{decoded:?}");
}

#[test]
fn the_tunnel_carries_on_while_the_daemon_is_dead_and_after_it_is_back() {
    let mut bench = Bench::new(FIREWALLS[0], ROOMY);
    let to = bench.net.server.addresses.ipv4.into();
    bench.ping(to, &["-c", "1"]).unwrap();
    bench.opofd.kill().unwrap();
    bench.ping(to, &["-c", "3", "-i", "0.2"]).unwrap();
    bench.opofd.start_again().unwrap();
    // Its neighbour was known: there was never a moment without a way.
    bench.ping(to, &["-c", "3", "-i", "0.2"]).unwrap();
    assert!(bench.firewall.seen().unwrap().is_clean());
    assert_eq!(bench.wire(1).unreachable.packets, 0);
}

#[test]
fn without_a_firewall_what_is_its_is_lost_and_counted_and_told_and_the_host_keeps_its_interface() {
    let bench = Bench::new(FIREWALLS[0], ROOMY);
    let to = bench.net.server.addresses.ipv4.into();
    // The uplink stays the host's: what is not of the tunnel goes to it, from the same address.
    let mut ping = bench.far.namespace.command("ping");
    run_bounded(ping.args(["-n", "-c", "1", "-W", "2", "10.98.0.1"]), BOUND).unwrap();
    bench.far.namespace.ip("addr del 10.98.0.2/24 dev eth0").unwrap();
    bench.net.device.ip("neigh flush dev up0").unwrap();
    wait::until("the way to be lost", BOUND, || {
        let _ = bench.ping(to, &["-c", "1", "-W", "1"]);
        (bench.wire(1).unreachable.packets > 0).then_some(())
    })
    .unwrap();
    assert!(bench.opofd.log().contains("the firewall can't be reached"), "{}", bench.opofd.log());
    bench.far.namespace.ip("addr add 10.98.0.2/24 dev eth0").unwrap();
    wait::until("the way to come back", BOUND, || bench.ping(to, &["-c", "1", "-W", "1"]).ok()).unwrap();
}
