//! Moments of the monotonic clock as `google.protobuf.Timestamp`, by an anchor that the caller reads from its clocks.

use opof_session::types::Moment;
use prost_types::Timestamp;

const NANOS: i128 = 1_000_000_000;

/// One moment and the time of day it was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WallClock {
    /// Of the monotonic clock.
    pub moment: Moment,
    /// Nanoseconds since 1970-01-01 00:00:00 UTC, leap seconds not counted.
    pub unix_nanos: u64,
}

impl WallClock {
    /// The time of day at `moment`, before or after the anchor; of one that is before the clock's zero in two's complement.
    pub fn timestamp(&self, moment: Moment) -> Timestamp {
        let unix = i128::from(self.unix_nanos) + i128::from(moment.0.cast_signed()) - i128::from(self.moment.0);
        let seconds = i64::try_from(unix.div_euclid(NANOS)).expect("two u64 of nanoseconds are less than 2^36 seconds");
        let nanos = i32::try_from(unix.rem_euclid(NANOS)).expect("a remainder of 10^9");
        Timestamp { seconds, nanos }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CLOCK: WallClock = WallClock { moment: Moment(5_000_000_000), unix_nanos: 1_780_000_000_250_000_000 };

    #[test]
    fn around_the_anchor() {
        assert_eq!(CLOCK.timestamp(CLOCK.moment), Timestamp { seconds: 1_780_000_000, nanos: 250_000_000 });
        assert_eq!(CLOCK.timestamp(Moment(5_500_000_000)), Timestamp { seconds: 1_780_000_000, nanos: 750_000_000 });
        assert_eq!(CLOCK.timestamp(Moment(4_500_000_000)), Timestamp { seconds: 1_779_999_999, nanos: 750_000_000 });
    }

    #[test]
    fn before_the_epoch_nanos_still_count_forward() {
        let clock = WallClock { moment: Moment(1), unix_nanos: 0 };
        assert_eq!(clock.timestamp(Moment(0)), Timestamp { seconds: -1, nanos: 999_999_999 });
    }

    proptest! {
        #[test]
        fn every_moment_has_a_normal_timestamp(anchor: u64, unix_nanos: u64, moment: u64) {
            let stamp = WallClock { moment: Moment(anchor), unix_nanos }.timestamp(Moment(moment));
            prop_assert!((0..1_000_000_000).contains(&stamp.nanos));
            let unix = i128::from(stamp.seconds) * NANOS + i128::from(stamp.nanos);
            prop_assert_eq!(unix - i128::from(unix_nanos), i128::from(moment.cast_signed()) - i128::from(anchor));
        }
    }
}
