//! The collectors that sessions copy to: who uses them, and where in the map the way to each is.
//!
//! What must not be here: sessions, frames, routes.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::Ordering;

use opof_dataplane::limits::COPY_LEN;

use crate::abi::OuterHeaders;
use crate::config::TunnelConfig;
use crate::limits::COLLECTORS;
use crate::sys::map::Map;
use crate::sys::shared::SharedWords;
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
    /// The addresses, for a later process.
    kept: SharedWords,
}

/// 64-bit words of a kept address: its family, then its halves.
pub(crate) const ADDRESS_WORDS: usize = 3;

impl Collectors {
    /// None yet. `interface` is the index of the one in `config`.
    pub(crate) fn new(
        map: Map<u32, OuterHeaders>,
        config: TunnelConfig,
        interface: u32,
        addresses: &OwnedFd,
    ) -> io::Result<Self> {
        let ways = Ways::follow(map, config, interface, WORDS, &[], COLLECTORS)?;
        let kept = SharedWords::new(addresses.as_fd(), COLLECTORS * ADDRESS_WORDS)?;
        Ok(Self { ways, used: vec![None; COLLECTORS], kept })
    }

    /// One user more of a collector that an earlier process knew by this index. False when it knew none.
    pub(crate) fn adopt(&mut self, index: u8) -> bool {
        let at = usize::from(index);
        if self.used[at].is_none() {
            let Some(address) = self.kept_address(at) else { return false };
            if let Err(error) = self.ways.set(at, address) {
                tracing::error!(%error, "could not make room for a collector");
                return false;
            }
            self.used[at] = Some((address, 0));
        }
        if let Some((_, users)) = &mut self.used[at] {
            *users += 1;
        }
        true
    }

    fn kept_address(&self, index: usize) -> Option<IpAddr> {
        let [family, high, low] =
            std::array::from_fn(|n| self.kept.words()[index * ADDRESS_WORDS + n].load(Ordering::Acquire));
        match family {
            4 => Some(Ipv4Addr::from(u32::try_from(low).ok()?).into()),
            6 => Some(Ipv6Addr::from(u128::from(high) << 64 | u128::from(low)).into()),
            _ => None,
        }
    }

    /// Keeps an address, or none. Its family goes first and comes last.
    fn keep(&self, index: usize, address: Option<IpAddr>) {
        let (family, bits) = match address {
            Some(IpAddr::V4(address)) => (4, u128::from(u32::from(address))),
            Some(IpAddr::V6(address)) => (6, u128::from(address)),
            None => (0, 0),
        };
        #[allow(clippy::cast_possible_truncation, reason = "one half, then the other")]
        let halves = [(bits >> 64) as u64, bits as u64];
        let kept = &self.kept.words()[index * ADDRESS_WORDS..][..ADDRESS_WORDS];
        kept[0].store(0, Ordering::Release);
        for (kept, half) in kept[1..].iter().zip(halves) {
            kept.store(half, Ordering::Release);
        }
        kept[0].store(family, Ordering::Release);
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
        self.keep(index, Some(address));
        Some(index)
    }

    /// One user fewer, whose copies can't be under way any more.
    pub(crate) fn release(&mut self, index: u8) {
        let index = usize::from(index);
        let Some((_, users)) = &mut self.used[index] else { return };
        *users -= 1;
        if *users == 0 {
            self.used[index] = None;
            self.keep(index, None);
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
