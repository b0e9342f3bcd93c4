//! What a device asks of whoever elects the active, and hears from there.
//!
//! Values only. Who is asked, and how, is the daemon's.

use core::time::Duration;

use super::term::Term;

/// What is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StoreRequest {
    /// Become the holder, with a term of at least `at_least`, for `ttl`, if nobody is.
    Claim {
        /// Above every term that the device knows of.
        at_least: Term,
        /// For how long.
        ttl: Duration,
    },
    /// Go on being the holder of `term`.
    Renew {
        /// As it was given.
        term: Term,
    },
    /// Be the holder no longer, at once.
    Resign {
        /// As it was given.
        term: Term,
    },
}

/// What is answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StoreAnswer {
    /// It is the holder: with this term, for `ttl` from when it has asked on.
    Held {
        /// Nobody else ever had it.
        term: Term,
        /// Can be another one than was asked for.
        ttl: Duration,
    },
    /// Somebody else is.
    Taken {
        /// The term in force.
        term: Term,
        /// Where the holder says that it is reached.
        holder: String,
    },
    /// Not known: the store did not answer in time, or not sensibly.
    Failed {
        /// For people.
        why: String,
    },
    /// It is not the holder any more.
    Resigned,
}
