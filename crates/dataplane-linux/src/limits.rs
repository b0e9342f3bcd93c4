//! Every bound of this crate, in one place.

/// Logical interfaces of one device. As in `bpf/abi.h`.
pub const LIFS: usize = 32;
/// Ports: a wire port and a firewall port each.
pub const PORTS: usize = 2 * LIFS;
/// Next hops. As in `bpf/abi.h`.
pub const NEXT_HOPS: usize = opof_session::limits::NEXT_HOPS;
/// Commands that were taken and whose answers have not been fetched.
pub const UNDER_WAY: usize = 16_384;
/// Entries that one batch system call inserts or deletes.
pub const BATCH: usize = 512;
/// How often an insert or a delete that failed for a passing reason is tried before the command fails.
pub const MAP_TRIES: u32 = 16;
/// How often the grace thread tries to wait before it reports that it can't.
pub const GRACE_TRIES: u32 = 3;
/// How often a running session's counters are read in search of two equal readings.
pub const READ_TRIES: u32 = 8;
/// How often the pin directory is opened again because its last owner removed it meanwhile.
pub const PIN_TRIES: u32 = 8;
/// Feature words of a driver that are looked at: 32 features each. Kernels have two.
pub const FEATURE_WORDS: usize = 8;
/// Bytes of an answer by netlink. An interface without its statistics takes less than 2 KiB.
pub const NETLINK_ANSWER: usize = 32 * 1024;
/// Answers to earlier requests, which failed before they were read, that are passed over.
pub const NETLINK_STALE: usize = 8;

const _: () = assert!(PORTS <= u8::MAX as usize, "a port's index is one byte of an entry");
const _: () = assert!(NEXT_HOPS == 1 << 21, "the number in abi.h");
const _: () = assert!(UNDER_WAY >= 1 && BATCH >= 2, "a session has two entries");
