//! Where a key's flow is: the half of the table that is searched. `bpf/table.h` searches it, this side alone changes it.
//!
//! A bucket is a cache line of seven places. A key has a sequence of buckets that its hash says; its entry is in the first of them
//! that had room when it came, and every bucket before that one counts it as passed by. So a search ends at the first bucket that
//! nothing has passed by: nearly always the first one, for there are as many places as 1.4 times the flows. An entry never moves.
//!
//! What must not be here: what a flow is, and when it may be written. Nothing waits.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::abi::{BUCKET_WORDS, ENTRIES, KEY_WORDS, Key, MIX, MULTIPLIERS, PROBE_MULTIPLIER, PROBES};
use crate::limits::BUCKETS_MIN;

/// A word that is shared with programs. A trait so that the same code can be run by a model checker.
pub(crate) trait Word {
    fn load(&self, order: Ordering) -> u64;
    fn store(&self, value: u64, order: Ordering);
}

impl Word for AtomicU64 {
    fn load(&self, order: Ordering) -> u64 {
        AtomicU64::load(self, order)
    }

    fn store(&self, value: u64, order: Ordering) {
        AtomicU64::store(self, value, order);
    }
}

/// What the hash of a key starts from, and its multipliers. Nobody outside knows them, so nobody can fill a bucket on purpose.
pub(crate) type Multipliers = [u64; MULTIPLIERS];

/// None of the buckets that a key may be in has room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Full;

/// How many buckets there are, and which of them are a key's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Shape {
    buckets: u32,
    multipliers: Multipliers,
}

impl Shape {
    /// For as many sessions: a bucket of seven places for five flows.
    pub(crate) const fn new(sessions: u32, multipliers: Multipliers) -> Self {
        let buckets = (2 * sessions).div_ceil(5);
        Self { buckets: if buckets < BUCKETS_MIN { BUCKETS_MIN } else { buckets }, multipliers }
    }

    pub(crate) const fn buckets(&self) -> u32 {
        self.buckets
    }

    pub(crate) const fn multipliers(&self) -> &Multipliers {
        &self.multipliers
    }

    /// Words of the whole index.
    pub(crate) const fn words(&self) -> usize {
        self.buckets as usize * BUCKET_WORDS
    }

    /// `hash_of()` in `bpf/table.h`.
    pub(crate) fn hash(&self, key: &Key) -> u64 {
        let part = |hash: u64, word: usize| {
            let [low, high] = [key.0[word] & 0xFFFF_FFFF, key.0[word] >> 32];
            hash.wrapping_add(low.wrapping_mul(self.multipliers[2 * word + 1]))
                .wrapping_add(high.wrapping_mul(self.multipliers[2 * word + 2]))
        };
        mix((0..key.address_words()).fold(part(self.multipliers[0], KEY_WORDS - 1), part))
    }

    /// The first words of the buckets of a key with this hash, in the order in which they are searched.
    pub(crate) fn buckets_of(&self, hash: u64) -> impl Iterator<Item = usize> + use<> {
        let (buckets, tag) = (u64::from(self.buckets), low(hash));
        let positions = std::iter::successors(Some(low(hash >> 32)), move |position| {
            Some(position.wrapping_add(tag).wrapping_mul(PROBE_MULTIPLIER))
        });
        positions.take(PROBES).map(move |position| {
            // Below the number of buckets, for the position is below 2^32.
            low((u64::from(position) * buckets) >> 32) as usize * BUCKET_WORDS
        })
    }
}

/// Keys that follow each other have sums that do. The hash has to look like any, whatever the multipliers are.
const fn mix(sum: u64) -> u64 {
    let sum = (sum ^ (sum >> 32)).wrapping_mul(MIX[0]);
    let sum = (sum ^ (sum >> 29)).wrapping_mul(MIX[1]);
    sum ^ (sum >> 32)
}

/// The lower half.
#[allow(clippy::cast_possible_truncation, reason = "that is what it is for")]
pub(crate) const fn low(word: u64) -> u32 {
    word as u32
}

