//! Every bound of the engine, in one place.

use core::time::Duration;

/// Sessions in one [`crate::request::RequestBody::Add`].
pub const ADD_BATCH: usize = 1024;
/// Sessions in one reply to [`crate::request::RequestBody::List`].
pub const LIST_ROWS: usize = 1024;
/// Sessions that one [`crate::request::RequestBody::List`] may pass over.
pub const LIST_SKIP: u32 = 65_536;
/// Records in one loan.
pub const COLLECT_RECORDS: usize = 1024;
/// Loans that are out at once.
pub const LOANS: usize = 1024;
/// Reads of the plane that aging has under way at once: a wave of deadlines is worked off in steps of this size, so
/// that it never stands in the way of requests.
pub const AGING_READS: usize = 1024;
/// Sessions that can be configured at most: slots are 32-bit numbers, and one is kept as "none".
pub const SESSIONS: u32 = 1 << 26;
/// Next hops that can be configured at most.
pub const NEXT_HOPS: usize = 1 << 21;
/// Removals of next hops that the plane has under way at once.
pub const NEXT_HOP_REMOVALS: usize = 1024;
/// Requests that close many sessions (reset, a next hop taken away) that are under way at once; also, requests that took all
/// next hops away and whose next hops the plane has still to forget.
pub const SWEEPS: usize = 64;
/// Removals of one such request that are under way at once: it never stands in the way of others.
pub const SWEEP_REMOVALS: usize = 1024;
/// Sessions that such requests look at in one step, those included that need no removal; also, next hops.
pub const SWEEP_STEP: usize = 4096;
/// Slots that a table that comes to lead, or that is told everything anew, looks at in one step.
pub const WALK_STEP: u32 = 4096;
/// Closed records that can be configured at most.
pub const CLOSED_RECORDS: usize = 1 << 26;
/// Changes that an active keeps for a standby that is away, and at most those of two frames more.
pub const PEER_LOG: usize = 1 << 18;
/// Frames that one device has sent to its peer, or is to send, and that the peer has not said to have.
pub const PEER_WINDOW: usize = 64;
/// Changes or rows in a frame; counters come in as many as are read at once.
pub const PEER_FRAME: usize = 512;
/// Commands for the plane with which a standby takes no more frames in hand, and no table goes on through its sessions.
pub const PEER_COMMANDS: usize = 4096;
/// Frames that an active puts together before others have their turn.
pub const PEER_FILL: usize = 8;
/// Frames that a standby has taken and not gone through: those that its active may have under way have room.
pub const PEER_INBOX: usize = 64;
/// How long a device waits until it sends a frame again.
pub const PEER_RESEND: Duration = Duration::from_millis(200);
/// How often a device says that it is there.
pub const PEER_BEAT: Duration = Duration::from_millis(100);
/// How long an active goes on without a word of its standby until it does not wait for it any more.
pub const PEER_PATIENCE: Duration = Duration::from_millis(700);
/// How long a device knows a process of its peer that says nothing any more.
pub const PEER_FORGOTTEN: Duration = Duration::from_secs(5);
/// How long a conversation that the standby knows nothing of is given.
pub const PEER_RESTART: Duration = Duration::from_millis(500);
/// Slots that a snapshot looks at for one frame.
pub const SNAPSHOT_STEP: u32 = 512;
/// Sessions whose counters are read for the peer at once.
pub const COUNT_STEP: u32 = 1024;
/// The time between two such steps: 100,000 sessions a second.
pub const COUNT_PAUSE: Duration = Duration::from_millis(10);
/// The time between the beginnings of two rounds through all sessions, at least.
pub const COUNT_ROUND: Duration = Duration::from_secs(1);
/// How often a standby asks whether it can become active.
pub const CLAIM_PAUSE: Duration = Duration::from_millis(200);
/// How long a device that is to hand over waits until everything is done.
pub const SWITCH_PATIENCE: Duration = Duration::from_secs(2);
/// Of a time that two clocks measure, how much they may differ: a thirty-second part, some 3 %.
pub const DRIFT: u32 = 32;
/// Bits of a closed record's number below the term in which it was given.
pub const TERM_SHIFT: u32 = 40;
/// The last term that anybody is believed: one in every second for 97 days.
pub const LAST_TERM: u64 = 1 << 23;
/// How long until a removal, of a session or of a next hop, that the plane could not do is tried again.
pub const REMOVE_RETRY: Duration = Duration::from_millis(100);

const _: () = assert!(LAST_TERM + 2 < 1 << (u64::BITS - TERM_SHIFT), "the terms behind it have no numbers for records");
const _: () = assert!(PEER_INBOX >= PEER_WINDOW, "a frame without room comes again only after a while");
const _: () = assert!(SESSIONS < u32::MAX, "the slot past the last one means none");
const _: () = assert!(ADD_BATCH <= u32::MAX as usize, "positions in a batch are u32");
const _: () = assert!(
    AGING_READS >= 1
        && LOANS >= 1
        && LIST_ROWS >= 1
        && COLLECT_RECORDS >= 1
        && SWEEP_REMOVALS >= 1
        && SWEEP_STEP >= 1
        && NEXT_HOP_REMOVALS >= 1,
    "nothing would move"
);
