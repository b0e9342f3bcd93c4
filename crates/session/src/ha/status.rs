//! What a device of a pair is told, and what it says of itself: to whoever runs it, not to the other device.
//!
//! Values only.

use core::time::Duration;

use super::message::Message;
use super::office::Election;
use super::source::Standing;
use super::store::StoreAnswer;
use super::term::{Position, Role, Side, Term};
use crate::engine::Diverged;
use crate::types::Moment;

/// How a device is set up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Of this process: greater than that of any before it, and not that of the other device.
    pub run: u64,
    /// Which of the two it is.
    pub side: Side,
    /// Who says which is active.
    pub election: Election,
    /// How long a standby that hears nothing goes on forwarding, and an active waits until it reports a session that its standby has not let
    /// go.
    pub hold: Duration,
    /// Whether an addSession is answered when the standby has the sessions, too.
    pub sync: bool,
    /// The term in which this device was active last, if that is known.
    pub last: Option<Term>,
}

/// What can happen to a device, besides what happens to its engine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Input {
    /// The other one says something.
    Message(Box<Message>),
    /// The store of roles answers.
    Store(StoreAnswer),
    /// Somebody who may says what it is to do.
    Command(Command),
}

/// What a device can be told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Command {
    /// To be active, or not to be.
    Become(Role),
    /// To hand over in order.
    Switchover,
    /// To forget what it has of the active and to be told everything anew.
    Resync,
}

/// Why a device does not do what it is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CommandError {
    /// The configuration says what it is.
    #[error("the role of this device is fixed by its configuration")]
    Fixed,
    /// It would have to be the other one.
    #[error("this device is {0}")]
    Role(Role),
    /// There is nobody to hand over to.
    #[error("the standby does not have what this device has")]
    NotCurrent,
    /// It was told already.
    #[error("this device is handing over")]
    HandingOver,
}

/// Why a device has another role.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Why {
    /// It began.
    Start,
    /// It was elected, and has what the one before it had.
    Elected,
    /// It was elected, and does not know what the one before it had.
    ElectedAnew,
    /// It was told.
    Told,
    /// The other one has handed over, or it has.
    Handover,
    /// Its right was over, and could not be renewed in time.
    LeaseOver,
    /// The other one is active, with a higher term.
    HigherTerm,
}

/// What the outside should know.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// It has another role.
    Role {
        /// This one.
        role: Role,
        /// An active's own, or the highest that a standby knows of.
        term: Term,
        /// Why.
        why: Why,
        /// False: a new active does not know what it had of the other one's sessions, and closes all.
        keeps: bool,
    },
    /// Both were active.
    SplitBrain {
        /// This device's.
        mine: Term,
        /// The other one's.
        theirs: Term,
    },
    /// What the active said does not fit what is here; everything is told anew.
    Diverged(Diverged),
    /// The standby has what the active has, or has not any more.
    Standing(Standing),
    /// The handover was given up.
    HandoverFailed,
    /// The store of roles did not do what it was asked.
    StoreFailed(String),
}

/// For an operator.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Status {
    /// This device's role.
    pub role: Role,
    /// An active's own, or the highest that a standby knows of.
    pub term: Term,
    /// The other one's role and when it was last heard.
    pub peer: Option<(Role, Moment)>,
    /// How the standby stands; of an active.
    pub standing: Option<Standing>,
    /// The last change here.
    pub position: Position,
    /// Changes that the standby has not done; of an active.
    pub lag: u64,
    /// Sessions that wait for the standby to let them go.
    pub awaiting: usize,
    /// A standby's table is as good as the active's until then.
    pub current_until: Moment,
    /// It is handing over.
    pub is_handing_over: bool,
    /// Since when it has its role.
    pub since: Moment,
    /// Why it has.
    pub why: Why,
}

/// Which answers wait for the standby.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answers {
    /// That something was taken in: where that is configured.
    Taken,
    /// Records: always, so that whoever takes over knows them by the numbers by which they were shown.
    Records,
}
