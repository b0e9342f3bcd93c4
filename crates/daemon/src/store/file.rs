//! The file: a table of records by sequence, and a few numbers about them (redb, whose transactions survive whatever happens to the
//! process or the machine).
//!
//! What must not be here: what is in a record, and what is done when something fails.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use redb::{Builder, Database, DatabaseError, ReadableDatabase, ReadableTable, TableDefinition};

use super::record::RECORD;

const RECORDS: TableDefinition<'_, u64, &[u8; RECORD]> = TableDefinition::new("closed");
const NUMBERS: TableDefinition<'_, &str, u64> = TableDefinition::new("numbers");
/// What the records of this file are like.
const FORMAT: u64 = 1;
const FORMAT_KEY: &str = "format";
/// The last sequence that was ever given.
const LAST_KEY: &str = "last";
/// Bytes of the file that are kept in memory: a batch touches few pages.
const CACHE: usize = 4 << 20;
/// Of all sequences: a million a second for 146,000 years. What is beyond was never given.
const SEQUENCE_MAX: u64 = 1 << 62;

/// Why the closed log can't be opened.
#[derive(thiserror::Error, Debug)]
pub enum StoreError {
    /// Somebody else has it.
    #[error("closed log {}: another process uses it; give each opofd one of its own (--closed-log)", .0.display())]
    InUse(PathBuf),
    /// A later version wrote it.
    #[error("closed log {}: it is of format {format}, and this version reads {FORMAT}", path.display())]
    Format {
        /// Which file.
        path: PathBuf,
        /// What it says.
        format: u64,
    },
    /// What is in it makes no sense.
    #[error("closed log {}: it is damaged ({why}); move it away to begin a new one, without the closed sessions that are in it", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What makes no sense.
        why: String,
    },
    /// It can't be read or written.
    #[error("closed log {}: {source}", path.display())]
    Failed {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: Box<redb::Error>,
    },
}

/// An open closed log. Closing it may fail like anything else, but what was committed is there.
#[derive(Debug)]
pub(super) struct LogFile {
    /// `None` while it is being closed.
    database: Option<Database>,
}

impl Drop for LogFile {
    fn drop(&mut self) {
        let database = self.database.take();
        let closed = guarded(|| {
            drop(database);
            Ok(())
        });
        if let Err(why) = closed {
            tracing::error!(%why, "the closed log could not be closed in order");
        }
    }
}

/// What is in it: records by sequence, and the last sequence that was ever given.
pub(super) struct Contents {
    pub(super) records: Vec<(u64, [u8; RECORD])>,
    pub(super) last: u64,
}

impl LogFile {
    /// Opens it, or makes it.
    pub(super) fn open(path: &Path) -> Result<(Self, Contents), StoreError> {
        Self::with(|| Builder::new().set_cache_size(CACHE).create(path), path)
    }

    /// The same in other memory than a file.
    #[cfg(any(test, feature = "simulation"))]
    pub(super) fn within(backend: impl redb::StorageBackend) -> Result<(Self, Contents), StoreError> {
        Self::with(|| Builder::new().set_cache_size(CACHE).create_with_backend(backend), Path::new("memory"))
    }

    fn with(
        create: impl FnOnce() -> Result<Database, DatabaseError>,
        path: &Path,
    ) -> Result<(Self, Contents), StoreError> {
        let opened = guarded(|| {
            let file = Self { database: Some(create()?) };
            let (format, contents) = file.contents()?;
            Ok((file, format, contents))
        });
        let path = path.to_owned();
        let (file, format, contents) = match opened {
            Ok(opened) => opened,
            Err(Trouble::Damage(why)) => return Err(StoreError::Damaged { path, why }),
            Err(Trouble::Error(redb::Error::DatabaseAlreadyOpen)) => return Err(StoreError::InUse(path)),
            Err(Trouble::Error(source)) => return Err(StoreError::Failed { path, source: Box::new(source) }),
        };
        if format != FORMAT {
            return Err(StoreError::Format { path, format });
        }
        let newest = contents.records.iter().map(|(sequence, _)| *sequence).max();
        if let Some(sequence) = newest.into_iter().chain([contents.last]).find(|sequence| *sequence > SEQUENCE_MAX) {
            return Err(StoreError::Damaged { path, why: format!("it has a record {sequence}") });
        }
        Ok((file, contents))
    }

