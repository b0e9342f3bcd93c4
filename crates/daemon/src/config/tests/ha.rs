//! A pair of devices.

use opof_session::ha::term::{Role, Side};

use super::*;
use crate::ha::etcd::{EtcdConfig, EtcdTls};

/// Stands behind the smallest configuration, from line 16 on.
const PAIR: &str = r#"[ha]
node = "a"
listen = "192.0.2.1:3444"
api = "192.0.2.1:3443"
tls = { cert = "a.crt", key = "/etc/a.key", ca = "pair-ca.crt" }
election = "etcd"
[ha.peer]
node = "b"
address = "b.example.net:3444"
api = "[2001:db8::2]:3443"
[ha.etcd]
endpoints = ["http://192.0.2.10:2379"]
prefix = "/opof/pair-1"
"#;

fn pair(changes: &[(&str, &str)]) -> String {
    let mut pair = PAIR.to_owned();
    for (from, to) in changes {
        assert!(pair.contains(from), "{from} is in the section");
        pair = pair.replacen(from, to, 1);
    }
    FINE.to_owned() + &pair
}

fn without_etcd(election: &str) -> String {
    let text = pair(&[("\"etcd\"", election)]);
    text[..text.find("[ha.etcd]").unwrap()].to_owned()
}

fn ha(text: &str) -> HaConfig {
    read(text).unwrap().ha.unwrap()
}

const NO_HOST: &str =
    "is not HOST:PORT, such as \"192.0.2.1:3443\", \"[2001:db8::1]:3443\" or \"fw1.example.net:3443\"";
const NO_NAME: &str =
    "is no DNS name of at most 64 letters, such as \"a\" or \"opof-a.example.net\": its certificate has it";

