//! Closed sessions as they close, for as long as anybody wants them: calls repeated, pauses between them, devices that
//! go away and come back.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use opof_api::{SessionReport, metadata, v1beta1};
use tokio::time::{Instant, Sleep};
use tokio_stream::Stream;
use tonic::Request;
use tonic::metadata::MetadataValue;

use crate::backoff::Backoff;
use crate::call::Call;
use crate::closed::Closed;
use crate::error::Error;
use crate::limits;

/// How closed sessions are asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SubscribeConfig {
    batch: u32,
    follow: bool,
    idle: [Duration; 2],
    retry: [Duration; 2],
}

impl Default for SubscribeConfig {
    fn default() -> Self {
        Self {
            batch: limits::SUBSCRIBE_BATCH,
            follow: false,
            idle: limits::SUBSCRIBE_IDLE,
            retry: limits::SUBSCRIBE_RETRY,
        }
    }
}

impl SubscribeConfig {
    /// Works with every server: calls again and again.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sessions that are asked for in one call, at least 1; [`limits::SUBSCRIBE_BATCH`] where this is not set. It
    /// bounds what a broken connection can cost.
    #[must_use]
    pub fn batch(mut self, sessions: u32) -> Self {
        self.batch = sessions.max(1);
        self
    }

    /// Asks the device to keep the stream open (request metadata `opof-follow`), so that sessions come at once. A
    /// device that does not know this ends the stream as ever, and is asked again as without it.
    #[must_use]
    pub fn follow(mut self, follow: bool) -> Self {
        self.follow = follow;
        self
    }

    /// How long to wait after nothing was found: at first, and at most. [`limits::SUBSCRIBE_IDLE`] where this is not
    /// set.
    #[must_use]
    pub fn idle(mut self, first: Duration, most: Duration) -> Self {
        self.idle = [first, most];
        self
    }

    /// How long to wait after the device was not there: at first, and at most. [`limits::SUBSCRIBE_RETRY`] where this
    /// is not set.
    #[must_use]
    pub fn retry(mut self, first: Duration, most: Duration) -> Self {
        self.retry = [first, most];
        self
    }
}

/// Closed sessions as they close, each of them once, oldest first: see [`crate::Client::subscribe_closed`].
///
/// It never ends by itself. While nothing waits it asks less and less often, while the device is away it tries to reach
/// it less and less often, both up to a bound and with jitter. Only an error that no retry mends comes out of it.
///
/// # What a reader may lose
/// The API has no acknowledgement: a device forgets a record once it has written it to the stream. Whatever
/// [`next`](Self::next) has returned is safe. When the connection breaks, the deadline of a record passes, or this value is
/// dropped while a call is under way, the records that the device has written and that were not yet returned are gone for
/// good: at most one [`batch`](SubscribeConfig::batch) when it polls; with [`follow`](SubscribeConfig::follow) at most
/// what fits [`limits::STREAM_WINDOW`], some thousand records, and what the device's transport holds beyond that. Records
/// that were still queued on the device come with the next call. What a device itself loses (a full queue, its own end)
/// it tells in its log.
///
/// Two subscriptions of one device share its records: each record comes to one of them.
pub struct Subscription {
    call: Call,
    config: SubscribeConfig,
    state: State,
    idle: Backoff,
    retry: Backoff,
    trouble: Option<Error>,
    /// The stream has ended by an error.
    ended: bool,
}

type Opening = Pin<Box<dyn Future<Output = Result<Closed, Error>> + Send>>;

enum State {
    Opening(Opening),
    Reading {
        closed: Box<Closed>,
        since: Instant,
        /// When what is waited for has to be there. It begins with the wait: what the caller does between two records takes
        /// nothing of it.
        deadline: Option<Pin<Box<Sleep>>>,
        records: u32,
    },
    Waiting(Pin<Box<Sleep>>),
}

impl Subscription {
    pub(crate) fn new(call: Call, mut config: SubscribeConfig) -> Self {
        if let Some(cap) = call.profile.page_cap {
            config.batch = config.batch.min(cap).max(1);
        }
        let state = State::Opening(open(call.clone(), config));
        let [idle, retry] = [config.idle, config.retry].map(|[first, most]| Backoff::new(first, most));
        Self { call, config, state, idle, retry, trouble: None, ended: false }
    }

