//! What the maps that outlive this process are like, so that the next one knows whether it can go on with what is in them.
//!
//! A map of its own says it, pinned beside the others; it is complete when its first word is there. What must not be here: sessions.

use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::Ordering;

use opof_session::types::Lif;

use crate::abi::MULTIPLIERS;
use crate::collectors::ADDRESS_WORDS;
use crate::config::XdpConfig;
use crate::limits::{self, LIFS};
use crate::pin::PinDir;
use crate::sys::bpf;
use crate::sys::map::shared_array;
use crate::sys::shared::SharedWords;
use crate::table::{self, Multipliers, Shape};

/// Of everything in the maps that are kept: what is a flow, a bucket, a term, an edit, a next hop, a note, and how they hang together. One
/// more with every change.
const VERSION: u64 = 2;
/// The first word of a description that is complete. The rest of it is "opof".
const COMPLETE: u64 = 0x6F70_6F66 << 32 | VERSION;

/// The maps that a later process can go on with, by their names in `bpf/maps.h` and in the pin directory.
pub(crate) const KEPT_MAPS: [&str; 6] = ["buckets", "flows", "term", "edits_of_slot", "next_hops", "vlan_flows"];
/// Those that no program has, beside the notes.
pub(crate) const COLLECTORS: &str = "collector_addresses";
const DESCRIPTION: &str = "description";

const SESSIONS: usize = 1;
const NEXT_HOPS: usize = 2;
const BUCKETS: usize = 3;
const LIF_COUNT: usize = 4;
const FIRST_MULTIPLIER: usize = 5;
const FIRST_LIF: usize = FIRST_MULTIPLIER + MULTIPLIERS;
const WORDS: usize = FIRST_LIF + LIFS;

/// What has to be as it was.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Kept {
    words: [u64; WORDS],
}

impl Kept {
    /// As a device of this configuration has them.
    pub(crate) fn of(config: &XdpConfig, shape: &Shape) -> Self {
        let mut words = [0; WORDS];
        words[0] = COMPLETE;
        words[SESSIONS] = config.sessions.into();
        words[NEXT_HOPS] = config.next_hops.into();
        words[BUCKETS] = shape.buckets().into();
        words[LIF_COUNT] = config.lifs.len() as u64;
        words[FIRST_MULTIPLIER..FIRST_LIF].copy_from_slice(shape.multipliers());
        // By their positions, which are in keys and actions.
        for (word, lif) in words[FIRST_LIF..].iter_mut().zip(&config.lifs) {
            *word = Lif::get(lif.lif).into();
        }
        Self { words }
    }

    /// What an earlier process left, if that is complete.
    pub(crate) fn left(pins: &PinDir) -> Option<Self> {
        let map = bpf::get_pinned(&pins.path().join(DESCRIPTION)).ok()?;
        let shared = SharedWords::new(map.as_fd(), WORDS).ok()?;
        let words = std::array::from_fn(|at| shared.words()[at].load(Ordering::Acquire));
        (words[0] == COMPLETE).then_some(Self { words })
    }

    /// Sessions at most.
    pub(crate) fn sessions(&self) -> u32 {
        u32::try_from(self.words[SESSIONS]).unwrap_or(u32::MAX)
    }

    /// The multipliers of the table's hash.
    pub(crate) fn multipliers(&self) -> Multipliers {
        std::array::from_fn(|at| self.words[FIRST_MULTIPLIER + at])
    }

    /// Makes the maps that no program has, and says what all of them are like: from here on a later process can go on with them.
    pub(crate) fn leave(&self, pins: &PinDir) -> io::Result<()> {
        let collectors = u32::try_from(limits::COLLECTORS).map_err(|_| io::ErrorKind::InvalidInput)?;
        bpf::pin(shared_array(ADDRESS_WORDS, collectors)?.as_fd(), &pins.path().join(COLLECTORS))?;
        let map = shared_array(WORDS, 1)?;
        let shared = SharedWords::new(map.as_fd(), WORDS)?;
        for (shared, word) in shared.words().iter().zip(self.words).rev() {
            shared.store(word, Ordering::Release);
        }
        bpf::pin(map.as_fd(), &pins.path().join(DESCRIPTION))
    }
}

/// Takes their names away: nobody goes on with them. The description goes first, for without it the others are nothing.
pub(crate) fn unpin(pins: &PinDir) -> io::Result<()> {
    [DESCRIPTION, COLLECTORS].iter().chain(&KEPT_MAPS).try_for_each(|name| pins.unpin(name))?;
    pins.names()?.iter().filter(|name| table::is_part_of_notes(name)).try_for_each(|name| pins.unpin(name))
}
