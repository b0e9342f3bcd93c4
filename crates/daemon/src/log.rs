//! Logging: how it is set up, and how a peer is kept from flooding it.

use std::io::IsTerminal;
use std::time::Duration;

use opof_session::types::Moment;
use tracing_subscriber::EnvFilter;

use crate::config::{LogConfig, LogFormat};

/// Sends log lines to stderr. Does nothing when the process logs already.
pub fn init(config: &LogConfig) {
    let filter = EnvFilter::try_new(&config.level).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let _ = match config.format {
        LogFormat::Text => builder.with_target(false).try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
}

/// Lets a number of lines through in each second and counts the others.
#[derive(Debug)]
pub struct RateLimit {
    in_a_second: u32,
    second_began: Moment,
    admitted: u32,
    suppressed: u64,
}

impl RateLimit {
    /// At most `in_a_second` lines.
    pub const fn new(in_a_second: u32) -> Self {
        Self { in_a_second, second_began: Moment(0), admitted: 0, suppressed: 0 }
    }

    /// May a line be written? Then, how many were not since the last one that was.
    pub fn admit(&mut self, now: Moment) -> Option<u64> {
        if now.saturating_since(self.second_began) >= Duration::from_secs(1) {
            self.second_began = now;
            self.admitted = 0;
        }
        if self.admitted < self.in_a_second {
            self.admitted += 1;
            Some(std::mem::take(&mut self.suppressed))
        } else {
            self.suppressed += 1;
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_thinned_and_counted() {
        let mut limit = RateLimit::new(2);
        let start = Moment(5_000_000_000);
        let admitted: Vec<_> = (0..5).map(|_| limit.admit(start)).collect();
        assert_eq!(admitted, [Some(0), Some(0), None, None, None]);
        assert_eq!(limit.admit(start.saturating_add(Duration::from_millis(999))), None);
        assert_eq!(limit.admit(start.saturating_add(Duration::from_secs(1))), Some(4));
    }
}
