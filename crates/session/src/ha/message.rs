//! What two devices of a pair say to each other.
//!
//! Messages may get lost, come twice and in any order; what must not, is in frames, which `channel` puts in order.

use std::sync::Arc;

use super::change::{Change, Part};
use super::term::{Position, Role, Term};
use crate::types::Moment;

/// A message. Each says how its sender is; a frame goes along where there is one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    /// Of the sender's process: one that begins later has a greater one.
    pub run: u64,
    /// The highest that the sender knows of; an active's own.
    pub term: Term,
    /// The sender's.
    pub role: Role,
    /// By the sender's clock. It is also the name of this message: see `echo`.
    pub now: Moment,
    /// The newest message that the sender has of the receiver: its run and its `now`.
    pub echo: Option<(u64, Moment)>,
    /// As of that message: an active says that its standby has what it has; a standby that it will not become active by itself.
    /// Both for a time that either knows.
    pub grants: bool,
    /// How far the sender has come in which active's changes.
    pub position: Position,
    /// What is said about frames.
    pub segment: Option<Segment>,
}

/// What a device's messages would say now: where that changes, the other one may be waiting for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Saying {
    /// See [`Segment`].
    pub(super) through: u64,
    /// See [`Segment`].
    pub(super) done: u64,
    /// An active: that its standby has what it has. A standby: that it has heard so.
    pub(super) knows: bool,
}

/// Names a conversation: frames of different ones have nothing to do with each other. Of two, the later one has the greater name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Conversation {
    /// Of the active that has begun it.
    pub term: Term,
    /// How many that active has begun.
    pub number: u64,
}

/// What is said about the frames of a conversation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Segment {
    /// Which one.
    pub conversation: Conversation,
    /// The receiver's frames up to this one have come.
    pub through: u64,
    /// Of a standby: the changes up to this one are in force, on its plane as well.
    pub done: u64,
    /// A frame, and its number: 1 more than the one before. Whoever has sent it keeps it until the other one has it.
    pub frame: Option<(u64, Arc<Payload>)>,
}

/// What is in a frame.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Payload {
    /// The first one of an active: how it goes on.
    Begin(Begin),
    /// Changes that follow each other, from this number on.
    Changes {
        /// The number of the first.
        first: u64,
        /// In their order.
        changes: Vec<Change>,
    },
    /// For a standby that has been told everything that has changed so far: some of what there is.
    Rows(Vec<Change>),
    /// That was all there is; the last change.
    End {
        /// Its number.
        change: u64,
    },
    /// What the sender's plane has counted.
    Counters {
        /// Of these sessions.
        parts: Vec<Part>,
        /// All others have been told before.
        is_last: bool,
    },
    /// Of a standby: sessions that its plane has let go, as it was told.
    LetGo(Vec<Part>),
    /// Of an active: it is none any more, and the receiver should be.
    Yield {
        /// Its last change.
        position: Position,
    },
}

/// How an active begins to tell a standby.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Begin {
    /// Everything anew.
    Anew,
    /// With what comes behind what the standby has.
    Behind {
        /// That.
        position: Position,
        /// What is in force from here on; its changes are numbered from 1.
        term: Term,
        /// How far the standby's clock was ahead of the active's when they first agreed about it, in nanoseconds: versions are translated by
        /// this. `None`: as before.
        ahead: Option<i64>,
    },
}
