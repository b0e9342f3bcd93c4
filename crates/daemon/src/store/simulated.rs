//! The closed log of a simulated world: on its disk, and written when it says so.

use std::path::{Path, PathBuf};

use super::disk::Disk;
use super::file::LogFile;
use super::{Batch, ClosedStore, Era, RECORD, Restored, StoreError, Writer};
use crate::simulation::Stored;

/// Who writes the log, in place of a thread.
pub(crate) struct Desk {
    writer: Writer,
    /// Not stored yet.
    batch: Option<Batch>,
}

impl Desk {
    /// A log on `disk`; `boot` is the number of the machine's start.
    pub(crate) fn open(disk: &Disk, boot: u64) -> Result<(ClosedStore, Self, Restored), StoreError> {
        let disk = disk.clone();
        let open = Box::new(move || LogFile::within(disk.clone()));
        let (store, writer, restored) = ClosedStore::over(open, Path::new("simulated"), Era { boot, zero: 0 })?;
        Ok((store, Self { writer, batch: None }, restored))
    }

    /// Stores the batch that is there, or tries to.
    pub(crate) fn work(&mut self) -> Stored {
        self.batch = self.batch.take().or_else(|| self.writer.batches.try_recv().ok());
        let Some(batch) = &self.batch else { return Stored::Nothing };
        let records = batch.records.iter().map(|(sequence, _)| *sequence).collect();
        let ended = batch.ended.clone();
        if !self.writer.stores(batch) {
            return Stored::Not { records, ended };
        }
        self.batch = None;
        Stored::Batch { records, ended }
    }
}

/// Writes these records into the log on `disk`.
pub(crate) fn write_all(disk: &Disk, records: &[(u64, [u8; RECORD])]) -> Result<(), StoreError> {
    let (file, _) = LogFile::within(disk.clone())?;
    let path = PathBuf::from("simulated");
    file.commit(records, &[]).map_err(|error| StoreError::Damaged { path, why: error.to_string() })
}
