//! Opening and closing: what is refused, in which words; what is changed on the ports, and put back; what is left.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the way to fail")]

mod common;

use std::fs;
use std::process::{Command, Stdio};

use common::{Lab, lifs};
use opof_dataplane::DataPlane;
use opof_dataplane_linux::{AttachMode, Firewall, LifPorts, OpenError, XdpConfig, XdpPlane};
use opof_testkit::netns::{NetNs, run};

fn refused(lab: &Lab, config: &XdpConfig) -> String {
    let text = lab.open(config).unwrap_err().to_string();
    assert!(!text.contains('\n'), "one line: {text}");
    text
}

/// `ip -d link` and the offloads of a port, as far as a plane changes them.
fn state(device: &NetNs, port: &str) -> (String, String) {
    let link = device.ip(&format!("-d link show dev {port}")).unwrap();
    let flags = link.split_whitespace().find(|word| word.starts_with('<')).unwrap();
    let features = run(device.command("ethtool").args(["-k", port])).unwrap();
    let stripping = features.lines().filter(|line| line.starts_with("rx-vlan")).collect::<Vec<_>>().join("\n");
    (format!("{flags} {}", link.contains("xdp")), stripping)
}

#[test]
fn ports_are_prepared_and_put_back() {
    let lab = Lab::new();
    run(lab.device.command("ethtool").args(["-K", "wire-a", "rxvlan", "on"])).unwrap();
    let before = state(&lab.device, "wire-a");
    assert!(before.1.contains("rx-vlan-offload: on"), "{before:?}");

    let plane = lab.plane(16);
    let (link, features) = state(&lab.device, "wire-a");
    assert!(link.contains("PROMISC") && link.ends_with("true"), "{link}");
    assert!(features.contains("rx-vlan-offload: off"), "{features}");
    assert!(!features.contains(": on"), "{features}");
    assert!(lab.pin_dir.join("flows").exists());
    assert_eq!(
        plane.describe().ports.iter().map(|port| port.name.as_str()).collect::<Vec<_>>(),
        ["wire-a", "fw.a", "wire-b", "fw.b"]
    );

    plane.close();
    assert_eq!(state(&lab.device, "wire-a"), before);
    assert!(!lab.pin_dir.exists());
}

#[test]
fn wrong_interfaces_are_named() {
    let lab = Lab::new();
    let good = lab.config(16, AttachMode::Native);

    let mut config = good.clone();
    config.lifs[1].firewall = Firewall::Interface("nowhere0".to_owned());
    assert!(refused(&lab, &config).starts_with("interface nowhere0: there is none"));
    config.lifs[1].firewall = Firewall::Interface("a-name-that-is-far-too-long".to_owned());
    assert!(refused(&lab, &config).starts_with("interface a-name-that-is-far-too-long: there is none"));
    config.lifs[1].firewall = Firewall::Interface("wire-a".to_owned());
    assert!(refused(&lab, &config).starts_with("interface wire-a is configured twice"));

    lab.device.ip("link set dev fw.b down").unwrap();
    let text = refused(&lab, &good);
    assert!(text.starts_with("interface fw.b is down") && text.contains("ip link set dev fw.b up"), "{text}");
    lab.device.ip("link set dev fw.b up").unwrap();

    let mut config = good.clone();
    config.lifs[1].lif = lifs()[0];
    assert!(refused(&lab, &config).starts_with("logical interface 7 is configured twice"));
    config.lifs.clear();
    assert!(refused(&lab, &config).starts_with("0 logical interfaces: configure 1 to 32"));

    let mut config = good.clone();
    config.lifs[1].wire.push("wire-a".to_owned());
    assert!(refused(&lab, &config).starts_with("interface wire-a is configured twice"));
    config.lifs[1].wire = ["a", "b", "c", "d", "e"].map(str::to_owned).to_vec();
    let text = refused(&lab, &config);
    assert_eq!(text, "logical interface 1000 has 5 wire ports: configure 1 to 4");
    config.lifs[1].wire.clear();
    assert!(refused(&lab, &config).starts_with("logical interface 1000 has 0 wire ports"));
    let config = XdpConfig { next_hops: 0, ..good.clone() };
    assert!(refused(&lab, &config).starts_with("0 next hops: configure 1 to 2097152"));
    let config = XdpConfig { sessions: 0, ..good };
    assert!(refused(&lab, &config).starts_with("0 sessions"));

    // Nothing of all that has left a trace.
    let (link, _) = state(&lab.device, "wire-a");
    assert!(!link.contains("PROMISC") && link.ends_with("false"), "{link}");
    assert!(!lab.pin_dir.exists());
}

