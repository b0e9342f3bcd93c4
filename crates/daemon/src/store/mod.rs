//! Closed records on disk: written by a thread of its own, in batches, so that nobody waits for a disk.
//!
//! One batch is under way at a time; what comes meanwhile is the next one, so a slow disk makes larger batches. A disk that fails is
//! tried again until it works: what is not stored is shown to nobody, and kept. What must not be here: which records there are.

#[cfg(any(test, feature = "simulation"))]
pub(crate) mod disk;
mod file;
mod record;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::{fs, io};

use opof_session::types::ClosedRecord;
use tokio::sync::watch;

pub use self::file::StoreError;
use self::file::{Contents, LogFile};
use self::record::Era;
use crate::clock::Clock;
use crate::limits;

/// Where the kernel says which start of the machine this is.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// What was in the log when it was opened.
#[derive(Debug)]
pub(crate) struct Restored {
    pub(crate) records: Vec<ClosedRecord>,
    /// The last sequence that was ever given.
    pub(crate) last: u64,
}

/// How far the thread is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    /// Batches that are stored.
    batches: u64,
    /// The last sequence that is. Those of a peer can be lower than what was stored before.
    through: u64,
    /// Why it is not getting on.
    failure: Option<String>,
}

struct Batch {
    records: Vec<(u64, [u8; RECORD])>,
    ended: Vec<u64>,
}

/// The log and the way to its thread. Dropping it waits for the batch that is under way, or gives it up when the disk fails.
#[derive(Debug)]
pub(crate) struct ClosedStore {
    batches: Option<SyncSender<Batch>>,
    progress: watch::Receiver<Progress>,
    given: Arc<AtomicU64>,
    era: Era,
    thread: Option<JoinHandle<()>>,
}

impl ClosedStore {
    /// Opens the log, or makes it, with its folder.
    pub(crate) fn open(path: &Path, clock: &Clock) -> Result<(Self, Restored), StoreError> {
        let failed =
            |source: io::Error| StoreError::Failed { path: path.to_owned(), source: Box::new(redb::Error::Io(source)) };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        let era = era(clock).map_err(failed)?;
        let reopened = path.to_owned();
        let (mut store, writer, restored) = Self::over(Box::new(move || LogFile::open(&reopened)), path, era)?;
        let thread = thread::Builder::new().name("closed-log".to_owned()).spawn(move || writer.run());
        store.thread = Some(thread.map_err(failed)?);
        Ok((store, restored))
    }

    /// The log without the thread that writes it.
    fn over(open: Open, path: &Path, era: Era) -> Result<(Self, Writer, Restored), StoreError> {
        let (file, Contents { records, last }) = open()?;
        let total = records.len();
        let records: Vec<_> =
            records.iter().filter_map(|(sequence, bytes)| record::decode(*sequence, bytes, era)).collect();
        if records.len() < total {
            tracing::error!(records = total - records.len(), "the closed log has records that this version can't read");
        }
        let (batches, to_store) = sync_channel(1);
        let (told, progress) = watch::channel(Progress::default());
        let writer = Writer { path: path.to_owned(), open, file: Some(file), batches: to_store, told };
        let store = Self { batches: Some(batches), progress, given: Arc::default(), era, thread: None };
        Ok((store, writer, Restored { records, last }))
    }

    /// True while a batch is under way.
    pub(crate) fn is_busy(&self) -> bool {
        self.progress.borrow().batches < self.given.load(Ordering::Relaxed)
    }

    /// Has these records stored, and these no longer. Not while it is busy.
    pub(crate) fn give(&mut self, records: &[ClosedRecord], ended: Vec<u64>) {
        let records = records.iter().map(|record| (record.sequence, record::encode(record, self.era))).collect();
        self.given.fetch_add(1, Ordering::Relaxed);
        if let Some(batches) = &self.batches {
            // Its thread ends with this value.
            let _ = batches.send(Batch { records, ended });
        }
    }

    /// For somebody who watches it.
    pub(crate) fn gauge(&self) -> Gauge {
        Gauge { progress: self.progress.clone(), given: Arc::clone(&self.given) }
    }

