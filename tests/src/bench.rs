//! A bench with a running device on it, and frames through it.

use std::ops::Deref;
use std::path::Path;
use std::time::Duration;

use opof_testkit::netns::{FirewallMode, LinkCounters, Port, Topology, counters};
use opof_testkit::require::{NETWORK, require};
use opof_testkit::wait;

use crate::{Error, Opofd};

/// How long a frame that was sent may take to be counted where it arrives.
const ARRIVAL: Duration = Duration::from_secs(5);
/// How long nothing must happen before it is believed that nothing will.
const QUIET: Duration = Duration::from_millis(100);

/// Four namespaces, and `opofd` on XDP in the device's.
#[derive(Debug)]
pub struct Bench {
    /// The daemon. First, so that it ends before its ports do.
    pub opofd: Opofd,
    net: Topology,
}

impl Bench {
    /// Builds it, after installing what is missing.
    pub fn new(mode: FirewallMode) -> Result<Self, Error> {
        require(NETWORK)?;
        let net = Topology::new(mode)?;
        Ok(Self { opofd: Opofd::start(&net.device, &lifs("\"wire1\"", "active-standby"))?, net })
    }

    /// With a closed log that is somewhere else.
    pub fn with_closed_log(mode: FirewallMode, closed_log: &Path) -> Result<Self, Error> {
        require(NETWORK)?;
        let net = Topology::new(mode)?;
        let lifs = lifs("\"wire1\"", "active-standby");
        Ok(Self { opofd: Opofd::start_with(&net.device, &lifs, Some(closed_log))?, net })
    }

    /// As with a bridge for a firewall, with two cables between client and device that LIF 1 uses like this.
    pub fn with_two_cables(bond: &str) -> Result<Self, Error> {
        require(NETWORK)?;
        let net = Topology::with_two_cables()?;
        Ok(Self { opofd: Opofd::start(&net.device, &lifs("[\"wire1\", \"wire1b\"]", bond))?, net })
    }

    /// The daemon, for something to be done to it, and what is around it.
    pub fn parts(&mut self) -> (&mut Opofd, &Topology) {
        (&mut self.opofd, &self.net)
    }

    /// Waits until `port` has received `packets` since `before`, and then that it receives no more. Returns how much it
    /// did receive, be it too little.
    pub fn arrived(&self, port: &Port, before: &LinkCounters, packets: u64) -> Result<LinkCounters, Error> {
        let mut now = LinkCounters::default();
        let _ = wait::until("frames to arrive", ARRIVAL, || {
            now = counters(port).ok()?.since(before);
            (now.rx_packets >= packets).then_some(())
        });
        wait::pause(QUIET);
        Ok(counters(port)?.since(before))
    }
}

/// LIF 1 towards the client, LIF 2 towards the server.
fn lifs(wire: &str, bond: &str) -> String {
    format!(
        r#"[[lif]]
id = 1
wire = {wire}
bond = "{bond}"
firewall = "fw1"
[[lif]]
id = 2
wire = "wire2"
firewall = "fw2"
"#
    )
}

impl Deref for Bench {
    type Target = Topology;

    fn deref(&self) -> &Topology {
        &self.net
    }
}