/// A change to the pair, and every message that it must bring.
const MISTAKES: &[(&str, &str, &[&str])] = &[
    ("node = \"a\"\n", "", &[":16: node is missing: what is this device called?"]),
    ("\"a\"", "\"\"", &[":17: node: is empty: what is this device called?"]),
    ("\"a\"", "1", &[":17: node: is a whole number, must be a string"]),
    (
        "listen = \"192.0.2.1:3444\"\n",
        "",
        &[":16: listen is missing: where does the peer connect, such as \"192.0.2.1:3444\"?"],
    ),
    (
        "\"192.0.2.1:3444\"",
        "\"a:3444\"",
        &[":18: listen: \"a:3444\" is not ADDRESS:PORT, such as \"192.0.2.1:3444\" or \"[::]:3444\""],
    ),
    ("1:3444", "1:0", &[":18: listen: port 0 would be another one at each start, and the peer has to know it"]),
    ("192.0.2.1:3444", "127.0.0.1:3443", &[":18: listen: 127.0.0.1:3443 is taken by the listener at dir/f.toml:3"]),
    (
        "api = \"192.0.2.1:3443\"\n",
        "",
        &[":16: api is missing: where do clients reach this device, such as \"192.0.2.1:3443\"?"],
    ),
    ("1:3443", "0:3443\"\nmode = \"async", &[]),
    ("192.0.2.1:3443", "[::]:3443", &[":19: api: [::]:3443 is unspecified: nobody can be reached there"]),
    (
        "tls = { cert = \"a.crt\", key = \"/etc/a.key\", ca = \"pair-ca.crt\" }\n",
        "",
        &[
            ":16: tls is missing: the two trust each other by certificates: tls = { cert = \"...\", key = \"...\", ca = \"...\" }",
        ],
    ),
    (
        "ca = \"pair-ca.crt\"",
        "client_ca = \"pair-ca.crt\"",
        &[":20: unknown key \"client_ca\" in tls; it has: cert, key, ca", ":20: ca is missing: which PEM file has it?"],
    ),
    ("{ cert = \"a.crt\",", "{", &[":20: cert is missing: which PEM file has it?"]),
    ("\"/etc/a.key\"", "\"\"", &[":20: key: is empty: which PEM file has it?"]),
    ("tls = {", "tls = true #", &[":20: tls: is true or false, must be a table"]),
    ("election", "mode = \"half\"\nelection", &[":21: mode: \"half\" is not one of \"sync\", \"async\""]),
    ("election", "hold = 0\nelection", &[":21: hold: 0 is not within 1 to 60"]),
    ("election", "hold = 61\nelection", &[":21: hold: 61 is not within 1 to 60"]),
    ("election", "hold = 1\nelection", &[":21: hold: 1 s is less than twice the ttl of [ha.etcd], 1 s"]),
    ("election", "port = 1\nelection", &[UNKNOWN]),
    (
        "election = \"etcd\"\n",
        "",
        &[
            ":16: election is missing: \"etcd\", \"external\", \"active\" or \"standby\" says which of the two is active",
        ],
    ),
    (
        "\"etcd\"",
        "\"zookeeper\"",
        &[":21: election: \"zookeeper\" is not one of \"etcd\", \"external\", \"active\", \"standby\""],
    ),
    ("\"etcd\"", "\"external\"", &[":26: etcd: nothing uses [ha.etcd]: election is not \"etcd\""]),
    ("\"etcd\"", "\"standby\"", &[":26: etcd: nothing uses [ha.etcd]: election is not \"etcd\""]),
    (
        "[ha.peer]\nnode = \"b\"\naddress = \"b.example.net:3444\"\napi = \"[2001:db8::2]:3443\"\n",
        "",
        &[":16: peer is missing: a [ha.peer] says which device is the other one of the pair"],
    ),
    (
        "node = \"b\"\naddress = \"b.example.net:3444\"\napi = \"[2001:db8::2]:3443\"\n",
        "name = \"b\"\n",
        &[
            ":23: unknown key \"name\" in peer; it has: node, address, api",
            ":22: node is missing: what is the other device called?",
            ":22: address is missing: where does the other device listen, such as \"192.0.2.2:3444\"?",
            ":22: api is missing: where do clients reach the other device, such as \"192.0.2.2:3443\"?",
        ],
    ),
    ("\"b\"", "\"a\"", &[":23: node: a is this device itself; the other one needs another name"]),
    (
        "b.example.net:3444",
        "192.0.2.1:3444",
        &[":24: address: 192.0.2.1:3444 is where this device listens; where does the other one?"],
    ),
    ("[ha.peer]", "[[ha.peer]]", &[":22: peer: is a list, must be a table"]),
    (
        "[ha.etcd]\nendpoints = [\"http://192.0.2.10:2379\"]\nprefix = \"/opof/pair-1\"\n",
        "",
        &[":16: etcd is missing: with election = \"etcd\" an [ha.etcd] says which"],
    ),
    (
        "endpoints = [\"http://192.0.2.10:2379\"]\nprefix = \"/opof/pair-1\"\n",
        "user = \"root\"",
        &[
            ":27: unknown key \"user\" in etcd; it has: endpoints, prefix, ttl, tls",
            ":26: endpoints is missing: where is the etcd, such as \"http://192.0.2.10:2379\"?",
            ":26: prefix is missing: what do the keys of this pair begin with, such as \"/opof/pair-1\"?",
        ],
    ),
    (
        "[\"http://192.0.2.10:2379\"]",
        "[]",
        &[":27: endpoints: is empty: where is the etcd, such as \"http://192.0.2.10:2379\"?"],
    ),
    (
        "\"http://192.0.2.10:2379\"",
        "\"http://a\", \"http://b\", \"http://c\",\n\"http://d\", \"http://e\",\n\"http://f\"",
        &[":29: endpoints: more than 5 members"],
    ),
    (
        "\"http://192.0.2.10:2379\"",
        "\"http://a\",\n\"192.0.2.10:2379\",\n\"https://b\"",
        &[
            ":28: endpoints: \"192.0.2.10:2379\" can't be used: it begins with neither https:// nor http://",
            ":29: endpoints: \"https://b\" can't be used: https:// needs a CA by which the member's certificate is judged",
        ],
    ),
    (
        "prefix",
        "tls = { ca = \"ca.crt\" }\nprefix",
        &[":27: endpoints: \"http://192.0.2.10:2379\" can't be used: with certificates it has to begin with https://"],
    ),
    (
        "\"http://192.0.2.10:2379\"]",
        "\"https://a\"]\ntls = { cert = \"a.crt\" }",
        &[":28: ca is missing: which PEM file has it?", ":28: key is missing: which PEM file has it?"],
    ),
    (
        "\"http://192.0.2.10:2379\"]",
        "\"https://a\"]\ntls = { ca = \"ca.crt\", client_ca = \"ca.crt\" }",
        &[":28: unknown key \"client_ca\" in tls; it has: ca, cert, key"],
    ),
    ("\"/opof/pair-1\"", "\"a\\tb\"", &[":28: prefix: has a control character in it"]),
    (
        "election",
        "term_file = \"a.term\"\nelection",
        &[":21: term_file: \"a.term\" is not the absolute path of a file"],
    ),
    ("prefix", "ttl = 0\nprefix", &[":28: ttl: 0 is not within 1 to 30"]),
    ("prefix", "ttl = 31\nprefix", &[":28: ttl: 31 is not within 1 to 30"]),
    ("prefix", "ttl = 2\nprefix", &[":28: ttl: hold, 3 s where it is not set, is less than twice 2 s"]),
];

