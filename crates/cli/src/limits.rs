//! Every bound of the command line, in one place.

use std::time::Duration;

/// Bytes of one line of a session file. The longest that means anything is below 500.
pub(crate) const LINE_BYTES: u64 = 64 << 10;
/// Sessions that are read from a file and added together.
pub(crate) const BATCH: usize = opof_client::limits::ADD_BATCH;
/// Sessions in a file from which on progress is shown: fewer are done before a person has read it.
pub(crate) const PROGRESS_FROM: u64 = 20_000;
/// Between two looks for closed sessions at most, on devices that don't tell them as they close.
pub(crate) const FOLLOW_INTERVAL: Duration = Duration::from_millis(500);
/// How long a table waits for more rows before it is written.
pub(crate) const FOLLOW_FLUSH: Duration = Duration::from_millis(50);
