//! The flows themselves: keys, actions and counters, in memory that the programs write and this side reads without a system call.
//!
//! What must not be here: who is led to a flow, and when one may be written again.

use std::sync::atomic::{AtomicU64, Ordering};

use opof_session::types::{Counters, DirectionCounters, Moment};

use super::index::Word;
use crate::abi::{FLOW_WORDS, KEY_WORDS, STAMP, has_v6_tail, last_tick};
use crate::limits::READ_TRIES;

/// All words of a flow, each as it is at some moment.
pub(crate) fn words(flow: &[impl Word]) -> [u64; FLOW_WORDS] {
    std::array::from_fn(|at| flow[at].load(Ordering::Relaxed))
}

/// The words of one flow.
pub(crate) fn flow<W>(flows: &[W], number: u32) -> &[W] {
    let at = number as usize * FLOW_WORDS;
    &flows[at..at + FLOW_WORDS]
}

/// The last word of a key, which says of what it is.
const TAIL: usize = KEY_WORDS - 1;

/// True when the flow's key is of IPv6.
pub(crate) fn is_v6(flow: &[impl Word]) -> bool {
    has_v6_tail(flow[TAIL].load(Ordering::Relaxed))
}

/// Writes a flow that no program can reach. What leads to it is to be published behind this.
///
/// Where this process may end in the middle of it, no half of an address is to be taken for a note: IPv6 addresses come behind the
/// word that says so, the zeros of IPv4 in front of it.
pub(crate) fn write(flow: &[impl Word], words: &[u64; FLOW_WORDS]) {
    if has_v6_tail(words[TAIL]) {
        flow[TAIL].store(words[TAIL], Ordering::Release);
    }
    for (shared, word) in flow.iter().zip(words) {
        shared.store(*word, Ordering::Release);
    }
}

/// Both flows of a session as they were read: stamp, packets and bytes of each.
type Snapshot = [[u64; 3]; 2];

/// The counters of a session that may be counting. A program adds the packet, then its bytes: two equal readings one after the
/// other show that none was between the two, short of one that was interrupted right there. `when` says when a tick was.
pub(crate) fn read(session: [&[AtomicU64]; 2], when: impl Fn(u64) -> Moment) -> Counters {
    let snapshot = || session.map(|flow| std::array::from_fn(|at| flow[STAMP + at].load(Ordering::Acquire)));
    let mut last: Snapshot = snapshot();
    for _ in 0..READ_TRIES {
        let next = snapshot();
        if next == last {
            break;
        }
        last = next;
    }
    counters(last, when)
}

fn counters(snapshot: Snapshot, when: impl Fn(u64) -> Moment) -> Counters {
    let [inward, outward] = snapshot.map(|[_, packets, bytes]| DirectionCounters { packets, bytes });
    let seen = snapshot.map(|[stamp, ..]| last_tick(stamp)).into_iter().max().filter(|tick| *tick != 0);
    Counters { inward, outward, last_seen: seen.map(when) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_word_by_word() {
        let expected = Counters {
            inward: DirectionCounters { packets: 1, bytes: 2 },
            outward: DirectionCounters { packets: 4, bytes: 5 },
            last_seen: Some(Moment(60)),
        };
        let when = |tick| Moment(10 * tick);
        assert_eq!(counters([[0x3_0FFF, 1, 2], [0x6_2FFF, 4, 5]], when), expected);
        assert_eq!(counters([[0x6_0FFF, 1, 2], [0x3_2FFF, 4, 5]], when), expected);
        assert_eq!(counters([[0x0FFF, 0, 0]; 2], when), Counters::default());
    }

    #[test]
    fn what_is_written_is_read_from_the_flow_alone() {
        let flows: Vec<AtomicU64> = (0..4 * FLOW_WORDS).map(|_| AtomicU64::new(u64::MAX)).collect();
        write(flow(&flows, 2), &[0; FLOW_WORDS]);
        write(flow(&flows, 3), &[0; FLOW_WORDS]);
        assert_eq!(read([flow(&flows, 2), flow(&flows, 3)], Moment), Counters::default());
        assert!(flows[..2 * FLOW_WORDS].iter().all(|word| word.load(Ordering::Relaxed) == u64::MAX));
    }
}
