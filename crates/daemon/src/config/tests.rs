//! Tables of what is written and what is said about it.

use std::path::Path;
use std::time::Duration;

use clap::Parser;
use opof_api::Profile;
use opof_wire::geneve::OptionId;

use super::flags::Cli;
use super::source::{SHAPES, Shape};
use super::*;
use crate::access::Role;

mod ha;
mod tunnels;

const FINE: &str = r#"
[[listener]]
address = "127.0.0.1:3443"
tls = { cert = "server.crt", key = "server.key" }
profile = "spec"
[data_plane]
kind = "xdp"
[[lif]]
id = 1
wire = "ens0"
firewall = "vf0"
[[lif]]
id = 2
wire = "ens1"
firewall = "vf1"
"#;

fn flags(arguments: &[&str]) -> SettingFlags {
    Cli::parse_from([&["opofd"], arguments].concat()).settings
}

fn tls(cert: &str, key: &str) -> Security {
    Security::Tls { cert: cert.into(), key: key.into(), client_ca: None, min_version: TlsVersion::V1_3 }
}

fn read(text: &str) -> Result<Config, ConfigError> {
    from_text(Some(Path::new("dir/f.toml")), text, &SettingFlags::default())
}

#[track_caller]
fn said(text: &str) -> Vec<String> {
    let ConfigError::Mistakes(mistakes) = read(text).expect_err("there is a mistake") else { panic!("mistakes") };
    mistakes.iter().map(ToString::to_string).collect()
}

#[test]
fn the_smallest_configuration_is_read() {
    let config = read(FINE).unwrap();
    let tls = tls("dir/server.crt", "dir/server.key");
    assert_eq!(config.listeners[0].security, tls);
    let xdp = DataPlaneConfig::Xdp { mode: XdpMode::Auto, pin_dir: "/sys/fs/bpf/opof".into(), at_stop: AtStop::Keep };
    assert_eq!(config.data_plane, xdp);
    assert_eq!(config.lifs[1].firewall, FirewallConfig::Interface("vf1".to_owned()));
    assert_eq!(config.sessions, SessionsConfig::default());
    assert_eq!(config.summary(), "data plane xdp, lif 1 2, listening on 127.0.0.1:3443, 262144 sessions at most");
}

#[test]
fn one_lif_is_enough_and_a_lif_may_have_several_wire_ports() {
    let (one, _) = FINE.rsplit_once("[[lif]]").unwrap();
    let config = read(one).unwrap();
    assert_eq!(config.lifs.iter().map(|lif| lif.id.get()).collect::<Vec<_>>(), [1]);
    assert_eq!((&config.lifs[0].wire[..], config.lifs[0].bond), (&["ens0".to_owned()][..], BondMode::ActiveStandby));
    for (list, bond, expected, mode) in [
        ("[\"ens0\"]", "", &["ens0"][..], BondMode::ActiveStandby),
        ("[\"ens9\", \"ens0\"]", "", &["ens9", "ens0"], BondMode::ActiveStandby),
        ("[\"a\", \"b\"]", "bond = \"active-standby\"\n", &["a", "b"], BondMode::ActiveStandby),
        ("[\n\"a\",\n\"b\",\n\"c\",\n\"d\",\n]", "bond = \"balance\"\n", &["a", "b", "c", "d"], BondMode::Balance),
    ] {
        let config = read(&one.replace("\"ens0\"", list).replace("firewall", &format!("{bond}firewall"))).unwrap();
        assert_eq!(
            (&config.lifs[0].wire[..], config.lifs[0].bond),
            (&expected.iter().map(ToString::to_string).collect::<Vec<_>>()[..], mode)
        );
    }
    let simulated =
        read("[data_plane]\nkind = \"sim\"\n[[listener]]\naddress = \"unix:/s\"\n[[lif]]\nid = 9\n").unwrap();
    assert_eq!(simulated.lifs[0].wire, ["sim9-wire"]);
}

