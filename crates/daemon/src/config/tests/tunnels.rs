//! Copies, and firewalls behind tunnels.

use std::net::IpAddr;

use super::*;

/// As in the table of all other mistakes.
const MISTAKES: &[(&str, &str, &[&str])] = &[
    (
        "[data_plane]",
        "[copies]\nvni = 16777216\noption_type = 128\n[data_plane]",
        &[
            ":6: interface is missing: by which network interface do copies leave?",
            ":7: vni: 16777216 is not within 0 to 16777215",
            ":8: option_type: 128 is not within 0 to 127",
        ],
    ),
    (
        "[data_plane]",
        "[copies]\ninterface = \"ens1\"\noption_class = 65536\n[data_plane]",
        &[
            ":7: interface: ens1 is a port of lif 2: copies need another one",
            ":8: option_class: 65536 is not within 0 to 65535",
        ],
    ),
    (
        "[data_plane]",
        "[copies]\ninterface = \"a/b\"\n[data_plane]",
        &[":7: interface: \"a/b\" can't be the name of a network interface"],
    ),
    ("\"vf1\"", "\"geneve:192.0.2.10\"", &[NO_SECTION]),
    (
        "\"vf0\"\n[[lif]]\nid = 2\nwire = \"ens1\"\nfirewall = \"vf1\"",
        "\"vf0\"\n[[lif]]\nid = 0\nwire = \"ens1\"\nfirewall = \"geneve:192.0.2.10\"\n[tunnel]\ninterface = \"up0\"",
        &[":13: id: 0 is not within 1 to 65535"],
    ),
    (
        "id = 1\nwire = \"ens0\"\nfirewall = \"vf0\"",
        "id = 1\nwire = \"ens0\"\nfirewall = \"geneve:192.0.2.10\"\n[[lif]]\nid = 3\nwire = \"ens2\"\nfirewall = \"geneve:192.0.2.10\"",
        &[
            ":11: firewall: a tunnel needs a [tunnel] section, or --tunnel-interface: by which network interface is it reached?",
        ],
    ),
    (
        "[data_plane]",
        "[tunnel]\ninterface = \"up0\"\n[data_plane]",
        &[":6: nothing uses [tunnel]: no lif has a firewall such as \"geneve:192.0.2.10\""],
    ),
    (
        "\"vf1\"",
        "\"geneve:192.0.2.10\"\n[tunnel]\nvni = 16777216\noption_class = 65536\noption_type = 128\nanswers = 0",
        &[
            ":16: interface is missing: by which network interface are firewalls behind tunnels reached?",
            ":17: vni: 16777216 is not within 0 to 16777215",
            ":18: option_class: 65536 is not within 0 to 65535",
            ":19: option_type: 128 is not within 0 to 127",
            ":20: answers: 0 is not within 1 to 1000000",
        ],
    ),
    (
        "\"vf1\"",
        "\"geneve:192.0.2.10\"\n[tunnel]\ninterface = \"ens1\"\nanswers = 1000001",
        &[
            ":17: interface: ens1 is a port of lif 2: tunnels need another one",
            ":18: answers: 1000001 is not within 1 to 1000000",
        ],
    ),
    (
        "\"vf1\"",
        "\"geneve:192.0.2.10\"\n[tunnel]\ninterface = \"vf0\"",
        &[":17: interface: vf0 is a port of lif 1: tunnels need another one"],
    ),
    (
        "\"vf1\"",
        "\"geneve:192.0.2.10\"\n[tunnel]\ninterface = \"a/b\"\nkey = 1",
        &[
            ":17: interface: \"a/b\" can't be the name of a network interface",
            ":18: unknown key \"key\" in tunnel; it has: interface, vni, option_class, option_type, answers",
        ],
    ),
    (
        "\"vf1\"",
        "\"vxlan:192.0.2.10\"",
        &[":15: firewall: \"vxlan:192.0.2.10\" can't be the name of a network interface"],
    ),
    (
        "\"ens1\"",
        "\"geneve:192.0.2.10\"",
        &[":14: wire: \"geneve:192.0.2.10\" can't be the name of a network interface"],
    ),
];

