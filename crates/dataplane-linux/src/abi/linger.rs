//! What a program is asked that lingers, byte by byte.

use std::time::Duration;

use super::array;

const LINGERS: u32 = 1;
const GONE: u32 = 2;

/// Where it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lingering {
    /// It has not begun.
    Before,
    /// It runs.
    Inside,
    /// It has ended, but for its last instructions.
    Gone,
}

/// `struct opof_linger`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(transparent)]
pub struct Linger(pub [u8; 16]);

impl Linger {
    /// Asks it to stay, in whole nanoseconds.
    pub fn new(stay: Duration) -> Self {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&u64::try_from(stay.as_nanos()).unwrap_or(u64::MAX).to_ne_bytes());
        Self(bytes)
    }

    /// What it says.
    pub fn state(&self) -> Lingering {
        match u32::from_ne_bytes(array(&self.0, 8)) {
            LINGERS => Lingering::Inside,
            GONE => Lingering::Gone,
            _ => Lingering::Before,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::tests::constant;

    #[test]
    fn numbers_are_those_of_the_header() {
        assert_eq!(constant("OPOF_LINGERS"), u64::from(LINGERS));
        assert_eq!(constant("OPOF_GONE"), u64::from(GONE));
    }

    #[test]
    fn a_question_byte_by_byte() {
        let mut bytes = Linger::new(Duration::from_micros(2)).0;
        assert_eq!(bytes[..8], 2000_u64.to_ne_bytes());
        assert_eq!(Linger(bytes).state(), Lingering::Before);
        bytes[8..12].copy_from_slice(&2_u32.to_ne_bytes());
        assert_eq!(Linger(bytes).state(), Lingering::Gone);
    }
}
