//! The firewall behind GENEVE that other tests rely on, by itself: packets as a device sends them over a cable, and what
//! comes back, byte by byte.
//!
//! What must not be here: `opofd`, and what it does with such a firewall.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use opof_testkit::netns::{Capture, NetNs, Port, PortOptions, RawSocket, veth};
use opof_testkit::packet::Packet;
use opof_testkit::require::{NETWORK, require};
use opof_testkit::wait;
use opof_tests::geneve::{FramesSeen, GeneveEnd, GeneveSeen};
use opof_tests::{GeneveFirewall, tshark};
use opof_wire::encap::{self, Template};
use opof_wire::ethernet::MacAddress;
use opof_wire::geneve::{Metadata, OptionId, PORT};
use opof_wire::tcp::Flags;
use opof_wire::{Addresses, ipv4};

const BOUND: Duration = Duration::from_secs(10);
const QUIET: Duration = Duration::from_millis(100);
/// Has room for a whole frame and the outer headers.
const MTU: u16 = 1600;

const DEVICE_MAC: [u8; 6] = [2, 0x0f, 0, 9, 0, 1];
const FIREWALL_MAC: [u8; 6] = [2, 0x0f, 0, 9, 0, 2];
const DEVICE: Addresses = Addresses::V4 { source: [10, 99, 0, 1], destination: [10, 99, 0, 2] };
const DEVICE_V6: Addresses = Addresses::V6 { source: ipv6(1), destination: ipv6(2) };
const BOTH: [Addresses; 2] = [DEVICE, DEVICE_V6];

const VNI: u32 = 0x12_3456;
const KEY: u32 = 0xdead_beef;
/// Where the hash of a flow puts it: never the firewall's own.
const SOURCE_PORT: u16 = 0xfeef;
/// LIF 3 has frames back where they came from.
const LEAVES_BY: [(u32, u32); 3] = [(1, 2), (2, 1), (3, 0)];

/// GENEVE header and option as they have to be: in-LIF 1, key [`KEY`].
const HEADER: [u8; 24] = [
    0x04, 0x00, 0x65, 0x58, 0x12, 0x34, 0x56, 0x00, //
    0xff, 0x99, 0x21, 0x03, 0, 0, 0, 1, 0, 0, 0, 0, 0xde, 0xad, 0xbe, 0xef,
];

const fn ipv6(last: u8) -> [u8; 16] {
    [0xfd, 0x99, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]
}

/// The firewall at one end of a cable, and the other end in the hand of the test.
struct Bench {
    firewall: GeneveFirewall,
    socket: RawSocket,
    capture: Capture,
    /// They hold the namespaces.
    _cable: [Port; 2],
}

impl Bench {
    fn new() -> Self {
        require(NETWORK).unwrap();
        let (device, firewall) = (Arc::new(NetNs::new("device").unwrap()), Arc::new(NetNs::new("firewall").unwrap()));
        // What the kernel adds to a packet of its own would not be the firewall's.
        firewall.sysctl("net/ipv6/auto_flowlabels", "0").unwrap();
        let options = |mac, ip| PortOptions { mac, ip, promiscuous: !ip, mtu: MTU };
        let ends = [(&device, "up0", options(DEVICE_MAC, false)), (&firewall, "eth0", options(FIREWALL_MAC, true))];
        let [up0, eth0] = veth(ends).unwrap();
        let device_mac = MacAddress(DEVICE_MAC);
        for (address, device) in [("10.99.0.2/24", "10.99.0.1"), ("fd99::2/64 nodad", "fd99::1")] {
            firewall.ip(&format!("addr add {address} dev {}", eth0.name)).unwrap();
            let neighbour = format!("neigh add {device} lladdr {device_mac} dev {} nud permanent", eth0.name);
            firewall.ip(&neighbour).unwrap();
        }
        let end = GeneveEnd { vni: VNI, option: option(), leaves_by: &LEAVES_BY };
        Self {
            firewall: GeneveFirewall::start(&firewall, &end).unwrap(),
            socket: RawSocket::open(&up0).unwrap(),
            capture: Capture::start(&up0).unwrap(),
            _cable: [up0, eth0],
        }
    }

