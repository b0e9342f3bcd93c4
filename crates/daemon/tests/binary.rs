//! opofd as a process: what it prints, how it ends.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests as well")]

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

fn opofd(state: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_opofd"));
    command.env_clear().env("XDG_STATE_HOME", state).stdin(Stdio::null()).current_dir(state);
    command
}

fn run(state: &Path, arguments: &[&str]) -> Output {
    opofd(state).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Ends with the test, whatever becomes of it.
struct Running(Child);

impl Running {
    fn stop(&mut self) -> i32 {
        let pid = Pid::from_child(&self.0);
        kill_process(pid, Signal::TERM).unwrap();
        self.0.wait().unwrap().code().expect("it ends by itself, not by the signal")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn it_makes_a_certificate_says_where_and_stops_in_order() {
    let state = tempfile::tempdir().unwrap();
    let mut command = opofd(state.path());
    // The default port may be taken on the machine that runs the tests; nothing else differs.
    command.args(["--listener", "address=127.0.0.1:0,self_signed=true"]);
    let mut daemon = Running(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    let mut line = String::new();
    BufReader::new(daemon.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let cert = state.path().join("opof/self-signed/cert.pem");
    assert!(line.contains(cert.to_str().unwrap()) && line.contains("ssl_channel_credentials"), "{line}");
    assert!(cert.exists());
    assert_eq!(daemon.stop(), 0);
    let mut log = String::new();
    daemon.0.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    for expected in ["listening", "sim1-wire", "opofd has stopped", env!("CARGO_PKG_VERSION")] {
        assert!(log.contains(expected), "{expected} is not in the log:\n{log}");
    }
}

/// The lines of its log, until one has `wanted` in it.
fn log_until(log: &mut impl BufRead, wanted: &str) -> String {
    let mut text = String::new();
    while !text.lines().last().is_some_and(|line| line.contains(wanted)) {
        assert_ne!(log.read_line(&mut text).unwrap(), 0, "{wanted} is not in the log:\n{text}");
    }
    text
}

#[test]
fn systemd_is_told_when_it_is_ready_that_it_is_alive_and_that_it_stops() {
    let state = tempfile::tempdir().unwrap();
    let path = state.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut command = opofd(state.path());
    command.env("NOTIFY_SOCKET", &path).args(["--listener", "address=127.0.0.1:0,plaintext=true"]);
    let mut daemon = Running(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    let says = || {
        let mut text = [0; 256];
        let len = socket.recv(&mut text).unwrap();
        String::from_utf8_lossy(&text[..len]).trim().to_owned()
    };
    assert_eq!([says(), says(), says()], ["READY=1", "WATCHDOG=1", "WATCHDOG=1"]);
    assert_eq!(daemon.stop(), 0);
    while says() != "STOPPING=1" {}
}

#[test]
fn sighup_reads_the_certificates_again_and_stops_nothing() {
    let state = tempfile::tempdir().unwrap();
    let mut command = opofd(state.path());
    command.args(["--listener", "address=127.0.0.1:0,self_signed=true"]);
    let mut daemon = Running(command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap());
    let mut log = BufReader::new(daemon.0.stderr.take().unwrap());
    log_until(&mut log, "listening");
    kill_process(Pid::from_child(&daemon.0), Signal::HUP).unwrap();
    log_until(&mut log, "certificate reloaded");
    std::fs::write(state.path().join("opof/self-signed/key.pem"), "nothing").unwrap();
    kill_process(Pid::from_child(&daemon.0), Signal::HUP).unwrap();
    log_until(&mut log, "the old one stays in use: key");
    assert_eq!(daemon.stop(), 0);
}

#[tokio::test]
async fn a_shutdown_by_a_call_ends_the_process_in_order_and_in_time() {
    let state = tempfile::tempdir().unwrap();
    let socket = format!("unix:{}/opofd.sock", state.path().display());
    let mut command = opofd(state.path());
    command.args(["--listener", &format!("address={socket},shutdown=true")]);
    let mut daemon = Running(command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap());
    let mut log = BufReader::new(daemon.0.stderr.take().unwrap());
    log_until(&mut log, "listening");
    let channel = tonic::transport::Endpoint::new(socket).unwrap().connect().await.unwrap();
    let mut client = opof_api::Rpc::new(channel, opof_api::Dialect::V1_1);
    // A session that nobody will collect: it is logged, and does not keep the daemon longer than it may.
    let action = opof_api::v1beta1::ActionParameters { action_type: 1, ..Default::default() };
    let session = opof_api::v1beta1::SessionRequest {
        session_id: 7,
        source_ip: 1,
        destination_ip: 2,
        protocol_id: 17,
        action: Some(action),
        cache_timeout: 1,
        ..Default::default()
    };
    client.add_session(tokio_stream::iter([session])).await.unwrap();
    tokio::time::sleep(Duration::from_millis(2100)).await;
    client.shutdown_server(opof_api::v1_1::ShutdownRequest { deadline: 2 }).await.unwrap();
    let before = tokio::time::Instant::now();
    let code = tokio::task::spawn_blocking(move || daemon.0.wait().unwrap().code()).await.unwrap();
    assert_eq!(code, Some(0));
    assert!(before.elapsed() < Duration::from_secs(4), "two seconds and some slack: {:?}", before.elapsed());
    let log = log_until(&mut log, "opofd has stopped");
    assert!(log.contains("closed session lost") && log.contains("session=7"), "{log}");
}

#[test]
fn a_port_in_use_is_one_line_and_code_3() {
    let state = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let listener = format!("address={},plaintext=true", taken.local_addr().unwrap());
    let output = run(state.path(), &["--listener", &listener]);
    assert_eq!(output.status.code(), Some(3));
    let said = text(&output.stderr);
    assert!(said.starts_with("opofd: listener 127.0.0.1:") && said.contains("in use; stop the other"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn a_missing_key_is_one_line_and_code_4() {
    let state = tempfile::tempdir().unwrap();
    let listener = "address=127.0.0.1:0,tls.cert=no.crt,tls.key=no.key";
    let output = run(state.path(), &["--listener", listener]);
    assert_eq!(output.status.code(), Some(4));
    let said = text(&output.stderr);
    assert!(said.starts_with("opofd: certificate no.crt: can't be read"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn an_unknown_interface_is_one_line_and_code_5() {
    let state = tempfile::tempdir().unwrap();
    let output = run(
        state.path(),
        &[
            "--listener",
            "address=127.0.0.1:0,plaintext=true",
            "--data-plane",
            "xdp",
            "--lif",
            "id=1,wire=opof-none0,firewall=opof-none1",
            "--lif",
            "id=2,wire=opof-none2,firewall=opof-none3",
        ],
    );
    assert_eq!(output.status.code(), Some(5));
    let said = text(&output.stderr);
    // Who may not load programs at all learns that first.
    let expected = ["interface opof-none0: there is none of this name", "permission denied"];
    assert!(said.starts_with("opofd: data plane: ") && expected.iter().any(|part| said.contains(part)), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn check_config_names_mistakes_and_praises_their_absence() {
    let state = tempfile::tempdir().unwrap();
    let file = state.path().join("f.toml");
    std::fs::write(&file, "[data_plane]\nkind = \"sim\"\n[[listener]]\naddress = \"127.0.0.1:1\"\nplaintext = true\n")
        .unwrap();
    let file = file.to_str().unwrap();
    let praised = run(state.path(), &["check-config", file]);
    assert_eq!(praised.status.code(), Some(0));
    assert_eq!(text(&praised.stdout).lines().count(), 1);
    let json: serde_json::Value =
        serde_json::from_slice(&run(state.path(), &["check-config", file, "--json"]).stdout).unwrap();
    assert_eq!((json["ok"].as_bool(), json["mistakes"].as_array().unwrap().len()), (Some(true), 0));

    std::fs::write(file, "[data_plane]\nkind = \"sin\"\n[[listener]]\naddress = 1\nplaintext = true\n").unwrap();
    let wrong = run(state.path(), &["check-config", file]);
    assert_eq!(wrong.status.code(), Some(1));
    let said = text(&wrong.stderr);
    let begins: Vec<_> = said.lines().map(|line| line.split(": ").next().unwrap()).collect();
    assert_eq!(begins, [format!("{file}:2"), format!("{file}:4")]);
    let output = run(state.path(), &["check-config", "--json", file]);
    assert_eq!(output.status.code(), Some(1));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["mistakes"][1]["line"], 4);
    assert!(json["mistakes"][1]["message"].as_str().unwrap().contains("address"));

    let missing = run(state.path(), &["check-config", "no.toml"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(text(&missing.stderr).starts_with("no.toml: can't be read"));
    assert_eq!(run(state.path(), &["--config", file]).status.code(), Some(1));
}

#[test]
fn help_has_examples_and_an_unknown_flag_is_code_2() {
    let state = tempfile::tempdir().unwrap();
    let help = run(state.path(), &["--help"]);
    assert_eq!(help.status.code(), Some(0));
    let said = text(&help.stdout);
    for expected in ["Examples:", "--lif id=1,wire=ens0,firewall=vf0", "check-config", "Exit codes:"] {
        assert!(said.contains(expected), "{expected} is not in the help:\n{said}");
    }
    assert_eq!(run(state.path(), &["--no-such-flag"]).status.code(), Some(2));
}
