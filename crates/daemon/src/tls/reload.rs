//! Certificates that change while they are in use: on SIGHUP, and when a file is another than before.
//!
//! Files are looked at every few seconds, not watched: they are replaced by renames, links and mounts, which a watch on the file
//! itself would not see.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::watch::Receiver;
use tokio::time::{MissedTickBehavior, interval};

use super::{Files, Tls, TlsError};
use crate::clock::Clock;
use crate::limits;

/// What tells one state of a listener's files from another; `None` for a file that can't be seen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Stamps(Vec<Option<Stamp>>);

/// Device, inode, size, and the moment of the last change.
type Stamp = (u64, u64, u64, i64, i64);

impl Stamps {
    pub(super) fn of(files: &Files) -> Self {
        let stamp = |path: &Path| {
            let data = std::fs::metadata(path).ok()?;
            Some((data.dev(), data.ino(), data.size(), data.ctime(), data.ctime_nsec()))
        };
        Self(files.paths().map(stamp).collect())
    }
}

/// Reloads each of `all` when one of its files has changed, and all of them whenever `asked` changes. Never ends by itself.
pub(crate) async fn watch(all: Vec<Arc<Tls>>, clock: Clock, mut asked: Receiver<u64>) {
    let mut watched: Vec<_> = all.iter().map(|tls| Watched { seen: tls.first.clone(), tls, trouble: None }).collect();
    let mut ticks = interval(limits::CERTIFICATE_POLL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let is_asked = tokio::select! {
            _ = ticks.tick() => false,
            changed = asked.changed() => match changed {
                Ok(()) => true,
                Err(_) => return,
            },
        };
        for watched in &mut watched {
            watched.look(is_asked, &clock);
        }
    }
}

struct Watched<'a> {
    tls: &'a Tls,
    /// The files as they were when they were last read.
    seen: Stamps,
    /// Why they could not be read the last time.
    trouble: Option<String>,
}

impl Watched<'_> {
    fn look(&mut self, is_asked: bool, clock: &Clock) {
        // Before reading, so that a change in between is seen the next time.
        let now = Stamps::of(self.tls.files());
        if !is_asked && now == self.seen && self.trouble.is_none() {
            return;
        }
        let certificate = self.tls.files().cert.display();
        match self.tls.reload(clock.time_of_day()) {
            Ok(()) => {
                tracing::info!(%certificate, "certificate reloaded; connections that are open keep the old one");
                self.trouble = None;
            }
            Err(error) => {
                let told = error.to_string();
                // Each trouble once: a file that can't be read now is tried again, and may be readable then.
                if is_asked || now != self.seen || self.trouble.as_ref() != Some(&told) {
                    tracing::warn!(%certificate, "certificate not reloaded, the old one stays in use: {told}");
                }
                self.trouble = matches!(error, TlsError::Unreadable { .. }).then_some(told);
            }
        }
        self.seen = now;
    }
}
