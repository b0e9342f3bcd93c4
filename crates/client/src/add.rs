//! Adding sessions: batches, how many of them at once, and what became of each session.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use opof_api::{Refusal, metadata, session_request, v1beta1};
use opof_session::types::SessionId;
use tokio_stream::Stream;
use tonic::metadata::MetadataMap;

use crate::call::Call;
use crate::error::Error;
use crate::limits;
use crate::session::Session;

/// What became of sessions that were to be added.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AddOutcome {
    /// Sessions that the fast path has from now on.
    pub accepted: u64,
    /// Sessions that it does not have, in the order in which they were given.
    pub refused: Vec<Refused>,
}

impl AddOutcome {
    pub(crate) fn append(&mut self, mut later: Self) {
        self.accepted += later.accepted;
        self.refused.append(&mut later.refused);
    }
}

/// A call failed before all sessions were added.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{error}")]
pub struct AddFailed {
    /// The first failure.
    #[source]
    pub error: Error,
    /// What became of the sessions in batches that were answered. Of the others some may have been accepted; to add them
    /// again does no harm.
    pub outcome: AddOutcome,
}

impl From<AddFailed> for Error {
    fn from(failed: AddFailed) -> Self {
        failed.error
    }
}

/// A session that was not accepted.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Refused {
    /// Its id.
    pub id: SessionId,
    /// Why, as far as the API tells.
    pub reason: Refusal,
    /// Why, in the device's own words, such as `sourcePort: 70000, the largest port is 65535`. opof says so of the
    /// first few of a batch (response metadata `opof-refused`), other devices of none; their log has more.
    pub message: Option<String>,
}

/// One batch, and what it takes to send it.
#[derive(Clone, Debug)]
pub(crate) struct Adder {
    call: Call,
}

impl Adder {
    pub(crate) const fn new(call: Call) -> Self {
        Self { call }
    }

    /// Sessions of a batch. A client of a capped device can't be told of more errors than the cap, so it sends no more
    /// sessions than that.
    pub(crate) fn batch_size(&self) -> usize {
        let cap = self.call.profile.page_cap.map_or(usize::MAX, |cap| usize::try_from(cap).unwrap_or(usize::MAX));
        limits::ADD_BATCH.min(cap).max(1)
    }

    pub(crate) fn message(&self, session: &Session) -> Result<v1beta1::SessionRequest, Error> {
        Ok(session_request(session.spec(), self.call.dialect, &self.call.profile)?)
    }

    pub(crate) async fn send(&self, mut batch: Vec<v1beta1::SessionRequest>) -> Result<AddOutcome, Error> {
        let sent = batch.len() as u64;
        let may_move = self.call.route.may_move();
        let answer = self.call.within(|at| {
            // Kept where it may have to be sent again.
            let batch = if may_move { batch.clone() } else { std::mem::take(&mut batch) };
            async move { at.rpc().add_session(at.request(tokio_stream::iter(batch))).await }
        });
        let answer = answer.await;
        let (metadata, response, _) = answer.map_err(|failure| self.call.error(&failure))?.into_parts();
        let refused = response.response_error.len() as u64;
        if refused > sent || (refused == 0 && response.request_status != 0) {
            let reason = format!("of {sent} sessions it refused {refused}, with status {}", response.request_status);
            return Err(self.call.nonsense(reason));
        }
        let mut messages = messages(&metadata);
        let refused = response.response_error.iter().map(|error| Refused {
            id: SessionId(error.session_id),
            reason: Refusal::from_code(error.error_status, self.call.profile.add_errors),
            message: take(&mut messages, error.session_id),
        });
        Ok(AddOutcome { accepted: sent - response.response_error.len() as u64, refused: refused.collect() })
    }
}

/// What the device says of single sessions, in its order: the session, and what is wrong.
fn messages(metadata: &MetadataMap) -> VecDeque<(u64, String)> {
    let said = metadata.get_all(metadata::REFUSED);
    said.iter().filter_map(|said| message(&String::from_utf8_lossy(said.as_encoded_bytes()))).collect()
}

