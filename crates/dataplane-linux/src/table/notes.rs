//! What is kept of each session for the engine, in memory that outlives this process. Programs never look at it.
//!
//! A note is there when its last word is not zero; it is written last and cleared first. Of an IPv4 session it is in its first flow,
//! in the words that only IPv6 addresses use, so it costs nothing; of an IPv6 session in an array beside the flows, of which a part
//! is made when the first session needs it. What must not be here: what a note says.

use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use opof_session::plane::{Note, Slot};

use super::index::Word;
use crate::limits::NOTES_TOGETHER;
use crate::sys::bpf;
use crate::sys::map::shared_array;
use crate::sys::shared::SharedWords;

/// 64-bit words of a note.
const NOTE_WORDS: usize = 3;
/// The place of the last word.
const LAST: usize = NOTE_WORDS - 1;
/// What the names of parts begin with in the pin directory.
const PREFIX: &str = "notes_";

/// The place of the note in the first flow of an IPv4 session.
pub(crate) fn in_flow<W>(flow: &[W]) -> &[W] {
    &flow[1..=NOTE_WORDS]
}

/// Keeps a note, in the place of the one that is there. Its last word changes at once.
pub(crate) fn write(place: &[impl Word], Note(words): Note) {
    for (kept, word) in place[..LAST].iter().zip(words) {
        kept.store(word, Ordering::Release);
    }
    place[LAST].store(words[LAST], Ordering::Release);
}

/// The note, if there is one.
pub(crate) fn read(place: &[impl Word]) -> Option<Note> {
    let words = std::array::from_fn(|at| place[at].load(Ordering::Relaxed));
    (words[LAST] != 0).then_some(Note(words))
}

/// Keeps nothing.
pub(crate) fn clear(place: &[impl Word]) {
    place[LAST].store(0, Ordering::Release);
}

/// The notes of IPv6 sessions, by slot.
#[derive(Debug)]
pub(crate) struct Beside {
    folder: PathBuf,
    parts: Vec<Option<SharedWords>>,
}

impl Beside {
    /// The parts that a process before this one has left in the pin directory, and room for the others.
    pub(crate) fn open(folder: &Path, sessions: u32) -> io::Result<Self> {
        let part = |number: usize| {
            let path = folder.join(name(number));
            path.exists().then(|| map_part(&bpf::get_pinned(&path)?)).transpose()
        };
        let parts = (0..(sessions as usize).div_ceil(NOTES_TOGETHER)).map(part).collect::<io::Result<_>>()?;
        Ok(Self { folder: folder.to_owned(), parts })
    }

    /// The place of a slot's note; `None` where there has never been one.
    pub(crate) fn place(&self, slot: Slot) -> Option<&[AtomicU64]> {
        let (part, at) = place(slot);
        Some(&self.parts.get(part)?.as_ref()?.words()[at..at + NOTE_WORDS])
    }

    /// Sees to it that there is a place.
    pub(crate) fn make_place(&mut self, slot: Slot) -> io::Result<()> {
        let (number, _) = place(slot);
        let part = self.parts.get_mut(number).ok_or(io::ErrorKind::InvalidInput)?;
        if part.is_none() {
            let map = shared_array(NOTE_WORDS, u32::try_from(NOTES_TOGETHER).expect("few"))?;
            let words = map_part(&map)?;
            bpf::pin(map.as_fd(), &self.folder.join(name(number)))?;
            *part = Some(words);
        }
        Ok(())
    }
}

/// True for the name of a part in the pin directory.
pub(crate) fn is_part(name: &str) -> bool {
    name.starts_with(PREFIX)
}

fn name(part: usize) -> String {
    format!("{PREFIX}{part}")
}

fn place(slot: Slot) -> (usize, usize) {
    let slot = slot.0 as usize;
    (slot / NOTES_TOGETHER, slot % NOTES_TOGETHER * NOTE_WORDS)
}

fn map_part(map: &impl AsFd) -> io::Result<SharedWords> {
    SharedWords::new(map.as_fd(), NOTES_TOGETHER * NOTE_WORDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_there_from_its_writing_to_its_clearing() {
        let words: Vec<AtomicU64> = (0..8).map(|_| AtomicU64::new(0)).collect();
        let place = in_flow(&words);
        assert_eq!(read(place), None);
        write(place, Note([0, 0, 1]));
        assert_eq!(read(place), Some(Note([0, 0, 1])));
        write(place, Note([7, 8, 9]));
        assert_eq!(read(place), Some(Note([7, 8, 9])));
        let all: Vec<u64> = words.iter().map(|word| word.load(Ordering::Relaxed)).collect();
        assert_eq!(all, [0, 7, 8, 9, 0, 0, 0, 0], "key, action and counters are left alone");
        clear(place);
        assert_eq!(read(place), None);
    }

    #[test]
    fn places_follow_each_other_and_do_not_overlap() {
        let together = u32::try_from(NOTES_TOGETHER).unwrap();
        assert_eq!([0, 1, together - 1].map(|slot| place(Slot(slot))), [(0, 0), (0, 3), (0, 3 * NOTES_TOGETHER - 3)]);
        assert_eq!([together, 2 * together + 1].map(|slot| place(Slot(slot))), [(1, 0), (2, 3)]);
    }
}