    /// Sends a packet that the firewall has to answer, and returns the answer: the next UDP that arrives.
    fn answer(&self, packet: &[u8]) -> Vec<u8> {
        self.socket.send(packet).unwrap();
        loop {
            let frame = self.capture.next(BOUND).unwrap();
            if is_udp(&frame) {
                return frame;
            }
        }
    }

    /// All UDP that has arrived and is not taken yet.
    fn rest(&self) -> Vec<Vec<u8>> {
        self.capture.drain(QUIET).into_iter().filter(|frame| is_udp(frame)).collect()
    }

    fn seen(&self) -> GeneveSeen {
        self.firewall.seen().unwrap()
    }
}

/// False for what a kernel with an address says by itself now and then, such as its multicast groups, and for its answer
/// to UDP that nobody takes.
fn is_udp(frame: &[u8]) -> bool {
    match frame[12..14] {
        [0x08, 0x00] => frame[23] == 17,
        [0x86, 0xdd] => frame[20] == 17,
        _ => false,
    }
}

fn option() -> OptionId {
    OptionId::new(0xff99, 0x21).unwrap()
}

/// A whole packet from the device, or to it.
fn packet(to_device: bool, addresses: Addresses, source_port: u16, metadata: Metadata, frame: &[u8]) -> Vec<u8> {
    let macs = if to_device { [FIREWALL_MAC, DEVICE_MAC] } else { [DEVICE_MAC, FIREWALL_MAC] };
    let [source_mac, destination_mac] = macs.map(MacAddress);
    let addresses = if to_device { addresses.reversed() } else { addresses };
    let tunnel = encap::Tunnel { source_mac, destination_mac, addresses, vni: VNI, option: option() };
    let mut bytes = vec![0; encap::MAX_LEN];
    let template = Template::new(&tunnel).unwrap();
    let len = template.encapsulate(frame.len(), source_port, metadata, &mut bytes).unwrap();
    bytes.truncate(len);
    [&bytes, frame].concat()
}

fn request(addresses: Addresses, in_lif: u32, frame: &[u8]) -> Vec<u8> {
    packet(false, addresses, SOURCE_PORT, Metadata { in_lif, out_lif: 0, key: KEY }, frame)
}

/// Its answer.
fn response(addresses: Addresses, in_lif: u32, frame: &[u8]) -> Vec<u8> {
    let out_lif = LEAVES_BY.iter().find(|(from, _)| *from == in_lif).unwrap().1;
    packet(true, addresses, PORT, Metadata { in_lif, out_lif, key: KEY }, frame)
}

/// A packet whose GENEVE part is any bytes.
fn any(addresses: Addresses, geneve: &[u8]) -> Vec<u8> {
    let packet = Packet::new().mac(DEVICE_MAC, FIREWALL_MAC);
    let packet = match addresses {
        Addresses::V4 { source, destination } => packet.ipv4(source, destination),
        Addresses::V6 { source, destination } => packet.ipv6(source, destination),
    };
    packet.udp(SOURCE_PORT, PORT).payload(geneve).build()
}

fn tcp() -> Packet {
    Packet::new().ipv4([10, 1, 0, 1], [10, 2, 0, 2]).tcp(40_000, 443)
}

fn tcp6() -> Packet {
    Packet::new().ipv6(ipv6(0x11), ipv6(0x12)).tcp(40_000, 443)
}

/// Each kind that is counted by itself, of sizes from the smallest to the largest that the path takes.
fn frames() -> [(Packet, FramesSeen); 13] {
    let control = FramesSeen { control: 1, ..FramesSeen::default() };
    let data = FramesSeen { data: 1, ..FramesSeen::default() };
    let other = FramesSeen { other: 1, ..FramesSeen::default() };
    [
        (tcp().flags(Flags::SYN), control),
        (tcp6().flags(Flags::SYN | Flags::ACK), control),
        (tcp().vlan(100).flags(Flags::FIN | Flags::ACK), control),
        (tcp6().qinq(100, 7).flags(Flags::RST), control),
        (tcp().payload(&[0x5A; 1460]), data),
        (tcp6().vlan(100).payload(b"of a flow"), data),
        (tcp().ipv4_options(&[1; 4]), data),
        // Where the flags would be there is data of a segment that began earlier.
        (tcp().fragment(1480, false).payload(&[0xff; 40]), other),
        (Packet::new().ipv4([10, 1, 0, 1], [10, 2, 0, 2]).udp(40_000, 443).payload(&[0xff; 40]), other),
        (Packet::new().ipv6(ipv6(0x11), ipv6(0x12)).udp(40_000, 443), other),
        (Packet::new().ether_type(0x0806).payload(&[1; 28]).pad_to(60), other),
        // The shortest of all, and one that ends before its flags: where they would be is an earlier packet's end.
        (Packet::new(), other),
        (tcp().cut_to(14 + ipv4::HEADER_LEN + 13), other),
    ]
}

