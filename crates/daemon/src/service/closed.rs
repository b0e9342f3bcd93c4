//! getClosedSessions: closed records, each written once.
//!
//! Records are borrowed from the engine and count as delivered only when the transport has taken them, so that a call
//! which is cut off anywhere loses none that was not written. The transport says so by coming back: after a few records
//! the stream answers "pending" once, upon which the encoder hands on what it has; when it is polled again, that was
//! written.

use std::num::NonZeroU32;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use opof_api::{closed_response, v1};
use tokio::sync::watch;
use tokio_stream::Stream;
use tonic::Status;
use tonic::metadata::MetadataMap;

use super::SessionTableService;
use crate::clock::Clock;
use crate::driver::{DriverError, DriverHandle, Lent};
use crate::limits;

/// The request metadata that keeps the stream open.
const FOLLOW: &str = "opof-follow";

pub(super) fn wants_to_follow(metadata: &MetadataMap) -> Result<bool, Status> {
    match metadata.get(FOLLOW).map(|value| value.to_str()) {
        None | Some(Ok("false")) => Ok(false),
        Some(Ok("true")) => Ok(true),
        Some(_) => Err(Status::invalid_argument(format!("metadata {FOLLOW}: must be true or false"))),
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
    /// A stream of at most `page_size` records, 0 for all; of those that are waiting now, or forever.
    pub(super) async fn open(service: &SessionTableService, page_size: u32, follow: bool) -> Result<Self, Status> {
        let asked = (page_size > 0).then_some(u64::from(page_size));
        let left = if follow {
            asked
        } else {
            // What is there now, so that the stream ends although sessions keep closing.
            let waiting = service.driver.statistics().await?.closed_waiting;
            Some(asked.map_or(waiting, |asked| asked.min(waiting)))
        };
        let closings = follow.then(|| service.driver.closings());
        let source = Source { driver: service.driver.clone(), closings, stopping: service.stopping.clone() };
        Ok(Self { source, clock: service.clock.clone(), left, fetch: None, lent: None, unwritten: 0, flushing: false })
    }

    fn take(&mut self) -> Option<v1::SessionResponse> {
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
    type Item = Result<v1::SessionResponse, Status>;

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
            let wanted = this.left.unwrap_or(u64::MAX).min(limits::COLLECT_RECORDS.into());
            let Some(wanted) = u32::try_from(wanted).ok().and_then(NonZeroU32::new) else { return Poll::Ready(None) };
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
    stopping: watch::Receiver<bool>,
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
                _ = self.stopping.wait_for(|stopping| *stopping) => return Ok(None),
            }
        }
    }
}

#[cfg(test)]
mod tests;
