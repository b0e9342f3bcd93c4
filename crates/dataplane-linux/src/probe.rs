//! The plane's own programs on single frames, without a network: what tests compare and what is measured.
//!
//! Needs the kernel's BPF_PROG_TEST_RUN; nothing is sent, but counters count.

mod random;

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use opof_dataplane::PortRole;
use opof_session::plane::{FastAction, PacketChange};
use opof_session::types::{Lif, MatchKey};
use opof_wire::SlowPath;
use opof_wire::decap::{Refusal, TunnelEnd};
use opof_wire::geneve::Metadata;
use opof_wire::packet_too_big::Silence;

use crate::abi::{self, ANSWERED, DECAPSULATED, Decap, FLOW_WORDS, Forward, HAS_KEY, Linger, Probed, TooBig};
use crate::error::OpenError;
use crate::loader::{self, Loaded};
use crate::plane::XdpPlane;
use crate::sys::bpf::{self, TestRun};
use crate::sys::map::{Map, Plain};
use crate::sys::shared::SharedWords;

pub use crate::abi::Lingering;
pub use random::{RandomRunner, Target};

/// `XDP_DROP`: the frame is discarded.
pub const DROPPED: u32 = 1;
/// `XDP_PASS`: on the uplink the frame is the host's. A program that is never attached ends with it.
pub const PASSED: u32 = 2;
/// `XDP_REDIRECT`: the frame leaves by a port.
pub const REDIRECTED: u32 = 4;

/// What a wire port would make of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Judgement {
    /// The key, when the frame has one.
    pub key: Option<MatchKey>,
    /// The slow path, or the session.
    pub verdict: Result<opof_dataplane::Hit, SlowPath>,
}

/// Judges frames as the wire port of one LIF does, and does nothing about them.
#[derive(Debug)]
pub struct Probe {
    loaded: Loaded,
    result: Map<u32, Probed>,
}

impl Probe {
    /// For the wire port of `lif`, against the plane's own table.
    ///
    /// # Panics
    /// When the plane has no such LIF.
    pub fn new(plane: &XdpPlane, lif: Lif) -> Result<Self, OpenError> {
        let loaded = plane.load_beside(lif, "opof_probe").expect("a LIF of this plane")?;
        let result = loaded.map("probed").and_then(Map::new).map_err(OpenError::system("opening the probe's map"))?;
        Ok(Self { loaded, result })
    }

    /// Judges one frame of at least 14 bytes.
    pub fn judge(&mut self, plane: &XdpPlane, frame: &[u8]) -> io::Result<Judgement> {
        bpf::test_run(self.loaded.program.as_fd(), frame, 1)?;
        let probed = self.result.get(&0)?;
        let invalid = || io::Error::from(io::ErrorKind::InvalidData);
        let named = |key: abi::Key| key.to_match_key(plane.lif_at(key.position())?);
        let key = probed.key().map(|key| named(key).ok_or_else(invalid)).transpose()?;
        let verdict = match probed.verdict() {
            HAS_KEY => Ok(hit(plane, probed.hit())?.ok_or_else(invalid)?),
            reason => {
                let reason = u8::try_from(reason).ok().and_then(SlowPath::from_number);
                Err(reason.ok_or_else(invalid)?)
            }
        };
        Ok(Judgement { key, verdict })
    }
}

fn hit(plane: &XdpPlane, hit: abi::Hit) -> io::Result<Option<opof_dataplane::Hit>> {
    let abi::Hit { slot, direction, forward } = hit;
    let action = match forward {
        None => FastAction::Drop,
        Some(Forward { lif, vlan, edits }) => {
            let Some(to) = plane.lif_at(lif) else { return Ok(None) };
            let edit = if edits { plane.edit(slot, direction)? } else { Some((PacketChange::default(), None)) };
            let Some((change, copy)) = edit else { return Ok(None) };
            FastAction::Forward { to, change: PacketChange { vlan, ..change }, copy }
        }
    };
    Ok(Some(opof_dataplane::Hit { slot, direction, action }))
}

/// Makes copies of frames as the wire port of one LIF and the collectors' interface do together.
#[derive(Debug)]
pub struct CopyProbe(Loaded);

impl CopyProbe {
    /// For the wire port of `lif`, against the plane's own table.
    ///
    /// # Panics
    /// When the plane has no such LIF.
    pub fn new(plane: &XdpPlane, lif: Lif) -> Result<Self, OpenError> {
        Ok(Self(plane.load_beside(lif, "opof_copy_probe").expect("a LIF of this plane")?))
    }

    /// The copy of one frame of at least 14 bytes, outer headers included; `None` when there is none.
    pub fn copy(&self, frame: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let run = bpf::test_run(self.0.program.as_fd(), frame, 1)?;
        Ok((run.code == PASSED).then_some(run.frame))
    }
}

/// A program that needs no plane, and the map of one slot by which it is asked.
fn with_slot<V: Plain>(program: &str, map: &str) -> Result<(Loaded, Map<u32, V>), OpenError> {
    let loaded = loader::load_probe(program)?;
    let slot = loaded.map(map).and_then(Map::new).map_err(OpenError::system("opening the probe's map"))?;
    Ok((loaded, slot))
}

/// Answers frames that do not fit, as a program in front of a narrower path does. Has a map of its own and needs no plane.
#[derive(Debug)]
pub struct TooBigProbe {
    loaded: Loaded,
    slot: Map<u32, TooBig>,
}

impl TooBigProbe {
    /// Loads the program.
    pub fn new() -> Result<Self, OpenError> {
        let (loaded, slot) = with_slot("opof_too_big_probe", "too_big")?;
        Ok(Self { loaded, slot })
    }

