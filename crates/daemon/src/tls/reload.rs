//! Certificates that change while they are in use: on SIGHUP, and when a file is another than before.
//!
//! Files are looked at every few seconds, not watched: they are replaced by renames, links and mounts, which a watch on the file
//! itself would not see.

use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use tokio::sync::watch::Receiver;
use tokio::time::{MissedTickBehavior, interval};

use super::Tls;
use crate::clock::Clock;
use crate::limits;

/// What tells one state of a file from another: device, inode, size and the moment of the last change. `None` for a file
/// that can't be seen.
type Stamp = Option<(u64, u64, u64, i64, i64)>;

/// Reloads each of `all` when one of its files has changed, and all of them whenever `asked` changes. Never ends by itself.
pub(crate) async fn watch(all: Vec<Arc<Tls>>, clock: Clock, mut asked: Receiver<u64>) {
    let mut stamps: Vec<Vec<Stamp>> = all.iter().map(|tls| stamps_of(tls)).collect();
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
        for (tls, before) in all.iter().zip(&mut stamps) {
            // Before reading, so that a change in between is seen the next time.
            let now = stamps_of(tls);
            if is_asked || now != *before {
                *before = now;
                reload(tls, &clock);
            }
        }
    }
}

fn reload(tls: &Tls, clock: &Clock) {
    let certificate = tls.files().cert.display();
    match tls.reload(clock.time_of_day()) {
        Ok(()) => tracing::info!(%certificate, "certificate reloaded; connections that are open keep the old one"),
        // Such as when the certificate was replaced and the key not yet.
        Err(error) => tracing::warn!(%certificate, "certificate not reloaded, the old one stays in use: {error}"),
    }
}

fn stamps_of(tls: &Tls) -> Vec<Stamp> {
    tls.files()
        .paths()
        .map(|path| {
            let data = std::fs::metadata(path).ok()?;
            Some((data.dev(), data.ino(), data.size(), data.ctime(), data.ctime_nsec()))
        })
        .collect()
}
