//! What the programs' clock says, byte by byte.

use super::array;

/// `struct opof_clock`: a tick, and when it was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClockReading {
    /// Of the kernel, since some time around its start.
    pub tick: u64,
    /// Nanoseconds of `CLOCK_MONOTONIC`.
    pub time: u64,
}

impl ClockReading {
    /// From the beginning of the frame that the program has written to; `None` when it is too short.
    pub fn from_frame(frame: &[u8]) -> Option<Self> {
        let bytes = frame.get(..16)?;
        Some(Self { tick: u64::from_ne_bytes(array(bytes, 0)), time: u64::from_ne_bytes(array(bytes, 8)) })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "in a test a panic is the way to fail")]
mod tests {
    use super::*;

    #[test]
    fn a_reading_byte_by_byte() {
        let mut frame = [0xFF; 60];
        frame[..8].copy_from_slice(&3_u64.to_ne_bytes());
        frame[8..16].copy_from_slice(&5_u64.to_ne_bytes());
        assert_eq!(ClockReading::from_frame(&frame).unwrap(), ClockReading { tick: 3, time: 5 });
        assert_eq!(ClockReading::from_frame(&frame[..15]), None);
    }
}