    /// The answer to one frame of at least 14 bytes, whose way takes IP packets of `mtu` bytes; or why it gets none.
    ///
    /// `InvalidData` when the program says something else, or has touched a frame that it does not answer.
    pub fn answer(&mut self, frame: &[u8], mtu: u16) -> io::Result<Result<Vec<u8>, Silence>> {
        self.slot.set(&0, &TooBig::new(mtu))?;
        let run = bpf::test_run(self.loaded.program.as_fd(), frame, 1)?;
        match self.slot.get(&0)?.said() {
            ANSWERED => Ok(Ok(run.frame)),
            said => match Silence::from_number(said) {
                Some(silence) if run.frame == frame => Ok(Err(silence)),
                _ => Err(io::ErrorKind::InvalidData.into()),
            },
        }
    }
}

/// Takes frames out of a tunnel, as a program at its end does. Has a map of its own and needs no plane.
#[derive(Debug)]
pub struct DecapProbe {
    loaded: Loaded,
    slot: Map<u32, Decap>,
}

impl DecapProbe {
    /// Loads the program.
    pub fn new() -> Result<Self, OpenError> {
        let (loaded, slot) = with_slot("opof_decap_probe", "decap")?;
        Ok(Self { loaded, slot })
    }

    /// The frame in one of at least 14 bytes, and what our option says of it; or why that is not a packet of the tunnel.
    ///
    /// `InvalidData` when the program says something else, or has touched a frame that it refuses.
    pub fn decapsulate(&mut self, frame: &[u8], end: &TunnelEnd) -> io::Result<Result<(Vec<u8>, Metadata), Refusal>> {
        self.slot.set(&0, &Decap::new(end))?;
        let run = bpf::test_run(self.loaded.program.as_fd(), frame, 1)?;
        let answer = self.slot.get(&0)?;
        match answer.said() {
            DECAPSULATED => Ok(Ok((run.frame, answer.metadata()))),
            said => match u8::try_from(said).ok().and_then(Refusal::from_number) {
                Some(refusal) if run.frame == frame => Ok(Err(refusal)),
                _ => Err(io::ErrorKind::InvalidData.into()),
            },
        }
    }
}

/// A program that runs as long as it is told to: what a program is that was interrupted. Has a map of its own and needs no plane.
#[derive(Debug)]
pub struct LingerProbe {
    loaded: Loaded,
    slot: Map<u32, Linger>,
}

impl LingerProbe {
    /// Loads the program.
    pub fn new() -> Result<Self, OpenError> {
        let (loaded, slot) = with_slot("opof_linger", "linger")?;
        Ok(Self { loaded, slot })
    }

    /// Runs it for so long, on the processor of the calling thread.
    pub fn run(&self, stay: Duration) -> io::Result<()> {
        self.slot.set(&0, &Linger::new(stay))?;
        // As short as a frame can be; it is not looked at.
        bpf::test_run(self.loaded.program.as_fd(), &[0; 14], 1).map(drop)
    }

    /// As if it had never run.
    pub fn forget(&self) -> io::Result<()> {
        self.slot.set(&0, &Linger::default())
    }

    /// Where it is since it was run the last time.
    pub fn state(&self) -> io::Result<Lingering> {
        Ok(self.slot.get(&0)?.state())
    }
}

/// True when there is a way to a collector that some session uses, or to a firewall behind a tunnel.
pub fn reaches(plane: &XdpPlane, far_end: IpAddr) -> bool {
    plane.reaches(far_end)
}

/// A way to run a port's program from any thread, while its owner drives the plane.
#[derive(Debug)]
pub struct PortRunner(OwnedFd);

impl PortRunner {
    /// The program that is attached to this port.
    ///
    /// # Panics
    /// When the plane has no such LIF.
    pub fn new(plane: &XdpPlane, lif: Lif, role: PortRole) -> io::Result<Self> {
        Ok(Self(plane.program(lif, role).expect("a LIF of this plane").try_clone()?))
    }

    /// The program of the uplink; `None` when no firewall is behind a tunnel.
    pub fn of_uplink(plane: &XdpPlane) -> io::Result<Option<Self>> {
        Ok(plane.uplink_program().map(OwnedFd::try_clone).transpose()?.map(Self))
    }

    /// Runs it `repeat` times on `frame`, of at least 14 bytes.
    pub fn run(&self, frame: &[u8], repeat: u32) -> io::Result<TestRun> {
        bpf::test_run(self.0.as_fd(), frame, repeat)
    }
}

/// Bytes of kernel memory that the session table takes now, as the kernel accounts for them.
pub fn table_memory(plane: &XdpPlane) -> io::Result<u64> {
    plane.table().maps().iter().map(|map| memory(map.as_fd())).sum()
}

/// The same of the store of next hops.
pub fn next_hop_memory(plane: &XdpPlane) -> io::Result<u64> {
    memory(plane.routes().next_hops.as_fd())
}

fn memory(map: std::os::fd::BorrowedFd<'_>) -> io::Result<u64> {
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", std::os::fd::AsRawFd::as_raw_fd(&map)))?;
    let line = info.lines().find_map(|line| line.strip_prefix("memlock:"));
    line.and_then(|number| number.trim().parse().ok()).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Flips bits in a word of a flow that a plane left, so that a test can see what the next one makes of it.
pub fn spoil_flow(pins: &Path, number: u32, word: usize, bits: u64) -> io::Result<()> {
    let at = number as usize * FLOW_WORDS + word;
    let flows = SharedWords::new(bpf::get_pinned(&pins.join("flows"))?.as_fd(), at + 1)?;
    flows.words()[at].fetch_xor(bits, Ordering::SeqCst);
    Ok(())
}
