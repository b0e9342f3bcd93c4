//! A disk in memory, for tests and simulations. It keeps what was synced, and of what was written since then any part; it fails when it is
//! told to.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use redb::StorageBackend;

/// The disk. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct Disk(Arc<Mutex<Pages>>);

#[derive(Debug, Default)]
struct Pages {
    bytes: Vec<u8>,
    synced: Vec<u8>,
    /// Since the last sync: where, and what.
    writes: Vec<(usize, Vec<u8>)>,
    /// Calls that change something, until it fails.
    left: Option<u32>,
}

impl Pages {
    fn call(&mut self) -> Result<(), io::Error> {
        match &mut self.left {
            Some(0) => Err(io::ErrorKind::StorageFull.into()),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl Disk {
    /// One that has these bytes on it.
    pub fn of(bytes: Vec<u8>) -> Self {
        Self(Arc::new(Mutex::new(Pages { synced: bytes.clone(), bytes, ..Pages::default() })))
    }

    /// What is on it.
    pub fn bytes(&self) -> Vec<u8> {
        self.pages().bytes.clone()
    }

    /// From here on it does so many calls and then fails all that would change something; `None`: it works.
    pub fn fail_after(&self, calls: Option<u32>) {
        self.pages().left = calls;
    }

    /// What is on it after the process that used it was killed: what it wrote is there, synced or not.
    #[must_use]
    pub fn after_kill(&self) -> Self {
        let pages = self.pages();
        let (bytes, synced, writes) = (pages.bytes.clone(), pages.synced.clone(), pages.writes.clone());
        Self(Arc::new(Mutex::new(Pages { bytes, synced, writes, left: None })))
    }

    /// What is on it after the power failed: of the writes since the last sync those that `kept` says, torn where it says so.
    #[must_use]
    pub fn after_power_failure(&self, kept: &[u8]) -> Self {
        let pages = self.pages();
        let mut bytes = pages.synced.clone();
        for ((at, data), kept) in pages.writes.iter().zip(kept.iter().cycle()) {
            let length = data.len() * usize::from(kept % 4) / 3;
            let end = at + length.min(data.len());
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            bytes[*at..end].copy_from_slice(&data[..end - at]);
        }
        if bytes.len() < pages.bytes.len() {
            bytes.resize(pages.bytes.len(), 0);
        }
        Self::of(bytes)
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().expect("nothing panics with the pages in hand")
    }
}

/// Where a call is in the pages.
fn at(offset: u64) -> usize {
    usize::try_from(offset).expect("it is in memory")
}

impl StorageBackend for Disk {
    fn len(&self) -> Result<u64, io::Error> {
        Ok(self.pages().bytes.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        out.copy_from_slice(&self.pages().bytes[at(offset)..at(offset) + out.len()]);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        let mut pages = self.pages();
        pages.call()?;
        pages.bytes.resize(at(len), 0);
        Ok(())
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        let mut pages = self.pages();
        pages.call()?;
        let Pages { bytes, synced, .. } = &mut *pages;
        synced.clone_from(bytes);
        pages.writes.clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        let mut pages = self.pages();
        pages.call()?;
        pages.bytes[at(offset)..at(offset) + data.len()].copy_from_slice(data);
        pages.writes.push((at(offset), data.to_vec()));
        Ok(())
    }
}
