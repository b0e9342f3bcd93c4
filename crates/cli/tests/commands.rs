//! The binary against a device on loopback.

use std::io::Write;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, BufReader, Lines};
use tokio::process::Command;

#[path = "../../client/tests/support/mod.rs"]
mod support;
use opof_api::pair::{GetPairResponse, Role};
use opof_api::{Dialect, Profile};
use support::{Mock, Setup, timed_out};
use tonic_health::pb::health_check_response::ServingStatus;

const ONE: [&str; 7] = ["add", "--source", "10.0.0.1:12345", "--destination", "10.1.0.3:80", "--protocol", "tcp"];

fn opof(uri: &str, home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_opof"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("OPOF_")) {
        command.env_remove(name);
    }
    command.env("OPOF_SERVER", uri).env("HOME", home).env_remove("XDG_STATE_HOME").kill_on_drop(true);
    command
}

/// Exit code, output, errors.
type Outcome = (i32, String, String);

fn outcome(output: Output) -> Outcome {
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (output.status.code().expect("not killed"), text(output.stdout), text(output.stderr))
}

async fn run(mock: &Mock, args: &[&str]) -> Outcome {
    let nowhere = Path::new("/nonexistent");
    outcome(opof(&mock.uri("http"), nowhere).args(args).output().await.expect("it starts"))
}

