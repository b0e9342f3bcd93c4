//! What there is to measure, and what every measurement is given.

use anyhow::Result;

use crate::progress::Progress;
use crate::report::AreaReport;

/// How much work is done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Scale {
    /// As much as the figures need.
    Full,
    /// Just enough to see that everything runs.
    Quick,
}

impl Scale {
    /// The one of two amounts that this scale takes.
    pub(crate) fn of<T>(self, full: T, quick: T) -> T {
        match self {
            Self::Full => full,
            Self::Quick => quick,
        }
    }
}

/// What a measurement is given.
pub(crate) struct Setting<'a> {
    /// How often each subject has its turn.
    pub(crate) rounds: u32,
    pub(crate) scale: Scale,
    pub(crate) progress: &'a Progress,
}

/// One area.
pub(crate) struct Area {
    /// On the command line.
    pub(crate) name: &'static str,
    /// In a line.
    pub(crate) what: &'static str,
    pub(crate) run: fn(&Setting<'_>) -> Result<AreaReport>,
}

/// All of them, in the order in which they run.
pub(crate) const AREAS: &[Area] = &[
    Area {
        name: "control",
        what: "calls of the API, beside a server that does nothing else",
        run: crate::control::run,
    },
    Area {
        name: "forward",
        what: "packets a second through veth, beside a bare redirect and other forwarders",
        run: crate::forward::run,
    },
    Area {
        name: "packet",
        what: "nanoseconds of the XDP program for a packet, at many sizes of the table",
        run: crate::packet::run,
    },
    Area { name: "engine", what: "the session engine alone, at many sizes of the table", run: crate::engine::run },
    Area { name: "aging", what: "processor time and lateness of timeouts", run: crate::aging::run },
    Area {
        name: "lifecycle",
        what: "16 million sessions added, aged out and collected, twice",
        run: crate::lifecycle::run,
    },
    Area { name: "overload", what: "ten times as many sessions as the device can take", run: crate::overload::run },
    Area { name: "memory", what: "bytes a session, of the kernel and of the daemon", run: crate::memory::run },
];
