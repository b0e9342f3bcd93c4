//! Finding sessions: by slot, by id in order, by key.
//!
//! The key index stores slot numbers alone and looks the keys up in the table itself, so that a key is kept once.
//! Nothing here decides anything.

use core::hash::BuildHasher;
use core::ops::Bound;

use foldhash::quality::FixedState;

use crate::ids::Ids;
use crate::keys::KeyIndex;
use crate::plane::Slot;
use crate::planted::{self, Bug};
use crate::types::{Direction, MatchKey, SessionId, SessionSpec};

/// A key with its hash, which is made once and used several times.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Hashed {
    pub(crate) key: MatchKey,
    hash: u32,
}

/// What the indexes need to know of a table entry.
pub(crate) trait Keyed {
    fn id(&self) -> SessionId;
    fn match_key(&self, direction: Direction) -> MatchKey;
}

/// The sessions, by slot, by id and by key.
#[derive(Debug)]
pub(crate) struct Table<T> {
    entries: Vec<Option<T>>,
    free: Vec<u32>,
    /// Slots without an entry that are not free.
    held: usize,
    /// Of them those that are held while entries are put where they belong.
    held_at: Vec<u32>,
    ids: Ids,
    /// Owners are slots with the direction in the lowest bit.
    keys: KeyIndex,
    /// A bit for each slot that owns its keys: to look for those of one that has given them up costs a walk for each.
    owning: Vec<u64>,
    hasher: FixedState,
}

impl<T: Keyed> Table<T> {
    /// For so many sessions at most.
    pub(crate) fn new(capacity: u32, hash_seed: u64) -> Self {
        Self {
            entries: Vec::new(),
            free: Vec::new(),
            held: 0,
            held_at: Vec::new(),
            ids: Ids::new(),
            keys: KeyIndex::new(2 * capacity as usize),
            owning: Vec::new(),
            hasher: FixedState::with_seed(hash_seed),
        }
    }

    /// Sessions in the table.
    pub(crate) fn len(&self) -> usize {
        self.ids.len()
    }

    /// Slots that are not free.
    pub(crate) fn taken(&self) -> usize {
        self.ids.len() + self.held
    }

    pub(crate) fn get(&self, slot: Slot) -> Option<&T> {
        self.entries.get(slot.0 as usize)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, slot: Slot) -> Option<&mut T> {
        self.entries.get_mut(slot.0 as usize)?.as_mut()
    }

    pub(crate) fn by_id(&self, id: SessionId) -> Option<Slot> {
        self.ids.get(id.0).map(Slot)
    }

    /// Ids from `from` on, ascending, with their slots.
    pub(crate) fn ids_from(&self, from: SessionId) -> impl Iterator<Item = (SessionId, Slot)> {
        self.ids.from(Bound::Included(from.0)).map(|(id, slot)| (SessionId(id), Slot(slot)))
    }

    /// The first id within the bound.
    pub(crate) fn first_id(&self, from: Bound<SessionId>) -> Option<(SessionId, Slot)> {
        self.ids.from(from.map(|id| id.0)).next().map(|(id, slot)| (SessionId(id), Slot(slot)))
    }

    /// Both keys of a session.
    pub(crate) fn keys_of(&self, spec: &SessionSpec) -> [Hashed; 2] {
        [Direction::In, Direction::Out].map(|direction| self.hashed(spec.match_key(direction)))
    }

    fn keys_of_entry(&self, entry: &T) -> [Hashed; 2] {
        [Direction::In, Direction::Out].map(|direction| self.hashed(entry.match_key(direction)))
    }

    fn hashed(&self, key: MatchKey) -> Hashed {
        Hashed { key, hash: hash(&self.hasher, &key) }
    }

    /// Who owns this key.
    pub(crate) fn owner(&self, key: &Hashed) -> Option<Slot> {
        let found = self.keys.find(key.hash, |owner| self.key_of(owner) == key.key)?;
        Some(Slot(found >> 1))
    }

