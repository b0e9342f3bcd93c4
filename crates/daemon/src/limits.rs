//! Every bound of the daemon, in one place. Those of the session table are in `opof_session::limits`.

use std::time::Duration;

/// The port of the API, where nothing else is said.
pub const DEFAULT_PORT: u16 = 3443;

// Configuration.

/// Size of a configuration file.
pub const CONFIG_BYTES: u64 = 1 << 20;
/// Listeners.
pub const LISTENERS: usize = 16;
/// Logical interfaces.
pub const LIFS: usize = opof_dataplane_linux::limits::LIFS;
/// The longest timeout that can be configured: a year, in seconds.
pub const TIMEOUT_SECONDS: u32 = 365 * 24 * 3600;
/// Size of a certificate or key file.
pub const PEM_BYTES: u64 = 1 << 20;
/// How long a self-signed certificate is valid.
pub const SELF_SIGNED_LIFE: Duration = Duration::from_secs(365 * 86_400);
/// A certificate with less time left is warned about, or made anew when it is self-signed.
pub const CERTIFICATE_WARNING: Duration = Duration::from_secs(14 * 86_400);

// Driver.

/// Requests that wait for the driver.
pub const REQUESTS: usize = 256;
/// Requests that the driver takes at once.
pub const REQUEST_BATCH: usize = 64;
/// Commands that wait for the plane, from which on no further request is taken. One request can go past it by what it
/// causes itself, at most a command or two for each session in it.
pub const PENDING_COMMANDS: usize = 4096;
/// Requests that wait for the plane; no further one is taken while there are so many.
pub const UNDER_WAY: usize = 4096;
/// How long a request waits for a place in the driver's queue.
pub const ADMISSION: Duration = Duration::from_secs(5);
/// Clamped timeouts that are logged in a second.
pub const CLAMPS_LOGGED: u32 = 5;
/// Settled loans that wait for the driver. Each loan is settled once, so this never overflows.
pub const SETTLES: usize = opof_session::limits::LOANS;
/// How long requests under way may take to finish when the daemon stops.
pub const STOP_GRACE: Duration = Duration::from_secs(5);

// Services.

/// Sessions of one addSession stream that are handed to the driver together.
pub const ADD_BATCH: usize = opof_session::limits::ADD_BATCH;
/// Failed sessions that one addSession reply names: it must fit into a message that clients take by default, 4 MiB.
pub const ADD_ERRORS: usize = 200_000;
/// Sessions of one getAllSessions reply; the cursor leads on from there. Some 20 MB: clients take 4 MiB by default and
/// must say so when they want more, or page.
pub const LIST_ROWS: u32 = 262_144;
/// Calls of getAllSessions that are answered at once; others wait.
pub const LISTS: usize = 4;
/// Closed records that a getClosedSessions stream borrows at once.
pub const COLLECT_RECORDS: u32 = 256;
/// Closed records that are written before the stream counts them as delivered.
pub const FLUSH_RECORDS: u32 = 64;
/// Size of one request message. The largest that means anything is below 200 bytes.
pub const MESSAGE_BYTES: usize = 16 << 10;
/// Refused sessions that are logged one by one in a second; the others are only counted.
pub const REFUSALS_LOGGED: u32 = 20;

// Connections.

/// Open connections of one listener.
pub const CONNECTIONS: usize = 256;
/// Calls that one connection may have open.
pub const STREAMS: u32 = 128;
/// Bytes that a client may send ahead of what was read, in one call.
pub const STREAM_WINDOW: u32 = 512 << 10;
/// The same for all calls of one connection.
pub const CONNECTION_WINDOW: u32 = 1 << 20;
/// Size of the header of a call.
pub const HEADER_BYTES: u32 = 16 << 10;
/// TLS handshakes that take longer are given up.
pub const HANDSHAKE: Duration = Duration::from_secs(10);
/// How often a silent connection is asked whether it is alive.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
/// How long the answer may take.
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// A connection without a byte for this long is closed. A live one answers keepalives.
pub const SILENCE: Duration = Duration::from_secs(60);
/// Pause after accepting failed, for example for want of file descriptors.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

const _: () = assert!(PENDING_COMMANDS >= 1 && REQUEST_BATCH >= 1 && FLUSH_RECORDS >= 1);
const _: () = assert!(COLLECT_RECORDS as usize <= opof_session::limits::COLLECT_RECORDS);
const _: () = assert!(SILENCE.as_secs() > KEEPALIVE_INTERVAL.as_secs() + KEEPALIVE_TIMEOUT.as_secs());
const _: () = assert!(ADD_ERRORS * 20 < 4 << 20, "a failure takes up to 20 bytes");
