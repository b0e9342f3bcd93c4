//! What is tested, and on which terms.

use std::time::Duration;

use opof_api::{Dialect, Profile};
use opof_session::request::SameTuple;
use tonic::transport::Channel;

use crate::limits;

/// The terms on which a server is spoken to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Terms {
    /// What is spoken.
    pub dialect: Dialect,
    /// How the messages are read and written.
    pub profile: Profile,
    /// What the server does with two ids for one tuple.
    pub same_tuple: SameTuple,
    /// Sessions that the server has room for, where that is known. Without it a full table is not tested.
    pub capacity: Option<u64>,
    /// The server may be asked to shut down: its supervisor starts it again.
    pub may_shut_down: bool,
}

/// A server under test.
#[derive(Clone, Debug)]
pub struct Target {
    pub(crate) channel: Channel,
    pub(crate) terms: Terms,
    pub(crate) deadline: Duration,
}

impl Target {
    /// The server behind a channel, which need not be connected yet. A call may take five seconds.
    pub const fn new(channel: Channel, terms: Terms) -> Self {
        Self { channel, terms, deadline: limits::DEADLINE }
    }

    /// How long a call may take.
    #[must_use]
    pub const fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// The channel.
    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }
}
