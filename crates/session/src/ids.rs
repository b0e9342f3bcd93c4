//! Which slot has an id, and ids in ascending order: sorted runs of up to 64 ids, in a tree by the first id that each may have.
//!
//! A tree with an entry for each id takes 34 bytes of it when ids ascend, for it leaves its nodes half full. Here it is 13 then, and some
//! 40 at worst: two runs beside each other that fit well into one become one. What must not be here: what an id stands for.

use std::collections::BTreeMap;

use core::ops::Bound;

/// Ids of a run at most.
const RUN: usize = 64;
/// Two neighbours that have no more than this together become one, with room for some more.
const MERGED: usize = RUN * 3 / 4;
/// Whether they do is asked each time a run has lost so many: to ask costs more than to remove.
const ASKED: usize = 8;

#[derive(Debug)]
struct Run {
    len: usize,
    ids: [u64; RUN],
    slots: [u32; RUN],
}

impl Run {
    const fn empty() -> Self {
        Self { len: 0, ids: [0; RUN], slots: [0; RUN] }
    }

    fn find(&self, id: u64) -> Result<usize, usize> {
        self.ids[..self.len].binary_search(&id)
    }

    /// There has to be room.
    fn insert(&mut self, at: usize, id: u64, slot: u32) {
        self.ids.copy_within(at..self.len, at + 1);
        self.slots.copy_within(at..self.len, at + 1);
        (self.ids[at], self.slots[at]) = (id, slot);
        self.len += 1;
    }

    fn remove(&mut self, at: usize) -> u32 {
        let slot = self.slots[at];
        self.ids.copy_within(at + 1..self.len, at);
        self.slots.copy_within(at + 1..self.len, at);
        self.len -= 1;
        slot
    }

    /// Takes out everything from `at` on.
    fn split(&mut self, at: usize) -> Self {
        let mut upper = Self::empty();
        upper.append(self, at);
        self.len = at;
        upper
    }

    /// Appends what another run has from `at` on. There has to be room.
    fn append(&mut self, other: &Self, at: usize) {
        let end = self.len + other.len - at;
        self.ids[self.len..end].copy_from_slice(&other.ids[at..other.len]);
        self.slots[self.len..end].copy_from_slice(&other.slots[at..other.len]);
        self.len = end;
    }

    fn iter(&self) -> impl Iterator<Item = (u64, u32)> {
        self.ids[..self.len].iter().copied().zip(self.slots[..self.len].iter().copied())
    }
}

/// Slots by id.
#[derive(Debug)]
pub(crate) struct Ids {
    /// By the first id that a run may have; it ends where the next one begins. There is always one from 0 on.
    runs: BTreeMap<u64, Box<Run>>,
    len: usize,
}

