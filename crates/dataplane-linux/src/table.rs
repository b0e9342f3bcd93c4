//! The session table: two hash maps in the kernel, and one with what sessions change in their packets, filled and emptied in
//! batches.
//!
//! What must not be here: counters, answers, waiting. A deleted key is out of the table at once; a program that found
//! it before may still be at work until a grace period is over, and needs the session's edits until then.

use std::io;
use std::thread;

use opof_session::plane::{InstallError, Slot};

use crate::abi::{Edits, Entry, Hit, Key, Key4, Key6};
use crate::limits::{BATCH, MAP_TRIES};
use crate::sys::map::{Batch, Map, Plain, is_passing};

/// Both families, and the edits by slot.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) four: Map<Key4, Entry>,
    pub(crate) six: Map<Key6, Entry>,
    pub(crate) edits: Map<u32, Edits>,
}

/// Entries of one call, by family, each with the position of the command that it belongs to.
#[derive(Debug, Default)]
pub(crate) struct Entries {
    four: Side<Key4, Entry>,
    six: Side<Key6, Entry>,
    edits: Side<u32, Edits>,
}

#[derive(Debug)]
struct Side<K, V> {
    keys: Vec<K>,
    values: Vec<V>,
    owners: Vec<usize>,
}

impl<K, V> Default for Side<K, V> {
    fn default() -> Self {
        Self { keys: Vec::new(), values: Vec::new(), owners: Vec::new() }
    }
}

impl Entries {
    /// Adds a key and what a packet that has it meets.
    pub(crate) fn insert(&mut self, key: &Key, hit: Hit, owner: usize) {
        match key {
            Key::V4(key) => self.four.push(*key, Entry::new(key.check(), hit), owner),
            Key::V6(key) => self.six.push(*key, Entry::new(key.check(), hit), owner),
        }
    }

    /// Adds what a session changes in its packets.
    pub(crate) fn insert_edits(&mut self, slot: Slot, edits: Edits, owner: usize) {
        self.edits.push(slot.0, edits, owner);
    }

    /// Adds a key that is to go.
    pub(crate) fn remove(&mut self, key: &Key, owner: usize) {
        match key {
            Key::V4(key) => self.four.push(*key, Entry::default(), owner),
            Key::V6(key) => self.six.push(*key, Entry::default(), owner),
        }
    }
}

impl<K: Plain, V: Plain> Side<K, V> {
    fn push(&mut self, key: K, value: V, owner: usize) {
        self.keys.push(key);
        self.values.push(value);
        self.owners.push(owner);
    }

    fn insert_into(&self, map: &Map<K, V>, failed: &mut impl FnMut(usize, io::Error)) {
        self.sweep(failed, |from, to| map.set_all(&self.keys[from..to], &self.values[from..to]));
    }

    fn remove_from(&self, map: &Map<K, V>, failed: &mut impl FnMut(usize, io::Error)) {
        let mut report = |owner, error: io::Error| {
            // A key that is not there is as good as deleted.
            if error.raw_os_error() != Some(libc::ENOENT) {
                failed(owner, error);
            }
        };
        self.sweep(&mut report, |from, to| map.delete_all(&self.keys[from..to]));
    }

    /// Goes through all entries with `batch`. One that fails for a passing reason is tried again; one that fails for
    /// good is reported and passed over.
    fn sweep(&self, failed: &mut impl FnMut(usize, io::Error), batch: impl Fn(usize, usize) -> Batch) {
        let (mut at, mut tries) = (0, 0);
        while at < self.keys.len() {
            let Batch { done, error } = batch(at, (at + BATCH).min(self.keys.len()));
            at += done;
            let Some(error) = error else { continue };
            tries = if done == 0 { tries + 1 } else { 1 };
            if is_passing(&error) && tries < MAP_TRIES {
                // The kernel refills its reserve of entries in the background.
                thread::yield_now();
                continue;
            }
            failed(self.owners[at], error);
            at += 1;
            tries = 0;
        }
    }
}

impl Table {
    /// Inserts all, what sessions change before what leads to it. `failed` is told the owner of each entry that is not in the table now, and why.
    pub(crate) fn insert(&self, entries: &Entries, mut failed: impl FnMut(usize, io::Error)) {
        entries.edits.insert_into(&self.edits, &mut failed);
        entries.four.insert_into(&self.four, &mut failed);
        entries.six.insert_into(&self.six, &mut failed);
    }

    /// Takes all out. `failed` is told the owner of each entry that may be in the table still, and why.
    pub(crate) fn remove(&self, entries: &Entries, mut failed: impl FnMut(usize, io::Error)) {
        entries.four.remove_from(&self.four, &mut failed);
        entries.six.remove_from(&self.six, &mut failed);
    }

    /// Takes out what these sessions change. Only when no program can have found their entries any more.
    pub(crate) fn forget_edits(&self, slots: &[Slot]) {
        let mut side = Side::<u32, Edits>::default();
        for slot in slots {
            side.push(slot.0, Edits::default(), 0);
        }
        // What stays is overwritten by the next session of the slot that changes something, and unreachable until then.
        side.remove_from(
            &self.edits,
            &mut |_, error| tracing::error!(%error, "could not take out what a session changed"),
        );
    }
}

/// What the engine is told.
pub(crate) fn install_error(error: &io::Error) -> InstallError {
    match error.raw_os_error() {
        Some(libc::E2BIG | libc::ENOSPC) => InstallError::Full,
        _ => InstallError::Unavailable,
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    fn side(entries: usize) -> Side<u32, Entry> {
        let mut side = Side::default();
        (0..entries).for_each(|n| side.push(u32::try_from(n).unwrap(), Entry::default(), n / 2));
        side
    }

    /// A batch that fails at entry `bad` with `errno`, `times` times.
    fn failing(bad: usize, errno: i32, times: u32) -> impl Fn(usize, usize) -> Batch {
        let left = RefCell::new(times);
        move |from, to| {
            if (from..to).contains(&bad) && *left.borrow() > 0 {
                *left.borrow_mut() -= 1;
                return Batch { done: bad - from, error: Some(io::Error::from_raw_os_error(errno)) };
            }
            Batch { done: to - from, error: None }
        }
    }

    fn failures(batch: impl Fn(usize, usize) -> Batch) -> Vec<(usize, i32)> {
        let mut failures = Vec::new();
        side(2 * BATCH).sweep(&mut |owner, error| failures.push((owner, error.raw_os_error().unwrap())), batch);
        failures
    }

    #[test]
    fn one_bad_entry_fails_its_owner_alone() {
        assert_eq!(failures(failing(7, libc::E2BIG, 1)), [(3, libc::E2BIG)]);
        assert_eq!(failures(failing(2 * BATCH - 1, libc::E2BIG, 1)), [(BATCH - 1, libc::E2BIG)]);
    }

    #[test]
    fn passing_faults_are_tried_again_but_not_for_ever() {
        assert_eq!(failures(failing(BATCH, libc::ENOMEM, MAP_TRIES - 1)), []);
        assert_eq!(failures(failing(BATCH, libc::ENOMEM, u32::MAX)), [(BATCH / 2, libc::ENOMEM)]);
    }
}
