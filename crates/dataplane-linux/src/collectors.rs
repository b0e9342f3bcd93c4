//! The collectors that sessions copy to: who uses them, and where in the map the way to each is.
//!
//! What must not be here: sessions, frames, routes.

use std::io;
use std::net::IpAddr;

use opof_dataplane::limits::COPY_LEN;

use crate::abi::OuterHeaders;
use crate::config::TunnelConfig;
use crate::limits::COLLECTORS;
use crate::sys::map::Map;
use crate::ways::{FarEnds, Ways};

const WORDS: FarEnds = FarEnds {
    what: "collector",
    lost: "copies to the collector are lost",
    found: "copies go to the collector",
    frame_len_max: COPY_LEN,
};

/// Collectors in use.
#[derive(Debug)]
pub(crate) struct Collectors {
    ways: Ways,
    /// By index: the address, and how many sessions copy there.
    used: Vec<Option<(IpAddr, u32)>>,
}

impl Collectors {
    /// None yet. `interface` is the index of the one in `config`.
    pub(crate) fn new(map: Map<u32, OuterHeaders>, config: TunnelConfig, interface: u32) -> io::Result<Self> {
        let ways = Ways::follow(map, config, interface, WORDS, &[], COLLECTORS)?;
        Ok(Self { ways, used: vec![None; COLLECTORS] })
    }

    /// The index of a collector, with one user more. `None` when there are too many.
    pub(crate) fn acquire(&mut self, address: IpAddr) -> Option<u8> {
        let same = |used: &Option<(IpAddr, u32)>| used.is_some_and(|(known, _)| known == address);
        let index = match self.used.iter().position(same) {
            Some(index) => index,
            None => self.make(address)?,
        };
        if let Some((_, users)) = &mut self.used[index] {
            *users += 1;
        }
        Some(u8::try_from(index).expect("limits.rs: a collector's index is one byte"))
    }

    /// A place that nobody uses: no copy of its last owner's is under way any more.
    fn make(&mut self, address: IpAddr) -> Option<usize> {
        let index = self.used.iter().position(Option::is_none)?;
        if let Err(error) = self.ways.set(index, address) {
            tracing::error!(%error, "could not make room for a collector");
            return None;
        }
        self.used[index] = Some((address, 0));
        Some(index)
    }

    /// One user fewer, whose copies can't be under way any more.
    pub(crate) fn release(&mut self, index: u8) {
        let index = usize::from(index);
        let Some((_, users)) = &mut self.used[index] else { return };
        *users -= 1;
        if *users == 0 {
            self.used[index] = None;
            self.ways.clear(index);
        }
    }

    /// The address of a collector.
    pub(crate) fn address(&self, index: u8) -> Option<IpAddr> {
        self.used[usize::from(index)].map(|(address, _)| address)
    }

    /// True when there is a way to it now.
    pub(crate) fn reaches(&self, address: IpAddr) -> bool {
        self.ways.reaches(address)
    }
}
