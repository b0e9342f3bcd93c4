//! The words of a pair: terms, roles, positions.

use core::fmt;

use crate::limits;

/// The time of one active. Each later one has a higher term, and no two have the same.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Term(pub u64);

impl Term {
    /// One that somebody else says, up to the last one.
    #[must_use]
    pub const fn new(number: u64) -> Option<Self> {
        if number <= limits::LAST_TERM { Some(Self(number)) } else { None }
    }

    /// The first one behind it that is this side's to take where nobody else deals them out: a pair has two sides, and each has every other
    /// term.
    #[must_use]
    pub const fn next_of(self, side: Side) -> Self {
        let next = self.0 + 1;
        Self(if next % 2 == side as u64 { next } else { next + 1 })
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which of the two devices of a pair. Neither is better.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Side {
    /// The one whose name sorts first.
    A = 0,
    /// The other one.
    B = 1,
}

/// What a device is in its pair.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Role {
    /// It answers firewalls, and decides.
    Active,
    /// It follows the active, or would if there were one.
    Standby,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Active => "active",
            Self::Standby => "standby",
        })
    }
}

/// How far somebody has come in the changes of one active.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Position {
    /// Whose; 0: of nobody's.
    pub term: Term,
    /// The number of the last change. The first one is 1.
    pub change: u64,
}
