//! What came in at the wire ports of a bench by the kernel's counters, and how much of it went to the firewall: the rest
//! is what the sessions must have counted.

use std::time::Duration;

use opof_session::types::DirectionCounters;
use opof_testkit::netns::{LinkCounters, Port, Topology, counters};
use opof_testkit::wait;

use crate::{Counted, Error};

/// How long counters must stand still to be taken for final, and how long that is waited for.
const STILL: Duration = Duration::from_millis(200);
const STILL_BOUND: Duration = Duration::from_secs(5);

/// Frames and bytes of whole frames that came in at one wire port, as the kernel counted them, and where they went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WirePort {
    /// What came in, by the counters of the port itself.
    pub received: (u64, u64),
    /// What the firewall's port behind it got, by the counters of that port.
    pub to_firewall: (u64, u64),
}

impl WirePort {
    /// What did not go to the firewall.
    pub fn rest(&self) -> DirectionCounters {
        let (packets, bytes) = self.received;
        DirectionCounters { packets: packets - self.to_firewall.0, bytes: bytes - self.to_firewall.1 }
    }
}

/// Both wire ports at one moment: the client's side, then the server's.
#[derive(Clone, Copy, Debug)]
pub struct Wires([Side; 2]);

#[derive(Clone, Copy, Debug)]
struct Side {
    wire: LinkCounters,
    firewall: LinkCounters,
}

impl Wires {
    /// As they are now.
    pub fn read(bench: &Topology) -> Result<Self, Error> {
        let side = |wire: &Port, firewall: &Port| -> Result<Side, Error> {
            Ok(Side { wire: counters(wire)?, firewall: counters(firewall)? })
        };
        Ok(Self([side(&bench.wire1, &bench.firewall_a)?, side(&bench.wire2, &bench.firewall_b)?]))
    }

    /// As they are once nothing is under way any more: TCP may still close a connection after its program has ended.
    pub fn still(bench: &Topology) -> Result<Self, Error> {
        let mut last = None;
        wait::until("the wire to fall still", STILL_BOUND, || {
            wait::pause(STILL);
            let now = [&bench.wire1, &bench.wire2].map(|port| counters(port).ok());
            (last.replace(now) == Some(now)).then_some(())
        })?;
        Self::read(bench)
    }

    /// What was counted since `earlier`.
    pub fn since(&self, earlier: &Self) -> [WirePort; 2] {
        [0, 1].map(|side| {
            let (wire, firewall) = (
                self.0[side].wire.since(&earlier.0[side].wire),
                self.0[side].firewall.since(&earlier.0[side].firewall),
            );
            // The hosts' stacks send to the wire ports, XDP sends to the firewall's.
            WirePort {
                received: (wire.rx_packets, wire.rx_frame_bytes()),
                to_firewall: (firewall.rx_packets, firewall.rx_bytes),
            }
        })
    }

    /// What the sessions must have counted since `earlier`, all of them together.
    pub fn offloaded_since(&self, earlier: &Self) -> Counted {
        let [client, server] = self.since(earlier);
        Counted { inward: client.rest(), outward: server.rest() }
    }
}
