//! VLAN flows, and tags that are rewritten side by side: another decoder says which tag a frame has.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use opof_client::Dialect;
use opof_session::l3::{Link, Links, VlanFlow};
use opof_session::types::{Action, DirectionCounters, Lif, SessionSpec};
use opof_testkit::netns::{Capture, FirewallMode, RawSocket, counters};
use opof_testkit::packet::Packet;
use opof_tests::{Bench, Counted, frames, session, tshark};
use opof_wire::tcp::Flags;
use opof_wire::{FlowKey, Transport, Vid, vlan};

const BOUND: Duration = Duration::from_secs(5);
const SETTLE: Duration = Duration::from_millis(200);
/// The VLAN that has a flow.
const STEERED: u16 = 100;
const OTHER: u16 = 101;
/// Service tags (IEEE 802.1ad) and customer tags, as tshark calls their fields.
const TAGS: [&str; 6] =
    ["ieee8021ad.id", "ieee8021ad.priority", "ieee8021ad.dei", "vlan.id", "vlan.priority", "vlan.dei"];

/// A tag with something in each of its fields: TPID, priority, drop eligible, VID.
type Tag = (u16, u8, bool, u16);

fn tagged(tags: &[Tag]) -> Packet {
    tags.iter().fold(Packet::new(), |packet, &(tpid, pcp, dei, vid)| packet.tag(tpid, pcp, dei, vid))
}

/// What tshark has to say of these tags.
fn words(tags: &[Tag]) -> Vec<String> {
    let kinds = [vlan::TPID_SERVICE, vlan::TPID_CUSTOMER];
    let fields = |&(_, priority, drop_eligible, vid): &Tag| [vid, priority.into(), drop_eligible.into()];
    let of_kind = |kind, field: usize| {
        let tags = tags.iter().filter(|tag| tag.0 == kind);
        tags.map(|tag| fields(tag)[field].to_string()).collect::<Vec<_>>().join(",")
    };
    kinds.into_iter().flat_map(|kind| [0, 1, 2].map(|field| of_kind(kind, field))).collect()
}

fn vid(vid: u16) -> Vid {
    Vid::new(vid).unwrap()
}

/// Untagged sessions' keys; a tag is put in front by each test.
fn keys() -> Vec<FlowKey> {
    frames::keys().into_iter().filter(|key| key.vlan.is_untagged()).collect()
}

/// In this VLAN, or none: what goes to the firewall for every reason that a firewall would know.
fn slow(tags: &[Tag]) -> Vec<(String, Vec<u8>)> {
    let mut frames = Vec::new();
    for key in keys() {
        let packet = || tagged(tags).flow(&key).payload(b"12345678");
        let mut add =
            |name: &str, packet: Packet| frames.push((format!("{name}, {key}, tags {tags:?}"), packet.build()));
        add("miss", packet());
        add("first fragment", packet().fragment(0, true));
        add("later fragment", packet().fragment(8, false));
        if key.transport == Transport::Tcp {
            add("SYN", packet().flags(Flags::SYN));
            add("RST of a session", tagged(tags).flow(&offloaded(&key)).flags(Flags::RST));
        }
    }
    frames.push((format!("no IP, tags {tags:?}"), tagged(tags).payload(b"something else").build()));
    frames
}

/// The session that there is in the steered VLAN.
fn offloaded(key: &FlowKey) -> FlowKey {
    FlowKey { source_port: 50_000, ..*key }
}

/// Each arrives there untouched, and with these tags.
fn each_arrives(socket: &RawSocket, at: &Capture, frames: &[(String, Vec<u8>)], tags: &[Tag]) {
    let mut came = Vec::new();
    for (name, frame) in frames {
        socket.send(frame).unwrap();
        let arrived = at.next(BOUND).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(arrived, *frame, "{name}");
        came.push(arrived);
    }
    for (decoded, (name, _)) in tshark::decode(&came, &TAGS).unwrap().into_iter().zip(frames) {
        assert_eq!(decoded, words(tags), "{name}");
    }
}

