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
/// Closed records that can be configured at most.
pub const CLOSED_RECORDS: usize = 1 << 26;
/// How long until a removal, of a session or of a next hop, that the plane could not do is tried again.
pub const REMOVE_RETRY: Duration = Duration::from_millis(100);

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
