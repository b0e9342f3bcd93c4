//! `opof conformance` against a device on loopback.

use std::process::Stdio;

use serde_json::Value;
use tokio::process::Command;

#[path = "../../client/tests/support/mod.rs"]
mod support;
use support::Mock;

async fn run(uri: &str, args: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_opof"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("OPOF_")) {
        command.env_remove(name);
    }
    command.env("HOME", "/nonexistent").env_remove("XDG_STATE_HOME").kill_on_drop(true).stdin(Stdio::null());
    let output = command.args(["conformance", "--server", uri]).args(args).output().await.expect("it starts");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (output.status.code().expect("not killed"), text(output.stdout), text(output.stderr))
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

#[tokio::test]
async fn cases_that_pass_end_with_0() {
    let mock = Mock::start(None);
    let only = ["--only", "bad-port", "--only", "ipv4-order", "--only", "list-cursor-exclusive"];
    let (code, out, errors) = run(&mock.uri("http"), &only).await;
    assert_eq!((code, errors.as_str()), (0, ""), "{out}");
    let words: Vec<Vec<&str>> = out.lines().map(|line| line.split_whitespace().take(2).collect()).collect();
    assert_eq!(
        words[..4],
        [["CASE", "RESULT"], ["bad-port", "passed"], ["ipv4-order", "n/a"], ["list-cursor-exclusive", "n/a"]]
    );
    assert!(out.ends_with("\n\n1 passed, 0 failed, 0 advisory failed, 2 not applicable\n"), "{out}");
}

#[tokio::test]
async fn a_case_that_fails_ends_with_1_and_says_what_was_seen() {
    let mock = Mock::start(None);
    mock.state().profile.unknown_id = opof_api::profile::Absence::NotFound;
    mock.state().profile.no_closed = opof_api::profile::Absence::NotFound;
    let (code, out, errors) = run(&mock.uri("http"), &["--only", "unknown-id-in-the-message", "--json"]).await;
    assert_eq!(code, 1, "{out}");
    assert!(errors.starts_with("opof: the server does not conform: 0 passed, 1 failed"), "{errors}");
    let line = &lines(&out)[0];
    assert_eq!((line["case"].as_str(), line["result"].as_str()), (Some("unknown-id-in-the-message"), Some("failed")));
    assert_eq!(line["expected"], "getSession of an unknown id to end with gRPC Ok");
    assert_eq!(line["seen"], "gRPC NotFound (no such session)");
    assert_eq!(line["family"], "profile-switches");
}

#[tokio::test]
async fn nobody_there_ends_with_3_and_a_wrong_name_with_2() {
    let (code, _, errors) = run("http://127.0.0.1:9", &[]).await;
    assert_eq!(code, 3, "{errors}");
    let (code, _, errors) = run("http://127.0.0.1:9", &["--only", "bad-prot"]).await;
    assert_eq!((code, errors.as_str()), (2, "opof: no case or family is called bad-prot; --list names them\n"));
    let (code, _, errors) = run("http://127.0.0.1:9", &["--dialect", "v3"]).await;
    assert!(code == 2 && errors.contains("possible values: v1, v1.1, v1beta1, v2"), "{errors}");
}

#[tokio::test]
async fn a_server_in_service_is_left_alone() {
    let mock = Mock::start(None);
    mock.state().sessions.insert(7, opof_api::v1::SessionRequest::default());
    let (code, out, errors) = run(&mock.uri("http"), &["--only", "bad-port"]).await;
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(errors.contains("--force"), "{errors}");
    let (code, out, _) = run(&mock.uri("http"), &["--only", "bad-port", "--force"]).await;
    assert_eq!(code, 0, "{out}");
    assert!(mock.state().sessions.contains_key(&7));
}

#[tokio::test]
async fn the_list_names_each_case_and_asks_nobody() {
    let (code, out, errors) = run("http://127.0.0.1:9", &["--list", "--only", "services"]).await;
    assert_eq!((code, errors.as_str()), (0, ""));
    let words: Vec<Vec<&str>> = out.lines().map(|line| line.split_whitespace().take(2).collect()).collect();
    assert_eq!(words, [["FAMILY", "CASE"], ["services", "health"], ["services", "reflection"]]);
    let (code, out, _) = run("http://127.0.0.1:9", &["--list", "--json"]).await;
    assert_eq!((code, lines(&out).len()), (0, opof_conformance::cases().count()));
}
