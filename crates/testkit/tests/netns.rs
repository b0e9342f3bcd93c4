//! The lab bench itself, with plain bridges where the device would be. As root.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use opof_testkit::netns::{self, Capture, FirewallMode, FlowTuple, NetNs, Process, SeenByFirewall, Topology, Watch};
use opof_testkit::require::{NETWORK, require};
use opof_testkit::wait;

const SOON: Duration = Duration::from_secs(5);

/// A device that sends everything past the firewall.
fn bench(mode: FirewallMode) -> Topology {
    require(NETWORK).unwrap();
    let bench = Topology::new(mode).unwrap();
    netns::bridge("left", &[&bench.wire1, &bench.fw1]).unwrap();
    netns::bridge("right", &[&bench.wire2, &bench.fw2]).unwrap();
    bench
}

#[test]
fn a_namespace_goes_with_its_guard() {
    let namespace = NetNs::new("guard").unwrap();
    let path = Path::new("/run/netns").join(namespace.name());
    assert!(path.exists());
    let mut sleeper = Process::start("sleep", namespace.command("sleep").arg("600")).unwrap();
    let pid = sleeper.id().to_string();
    let inside = || netns::run(std::process::Command::new("ip").args(["netns", "pids", namespace.name()])).unwrap();
    wait::until("the process to be inside", SOON, || inside().contains(&pid).then_some(())).unwrap();
    drop(namespace);
    assert!(!path.exists());
    assert!(!sleeper.wait(SOON).unwrap().success(), "the process inside outlived its namespace");
}

#[test]
fn what_a_dead_test_left_is_removed() {
    // The id of a process that has ended.
    let mut child = std::process::Command::new("true").spawn().unwrap();
    child.wait().unwrap();
    let name = format!("opof-{}-0-left", child.id());
    netns::run(std::process::Command::new("ip").args(["netns", "add", &name])).unwrap();
    let _any = NetNs::new("any").unwrap();
    assert!(!Path::new("/run/netns").join(name).exists());
}

#[test]
fn work_runs_inside_and_its_thread_alone() {
    let namespace = NetNs::new("inside").unwrap();
    let id = || fs::read_link("/proc/thread-self/ns/net").unwrap();
    let before = id();
    assert_ne!(namespace.run(id).unwrap(), before);
    assert_eq!(id(), before);
}

#[test]
fn frames_cross_with_their_tags() {
    let bench = bench(FirewallMode::Silent);
    let capture = Capture::start(&bench.firewall_a).unwrap();
    let other = Capture::start(&bench.firewall_b).unwrap();
    let socket = bench.client_socket().unwrap();
    let addresses = [[0x02, 0, 0, 0, 0, 0x0a], [0x02, 0, 0, 0, 0, 0x0b]].concat();
    let tags: [&[u8]; 4] = [
        &[],
        &[0x81, 0x00, 0x60, 0x64],
        &[0x88, 0xa8, 0x00, 0xc8, 0x81, 0x00, 0x20, 0x64],
        // Drop eligible, and an outer tag of the inner tag's kind.
        &[0x81, 0x00, 0x10, 0xc8, 0x81, 0x00, 0x20, 0x64],
    ];
    for tag in tags {
        let frame = [&addresses[..], tag, &[0x88, 0xb5], b"payload"].concat();
        socket.send(&frame).unwrap();
        assert_eq!(capture.next(SOON).unwrap(), frame);
    }
    assert_eq!(other.drain(Duration::from_millis(200)), Vec::<Vec<u8>>::new());
}

#[test]
fn the_firewall_counts_a_flow_over_a_vlan() {
    let bench = bench(FirewallMode::Bridge);
    let (client, server) = (bench.client.addresses, bench.server.addresses);
    let pairs = [
        (client.ipv4.into(), server.ipv4.into()),
        (client.ipv6.into(), server.ipv6.into()),
        (client.tagged.into(), server.tagged.into()),
        (client.tagged_ipv6.into(), server.tagged_ipv6.into()),
    ];
    for (client_address, server_address) in pairs {
        for tcp in [true, false] {
            let flow = FlowTuple {
                tcp,
                client: client_address,
                client_port: 40_000,
                server: server_address,
                server_port: 5201,
            };
            let seen = iperf3(&bench, &flow);
            assert!(seen.flow_data > 100, "{flow:?} {seen:?}");
            assert_eq!(seen.flow_control > 0, tcp, "{flow:?} {seen:?}");
            assert!(seen.companion > 0, "{flow:?} {seen:?}");
            assert_eq!(seen.other, 0, "{flow:?} {seen:?}");
        }
    }
}

fn iperf3(bench: &Topology, flow: &FlowTuple) -> SeenByFirewall {
    let mut listen = bench.server.port.namespace.command("iperf3");
    let mut server = Process::start("iperf3 -s", listen.args(["-s", "-1"]).stdout(Stdio::null())).unwrap();
    wait::until("the server to listen", SOON, || {
        let listening = netns::run(bench.server.port.namespace.command("ss").args(["-Hltn", "sport", "=", "5201"]));
        (!listening.unwrap().is_empty()).then_some(())
    })
    .unwrap();
    let watch = Watch::start([&bench.firewall_a, &bench.firewall_b], flow).unwrap();
    let mut command = bench.client.port.namespace.command("iperf3");
    command.args(["-t", "1", "-c", &flow.server.to_string(), "--cport", &flow.client_port.to_string()]);
    if !flow.tcp {
        command.args(["-u", "-b", "50M"]);
    }
    netns::run(&mut command).unwrap();
    server.wait(SOON).unwrap();
    watch.seen().unwrap()
}

#[test]
fn the_kernel_counts_every_frame_of_a_port() {
    const FRAMES: u64 = 500;
    const LENGTH: u64 = 100;
    let bench = bench(FirewallMode::Silent);
    let before = [&bench.wire1, &bench.firewall_a].map(|port| netns::counters(port).unwrap());
    let socket = bench.client_socket().unwrap();
    let frame = [&[0x02; 6][..], &[0x06; 6], &[0x88, 0xb5], &[0; 86]].concat();
    let mut pacer = wait::Pacer::new(10_000);
    for _ in 0..FRAMES {
        pacer.wait();
        socket.send(&frame).unwrap();
    }
    for (port, before) in [&bench.wire1, &bench.firewall_a].into_iter().zip(before) {
        let grown = wait::until("all frames to be counted", SOON, || {
            let now = netns::counters(port).unwrap().since(&before);
            (now.rx_packets >= FRAMES).then_some(now)
        });
        let grown = grown.unwrap();
        assert_eq!((grown.rx_packets, grown.rx_frame_bytes()), (FRAMES, FRAMES * LENGTH), "{grown:?}");
    }
}
