//! A closed record as bytes in a file that outlives the machine's uptime.
//!
//! Moments count from some time around the machine's start, so each record says to which start its moments belong, and which time of
//! day that was. What must not be here: the file.

use opof_session::types::{CloseReason, ClosedRecord, Counters, DirectionCounters, Moment, SessionId};

/// Bytes of a record.
pub(crate) const RECORD: usize = 88;
/// Of what is written here.
const VERSION: u8 = 1;
/// In the place of the last packet's moment: there was none.
const NEVER: u64 = u64::MAX;

const REASONS: [(u8, CloseReason); 4] =
    [(1, CloseReason::Timeout), (2, CloseReason::Deleted), (3, CloseReason::Reset), (4, CloseReason::NextHopGone)];

/// What moments mean.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Era {
    /// The machine's start, a random number.
    pub(super) boot: u64,
    /// Time of day at moment 0, in nanoseconds since 1970.
    pub(super) zero: u64,
}

pub(super) fn encode(record: &ClosedRecord, era: Era) -> [u8; RECORD] {
    let Counters { inward, outward, last_seen } = record.counters;
    let words = [
        record.id.0,
        inward.packets,
        inward.bytes,
        outward.packets,
        outward.bytes,
        last_seen.map_or(NEVER, |seen| seen.0),
        record.started.0,
        record.ended.0,
        era.boot,
        era.zero,
    ];
    let mut bytes = [0; RECORD];
    for (at, word) in words.into_iter().enumerate() {
        bytes[8 * at..8 * at + 8].copy_from_slice(&word.to_le_bytes());
    }
    let reason = REASONS.iter().find(|(_, reason)| *reason == record.reason).expect("each reason has a byte");
    (bytes[80], bytes[81]) = (reason.0, VERSION);
    bytes
}

/// The record with this sequence, its moments as they are `now`: those of an earlier start are before moment 0, in two's complement.
/// `None` when it is none of this version.
pub(super) fn decode(sequence: u64, bytes: &[u8; RECORD], now: Era) -> Option<ClosedRecord> {
    let word = |at: usize| {
        let mut word = [0; 8];
        word.copy_from_slice(&bytes[8 * at..8 * at + 8]);
        u64::from_le_bytes(word)
    };
    if bytes[81] != VERSION {
        return None;
    }
    let (boot, zero) = (word(8), word(9));
    let shift = if boot == now.boot { 0 } else { zero.wrapping_sub(now.zero) };
    let moment = |at| Moment(word(at).wrapping_add(shift));
    let direction = |at| DirectionCounters { packets: word(at), bytes: word(at + 1) };
    let last_seen = (word(5) != NEVER).then(|| moment(5));
    Some(ClosedRecord {
        sequence,
        id: SessionId(word(0)),
        counters: Counters { inward: direction(1), outward: direction(3), last_seen },
        started: moment(6),
        ended: moment(7),
        reason: REASONS.iter().find(|(byte, _)| *byte == bytes[80])?.1,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "in a test a panic is the way to fail")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ERA: Era = Era { boot: 7, zero: 1_000_000 };

    fn record(words: [u64; 7], seen: Option<u64>, reason: usize) -> ClosedRecord {
        let [sequence, id, packets, bytes, more, started, ended] = words;
        let (inward, outward) = (DirectionCounters { packets, bytes }, DirectionCounters { packets: more, bytes: 1 });
        ClosedRecord {
            sequence,
            id: SessionId(id),
            counters: Counters { inward, outward, last_seen: seen.map(Moment) },
            started: Moment(started),
            ended: Moment(ended),
            reason: REASONS[reason].1,
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(words: [u64; 7], seen in prop::option::of(0..u64::MAX), reason in 0..REASONS.len()) {
            let record = record(words, seen, reason);
            prop_assert_eq!(decode(record.sequence, &encode(&record, ERA), ERA), Some(record));
        }

        #[test]
        fn anything_is_read_without_a_panic(bytes in prop::array::uniform32(any::<[u8; 3]>()), now: u64) {
            let mut all = [0; RECORD];
            all.iter_mut().zip(bytes.into_iter().flatten()).for_each(|(to, from)| *to = from);
            let _ = decode(1, &all, Era { boot: now, zero: now });
        }
    }

    #[test]
    fn behind_a_restart_of_the_machine_moments_are_as_long_ago_as_they_were() {
        let written = encode(&record([1, 2, 3, 4, 5, 6_000, 7_000], Some(6_500), 0), ERA);
        // It started again 10,000 ns after moment 0.
        let read = decode(1, &written, Era { boot: 8, zero: 1_010_000 }).unwrap();
        let before_zero = |by: u64| Moment(0_u64.wrapping_sub(by));
        assert_eq!((read.started, read.ended), (before_zero(4_000), before_zero(3_000)));
        assert_eq!(read.counters.last_seen, Some(before_zero(3_500)));
    }

    #[test]
    fn a_record_byte_by_byte() {
        let written = encode(&record([9, 1, 2, 3, 4, 5, 6], None, 3), ERA);
        let mut expected = Vec::new();
        for word in [1, 2, 3, 4, 1, u64::MAX, 5, 6, 7, 1_000_000] {
            expected.extend_from_slice(&u64::to_le_bytes(word));
        }
        expected.extend_from_slice(&[4, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(written.to_vec(), expected);
        let mut other = written;
        other[81] = 2;
        assert_eq!(decode(9, &other, ERA), None, "another version");
        other = written;
        other[80] = 9;
        assert_eq!(decode(9, &other, ERA), None, "no such reason");
    }
}