    fn contents(&self) -> Result<(u64, Contents), redb::Error> {
        let transaction = self.database().begin_write()?;
        let (format, last) = {
            let mut numbers = transaction.open_table(NUMBERS)?;
            // A file that is new has nothing in it.
            let format = numbers.get(FORMAT_KEY)?.map(|format| format.value());
            if format.is_none() {
                numbers.insert(FORMAT_KEY, FORMAT)?;
            }
            let last = numbers.get(LAST_KEY)?.map_or(0, |last| last.value());
            transaction.open_table(RECORDS)?;
            (format.unwrap_or(FORMAT), last)
        };
        transaction.commit()?;
        let table = self.database().begin_read()?.open_table(RECORDS)?;
        let records = table.iter()?.map(|entry| entry.map(|(sequence, bytes)| (sequence.value(), *bytes.value())));
        Ok((format, Contents { records: records.collect::<Result<_, _>>()?, last }))
    }

    /// All of it is there when this returns, or none.
    pub(super) fn commit(&self, records: &[(u64, [u8; RECORD])], ended: &[u64]) -> Result<(), Trouble> {
        guarded(|| self.commit_all(records, ended))
    }

    fn database(&self) -> &Database {
        self.database.as_ref().expect("it is open until it is dropped")
    }

    fn commit_all(&self, records: &[(u64, [u8; RECORD])], ended: &[u64]) -> Result<(), redb::Error> {
        let transaction = self.database().begin_write()?;
        {
            let mut table = transaction.open_table(RECORDS)?;
            for sequence in ended {
                table.remove(sequence)?;
            }
            for (sequence, bytes) in records {
                table.insert(sequence, bytes)?;
            }
            if let Some(last) = records.iter().map(|(sequence, _)| *sequence).max() {
                let mut numbers = transaction.open_table(NUMBERS)?;
                let before = numbers.get(LAST_KEY)?.map_or(0, |last| last.value());
                numbers.insert(LAST_KEY, last.max(before))?;
            }
        }
        transaction.commit()?;
        Ok(())
    }
}

/// Why something with the file failed.
#[derive(thiserror::Error, Debug)]
pub(super) enum Trouble {
    /// The library says so.
    #[error(transparent)]
    Error(redb::Error),
    /// What is in it makes no sense.
    #[error("it is damaged: {0}")]
    Damage(String),
}

