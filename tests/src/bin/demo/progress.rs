//! What is under way, for a person who waits: a spinner where standard error is a terminal, nothing elsewhere.

use std::time::Duration;

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};

/// Time between two turns of the spinner.
const TURN: Duration = Duration::from_millis(120);

/// A spinner beneath what has been said.
pub(crate) struct Progress(ProgressBar);

impl Progress {
    pub(crate) fn start() -> Result<Self> {
        let style = ProgressStyle::with_template("{spinner} {msg}").context("the spinner's template")?;
        let bar = ProgressBar::new_spinner().with_style(style);
        bar.enable_steady_tick(TURN);
        Ok(Self(bar))
    }

    /// What happens now.
    pub(crate) fn now(&self, what: &str) {
        self.0.set_message(what.to_owned());
    }

    /// A line that stays, on standard output.
    pub(crate) fn say(&self, text: &str) {
        self.0.suspend(|| println!("{text}"));
    }

    pub(crate) fn end(self) {
        self.0.finish_and_clear();
    }
}
