//! getClosedSessions.

use opof_api::metadata;
use opof_api::v1::{SessionRequestArgs, SessionResponse};
use tonic::{Code, Request, Status};

use super::{Bench, said};
use crate::case::{Check, Stop};
use crate::limits;

/// What one call brought.
#[derive(Debug)]
pub(crate) struct Closed {
    pub(crate) records: Vec<SessionResponse>,
    /// How it ended.
    pub(crate) end: Result<(), Status>,
}

/// A call that asks for a stream that stays open.
pub(crate) fn following() -> Request<SessionRequestArgs> {
    let mut request = Request::new(SessionRequestArgs::default());
    request.metadata_mut().insert(metadata::FOLLOW, tonic::metadata::MetadataValue::from_static("true"));
    request
}

impl Bench {
    /// One call, to its end.
    pub(crate) async fn try_collect(&mut self, page_size: u32) -> Result<Closed, Stop> {
        let mut rpc = self.rpc();
        let args = SessionRequestArgs { page_size, ..SessionRequestArgs::default() };
        let mut stream = match self.within("getClosedSessions", rpc.get_closed_sessions(args)).await? {
            Ok(answer) => answer.into_inner(),
            Err(status) => return Ok(Closed { records: Vec::new(), end: Err(status) }),
        };
        let mut records = Vec::new();
        while records.len() < limits::RECORDS {
            let next = self.within("getClosedSessions (the next record, or the end)", stream.message()).await?;
            match next {
                Ok(Some(record)) => records.push(record),
                Ok(None) => return Ok(Closed { records, end: Ok(()) }),
                Err(status) => return Ok(Closed { records, end: Err(status) }),
            }
        }
        Err(Stop::failed("a closed stream that ends", format!("more than {} records", records.len())))
    }

    /// The records of one call. Either way of saying that there are none is one.
    pub(crate) async fn collect(&mut self, page_size: u32) -> Result<Vec<SessionResponse>, Stop> {
        let closed = self.try_collect(page_size).await?;
        match closed.end {
            Err(status) if !(closed.records.is_empty() && status.code() == Code::NotFound) => {
                Err(Stop::failed("getClosedSessions to end in order", said(&status)))
            }
            _ => Ok(closed.records),
        }
    }

    /// All records that wait, in as many calls as it takes.
    pub(crate) async fn collect_all(&mut self) -> Result<Vec<SessionResponse>, Stop> {
        let mut all = Vec::new();
        for _ in 0..limits::COLLECTIONS {
            let records = self.collect(0).await?;
            if records.is_empty() {
                return Ok(all);
            }
            all.extend(records);
        }
        Err(Stop::failed("an end of the closed sessions", format!("{} calls that brought some", limits::COLLECTIONS)))
    }

    /// Adds sessions with a timeout of a second and waits until all of them have closed and none is collected.
    pub(crate) async fn with_closed(&mut self, count: u64) -> Result<Vec<u64>, Stop> {
        let sessions = self.short_lived(0..count, 1);
        let ids = sessions.iter().map(|session| session.session_id).collect();
        self.accepted(sessions).await?;
        self.until_none_is_listed(1).await?;
        Ok(ids)
    }

    /// Waits until none of the case's sessions is listed, which all have so many seconds at most.
    pub(crate) async fn until_none_is_listed(&mut self, seconds: u64) -> Check {
        let limit = std::time::Duration::from_secs(seconds) + limits::CLOSING + limits::SLACK;
        let closed = self.until(limit, async |bench| Ok(bench.list().await?.is_empty())).await?;
        if !closed {
            let left = self.list_ids().await?;
            let expected = format!("sessions to close within a second after their timeout of {seconds} s");
            return Err(Stop::failed(expected, format!("still listed: {}", crate::case::short(&left))));
        }
        tokio::time::sleep(limits::SETTLE).await;
        Ok(())
    }

    /// The case's own among these.
    pub(crate) fn own(&self, records: Vec<SessionResponse>) -> Vec<SessionResponse> {
        records.into_iter().filter(|record| self.owns(record)).collect()
    }
}
