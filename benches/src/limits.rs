//! Every bound of this crate, in one place.

/// How often each subject has its turn where nothing else is asked for. Fewer than 5 make no median worth the name.
pub(crate) const ROUNDS: u32 = 5;
