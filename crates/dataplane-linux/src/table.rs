//! The session table: an index and flows in memory that the programs share, and a map with what sessions change in their packets.
//!
//! # The protocol
//!
//! One thread writes, any number of programs read, and nobody waits for anybody:
//!
//! 1. The flows of a session are written while no program can reach them.
//! 2. Their entries in the index are published behind that (release). A program that reads an entry reads the flow at the place
//!    that it says, so it can't have an older flow than the entry (a dependent read; Linux's
//!    Documentation/RCU/rcu_dereference.rst).
//! 3. A program compares the whole key in the flow: half of a hash leads it there, the key alone makes a hit.
//! 4. To remove a session its entries are cleared. A program that read one before may be at work on the flow until a grace period
//!    is over, which is waited for elsewhere ([`crate::grace`]); then the counters are final, and 1 holds again for the slot.
//!
//! So a program that holds a flow holds that of one session, from the first word to the last, for as long as it runs. Entries
//! never move: a session that is in the table is found by every search.
//!
//! 5. With each session a note is kept, which only outlives this process. It is there before an entry is, and longer: so whatever a process
//!    was doing when it ended, what programs can be led to has a note, and nothing else has to be looked at by the next one.
//!
//! What must not be here: answers, waiting. That no two sessions have one key is the engine's to see to.

mod flows;
mod index;
mod notes;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "in a test a panic is the way to fail")]
mod tests;

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::AtomicU64;
use std::thread;

use opof_session::plane::{InstallError, Note, Slot};
use opof_session::types::{Counters, Moment};
use rustix::rand::{GetRandomFlags, getrandom};

use index::Word;
pub(crate) use index::{Full, Multipliers, Shape};
pub(crate) use notes::{Beside, is_part as is_part_of_notes};

use crate::abi::{Edits, FLOW_WORDS, Forward, Key, MULTIPLIERS, new_flow, parts};
use crate::clock::Clock;
use crate::limits::{BATCH, MAP_TRIES};
use crate::sys::map::{Batch, Map, is_passing};
use crate::sys::shared::SharedWords;

/// Random ones.
pub(crate) fn draw_multipliers() -> io::Result<Multipliers> {
    let mut drawn = [0; MULTIPLIERS];
    for multiplier in &mut drawn {
        let mut bytes = [0; 8];
        if getrandom(&mut bytes, GetRandomFlags::empty())? != bytes.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // Odd, so that no word of a key is lost in the lower half of the hash.
        *multiplier = u64::from_ne_bytes(bytes) | 1;
    }
    Ok(drawn)
}

/// One direction of a session, as it is put into the table: what its packets have, and what becomes of them. `None` discards.
pub(crate) type NewFlow = (Key, Option<Forward>);

/// The index, the flows, and the edits by slot.
#[derive(Debug)]
pub(crate) struct Table {
    shape: Shape,
    index: SharedWords,
    flows: SharedWords,
    notes: Beside,
    maps: [OwnedFd; 2],
    clock: Clock,
    pub(crate) edits: Map<u32, Edits>,
}

/// What a slot has of a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Kept {
    pub(crate) note: Note,
    pub(crate) directions: [NewFlow; 2],
    /// Which directions programs are led to.
    pub(crate) forwarded: [bool; 2],
}

/// The numbers of a session's flows.
fn numbers(slot: Slot) -> [u32; 2] {
    [2 * slot.0, 2 * slot.0 + 1]
}

