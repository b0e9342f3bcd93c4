//! Other forwarders between the two ports of the device, each as fast as we know how to set it up.
//!
//! Each is started for its turn, on the device's processor, with its sockets and files in a directory of its own, and ended by its
//! process id. What must not be here: services of the system, and anything that is there when a turn is over.

use std::fs;
use std::num::NonZeroU32;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use opof_dataplane_linux::traffic::Redirect;
use opof_testkit::netns::{NetError, Port, Process, bridge, run};
use opof_testkit::packet::DESTINATION_MAC;
use opof_testkit::require::{Program, require};
use opof_testkit::wait;

use super::lane::Lane;

const BRIDGE: &str = "br0";
/// For a program to be ready, or to end.
const BOUND: Duration = Duration::from_secs(20);
/// Where Debian has the schema of the database.
const SCHEMA: &str = "/usr/share/openvswitch/vswitch.ovsschema";
const OPEN_VSWITCH: &[Program] = &[
    Program { name: "ovs-vswitchd", package: "openvswitch-switch" },
    Program { name: "ovs-vsctl", package: "openvswitch-common" },
];
const TESTPMD: &[Program] = &[
    Program { name: "dpdk-testpmd", package: "dpdk-dev" },
    Program { name: "/usr/share/doc/librte-net-af-packet23/copyright", package: "librte-net-af-packet23" },
    Program { name: "/usr/share/doc/librte-net-af-xdp23/copyright", package: "librte-net-af-xdp23" },
];

/// How a program in user space gets frames.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Socket {
    Packet,
    Xdp,
}

/// A forwarder that forwards for as long as this value lives.
pub(super) trait Forwarder {}

impl Forwarder for Redirect {}

/// A program that takes every frame of the first port and sends it out of the second.
pub(super) fn bare_redirect(lane: &Lane) -> Result<Redirect> {
    let [input, output] = lane.ports();
    Ok(input.namespace.run(|| Redirect::bare(&input.name, &output.name))??)
}

/// The same, behind the reads of memory that a table of so many sessions can't do without.
pub(super) fn reading_redirect(lane: &Lane, sessions: u32) -> Result<Redirect> {
    let [input, output] = lane.ports();
    let sessions = NonZeroU32::new(sessions).context("no sessions")?;
    Ok(input.namespace.run(|| Redirect::reading(&input.name, &output.name, sessions))??)
}

/// The kernel's bridge.
pub(super) struct LinuxBridge {
    port: Port,
}

impl LinuxBridge {
    /// It knows where the frames go, and shows them to no packet filter: the shortest way it has.
    pub(super) fn start(lane: &Lane) -> Result<Self> {
        let [input, output] = lane.ports();
        let namespace = &input.namespace;
        for filter in ["iptables", "ip6tables", "arptables"] {
            // Without br_netfilter there is none.
            let _ = namespace.sysctl(&format!("net/bridge/bridge-nf-call-{filter}"), "0");
        }
        bridge(BRIDGE, &[input, output])?;
        let to = ["fdb", "add", &DESTINATION_MAC.to_string(), "dev", &output.name, "master", "static"];
        run(namespace.command("bridge").args(to))?;
        Ok(Self { port: input.clone() })
    }
}

impl Forwarder for LinuxBridge {}

impl Drop for LinuxBridge {
    fn drop(&mut self) {
        let _ = self.port.namespace.ip(&format!("link del {BRIDGE}"));
    }
}

/// Open vSwitch with its datapath in user space.
pub(super) struct OpenVswitch {
    /// In the order in which they end.
    processes: Vec<Process>,
    directory: tempfile::TempDir,
    port: Port,
}

impl OpenVswitch {
    pub(super) fn start(lane: &Lane, socket: Socket) -> Result<Self> {
        require(OPEN_VSWITCH)?;
        let directory = tempfile::tempdir().context("make a directory")?;
        let mut switch = Self { processes: Vec::new(), directory, port: lane.ports()[0].clone() };
        match switch.set_up(lane, socket) {
            Ok(()) => Ok(switch),
            Err(error) => bail!("{error:#}; it said last: {}", switch.said()),
        }
    }

