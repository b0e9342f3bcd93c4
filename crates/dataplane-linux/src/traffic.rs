//! What a measurement puts around a data plane: frames at one end, a count of them at the other, and beside it the shortest ways
//! between two ports that XDP has.
//!
//! Everything works on interfaces of the network namespace that the calling thread is in. What must not be here: anything that
//! forwards for somebody.

use std::io;
use std::net::Ipv4Addr;
use std::num::NonZeroU32;
use std::os::fd::{AsFd, OwnedFd};

use crate::abi::{Device, MULTIPLIERS};
use crate::error::OpenError;
use crate::loader::{self, Loaded};
use crate::sys::bpf::{self, XdpMode};
use crate::sys::interface::Control;
use crate::sys::map::{Map, PerCpuArray};
use crate::table::Shape;

/// Frames that the kernel makes and sends together.
const BATCH: u32 = 64;

/// Sends one frame with ever other IPv4 sources, each as often as every other one, in an order that no cache foresees.
#[derive(Debug)]
pub struct Generator {
    loaded: Loaded,
    frame: Vec<u8>,
}

impl Generator {
    /// Out of the interface of this name: copies of `frame`, which is Ethernet and IPv4 without options and has no other checksum
    /// that its source is part of, from as many `sources` as that, `first` and those behind it. Frames are `interval` apart, in
    /// nanoseconds; with 0 they go as fast as can be.
    ///
    /// # Panics
    /// When there are not that many addresses behind the first, or more than 2^31 of them.
    pub fn new(
        out: &str,
        first: Ipv4Addr,
        sources: NonZeroU32,
        interval: u32,
        frame: &[u8],
    ) -> Result<Self, OpenError> {
        let mask = sources.get().checked_next_power_of_two().expect("at most 2^31 sources") - 1;
        let first = u32::from(first);
        assert!(first.checked_add(sources.get() - 1).is_some(), "sources beyond the last address");
        let constants = [
            ("opof_out", index(out)?),
            ("opof_first", first),
            ("opof_sources", sources.get()),
            ("opof_mask", mask),
            ("opof_interval", interval),
        ];
        Ok(Self { loaded: loader::load_traffic("opof_generate", &constants, &[])?, frame: frame.to_vec() })
    }

    /// Makes so many frames on the calling thread's processor. What the interface has no room for is lost, and so is what would
    /// be too early.
    ///
    /// Needs Linux 5.18: `EINVAL` before.
    pub fn send(&self, frames: u32) -> io::Result<()> {
        bpf::run_live(self.loaded.program.as_fd(), &self.frame, frames, BATCH)
    }
}

/// Counts what comes in at an interface, and drops it.
#[derive(Debug)]
pub struct Sink {
    arrived: PerCpuArray<u64>,
    _loaded: Loaded,
    _link: OwnedFd,
}

impl Sink {
    /// Takes the interface of this name, for as long as the value lives.
    pub fn new(name: &str) -> Result<Self, OpenError> {
        let loaded = loader::load_traffic("opof_sink", &[], &[])?;
        let arrived = loaded.map("arrived").and_then(PerCpuArray::new);
        let arrived = arrived.map_err(OpenError::system("opening the sink's map"))?;
        Ok(Self { arrived, _link: attach(&loaded, name)?, _loaded: loaded })
    }

    /// Frames since the start.
    pub fn arrived(&self) -> io::Result<u64> {
        Ok(self.arrived_by_processor()?.iter().sum())
    }

    /// The same by the processor that took them.
    pub fn arrived_by_processor(&self) -> io::Result<Vec<u64>> {
        self.arrived.get(0)
    }
}

/// Sends what comes in at one interface out of another.
#[derive(Debug)]
pub struct Redirect {
    _loaded: Loaded,
    _link: OwnedFd,
}

impl Redirect {
    /// Without a look at it. Takes the interface `from`, for as long as the value lives. `to` must take frames from XDP.
    pub fn bare(from: &str, to: &str) -> Result<Self, OpenError> {
        Self::attach(loader::load_traffic("opof_bare_redirect", &[], &[])?, from, to)
    }

    /// The same, behind two reads of memory that wait for each other: of random lines, one for each source, in as much of it as a
    /// table of so many sessions takes. Frames are Ethernet and IPv4.
    pub fn reading(from: &str, to: &str, sessions: NonZeroU32) -> Result<Self, OpenError> {
        let sessions = sessions.get().min(opof_session::limits::SESSIONS);
        let buckets = Shape::new(sessions, [0; MULTIPLIERS]).buckets();
        let constants = [("opof_sessions", sessions), ("opof_session_buckets", buckets)];
        let lines = [("lines", buckets + 2 * sessions)];
        Self::attach(loader::load_traffic("opof_reading_redirect", &constants, &lines)?, from, to)
    }

    fn attach(loaded: Loaded, from: &str, to: &str) -> Result<Self, OpenError> {
        let out =
            loaded.map("out").and_then(Map::<u32, Device>::new).map_err(OpenError::system("opening a device map"))?;
        out.set(&0, &Device::new(index(to)?)).map_err(OpenError::system("filling a device map"))?;
        Ok(Self { _link: attach(&loaded, from)?, _loaded: loaded })
    }
}

fn index(name: &str) -> Result<u32, OpenError> {
    Control::new().and_then(|control| control.index(name)).map_err(OpenError::system("looking an interface up"))
}

fn attach(loaded: &Loaded, name: &str) -> Result<OwnedFd, OpenError> {
    bpf::link_create(loaded.program.as_fd(), index(name)?, XdpMode::Native)
        .map_err(OpenError::system("attaching a program"))
}
