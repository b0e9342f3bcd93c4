//! Every bound of the suite, in one place.

use std::time::Duration;

/// How long a call may take, where nothing else is said.
pub(crate) const DEADLINE: Duration = Duration::from_secs(5);
/// How long a case may take. The longest fills the table.
pub(crate) const CASE: Duration = Duration::from_secs(120);
/// How long a case may take to clear up.
pub(crate) const CLEANUP: Duration = Duration::from_secs(60);
/// Sessions that one case may name: its ids and tuples are numbered below this.
pub(crate) const SESSIONS: u64 = 1 << 20;
/// The largest table that is filled to see what happens then.
pub(crate) const CAPACITY: u64 = 100_000;
/// Pages of one list: a server whose cursor does not move is not followed for ever.
pub(crate) const PAGES: usize = 200_000;
/// Sessions in one page of a list, where the size of pages is not the point.
pub(crate) const PAGE: u32 = 4096;
/// Calls for closed sessions until there are none: a server that keeps on telling is not heard for ever.
pub(crate) const COLLECTIONS: usize = 10_000;
/// Records of one closed stream that are read.
pub(crate) const RECORDS: usize = 1 << 20;
/// Deletes that are under way at once when a case clears up.
pub(crate) const DELETES: usize = 32;
/// Bytes of one answer.
pub(crate) const MESSAGE_BYTES: usize = 64 << 20;
/// Between two looks at something that is to change.
pub(crate) const POLL: Duration = Duration::from_millis(25);
/// How long something is watched that must not happen.
pub(crate) const WATCH: Duration = Duration::from_millis(300);
/// Closing happens within this after the deadline.
pub(crate) const CLOSING: Duration = Duration::from_secs(1);
/// What the network and a busy machine may add to that.
pub(crate) const SLACK: Duration = Duration::from_millis(750);
/// From when a session is not listed any more to when its record waits: a server may take it off the fast path between.
pub(crate) const SETTLE: Duration = Duration::from_millis(300);
/// How long deployed C clients wait for an answer.
pub(crate) const C_CLIENTS: Duration = Duration::from_millis(100);
/// Tries of which one has to be as fast as that.
pub(crate) const TRIES: usize = 5;
/// How long a server that was shut down may take to be there again.
pub(crate) const RESTART: Duration = Duration::from_secs(60);
/// Messages of an addSession stream that the bit mask has room for.
pub(crate) const MASK_BITS: u64 = u64::BITS as u64;

const _: () = assert!(CAPACITY < SESSIONS, "a case numbers the sessions that fill the table");