/// `session 7: sourcePort: 70000, the largest port is 65535`.
fn message(said: &str) -> Option<(u64, String)> {
    let (id, message) = said.strip_prefix("session ")?.split_once(": ")?;
    Some((id.parse().ok()?, message.to_owned()))
}

/// The first message about this session; the next is about the next of its kind.
fn take(messages: &mut VecDeque<(u64, String)>, id: u64) -> Option<String> {
    // Both are in the order of the stream, so this is nearly always the first.
    let index = messages.iter().position(|(other, _)| *other == id)?;
    messages.remove(index).map(|(_, message)| message)
}

/// With the sessions of the batch when it failed.
type Sending = Pin<Box<dyn Future<Output = Result<AddOutcome, (Error, Vec<Session>)>> + Send>>;

/// Sessions for one call, and the same as messages.
#[derive(Default)]
struct Batch {
    sessions: Vec<Session>,
    messages: Vec<v1beta1::SessionRequest>,
}

impl Batch {
    async fn send(self, adder: Adder) -> Result<AddOutcome, (Error, Vec<Session>)> {
        adder.send(self.messages).await.map_err(|error| (error, self.sessions))
    }
}

/// Sessions on their way from a stream to the device: see [`crate::Client::add_stream`]. It does nothing unless it is
/// asked for outcomes, by [`next`](Self::next), [`finish`](Self::finish), or as the [`Stream`] that it is.
pub struct Adding<S> {
    adder: Adder,
    /// `None` once it has ended, or a call has failed.
    sessions: Option<Pin<Box<S>>>,
    gathered: Batch,
    unanswered: Vec<Session>,
    in_flight: Vec<Sending>,
    most_in_flight: usize,
}

impl<S: Stream<Item = Session>> Adding<S> {
    pub(crate) fn new(adder: Adder, sessions: S) -> Self {
        Self {
            adder,
            sessions: Some(Box::pin(sessions)),
            gathered: Batch::default(),
            unanswered: Vec::new(),
            in_flight: Vec::new(),
            most_in_flight: limits::ADD_IN_FLIGHT,
        }
    }

    /// So many batches wait for their answer at once; [`limits::ADD_IN_FLIGHT`] where this is not set. At least 1, at
    /// most [`limits::ADD_IN_FLIGHT_MAX`].
    #[must_use]
    pub fn in_flight(mut self, batches: usize) -> Self {
        self.most_in_flight = batches.clamp(1, limits::ADD_IN_FLIGHT_MAX);
        self
    }

    /// One batch after the other, so that the device sees the sessions in the order of the stream. It matters where two
    /// sessions of the stream have an id or a tuple in common.
    #[must_use]
    pub fn in_order(self) -> Self {
        self.in_flight(1)
    }

    /// What became of the next batch that is answered; `None` when all are. To stop waiting for it loses nothing.
    ///
    /// After an error no more sessions are taken from the stream; the batches that are under way have their outcomes
    /// still. Sessions that are in no outcome are then in [`unanswered`](Self::unanswered).
    ///
    /// # Errors
    /// When the call that carried a batch failed. Sessions of it may have been accepted; to add them again does no
    /// harm.
    pub async fn next(&mut self) -> Option<Result<AddOutcome, Error>> {
        std::future::poll_fn(|context| self.poll(context)).await
    }

    /// Takes out the sessions that were taken from the stream and are in no outcome, because a call had failed: those of the
    /// failed calls, which may have been accepted, and those that were never sent. What is still under way is not among them.
    pub fn unanswered(&mut self) -> Vec<Session> {
        std::mem::take(&mut self.unanswered)
    }

