//! Frames for every plane to agree on: named fixtures with the verdict each must get, and a seeded stream of random
//! ones. What a plane does with a verdict is its own tests' business.

mod fixtures;
mod gtpu;
mod random;

pub use fixtures::{Fixture, cuts, fixtures, whole};
pub use random::{RandomFrames, Rng, pool};

/// The longest frame that [`RandomFrames`] makes, in bytes without FCS: an untagged frame of MTU 1500.
pub const MAX_FRAME_LEN: usize = 1514;
/// The shortest frame that [`RandomFrames`] makes, in bytes: less is not a frame to the kernel's test run either.
pub const MIN_FRAME_LEN: usize = 14;