#[test]
fn without_anything_there_is_a_simulation_on_the_loopback() {
    let config = Config::default();
    assert_eq!(config.data_plane, DataPlaneConfig::Sim);
    assert_eq!(config.listeners[0].address.to_string(), "127.0.0.1:3443");
    assert_eq!(config.listeners[0].security, Security::SelfSigned);
    assert_eq!(config.lifs.iter().map(|lif| lif.id.get()).collect::<Vec<_>>(), [1, 2]);
}

const NOBODY_ASKS: &str =
    ":6: no listener has tls.client_ca, so nobody can show this name: any client would have the listener's role";

/// A change to the smallest configuration, and every message that it must bring.
const MISTAKES: &[(&str, &str, &[&str])] = &[
    (
        "\"127.0.0.1:3443\"",
        "\"127.0.0.1\"",
        &[
            ":3: address: \"127.0.0.1\" is neither ADDRESS:PORT, such as \"127.0.0.1:3443\" or \"[::]:3443\", nor unix:/PATH",
        ],
    ),
    ("\"127.0.0.1:3443\"", "3443", &[":3: address: is a whole number, must be a string"]),
    (
        "address = \"127.0.0.1:3443\"\n",
        "",
        &[":2: address is missing: where do clients connect, such as \"127.0.0.1:3443\"?"],
    ),
    (
        "tls = { cert = \"server.crt\", key = \"server.key\" }",
        "",
        &[":2: a listener needs tls (tls.cert, tls.key), self_signed = true or plaintext = true"],
    ),
    ("profile", "plaintext = true\nprofile", &[":5: plaintext: only one of tls, plaintext and self_signed can be had"]),
    (
        "profile",
        "self_signed = true\nprofile",
        &[":5: self_signed: only one of tls, plaintext and self_signed can be had"],
    ),
    (", key = \"server.key\"", "", &[":4: key is missing: which PEM file has it?"]),
    ("\"server.crt\"", "1", &[":4: cert: is a whole number, must be a string"]),
    ("\"server.crt\"", "\"\"", &[":4: cert: is empty: which PEM file has it?"]),
    (
        "cert =",
        "crt =",
        &[
            ":4: unknown key \"crt\" in tls; it has: cert, key, client_ca, min_version",
            ":4: cert is missing: which PEM file has it?",
        ],
    ),
    ("\"spec\"", "\"dpu\"", &[":5: profile: \"dpu\" is not one of \"spec\", \"c-client\", \"bluefield\""]),
    ("profile", "ipv4_order = 1\nprofile", &[":5: ipv4_order: is a whole number, must be a string"]),
    ("profile", "page_cap = 262145\nprofile", &[":5: page_cap: 262145 is not within 0 to 262144"]),
    ("profile", "report_deleted = \"yes\"\nprofile", &[":5: report_deleted: is a string, must be true or false"]),
    (
        "profile",
        "role = \"root\"\nprofile",
        &[":5: role: \"root\" is not one of \"reader\", \"firewall\", \"operator\""],
    ),
    ("profile", "mode = \"0600\"\nprofile", &[":5: mode: only a Unix socket has permissions"]),
    (
        "\"127.0.0.1:3443\"",
        "\"unix:opofd.sock\"",
        &[":3: address: a Unix socket needs an absolute path of at most 95 bytes"],
    ),
    ("\"127.0.0.1:3443\"", "\"unix:/run/opofd.sock\"", &[":4: tls: a Unix socket has no TLS; its mode says who may"]),
    (
        "server.key\"",
        "server.key\", client_ca = \"ca.pem\"",
        &[
            ":4: tls: with a client_ca somebody must have a role: add [[client]] sections, or role = \"...\" here for every \
             client with a certificate",
        ],
    ),
    (
        "server.key\"",
        "server.key\", min_version = \"1.1\"",
        &[":4: min_version: \"1.1\" is not one of \"1.2\", \"1.3\""],
    ),
    (
        "[data_plane]",
        "[[client]]\nrole = \"reader\"\n[data_plane]",
        &[":6: name is missing: which name is in its certificate?", NOBODY_ASKS],
    ),
    (
        "[data_plane]",
        "[[client]]\nname = \"fw1\"\n[data_plane]",
        &[":6: role is missing: \"firewall\", \"operator\" or \"reader\"", NOBODY_ASKS],
    ),
    (
        "[data_plane]",
        "[[client]]\nname = \"fw1\"\nrole = \"reader\"\n[[client]]\nname = \"fw1\"\nrole = \"reader\"\n[data_plane]",
        &[":10: name: fw1 has a role already, at dir/f.toml:7", NOBODY_ASKS],
    ),
    ("[data_plane]", "[limits]\nconnections = 0\n[data_plane]", &[":7: connections: 0 is not within 1 to 65536"]),
    ("[data_plane]", "[limits]\nidle_timeout = 4\n[data_plane]", &[":7: idle_timeout: 4 is not within 5 to 31536000"]),
    (
        "profile",
        "same_tuple = \"keep\"\nprofile",
        &[":5: same_tuple: \"keep\" is not one of \"supersede\", \"reject\""],
    ),
    ("\"xdp\"", "\"dpdk\"", &[":7: kind: \"dpdk\" is not one of \"xdp\", \"sim\""]),
    ("kind = \"xdp\"\n", "", &[":6: kind is missing: \"xdp\" or \"sim\""]),
    ("kind", "mode = \"fast\"\nkind", &[":7: mode: \"fast\" is not one of \"auto\", \"native\", \"generic\""]),
    ("kind", "at_stop = \"stay\"\nkind", &[":7: at_stop: \"stay\" is not one of \"keep\", \"remove\""]),
    (
        "kind",
        "pin_dir = \"opof\"\nkind",
        &[":7: pin_dir: must be an absolute path on a BPF file system, such as \"/sys/fs/bpf/opof\""],
    ),
    ("id = 2", "id = 1", &[":13: id: 1 is taken by the lif at dir/f.toml:9"]),
    ("id = 2", "id = 0", &[":13: id: 0 is not within 1 to 65535"]),
    ("id = 2", "id = 65536", &[":13: id: 65536 is not within 1 to 65535"]),
    ("id = 2", "id = -1", &[":13: id: -1 is not within 1 to 65535"]),
    ("id = 2", "id = 99999999999999999999", &[":13: id: the number is not within 1 to 65535"]),
    ("id = 2", "id = 1.5", &[":13: id: is a fraction, must be a whole number"]),
    ("id = 2\n", "", &[":12: id is missing: the number that clients use for this interface, 1 to 65535"]),
    ("\"ens1\"", "\"vf0\"", &[":14: wire: vf0 is used already at dir/f.toml:11"]),
    ("\"ens1\"", "\"vf1\"", &[":15: firewall: vf1 is used already at dir/f.toml:14"]),
    ("\"ens1\"", "\"a/b\"", &[":14: wire: \"a/b\" can't be the name of a network interface"]),
    ("\"ens1\"", "\"sixteen-letters-\"", &[":14: wire: \"sixteen-letters-\" can't be the name of a network interface"]),
    ("\"ens1\"", "\"\"", &[":14: wire: is empty: which network interface is it?"]),
    ("wire = \"ens1\"\n", "", &[":12: wire is missing: which network interface is it?"]),
    (
        "[[lif]]\nid = 1\nwire = \"ens0\"\nfirewall = \"vf0\"\n[[lif]]\nid = 2\nwire = \"ens1\"\nfirewall = \"vf1\"\n",
        "",
        &[":1: at least one [[lif]] is needed: which ports are the network's and the firewall's?"],
    ),
    ("\"ens1\"", "[]", &[":14: wire: is empty: which network interface is it?"]),
    ("\"ens1\"", "[\"ens1\",\n\"\"]", &[":15: wire: is empty: which network interface is it?"]),
    ("\"ens1\"", "[\"ens1\",\n2]", &[":15: wire: has a whole number in it, must have strings only"]),
    ("\"ens1\"", "[[\"ens1\"]]", &[":14: wire: has a list in it, must have strings only"]),
    ("\"ens1\"", "7", &[":14: wire: is a whole number, must be a string or a list of strings"]),
    (
        "\"ens1\"",
        "[\"a/b\",\n\"c d\"]",
        &[
            ":14: wire: \"a/b\" can't be the name of a network interface",
            ":15: wire: \"c d\" can't be the name of a network interface",
        ],
    ),
    ("\"ens1\"", "[\"ens1\", \"ens1\"]", &[":14: wire: ens1 is used already at dir/f.toml:14"]),
    ("\"ens1\"", "[\"ens1\",\n\"ens0\"]", &[":15: wire: ens0 is used already at dir/f.toml:10"]),
    ("\"ens1\"", "[\"a\", \"b\", \"c\",\n\"d\",\n\"e\"]", &[":16: wire: more than 4 network interfaces"]),
    ("\"vf1\"", "[\"vf1\"]", &[":15: firewall: is a list, must be a string"]),
    ("id = 2", "id = 2\nbond = \"lacp\"", &[":14: bond: \"lacp\" is not one of \"active-standby\", \"balance\""]),
    ("id = 2", "id = 2\nbond = 1", &[":14: bond: is a whole number, must be a string"]),
    ("[data_plane]", "[sessions]\nmax = 0\n[data_plane]", &[":7: max: 0 is not within 1 to 67108864"]),
    (
        "[data_plane]",
        "[sessions]\nnext_hops_max = 2097153\n[data_plane]",
        &[":7: next_hops_max: 2097153 is not within 1 to 2097152"],
    ),
    (
        "[data_plane]",
        "[sessions]\nclosed_log = \"closed.redb\"\n[data_plane]",
        &[":7: closed_log: must be \"memory\" or an absolute path, such as \"/var/lib/opof/closed.redb\""],
    ),
    ("[data_plane]", "[sessions]\nclosed_max = 0\n[data_plane]", &[":7: closed_max: 0 is not within 1 to 67108864"]),
    ("[data_plane]", "[sessions]\nudp_timeout = 0\n[data_plane]", &[":7: udp_timeout: 0 is not within 1 to 31536000"]),
    (
        "[data_plane]",
        "[sessions]\ntcp_timeout = 90000\n[data_plane]",
        &[":7: tcp_timeout: 90000 s is longer than max_timeout, 86400 s"],
    ),
    (
        "[data_plane]",
        "[sessions]\nmax_timeout = 300\n[data_plane]",
        &[":7: max_timeout: tcp_timeout, 7440 s where it is not set, is longer than max_timeout, 300 s"],
    ),
    (
        "[data_plane]",
        "[log]\nformat = \"xml\"\n[data_plane]",
        &[":7: format: \"xml\" is not one of \"text\", \"json\""],
    ),
    (
        "[data_plane]",
        "[session]\nmax = 1\n[data_plane]",
        &[
            ":6: unknown section \"session\"; there are: listener, client, data_plane, lif, copies, tunnel, sessions, ha, limits, server, log",
        ],
    ),
    (
        "[data_plane]",
        "[[data_plane]]",
        &[":6: write it as [data_plane]", ":1: there is no [data_plane]: say kind = \"xdp\" or kind = \"sim\" in it"],
    ),
    (
        "kind",
        "knd",
        &[
            ":7: unknown key \"knd\" in data_plane; it has: kind, mode, pin_dir, at_stop",
            ":6: kind is missing: \"xdp\" or \"sim\"",
        ],
    ),
    ("kind = \"xdp\"", "kind = \"xdp", &[":7: invalid basic string, expected `\"`"]),
    (
        "[data_plane]",
        "[[listener]]\naddress = \"127.0.0.1:3443\"\nplaintext = true\n[data_plane]",
        &[":7: address: 127.0.0.1:3443 is taken by the listener at dir/f.toml:3"],
    ),
    ("profile", "plaintext = 1\nprofile", &[":5: plaintext: is a whole number, must be true or false"]),
    ("tls = {", "tls = \"x\" #", &[":4: tls: is a string, must be a table"]),
];

