//! The file: a table of records by sequence, and a few numbers about them (redb, whose transactions survive whatever happens to the
//! process or the machine).
//!
//! What must not be here: what is in a record, and what is done when something fails.

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
    /// It can't be read or written.
    #[error("closed log {}: {source}", path.display())]
    Failed {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: Box<redb::Error>,
    },
}

/// An open closed log.
#[derive(Debug)]
pub(super) struct LogFile(Database);

/// What is in it: records by sequence, and the last sequence that was ever given.
pub(super) struct Contents {
    pub(super) records: Vec<(u64, [u8; RECORD])>,
    pub(super) last: u64,
}

impl LogFile {
    /// Opens it, or makes it.
    pub(super) fn open(path: &Path) -> Result<(Self, Contents), StoreError> {
        let database = Builder::new().set_cache_size(CACHE).create(path);
        Self::with(database, path)
    }

    /// The same in other memory than a file.
    #[cfg(any(test, feature = "simulation"))]
    pub(super) fn within(backend: impl redb::StorageBackend) -> Result<(Self, Contents), StoreError> {
        Self::with(Builder::new().set_cache_size(CACHE).create_with_backend(backend), Path::new("memory"))
    }

    fn with(database: Result<Database, DatabaseError>, path: &Path) -> Result<(Self, Contents), StoreError> {
        let failed = |source: redb::Error| StoreError::Failed { path: path.to_owned(), source: Box::new(source) };
        let file = match database {
            Err(DatabaseError::DatabaseAlreadyOpen) => return Err(StoreError::InUse(path.to_owned())),
            database => Self(database.map_err(|error| failed(error.into()))?),
        };
        let (format, contents) = file.contents().map_err(failed)?;
        if format != FORMAT {
            return Err(StoreError::Format { path: path.to_owned(), format });
        }
        Ok((file, contents))
    }

    fn contents(&self) -> Result<(u64, Contents), redb::Error> {
        let transaction = self.0.begin_write()?;
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
        let table = self.0.begin_read()?.open_table(RECORDS)?;
        let records = table.iter()?.map(|entry| entry.map(|(sequence, bytes)| (sequence.value(), *bytes.value())));
        Ok((format, Contents { records: records.collect::<Result<_, _>>()?, last }))
    }

    /// All of it is there when this returns, or none.
    pub(super) fn commit(&self, records: &[(u64, [u8; RECORD])], ended: &[u64]) -> Result<(), redb::Error> {
        let transaction = self.0.begin_write()?;
        {
            let mut table = transaction.open_table(RECORDS)?;
            for sequence in ended {
                table.remove(sequence)?;
            }
            for (sequence, bytes) in records {
                table.insert(sequence, bytes)?;
            }
            if let Some((last, _)) = records.last() {
                transaction.open_table(NUMBERS)?.insert(LAST_KEY, last)?;
            }
        }
        transaction.commit()?;
        Ok(())
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

    #[test]
    fn a_file_of_another_format_is_named() {
        let disk = Disk::default();
        let (file, _) = LogFile::within(disk.clone()).unwrap();
        let transaction = file.0.begin_write().unwrap();
        transaction.open_table(NUMBERS).unwrap().insert(FORMAT_KEY, 9).unwrap();
        transaction.commit().unwrap();
        drop(file);
        let error = LogFile::within(disk).err().unwrap().to_string();
        assert!(error.contains("it is of format 9"), "{error}");
    }
}
