//! The ways out: which interface takes what leaves by a way, and, where frames are copied, the collectors' interface beside it.
//!
//! What must not be here: which interface is to be used (links know that), numbers of ways (the layout does).

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use crate::abi::Device;
use crate::sys::map::Map;

/// In a pair: who gets the frame, and who gets the copy.
const FRAME: u32 = 0;
const COPY: u32 = 1;

/// The interface that copies leave by, and the program that makes them.
#[derive(Debug)]
pub(crate) struct CopyExit {
    pub(crate) interface: u32,
    pub(crate) program: OwnedFd,
}

/// The maps `ports` and `pairs`.
#[derive(Debug)]
pub(crate) struct Exits {
    ports: Map<u32, Device>,
    pairs: Map<u32, u32>,
    copies: Option<CopyExit>,
    /// What is in `pairs`, by way.
    made: HashMap<u32, Map<u32, Device>>,
}

impl Exits {
    pub(crate) fn new(ports: Map<u32, Device>, pairs: Map<u32, u32>, copies: Option<CopyExit>) -> Self {
        Self { ports, pairs, copies, made: HashMap::new() }
    }

    /// The interface behind a way to a firewall.
    pub(crate) fn set_firewall(&self, way: u32, interface: u32) -> io::Result<()> {
        self.ports.set(&way, &Device::new(interface))
    }

    /// The interface behind a way to the network, for frames that are copied as well.
    pub(crate) fn set(&mut self, way: u32, interface: u32) -> io::Result<()> {
        let device = Device::new(interface);
        self.ports.set(&way, &device)?;
        let Some(copies) = &self.copies else { return Ok(()) };
        if let Some(pair) = self.made.get(&way) {
            return pair.set(&FRAME, &device);
        }
        let pair = Map::of_devices(COPY + 1)?;
        pair.set(&FRAME, &device)?;
        pair.set(&COPY, &Device::with_program(copies.interface, copies.program.as_fd()))?;
        self.pairs.set_map(way, pair.as_fd())?;
        self.made.insert(way, pair);
        Ok(())
    }
}