/// Each change brings its messages and no others.
#[track_caller]
fn each_is_named(mistakes: &[(&str, &str, &[&str])]) {
    for (from, to, expected) in mistakes {
        let text = FINE.replacen(from, to, 1);
        assert_ne!(text, FINE, "{from} is in the configuration");
        let mut expected: Vec<_> = expected.iter().map(|message| format!("dir/f.toml{message}")).collect();
        let mut said = said(&text);
        expected.sort();
        said.sort();
        assert_eq!(said, expected, "{from} -> {to}");
    }
}

#[test]
fn each_mistake_is_named_by_its_line() {
    each_is_named(MISTAKES);
}

#[test]
fn a_level_that_is_none_is_named() {
    for level in ["opof=loud", "warning", "loud", "", "info,debg"] {
        let said = said(&FINE.replacen("[data_plane]", &format!("[log]\nlevel = \"{level}\"\n[data_plane]"), 1));
        let expected = format!("dir/f.toml:7: level: \"{level}\" is not a level");
        assert!(said.len() == 1 && said[0].starts_with(&expected), "{said:?}");
    }
    for level in ["info", "WARN", "info,opof_daemon=debug", "off"] {
        read(&FINE.replacen("[data_plane]", &format!("[log]\nlevel = \"{level}\"\n[data_plane]"), 1)).unwrap();
    }
}

