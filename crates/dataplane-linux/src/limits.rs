//! Every bound of this crate, in one place.

use std::time::Duration;

/// Logical interfaces of one device. As in `bpf/abi.h`.
pub const LIFS: usize = 32;
/// Wire ports of one LIF, beside its one firewall port. As in `bpf/abi.h`.
pub const WIRE_PORTS: usize = 4;
/// Ports of one device.
pub const PORTS: usize = (WIRE_PORTS + 1) * LIFS;
/// Ways from a LIF to the network, over which its wire ports share what leaves. As in `bpf/abi.h`.
pub const WAYS: usize = 8;
/// All ways out: those to the network, and one to each firewall.
pub const EXITS: usize = LIFS * WAYS + LIFS;
/// Nanoseconds after which links are looked at again without a notice of the kernel: a tenth of a second.
pub const LINK_LOOK: i64 = 100_000_000;
/// Nanoseconds after which the programs' clock is compared with the monotonic one again.
pub const CLOCK_LOOK: u64 = 1_000_000_000;
/// Notices of link changes that are taken together.
pub const LINK_NOTICES: usize = 256;
/// Nanoseconds by which the kernel's ticks may be behind the monotonic clock while packets come. Where the processor that counts them
/// stands still, another one takes over after five of its own (`MAX_STALLED_JIFFIES` in the kernel's kernel/time/tick-sched.c), which are
/// 50 ms at most; and which tick was when is known to a tick.
pub const TICKS_BEHIND: u64 = 100_000_000;
/// Collectors that sessions copy to at once. As in `bpf/abi.h`.
pub const COLLECTORS: usize = 256;
/// How often the ways to collectors and to firewalls behind tunnels are looked at again.
pub const WAY_LOOK: Duration = Duration::from_secs(1);
/// The same while there is no way to one: the kernel may just be asking for its address.
pub const WAY_LOOK_SOON: Duration = Duration::from_millis(100);
/// Next hops that can be configured at most.
pub const NEXT_HOPS: u32 = 1 << 21;
/// Commands that were taken and whose answers have not been fetched.
pub const UNDER_WAY: usize = 16_384;
/// Buckets of the table's index, for however few sessions: of so many random ones, some have room.
pub const BUCKETS_MIN: u32 = 16;
/// Sessions whose places in memory are asked for together, before the first of them is put there.
pub const TOUCHED: usize = 16;
/// Slots whose notes are made room for together, when the first of them has an IPv6 session: 1.5 MiB.
pub const NOTES_TOGETHER: usize = 1 << 16;
/// Entries that one batch system call inserts or deletes.
pub const BATCH: usize = 512;
/// How often an insert or a delete that failed for a passing reason is tried before the command fails.
pub const MAP_TRIES: u32 = 16;
/// Bytes of the kernel's list of processors: ranges, so that a longer one has hundreds of gaps.
pub const PROCESSOR_LIST: usize = 1024;
/// How often the grace thread tries to wait before it reports that it can't, and to visit all processors before it leaves that.
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

const _: () = assert!(LIFS <= 1 + u8::MAX as usize, "the position of the LIF to leave by is one byte of an entry");
const _: () = assert!(WAYS.is_power_of_two() && WAYS >= WIRE_PORTS, "a way is some bits of a hash; each port has one");
const _: () = assert!(LINK_LOOK > 0 && LINK_LOOK < 1_000_000_000, "less than a second, as the kernel takes it");
const _: () = assert!(COLLECTORS <= 1 + u8::MAX as usize, "a collector's index is one byte of an edit");
const _: () = assert!(NEXT_HOPS as usize == opof_session::limits::NEXT_HOPS, "as many as the engine can store");
const _: () = assert!(UNDER_WAY >= 1 && BATCH >= 1, "something is done at a time");
const _: () = assert!(opof_session::limits::SESSIONS < u32::MAX / 2, "a flow's number and one are 32 bits");
