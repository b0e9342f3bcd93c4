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
/// Wire ports of one of them.
pub const WIRE_PORTS: usize = opof_dataplane_linux::limits::WIRE_PORTS;
/// The longest timeout that can be configured: a year, in seconds.
pub const TIMEOUT_SECONDS: u32 = 365 * 24 * 3600;
/// Size of a certificate or key file.
pub const PEM_BYTES: u64 = 1 << 20;
/// How long a self-signed certificate is valid.
pub const SELF_SIGNED_LIFE: Duration = Duration::from_secs(365 * 86_400);
/// A certificate with less time left is warned about, or made anew when it is self-signed.
pub const CERTIFICATE_WARNING: Duration = Duration::from_secs(14 * 86_400);

// Driver.

/// Threads that serve clients.
pub const THREADS: u32 = 64;
/// The same where the configuration leaves it to the number of processors.
pub const THREADS_BY_DEFAULT: usize = 4;
/// With no more processors than this, one thread does everything.
pub const FEW_PROCESSORS: usize = 2;
/// Calls that wait for the driver, and as many batches of sessions that are to be added.
pub const REQUESTS: usize = 256;
/// Sessions that were read from addSession streams and are not answered yet, of all streams together: some 4 MiB. A stream that finds no
/// room is not read, and HTTP/2 makes its sender wait.
pub const INTAKE: usize = 16_384;
/// Requests that the driver takes at once.
pub const REQUEST_BATCH: usize = 64;
/// Commands that wait for the plane, from which on no request is taken; and what the requests of one turn may cause, beside what aging
/// has caused. One request can go past it by what it causes itself, at most a command or two for each session in it.
pub const PENDING_COMMANDS: usize = 1024;
/// How often commands are given to the plane before others have their turn; between two of these its answers are taken.
pub const PLANE_ROUNDS: usize = 3;
/// Requests that wait for the plane; no further one is taken while there are so many.
pub const UNDER_WAY: usize = 4096;
/// How long a request waits for a place in the driver's queue.
pub const ADMISSION: Duration = Duration::from_secs(5);
/// How long the session table may take for an answer before `grpc.health.v1` says that the device does not serve; less than
/// [`ADMISSION`], after which calls fail.
pub const UNANSWERED: Duration = Duration::from_secs(2);
/// How long after an answer it is asked again.
pub const LOOK_AT_TABLE: Duration = Duration::from_millis(500);
/// How often the watchdog looks whether the session table gets on.
pub const WATCHDOG_LOOK: Duration = Duration::from_secs(1);
/// Looks in a row without a sign of life, after which it is stuck.
pub const WATCHDOG_LOOKS: u32 = 15;
/// Clamped timeouts that are logged in a second.
pub const CLAMPS_LOGGED: u32 = 5;
/// Sessions of a daemon before this one with which it can't go on, that are named in the log.
pub const UNADOPTED_LOGGED: usize = 10;
/// Closed records that are logged at once when the daemon ends before anybody collected them.
pub const LEFTOVERS: u32 = 1024;
/// Where a daemon keeps what it has to, if its environment says nothing of it, as that of systemd's services (Filesystem Hierarchy
/// Standard 3.0, 5.8).
pub const STATE_FOLDER: &str = "/var/lib/opof";
/// Closed records that are stored together, and as many that no longer are: 1.5 MiB.
pub const STORE_BATCH: usize = 16_384;
/// How long after a failure the closed log is tried again.
pub const STORE_RETRY: Duration = Duration::from_secs(1);
/// How long storing a batch may take before the device is said to be degraded.
pub const STORE_SLOW: Duration = Duration::from_secs(2);
/// How often that is looked at.
pub const LOOK_AT_LOG: Duration = Duration::from_millis(500);
/// Settled loans that wait for the driver. Each loan is settled once, so this never overflows.
pub const SETTLES: usize = opof_session::limits::LOANS;
/// How long requests under way may take to finish when the daemon stops.
pub const STOP_GRACE: Duration = Duration::from_secs(5);

// Services.

