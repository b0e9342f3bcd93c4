//! The clock of the programs. They stamp a flow with the kernel's ticks (jiffies), which a program reads without a call; this side
//! has moments of the monotonic clock. The kernel counts ticks by that clock, so one reading of both says when any tick was.
//!
//! What must not be here: what a moment is for.

use std::io;
use std::os::fd::AsFd;

use opof_session::types::Moment;
use rustix::time::{ClockId, clock_getres};

use crate::abi::ClockReading;
use crate::error::OpenError;
use crate::limits::{CLOCK_LOOK, TICKS_BEHIND};
use crate::loader::{self, Loaded};
use crate::sys::bpf;

/// Says when a tick was.
#[derive(Debug)]
pub(crate) struct Clock {
    loaded: Loaded,
    /// Nanoseconds from a tick to the next.
    tick: i64,
    last: ClockReading,
    /// The moment of the last try.
    asked: Moment,
}

impl Clock {
    pub(crate) fn start() -> Result<Self, OpenError> {
        let loaded = loader::load_clock()?;
        let last = read(&loaded).map_err(OpenError::system("reading the programs' clock"))?;
        Ok(Self { loaded, tick: tick_length(), last, asked: Moment(last.time) })
    }

    /// Has both clocks read again if the last time is long ago: where the kernel counts interrupts instead of time, a tick that
    /// is lost moves one against the other.
    pub(crate) fn refresh(&mut self, now: Moment) {
        if now.0.saturating_sub(self.asked.0) < CLOCK_LOOK {
            return;
        }
        self.asked = now;
        match read(&self.loaded) {
            Ok(reading) => self.last = the_better(&self.last, reading, self.tick),
            // What is known is still right but for lost ticks.
            Err(error) => tracing::debug!(%error, "could not read the programs' clock"),
        }
    }

    /// The first tick at which the monotonic clock may be there already, however far ticks are behind it.
    pub(crate) fn tick_before(&self, moment: Moment) -> u64 {
        tick_before(&self.last, self.tick, moment)
    }

    /// When it was, as the kernel's coarse clock has it: up to two ticks before the packet. Ticks and that clock are counted at one
    /// time, but from different beginnings, so a tick that comes a little late may be one to the one and two to the other.
    pub(crate) fn moment(&self, tick: u64) -> Moment {
        moment(&self.last, self.tick, tick)
    }
}

/// The kernel counts ticks, as many as have passed, a moment before it moves the coarse clock, and a processor may be taken away
/// in between. A reading of then has the tick's time too early; what was known says so.
fn the_better(known: &ClockReading, new: ClockReading, length: i64) -> ClockReading {
    let behind = moment(known, length, new.tick).0.saturating_sub(new.time);
    if (length.unsigned_abs() / 2..CLOCK_LOOK).contains(&behind) { *known } else { new }
}

fn moment(reading: &ClockReading, length: i64, tick: u64) -> Moment {
    let since = tick.wrapping_sub(reading.tick).cast_signed().saturating_mul(length);
    Moment(reading.time.saturating_add_signed(since))
}

/// The first one of all when that moment is past or near.
fn tick_before(reading: &ClockReading, length: i64, moment: Moment) -> u64 {
    let ahead = moment.0.checked_sub(reading.time.saturating_add(TICKS_BEHIND));
    ahead.map_or(0, |ahead| reading.tick.saturating_add(ahead / length.unsigned_abs().max(1)))
}

/// The coarse clock moves once a tick, and its resolution says so (clock_getres(2); `LOW_RES_NSEC` in <linux/hrtimer_defs.h>).
fn tick_length() -> i64 {
    clock_getres(ClockId::MonotonicCoarse).tv_nsec
}

fn read(loaded: &Loaded) -> io::Result<ClockReading> {
    let run = bpf::test_run(loaded.program.as_fd(), &[0; FRAME], 1)?;
    ClockReading::from_frame(&run.frame).filter(|_| run.code == PASS).ok_or(io::ErrorKind::InvalidData.into())
}

/// Bytes of the frame that the program writes to.
const FRAME: usize = 64;
/// `XDP_PASS`: the program has written.
const PASS: u32 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_between_a_tick_and_its_time_is_not_taken() {
        let known = ClockReading { tick: 1_000, time: 5_000_000_000 };
        let taken = |tick, time| the_better(&known, ClockReading { tick, time }, 4_000_000).time == time;
        // 250 ticks on, with the time of that tick or a little beside it.
        for time in [6_000_000_000, 5_999_999_985, 6_000_000_015] {
            assert!(taken(1_250, time), "{time}");
        }
        // The clock still stands one tick or some ticks before.
        for time in [5_996_000_015, 5_992_000_000, 5_968_000_000] {
            assert!(!taken(1_250, time), "{time}");
        }
        // Ticks were lost, and a clock that has nothing to do with what was known.
        assert!(taken(1_250, 6_004_000_000));
        assert!(taken(1_250, 4_000_000_000));
    }

    #[test]
    fn a_tick_is_as_long_before_or_after_the_reading_as_ticks_are() {
        let reading = ClockReading { tick: 1_000, time: 5_000_000_000 };
        assert_eq!(moment(&reading, 4_000_000, 1_000), Moment(5_000_000_000));
        assert_eq!(moment(&reading, 4_000_000, 1_003), Moment(5_012_000_000));
        assert_eq!(moment(&reading, 4_000_000, 500), Moment(3_000_000_000));
        // Before the monotonic clock began: as early as can be.
        assert_eq!(moment(&ClockReading { tick: u64::MAX >> 16, time: 1 }, 4_000_000, 1), Moment(0));
    }

    #[test]
    fn the_exact_clock_is_asked_before_ticks_can_be_wrong() {
        let reading = ClockReading { tick: 1_000, time: 5_000_000_000 };
        let tick = |at| tick_before(&reading, 4_000_000, Moment(at));
        assert_eq!(tick(5_100_000_000), 1_000);
        assert_eq!((tick(5_103_999_999), tick(5_104_000_000)), (1_000, 1_001));
        // Near, now, long ago: from the beginning.
        assert_eq!([tick(5_099_999_999), tick(5_000_000_000), tick(0)], [0; 3]);
        // What never comes does not come sooner by that.
        let never = tick(u64::MAX);
        assert!(never > u64::MAX / 5_000_000, "{never}");
        // Some ticks before the moment of each tick, and no more of them than that.
        for n in 100..200 {
            let Moment(at) = moment(&reading, 4_000_000, 1_000 + n);
            assert_eq!(tick(at), 1_000 + n - TICKS_BEHIND / 4_000_000);
        }
    }
}