/// `opof_bucket.entries`: never 0, which is an empty place.
pub(crate) fn entry(hash: u64, flow: u32) -> u64 {
    (hash << 32) | (u64::from(flow) + 1)
}

/// The place in a bucket with this word in it.
fn place(index: &[impl Word], bucket: usize, entry: u64) -> Option<usize> {
    // Nobody else writes here.
    (bucket + 1..=bucket + ENTRIES).find(|at| index[*at].load(Ordering::Relaxed) == entry)
}

/// Reads the first bucket of a hash, and says nothing: of several that do not wait for each other memory brings many at once.
pub(crate) fn touch(index: &[impl Word], shape: &Shape, hash: u64) {
    for bucket in shape.buckets_of(hash).take(1) {
        std::hint::black_box(index[bucket].load(Ordering::Relaxed));
    }
}

/// Leads keys with this hash to a flow, whose words are written: from here on programs read it.
pub(crate) fn insert(index: &[impl Word], shape: &Shape, hash: u64, flow: u32) -> Result<(), Full> {
    let (probe, at) =
        shape.buckets_of(hash).enumerate().find_map(|(n, bucket)| Some((n, place(index, bucket, 0)?))).ok_or(Full)?;
    // First, so that who finds the entry's place empty but not this does not search on in vain, and nobody misses the entry
    // once it is there.
    for bucket in shape.buckets_of(hash).take(probe) {
        index[bucket].store(index[bucket].load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }
    index[at].store(entry(hash, flow), Ordering::Release);
    Ok(())
}

/// True when keys with this hash are led to a flow.
pub(crate) fn leads_to(index: &[impl Word], shape: &Shape, hash: u64, flow: u32) -> bool {
    let entry = entry(hash, flow);
    shape.buckets_of(hash).any(|bucket| place(index, bucket, entry).is_some())
}

/// Leads nobody to flows that `is_wanted` does not want, and counts anew who has passed which bucket: a writer that ended in the middle of
/// a change may have left either. `hash_of` is the hash of a flow's key. A program that searches meanwhile may miss a key.
pub(crate) fn mend(index: &[impl Word], shape: &Shape, is_wanted: impl Fn(u32) -> bool, hash_of: impl Fn(u32) -> u64) {
    let mut passed = vec![0_u64; shape.buckets() as usize];
    for bucket in (0..shape.words()).step_by(BUCKET_WORDS) {
        for place in &index[bucket + 1..=bucket + ENTRIES] {
            let entry = place.load(Ordering::Relaxed);
            let Some(flow) = low(entry).checked_sub(1) else {
                // Nothing, or nothing that was ever written.
                place.store(0, Ordering::Release);
                continue;
            };
            let hash = if is_wanted(flow) { Some(hash_of(flow)) } else { None };
            let hash = hash.filter(|hash| self::entry(*hash, flow) == entry);
            let before =
                hash.and_then(|hash| shape.buckets_of(hash).position(|own| own == bucket).map(|at| (hash, at)));
            let Some((hash, before)) = before else {
                place.store(0, Ordering::Release);
                continue;
            };
            for passed_by in shape.buckets_of(hash).take(before) {
                passed[passed_by / BUCKET_WORDS] += 1;
            }
        }
    }
    for (bucket, passed) in (0..).step_by(BUCKET_WORDS).zip(passed) {
        index[bucket].store(passed, Ordering::Relaxed);
    }
}

/// Leads nobody to this flow any more; programs that were led there may still be at work. False when it was not there.
pub(crate) fn remove(index: &[impl Word], shape: &Shape, hash: u64, flow: u32) -> bool {
    let entry = entry(hash, flow);
    let found = shape.buckets_of(hash).enumerate().find_map(|(n, bucket)| Some((n, place(index, bucket, entry)?)));
    let Some((probe, at)) = found else { return false };
    index[at].store(0, Ordering::Release);
    for bucket in shape.buckets_of(hash).take(probe) {
        index[bucket].store(index[bucket].load(Ordering::Relaxed) - 1, Ordering::Relaxed);
    }
    true
}