impl Table {
    /// Of maps that were made for this shape and as many sessions.
    pub(crate) fn new(
        shape: Shape,
        sessions: u32,
        [index, flows]: [OwnedFd; 2],
        notes: Beside,
        edits: Map<u32, Edits>,
        clock: Clock,
    ) -> io::Result<Self> {
        let words = (sessions as usize).checked_mul(2 * FLOW_WORDS).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self {
            shape,
            index: SharedWords::new(index.as_fd(), shape.words())?,
            flows: SharedWords::new(flows.as_fd(), words)?,
            notes,
            maps: [index, flows],
            clock,
            edits,
        })
    }

    /// Sessions at most.
    pub(crate) fn sessions(&self) -> u32 {
        u32::try_from(self.flows.words().len() / (2 * FLOW_WORDS)).unwrap_or(u32::MAX)
    }

    /// The maps of index and flows, to be measured.
    pub(crate) fn maps(&self) -> &[OwnedFd; 2] {
        &self.maps
    }

    /// Puts a session into a slot that no program can reach: it is in no table, and has not been since before the last grace
    /// period. What it changes has to be there. When there was no room, a program may have been led to it for a moment.
    pub(crate) fn insert(&mut self, slot: Slot, directions: &[NewFlow; 2], note: Note) -> Result<(), InstallError> {
        if directions[0].0.is_v6() {
            self.notes.make_place(slot).map_err(|error| {
                tracing::warn!(%error, "no room for what is kept of IPv6 sessions");
                install_error(&error)
            })?;
        }
        put(self.flows.words(), self.notes.place(slot), slot, directions, note);
        publish(self.index.words(), &self.shape, slot, directions).map_err(|Full| {
            self.forget(slot);
            tracing::warn!("no room for a session in the index of the table");
            InstallError::Full
        })
    }

    /// Where the note of a slot's session is.
    fn place_of_note(&self, slot: Slot) -> Option<&[AtomicU64]> {
        place_of_note(self.flows.words(), self.notes.place(slot), slot)
    }

    fn note(&self, slot: Slot) -> Option<Note> {
        notes::read(self.place_of_note(slot)?)
    }

    /// Has the buckets of keys brought into the cache, for a session that is soon put in or taken out.
    pub(crate) fn touch(&self, keys: [&Key; 2]) {
        for key in keys {
            index::touch(self.index.words(), &self.shape, self.shape.hash(key));
        }
    }

    /// Takes a session out, and keeps another note with it. One that is not there is as good as taken out.
    pub(crate) fn remove(&self, slot: Slot, keys: &[Key; 2], note: Note) {
        if let Some(place) = self.place_of_note(slot)
            && notes::read(place).is_some()
        {
            notes::write(place, note);
        }
        remove(self.index.words(), &self.shape, slot, keys);
    }

    /// Keeps nothing of a session that was taken out.
    pub(crate) fn forget(&self, slot: Slot) {
        if let Some(place) = self.place_of_note(slot) {
            notes::clear(place);
        }
    }

    /// What is kept in a slot, if a note is.
    pub(crate) fn kept(&self, slot: Slot) -> Option<Kept> {
        let note = self.note(slot)?;
        let numbers = numbers(slot);
        let directions = numbers.map(|number| parts(&flows::words(flows::flow(self.flows.words(), number))));
        let leads = |at: usize| {
            index::leads_to(self.index.words(), &self.shape, self.shape.hash(&directions[at].0), numbers[at])
        };
        Some(Kept { note, directions, forwarded: [leads(0), leads(1)] })
    }

    /// Leads nobody to a slot without a note, and puts the rest of the index in order: the process before may have ended in the middle of
    /// a change.
    pub(crate) fn mend(&self) {
        let key = |number| parts(&flows::words(flows::flow(self.flows.words(), number))).0;
        let is_there = |number: u32| {
            (number as usize) < self.flows.words().len() / FLOW_WORDS && self.note(Slot(number / 2)).is_some()
        };
        index::mend(self.index.words(), &self.shape, is_there, |number| self.shape.hash(&key(number)));
    }

    /// Sees to it that the time of packets is known. To be called now and then before counters are read.
    pub(crate) fn look_at_the_clock(&mut self, now: Moment) {
        self.clock.refresh(now);
    }

    /// What the time of packets is known by.
    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The counters of a slot's session.
    pub(crate) fn read(&self, slot: Slot) -> Counters {
        let session = numbers(slot).map(|number| flows::flow(self.flows.words(), number));
        flows::read(session, |tick| self.clock.moment(tick))
    }

    /// Says what sessions change in their packets, before they are inserted. `failed` is told the position of each of which it
    /// could not be said, and why.
    pub(crate) fn insert_edits(&self, slots: &[u32], edits: &[Edits], failed: impl FnMut(usize, io::Error)) {
        sweep(slots.len(), failed, |from, to| self.edits.set_all(&slots[from..to], &edits[from..to]));
    }

    /// Takes out what these sessions change. Only when no program can have found their entries any more.
    pub(crate) fn forget_edits(&self, slots: &[u32]) {
        // What stays is overwritten by the next session of the slot that changes something, and unreachable until then.
        let failed = |_, error: io::Error| {
            if error.raw_os_error() != Some(libc::ENOENT) {
                tracing::error!(%error, "could not take out what a session changed");
            }
        };
        sweep(slots.len(), failed, |from, to| self.edits.delete_all(&slots[from..to]));
    }
}