/// The library finds most damage by its checksums, but it panics about some: then nobody may go on with what it had open.
fn guarded<T>(work: impl FnOnce() -> Result<T, redb::Error>) -> Result<T, Trouble> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(redb::Error::Corrupted(why))) => Err(Trouble::Damage(why)),
        Ok(Err(error)) => Err(Trouble::Error(error)),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            Err(Trouble::Damage(text.unwrap_or("without a word").to_owned()))
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "in a test a panic is the way to fail")]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::store::disk::Disk;

    fn bytes(sequence: u64) -> [u8; RECORD] {
        let mut bytes = [0; RECORD];
        bytes[..8].copy_from_slice(&sequence.to_le_bytes());
        bytes
    }

    fn sequences(contents: &Contents) -> Vec<u64> {
        assert!(contents.records.iter().all(|(sequence, found)| *found == bytes(*sequence)));
        contents.records.iter().map(|(sequence, _)| *sequence).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// The disk fails after some call, or the power does: what was committed is there, all of the last commit or none of it.
        #[test]
        fn what_was_committed_is_there_whatever_fails(
            batches in prop::collection::vec(1_u64..40, 1..12), left in 0_u32..200, kept in prop::collection::vec(any::<u8>(), 1..20)
        ) {
            let disk = Disk::default();
            let (file, contents) = LogFile::within(disk.clone()).unwrap();
            prop_assert_eq!((contents.records.len(), contents.last), (0, 0));
            disk.fail_after(Some(left));
            let (mut next, mut low, mut committed) = (1, 1, (1, 0));
            let mut attempted = committed;
            for count in batches {
                let records: Vec<_> = (next..next + count).map(|sequence| (sequence, bytes(sequence))).collect();
                // Half of what there was is delivered meanwhile.
                let ended: Vec<u64> = (low..low + (next - low) / 2).collect();
                next += count;
                low += ended.len() as u64;
                attempted = (low, next - 1);
                if file.commit(&records, &ended).is_err() {
                    break;
                }
                committed = attempted;
            }
            let after = disk.after_power_failure(&kept);
            drop(file);
            let (_, contents) = LogFile::within(after).unwrap();
            let found = (sequences(&contents), contents.last);
            let is = |(low, last): (u64, u64)| ((low..=last).collect::<Vec<_>>(), last);
            prop_assert!(found == is(committed) || found == is(attempted), "{:?}, not {:?} or {:?}", found, committed, attempted);
        }
    }

    fn damaged() -> Vec<u8> {
        let disk = Disk::default();
        let (file, _) = LogFile::within(disk.clone()).unwrap();
        for first in (1..200).step_by(20) {
            let records: Vec<_> = (first..first + 20).map(|sequence| (sequence, bytes(sequence))).collect();
            file.commit(&records, &[first]).unwrap();
        }
        disk.bytes()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        /// What is found is no more than there was, or it is said that the file is of no use.
        #[test]
        fn damage_is_said_or_does_not_matter(
            places in prop::collection::vec((prop_oneof![0..512_usize, any::<usize>()], any::<u8>()), 1..6)
        ) {
            let mut bytes = damaged();
            for (at, byte) in places {
                let at = at % bytes.len();
                bytes[at] = byte;
            }
            if let Ok((_file, contents)) = LogFile::within(Disk::of(bytes)) {
                prop_assert!(contents.records.len() <= 200);
            }
        }
    }

    /// The library panics when it is to write down which pages are free.
    #[test]
    fn what_can_not_be_closed_in_order_is_closed_all_the_same() {
        let disk = Disk::default();
        let (file, _) = LogFile::within(disk.clone()).unwrap();
        let records: Vec<_> = (1..=200).map(|sequence| (sequence, bytes(sequence))).collect();
        file.commit(&records, &[]).unwrap();
        drop(file);
        let mut damaged = disk.bytes();
        damaged[8458] = 0;
        assert_eq!(LogFile::within(Disk::of(damaged)).unwrap().1.records.len(), 200);
    }

    #[test]
    fn a_file_that_makes_the_library_panic_is_named_with_what_to_do() {
        let error = |what| {
            let broken = guarded(|| -> Result<(), redb::Error> { panic!("{what}") });
            let Err(Trouble::Damage(why)) = broken else { panic!("{broken:?}") };
            StoreError::Damaged { path: "/a".into(), why }.to_string()
        };
        assert_eq!(
            error("Malformed allocator state"),
            "closed log /a: it is damaged (Malformed allocator state); move it away to begin a new one, without the closed \
             sessions that are in it"
        );
    }

    #[test]
    fn a_sequence_that_was_never_given_is_damage() {
        let disk = Disk::default();
        let (file, _) = LogFile::within(disk.clone()).unwrap();
        file.commit(&[(u64::MAX, bytes(u64::MAX))], &[]).unwrap();
        drop(file);
        let error = LogFile::within(disk).err().unwrap().to_string();
        assert!(error.contains("it is damaged (it has a record 18446744073709551615)"), "{error}");
    }

    #[test]
    fn a_file_of_another_format_is_named() {
        let disk = Disk::default();
        let (file, _) = LogFile::within(disk.clone()).unwrap();
        let transaction = file.database().begin_write().unwrap();
        transaction.open_table(NUMBERS).unwrap().insert(FORMAT_KEY, 9).unwrap();
        transaction.commit().unwrap();
        drop(file);
        let error = LogFile::within(disk).err().unwrap().to_string();
        assert!(error.contains("it is of format 9"), "{error}");
    }
}