#[test]
fn all_mistakes_are_named_in_one_run() {
    let text = FINE
        .replace("\"spec\"", "\"dpu\"")
        .replace("\"xdp\"", "\"xdpp\"")
        .replace("id = 2", "id = 1")
        .replace("\"ens1\"", "\"ens0\"");
    let said = said(&text);
    let lines: Vec<_> = said.iter().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(lines, ["dir/f.toml:5:", "dir/f.toml:7:", "dir/f.toml:13:", "dir/f.toml:14:"]);
}

#[test]
fn an_empty_file_is_told_what_is_missing() {
    assert_eq!(said("").len(), 2);
    assert!(said("")[0].starts_with("dir/f.toml:1: there is no"));
}

#[test]
fn a_profile_is_the_start_and_each_switch_goes_by_itself() {
    let listener = |text: &str| {
        let text = FINE.replace("profile = \"spec\"", text);
        read(&text).unwrap().listeners.remove(0).profile
    };
    assert_eq!(listener("profile = \"c-client\""), Profile::C_CLIENT);
    assert_eq!(listener("profile = \"bluefield\""), Profile::BLUEFIELD);
    let all = "ipv4_order = \"host\"\nadd_errors = \"grpc\"\nadd_status = \"zero\"\nunknown_id = \"not_found\"\n\
               no_closed = \"not_found\"\npage_cap = 64\nlist_cursor = \"exclusive\"\nreport_deleted = true";
    assert_eq!(listener(all), Profile::BLUEFIELD);
    let none = "profile = \"bluefield\"\nipv4_order = \"inet_pton\"\nadd_errors = \"status\"\nadd_status = \"worst\"\n\
                unknown_id = \"status\"\nno_closed = \"empty\"\npage_cap = 0\nlist_cursor = \"inclusive\"\n\
                report_deleted = false";
    assert_eq!(listener(none), Profile::SPEC);
}

