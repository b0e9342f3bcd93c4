//! Every bound of this crate, in one place.

/// Answers that a simulated plane keeps for its owner; it takes no more commands while they wait.
pub const SIM_COMPLETIONS: usize = 4096;
/// The longest frame that is copied, in bytes. XDP can copy what is in one piece with its headroom and its bookkeeping within a
/// page of 4096 bytes, and nothing else.
pub const COPY_LEN: usize = 3400;
/// Collectors that sessions of a simulated plane copy to at once.
pub const SIM_COLLECTORS: usize = 256;
/// Next hops of a simulated plane.
pub const SIM_NEXT_HOPS: usize = opof_session::limits::NEXT_HOPS;
/// Answers to packets that do not fit through the tunnel to their firewall, given at once. As in `bpf/abi.h`.
pub const ANSWER_BURST: u32 = 50;
/// How many of them are given in a second where nothing else is asked for: as many as Linux gives (net.ipv4.icmp_msgs_per_sec).
pub const ANSWERS_PER_SECOND: u32 = 1000;
/// The most that can be asked for: one a microsecond.
pub const ANSWERS_PER_SECOND_MAX: u32 = 1_000_000;
/// Commands that a faulty plane has under way at once; it takes no more while they are.
pub const FAULTY_UNDER_WAY: usize = 1024;
/// Polls that a faulty plane can be asked to hold an answer back for.
pub const FAULTY_HOLD: u32 = 1024;
/// Bytes of one frame in a capture file; longer ones are cut, and say so.
pub const PCAP_SNAPLEN: u32 = 65_535;

const _: () = assert!(SIM_COMPLETIONS >= 1 && FAULTY_UNDER_WAY >= 1, "a plane with nothing under way takes a command");
const _: () = assert!(ANSWER_BURST >= 1 && ANSWERS_PER_SECOND <= ANSWERS_PER_SECOND_MAX, "an answer can be given");
const _: () = assert!(PCAP_SNAPLEN >= 9018, "a jumbo frame is captured whole");

/// Frames that the conformance suite has on their way at once: a veth ring holds 256.
#[cfg(any(test, feature = "conformance"))]
pub const CONFORMANCE_BURST: usize = 64;
/// How often the conformance suite looks whether it was woken, before it gives the plane up.
#[cfg(any(test, feature = "conformance"))]
pub const CONFORMANCE_WAKE_ROUNDS: u32 = 500;
/// How long it waits each time.
#[cfg(any(test, feature = "conformance"))]
pub const CONFORMANCE_WAKE_ROUND: std::time::Duration = std::time::Duration::from_millis(10);
/// Nanoseconds after which a plane has to end what the suite has allowed it: more than any clock is coarse.
#[cfg(any(test, feature = "conformance"))]
pub const CONFORMANCE_TERM: u64 = 200_000_000;
/// Sessions that the conformance suite installs at once; the plane of a rig has at least this room.
#[cfg(any(test, feature = "conformance"))]
pub const CONFORMANCE_SESSIONS: u32 = 1000;