    /// Takes the entry in and indexes its id and its keys, none of which may be in use.
    pub(crate) fn insert(&mut self, entry: T, keys: &[Hashed; 2]) -> Slot {
        let id = entry.id();
        let slot = self.take_free();
        debug_assert!(self.entries[slot as usize].is_none(), "a free slot is empty");
        debug_assert!(keys.iter().all(|key| self.owner(key).is_none()), "the caller has looked for the keys");
        debug_assert_eq!(*keys, self.keys_of_entry(&entry), "of this entry");
        self.entries[slot as usize] = Some(entry);
        let is_new = self.ids.insert(id.0, slot);
        debug_assert!(is_new, "the caller has looked for the id");
        self.own(slot, keys);
        Slot(slot)
    }

    /// Takes the entry in and indexes its id, which is not in use, but none of its keys.
    pub(crate) fn insert_without_keys(&mut self, entry: T) -> Slot {
        let slot = self.take_free();
        let is_new = self.ids.insert(entry.id().0, slot);
        debug_assert!(is_new, "the caller has looked for the id");
        self.entries[slot as usize] = Some(entry);
        Slot(slot)
    }

    fn take_free(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.entries.push(None);
            u32::try_from(self.entries.len() - 1).expect("the capacity is below 2^26")
        })
    }

    /// Slots that ever had an entry, taken or not: those below this number.
    pub(crate) fn slots(&self) -> u32 {
        u32::try_from(self.entries.len()).expect("the capacity is below 2^26")
    }

    /// Takes the entry in at this slot, which is empty, with its id, which is free, and with these keys of its own, if it has any. Behind
    /// the last of them comes [`find_free`](Self::find_free).
    pub(crate) fn insert_at(&mut self, slot: Slot, entry: T, keys: Option<&[Hashed; 2]>) {
        let index = slot.0 as usize;
        if self.entries.len() <= index {
            self.entries.resize_with(index + 1, || None);
        }
        let is_new = self.ids.insert(entry.id().0, slot.0);
        debug_assert!(is_new && self.entries[index].is_none(), "the caller has looked for id and slot");
        self.entries[index] = Some(entry);
        if let Some(keys) = keys {
            self.own(slot.0, keys);
        }
    }

    /// Sees to it that this slot, which has no entry, is not used until it is [`free`](Self::free). Before [`find_free`](Self::find_free).
    pub(crate) fn hold_at(&mut self, slot: Slot) {
        let index = slot.0 as usize;
        if self.entries.len() <= index {
            self.entries.resize_with(index + 1, || None);
        }
        self.held_at.push(slot.0);
        self.held += 1;
    }

    /// Slots that are not taken, after entries were put where they belong. The lowest come first.
    pub(crate) fn find_free(&mut self) {
        let mut held = std::mem::take(&mut self.held_at);
        held.sort_unstable();
        let empty = (0..).zip(&self.entries).filter(|(_, entry)| entry.is_none()).map(|(slot, _)| slot);
        self.free = empty.filter(|slot| held.binary_search(slot).is_err()).collect();
        self.free.reverse();
    }

    fn own(&mut self, slot: u32, keys: &[Hashed; 2]) {
        for (direction, key) in (0..).zip(keys) {
            self.keys.insert(key.hash, slot << 1 | direction);
        }
        let (word, bit) = place(slot);
        if self.owning.len() <= word {
            self.owning.resize(word + 1, 0);
        }
        self.owning[word] |= bit;
    }

    /// Gives up the keys that the slot owns; which they were, when it owned some.
    pub(crate) fn release_keys(&mut self, slot: Slot) -> Option<[MatchKey; 2]> {
        let (word, bit) = place(slot.0);
        if self.owning.get(word)? & bit == 0 {
            return None;
        }
        self.owning[word] &= !bit;
        let keys = self.keys_of_entry(self.get(slot)?);
        for (direction, key) in (0..).zip(&keys) {
            if direction == 1 && planted::is(Bug::Index) && keys[0].key.lif == keys[1].key.lif {
                break;
            }
            let was_there = self.keys.remove(key.hash, slot.0 << 1 | direction);
            debug_assert!(was_there, "an owner is in the index");
        }
        Some(keys.map(|key| key.key))
    }

    /// Takes the entry out, its id and the keys it may still own with it.
    pub(crate) fn remove(&mut self, slot: Slot) -> Option<T> {
        let entry = self.remove_and_hold(slot)?;
        self.free(slot);
        Some(entry)
    }

    /// The same, but that its slot is not to be used until it is [`free`](Self::free).
    pub(crate) fn remove_and_hold(&mut self, slot: Slot) -> Option<T> {
        self.release_keys(slot);
        let entry = self.entries.get_mut(slot.0 as usize)?.take()?;
        self.ids.remove(entry.id().0);
        self.held += 1;
        Some(entry)
    }

    /// A slot that was held can be used again.
    pub(crate) fn free(&mut self, slot: Slot) {
        self.held -= 1;
        self.free.push(slot.0);
    }

    /// All entries with their slots.
    #[cfg(any(test, feature = "audit"))]
    pub(crate) fn entries(&self) -> impl Iterator<Item = (Slot, &T)> {
        (0..).map(Slot).zip(&self.entries).filter_map(|(slot, entry)| Some((slot, entry.as_ref()?)))
    }

    /// Whether everything that leads to an entry leads to one, and to the right one; what is wrong otherwise. `owns` is true for those that own
    /// their keys, `held` how many slots are kept without an entry.
    #[cfg(any(test, feature = "audit"))]
    pub(crate) fn audit(&self, owns: impl Fn(Slot) -> bool, held: usize) -> Result<(), String> {
        let entries = self.entries().count();
        let ids = self.ids_from(SessionId(0));
        let wrong = ids.filter(|(id, slot)| self.get(*slot).is_none_or(|entry| entry.id() != *id)).count();
        if wrong > 0 || self.ids.len() != entries {
            return Err(format!("{} ids, {wrong} of them wrong, for {entries} sessions", self.ids.len()));
        }
        let mut owned = 0;
        for (slot, entry) in self.entries() {
            let (word, bit) = place(slot.0);
            let is_owner = self.owning.get(word).is_some_and(|word| word & bit != 0);
            let found = self.keys_of_entry(entry).map(|key| self.owner(&key) == Some(slot));
            if is_owner != owns(slot) || found != [is_owner; 2] {
                return Err(format!("{slot:?} owns its keys: {is_owner}; the index leads to it: {found:?}"));
            }
            owned += if is_owner { 2 } else { 0 };
        }
        if self.keys.len() != owned {
            return Err(format!("{} keys in the index, and {owned} are owned", self.keys.len()));
        }
        let mut free = self.free.clone();
        free.sort_unstable();
        free.dedup();
        let all_free = free.len() == self.free.len() && free.iter().all(|slot| self.get(Slot(*slot)).is_none());
        if !all_free || free.len() + entries + held != self.entries.len() || held != self.held {
            let (slots, free) = (self.entries.len(), self.free.len());
            return Err(format!(
                "{slots} slots: {entries} taken, {free} free, {held} or {} kept for records",
                self.held
            ));
        }
        Ok(())
    }

    fn key_of(&self, owner: u32) -> MatchKey {
        let direction = if owner & 1 == 0 { Direction::In } else { Direction::Out };
        let entry = self.entries[(owner >> 1) as usize].as_ref().expect("an entry gives up its keys before it goes");
        entry.match_key(direction)
    }
}

/// A slot's word in a set of bits, and its bit in it.
const fn place(slot: u32) -> (usize, u64) {
    (slot as usize / 64, 1 << (slot % 64))
}

/// The upper half, which is the better one.
fn hash(hasher: &FixedState, key: &MatchKey) -> u32 {
    let [a, b, c, d, ..] = hasher.hash_one(key).to_be_bytes();
    u32::from_be_bytes([a, b, c, d])
}
