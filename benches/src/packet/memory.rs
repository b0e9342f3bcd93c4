//! What one read of memory takes that no cache has and nobody foresaw: what a program's cost is held against.

use std::hint::black_box;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::time::{ClockId, clock_gettime};

use crate::samples::Samples;

/// A line of the cache.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line([u64; 8]);

/// Reads of one turn, and turns, of which the median is taken.
const READS: u32 = 200_000;
const TURNS: u32 = 15;

/// Nanoseconds for a read of a random line of a buffer of so many bytes, each of which waits for the one before it.
pub(super) fn random_read(bytes: u64) -> Result<f64> {
    let count = usize::try_from(bytes / size_of::<Line>() as u64).context("a buffer as large as the table")?.max(1);
    // Not zeros: of those the kernel has one page for all.
    let lines = black_box(vec![Line([1; 8]); count]);
    let (mut state, mut samples) = (1, Samples::default());
    walk(&lines, &mut state, READS);
    for _ in 0..TURNS {
        let before = processor_time();
        walk(&lines, &mut state, READS);
        samples.push((processor_time() - before) / f64::from(READS));
    }
    Ok(samples.median())
}

/// Of this thread, in nanoseconds. The kernel's clock of test runs stands still, too, while it lets somebody else have the processor.
fn processor_time() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default()).as_secs_f64() * 1e9
}

/// Where the next line is, is known when the last one has been read: Knuth's generator (MMIX), with that line's word for increment.
fn walk(lines: &[Line], state: &mut u64, reads: u32) {
    for _ in 0..reads {
        let line = &lines[index(*state, lines.len())];
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(line.0[0]);
    }
    black_box(*state);
}

/// Below `count`, by the upper half of the state: of such a generator the lower bits repeat soon.
fn index(state: u64, count: usize) -> usize {
    let scaled = u128::from(state) * count as u128;
    usize::try_from(scaled >> 64).expect("less than the count")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_comes_everywhere() {
        let mut lines = [false; 100];
        let mut state = 1_u64;
        for _ in 0..2_000 {
            lines[index(state, lines.len())] = true;
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        }
        assert!(lines.iter().all(|line| *line));
        assert_eq!((index(0, 7), index(u64::MAX, 7)), (0, 6));
        assert!(random_read(1 << 16).unwrap() > 0.0);
    }
}