async fn add(mock: &Mock, more: &[&str]) -> Outcome {
    run(mock, &[&ONE, more].concat()).await
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

/// The next line of a program that may never write it.
async fn next_line(lines: &mut Lines<impl AsyncBufRead + Unpin>) -> Option<String> {
    let line = tokio::time::timeout(Duration::from_secs(20), lines.next_line()).await;
    line.expect("it comes soon").expect("readable")
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(text.as_bytes()).expect("room");
    file
}

fn session_line(id: u64) -> String {
    json!({"id": id, "source": "10.0.0.1:1", "destination": "10.0.0.2:2", "protocol": "udp"}).to_string()
}

#[tokio::test]
async fn a_session_from_add_to_delete() {
    let mock = Mock::start(None);
    let more = ["--id", "7", "--in-lif", "3", "--out-lif", "4", "--vlan", "100", "--out-vlan", "200"];
    assert_eq!(add(&mock, &more).await, (0, "1 session offloaded\n".to_owned(), String::new()));
    let sent = mock.state().sessions[&7].clone();
    assert_eq!((sent.in_lif, sent.out_lif, sent.source_ip), (100 << 16 | 3, 200 << 16 | 4, 0x0100_000A));

    let (code, out, _) = run(&mock, &["get", "7"]).await;
    assert_eq!(code, 0);
    let columns: Vec<_> = out.lines().nth(1).expect("a row").split_whitespace().collect();
    assert_eq!(columns, ["7", "established", "-", "70", "4200", "140", "210000", "2026-05-28T20:26:40Z", "-"]);

    let (code, out, _) = run(&mock, &["delete", "7", "--json"]).await;
    assert_eq!((code, &lines(&out)[0]["state"]), (0, &json!("closed")));
    let (code, out, errors) = run(&mock, &["delete", "7", "8"]).await;
    assert_eq!((code, out.as_str(), errors.as_str()), (1, "", "opof: no such session: 7, 8\n"));
}

#[tokio::test]
async fn a_refused_session_is_named() {
    let mock = Mock::start(None);
    mock.state().capacity = Some(1);
    assert_eq!(add(&mock, &["--id", "1"]).await.0, 0);
    let (code, out, errors) = add(&mock, &["--id", "1"]).await;
    assert_eq!(code, 1);
    assert_eq!(out, "session 1: already exists\n0 sessions offloaded, 1 refused\n");
    assert_eq!(errors, "opof: 1 of 1 sessions refused\n");
    let (code, out, _) = add(&mock, &["--id", "2", "--json"]).await;
    let expected = vec![json!({"id": 2, "error": "table_full"}), json!({"accepted": 0, "refused": 1})];
    assert_eq!((code, lines(&out)), (1, expected));
}

#[tokio::test]
async fn a_file_of_sessions() {
    let mock = Mock::start(None);
    let good = file(&(0..5000).map(session_line).collect::<Vec<_>>().join("\n"));
    let path = good.path().to_str().expect("a plain path");
    assert_eq!(run(&mock, &["add", "--file", path]).await, (0, "5000 sessions offloaded\n".to_owned(), String::new()));
    assert_eq!(mock.state().sessions.len(), 5000);
    let bad = file(&format!("{}\n{{\"id\": 2}}\n", session_line(9000)));
    let path = bad.path().to_str().expect("a plain path");
    let (code, out, errors) = run(&mock, &["add", "--file", path]).await;
    assert_eq!((code, out.as_str()), (2, ""));
    assert_eq!(errors, format!("opof: {path} line 2: missing field `source` at column 9\n"));
    let (code, _, errors) = run(&mock, &["add", "--file", "/nonexistent"]).await;
    assert_eq!((code, errors.as_str()), (2, "opof: /nonexistent: No such file or directory (os error 2)\n"));
}

#[tokio::test]
async fn sessions_from_standard_input() {
    let mock = Mock::start(None);
    let input = file(&format!("{}\n{}\n", session_line(1), session_line(2)));
    let mut command = opof(&mock.uri("http"), Path::new("/nonexistent"));
    command.args(["add", "--file", "-"]).stdin(Stdio::from(input.reopen().expect("a file")));
    let (code, out, _) = outcome(command.output().await.expect("it starts"));
    assert_eq!((code, out.as_str()), (0, "2 sessions offloaded\n"));
}

#[tokio::test]
async fn a_list_begins_and_ends_where_it_is_told() {
    let mock = Mock::start(None);
    let many = file(&(0..3000).map(session_line).collect::<Vec<_>>().join("\n"));
    run(&mock, &["add", "--file", many.path().to_str().expect("a plain path")]).await;
    let ids = |out: &str| lines(out).iter().map(|line| line["id"].as_u64().expect("a number")).collect::<Vec<_>>();
    let (_, out, _) = run(&mock, &["list", "--json"]).await;
    assert_eq!(ids(&out), (0..3000).collect::<Vec<_>>());
    let (_, out, _) = run(&mock, &["list", "--json", "--from", "100", "--limit", "1500"]).await;
    assert_eq!(ids(&out), (100..1600).collect::<Vec<_>>());
    let (code, out, _) = run(&mock, &["list", "--limit", "2"]).await;
    assert_eq!((code, out.lines().count()), (0, 3));
}

#[tokio::test]
async fn closed_sessions_are_told_once() {
    let mock = Mock::start(None);
    mock.state().closed.extend([3, 1, 2].map(timed_out));
    let (code, out, _) = run(&mock, &["closed", "--limit", "2", "--json"]).await;
    let told: Vec<_> = lines(&out).iter().map(|line| (line["id"].clone(), line["close_code"].clone())).collect();
    assert_eq!((code, told), (0, vec![(json!(3), json!("timeout")), (json!(1), json!("timeout"))]));
    let (_, out, _) = run(&mock, &["closed"]).await;
    assert_eq!(out.lines().count(), 2, "a header and the one that is left");
    assert_eq!(run(&mock, &["closed"]).await, (0, String::new(), String::new()));
}

#[tokio::test]
async fn closed_sessions_are_followed() {
    let mock = Mock::start(None);
    let mut child = opof(&mock.uri("http"), Path::new("/nonexistent"))
        .args(["closed", "--follow", "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut out = BufReader::new(child.stdout.take().expect("piped")).lines();
    for id in [5, 6] {
        mock.state().closed.push_back(timed_out(id));
        let line = out.next_line().await.expect("readable").expect("it stays");
        assert_eq!(lines(&line)[0]["id"], id);
    }
    child.kill().await.expect("it runs");
}

#[tokio::test]
async fn closed_sessions_are_followed_over_a_device_that_comes_back() {
    for follows in [false, true] {
        let mut mock = Mock::start(None);
        mock.state().follows = follows;
        let mut child = opof(&mock.uri("http"), Path::new("/nonexistent"))
            .args(["closed", "--follow"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut out = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut errors = BufReader::new(child.stderr.take().expect("piped")).lines();
        mock.state().closed.push_back(timed_out(5));
        assert!(next_line(&mut out).await.expect("a header").contains("CLOSED BY"));
        assert!(next_line(&mut out).await.expect("a row").contains(" timeout "));
        mock.stop();
        let line = next_line(&mut errors).await.expect("it stays");
        assert!(line.ends_with("; trying again"), "{line}");
        mock.restart();
        mock.state().closed.push_back(timed_out(6));
        assert!(next_line(&mut out).await.expect("a row").trim_start().starts_with("6 "));
        // What no retry mends is the end of it.
        mock.state().fails = Some(tonic::Status::permission_denied("no more"));
        mock.stop();
        mock.restart();
        assert_eq!(child.wait().await.expect("it ends").code(), Some(1));
    }
}

#[tokio::test]
async fn dialect_and_profile_are_options() {
    let mock = Mock::start(None);
    mock.state().profile = Profile::BLUEFIELD;
    for dialect in Dialect::ALL {
        let spoken = ["--dialect", dialect.name(), "--profile", "bluefield"];
        assert_eq!(add(&mock, &[&["--id", "1"][..], &spoken].concat()).await.0, 0);
        assert_eq!(mock.state().sessions[&1].source_ip, 0x0A00_0001);
        let (_, out, _) = run(&mock, &[&["list", "--json"][..], &spoken].concat()).await;
        assert_eq!(lines(&out).len(), 1);
        assert_eq!(run(&mock, &[&["delete", "1"][..], &spoken].concat()).await.0, 0);
        let (code, _, errors) = run(&mock, &[&["get", "1"][..], &spoken].concat()).await;
        assert_eq!((code, errors.as_str()), (1, "opof: no such session: 1\n"));
    }
    assert_eq!(mock.state().spoken, Dialect::ALL);
}

#[tokio::test]
async fn routed_sessions_and_what_they_need() {
    let mock = Mock::start(None);
    mock.state().speaks = true;
    let routed = ["--id", "1", "--out-next-hop", "7", "--out-snat", "192.0.2.1:4000"];
    let (code, _, errors) = add(&mock, &routed).await;
    assert_eq!(code, 2);
    assert!(errors.contains("session 1: v1 has no words for") && errors.contains("use v1beta1"), "{errors}");

    let routed = [&routed[..], &["--dialect", "v1beta1"]].concat();
    let (code, out, _) = add(&mock, &routed).await;
    let refused = "session 1: action.actionParams_outLif.nextHopId: no next hop 7\n";
    assert_eq!((code, out), (1, format!("{refused}0 sessions offloaded, 1 refused\n")));

    let set = ["next-hop", "set", "--id", "7", "--source-mac", "02:00:00:00:00:01"];
    let set = [&set[..], &["--destination-mac", "02:00:00:00:00:02"]].concat();
    assert_eq!(run(&mock, &set).await, (0, "next hop 7: set\n".to_owned(), String::new()));
    assert_eq!(add(&mock, &routed).await.0, 0);
    let (code, out, errors) = run(&mock, &["next-hop", "destroy", "8", "7", "9", "--json"]).await;
    assert_eq!((code, lines(&out)), (1, vec![json!({"next_hop": 7, "done": "destroyed"})]));
    for id in [8, 9] {
        let said = format!("refused next hop {id}: nextHopId: no next hop {id}");
        assert!(errors.contains(&said) && errors.lines().count() == 1, "{errors}");
    }
    assert_eq!(run(&mock, &["next-hop", "clear", "--yes"]).await.0, 0);

    let flow = |vlan| ["vlan-flow", "add", "--vlan", vlan, "--lif", "2"];
    assert_eq!(run(&mock, &flow("200")).await, (0, "flow of vlan 200: added\n".to_owned(), String::new()));
    assert_eq!(run(&mock, &flow("100")).await.0, 0);
    let (code, _, errors) = run(&mock, &flow("100")).await;
    assert_eq!((code, errors.ends_with("vlanId: vlan 100 has a flow\n")), (1, true), "{errors}");
    mock.state().speaks = false;
    let (code, _, errors) = run(&mock, &flow("100")).await;
    assert_eq!((code, errors.contains("_REJECTED_SESSION_ALREADY_EXISTS")), (1, true), "{errors}");
    let (_, out, _) = run(&mock, &[&flow("300")[..], &["--json"]].concat()).await;
    assert_eq!(lines(&out), [json!({"vlan": 300, "lif": 2, "done": "added"})]);
    let (_, out, _) = run(&mock, &["vlan-flow", "remove", "300", "--json"]).await;
    assert_eq!(lines(&out), [json!({"vlan": 300, "done": "removed"})]);
    assert_eq!(run(&mock, &["vlan-flow", "list"]).await.1, "VLAN  LIF\n 100    2\n 200    2\n");
    let (_, out, _) = run(&mock, &["vlan-flow", "list", "--json"]).await;
    assert_eq!(lines(&out), [json!({"vlan": 100, "lif": 2}), json!({"vlan": 200, "lif": 2})]);
    let (code, out, errors) = run(&mock, &["vlan-flow", "remove", "100", "300"]).await;
    assert_eq!(
        (code, out.as_str(), errors.as_str()),
        (1, "flow of vlan 100: removed\n", "opof: no flow of VLAN 300\n")
    );
    assert_eq!(run(&mock, &["vlan-flow", "clear", "--yes"]).await.0, 0);
    assert_eq!(run(&mock, &["vlan-flow", "list"]).await, (0, String::new(), String::new()));
}

#[tokio::test]
async fn the_device_as_a_whole() {
    let mock = Mock::start(None);
    let (code, out, errors) = run(&mock, &["health"]).await;
    assert_eq!(
        (code, out.as_str(), errors.as_str()),
        (1, "unknown\n", "opof: the device does not say that it serves\n")
    );
    mock.state().health = Some(ServingStatus::NotServing);
    assert_eq!(run(&mock, &["health"]).await.1, "not serving\n");
    mock.state().health = Some(ServingStatus::Serving);
    assert_eq!(run(&mock, &["health", "--json"]).await, (0, "{\"health\":\"serving\"}\n".to_owned(), String::new()));

    assert_eq!(run(&mock, &["version"]).await, (0, "mock 1.2.3\nnobody\nnone\n".to_owned(), String::new()));
    let (_, out, _) = run(&mock, &["version", "--json"]).await;
    assert_eq!(lines(&out)[0]["vendor"], "nobody");

    add(&mock, &["--id", "1"]).await;
    assert_eq!(run(&mock, &["reset"]).await.0, 2, "it has to be meant");
    assert_eq!(mock.state().sessions.len(), 1);
    assert_eq!(run(&mock, &["reset", "--yes"]).await, (0, "all sessions: closed\n".to_owned(), String::new()));
    assert_eq!(mock.state().sessions.len(), 0);
    assert_eq!(run(&mock, &["shutdown"]).await.0, 2, "it has to be meant");
    assert_eq!(run(&mock, &["shutdown", "--yes", "--within", "30"]).await.0, 0);
    assert_eq!(mock.state().shutdowns, [30]);
    let (code, _, errors) = run(&mock, &["shutdown", "--yes", "--dialect", "v2"]).await;
    assert_eq!((code, errors.as_str()), (2, "opof: v2 has no ShutdownServer; use v1.1\n"));
}

#[tokio::test]
async fn a_command_that_the_dialect_lacks_needs_no_device() {
    let nowhere = ["--dialect", "v1", "--server", "http://127.0.0.1:1"];
    for (command, method) in [
        (&["version"][..], "getServiceVersion"),
        (&["reset", "--yes"], "reset"),
        (&["next-hop", "destroy", "1"], "destroyNextHop"),
        (&["vlan-flow", "list"], "getVlanFlows"),
    ] {
        let command = [command, &nowhere[..]].concat();
        let ended = opof("", Path::new("/nonexistent")).args(&command).output().await.expect("it starts");
        let expected = format!("opof: v1 has no {method}; use v1beta1\n");
        assert_eq!(outcome(ended), (2, String::new(), expected));
    }
}

#[tokio::test]
async fn a_reader_that_has_seen_enough_is_no_failure() {
    let mock = Mock::start(None);
    let many = file(&(0..3000).map(session_line).collect::<Vec<_>>().join("\n"));
    let path = many.path().to_str().expect("a plain path");
    // Refusals find no reader either, and the work is done all the same.
    mock.state().capacity = Some(2000);
    let unread = async |args: &[&str]| {
        let mut child = opof(&mock.uri("http"), Path::new("/nonexistent"))
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        drop(child.stdout.take());
        let (code, _, errors) = outcome(child.wait_with_output().await.expect("it ends"));
        (code, errors)
    };
    assert_eq!(unread(&["add", "--file", path]).await, (1, "opof: 1000 of 3000 sessions refused\n".to_owned()));
    assert_eq!(unread(&["list"]).await, (0, String::new()));
    assert_eq!(unread(&["list", "--json"]).await, (0, String::new()));
    assert_eq!(unread(&["delete", "1", "2", "3"]).await, (0, String::new()));
    assert_eq!(mock.state().sessions.len(), 1997);
    let (_, out, _) = run(&mock, &["list"]).await;
    assert_eq!(out.lines().count(), 1998, "one header");
}

#[tokio::test]
async fn a_unix_socket_and_a_certificate_of_our_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = Mock::with(Setup { socket: Some(folder.path().join("s")), ..Setup::default() });
    assert_eq!(run(&socket, &["device"]).await.0, 0);

    let [server, own] = ["localhost", "firewall"].map(|name| {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).expect("a certificate");
        (made.cert.pem(), made.signing_key.serialize_pem())
    });
    let mock = Mock::with(Setup {
        identity: Some(tonic::transport::Identity::from_pem(&server.0, &server.1)),
        client_ca: Some(tonic::transport::Certificate::from_pem(&own.0)),
        socket: None,
    });
    let (ca, cert, key) = (file(&server.0), file(&own.0), file(&own.1));
    let uri = mock.uri("https");
    let device = |more: &[(&str, &Path)]| {
        let mut command = opof(&uri, Path::new("/nonexistent"));
        command.env("OPOF_CA", ca.path()).envs(more.iter().copied()).arg("device");
        async move { outcome(command.output().await.expect("it starts")) }
    };
    assert_eq!(device(&[("OPOF_CERT", cert.path()), ("OPOF_KEY", key.path())]).await.0, 0);
    assert_eq!(device(&[]).await.0, 3);
    let (code, _, errors) = device(&[("OPOF_CERT", cert.path())]).await;
    assert_eq!((code, errors.contains("give --cert and --key together")), (2, true), "{errors}");
    let (code, _, errors) = device(&[("OPOF_CERT", cert.path()), ("OPOF_KEY", ca.path())]).await;
    assert_eq!((code, errors.contains("the client key: it has no private key")), (2, true), "{errors}");
}

#[tokio::test]
async fn the_device() {
    let mock = Mock::start(None);
    let (code, out, _) = run(&mock, &["device"]).await;
    assert_eq!(code, 0);
    assert!(out.starts_with("opofd 1.2.3, sim data plane, up 1 h 2 min\nsessions  0 of 1000"), "{out}");
    let (_, out, _) = run(&mock, &["device", "--json"]).await;
    assert_eq!(lines(&out)[0]["ports"][0]["received"]["packets"], 100);
}

#[tokio::test]
async fn the_device_in_its_pair() {
    let mock = Mock::start(None);
    let (code, out, errors) = run(&mock, &["ha", "status"]).await;
    assert_eq!((code, out.as_str()), (1, ""));
    let expected = format!(
        "opof: {} refused the call (FAILED_PRECONDITION): this device is not one of a pair\n",
        mock.uri("http")
    );
    assert_eq!(errors, expected);
    let pair = GetPairResponse { node: "opof-a".to_owned(), role: Role::Active.into(), term: 3, ..Default::default() };
    mock.state().pair = Some(pair);
    mock.state().health = Some(ServingStatus::NotServing);
    mock.state().faultless = Some(ServingStatus::Serving);
    let (code, out, _) = run(&mock, &["ha", "status"]).await;
    assert!(code == 0 && out.starts_with("node      opof-a\nrole      active for 0 s"), "{out}");
    let said = async |args: &[&str]| {
        let (code, out, errors) = run(&mock, args).await;
        assert_eq!((code, errors.as_str()), (0, ""), "{args:?}");
        let line = lines(&out).remove(0);
        [line["role"].clone(), line["role_why"].clone()]
    };
    assert_eq!(said(&["ha", "switchover", "--json"]).await, ["standby", "handover"]);
    assert_eq!(said(&["ha", "become", "active", "--json"]).await, ["active", "told"]);
    assert_eq!(said(&["ha", "become", "standby", "--json"]).await, ["standby", "told"]);
    assert_eq!(said(&["ha", "resync", "--json"]).await, ["standby", "told"]);
    mock.state().faultless = Some(ServingStatus::NotServing);
    let (code, out, errors) = run(&mock, &["ha", "status", "--json"]).await;
    assert_eq!((code, &lines(&out)[0]["fit"]), (1, &json!(false)));
    assert_eq!(errors, "opof: the device does not say that it is fit to be active\n");
}

#[tokio::test]
async fn sessions_are_added_where_the_active_one_is_and_ha_stays_where_it_is_told() {
    let (standby, active) = (Mock::start(None), Mock::start(None));
    let mut refused = tonic::Status::unavailable("this device is standby");
    let named = format!("localhost:{}", active.address.port()).parse().expect("ASCII");
    refused.metadata_mut().insert(opof_api::metadata::ACTIVE, named);
    standby.state().fails = Some(refused);
    let other = active.uri("http");
    let (code, _, errors) = add(&standby, &["--id", "7"]).await;
    assert_eq!((code, errors.contains("this device is standby")), (3, true), "{errors}");
    let both = ["--server", &standby.uri("http"), "--server", &other];
    assert_eq!(add(&standby, &[&["--id", "7"], &both[..]].concat()).await.0, 0);
    assert!(active.state().sessions.contains_key(&7));
    let (code, _, errors) = run(&standby, &[&["ha", "status"], &both[..]].concat()).await;
    assert_eq!((code, errors.contains("give --server once")), (2, true), "{errors}");
    assert_eq!(run(&standby, &["ha", "status"]).await.0, 3, "not that of the other one");
}

#[tokio::test]
async fn empty_variables_count_as_not_set() {
    let mock = Mock::start(None);
    let mut command = opof("", Path::new("/nonexistent"));
    for name in ["OPOF_CA", "OPOF_CERT", "OPOF_KEY", "OPOF_DOMAIN", "OPOF_DIALECT", "OPOF_PROFILE"] {
        command.env(name, "");
    }
    command.args(["list", "--server", &mock.uri("http")]);
    let (code, _, errors) = outcome(command.output().await.expect("it starts"));
    assert_eq!((code, errors.as_str()), (0, ""));
}

#[tokio::test]
async fn wrong_arguments_need_no_device() {
    let mock = Mock::start(None);
    let (code, _, errors) = add(&mock, &["--id", "1", "--vlan", "4095"]).await;
    assert_eq!((code, errors.as_str()), (2, "opof: vlan 4095: a VLAN is a number from 1 to 4094\n"));
    assert_eq!(add(&mock, &["--id", "one"]).await.0, 2);
    let (code, _, errors) = run(&mock, &["device", "--server", "localhost:3443"]).await;
    assert_eq!(code, 2);
    assert!(errors.contains("https://localhost:3443") && errors.lines().count() == 1, "{errors}");
    assert_eq!(mock.state().streams, 0);
}

#[tokio::test]
async fn a_device_that_is_not_there_or_does_not_answer() {
    let mock = Mock::start(None);
    // Port 1 on loopback: nobody listens there.
    let (code, _, errors) = run(&mock, &["device", "--server", "http://127.0.0.1:1"]).await;
    assert_eq!((code, errors.lines().count()), (3, 1), "{errors}");
    assert!(errors.starts_with("opof: cannot reach http://127.0.0.1:1: "), "{errors}");
    mock.state().stalls = true;
    let (code, _, errors) = run(&mock, &["get", "1", "--timeout", "1"]).await;
    assert_eq!((code, errors.contains("within 1 s")), (3, true), "{errors}");
}

#[tokio::test]
async fn the_daemons_own_certificate_is_found_and_another_can_be_given() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let identity = tonic::transport::Identity::from_pem(made.cert.pem(), made.signing_key.serialize_pem());
    let mock = Mock::start(Some(identity));
    let uri = mock.uri("https");

    let home = tempfile::tempdir().expect("a folder");
    let device = async || outcome(opof(&uri, home.path()).arg("device").output().await.expect("it starts"));
    let (code, _, errors) = device().await;
    assert_eq!((code, errors.contains("no TLS with")), (3, true), "{errors}");

    let folder = home.path().join(".local/state/opof/self-signed");
    std::fs::create_dir_all(&folder).expect("room");
    std::fs::write(folder.join("cert.pem"), made.cert.pem()).expect("room");
    assert_eq!(device().await.0, 0);

    let ca = file(&made.cert.pem());
    let given = |path: &Path| opof(&uri, Path::new("/nonexistent")).arg("device").arg("--ca").arg(path).output();
    assert_eq!(outcome(given(ca.path()).await.expect("it starts")).0, 0);
    let (code, _, errors) = outcome(given(Path::new("/nonexistent")).await.expect("it starts"));
    assert_eq!((code, errors.starts_with("opof: cannot read the CA file /nonexistent: ")), (2, true), "{errors}");
}