#[test]
fn one_plane_a_pin_directory_and_a_port() {
    let lab = Lab::new();
    let first = lab.plane(16);
    let mut config = lab.config(16, AttachMode::Native);
    assert!(refused(&lab, &config).contains("is in use by another process"));

    config.pin_dir.as_mut_os_string().push("-second");
    let text = refused(&lab, &config);
    assert!(text.starts_with("interface wire-a has another XDP program"), "{text}");
    assert!(!config.pin_dir.exists());
    // The first one is none the worse for it.
    let (link, _) = state(&lab.device, "wire-a");
    assert!(link.contains("PROMISC") && link.ends_with("true"), "{link}");
    drop(first);

    config.pin_dir = std::env::temp_dir().join("opof-not-a-bpf-file-system");
    assert!(refused(&lab, &config).contains("is not on a BPF file system"));
    assert!(!config.pin_dir.exists());
}

/// `lo` has no native XDP: with `Auto` all ports are generic then, and none keeps a native program.
#[test]
fn one_driver_without_native_xdp_makes_all_generic() {
    let lab = Lab::new();
    let mut config = lab.config(16, AttachMode::Auto);
    assert!(lab.open(&config).unwrap().describe().ports.iter().all(|port| port.mode == "native"));
    config.lifs[1].firewall = Firewall::Interface("lo".to_owned());
    let plane = lab.open(&config).unwrap();
    assert!(plane.describe().ports.iter().all(|port| port.mode == "generic"));
    assert!(lab.device.ip("link show dev wire-a").unwrap().contains("xdpgeneric"));
    drop(plane);
    config.mode = AttachMode::Native;
    let text = refused(&lab, &config);
    assert!(text.starts_with("interface lo: can't attach in native mode"), "{text}");
    assert!(!lab.device.ip("link show dev wire-a").unwrap().contains("xdp"));
}

/// A veth whose other end has no GRO takes nothing from native XDP: silently, so it has to be noticed at the start.
#[test]
fn a_port_that_would_swallow_frames_is_noticed() {
    let lab = Lab::new();
    run(lab.outside.command("ethtool").args(["-K", "far-2", "gro", "off"])).unwrap();
    let text = refused(&lab, &lab.config(16, AttachMode::Native));
    assert!(text.starts_with("interface wire-b: its driver does not send"), "{text}");
    assert!(!lab.pin_dir.exists());
    let plane = lab.open(&lab.config(16, AttachMode::Auto)).unwrap();
    assert!(plane.describe().ports.iter().all(|port| port.mode == "generic"));
}

/// Runs this test's executable again without capabilities.
#[test]
fn missing_capabilities_are_named() {
    if std::env::var_os("OPOF_TEST_CHILD").is_some() {
        let lifs = [1, 2].map(|id| LifPorts::new(common::lif(id), format!("w{id}"), format!("f{id}")));
        let pin_dir = "/sys/fs/bpf/opof-test-child".into();
        let config = XdpConfig {
            lifs: lifs.to_vec(),
            sessions: 1,
            next_hops: 1,
            mode: AttachMode::Auto,
            pin_dir,
            copies: None,
            uplink: None,
        };
        let error = XdpPlane::open(&config).unwrap_err();
        assert!(matches!(error, OpenError::Permission { .. }), "{error}");
        println!("{error}");
        return;
    }
    let mut child = Command::new("setpriv");
    child.args(["--bounding-set=-all", "--inh-caps=-all", "--"]).arg(fs::read_link("/proc/self/exe").unwrap());
    child.args(["--exact", "missing_capabilities_are_named", "--nocapture"]).env("OPOF_TEST_CHILD", "1");
    let output = child.stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("needs CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN: run as root"), "{text}");
}
