//! Who owns a key: from the hash of a key to the number of its owner, which knows the key itself.
//!
//! Open addressing with linear probing (Knuth, The Art of Computer Programming, vol. 3, 6.4, algorithms L and R) in one array that is
//! made once, for all the keys there can be, with all of its memory there. So no insert ever pays for the ones before it, nor for a
//! page that nobody has touched, and a removal leaves nothing behind that would have to be cleared away later. What must not be
//! here: keys.

/// A bucket nobody uses. One in use has the hash above the number of its owner plus one.
const EMPTY: u64 = 0;
/// Buckets for each key: with two thirds of them in use, a search that finds nothing looks at five on average, in a cache line or
/// two.
const BUCKETS_PER_KEY: (usize, usize) = (3, 2);
/// Of the smallest page that a machine has.
const BUCKETS_PER_PAGE: usize = 4096 / size_of::<u64>();
/// Never full, so that every search ends.
const SPARE: usize = 1;

/// Owners by the hash of what they own.
#[derive(Debug)]
pub(crate) struct KeyIndex {
    buckets: Vec<u64>,
    len: usize,
}

impl KeyIndex {
    /// For so many keys at once.
    pub(crate) fn new(capacity: usize) -> Self {
        let (more, less) = BUCKETS_PER_KEY;
        let mut index = Self { buckets: vec![EMPTY; (capacity * more).div_ceil(less) + SPARE], len: 0 };
        // The system makes a page when it is first written. Keys come in no order: nearly every one of the first would wait for that.
        for bucket in index.buckets.iter_mut().step_by(BUCKETS_PER_PAGE) {
            *std::hint::black_box(bucket) = EMPTY;
        }
        index
    }

    /// The owner with this hash that `is` the one.
    pub(crate) fn find(&self, hash: u32, mut is: impl FnMut(u32) -> bool) -> Option<u32> {
        let mut at = self.home(hash);
        loop {
            match self.buckets[at] {
                EMPTY => return None,
                bucket if hash_of(bucket) == hash && is(owner_of(bucket)) => return Some(owner_of(bucket)),
                _ => at = self.next(at),
            }
        }
    }

    /// Takes an owner in that is not there.
    ///
    /// # Panics
    /// When there are more than it was made for.
    pub(crate) fn insert(&mut self, hash: u32, owner: u32) {
        assert!(self.len + SPARE < self.buckets.len(), "more keys than there can be");
        let mut at = self.home(hash);
        while self.buckets[at] != EMPTY {
            at = self.next(at);
        }
        self.buckets[at] = bucket(hash, owner);
        self.len += 1;
    }

    /// Takes an owner out; false when it was not there.
    pub(crate) fn remove(&mut self, hash: u32, owner: u32) -> bool {
        let mut hole = self.home(hash);
        while self.buckets[hole] != bucket(hash, owner) {
            if self.buckets[hole] == EMPTY {
                return false;
            }
            hole = self.next(hole);
        }
        // Whoever was pushed past the hole by others moves into it, so that no search ends before it.
        let mut at = self.next(hole);
        while self.buckets[at] != EMPTY {
            if self.distance(self.home(hash_of(self.buckets[at])), at) >= self.distance(hole, at) {
                self.buckets[hole] = self.buckets[at];
                hole = at;
            }
            at = self.next(at);
        }
        self.buckets[hole] = EMPTY;
        self.len -= 1;
        true
    }

    /// How many keys have an owner.
    #[cfg(any(test, feature = "audit"))]
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Where a search begins: the hash as a fraction of the array.
    fn home(&self, hash: u32) -> usize {
        let position = (u64::from(hash) * self.buckets.len() as u64) >> 32;
        usize::try_from(position).expect("less than the number of buckets")
    }

    fn next(&self, at: usize) -> usize {
        if at + 1 == self.buckets.len() { 0 } else { at + 1 }
    }

    /// Steps from one bucket to another.
    fn distance(&self, from: usize, to: usize) -> usize {
        if to >= from { to - from } else { to + self.buckets.len() - from }
    }
}

fn bucket(hash: u32, owner: u32) -> u64 {
    u64::from(hash) << 32 | (u64::from(owner) + 1)
}

fn hash_of(bucket: u64) -> u32 {
    let [a, b, c, d, ..] = bucket.to_be_bytes();
    u32::from_be_bytes([a, b, c, d])
}

/// Of a bucket in use.
fn owner_of(bucket: u64) -> u32 {
    let [.., a, b, c, d] = bucket.to_be_bytes();
    u32::from_be_bytes([a, b, c, d]) - 1
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const CAPACITY: usize = 24;

    #[derive(Clone, Debug)]
    enum Step {
        Insert(u32, u32),
        Remove(usize),
        RemoveStranger(u32, u32),
    }

    /// Few hashes, so that they collide; at both ends of the array, so that searches wrap.
    fn a_hash() -> impl Strategy<Value = u32> {
        prop_oneof![0..4_u32, Just(u32::MAX), Just(u32::MAX - 1), 0x8000_0000..0x8000_0003_u32, any::<u32>()]
    }

    fn a_step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => (a_hash(), 0..1000_u32).prop_map(|(hash, owner)| Step::Insert(hash, owner)),
            3 => any::<usize>().prop_map(Step::Remove),
            1 => (a_hash(), 0..1000_u32).prop_map(|(hash, owner)| Step::RemoveStranger(hash, owner)),
        ]
    }

    proptest! {
        #[test]
        fn does_what_a_map_does(steps in prop::collection::vec(a_step(), 0..300)) {
            let mut index = KeyIndex::new(CAPACITY);
            let mut model: BTreeMap<u32, u32> = BTreeMap::new();
            for step in steps {
                match step {
                    Step::Insert(hash, owner) if model.len() < CAPACITY && !model.contains_key(&owner) => {
                        index.insert(hash, owner);
                        model.insert(owner, hash);
                    }
                    Step::Remove(n) if !model.is_empty() => {
                        let (owner, hash) = model.iter().nth(n % model.len()).map(|(a, b)| (*a, *b)).unwrap();
                        prop_assert!(index.remove(hash, owner));
                        model.remove(&owner);
                    }
                    Step::Insert(..) | Step::Remove(_) => {}
                    Step::RemoveStranger(hash, owner) => {
                        let known = model.get(&owner) == Some(&hash);
                        prop_assert_eq!(index.remove(hash, owner), known);
                        if known {
                            model.remove(&owner);
                        }
                    }
                }
                prop_assert_eq!(index.len, model.len());
                prop_assert_eq!(index.buckets.iter().filter(|bucket| **bucket != EMPTY).count(), model.len());
                for (owner, hash) in &model {
                    prop_assert_eq!(index.find(*hash, |found| found == *owner), Some(*owner));
                }
                prop_assert_eq!(index.find(5, |_| true), model.iter().find(|(_, hash)| **hash == 5).map(|(owner, _)| *owner));
            }
        }
    }

    #[test]
    fn as_many_as_it_was_made_for_and_the_largest_owner() {
        for capacity in [1, 2, 3, 1000] {
            let mut index = KeyIndex::new(capacity);
            let last = u32::MAX - 1;
            for owner in 0..u32::try_from(capacity).unwrap() {
                index.insert(7, last - owner);
            }
            assert_eq!(index.find(7, |owner| owner == last), Some(last));
            assert_eq!(index.find(8, |_| true), None);
        }
    }

    #[test]
    #[should_panic(expected = "more keys than there can be")]
    fn and_no_more() {
        let mut index = KeyIndex::new(1);
        (0..4).for_each(|owner| index.insert(0, owner));
    }
}
