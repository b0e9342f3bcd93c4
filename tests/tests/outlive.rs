//! Sessions outlive the daemon under traffic: killed, stopped, and upgraded to another program. Not a packet is lost, none is counted
//! twice, and each session is closed once.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use std::{fs, thread};

use opof_session::types::SessionSpec;
use opof_testkit::netns::{FirewallMode, FlowTuple, Topology};
use opof_testkit::packet::Packet;
use opof_testkit::wait::{self, Pacer, Stopwatch};
use opof_tests::iperf::{self, Amount, SERVER_PORT, Sender};
use opof_tests::{Bench, Closed, frames, session};
use opof_wire::{Addresses, FlowKey, Transport};

/// Rounds of each kind; a number in its place in this variable.
const ROUNDS: u32 = 2;
const ROUNDS_VARIABLE: &str = "OPOF_TESTS_OUTLIVE_ROUNDS";
const SESSIONS: u16 = 1_000;
/// The connection of iperf3.
const TCP: u64 = 0;
/// A session is idle for a tenth of a second at most while there is traffic.
const TIMEOUT: u32 = 4;
const BOUND: Duration = Duration::from_secs(30);
/// Frames that are sent before something happens to the daemon, and while it is not there.
const BETWEEN: u64 = 2_000;

/// What happens to the daemon, each with traffic before, meanwhile and behind.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Killed,
    Stopped,
    Upgraded,
}

/// Of the UDP session with this number.
fn key(net: &Topology, id: u16) -> FlowKey {
    let (client, server) = (net.client.addresses.ipv4.octets(), net.server.addresses.ipv4.octets());
    let addresses = Addresses::V4 { source: client, destination: server };
    FlowKey { addresses, transport: Transport::Udp, source_port: 20_000 + id, destination_port: 9, ..frames::keys()[0] }
}

/// Datagrams that came to the server, where nobody listens for them.
fn arrived(net: &Topology) -> u64 {
    let namespace = &net.server.port.namespace;
    let text = namespace.run(|| fs::read_to_string("/proc/thread-self/net/snmp")).unwrap().unwrap();
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Udp: ")).map(str::split_whitespace);
    let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
    let of = |name| names.clone().zip(values.clone()).find(|(found, _)| *found == name).unwrap().1;
    of("NoPorts").parse().unwrap()
}

/// A copy of the daemon whose programs do something else where an interface has gone: they drop a frame in silence, in the place of
/// making it an event to be traced.
fn with_another_program(binary: &Path, folder: &Path) -> PathBuf {
    /// `r3 = 0` (`XDP_ABORTED`) and the call of `bpf_redirect_map`, behind each other; then with `XDP_DROP`.
    const ABORTED: [u8; 16] = [0xB7, 3, 0, 0, 0, 0, 0, 0, 0x85, 0, 0, 0, 51, 0, 0, 0];
    const DROPPED: [u8; 16] = [0xB7, 3, 0, 0, 1, 0, 0, 0, 0x85, 0, 0, 0, 51, 0, 0, 0];
    let mut bytes = fs::read(binary).unwrap();
    let at: Vec<usize> =
        bytes.windows(ABORTED.len()).enumerate().filter(|(_, here)| **here == ABORTED).map(|(at, _)| at).collect();
    assert!(at.len() > 1, "one for each way out: {at:?}");
    for at in at {
        bytes[at..at + DROPPED.len()].copy_from_slice(&DROPPED);
    }
    let copy = folder.join("opofd");
    fs::copy(binary, &copy).unwrap();
    fs::write(&copy, bytes).unwrap();
    copy
}

/// Of the program at wire port 1, as the kernel names what it does.
fn tag(net: &Topology) -> String {
    let shown = net.device.ip("-d link show wire1").unwrap();
    let words: Vec<&str> = shown.split_whitespace().collect();
    let at = words.iter().position(|word| *word == "tag").expect("there is a program");
    words[at + 1].to_owned()
}

