//! getClosedSessions: closed records, each written once.
//!
//! Records are borrowed from the engine and count as delivered only when the transport has taken them, so that a call
//! which is cut off anywhere loses none that was not written. The transport says so by coming back: after a few records
//! the stream answers "pending" once, upon which the encoder hands on what it has; when it is polled again, that was
//! written.

use std::num::NonZeroU32;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use opof_api::metadata::FOLLOW;
use opof_api::profile::Absence;
use opof_api::{closed_response, v1beta1};
use tokio::sync::watch;
use tokio_stream::Stream;
use tonic::metadata::MetadataMap;
use tonic::{Request, Status};

use super::sessions::Table;
use super::status;
use crate::clock::Clock;
use crate::driver::{DriverError, DriverHandle, Lent};
use crate::limits;
use crate::shutdown::Lifecycle;

fn wants_to_follow(metadata: &MetadataMap) -> Result<bool, Status> {
    match metadata.get(FOLLOW).map(|value| value.to_str()) {
        None | Some(Ok("false")) => Ok(false),
        Some(Ok("true")) => Ok(true),
        Some(_) => Err(status::bad_request(FOLLOW, "must be true or false")),
    }
}

type Fetch = Pin<Box<dyn Future<Output = Result<Option<Lent>, DriverError>> + Send>>;

pub(super) struct ClosedStream {
    source: Source,
    clock: Clock,
    /// Records that may still be streamed; `None` for any number.
    left: Option<u64>,
    fetch: Option<Fetch>,
    lent: Option<Lent>,
    /// Records given to the encoder since it last handed on what it had.
    unwritten: u32,
    flushing: bool,
}

impl ClosedStream {
    /// The stream that a request asks for.
    pub(super) async fn open(table: &Table, request: Request<v1beta1::SessionRequestArgs>) -> Result<Self, Status> {
        let follow = wants_to_follow(request.metadata())?;
        let page_size = request.get_ref().page_size;
        let left = if follow {
            // Who asks for this knows what comes: no cap.
            (page_size > 0).then_some(u64::from(page_size))
        } else {
            // What is there now, so that the stream ends although sessions keep closing.
            let waiting = table.driver.statistics().await?.closed_waiting;
            Some(waiting.min(table.page(page_size, u32::MAX).into()))
        };
        let closings = follow.then(|| table.driver.closings());
        let source = Source { driver: table.driver.clone(), closings, lifecycle: table.lifecycle.clone() };
        let mut stream =
            Self { source, clock: table.clock.clone(), left, fetch: None, lent: None, unwritten: 0, flushing: false };
        if table.profile.no_closed == Absence::NotFound && !follow {
            // Whether there is one shows only when it is there: another reader may have the others.
            stream.lent = match stream.wanted() {
                Some(wanted) => stream.source.clone().fetch(wanted).await?,
                None => None,
            };
            if stream.lent.is_none() {
                return Err(status::no_closed());
            }
        }
        Ok(stream)
    }

    /// How many records to borrow next; `None` when the stream has had all it may.
    fn wanted(&self) -> Option<NonZeroU32> {
        let wanted = self.left.unwrap_or(u64::MAX).min(limits::COLLECT_RECORDS.into());
        u32::try_from(wanted).ok().and_then(NonZeroU32::new)
    }

    fn take(&mut self) -> Option<v1beta1::SessionResponse> {
        if self.left == Some(0) || self.unwritten == limits::FLUSH_RECORDS {
            return None;
        }
        let record = self.lent.as_mut()?.take_next()?;
        self.unwritten += 1;
        self.left = self.left.map(|left| left - 1);
        Some(closed_response(&record, &self.clock.wall()))
    }
}

impl Stream for ClosedStream {
    type Item = Result<v1beta1::SessionResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if std::mem::take(&mut this.flushing) {
            this.unwritten = 0;
            if let Some(lent) = &mut this.lent {
                lent.mark_delivered();
            }
        }
        loop {
            if let Some(response) = this.take() {
                return Poll::Ready(Some(Ok(response)));
            }
            if this.unwritten > 0 {
                this.flushing = true;
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            // Everything taken so far is written. With the loan gone, what is left of it goes back.
            this.lent = None;
            let Some(wanted) = this.wanted() else { return Poll::Ready(None) };
            let fetch = this.fetch.get_or_insert_with(|| Box::pin(this.source.clone().fetch(wanted)));
            let fetched = ready!(fetch.as_mut().poll(context));
            this.fetch = None;
            match fetched {
                Ok(Some(lent)) => this.lent = Some(lent),
                Ok(None) => {
                    this.left = Some(0);
                    return Poll::Ready(None);
                }
                Err(error) => {
                    this.left = Some(0);
                    return Poll::Ready(Some(Err(error.into())));
                }
            }
        }
    }
}

/// Where records come from.
#[derive(Clone)]
struct Source {
    driver: DriverHandle,
    /// Only for a stream that stays open.
    closings: Option<watch::Receiver<u64>>,
    lifecycle: Lifecycle,
}

impl Source {
    /// The next loan; `None` when the stream is to end.
    async fn fetch(mut self, wanted: NonZeroU32) -> Result<Option<Lent>, DriverError> {
        loop {
            if let Some(closings) = &mut self.closings {
                // Before looking, so that what closes from here on is noticed.
                closings.mark_unchanged();
            }
            if let Some(lent) = self.driver.collect(wanted).await? {
                return Ok(Some(lent));
            }
            let Some(closings) = &mut self.closings else { return Ok(None) };
            tokio::select! {
                changed = closings.changed() => if changed.is_err() { return Ok(None) },
                () = self.lifecycle.stopping() => return Ok(None),
            }
        }
    }
}

#[cfg(test)]
mod tests;