const UNKNOWN: &str = ":21: unknown key \"port\" in ha; it has: node, listen, api, peer, tls, mode, hold, election, etcd, \
     term_file";

#[test]
fn each_mistake_is_named_by_its_line() {
    for (from, to, expected) in MISTAKES {
        let text = pair(&[(from, to)]);
        let mut expected: Vec<_> = expected.iter().map(|message| format!("dir/f.toml{message}")).collect();
        let mut said = if expected.is_empty() { read(&text).map(|_| Vec::new()).unwrap() } else { said(&text) };
        expected.sort();
        said.sort();
        assert_eq!(said, expected, "{from} -> {to}");
    }
    let list = FINE.to_owned() + &PAIR.replace("[ha]", "[[ha]]");
    assert!(said(&list).contains(&"dir/f.toml:16: write it as [ha]".to_owned()), "{:?}", said(&list));
}

#[test]
fn a_pair_is_read() {
    let file = |name: &str| Path::new("dir").join(name);
    let config = read(&pair(&[])).unwrap();
    let etcd = EtcdConfig {
        endpoints: vec!["http://192.0.2.10:2379".to_owned()],
        prefix: "/opof/pair-1".to_owned(),
        node: "a".to_owned(),
        api: "192.0.2.1:3443".to_owned(),
        tls: None,
    };
    let expected = HaConfig {
        node: "a".to_owned(),
        listen: "192.0.2.1:3444".parse().unwrap(),
        api: "192.0.2.1:3443".to_owned(),
        peer: HaPeer {
            node: "b".to_owned(),
            address: "b.example.net:3444".to_owned(),
            api: "[2001:db8::2]:3443".to_owned(),
        },
        tls: HaTls { cert: file("a.crt"), key: "/etc/a.key".into(), ca: file("pair-ca.crt") },
        election: HaElection::Etcd { config: etcd.clone(), ttl: Duration::from_secs(1) },
        hold: Duration::from_secs(3),
        sync: true,
        term_file: None,
    };
    assert_eq!(config.ha, Some(expected.clone()));
    let summary = "262144 sessions at most, a in a pair with b, sync, elected by etcd";
    assert!(config.summary().ends_with(summary), "{}", config.summary());

    let all = pair(&[
        ("election", "mode = \"async\"\nhold = 60\nterm_file = \"/var/a.term\"\nelection"),
        ("[\"http://192.0.2.10:2379\"]", "[\"https://x:2379\", \"https://y:2379\"]"),
        ("prefix", "ttl = 30\ntls = { ca = \"ca.crt\", cert = \"c.crt\", key = \"c.key\" }\nprefix"),
    ]);
    let tls = EtcdTls { ca: file("ca.crt"), identity: Some((file("c.crt"), file("c.key"))) };
    let endpoints = ["https://x:2379", "https://y:2379"].map(str::to_owned).into();
    let config = EtcdConfig { endpoints, tls: Some(tls), ..etcd };
    let (election, term_file) = (HaElection::Etcd { config, ttl: Duration::from_secs(30) }, Some("/var/a.term".into()));
    assert_eq!(ha(&all), HaConfig { election, hold: Duration::from_secs(60), sync: false, term_file, ..expected });
    assert_eq!(read(FINE).unwrap().ha, None);
}