fn sum(seen: FramesSeen, one: FramesSeen) -> FramesSeen {
    FramesSeen { control: seen.control + one.control, data: seen.data + one.data, other: seen.other + one.other }
}

#[test]
fn frames_come_back_with_the_lif_that_they_leave_by_and_are_counted() {
    let bench = Bench::new();
    for addresses in BOTH {
        for (in_lif, _) in LEAVES_BY {
            for (frame, kind) in frames() {
                let frame = frame.build();
                let before = bench.seen();
                let answer = bench.answer(&request(addresses, in_lif, &frame));
                assert_eq!(answer, response(addresses, in_lif, &frame), "LIF {in_lif}, {frame:02x?}");
                let mut expected = before;
                let lif = expected.lifs.get_mut(&in_lif).unwrap();
                *lif = sum(*lif, kind);
                assert_eq!(bench.seen(), expected, "LIF {in_lif}, {frame:02x?}");
            }
        }
    }
    let seen = bench.seen();
    assert!(seen.is_clean(), "{seen:?}");
    assert!(bench.rest().is_empty(), "one answer to each packet");
}

/// What the test holds the firewall to is not only what our own code takes for GENEVE.
#[test]
fn packet_and_answer_as_another_decoder_reads_them() {
    let bench = Bench::new();
    let fields = [
        "eth.src",
        "eth.dst",
        "ip.src",
        "ip.dst",
        "ipv6.src",
        "ipv6.dst",
        "ip.checksum.status",
        "udp.srcport",
        "udp.dstport",
        "udp.checksum",
        "geneve.vni",
        "geneve.proto_type",
        "geneve.option.class",
        "geneve.option.type",
        "geneve.option.unknown.data",
        "_ws.malformed",
    ];
    let frame = Packet::new().payload(b"any frame").build();
    for addresses in BOTH {
        let request = request(addresses, 1, &frame);
        let answer = bench.answer(&request);
        let rows = tshark::decode(&[request, answer], &fields).unwrap();
        let (device, firewall) = ("02:0f:00:09:00:01", "02:0f:00:09:00:02");
        let there = match addresses {
            Addresses::V4 { .. } => ["10.99.0.1", "10.99.0.2", "", "", "1"],
            Addresses::V6 { .. } => ["", "", "fd99::1", "fd99::2", ""],
        };
        let back = [there[1], there[0], there[3], there[2], there[4]];
        let expected = |[source, destination]: [&str; 2], ip: [&str; 5], source_port: &str, out_lif: &str| {
            let metadata = format!("00000001{out_lif}deadbeef");
            // Ours comes first where the frame inside has a value of the same name.
            let link = [format!("{source},02:00:00:00:00:0a"), format!("{destination},02:00:00:00:00:0b")];
            let udp = [source_port, "6081", "0x0000"];
            let geneve = ["0x123456", "0x6558", "0xff99", "0x21", &metadata, ""];
            let rest = ip.into_iter().chain(udp).chain(geneve).map(str::to_owned);
            link.into_iter().chain(rest).collect::<Vec<_>>()
        };
        assert_eq!(rows[0], expected([device, firewall], there, "65263", "00000000"));
        assert_eq!(rows[1], expected([firewall, device], back, "6081", "00000002"));
    }
}