/// The place of a note: in the session's first flow, or `beside` it.
fn place_of_note<'a, W: Word>(flows: &'a [W], beside: Option<&'a [W]>, slot: Slot) -> Option<&'a [W]> {
    let flow = flows::flow(flows, numbers(slot)[0]);
    if flows::is_v6(flow) { beside } else { Some(notes::in_flow(flow)) }
}

/// Writes a session and its note, in the place of what was there. Wherever it ends, what can be taken for a note then is one, of the
/// flows that are there.
fn put<W: Word>(flows: &[W], beside: Option<&[W]>, slot: Slot, directions: &[NewFlow; 2], note: Note) {
    if let Some(older) = place_of_note(flows, beside, slot) {
        notes::clear(older);
    }
    write(flows, slot, directions);
    if let Some(place) = place_of_note(flows, beside, slot) {
        notes::write(place, note);
    }
}

fn write(flows: &[impl Word], slot: Slot, directions: &[NewFlow; 2]) {
    for (number, (key, forward)) in numbers(slot).into_iter().zip(directions) {
        flows::write(flows::flow(flows, number), &new_flow(key, *forward));
    }
}

fn publish(index: &[impl Word], shape: &Shape, slot: Slot, directions: &[NewFlow; 2]) -> Result<(), Full> {
    for (number, (key, _)) in numbers(slot).into_iter().zip(directions) {
        if let Err(full) = index::insert(index, shape, shape.hash(key), number) {
            remove(index, shape, slot, &directions.map(|(key, _)| key));
            return Err(full);
        }
    }
    Ok(())
}

fn remove(index: &[impl Word], shape: &Shape, slot: Slot, keys: &[Key; 2]) {
    for (number, key) in numbers(slot).into_iter().zip(keys) {
        index::remove(index, shape, shape.hash(key), number);
    }
}

/// Goes through `count` entries with `batch`. One that fails for a passing reason is tried again; one that fails for good is
/// reported and passed over.
fn sweep(count: usize, mut failed: impl FnMut(usize, io::Error), batch: impl Fn(usize, usize) -> Batch) {
    let (mut at, mut tries) = (0, 0);
    while at < count {
        let Batch { done, error } = batch(at, (at + BATCH).min(count));
        at += done;
        let Some(error) = error else { continue };
        tries = if done == 0 { tries + 1 } else { 1 };
        if is_passing(&error) && tries < MAP_TRIES {
            // The kernel refills its reserve of entries in the background.
            thread::yield_now();
            continue;
        }
        failed(at, error);
        at += 1;
        tries = 0;
    }
}

/// What the engine is told.
pub(crate) fn install_error(error: &io::Error) -> InstallError {
    match error.raw_os_error() {
        Some(libc::E2BIG | libc::ENOSPC) => InstallError::Full,
        _ => InstallError::Unavailable,
    }
}