#[test]
fn roles_for_those_who_have_a_certificate_and_those_who_need_none() {
    let listener = |tls: &str, more: &str, known: &str| {
        let text = FINE.replace("key = \"server.key\"", &format!("key = \"server.key\"{tls}"));
        read(&(text.replace("profile", &format!("{more}profile")) + known)).unwrap()
    };
    let role = |more: &str| listener("", more, "").listeners[0].role;
    assert_eq!(role(""), Some(Role::Operator), "whoever is on this machine");
    assert_eq!(role("role = \"reader\"\n"), Some(Role::Reader));
    let elsewhere = FINE.replace("127.0.0.1", "0.0.0.0");
    assert_eq!(read(&elsewhere).unwrap().listeners[0].role, Some(Role::Firewall), "whoever can reach it");
    let known = "[[client]]\nname = \"spiffe://example/fw1\"\nrole = \"firewall\"\n";
    let config = listener(", client_ca = \"ca.pem\", min_version = \"1.2\"", "", known);
    assert_eq!(config.clients[0].role, Role::Firewall);
    let certificates = config.listeners[0].clone();
    assert_eq!(certificates.role, None, "only those who are known");
    let Security::Tls { client_ca, min_version, .. } = certificates.security else { panic!("TLS") };
    assert_eq!((client_ca, min_version), (Some("dir/ca.pem".into()), TlsVersion::V1_2));
    assert!(!certificates.shutdown && listener("", "shutdown = true\n", "").listeners[0].shutdown);
    let nobody_asks = "f.toml:16: no listener has tls.client_ca, so nobody can show this name";
    assert!(said(&(FINE.to_owned() + known))[0].contains(nobody_asks), "{:?}", said(&(FINE.to_owned() + known)));
}

