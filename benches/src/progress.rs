//! What is being done, for who waits for it.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// One line on standard error that says what is being measured. Without a terminal there is a line a step.
pub(crate) struct Progress {
    bar: ProgressBar,
    area: &'static str,
}

impl Progress {
    pub(crate) fn start(area: &'static str) -> Self {
        let bar = ProgressBar::new_spinner();
        let style = ProgressStyle::with_template("{spinner} {prefix:.bold} {msg} ({elapsed})");
        bar.set_style(style.expect("a template without mistakes"));
        bar.set_prefix(area);
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar, area }
    }

    /// From now on this is being measured.
    pub(crate) fn say(&self, what: &str) {
        if self.bar.is_hidden() {
            eprintln!("{}: {what}", self.area);
        }
        self.bar.set_message(what.to_owned());
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
