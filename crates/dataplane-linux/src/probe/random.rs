//! A wire port's program on frames of many flows, many in one system call: what it costs where its memory is not in the cache.
//!
//! What must not be here: what is measured, and what is made of the times.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use opof_dataplane::PortRole;
use opof_session::types::Lif;
use opof_wire::ethernet::{self, Frame};

use crate::abi::Walk;
use crate::error::OpenError;
use crate::loader::{self, Loaded};
use crate::plane::XdpPlane;
use crate::sys::bpf::{self, TestRun};
use crate::sys::map::Map;

/// Bytes from the start of the header to the last four of the source address (RFC 791, 3.1; RFC 8200, 3).
const SOURCE_V4: usize = 12;
const SOURCE_V6: usize = 8 + 12;

/// What gets the frames of a [`RandomRunner`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Target {
    /// The program that is attached to the wire port.
    Port,
    /// One that returns [`super::DROPPED`] and does nothing else. What it takes is not the port's.
    Nothing,
}

/// Gives a port's program frames that differ in their source, in an order that no processor foresees, without a system call for each.
#[derive(Debug)]
pub struct RandomRunner {
    walk: Loaded,
    state: Map<u32, Walk>,
    targets: [OwnedFd; 2],
    target: Map<u32, u32>,
    /// Of the last run. One over as many goes on where that has ended, so that frames take turns and each comes to all sources.
    sources: u32,
}

impl RandomRunner {
    /// For the first wire port of `lif`.
    ///
    /// # Panics
    /// When the plane has no such LIF.
    pub fn new(plane: &XdpPlane, lif: Lif) -> Result<Self, OpenError> {
        let walk = loader::load_bench("opof_walk")?;
        let state = walk.map("walk").and_then(Map::new).map_err(OpenError::system("opening the walk's map"))?;
        let target = walk.map("walked").and_then(Map::new).map_err(OpenError::system("opening the walk's programs"))?;
        let port = plane.program(lif, PortRole::Wire).expect("a LIF of this plane");
        let port = port.try_clone().map_err(OpenError::system("duplicating a descriptor"))?;
        let targets = [port, loader::load_bench("opof_nothing")?.program];
        Ok(Self { walk, state, targets, target, sources: 0 })
    }

    /// Runs the target `repeat` times on `frame`, untagged IPv4 or IPv6, whose source is a number below `sources` more in each
    /// repetition. Of `sources` repetitions each has another one. A run over as many sources as the last one goes on where that
    /// has ended.
    ///
    /// `InvalidInput` when the frame is none such, or when there are no sources.
    pub fn run(&mut self, target: Target, frame: &[u8], sources: u32, repeat: u32) -> io::Result<TestRun> {
        let (first, offset) = last_of_source(frame).filter(|_| sources > 0).ok_or(io::ErrorKind::InvalidInput)?;
        let walk = Walk::new(sources, first, offset);
        let from = if sources == self.sources { walk.going_on(self.state.get(&0)?) } else { walk };
        self.sources = sources;
        self.state.set(&0, &from)?;
        let [port, nothing] = &self.targets;
        let program = if target == Target::Port { port } else { nothing };
        self.target.set_program(0, program.as_fd())?;
        bpf::test_run(self.walk.program.as_fd(), frame, repeat)
    }
}

/// The last four bytes of the source address, as a number and where they are.
fn last_of_source(frame: &[u8]) -> Option<(u32, u32)> {
    let within = match Frame::new_checked(frame).ok()?.ether_type() {
        ethernet::IPV4 => SOURCE_V4,
        ethernet::IPV6 => SOURCE_V6,
        _ => return None,
    };
    let offset = ethernet::HEADER_LEN + within;
    let bytes = frame.get(offset..offset + 4)?;
    Some((u32::from_be_bytes(bytes.try_into().ok()?), u32::try_from(offset).ok()?))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "in a test a panic is the way to fail")]
mod tests {
    use opof_testkit::packet::Packet;

    use super::*;

    #[test]
    fn the_source_is_found_in_both_families() {
        let four = Packet::new().ipv4([10, 1, 2, 3], [192, 0, 2, 1]).udp(1, 2).build();
        let mut source = [0xFD; 16];
        source[12..].copy_from_slice(&[10, 1, 2, 4]);
        let six = Packet::new().ipv6(source, [0xFC; 16]).udp(1, 2);
        assert_eq!(last_of_source(&four), Some((0x0A01_0203, 26)));
        assert_eq!(last_of_source(&six.build()), Some((0x0A01_0204, 34)));
        let tagged = Packet::new().vlan(7).ipv4([10, 1, 2, 3], [192, 0, 2, 1]).udp(1, 2);
        assert_eq!(last_of_source(&tagged.build()), None);
        assert_eq!(last_of_source(&four[..29]), None);
    }
}