#[test]
fn a_unix_socket_has_an_absolute_path_and_a_mode() {
    let unix = "[data_plane]\nkind = \"sim\"\n[[listener]]\naddress = \"unix:/run/opof/s\"\nmode = \"0660\"\n";
    let listener = read(unix).unwrap().listeners.remove(0);
    assert_eq!((listener.address.to_string().as_str(), listener.mode), ("unix:/run/opof/s", 0o660));
    assert_eq!(listener.security, Security::Plaintext);
    assert!(said(&unix.replace("0660", "0888"))[0].contains("not a mode in octal"));
}

#[test]
fn plaintext_off_the_loopback_must_be_asked_for() {
    let listener =
        |text: &str| format!("[data_plane]\nkind = \"sim\"\n[[listener]]\naddress = \"0.0.0.0:1\"\n{text}\n");
    assert!(said(&listener("plaintext = true"))[0].starts_with("dir/f.toml:5: plaintext: off the loopback"));
    assert!(said(&listener("self_signed = true"))[0].starts_with("dir/f.toml:5: self_signed: that certificate"));
    let config = read(&listener("plaintext = true\nplaintext_anywhere = true")).unwrap();
    assert_eq!(config.listeners[0].security, Security::Plaintext);
}

#[test]
#[expect(clippy::too_many_lines, reason = "a list of all flags")]
fn flags_lie_over_the_file() {
    let arguments = [
        "--data-plane",
        "sim",
        "--copy-interface",
        "mon0",
        "--copy-vni",
        "18",
        "--copy-option-class",
        "65280",
        "--copy-option-type",
        "19",
        "--tunnel-interface",
        "up0",
        "--tunnel-vni",
        "20",
        "--tunnel-option-class",
        "65281",
        "--tunnel-option-type",
        "21",
        "--tunnel-answers",
        "22",
        "--max-sessions",
        "9",
        "--max-closed",
        "8",
        "--max-next-hops",
        "23",
        "--tcp-timeout",
        "7",
        "--udp-timeout",
        "6",
        "--max-timeout",
        "10",
        "--max-connections",
        "11",
        "--max-streams",
        "12",
        "--max-message-bytes",
        "13",
        "--max-stream-sessions",
        "14",
        "--max-rate",
        "15",
        "--header-timeout",
        "16",
        "--idle-timeout",
        "17",
        "--closed-log",
        "/c/log.redb",
        "--client",
        "name=fw1.example,role=firewall",
        "--log-level",
        "debug",
        "--log-format",
        "json",
        "--listener",
        "address=[::1]:0,plaintext=true,same_tuple=reject",
        "--listener",
        "address=10.0.0.1:1,tls.cert=a.crt,tls.key=a.key,tls.client_ca=ca.crt",
        "--lif",
        "id=3,wire=a,wire=c,bond=balance,firewall=b",
        "--lif",
        "id=4,firewall=geneve:192.0.2.10",
    ];
    let config = from_text(Some(Path::new("dir/f.toml")), FINE, &flags(&arguments)).unwrap();
    assert_eq!(config.data_plane, DataPlaneConfig::Sim);
    let option = OptionId::new(0xFF00, 19).unwrap();
    assert_eq!(config.copies, Some(TunnelConfig { interface: "mon0".to_owned(), vni: 18, option }));
    let option = OptionId::new(0xFF01, 21).unwrap();
    let tunnel = TunnelConfig { interface: "up0".to_owned(), vni: 20, option };
    assert_eq!(config.uplink, Some(UplinkConfig { tunnel, answers: 22 }));
    assert_eq!(config.lifs[1].firewall, FirewallConfig::Tunnel("192.0.2.10".parse().unwrap()));
    let [tcp_timeout, udp_timeout, max_timeout] = [7, 6, 10].map(Duration::from_secs);
    let closed_log = ClosedLogConfig::File("/c/log.redb".into());
    let expected =
        SessionsConfig { max: 9, closed_max: 8, closed_log, next_hops_max: 23, tcp_timeout, udp_timeout, max_timeout };
    assert_eq!(config.sessions, expected);
    assert_eq!((config.log.level.as_str(), config.log.format), ("debug", LogFormat::Json));
    let expected = ClientLimits {
        connections: 11,
        streams: 12,
        message_bytes: 13,
        stream_sessions: 14,
        rate: 15,
        header_timeout: Duration::from_secs(16),
        idle_timeout: Duration::from_secs(17),
    };
    assert_eq!(config.limits, expected);
    assert_eq!(config.clients, [KnownClient { name: "fw1.example".to_owned(), role: Role::Firewall }]);
    assert_eq!(config.listeners.len(), 2);
    assert_eq!(config.listeners[0].same_tuple, opof_session::request::SameTuple::Reject);
    let Security::Tls { client_ca, cert, .. } = &config.listeners[1].security else { panic!("TLS") };
    let expected = (Some(Path::new("ca.crt")), Path::new("a.crt"));
    let relative = "a path in a flag is relative to where the daemon is started";
    assert_eq!((client_ca.as_deref(), cert.as_path()), expected, "{relative}");
    assert_eq!(config.lifs.iter().map(|lif| lif.id.get()).collect::<Vec<_>>(), [3, 4]);
    assert_eq!(
        (&config.lifs[0].wire[..], config.lifs[0].bond),
        (&["a", "c"].map(str::to_owned)[..], BondMode::Balance)
    );
    let xdp = flags(&["--xdp-mode", "generic", "--pin-dir", "/p", "--at-stop", "remove"]);
    let config = from_text(Some(Path::new("f")), FINE, &xdp).unwrap();
    let expected = DataPlaneConfig::Xdp { mode: XdpMode::Generic, pin_dir: "/p".into(), at_stop: AtStop::Remove };
    assert_eq!(config.data_plane, expected);
}

