//! The suite that every plane passes, on the XDP plane with real frames on veth pairs: native and generic.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the way to fail")]

mod common;

use std::net::IpAddr;
use std::time::Duration;

use common::{Collected, Lab, lifs};
use opof_dataplane::DataPlane;
use opof_dataplane::conformance::{self, CASES, Collectors, Rig, is_marked};
use opof_dataplane::limits::CONFORMANCE_SESSIONS;
use opof_dataplane::pipeline::Port;
use opof_dataplane_linux::probe::reaches;
use opof_dataplane_linux::{AttachMode, XdpPlane};
use opof_session::types::{Lif, Moment};
use opof_testkit::netns::{Capture, RawSocket};
use opof_testkit::wait::{self, Stopwatch};

/// Frames that are on their way take less than this, whatever else this machine does.
const PATIENCE: Duration = Duration::from_secs(3);
/// Time for a frame that nobody expects.
const ONE_TOO_MANY: Duration = Duration::from_millis(20);

struct XdpRig {
    plane: XdpPlane,
    ports: Vec<(Port, RawSocket, Capture)>,
    collected: Collected,
    copies: Capture,
    _lab: Lab,
}

impl XdpRig {
    fn new(mode: AttachMode) -> Self {
        let mut lab = Lab::new();
        let collected = lab.add_collectors();
        let plane = lab.open(&lab.config_with_copies(CONFORMANCE_SESSIONS, mode)).expect("root and BPF");
        let open = |(port, far): &(Port, opof_testkit::netns::Port)| {
            (*port, RawSocket::open(far).expect("a socket"), Capture::start(far).expect("tcpdump"))
        };
        let ports = lab.far.iter().map(open).collect();
        let copies = Capture::start(&collected.port).expect("tcpdump");
        Self { plane, ports, collected, copies, _lab: lab }
    }

    fn collect(&self, frames: &mut Vec<(Port, Vec<u8>)>) {
        for (port, _, capture) in &self.ports {
            frames.extend(capture.drain(Duration::ZERO).into_iter().map(|frame| (*port, frame)));
        }
    }
}

impl Rig for XdpRig {
    fn plane(&mut self) -> &mut dyn DataPlane {
        &mut self.plane
    }

    /// The programs take the coarse monotonic clock, which is up to a tick behind the fine one.
    fn now(&self) -> Moment {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::MonotonicCoarse);
        Moment(u64::try_from(now.tv_sec).unwrap() * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap())
    }

    fn lifs(&self) -> [Lif; 2] {
        lifs()
    }

    fn send(&mut self, port: Port, frame: &[u8]) {
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

    /// Without what the kernel asks its neighbours.
    fn copies(&mut self, expected: usize) -> Vec<Vec<u8>> {
        let mut copies = Vec::new();
        let watch = Stopwatch::start();
        while copies.len() < expected && watch.elapsed() < PATIENCE {
            let came = self.copies.drain(Duration::from_millis(1));
            copies.extend(came.into_iter().filter(|frame| is_udp(frame)));
        }
        copies
    }

    /// A socket sends no less than an Ethernet header, and a receiving kernel drops a frame that ends within its tag
    /// before any socket sees it. Those are compared in the test runs of the differential test.
    fn carries(&self, frame: &[u8]) -> bool {
        let tagged = |frame: &[u8]| matches!(frame[12..14], [0x81, 0x00] | [0x88, 0xA8]);
        frame.len() >= 20 || (frame.len() >= 14 && !tagged(frame))
    }
}

fn is_udp(frame: &[u8]) -> bool {
    matches!(
        (frame.get(12..14), frame.get(23), frame.get(20)),
        (Some([8, 0]), Some(17), _) | (Some([0x86, 0xDD]), _, Some(17))
    )
}

fn conforms(mode: AttachMode, name: &str) {
    let mut rig = XdpRig::new(mode);
    assert!(rig.plane.describe().ports.iter().all(|port| port.mode == name));
    let report = conformance::run_all(&mut rig);
    println!("{report}");
    assert!(report.passed(), "{:?}", report.failed().collect::<Vec<_>>());
    assert_eq!(report.cases.len(), CASES.len());
}

#[test]
fn native_mode_conforms() {
    conforms(AttachMode::Native, "native");
}

#[test]
fn generic_mode_conforms() {
    conforms(AttachMode::Generic, "generic");
}
