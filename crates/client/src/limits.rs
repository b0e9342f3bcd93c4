//! Every bound of the client, in one place.

use std::time::Duration;

/// Sessions in one addSession stream, where the profile has no smaller `page_cap`. Larger adds are several streams.
pub const ADD_BATCH: usize = 4096;
/// Batches of [`crate::Client::add_stream`] that wait for their answer at once, where nothing else is said.
pub const ADD_IN_FLIGHT: usize = 4;
/// The most that can be said.
pub const ADD_IN_FLIGHT_MAX: usize = 16;
/// Sessions in one page of [`crate::Client::list`].
pub const PAGE: u32 = 1024;
/// How long a call may take, where nothing else is said.
pub const DEADLINE: Duration = Duration::from_secs(10);
/// How much later a deadline is told to the device: so it is this side that ends a call, and names the reason, whatever
/// status the device has for it.
pub const DEADLINE_GRACE: Duration = Duration::from_millis(100);
/// How long a connection may take to come about, TLS included.
pub const CONNECT: Duration = Duration::from_secs(5);
/// How long a device may leave unacknowledged what TCP has sent it (RFC 5482), where another one may be asked instead. A takeover takes as long
/// with the shortest lease.
pub const UNACKNOWLEDGED: Duration = Duration::from_millis(1500);
/// Bytes of one answer. A page of sessions is some 100 kB; servers that know no pages send everything at once.
pub const MESSAGE_BYTES: usize = 64 << 20;
/// Bytes of an answer that may be under way before they are read: what a stream of closed sessions that breaks can cost. A
/// larger window would make long lists faster over long distances, but a device and its firewall are neighbours.
pub const STREAM_WINDOW: u32 = 64 << 10;
/// A connection on which a call has been silent for so long is asked whether it lives. Servers may take more than two
/// such questions in five minutes amiss, but only where a stream stays open, which servers that do are not known to
/// offer.
pub const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// How long it may take to say that it lives.
pub const KEEP_ALIVE_ANSWER: Duration = Duration::from_secs(10);
/// Closed sessions that [`crate::Subscription`] asks for at once: what a broken connection can cost.
pub const SUBSCRIBE_BATCH: u32 = 256;
/// How long a subscription waits after it found nothing, at first and at most.
pub const SUBSCRIBE_IDLE: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(2)];
/// How long it waits after the device was not there, at first and at most.
pub const SUBSCRIBE_RETRY: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(5)];
/// How often one call may be made, where devices say that another one is active or are not there: two of them that are asked every 25 ms for
/// longer than [`DEADLINE`].
pub const HOPS: u32 = 1024;
/// A call that is given up when it has had no answer for so long counts as one that the device does not answer.
pub const SILENCE: Duration = Duration::from_millis(500);
/// How long a call waits before it asks a device again that was not active, where that does not say how long.
pub const RETRY: Duration = Duration::from_millis(200);