#[test]
fn threads_are_as_many_as_the_file_or_a_flag_says() {
    let of = |text: &str, arguments: &[&str]| {
        let config = from_text(Some(Path::new("f")), &format!("{FINE}\n[server]\n{text}\n"), &flags(arguments));
        config.map(|config| config.threads.get()).map_err(|error| error.to_string())
    };
    assert_eq!(of("threads = 3", &[]), Ok(3));
    assert_eq!(of("threads = 3", &["--threads", "64"]), Ok(64));
    assert_eq!(of("threads = 0", &[]), of("", &[]));
    assert!(of("threads = 65", &[]).unwrap_err().contains("threads: 65 is not within 0 to 64"));
}

#[test]
fn a_mistake_in_a_flag_is_named_by_the_flag() {
    for (arguments, expected) in [
        (&["--max-sessions", "many"][..], "--max-sessions: max: is a string, must be a whole number"),
        (&["--tcp-timeout", "0"], "--tcp-timeout: tcp_timeout: 0 is not within 1 to 31536000"),
        (&["--data-plane", "x"], "--data-plane: kind: \"x\" is not one of \"xdp\", \"sim\""),
        (&["--listener", "address"], "--listener address: \"address\" is not key=value"),
        (&["--lif", "id=1,wire=a,wire=a"], "--lif id=1,wire=a,wire=a: wire: a is used already at --lif id=1"),
        (
            &["--data-plane", "xdp", "--lif", "id=1,wire=a,firewall=geneve:192.0.2.10"],
            "--lif id=1,wire=a,firewall=geneve:192.0.2.10: firewall: a tunnel needs a [tunnel] section",
        ),
        (&["--tunnel-interface", "a"], "--tunnel-interface: nothing uses [tunnel]"),
        (
            &["--lif", "id=1,firewall=geneve:fw1"],
            "--lif id=1,firewall=geneve:fw1: firewall: \"fw1\" is not the address",
        ),
        (&["--tunnel-answers", "0"], "--tunnel-answers: answers: 0 is not within 1 to 1000000"),
        (&["--lif", "id=1,bond=both"], "--lif id=1,bond=both: bond: \"both\" is not one of"),
        (&["--lif", "id=1", "--lif", "id=1"], "--lif id=1: id: 1 is taken by the lif at --lif id=1"),
        (
            &["--lif", "id=1", "--lif", "id=2,wir=a"],
            "--lif id=2,wir=a: unknown key \"wir\" in lif; it has: id, wire, bond, firewall",
        ),
    ] {
        let error = from_text(None, "", &flags(arguments)).expect_err("a mistake").to_string();
        assert!(error.contains(expected), "{error:?} should say {expected:?}");
    }
}