const NO_SECTION: &str = ":15: firewall: a tunnel needs a [tunnel] section, or --tunnel-interface: by which network interface is it reached?";

/// LIF 2 has its firewall at the end of a tunnel.
fn behind_tunnel(firewall: &str) -> String {
    FINE.replace("vf1", firewall) + "[tunnel]\ninterface = \"up0\"\n"
}

#[test]
fn each_mistake_is_named_by_its_line() {
    each_is_named(MISTAKES);
}

#[test]
fn a_firewall_is_an_interface_or_the_address_of_a_tunnels_end() {
    for (text, expected) in [
        ("geneve:192.0.2.10", "192.0.2.10"),
        ("geneve:2001:db8::10", "2001:db8::10"),
        ("geneve:[2001:db8::10]", "2001:db8::10"),
    ] {
        let config = read(&behind_tunnel(text)).unwrap();
        assert_eq!(config.lifs[1].firewall, FirewallConfig::Tunnel(expected.parse().unwrap()), "{text}");
        let tunnel = TunnelConfig { interface: "up0".to_owned(), vni: 0, option: OptionId::DEFAULT };
        assert_eq!(config.uplink, Some(UplinkConfig { tunnel, answers: 1000 }), "{text}");
        assert_eq!(config.summary(), "data plane xdp, lif 1 2, listening on 127.0.0.1:3443, 262144 sessions at most");
    }
    let config = read(&behind_tunnel("geneve:192.0.2.10").replace("vf0", "geneve:192.0.2.10")).unwrap();
    let both = FirewallConfig::Tunnel(IpAddr::from([192, 0, 2, 10]));
    assert!(config.lifs.iter().all(|lif| lif.firewall == both), "one firewall for several LIFs");
    let same = behind_tunnel("geneve:192.0.2.10") + "[copies]\ninterface = \"up0\"\n";
    assert_eq!(read(&same).unwrap().copies.unwrap().interface, "up0", "copies may take the same interface");
}

#[test]
fn what_can_not_be_a_tunnels_end_is_named() {
    for text in ["", "fw1.example", "192.0.2", "192.0.2.10:6081", "[192.0.2.10]", "[2001:db8::10", "fe80::1%up0"] {
        let expected = format!(
            "dir/f.toml:15: firewall: \"{text}\" is not the address of a tunnel's end, such as \"geneve:192.0.2.10\" or \
             \"geneve:2001:db8::10\""
        );
        assert_eq!(said(&behind_tunnel(&format!("geneve:{text}"))), [expected]);
    }
    for (address, kind) in [
        ("0.0.0.0", "unspecified"),
        ("::", "unspecified"),
        ("127.0.0.2", "a loopback address"),
        ("::1", "a loopback address"),
        ("224.0.0.1", "a multicast address"),
        ("ff0e::1", "a multicast address"),
        ("255.255.255.255", "the broadcast address"),
        ("169.254.0.1", "link-local, and names no link"),
        ("fe80::1", "link-local, and names no link"),
        ("::ffff:192.0.2.10", "an IPv4 address written as IPv6"),
    ] {
        let expected =
            format!("dir/f.toml:15: firewall: {address} is {kind}: it can't be the address of a tunnel's end");
        assert_eq!(said(&behind_tunnel(&format!("geneve:{address}"))), [expected]);
    }
}

#[test]
fn in_a_simulation_a_tunnel_has_no_meaning() {
    let sim = FINE.replace("\"xdp\"", "\"sim\"").replace("vf1", "geneve:192.0.2.10");
    assert_eq!(read(&sim).unwrap().uplink, None, "and needs no section");
    assert!(read(&(sim.clone() + "[tunnel]\ninterface = \"up0\"\n")).unwrap().uplink.is_some());
    assert_eq!(said(&sim.replace("192.0.2.10", "0.0.0.0")).len(), 1, "but what is written is judged");
}
