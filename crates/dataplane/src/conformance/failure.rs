//! How a plane can fail the suite.
//!
//! What must not be here: the checks themselves.

use opof_session::plane::{Command, Completion, InstallError, RemoveError, Route, RouteError, Slot};
use opof_session::types::{Counters, Moment};

use crate::pipeline::Port;
use crate::{PortCounters, PortDescription};

/// What a plane did wrong, in one case.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Failure {
    /// It stopped taking commands.
    #[error("with nothing under way the plane took none of {offered} commands; it must take at least one")]
    TookNothing {
        /// How many it was given.
        offered: usize,
    },
    /// It said that it took more than there was.
    #[error("the plane took {taken} of {offered} commands")]
    TookTooMany {
        /// How many it was given.
        offered: usize,
        /// How many it took.
        taken: usize,
    },
    /// It left its owner asleep.
    #[error("{unanswered} commands are not answered, and the waker of the last poll was not woken in time")]
    NotWoken {
        /// Commands that were taken and not answered.
        unanswered: usize,
    },
    /// It said that there was something and gave nothing, or the other way round.
    #[error("poll was ready: {ready}, but it appended {appended} completions")]
    PollDisagrees {
        /// What poll returned.
        ready: bool,
        /// What it did.
        appended: usize,
    },
    /// It answered what nobody asked, or in another order than that of the subject's commands.
    #[error("answer {answer:?} where the oldest unanswered command of its subject is {command:?}")]
    WrongAnswer {
        /// What came.
        answer: Box<Completion>,
        /// What it had to answer, if anything.
        command: Option<Box<Command>>,
    },
    /// It did not install a session that fits.
    #[error("{slot:?} was not installed: {error}")]
    NotInstalled {
        /// The session.
        slot: Slot,
        /// The plane's reason.
        error: InstallError,
    },
    /// A copy did not arrive at the collector.
    #[error("{what}: the copy {frame} did not arrive at the collector; found: {found}")]
    CopyMissing {
        /// The frame it is of.
        what: String,
        /// The copy in hexadecimal.
        frame: String,
        /// A copy that nobody expected.
        found: String,
    },
    /// A copy that nobody asked for, or one that is wrong.
    #[error("{what}: the collector got {frame}")]
    CopyUnexpected {
        /// The frames that were sent.
        what: String,
        /// The copy in hexadecimal.
        frame: String,
    },
    /// It did not change what packets are sent by.
    #[error("{route:?} was not carried out: {error}")]
    NotRouted {
        /// What it was to do.
        route: Route,
        /// The plane's reason.
        error: RouteError,
    },
    /// It did not remove a session.
    #[error("{slot:?} was not removed: {error}")]
    NotRemoved {
        /// The session.
        slot: Slot,
        /// The plane's reason.
        error: RemoveError,
    },
    /// A frame did not come out where and as it had to.
    #[error("{what}, into {ingress}: has to come out of {egress} as {frame}, but {instead}")]
    FrameMissing {
        /// The frame in words.
        what: String,
        /// Where it was sent.
        ingress: Port,
        /// Where it had to come out.
        egress: Port,
        /// The frame that had to come out, in hexadecimal.
        frame: String,
        /// What came out instead.
        instead: String,
    },
    /// A frame came out that had no business to.
    #[error("after {what}: out of {egress} came {frame}, which must not be")]
    FrameUnexpected {
        /// The frames that were sent, in words.
        what: String,
        /// Where it came out.
        egress: Port,
        /// As it came out, in hexadecimal.
        frame: String,
    },
    /// A session's counters are wrong.
    #[error("{what}: counters are {found:?}, have to be {expected:?}")]
    SessionCounters {
        /// When they were looked at.
        what: String,
        /// What they are.
        found: Counters,
        /// What they have to be; `last_seen` is the one found, it has a failure of its own.
        expected: Counters,
    },
    /// A session's last packet is stamped wrong.
    #[error("{what}: last seen at {found:?}, has to be from {from:?} to {to:?}")]
    LastSeen {
        /// When it was looked at.
        what: String,
        /// What it is.
        found: Option<Moment>,
        /// Just before the packet was sent.
        from: Moment,
        /// Just after it was received.
        to: Moment,
    },
    /// A port's counters grew by something else than what came in.
    #[error("after {what}: counters of {port} grew by {found:?}, have to by {expected:?}")]
    PortCounters {
        /// The frames that were sent, in words.
        what: String,
        /// The port.
        port: Port,
        /// By how much they grew.
        found: Box<PortCounters>,
        /// By how much they had to.
        expected: Box<PortCounters>,
    },
    /// The description has not the ports that the rig says there are, or not in their order.
    #[error("the plane describes the ports {found:?}; it has to be each LIF's wire port, then its firewall port")]
    Ports {
        /// What it describes.
        found: Vec<PortDescription>,
    },
    /// The rig's plane is too small for the suite.
    #[error("the plane has room for {sessions} sessions, the suite needs {needed}: configure it larger")]
    TooSmall {
        /// Its room.
        sessions: u32,
        /// What the suite needs.
        needed: u32,
    },
}
