//! Every bound of the simulated world, in one place.

use std::time::Duration;

/// Steps of a run, at least and at most.
pub const STEPS: (usize, usize) = (40, 400);
/// Sessions that the table has room for, at least and at most.
pub const SESSIONS: (u32, u32) = (3, 16);
/// Numbers that firewalls give to sessions, at most: few, so that they meet.
pub const IDS: u64 = 14;
/// Source ports of flows, the same.
pub const PORTS: u16 = 6;
/// Questions that nobody has answered yet.
pub const QUESTIONS: usize = 48;
/// Loans that readers have in hand.
pub const LOANS: usize = 8;
/// What a firewall adds at once.
pub const BATCH: usize = 4;
/// The longest timeout of a session, in seconds.
pub const TIMEOUT: u32 = 12;
/// How long a table may go on after the last fault until everything has ended: the longest timeout, once more for those that saw a
/// packet late, and what is tried again meanwhile.
pub const REST: Duration = Duration::from_secs(2 * TIMEOUT as u64 + 10);
/// Turns within one moment, after which nothing will come of it.
pub const TURNS: usize = 20_000;
/// How long a table is given to end in order.
pub const GRACE: Duration = Duration::from_secs(5);
/// Seeds, from 0 on, that are run before a change is taken.
pub const SEEDS: u64 = 2000;
/// The same of a pair, which takes longer.
pub const PAIR_SEEDS: u64 = 300;
/// Lines of what went before that are told with a finding.
pub const TOLD: usize = 60;

/// A pair: how long a device is active when it is elected.
pub const TTL: Duration = Duration::from_secs(1);
/// How long a standby that hears nothing goes on forwarding.
pub const HOLD: Duration = Duration::from_secs(3);
/// What two clocks differ by at most, in a million.
pub const DRIFT: u64 = 20_000;
/// Messages that are on their way.
pub const MESSAGES: usize = 4000;
/// Of a thousand seeds of a pair, those in which no device loses what it alone knows: then all packets have to be reported.
pub const GENTLE: u16 = 300;
/// Of a thousand others, those in which devices are killed and nothing else is lost: then what both had is still there.
pub const MORTAL: u16 = 300;
/// How long a pair may go on after the last fault until everything has ended.
pub const PAIR_REST: Duration = Duration::from_secs(90);
