//! What a case has at hand: calls with a deadline, sessions with ids and tuples of its own, and clearing up.
//!
//! Outside the cases about a switch of the profile, answers are read leniently: a server that is wrong about one switch
//! should fail the case of that switch, and not all. `list_cursor` is the exception: lists are read page by page, and
//! without the right cursor there is none.

mod calls;
mod closed;
mod sessions;

use std::collections::BTreeSet;
use std::time::Duration;

use opof_api::Rpc;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tonic::transport::Channel;
use tonic::{Code, Status};

pub(crate) use calls::{failed, ids};
pub(crate) use closed::following;
pub(crate) use sessions::{ipv6, lifs, untagged};

use crate::case::{Check, Stop};
use crate::limits;
use crate::target::{Target, Terms};

/// What a call answered: a message, or a status of gRPC.
pub(crate) type Answer<T> = Result<T, Status>;

/// What a case has at hand.
pub(crate) struct Bench {
    channel: Channel,
    rpc: Rpc,
    terms: Terms,
    deadline: Duration,
    number: usize,
    /// Ids that the case has named in an add.
    named: BTreeSet<u64>,
}

impl Bench {
    /// For the case of this number.
    pub(crate) fn new(target: &Target, number: usize) -> Self {
        let rpc = Rpc::new(target.channel.clone(), target.terms.dialect);
        Self {
            channel: target.channel.clone(),
            rpc: rpc.max_decoding_message_size(limits::MESSAGE_BYTES),
            terms: target.terms,
            deadline: target.deadline,
            number,
            named: BTreeSet::new(),
        }
    }

    /// For a call beside those of this one: the same numbers, nothing to clear up.
    pub(crate) fn beside(&self) -> Self {
        Self {
            channel: self.channel(),
            rpc: self.rpc(),
            terms: self.terms,
            deadline: self.deadline,
            number: self.number,
            named: BTreeSet::new(),
        }
    }

    pub(crate) const fn terms(&self) -> &Terms {
        &self.terms
    }

    pub(crate) const fn deadline(&self) -> Duration {
        self.deadline
    }

    pub(crate) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    pub(crate) fn rpc(&self) -> Rpc {
        self.rpc.clone()
    }

    /// The answer to a call, or the failure that none came in time.
    pub(crate) async fn within<T>(&self, call: &str, answer: impl Future<Output = T>) -> Result<T, Stop> {
        timeout(self.deadline, answer).await.map_err(|_| {
            let expected = format!("an answer to {call} within {} s", self.deadline.as_secs_f64());
            Stop::failed(expected, "none: the call hangs")
        })
    }

    /// Looks until `is_so`, for `limit` at most; false when it never was.
    pub(crate) async fn until(
        &mut self,
        limit: Duration,
        mut is_so: impl AsyncFnMut(&mut Self) -> Result<bool, Stop>,
    ) -> Result<bool, Stop> {
        let end = Instant::now() + limit;
        loop {
            if is_so(self).await? {
                return Ok(true);
            }
            if Instant::now() >= end {
                return Ok(false);
            }
            tokio::time::sleep(limits::POLL).await;
        }
    }

    /// Takes away what the case has added.
    pub(crate) async fn clear(&mut self) -> Check {
        let mut deletes = JoinSet::new();
        for id in std::mem::take(&mut self.named) {
            if deletes.len() == limits::DELETES {
                deletes.join_next().await;
            }
            let (mut rpc, deadline) = (self.rpc(), self.deadline);
            // Most are gone by now. A server that can't delete fails the cases about that.
            deletes.spawn(async move {
                let id = opof_api::v1::SessionId { session_id: id };
                let _ = timeout(deadline, rpc.delete_session(id)).await;
            });
        }
        while deletes.join_next().await.is_some() {}
        self.collect_all().await.map(drop)
    }
}

/// Why there is no connection, down to the cause.
pub(crate) fn connection_error(status: &Status) -> String {
    let mut reason = status.message().to_owned();
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        reason = error.to_string();
        cause = error.source();
    }
    reason
}

/// A status in words.
pub(crate) fn said(status: &Status) -> String {
    format!("gRPC {:?} ({})", status.code(), status.message())
}

/// Fails unless the call ended with this code.
pub(crate) fn ended_with<T: std::fmt::Debug>(call: &str, answer: &Answer<T>, code: Code) -> Check {
    match answer {
        Err(status) if status.code() == code => Ok(()),
        Err(status) => Err(Stop::failed(format!("{call} to end with gRPC {code:?}"), said(status))),
        Ok(answer) => Err(Stop::failed(format!("{call} to end with gRPC {code:?}"), crate::case::short(answer))),
    }
}