/// Everything that a packet can have wrong, and what the firewall says of it.
fn wrong() -> Vec<(Vec<u8>, &'static str)> {
    let frame = tcp().build();
    let but = |at: usize, bytes: &[u8]| {
        let mut packet = [&HEADER[..], &frame].concat();
        packet[at..at + bytes.len()].copy_from_slice(bytes);
        packet
    };
    let options = |units: u8, options: &[&[u8]]| [&[units], &HEADER[1..8], &options.concat(), &frame].concat();
    let ours = &HEADER[8..];
    vec![
        (HEADER[..7].to_vec(), "shorter than a header"),
        (Vec::new(), "shorter than a header"),
        (but(0, &[0x44]), "not version 0"),
        (but(1, &[0x80]), "OAM"),
        (but(1, &[0x40]), "critical or reserved bits in the header"),
        (but(1, &[0x01]), "critical or reserved bits in the header"),
        (but(2, &[0x08, 0x00]), "not an Ethernet frame"),
        (but(6, &[0x57]), "another VNI"),
        (but(7, &[0x01]), "another VNI"),
        (options(0, &[]), "another length of options"),
        (options(8, &[ours, ours]), "another length of options"),
        (options(5, &[ours, &[0xff, 0x99, 0x22, 0]]), "another length of options"),
        (HEADER[..23].to_vec(), "shorter than its options"),
        (but(8, &[0xff, 0x98]), "another option"),
        (but(10, &[0x20]), "another option"),
        (but(10, &[0xa1]), "another option"),
        (but(11, &[0x02]), "another length of the option"),
        (but(11, &[0x23]), "another length of the option"),
        (but(16, &[0, 0, 0, 2]), "an out-LIF from the device"),
        (but(12, &[0, 0, 0, 0]), "an in-LIF that is not served"),
        (but(12, &[1, 0, 0, 1]), "an in-LIF that is not served"),
        ([&HEADER[..], &frame[..13]].concat(), "shorter than a frame"),
    ]
}

#[test]
fn wrong_packets_are_counted_and_not_returned() {
    let bench = Bench::new();
    let frame = tcp().build();
    let right = [&HEADER[..], &frame].concat();
    let mut expected = BTreeMap::new();
    for addresses in BOTH {
        for (geneve, fault) in wrong() {
            bench.socket.send(&any(addresses, &geneve)).unwrap();
            // The next that comes is the answer to the next that is right, so there was none to this one.
            assert_eq!(bench.answer(&any(addresses, &right)), response(addresses, 1, &frame), "{geneve:02x?}");
            *expected.entry(fault.to_owned()).or_insert(0) += 1;
            assert_eq!(bench.seen().wrong, expected, "{addresses:?}, {geneve:02x?}");
        }
    }
    let seen = bench.seen();
    let count = 2 * u64::try_from(wrong().len()).unwrap();
    assert_eq!(
        (seen.lif(1), seen.lif(2)),
        (FramesSeen { data: count, ..FramesSeen::default() }, FramesSeen::default())
    );
    assert_eq!((seen.first_wrong.as_deref(), seen.unsent, seen.lost), (Some("04006558123456"), 0, 0));
    assert!(bench.rest().is_empty());
}

#[test]
fn what_the_kernel_does_not_send_is_counted() {
    let bench = Bench::new();
    // There is no way back to this one.
    let stranger = Addresses::V4 { source: [192, 0, 2, 1], destination: [10, 99, 0, 2] };
    bench.socket.send(&request(stranger, 1, &tcp().build())).unwrap();
    let seen = wait::until("the count", BOUND, || Some(bench.seen()).filter(|seen| seen.unsent > 0)).unwrap();
    assert_eq!((seen.unsent, seen.lif(1).data, seen.wrong), (1, 1, BTreeMap::new()));
}

#[test]
fn it_ends_with_its_value() {
    let Bench { firewall, socket, capture, _cable } = Bench::new();
    let process = format!("/proc/{}", firewall.id());
    assert!(std::fs::exists(&process).unwrap());
    drop(firewall);
    assert!(!std::fs::exists(&process).unwrap());
    socket.send(&request(DEVICE, 1, &tcp().build())).unwrap();
    assert!(!capture.drain(QUIET).iter().any(|frame| is_udp(frame)));
}