    /// Waits until something has changed.
    pub(crate) async fn changed(&mut self) {
        if self.progress.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// How many batches are stored, and up to which sequence.
    pub(crate) fn stored(&self) -> (u64, u64) {
        let progress = self.progress.borrow();
        (progress.batches, progress.through)
    }
}

impl Drop for ClosedStore {
    fn drop(&mut self) {
        self.batches = None;
        if let Some(thread) = self.thread.take() {
            // It has ended, in whatever way: nothing more can be done about it here.
            let _ = thread.join();
        }
    }
}

/// How a [`ClosedStore`] gets on, for somebody who watches it.
#[derive(Clone, Debug)]
pub(crate) struct Gauge {
    progress: watch::Receiver<Progress>,
    given: Arc<AtomicU64>,
}

/// What a [`Gauge`] says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Reading {
    /// The batch that is under way, if one is.
    pub(crate) under_way: Option<u64>,
    /// Why it was not stored yet, when it was tried.
    pub(crate) failure: Option<String>,
}

impl Gauge {
    pub(crate) fn read(&self) -> Reading {
        let progress = self.progress.borrow();
        let given = self.given.load(Ordering::Relaxed);
        Reading { under_way: (given > progress.batches).then_some(given), failure: progress.failure.clone() }
    }
}

/// What the moments of this run mean.
fn era(clock: &Clock) -> io::Result<Era> {
    let text = fs::read_to_string(BOOT_ID)?;
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    let number = u128::from_str_radix(&digits, 16).map_err(|_| io::ErrorKind::InvalidData)?;
    #[allow(clippy::cast_possible_truncation, reason = "either half of a random number")]
    let boot = (number >> 64) as u64 ^ number as u64;
    Ok(Era { boot, zero: clock.wall().unix_nanos })
}

/// Opens the log.
type Open = Box<dyn Fn() -> Result<(LogFile, Contents), StoreError> + Send>;

/// The other end of a [`ClosedStore`].
struct Writer {
    /// For messages.
    path: PathBuf,
    open: Open,
    /// `None` when it failed, and is to be opened again.
    file: Option<LogFile>,
    batches: Receiver<Batch>,
    told: watch::Sender<Progress>,
}

impl Writer {
    fn run(mut self) {
        while let Ok(batch) = self.batches.recv() {
            while !self.stores(&batch) {
                // No other batch comes before this one is stored. When whoever gave it has gone, what is not stored is still with the
                // data plane.
                let other = self.batches.recv_timeout(limits::STORE_RETRY);
                if other.is_err_and(|error| error == RecvTimeoutError::Disconnected) {
                    return;
                }
            }
        }
    }

    /// Tries to store a batch, and says how it went.
    fn stores(&mut self, batch: &Batch) -> bool {
        if let Err(why) = self.store(batch) {
            if self.told.borrow().failure.is_none() {
                tracing::error!(path = %self.path.display(), why, "closed sessions can't be stored, and are shown to nobody until they can");
            }
            self.told.send_modify(|progress| progress.failure = Some(why));
            return false;
        }
        if self.told.borrow().failure.is_some() {
            tracing::info!(path = %self.path.display(), "closed sessions are stored again");
        }
        self.told.send_modify(|progress| {
            progress.batches += 1;
            let stored = batch.records.iter().map(|(sequence, _)| *sequence);
            progress.through = stored.fold(progress.through, u64::max);
            progress.failure = None;
        });
        true
    }

    /// After an error the file is opened anew: what its pages in memory are like is not known.
    fn store(&mut self, batch: &Batch) -> Result<(), String> {
        let file = match self.file.take() {
            Some(file) => file,
            None => (self.open)().map_err(|error| error.to_string())?.0,
        };
        file.commit(&batch.records, &batch.ended).map_err(|error| error.to_string())?;
        self.file = Some(file);
        Ok(())
    }
}

#[cfg(any(test, feature = "simulation"))]
mod simulated;
pub(crate) use self::record::RECORD;
#[cfg(any(test, feature = "simulation"))]
pub(crate) use self::simulated::{Desk, write_all};