#[test]
fn what_misses_in_a_vlan_with_a_flow_leaves_by_the_port_of_its_lif_while_there_is_one() {
    let bench = Bench::new(FirewallMode::Silent).unwrap();
    for (id, key) in (1..).zip(keys()) {
        bench.opofd.add(session(id, FlowKey { vlan: vid(STEERED), ..offloaded(&key) })).unwrap();
    }
    let [from_client, from_server] = [bench.client_socket().unwrap(), bench.server_socket().unwrap()];
    let [a, b] = [&bench.firewall_a, &bench.firewall_b].map(|port| Capture::start(port).unwrap());
    let hosts = [&bench.client.port, &bench.server.port];
    let before = hosts.map(|port| counters(port).unwrap());
    let steered: [&[Tag]; 2] = [
        &[(vlan::TPID_CUSTOMER, 5, true, STEERED)],
        &[(vlan::TPID_SERVICE, 3, true, STEERED), (vlan::TPID_CUSTOMER, 6, false, OTHER)],
    ];
    // The inner tag is not asked.
    let others: [&[Tag]; 3] = [
        &[],
        &[(vlan::TPID_CUSTOMER, 2, true, OTHER)],
        &[(vlan::TPID_SERVICE, 1, false, OTHER), (vlan::TPID_CUSTOMER, 7, true, STEERED)],
    ];
    let all_at = |steered_at: &Capture| {
        for (tags, at) in steered.map(|tags| (tags, steered_at)).into_iter().chain(others.map(|tags| (tags, &a))) {
            each_arrives(&from_client, at, &slow(tags), tags);
            // From LIF 2 all of it is at b in any case.
            each_arrives(&from_server, &b, &slow(tags), tags);
        }
        assert_eq!([&a, &b].map(|port| port.drain(SETTLE).len()), [0; 2], "once, and at one port");
    };

    all_at(&a);
    let flow = VlanFlow { vlan: vid(STEERED), lif: Lif::new(2).unwrap() };
    bench.opofd.add_vlan_flow(flow).unwrap();
    all_at(&b);
    let refused = bench.opofd.add_vlan_flow(flow).unwrap_err().to_string();
    assert!(refused.contains("vlan 100 goes to the firewall port of lif 2 already"), "{refused}");
    assert!(bench.opofd.remove_vlan_flow(flow.vlan).unwrap());
    all_at(&a);
    assert!(!bench.opofd.remove_vlan_flow(flow.vlan).unwrap());

    for (port, before) in hosts.into_iter().zip(before) {
        assert_eq!(counters(port).unwrap().since(&before).rx_packets, 0, "at {}", port.name);
    }
    for (id, _) in (1..).zip(keys()) {
        assert_eq!(bench.opofd.get(id).unwrap(), Some(Counted::default()), "session {id} had no packet");
    }
}

#[test]
fn a_vlan_flow_leaves_sessions_alone() {
    let bench = Bench::new(FirewallMode::Silent).unwrap();
    let (server, socket) = (Capture::start(&bench.server.port).unwrap(), bench.client_socket().unwrap());
    bench.opofd.add_vlan_flow(VlanFlow { vlan: vid(STEERED), lif: Lif::new(2).unwrap() }).unwrap();
    for (id, key) in (1..).zip(keys()) {
        bench.opofd.add(session(id, FlowKey { vlan: vid(STEERED), ..key })).unwrap();
        let frame = tagged(&[(vlan::TPID_CUSTOMER, 4, false, STEERED)]).flow(&key).build();
        socket.send(&frame).unwrap();
        assert_eq!(server.next(BOUND).unwrap(), frame, "{key}");
    }
}

/// As v1beta1 says it: a VLAN for each side, and for each link the one that its packets leave with.
#[test]
fn each_link_writes_its_vlan_and_keeps_priority_and_inner_tags() {
    const INSIDE: u16 = 100;
    const OUTSIDE: u16 = 2_222;
    let bench = Bench::new(FirewallMode::Silent).unwrap();
    let (client, server) = (Capture::start(&bench.client.port).unwrap(), Capture::start(&bench.server.port).unwrap());
    let (forth, back) = (bench.client_socket().unwrap(), bench.server_socket().unwrap());
    let inner: [&[Tag]; 2] = [&[], &[(vlan::TPID_CUSTOMER, 6, true, 7)]];
    for (id, key) in (1..).zip(keys()) {
        let key = FlowKey { vlan: vid(INSIDE), ..key };
        let link = |vlan| Link { vlan: Some(vid(vlan)), ..Link::default() };
        let links = Links { towards_in: link(INSIDE), towards_out: link(OUTSIDE) };
        let action = Action::Route(Box::new(links));
        let spec = SessionSpec { out_vlan: vid(OUTSIDE), action, ..session(id, key) };
        bench.opofd.add_in(Dialect::V1Beta1, spec).unwrap();
        let mut counted = DirectionCounters::default();
        for inner in inner {
            let tpid = if inner.is_empty() { vlan::TPID_CUSTOMER } else { vlan::TPID_SERVICE };
            for (priority, drop_eligible) in (0..8).flat_map(|priority| [(priority, false), (priority, true)]) {
                let tags = |vid| [&[(tpid, priority, drop_eligible, vid)], inner].concat();
                let mut came = Vec::new();
                for (socket, capture, key, from, to) in
                    [(&forth, &server, key, INSIDE, OUTSIDE), (&back, &client, key.reversed(), OUTSIDE, INSIDE)]
                {
                    let frame = |vid| tagged(&tags(vid)).flow(&key).payload(b"data").build();
                    socket.send(&frame(from)).unwrap();
                    let arrived =
                        capture.next(BOUND).unwrap_or_else(|error| panic!("{key}, {:?}: {error}", tags(from)));
                    assert_eq!(arrived, frame(to), "{key}, {:?}", tags(from));
                    came.push((arrived, words(&tags(to))));
                    counted.packets += 1;
                    counted.bytes += frame(from).len() as u64;
                }
                let (frames, expected): (Vec<_>, Vec<_>) = came.into_iter().unzip();
                // As another decoder sees it, once for each session.
                if priority == 5 {
                    assert_eq!(tshark::decode(&frames, &TAGS).unwrap(), expected, "{key}");
                }
            }
        }
        let each = DirectionCounters { packets: counted.packets / 2, bytes: counted.bytes / 2 };
        assert_eq!(bench.opofd.get(id).unwrap(), Some(Counted { inward: each, outward: each }), "{key}");
    }
}