/// Sessions of one addSession stream that are handed to the driver together.
pub const ADD_BATCH: usize = opof_session::limits::ADD_BATCH;
/// Messages of a stream that are taken together when they are there already: others have their turn in between.
pub const READ_AT_ONCE: usize = 64;
/// Failed sessions that one addSession reply names: it must fit into a message that clients take by default, 4 MiB.
pub const ADD_ERRORS: usize = 200_000;
/// Sessions of one getAllSessions reply; the cursor leads on from there. Some 20 MB: clients take 4 MiB by default and
/// must say so when they want more, or page.
pub const LIST_ROWS: u32 = 262_144;
/// Calls of getAllSessions that are answered at once; others wait.
pub const LISTS: usize = 4;
/// Closed records that a getClosedSessions stream borrows at once: no more than it writes at once, for a reader that stops reading
/// keeps them from the others.
pub const COLLECT_RECORDS: u32 = FLUSH_RECORDS;
/// Closed records that are written before the stream counts them as delivered.
pub const FLUSH_RECORDS: u32 = 64;
/// Refused sessions that are logged one by one in a second; the others are only counted.
pub const REFUSALS_LOGGED: u32 = 20;

/// Refused sessions whose reason an addSession reply tells in its metadata, and bytes of each. Clients take some 8 KiB of
/// metadata by default.
pub const REFUSALS_TOLD: usize = 8;
/// See [`REFUSALS_TOLD`].
pub const REFUSAL_BYTES: usize = 256;
/// When a client that was told "not now" should come back.
pub const RETRY: Duration = Duration::from_millis(200);
/// The same of a device of a pair that is not active: behind a switchover the other one is within some milliseconds.
pub const TAKEOVER_RETRY: Duration = Duration::from_millis(25);
/// Longest time that shutdownServer lets closed sessions be collected, and what a deadline of 0 stands for.
pub const SHUTDOWN: Duration = Duration::from_secs(60);
/// How often a daemon that is shutting down looks whether everything has been collected.
pub const DRAIN_POLL: Duration = Duration::from_millis(20);
/// How much of the time until its end a daemon that was told to shut down leaves for calls to finish.
pub const SHUTDOWN_RESERVE: Duration = Duration::from_millis(500);

// Connections. What can be set is in `config`; here is how far.

/// Open connections of one listener, at most.
pub const CONNECTIONS: u32 = 65_536;
/// Calls that one connection may have open, at most.
pub const STREAMS: u32 = 4096;
/// Bytes of one request message, at most.
pub const MESSAGE_BYTES: u32 = 1 << 20;
/// Clients that the configuration can name.
pub const CLIENTS: usize = 4096;
/// Clients whose account is kept when they have no connection.
pub const ACCOUNTS_KEPT: usize = 4096;
/// Lists of one client that are not sent yet, some 20 MB each; further ones wait.
pub const CLIENT_LISTS: usize = 4;
/// Streams of closed sessions that one client may have open.
pub const CLIENT_CLOSED_STREAMS: usize = 16;
/// Refused sessions that the addSession calls of one client will name, all together: some 20 MB.
pub const CLIENT_FAILURES: usize = 800_000;
/// How far ahead of its rate a client may be, as time: bursts are the nature of batches.
pub const BURST: Duration = Duration::from_secs(1);
/// Sessions that are taken from a client's rate at once.
pub const RATE_STEP: u32 = 256;
/// Bytes that a client may send ahead of what was read, in one call.
pub const STREAM_WINDOW: u32 = 512 << 10;
/// The same for all calls of one connection.
pub const CONNECTION_WINDOW: u32 = 1 << 20;
/// Size of the header of a call.
pub const HEADER_BYTES: u32 = 16 << 10;
/// How long a new connection may take until its first call, where nothing else is set.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection without a byte for this long is closed, where nothing else is set.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// The shortest such time that can be set, in seconds: a live connection must have time to answer a ping.
pub const IDLE_SECONDS_MIN: u32 = 5;
/// Connections whose TLS is being agreed on and that wait to be served.
pub const HANDSHAKEN: usize = 16;
/// How long a connection that was to make room may take for it, before the next one has to.
pub const EVICTION: Duration = Duration::from_millis(50);
/// What a client is told of an unusual fault of its certificate, in characters.
pub const REASON_CHARS: usize = 120;
/// Refused clients that are logged in a second.
pub const DENIALS_LOGGED: u32 = 20;
/// Permissions of a Unix socket, where nothing else is set: its owner's alone.
pub const SOCKET_MODE: u32 = 0o600;
/// Bytes of a Unix socket's path: `sun_path` of unix(7) without the final NUL, and without what is behind it while the socket
/// is made (`.new-` and a process number).
pub const SOCKET_PATH_BYTES: usize = 107 - 12;
/// How often certificate files are looked at for changes.
pub const CERTIFICATE_POLL: Duration = Duration::from_secs(2);
/// Pause after accepting failed, for example for want of file descriptors.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

// A pair of devices.