    fn set_up(&mut self, lane: &Lane, socket: Socket) -> Result<()> {
        let [input, output] = lane.ports();
        let processor = lane.device_processor();
        let (database, remote) = (self.path("conf.db"), self.path("db.sock"));
        run(Command::new("ovsdb-tool").args(["create", &database, SCHEMA]))?;
        self.spawn(lane, "ovsdb-server", &[&database, &format!("--remote=punix:{remote}")])?;
        wait::until("the database's socket", BOUND, || Path::new(&remote).exists().then_some(()))?;
        self.set(&["--no-wait", "init"])?;
        // Threads that poll are put where this says, wherever the process is.
        let mask = format!("other_config:pmd-cpu-mask=0x{:x}", 1_u64 << processor);
        self.set(&["--no-wait", "set", "Open_vSwitch", ".", &mask])?;
        self.spawn(lane, "ovs-vswitchd", &[&format!("unix:{remote}")])?;
        let kind = match socket {
            Socket::Packet => "type=system",
            Socket::Xdp => "type=afxdp",
        };
        self.set(&["add-br", BRIDGE, "--", "set", "bridge", BRIDGE, "datapath_type=netdev", "fail-mode=secure"])?;
        for port in [input, output] {
            self.set(&["add-port", BRIDGE, &port.name, "--", "set", "interface", &port.name, kind])?;
            let error = self.set(&["get", "interface", &port.name, "error"])?;
            if error.trim() != "[]" {
                bail!("{}: {}", port.name, error.trim());
            }
        }
        // It has nothing to learn and nothing to flood.
        let flow = format!("in_port={},actions=output:{}", input.name, output.name);
        let switch = format!("unix:{}", self.path(&format!("{BRIDGE}.mgmt")));
        run(Command::new("ovs-ofctl").args(["add-flow", &switch, &flow]))?;
        Ok(())
    }

    fn spawn(&mut self, lane: &Lane, program: &str, arguments: &[&str]) -> Result<()> {
        let mut command = on_processor(lane, program);
        self.within(&mut command);
        let control = self.path(&format!("{program}.ctl"));
        command.args(arguments).args([&format!("--unixctl={control}"), "-vconsole:warn"]);
        let log = fs::File::create(self.path(&format!("{program}.log"))).context("make a log file")?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.processes.insert(0, Process::start(program, &mut command)?);
        Ok(())
    }

    fn set(&self, words: &[&str]) -> Result<String, NetError> {
        let database = format!("--db=unix:{}", self.path("db.sock"));
        run(Command::new("ovs-vsctl").args([&database, "--timeout=10"]).args(words))
    }

    /// Everything that it makes is in our directory.
    fn within(&self, command: &mut Command) {
        for variable in ["OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR"] {
            command.env(variable, self.directory.path());
        }
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).to_string_lossy().into_owned()
    }

    /// The last of what it said.
    fn said(&self) -> String {
        last(&fs::read_to_string(self.path("ovs-vswitchd.log")).unwrap_or_default())
    }
}

impl Forwarder for OpenVswitch {}

impl Drop for OpenVswitch {
    fn drop(&mut self) {
        for process in &mut self.processes {
            // It takes its programs with it; one that does not end is killed.
            let _ = process.terminate(BOUND);
        }
        // What it leaves: its own interface, which it wants to find again.
        let _ = self.port.namespace.ip(&format!("link del {BRIDGE}"));
    }
}

/// DPDK's example of a forwarder, in its simplest mode.
pub(super) struct Testpmd {
    process: Process,
}

impl Testpmd {
    pub(super) fn start(lane: &Lane, socket: Socket) -> Result<Self> {
        require(TESTPMD)?;
        let (driver, processor) = (socket.driver(), lane.device_processor());
        let log = tempfile::NamedTempFile::new().context("make a log file")?;
        // It must not keep to itself that it is ready, as it would without a terminal.
        let mut command = on_processor(lane, "stdbuf");
        command.args(["--output=L", "dpdk-testpmd"]);
        // One thread of control, one that forwards.
        command.arg(format!("--lcores=0@{processor},1@{processor}"));
        command.args(["--no-shconf", "--no-huge", "-m", "512", "--no-pci", "--no-telemetry"]);
        for (number, port) in lane.ports().into_iter().enumerate() {
            command.arg(format!("--vdev={driver}{number},iface={}", port.name));
        }
        command.args(["--", "--forward-mode=io", "--port-topology=paired", "--total-num-mbufs=16384"]);
        // It ends when its input does.
        let output = log.reopen().context("share the log file")?;
        command.stdin(Stdio::piped()).stdout(output.try_clone()?).stderr(output);
        let mut process = Process::start("dpdk-testpmd", &mut command)?;
        let said = || fs::read_to_string(log.path()).unwrap_or_default();
        let ready = wait::until("testpmd to forward", BOUND, || {
            (said().contains("Press enter to exit") || !process.is_running()).then_some(())
        });
        if ready.is_err() || !process.is_running() {
            bail!("testpmd did not start: {}", last(&said()));
        }
        Ok(Self { process })
    }
}

impl Forwarder for Testpmd {}

impl Drop for Testpmd {
    fn drop(&mut self) {
        // With its input over it ends by itself and takes its programs along.
        drop(self.process.child().stdin.take());
        let _ = self.process.wait(BOUND);
    }
}

impl Socket {
    fn driver(self) -> &'static str {
        match self {
            Self::Packet => "net_af_packet",
            Self::Xdp => "net_af_xdp",
        }
    }
}

/// `program` in the device's namespace, on its processor.
fn on_processor(lane: &Lane, program: &str) -> Command {
    let mut command = lane.device.namespace.command("taskset");
    command.args(["--cpu-list", &lane.device_processor().to_string(), program]);
    command
}

fn last(text: &str) -> String {
    let lines: Vec<&str> = text.lines().rev().take(4).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("; ")
}