impl Ids {
    pub(crate) fn new() -> Self {
        Self { runs: BTreeMap::from([(0, Box::new(Run::empty()))]), len: 0 }
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn get(&self, id: u64) -> Option<u32> {
        let (_, run) = self.runs.range(..=id).next_back()?;
        run.find(id).ok().map(|at| run.slots[at])
    }

    /// Takes in an id; false when it is there already, with the slot that it has.
    pub(crate) fn insert(&mut self, id: u64, slot: u32) -> bool {
        let (_, run) = self.runs.range_mut(..=id).next_back().expect("there is always a run from 0 on");
        let Err(at) = run.find(id) else { return false };
        self.len += 1;
        if run.len < RUN {
            run.insert(at, id, slot);
            return true;
        }
        // Ids that ascend leave full runs behind.
        let mut upper = run.split(if at == RUN { RUN } else { RUN / 2 });
        if at >= run.len {
            let at = at - run.len;
            upper.insert(at, id, slot);
        } else {
            run.insert(at, id, slot);
        }
        self.runs.insert(upper.ids[0], Box::new(upper));
        true
    }

    pub(crate) fn remove(&mut self, id: u64) -> Option<u32> {
        let (first, run) = self.runs.range_mut(..=id).next_back()?;
        let (first, at) = (*first, run.find(id).ok()?);
        let slot = run.remove(at);
        self.len -= 1;
        if run.len.is_multiple_of(ASKED) {
            self.merge(first);
        }
        Some(slot)
    }

    /// Makes one of this run and the one behind it or before it, where they fit into one.
    fn merge(&mut self, first: u64) {
        let behind = self.runs.range((Bound::Excluded(first), Bound::Unbounded)).next().map(|(behind, _)| *behind);
        let before = self.runs.range(..first).next_back().map(|(before, _)| *before);
        let pairs = [behind.map(|behind| (first, behind)), before.map(|before| (before, first))];
        for (lower, upper) in pairs.into_iter().flatten() {
            let lengths = [lower, upper].map(|run| self.runs[&run].len);
            let fit = lengths.contains(&0) || lengths.into_iter().sum::<usize>() <= MERGED;
            if fit
                && let Some(gone) = self.runs.remove(&upper)
                && let Some(stays) = self.runs.get_mut(&lower)
            {
                stays.append(&gone, 0);
                return;
            }
        }
    }

    /// From an id on, ascending.
    pub(crate) fn from(&self, from: Bound<u64>) -> impl Iterator<Item = (u64, u32)> {
        let first = match from {
            Bound::Included(id) | Bound::Excluded(id) => id,
            Bound::Unbounded => 0,
        };
        let run = self.runs.range(..=first).next_back().map_or(0, |(run, _)| *run);
        self.runs
            .range(run..)
            .flat_map(|(_, run)| run.iter())
            .skip_while(move |(id, _)| *id < first || from == Bound::Excluded(*id))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Insert(u64),
        Remove(u64),
        Ascend(u16),
        RemoveMany(u64, u8),
    }

    /// Close together, and at both ends.
    fn an_id() -> impl Strategy<Value = u64> {
        prop_oneof![0..300_u64, Just(u64::MAX), Just(u64::MAX - 1), any::<u64>()]
    }

    fn a_step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => an_id().prop_map(Step::Insert),
            4 => an_id().prop_map(Step::Remove),
            1 => (1..200_u16).prop_map(Step::Ascend),
            1 => (an_id(), 1..4_u8).prop_map(|(from, each)| Step::RemoveMany(from, each)),
        ]
    }

    fn is_sound(ids: &Ids) {
        let runs: Vec<_> = ids.runs.iter().collect();
        assert_eq!(*runs[0].0, 0);
        assert_eq!(runs.iter().map(|(_, run)| run.len).sum::<usize>(), ids.len);
        for (at, (first, run)) in runs.iter().enumerate() {
            let end = runs.get(at + 1).map_or(u128::MAX, |(next, _)| u128::from(**next));
            assert!(run.ids[..run.len].is_sorted());
            assert!(run.ids[..run.len].iter().all(|id| id >= first && u128::from(*id) < end));
        }
    }

    proptest! {
        #[test]
        fn does_what_a_tree_does(steps in prop::collection::vec(a_step(), 0..120)) {
            let (mut ids, mut model) = (Ids::new(), BTreeMap::new());
            for (slot, step) in (0_u32..).zip(steps) {
                let mut insert = |id| {
                    let is_new = !model.contains_key(&id);
                    assert_eq!(ids.insert(id, slot), is_new);
                    model.entry(id).or_insert(slot);
                };
                match step {
                    Step::Insert(id) => insert(id),
                    Step::Ascend(count) => (1000..1000 + u64::from(count)).for_each(insert),
                    Step::Remove(id) => prop_assert_eq!(ids.remove(id), model.remove(&id)),
                    Step::RemoveMany(from, each) => {
                        let all: Vec<u64> = model.range(from..).map(|(id, _)| *id).step_by(each.into()).collect();
                        for id in all {
                            prop_assert_eq!(ids.remove(id), model.remove(&id));
                        }
                    }
                }
                is_sound(&ids);
                prop_assert_eq!(ids.len(), model.len());
                for bound in [Bound::Unbounded, Bound::Included(100), Bound::Excluded(100), Bound::Excluded(u64::MAX)] {
                    let found: Vec<_> = ids.from(bound).collect();
                    let expected: Vec<_> = model.range((bound, Bound::Unbounded)).map(|(id, slot)| (*id, *slot)).collect();
                    prop_assert_eq!(found, expected);
                }
                prop_assert_eq!(ids.get(7), model.get(&7).copied());
            }
        }
    }

    #[test]
    fn ids_that_ascend_fill_their_runs_and_few_that_stay_take_few() {
        let mut ids = Ids::new();
        for id in 0..64_000 {
            assert!(ids.insert(id, 0));
        }
        assert_eq!(ids.runs.len(), 1000);
        for id in (0..64_000).filter(|id| id % 64 != 5) {
            assert_eq!(ids.remove(id), Some(0));
        }
        assert_eq!(ids.len(), 1000);
        assert!(ids.runs.len() <= 1000 / 20, "{} runs of 1000 ids", ids.runs.len());
    }

    #[test]
    fn any_order_leaves_runs_half_full_at_least() {
        let mut ids = Ids::new();
        for n in 0..100_000_u64 {
            ids.insert(n.wrapping_mul(0x9E37_79B9_7F4A_7C15), 0);
        }
        assert!(ids.runs.len() * RUN / 2 <= 100_000, "{} runs", ids.runs.len());
    }
}
