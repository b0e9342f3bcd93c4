//! Which session a key is of. The sessions have the keys themselves, so what is searched is small, and grows without them.
//!
//! A library's table, and not the engine's own index: a plane that engines are tested against shares no mistake with them. What must not
//! be here: sessions.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::hash_table::{Entry, HashTable, OccupiedEntry};
use opof_session::plane::Slot;
use opof_session::types::{Direction, MatchKey};

/// The direction of a session that a key is of.
pub(super) type Owner = (Slot, Direction);

/// Owners by the hashes of their keys.
#[derive(Debug, Default)]
pub(super) struct Keys {
    table: HashTable<(u32, Owner)>,
    hasher: RandomState,
}

impl Keys {
    /// Who has this key, as `is` says of those that may.
    pub(super) fn get(&self, key: &MatchKey, is: impl Fn(Owner) -> bool) -> Option<Owner> {
        let hash = self.hash(key);
        self.table.find(spread(hash), |(known, owner)| *known == hash && is(*owner)).map(|(_, owner)| *owner)
    }

    /// A new owner, or the one that it has already.
    pub(super) fn insert(&mut self, key: &MatchKey, owner: Owner, is: impl Fn(Owner) -> bool) -> Result<(), Owner> {
        let hash = self.hash(key);
        let is = |(known, owner): &(u32, Owner)| *known == hash && is(*owner);
        match self.table.entry(spread(hash), is, |(hash, _)| spread(*hash)) {
            Entry::Occupied(entry) => Err(entry.get().1),
            Entry::Vacant(entry) => {
                entry.insert((hash, owner));
                Ok(())
            }
        }
    }

    /// False when it was not there.
    pub(super) fn remove(&mut self, key: &MatchKey, owner: Owner) -> bool {
        let hash = self.hash(key);
        self.table.find_entry(spread(hash), |known| *known == (hash, owner)).map(OccupiedEntry::remove).is_ok()
    }

    #[allow(clippy::cast_possible_truncation, reason = "one half is enough")]
    fn hash(&self, key: &MatchKey) -> u32 {
        self.hasher.hash_one(key) as u32
    }
}

/// In both halves, for the table takes bits from either end.
const fn spread(hash: u32) -> u64 {
    (hash as u64) << 32 | hash as u64
}
