//! Bugs that the simulation must find: each stands beside the line that it spoils, and is compiled in with the feature `planted` alone.
//!
//! What must not be here: anything that an engine without that feature does.

/// Where a bug is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bug {
    /// A session that is due is judged by its start, not by its last packet, where that and another one were answers.
    Aging,
    /// A session that goes leaves one of its keys behind, where it left by the interface that it came in on.
    Index,
    /// Records are taken for stored that came while those before them were being stored.
    Log,
    /// A session is reported before the standby has let it go.
    Pair,
}

#[cfg(feature = "planted")]
mod chosen {
    use core::cell::Cell;

    use super::Bug;

    thread_local! {
        static BUG: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// From now on engines of this thread have this bug, or none.
    pub fn plant(bug: Option<Bug>) {
        BUG.set(bug);
    }

    pub(crate) fn is(bug: Bug) -> bool {
        BUG.get() == Some(bug)
    }
}

#[cfg(feature = "planted")]
pub use chosen::plant;

#[cfg(feature = "planted")]
pub(crate) use chosen::is;

#[cfg(not(feature = "planted"))]
pub(crate) const fn is(_bug: Bug) -> bool {
    false
}
