//! Which sources the frames of a measurement have, byte by byte.

/// `struct opof_walk`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(transparent)]
pub struct Walk(pub [u8; 20]);

impl Walk {
    /// From the beginning through `count` sources, of which the last four bytes are `first` and what follows, and are `offset` bytes
    /// from the start of the frame.
    pub fn new(count: u32, first: u32, offset: u32) -> Self {
        let mask = count.checked_next_power_of_two().map_or(u32::MAX, |power| power - 1);
        let mut bytes = [0; 20];
        for (field, value) in bytes.chunks_exact_mut(4).zip([0, mask, count, first, offset]) {
            field.copy_from_slice(&value.to_ne_bytes());
        }
        Self(bytes)
    }

    /// The same walk from where `earlier` has come to.
    #[must_use]
    pub fn going_on(mut self, earlier: Self) -> Self {
        self.0[..4].copy_from_slice(&earlier.0[..4]);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::tests::constant;

    fn words(walk: Walk) -> [u32; 5] {
        std::array::from_fn(|n| u32::from_ne_bytes(walk.0[4 * n..4 * n + 4].try_into().unwrap()))
    }

    #[test]
    fn a_walk_word_by_word() {
        assert_eq!(words(Walk::new(1000, 0x0A00_0000, 26)), [0, 1023, 1000, 0x0A00_0000, 26]);
        assert_eq!(words(Walk::new(1, 7, 34)), [0, 0, 1, 7, 34]);
        assert_eq!(words(Walk::new(4096, 7, 34))[1], 4095);
        assert_eq!(words(Walk::new(u32::MAX, 7, 34))[1], u32::MAX);
        let earlier = Walk([0x55; 20]);
        assert_eq!(words(Walk::new(1000, 7, 26).going_on(earlier)), [0x5555_5555, 1023, 1000, 7, 26]);
    }

    /// Knuth, 3.2.1.2, theorem A, for a modulus that is a power of two; and no more numbers are passed over at once than the
    /// program tries.
    #[test]
    fn the_generator_has_the_full_period() {
        let number = |name| u32::try_from(constant(name)).unwrap();
        let (multiplier, increment) = (number("OPOF_WALK_MULTIPLIER"), number("OPOF_WALK_INCREMENT"));
        assert!(multiplier % 4 == 1 && increment % 2 == 1);
        for count in [1_u32, 2, 3, 1000, 1025, 65_537, 100_000, 1_000_000] {
            let mask = count.next_power_of_two() - 1;
            let (mut at, mut inside, mut passed_over, mut most) = (0_u32, 0, 0, 0);
            for _ in 0..=mask {
                at = at.wrapping_mul(multiplier).wrapping_add(increment) & mask;
                passed_over = if at < count { 0 } else { passed_over + 1 };
                inside += u32::from(at < count);
                most = most.max(passed_over);
            }
            assert_eq!((at, inside), (0, count), "back at the beginning, each taken once");
            assert!(most < 64, "{count}: {most} passed over");
        }
    }
}
