//! The last part of a daemon's life: no new sessions, closed ones handed out, then the end.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::limits;

/// How far a daemon is on its way out.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Stage {
    /// It takes sessions.
    #[default]
    Serving,
    /// It takes no new sessions; what has closed can be collected.
    Draining {
        /// Within this time from the call that asked for it, it is to be gone.
        within: Duration,
    },
    /// Streams that stay open end; calls under way finish.
    Stopping,
}

/// A daemon's stage, to be seen and moved on from everywhere. It only ever moves on.
#[derive(Clone, Debug, Default)]
pub struct Lifecycle(Arc<watch::Sender<Stage>>);

impl Lifecycle {
    /// A client asks for the end, within so many seconds; 0 for as long as draining may take.
    pub fn shut_down(&self, seconds: u64) {
        let asked = Duration::from_secs(seconds);
        let within = if seconds == 0 { limits::SHUTDOWN } else { asked.min(limits::SHUTDOWN) };
        self.advance(Stage::Draining { within });
    }

    /// The end begins.
    pub fn stop(&self) {
        self.advance(Stage::Stopping);
    }

    fn advance(&self, stage: Stage) {
        self.0.send_if_modified(|current| {
            let is_later = match (&current, stage) {
                (Stage::Serving, Stage::Serving) | (Stage::Draining { .. }, Stage::Draining { .. }) => false,
                (current, stage) => stage > **current,
            };
            if is_later {
                *current = stage;
            }
            is_later
        });
    }

    /// True while it takes sessions.
    pub fn takes_sessions(&self) -> bool {
        *self.0.borrow() == Stage::Serving
    }

    /// Resolves when somebody has asked for the end by a call: how long it may take.
    pub async fn draining(&self) -> Duration {
        let stage = self.wait_for(|stage| *stage != Stage::Serving).await;
        if let Stage::Draining { within } = stage { within } else { Duration::ZERO }
    }

    /// Resolves when the end has begun.
    pub async fn stopping(&self) {
        self.wait_for(|stage| *stage == Stage::Stopping).await;
    }

    async fn wait_for(&self, is_there: impl FnMut(&Stage) -> bool) -> Stage {
        let mut stages = self.0.subscribe();
        // The sender is ours as well, so it is never gone.
        stages.wait_for(is_there).await.map_or(Stage::Stopping, |stage| *stage)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_only_moves_on() {
        let lifecycle = Lifecycle::default();
        assert!(lifecycle.takes_sessions());
        lifecycle.shut_down(5);
        lifecycle.shut_down(50);
        assert_eq!(lifecycle.draining().await, Duration::from_secs(5), "the first call counts");
        assert!(!lifecycle.takes_sessions());
        lifecycle.stop();
        lifecycle.shut_down(5);
        lifecycle.stopping().await;
        assert_eq!(lifecycle.draining().await, Duration::ZERO);
    }

    #[tokio::test]
    async fn there_is_always_an_end() {
        for seconds in [0, u64::MAX] {
            let lifecycle = Lifecycle::default();
            lifecycle.shut_down(seconds);
            assert_eq!(lifecycle.draining().await, limits::SHUTDOWN);
        }
    }
}
