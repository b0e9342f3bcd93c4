//! The suite that every plane passes, on the XDP plane with real frames on veth pairs: native and generic.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the way to fail")]

mod common;

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use common::{COPIES_MACS, COPIES_MTU, Collected, Lab, lifs, monotonic};
use opof_dataplane::conformance::{self, CASES, Collectors, Rig, Verdict, is_marked};
use opof_dataplane::limits::CONFORMANCE_SESSIONS;
use opof_dataplane::pipeline::Port;
use opof_dataplane::{DataPlane, Encapsulation, FirewallTunnel, PortRole};
use opof_dataplane_linux::probe::reaches;
use opof_dataplane_linux::{AttachMode, XdpPlane};
use opof_session::types::{Lif, Moment};
use opof_testkit::netns::{Capture, RawSocket};
use opof_testkit::wait::{self, Stopwatch};
use opof_wire::decap::{Decapsulated, TunnelEnd, decapsulate};
use opof_wire::encap::{Template, Tunnel};
use opof_wire::geneve::Metadata;
use rustix::time::{ClockId, clock_getres, clock_gettime};

/// Frames that are on their way take less than this, whatever else this machine does.
const PATIENCE: Duration = Duration::from_secs(3);
/// Time for a frame that nobody expects.
const ONE_TOO_MANY: Duration = Duration::from_millis(20);

struct XdpRig {
    plane: XdpPlane,
    ports: Vec<(Port, RawSocket, Capture)>,
    collected: Collected,
    /// What goes to collectors and to firewalls behind tunnels.
    beyond: Capture,
    /// What has come there to collectors.
    copies: Vec<Vec<u8>>,
    /// Firewalls behind tunnels, and where they send from.
    firewalls: Option<([(Lif, FirewallTunnel); 2], RawSocket)>,
    _lab: Lab,
}

impl XdpRig {
    fn new(mode: AttachMode, behind_tunnels: bool) -> Self {
        let mut lab = Lab::new();
        let collected = lab.add_collectors();
        let firewalls = behind_tunnels
            .then(|| (lab.add_firewalls(COPIES_MTU), RawSocket::open(&collected.port).expect("a socket")));
        let config = if behind_tunnels { Lab::config_with_tunnels } else { Lab::config_with_copies };
        let plane = lab.open(&config(&lab, CONFORMANCE_SESSIONS, mode)).expect("root and BPF");
        let open = |(port, far): &(Port, opof_testkit::netns::Port)| {
            (*port, RawSocket::open(far).expect("a socket"), Capture::start(far).expect("tcpdump"))
        };
        let ports = lab.far.iter().map(open).collect();
        let beyond = Capture::start(&collected.port).expect("tcpdump");
        Self { plane, ports, collected, beyond, copies: Vec::new(), firewalls, _lab: lab }
    }

    fn collect(&mut self, frames: &mut Vec<(Port, Vec<u8>)>) {
        for (port, _, capture) in &self.ports {
            frames.extend(capture.drain(Duration::ZERO).into_iter().map(|frame| (*port, frame)));
        }
        frames.extend(self.collect_beyond(Duration::ZERO));
    }

    /// What has come to firewalls behind tunnels, without the outer headers.
    fn collect_beyond(&mut self, settle: Duration) -> Vec<(Port, Vec<u8>)> {
        let mut frames = Vec::new();
        for packet in self.beyond.drain(settle) {
            let to_firewall = self.firewalls.iter().flat_map(|(firewalls, _)| firewalls).find_map(|(lif, tunnel)| {
                let end = TunnelEnd { addresses: tunnel.end.addresses.reversed(), ..tunnel.end };
                Some((Port::firewall(*lif), decapsulate(&packet, &end).ok()?))
            });
            match to_firewall {
                Some((port, Decapsulated { frame, metadata })) => {
                    let from_here = lifs().iter().any(|lif| u32::from(lif.get()) == metadata.in_lif);
                    assert!(from_here && metadata.out_lif == 0, "{metadata:?}");
                    frames.push((port, packet[frame].to_vec()));
                }
                // Without what the kernel asks its neighbours, and what firewalls sent.
                None if is_udp(&packet) && !self.is_from_firewall(&packet) => self.copies.push(packet),
                None => {}
            }
        }
        frames
    }

    fn is_from_firewall(&self, packet: &[u8]) -> bool {
        let tunnels = self.firewalls.iter().flat_map(|(firewalls, _)| firewalls);
        tunnels.into_iter().any(|(_, tunnel)| decapsulate(packet, &tunnel.end).is_ok())
    }

    /// As the firewall of `lif` sends it.
    fn from_firewall(lif: Lif, end: &TunnelEnd, frame: &[u8]) -> Vec<u8> {
        let [destination_mac, source_mac] = COPIES_MACS;
        let TunnelEnd { addresses, vni, option } = *end;
        let tunnel = Tunnel { source_mac, destination_mac, addresses, vni, option };
        let metadata = Metadata { in_lif: 0, out_lif: lif.get().into(), key: 0 };
        let template = Template::new(&tunnel).expect("the VNI fits");
        Encapsulation { template, source_port: 0xC000, metadata }.apply(frame)
    }
}