    /// The next session that has closed, however long that takes. To stop waiting for it loses nothing.
    ///
    /// # Errors
    /// What no retry mends: [`Error::is_retryable`] is false of it. To ask again is allowed, and begins anew.
    pub async fn next(&mut self) -> Result<SessionReport, Error> {
        std::future::poll_fn(|context| self.poll(context)).await
    }

    /// Why nothing comes at present, when the device could not be asked the last time.
    pub const fn trouble(&self) -> Option<&Error> {
        self.trouble.as_ref()
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<SessionReport, Error>> {
        loop {
            match &mut self.state {
                State::Waiting(sleep) => {
                    ready!(sleep.as_mut().poll(context));
                    self.state = State::Opening(open(self.call.clone(), self.config));
                }
                State::Opening(opening) => match ready!(opening.as_mut().poll(context)) {
                    Ok(closed) => {
                        let since = Instant::now();
                        self.state = State::Reading { closed: Box::new(closed), since, deadline: None, records: 0 };
                    }
                    Err(error) => self.failed(error)?,
                },
                State::Reading { closed, deadline, records, .. } => match closed.poll_session(context) {
                    Poll::Ready(Ok(Some(session))) => {
                        *records = records.saturating_add(1);
                        *deadline = None;
                        self.works();
                        return Poll::Ready(Ok(session));
                    }
                    Poll::Ready(Ok(None)) => {
                        let records = *records;
                        self.works();
                        self.finished(records);
                    }
                    Poll::Ready(Err(error)) => self.failed(error)?,
                    Poll::Pending => {
                        if self.config.follow {
                            // A stream that stays open works for as long as it is open.
                            self.trouble = None;
                            return Poll::Pending;
                        }
                        let deadline = deadline.get_or_insert_with(|| Box::pin(tokio::time::sleep(self.call.deadline)));
                        ready!(deadline.as_mut().poll(context));
                        let late = closed.late();
                        self.failed(late)?;
                    }
                },
            }
        }
    }

    fn works(&mut self) {
        self.trouble = None;
        self.retry.reset();
    }

    /// A call came to its end, after so many records.
    fn finished(&mut self, records: u32) {
        if records > 0 {
            self.idle.reset();
        }
        self.state = if records >= self.config.batch {
            State::Opening(open(self.call.clone(), self.config))
        } else {
            State::Waiting(Box::pin(tokio::time::sleep(self.idle.next())))
        };
    }

    /// Waits where a retry may help. The error otherwise; then the next question begins anew.
    fn failed(&mut self, error: Error) -> Result<(), Error> {
        if !error.is_retryable() {
            self.state = State::Opening(open(self.call.clone(), self.config));
            return Err(error);
        }
        // One that opens streams and breaks them is in trouble all the same.
        if let State::Reading { since, .. } = &self.state
            && since.elapsed() >= self.retry.most()
        {
            self.retry.reset();
        }
        let wait = self.retry.next().max(error.retry_after().unwrap_or_default().min(self.retry.most()));
        self.state = State::Waiting(Box::pin(tokio::time::sleep(wait)));
        self.trouble = Some(error);
        Ok(())
    }
}

fn open(call: Call, config: SubscribeConfig) -> Opening {
    Box::pin(async move {
        // With no bound on a stream that stays open: its records come one by one, as they close.
        let page_size = if config.follow { 0 } else { config.batch };
        let request = || {
            let mut request = Request::new(v1beta1::SessionRequestArgs { page_size, ..Default::default() });
            if config.follow {
                request.metadata_mut().insert(metadata::FOLLOW, MetadataValue::from_static("true"));
            }
            request
        };
        Closed::open(&call, request).await
    })
}

impl Stream for Subscription {
    type Item = Result<SessionReport, Error>;

    /// Ends after an error, as streams do.
    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let session = ready!(self.poll(context));
        self.ended = session.is_err();
        Poll::Ready(Some(session))
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Opening(_) => "opening",
            State::Reading { .. } => "reading",
            State::Waiting(_) => "waiting",
        };
        f.debug_struct("Subscription")
            .field("config", &self.config)
            .field("state", &state)
            .field("trouble", &self.trouble)
            .finish_non_exhaustive()
    }
}
