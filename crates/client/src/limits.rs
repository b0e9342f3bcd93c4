//! Every bound of the client, in one place.

use std::time::Duration;

/// Sessions in one addSession stream. Larger adds are several streams, one after the other.
pub const ADD_BATCH: usize = 4096;
/// Sessions in one page of [`crate::Client::list`].
pub const PAGE: u32 = 1024;
/// How long a call may take, where nothing else is said.
pub const DEADLINE: Duration = Duration::from_secs(10);
/// How much later a deadline is told to the device: so it is this side that ends a call, and names the reason, whatever
/// status the device has for it.
pub const DEADLINE_GRACE: Duration = Duration::from_millis(100);
/// How long a connection may take to come about, TLS included.
pub const CONNECT: Duration = Duration::from_secs(5);
/// Bytes of one answer. A page of sessions is some 100 kB; servers that know no pages send everything at once.
pub const MESSAGE_BYTES: usize = 64 << 20;