#[test]
fn who_is_active_is_said_by_others_or_here() {
    for (text, expected, summary) in [
        ("\"external\"", HaElection::External, "told when to be active"),
        ("\"active\"", HaElection::Fixed(Role::Active), "always active"),
        ("\"standby\"\nhold = 1", HaElection::Fixed(Role::Standby), "always standby"),
    ] {
        let config = read(&without_etcd(text)).unwrap();
        assert!(config.summary().ends_with(&format!("a in a pair with b, sync, {summary}")), "{}", config.summary());
        assert_eq!(config.ha.unwrap().election, expected);
    }
}

#[test]
fn the_name_that_sorts_first_is_side_a() {
    assert_eq!(ha(&pair(&[])).side(), Side::A);
    assert_eq!(ha(&pair(&[("\"a\"", "\"c\"")])).side(), Side::B);
    assert_eq!(ha(&pair(&[("\"a\"", "\"b-1\"")])).side(), Side::B);
}

#[test]
fn a_name_is_one_that_a_certificate_can_have() {
    let label = "x".repeat(63);
    let longest = format!("{}.{}", &label[..32], &label[..31]);
    for name in ["a", "fw-1.example_net", "1a", &label, &longest] {
        assert_eq!(ha(&pair(&[("\"a\"", &format!("\"{name}\""))])).node, name);
    }
    for name in
        ["a b", "ä", "a/b", "a..b", ".", "a.", "-a", "1", "192.0.2.1", &format!("{label}x"), &format!("{longest}x")]
    {
        let quoted = format!("\"{name}\"");
        assert_eq!(said(&pair(&[("\"a\"", &quoted)])), [format!("dir/f.toml:17: node: {quoted} {NO_NAME}")]);
        assert_eq!(said(&pair(&[("\"b\"", &quoted)])), [format!("dir/f.toml:23: node: {quoted} {NO_NAME}")]);
    }
    let same = said(&pair(&[("\"b\"", "\"A\"")]));
    assert_eq!(same, ["dir/f.toml:23: node: A is this device itself; the other one needs another name"]);
}

#[test]
fn a_destination_is_a_host_and_a_port() {
    let label = "x".repeat(63);
    let longest = [label.as_str(); 4].join(".")[..253].to_owned();
    for text in ["b:1", "b.example.net:65535", "127.0.0.1:1", "[::1]:1", "[fe80::1%2]:1", &format!("{longest}:1")] {
        assert_eq!(ha(&pair(&[("b.example.net:3444", text)])).peer.address, text);
    }
    for text in [
        "b",
        "b:",
        ":1",
        "b:0",
        "b:65536",
        "b:+1",
        "b:x",
        "a b:1",
        "192.0.2.300:1",
        "192.0.2.1:0",
        "2001:db8::1:1",
        "[2001:db8::1]",
        "[b]:1",
        "b.:1",
        "b..c:1",
        "http://b:1",
        &format!("{longest}x:1"),
    ] {
        let expected = format!("dir/f.toml:24: address: \"{text}\" {NO_HOST}");
        assert_eq!(said(&pair(&[("b.example.net:3444", text)])), [expected]);
        let expected = format!("dir/f.toml:19: api: \"{text}\" {NO_HOST}");
        assert_eq!(said(&pair(&[("192.0.2.1:3443", text)])), [expected]);
    }
}

