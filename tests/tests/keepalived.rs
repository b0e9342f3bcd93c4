//! The example of `contrib/keepalived`: keepalived takes it, and tells each node of a pair what it is.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use opof_testkit::netns::{NetNs, Process, run};
use opof_testkit::require::{KEEPALIVED, require};
use opof_testkit::wait;

const EXAMPLE: &str = include_str!("../../contrib/keepalived/keepalived.conf");
/// Three failed checks, a second each, and what a busy machine takes beyond that.
const BOUND: Duration = Duration::from_secs(30);
/// Stands for opof: notes what it is told, and is well until a file says otherwise.
const OPOF: &str = "#!/bin/sh
cd \"$(dirname \"$0\")\" || exit 1
case \"$*\" in
\"ha status\") test ! -e sick ;;
\"ha become \"*) echo \"$3\" >> told ;;
*) exit 2 ;;
esac
";
const LINK: &str = "ha0";

/// One of the pair: the ports of the example, and a keepalived.
struct Node {
    namespace: NetNs,
    folder: tempfile::TempDir,
    keepalived: Option<Process>,
}

impl Node {
    fn new(name: &str) -> Self {
        let namespace = NetNs::new(name).unwrap();
        for port in ["wire0", "fw0", "mgmt0"] {
            namespace.ip(&format!("link add {port} type veth peer name {port}-far")).unwrap();
            for end in [port, &format!("{port}-far")] {
                namespace.ip(&format!("link set {end} up")).unwrap();
            }
        }
        Self { namespace, folder: tempfile::tempdir().unwrap(), keepalived: None }
    }

    /// Has the example with the addresses and the priority of this node, and its opof.
    fn configure(&self, address: &str, other: &str, priority: &str) {
        self.namespace.ip(&format!("address add {address}/24 dev {LINK}")).unwrap();
        self.namespace.ip(&format!("link set {LINK} up")).unwrap();
        let opof = self.file("opof");
        fs::write(&opof, OPOF).unwrap();
        fs::set_permissions(&opof, fs::Permissions::from_mode(0o755)).unwrap();
        let mut text = EXAMPLE.to_owned();
        for (example, here) in [
            ("/usr/local/bin/opof", opof.to_str().unwrap()),
            ("unicast_src_ip 192.0.2.1", &format!("unicast_src_ip {address}")),
            ("        192.0.2.2\n", &format!("        {other}\n")),
            ("priority 100", &format!("priority {priority}")),
        ] {
            assert!(text.contains(example), "{example}");
            text = text.replace(example, here);
        }
        fs::write(self.file("keepalived.conf"), text).unwrap();
        run(self.keepalived().arg("--config-test")).unwrap();
    }

    fn start(&mut self) {
        let log = File::create(self.file("log")).unwrap();
        let mut command = self.keepalived();
        command.args(["--vrrp", "--dont-fork", "--log-console"]);
        for (option, name) in [("--pid", "main.pid"), ("--vrrp_pid", "vrrp.pid")] {
            command.arg(option).arg(self.file(name));
        }
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.keepalived = Some(Process::start("keepalived", &mut command).unwrap());
    }

    fn keepalived(&self) -> std::process::Command {
        let mut command = self.namespace.command("keepalived");
        command.arg("--use-file").arg(self.file("keepalived.conf"));
        command
    }

    fn file(&self, name: &str) -> std::path::PathBuf {
        Path::new(self.folder.path()).join(name)
    }

    /// What it was told last.
    fn told(&self) -> Option<String> {
        fs::read_to_string(self.file("told")).ok()?.lines().last().map(str::to_owned)
    }

    fn has_address(&self) -> bool {
        self.namespace.ip("address show dev mgmt0").unwrap().contains("198.51.100.10/24")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(keepalived) = &mut self.keepalived {
            // By itself: it has processes of its own to end.
            let _ = keepalived.terminate(Duration::from_secs(10));
        }
        if std::thread::panicking() {
            eprintln!("--- keepalived ---\n{}", fs::read_to_string(self.file("log")).unwrap_or_default());
        }
    }
}

fn until_active(what: &str, active: &Node, standby: &Node) {
    let is_so = || {
        let told = [active, standby].map(Node::told);
        let told = told.each_ref().map(Option::as_deref) == [Some("active"), Some("standby")];
        (told && active.has_address() && !standby.has_address()).then_some(())
    };
    wait::until(what, BOUND, is_so).unwrap();
}

#[test]
fn each_node_is_told_what_it_is() {
    require(KEEPALIVED).unwrap();
    let [mut a, mut b] = ["a", "b"].map(Node::new);
    let words = format!("link add {LINK} type veth peer name {LINK} netns {}", b.namespace.name());
    a.namespace.ip(&words).unwrap();
    a.configure("192.0.2.1", "192.0.2.2", "100");
    b.configure("192.0.2.2", "192.0.2.1", "99");
    a.start();
    b.start();
    until_active("the first one to be active", &a, &b);
    a.namespace.ip("link set fw0-far down").unwrap();
    until_active("the other one, where a port has no carrier", &b, &a);
    a.namespace.ip("link set fw0-far up").unwrap();
    fs::write(b.file("sick"), "").unwrap();
    until_active("the first one, where the other is not well", &a, &b);
    fs::remove_file(b.file("sick")).unwrap();
    let status = a.keepalived.as_mut().unwrap().terminate(BOUND).unwrap();
    assert!(status.success(), "{status}");
    until_active("the other one, after an orderly end", &b, &a);
}