    /// Everything to the end of the stream, in one. What was refused is kept in memory: for a stream without end use
    /// [`next`](Self::next).
    ///
    /// # Errors
    /// The first error, after the batches that are under way have been answered, with what those said. To have the other
    /// sessions back use [`next`](Self::next) and [`unanswered`](Self::unanswered).
    pub async fn finish(mut self) -> Result<AddOutcome, AddFailed> {
        let mut all = AddOutcome::default();
        let mut failed = None;
        while let Some(outcome) = self.next().await {
            match outcome {
                Ok(outcome) => all.append(outcome),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        match failed {
            None => Ok(all),
            Some(error) => Err(AddFailed { error, outcome: all }),
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<AddOutcome, Error>>> {
        loop {
            if let Err(error) = self.gather(context) {
                return Poll::Ready(Some(Err(error)));
            }
            // A full batch goes as soon as there is a place for it. A part of one goes when nothing else is under way,
            // or nothing more will come: otherwise it may grow until the next answer, so that the sessions of a busy
            // stream don't go one by one.
            let whole = self.gathered.sessions.len() == self.adder.batch_size() || self.sessions.is_none();
            let goes = if whole { self.in_flight.len() < self.most_in_flight } else { self.in_flight.is_empty() };
            if self.gathered.sessions.is_empty() || !goes {
                break;
            }
            self.in_flight.push(Box::pin(std::mem::take(&mut self.gathered).send(self.adder.clone())));
        }
        for index in 0..self.in_flight.len() {
            if let Poll::Ready(outcome) = self.in_flight[index].as_mut().poll(context) {
                drop(self.in_flight.remove(index));
                // The place that is free now is filled when the next outcome is asked for.
                return Poll::Ready(Some(outcome.map_err(|(error, mut sessions)| {
                    self.unanswered.append(&mut sessions);
                    self.give_up();
                    error
                })));
            }
        }
        if self.sessions.is_none() && self.gathered.sessions.is_empty() && self.in_flight.is_empty() {
            return Poll::Ready(None);
        }
        Poll::Pending
    }

    /// Takes no more, and does not send what it has.
    fn give_up(&mut self) {
        self.sessions = None;
        self.unanswered.append(&mut std::mem::take(&mut self.gathered).sessions);
    }

    /// Takes sessions while there are some and the batch has room.
    fn gather(&mut self, context: &mut Context<'_>) -> Result<(), Error> {
        let room = self.adder.batch_size();
        while self.gathered.sessions.len() < room
            && let Some(sessions) = &mut self.sessions
        {
            match sessions.as_mut().poll_next(context) {
                Poll::Ready(Some(session)) => {
                    let message = self.adder.message(&session);
                    self.gathered.sessions.push(session);
                    match message {
                        Ok(message) => self.gathered.messages.push(message),
                        Err(error) => {
                            self.give_up();
                            return Err(error);
                        }
                    }
                }
                Poll::Ready(None) => self.sessions = None,
                Poll::Pending => break,
            }
        }
        Ok(())
    }
}

impl<S: Stream<Item = Session>> Stream for Adding<S> {
    type Item = Result<AddOutcome, Error>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll(context)
    }
}

impl<S> fmt::Debug for Adding<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Adding")
            .field("adder", &self.adder)
            .field("ended", &self.sessions.is_none())
            .field("gathered", &self.gathered.sessions.len())
            .field("unanswered", &self.unanswered.len())
            .field("in_flight", &self.in_flight.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_belongs_to_its_session() {
        let mut metadata = MetadataMap::new();
        let said =
            ["session 7: sourcePort: 70000, the largest port is 65535", "session 9: first", "what?", "session 9: then"];
        for said in said {
            metadata.append(metadata::REFUSED, said.parse().unwrap());
        }
        let mut messages = messages(&metadata);
        assert_eq!(take(&mut messages, 9).as_deref(), Some("first"));
        assert_eq!(take(&mut messages, 9).as_deref(), Some("then"));
        assert_eq!(take(&mut messages, 9), None);
        assert_eq!(take(&mut messages, 7).as_deref(), Some("sourcePort: 70000, the largest port is 65535"));
        assert_eq!(message("session seven: no"), None);
    }
}