#[test]
fn no_packet_is_lost_when_the_daemon_is_killed_stopped_or_upgraded_and_each_session_is_closed_once() {
    let rounds = std::env::var(ROUNDS_VARIABLE).map_or(ROUNDS, |rounds| rounds.parse().unwrap());
    let mut bench = Bench::new(FirewallMode::Bridge).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let original = bench.opofd.binary().to_owned();
    let binaries = [with_another_program(&original, folder.path()), original];
    let (tuple, connection) = {
        let (client, server) = (bench.client.addresses.ipv4.into(), bench.server.addresses.ipv4.into());
        let (client_port, server_port) = (40_000, SERVER_PORT);
        let key = FlowKey {
            transport: Transport::Tcp,
            source_port: client_port,
            destination_port: SERVER_PORT,
            ..key(&bench, 1)
        };
        (FlowTuple { tcp: true, client, client_port, server, server_port }, key)
    };
    let keys: Vec<FlowKey> = (1..=SESSIONS).map(|id| key(&bench, id)).collect();
    let with_timeout = |(id, key): (u64, &FlowKey)| SessionSpec { timeout_seconds: TIMEOUT, ..session(id, *key) };
    let specs: Vec<_> = (1..).zip(&keys).chain([(TCP, &connection)]).map(with_timeout).collect();
    bench.opofd.add_all(specs).unwrap();
    let (client, server) = (bench.client.addresses.mac, bench.server.addresses.mac);
    let frames: Vec<Vec<u8>> =
        keys.iter().map(|key| Packet::with_key(key).mac(client, server).payload(b"counted").build()).collect();
    let before = arrived(&bench);

    let (over, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    let socket = bench.client_socket().unwrap();
    let seconds = 8 * rounds + 4;
    let (opofd, net) = bench.parts();
    let (figures, tags) = thread::scope(|scope| {
        scope.spawn(|| {
            let mut pacer = Pacer::new(frames::RATE);
            for frame in frames.iter().cycle() {
                // Whole rounds, so that every session has been sent the same.
                if sent.load(Ordering::Relaxed).is_multiple_of(u64::from(SESSIONS)) && over.load(Ordering::Relaxed) {
                    break;
                }
                pacer.wait();
                socket.send(frame).unwrap();
                sent.fetch_add(1, Ordering::Relaxed);
            }
        });
        let tcp = scope.spawn(|| iperf::transfer(net, &tuple, Sender::Client, Amount::Paced(seconds)).unwrap());
        let pass = || {
            let target = sent.load(Ordering::Relaxed) + BETWEEN;
            wait::until("frames to be sent", BOUND, || (sent.load(Ordering::Relaxed) >= target).then_some(())).unwrap();
        };
        let mut tags = vec![tag(net)];
        for round in 0..rounds {
            for fate in [Fate::Killed, Fate::Stopped, Fate::Upgraded] {
                pass();
                match fate {
                    Fate::Killed => opofd.kill().unwrap(),
                    Fate::Stopped => opofd.stop().unwrap(),
                    Fate::Upgraded => {
                        opofd.kill().unwrap();
                        opofd.set_binary(binaries[round as usize % 2].clone());
                    }
                }
                pass();
                opofd.start_again().unwrap();
                tags.push(tag(net));
                println!("round {round}, {fate:?}: {} frames sent", sent.load(Ordering::Relaxed));
            }
        }
        pass();
        over.store(true, Ordering::Relaxed);
        (tcp.join().unwrap(), tags)
    });
    for round in tags[1..].chunks(3) {
        assert!(round[0] == round[1] && round[1] != round[2], "an upgrade is one to another program: {tags:?}");
    }

    let sent = sent.load(Ordering::Relaxed);
    wait::until("all to arrive", BOUND, || (arrived(&bench) - before >= sent).then_some(())).unwrap();
    assert_eq!(arrived(&bench) - before, sent, "datagrams at the server");

    let mut closed: Vec<Closed> = Vec::new();
    let watch = Stopwatch::start();
    while closed.len() <= SESSIONS.into() && watch.elapsed() < BOUND {
        closed.extend(bench.opofd.closed().unwrap());
        wait::pause(Duration::from_millis(100));
    }
    wait::pause(Duration::from_secs(1));
    closed.extend(bench.opofd.closed().unwrap());
    closed.sort_by_key(|record| record.id);
    let ids: Vec<u64> = closed.iter().map(|record| record.id).collect();
    assert_eq!(ids, (0..=SESSIONS.into()).collect::<Vec<_>>(), "each once");
    let each = sent / u64::from(SESSIONS);
    for record in &closed[1..] {
        assert_eq!((record.counted.inward.packets, record.by_timeout), (each, true), "{record:?}");
    }
    println!("{rounds} rounds, {sent} datagrams sent and arrived, {} closed; TCP: {figures:?}", closed.len());
    assert!(closed[0].counted.inward.bytes >= figures.received_bytes, "{:?} {figures:?}", closed[0]);
}