/// A table and those within it, by the names that the reference has for them.
fn named(within: &str, table: &'static Shape) -> Vec<(String, &'static Shape)> {
    let name = format!("{within}{}", table.name);
    let inner: Vec<_> = table.tables.iter().flat_map(|inner| named(&format!("{name}."), inner)).collect();
    [(name, table)].into_iter().chain(inner).collect()
}

#[test]
fn every_key_is_in_the_reference_and_its_example_is_right() {
    let reference = include_str!("../../../../docs/configuration.md");
    for shape in SHAPES {
        let header = if shape.list { format!("[[{}]]", shape.name) } else { format!("[{}]", shape.name) };
        assert!(reference.contains(&header), "{header} is not in docs/configuration.md");
        for key in shape.keys {
            assert!(reference.contains(&format!("| `{key}`")), "{key} of {header} is not in docs/configuration.md");
        }
    }
    let tables = SHAPES.iter().flat_map(|shape| shape.tables);
    for (name, shape) in tables.flat_map(|table| named("", table)) {
        for key in shape.keys {
            assert!(reference.contains(&format!("| `{name}.{key}`")), "{name}.{key} is not in docs/configuration.md");
        }
    }
    let examples: Vec<_> = reference.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(examples.len() >= 2, "the smallest one and the whole one");
    for example in examples {
        read(example).unwrap_or_else(|error| panic!("{error}\n{example}"));
    }
}

#[test]
fn every_scalar_flag_is_in_the_reference() {
    let reference = include_str!("../../../../docs/configuration.md");
    let help = <Cli as clap::CommandFactory>::command();
    for argument in help.get_arguments().filter_map(clap::Arg::get_long).filter(|name| *name != "help") {
        assert!(reference.contains(&format!("`--{argument}")), "--{argument} is not in docs/configuration.md");
    }
}
