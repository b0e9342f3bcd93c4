//! Chance from a seed, for faults and simulations. What must not be here: anything that has to be hard to guess.

/// `SplitMix64`: small, and the same numbers everywhere for ever.
#[derive(Clone, Debug)]
pub struct Dice(pub u64);

impl Dice {
    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// `0..bound`; 0 for an empty range.
    pub fn below_u32(&mut self, bound: u32) -> u32 {
        let scaled = (self.number() >> 32) * u64::from(bound);
        u32::try_from(scaled >> 32).expect("less than the bound")
    }

    /// The same.
    pub fn below(&mut self, bound: usize) -> usize {
        self.below_u32(u32::try_from(bound).unwrap_or(u32::MAX)) as usize
    }

    /// `0..1000`.
    pub fn thousandth(&mut self) -> u16 {
        u16::try_from(self.below_u32(1000)).expect("less than a thousand")
    }

    /// True so many times in a thousand.
    pub fn chance(&mut self, thousandths: u16) -> bool {
        self.thousandth() < thousandths
    }
}
