//! How far a long session file has come, on standard error, where a person sees it.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};

use crate::limits;

const KNOWN_LENGTH: &str = "{bar:32} {percent}%  {msg}  {elapsed}, {eta} to go";
const UNKNOWN_LENGTH: &str = "{spinner} {msg}  {elapsed}";

/// A progress bar that keeps out of the way of short files and of programs.
pub(crate) struct Progress {
    bar: ProgressBar,
    length: Option<u64>,
    shown: bool,
}

impl Progress {
    /// For a file of `length` bytes, or of a length that nobody knows.
    pub(crate) fn new(length: Option<u64>) -> Self {
        Self { bar: ProgressBar::hidden(), length, shown: false }
    }

    /// So many sessions have been offloaded and refused, out of so many bytes.
    pub(crate) fn show(&mut self, bytes: u64, accepted: u64, refused: u64) {
        if !self.shown && accepted + refused >= limits::PROGRESS_FROM && std::io::stderr().is_terminal() {
            let (bar, template) = match self.length {
                Some(length) => (ProgressBar::new(length), KNOWN_LENGTH),
                None => (ProgressBar::no_length(), UNKNOWN_LENGTH),
            };
            self.bar = bar.with_style(ProgressStyle::with_template(template).expect("the templates are good"));
            self.shown = true;
        }
        if self.shown {
            self.bar.set_position(bytes);
            self.bar.set_message(format!("{accepted} offloaded, {refused} refused"));
        }
    }
}

impl Drop for Progress {
    /// Nothing of it stays, whatever ended the work.
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_templates_are_good() {
        for template in [KNOWN_LENGTH, UNKNOWN_LENGTH] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }
}