impl Rig for XdpRig {
    fn plane(&mut self) -> &mut dyn DataPlane {
        &mut self.plane
    }

    /// The coarse monotonic clock stands at a tick; which one the programs count it for is known to a tick. And a tick is as long as the
    /// clock's resolution says but for what the kernel slews it by: half a thousandth at most (adjtimex(2)), of the second since both were
    /// compared.
    fn now(&self) -> RangeInclusive<Moment> {
        let tick = u64::try_from(clock_getres(ClockId::MonotonicCoarse).tv_nsec).unwrap();
        let Moment(coarse) = moment_by(ClockId::MonotonicCoarse);
        let slewed = 1_000_000_000 / 2_000;
        Moment(coarse - tick - slewed)..=monotonic()
    }

    fn lifs(&self) -> [Lif; 2] {
        lifs()
    }

    fn send(&mut self, port: Port, frame: &[u8]) {
        if let (Some((firewalls, socket)), PortRole::Firewall) = (&self.firewalls, port.role) {
            let (lif, tunnel) = firewalls.iter().find(|(lif, _)| *lif == port.lif).expect("a LIF of the device");
            return socket.send(&Self::from_firewall(*lif, &tunnel.end, frame)).expect("the socket takes it");
        }
        let (_, socket, _) = self.ports.iter().find(|(known, ..)| *known == port).expect("a port of the device");
        socket.send(frame).expect("the socket takes it");
    }

    fn received(&mut self, expected: usize) -> Vec<(Port, Vec<u8>)> {
        let mut frames = Vec::new();
        let watch = Stopwatch::start();
        loop {
            self.collect(&mut frames);
            if frames.iter().filter(|(_, frame)| is_marked(frame)).count() >= expected || watch.elapsed() > PATIENCE {
                break;
            }
            wait::pause(Duration::from_millis(1));
        }
        wait::pause(ONE_TOO_MANY);
        self.collect(&mut frames);
        frames
    }

    fn collectors(&mut self) -> Option<Collectors> {
        Some(self.collected.collectors.clone())
    }

    fn await_way(&mut self, collector: IpAddr) {
        wait::until("a way to the collector", PATIENCE, || reaches(&self.plane, collector).then_some(())).unwrap();
    }

    fn copies(&mut self, expected: usize) -> Vec<Vec<u8>> {
        let watch = Stopwatch::start();
        loop {
            let late = self.collect_beyond(Duration::from_millis(1));
            assert!(late.is_empty(), "frames that nobody expected came to a firewall: {late:02x?}");
            if self.copies.len() >= expected || watch.elapsed() > PATIENCE {
                return std::mem::take(&mut self.copies);
            }
        }
    }

    fn tunnels(&self) -> Option<[usize; 2]> {
        let (firewalls, _) = self.firewalls.as_ref()?;
        Some(firewalls.map(|(_, tunnel)| tunnel.path.expect("there is a way").frame_len_max))
    }

    /// A socket sends no less than an Ethernet header, and a receiving kernel drops a frame that ends within its tag
    /// before any socket sees it. Those are compared in the test runs of the differential test.
    fn carries(&self, frame: &[u8]) -> bool {
        let tagged = |frame: &[u8]| matches!(frame[12..14], [0x81, 0x00] | [0x88, 0xA8]);
        frame.len() >= 20 || (frame.len() >= 14 && !tagged(frame))
    }
}

fn moment_by(clock: ClockId) -> Moment {
    let now = clock_gettime(clock);
    Moment(u64::try_from(now.tv_sec).unwrap() * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap())
}

fn is_udp(frame: &[u8]) -> bool {
    matches!(
        (frame.get(12..14), frame.get(23), frame.get(20)),
        (Some([8, 0]), Some(17), _) | (Some([0x86, 0xDD]), _, Some(17))
    )
}

fn conforms(mode: AttachMode, name: &str, behind_tunnels: bool) {
    let mut rig = XdpRig::new(mode, behind_tunnels);
    let of_tunnels = |role| behind_tunnels && role == PortRole::Firewall;
    let ports = rig.plane.describe().ports;
    assert!(ports.iter().all(|port| port.mode == if of_tunnels(port.role) { "tunnel" } else { name }), "{ports:?}");
    let report = conformance::run_all(&mut rig);
    println!("{report}");
    assert!(report.passed(), "{:?}", report.failed().collect::<Vec<_>>());
    assert_eq!(report.cases.len(), CASES.len());
    let tunnel = report.cases.iter().find(|case| case.name.starts_with("what_does_not_fit")).unwrap();
    assert_eq!(tunnel.result == Ok(Verdict::Passed), behind_tunnels, "{:?}", tunnel.result);
}

#[test]
fn native_mode_conforms() {
    conforms(AttachMode::Native, "native", false);
}

#[test]
fn generic_mode_conforms() {
    conforms(AttachMode::Generic, "generic", false);
}

#[test]
fn native_mode_conforms_with_firewalls_behind_tunnels() {
    conforms(AttachMode::Native, "native", true);
}

#[test]
fn generic_mode_conforms_with_firewalls_behind_tunnels() {
    conforms(AttachMode::Generic, "generic", true);
}