#[test]
fn the_longest_prefix_is_what_the_store_takes() {
    let longest = "x".repeat(128);
    read(&pair(&[("/opof/pair-1", &longest)])).unwrap();
    let said = said(&pair(&[("/opof/pair-1", &format!("{longest}xx"))]));
    assert_eq!(said, ["dir/f.toml:28: prefix: is too long by 2 bytes"]);
}

#[test]
fn flags_lie_over_the_section() {
    let arguments = [
        "--ha",
        "node=c,hold=5,mode=async,tls.cert=c.crt,peer.api=b:1,etcd.ttl=2",
        "--ha",
        "etcd.endpoints=https://x,etcd.endpoints=https://y,etcd.tls.ca=ca.crt,peer.node=d",
    ];
    let config = from_text(Some(Path::new("dir/f.toml")), &pair(&[]), &flags(&arguments)).unwrap().ha.unwrap();
    assert_eq!((config.node.as_str(), config.hold, config.sync), ("c", Duration::from_secs(5), false));
    assert_eq!((config.tls.cert, config.tls.ca), ("c.crt".into(), "dir/pair-ca.crt".into()));
    let peer = HaPeer { node: "d".to_owned(), address: "b.example.net:3444".to_owned(), api: "b:1".to_owned() };
    assert_eq!(config.peer, peer);
    let HaElection::Etcd { config, ttl } = config.election else { panic!("etcd") };
    assert_eq!((config.node.as_str(), config.prefix.as_str(), ttl), ("c", "/opof/pair-1", Duration::from_secs(2)));
    assert_eq!(config.endpoints, ["https://x", "https://y"]);
    assert_eq!(config.tls, Some(EtcdTls { ca: "ca.crt".into(), identity: None }));

    let alone = "node=a,listen=[::1]:1,api=a:1,tls.cert=c,tls.key=k,tls.ca=ca,election=standby,peer.node=b,\
                 peer.address=b:1,peer.api=b:2";
    let config = from_text(None, "", &flags(&["--ha", alone])).unwrap().ha.unwrap();
    assert_eq!(config.election, HaElection::Fixed(Role::Standby));
}

#[test]
fn a_mistake_in_a_flag_is_named_by_the_flag() {
    for (text, expected) in [
        ("hold", "--ha hold: \"hold\" is not key=value"),
        ("hold=x", "--ha hold=x: hold: is a string, must be a whole number"),
        ("hold.tls=1", "--ha hold.tls=1: hold: is a table, must be a whole number"),
        ("holt=1", "--ha holt=1: unknown key \"holt\" in ha; it has: node, listen"),
        ("peer.nod=b", "--ha peer.nod=b: unknown key \"nod\" in peer; it has: node, address, api"),
        ("etcd.tls.crt=b", "--ha etcd.tls.crt=b: unknown key \"crt\" in tls; it has: ca, cert, key"),
        ("peer=b", "--ha peer=b: peer: is a string, must be a table"),
        ("node=b", "dir/f.toml:23: node: b is this device itself"),
        ("listen=127.0.0.1:3443", "--ha listen=127.0.0.1:3443: listen: 127.0.0.1:3443 is taken by the listener at dir"),
    ] {
        let error =
            from_text(Some(Path::new("dir/f.toml")), &pair(&[]), &flags(&["--ha", text])).expect_err("a mistake");
        assert!(error.to_string().contains(expected), "{error} should say {expected}");
    }
}