/// What has come for a device of a pair and is taken in one turn of the session table.
pub const PEER_ARRIVALS: usize = 256;
/// How long a call that has a device hand over waits until it has: a little longer than a device tries.
pub const SWITCHOVER: Duration = opof_session::limits::SWITCH_PATIENCE.saturating_add(Duration::from_secs(1));
/// Messages from and to a peer that wait.
pub const PEER_MESSAGES: usize = 64;
/// Envelopes that wait for a connection to the peer to take them.
pub const PEER_ENVELOPES: usize = 4;
/// Bytes that a peer may send ahead of what was read.
pub const PEER_BYTES_AHEAD: u32 = 4 << 20;
/// Streams that a peer may have open: the one that it talks in, and the one before that is ending.
pub const PEER_STREAMS: u32 = 4;
/// How long a device that ends and has handed over stays, so that the peer hears of it.
pub const PEER_FAREWELL: Duration = Duration::from_millis(100);
/// How long it may take to connect to a peer.
pub const PEER_CONNECT: Duration = Duration::from_millis(500);
/// Connections whose TLS with a peer, or with who would be one, is being agreed on; others wait.
pub const PEER_HANDSHAKES: usize = 16;
/// The pause before that is tried again.
pub const PEER_REDIAL: Duration = Duration::from_millis(200);
/// A connection to a peer that does not answer a ping of this interval within as long is closed.
pub const PEER_PING: Duration = Duration::from_secs(1);
/// Bytes of a device's name.
pub const NODE_BYTES: usize = 64;
/// Bytes of the name of a host (RFC 1035, 2.3.4: 255 on the wire, where a length is in front and a zero behind).
pub const HOST_BYTES: usize = 253;
/// How long a standby that hears nothing goes on forwarding, where nothing else is set, in seconds.
pub const HOLD_SECONDS: u32 = 3;
/// The longest such time that can be set.
pub const HOLD_SECONDS_MAX: u32 = 60;

// The store that elects the active node of a pair.

/// How long it may take to answer a request, all its members together.
pub const ELECTION_DEADLINE: Duration = Duration::from_millis(500);
/// Members of it that can be named.
pub const ELECTION_MEMBERS: usize = 5;
/// The shortest lease that is asked for, in seconds: it knows no parts of one.
pub const LEASE_SECONDS_MIN: u32 = 1;
/// The longest that can be set: a standby goes on for two of them.
pub const LEASE_SECONDS_MAX: u32 = HOLD_SECONDS_MAX / 2;
/// How often a claim is tried in one request, when another node has written between reading and writing. There are two nodes, and each
/// such write is a claim that came through.
pub const ELECTION_CLAIMS: usize = 3;
/// Bytes that its keys may begin with.
pub const ELECTION_PREFIX_BYTES: usize = 128;
/// Bytes of the value that says who is active, and where it is reached.
pub const HOLDER_BYTES: usize = 512;
/// Bytes of one of its answers: two small keys, and what goes with them.
pub const ELECTION_ANSWER_BYTES: usize = 16 << 10;
/// What is told of a member that did not answer as it should, in characters.
pub const ELECTION_REASON_CHARS: usize = 160;

const _: () = assert!(
    ELECTION_DEADLINE.as_secs() < LEASE_SECONDS_MIN as u64,
    "who is asked on time is answered within its lease"
);
const _: () = assert!(HOLD_SECONDS >= 2 * LEASE_SECONDS_MIN && LEASE_SECONDS_MAX >= LEASE_SECONDS_MIN);
const _: () = assert!(NODE_BYTES + HOST_BYTES + ":65535".len() + 32 <= HOLDER_BYTES, "and what JSON puts around them");
const _: () = assert!(ELECTION_CLAIMS >= 1 && ELECTION_MEMBERS >= 1);
const _: () = assert!(INTAKE >= 2 * ADD_BATCH, "one stream fills a batch while another is under way");
const _: () = assert!(LOOK_AT_TABLE.as_millis() < WATCHDOG_LOOK.as_millis(), "a table without work is alive");
const _: () = assert!(UNANSWERED.as_millis() < ADMISSION.as_millis(), "who watches is told first");
const _: () = assert!(PENDING_COMMANDS >= 1 && REQUEST_BATCH >= 1 && FLUSH_RECORDS >= 1);
const _: () = assert!(COLLECT_RECORDS as usize <= opof_session::limits::COLLECT_RECORDS);
const _: () = assert!(CLIENT_FAILURES >= ADD_ERRORS, "a single call may name so many");
const _: () = assert!(REFUSALS_TOLD * REFUSAL_BYTES <= 4 << 10, "half of what clients take");
const _: () = assert!(ADD_ERRORS * 20 < 4 << 20, "a failure takes up to 20 bytes");
