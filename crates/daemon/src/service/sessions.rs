//! `openoffload.v1.SessionTable`: the five calls.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use opof_api::v1::session_table_server::SessionTable;
use opof_api::{Profile, nonexistent, session_response, v1};
use opof_session::request::{SameTuple, SessionView};
use opof_session::types::SessionId;
use tokio::sync::{Semaphore, watch};
use tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};

use super::closed::{self, ClosedStream};
use super::{add, list};
use crate::clock::Clock;
use crate::driver::DriverHandle;
use crate::limits;
use crate::log::RateLimit;

/// The session table as one listener shows it.
#[derive(Clone, Debug)]
pub struct SessionTableService {
    pub(super) driver: DriverHandle,
    pub(super) clock: Clock,
    pub(super) profile: Profile,
    pub(super) same_tuple: SameTuple,
    pub(super) stopping: watch::Receiver<bool>,
    lists: Arc<Semaphore>,
    refusals: Arc<Mutex<RateLimit>>,
}

impl SessionTableService {
    /// A table behind `driver`; streams that follow end when `stopping` becomes true.
    pub fn new(
        driver: DriverHandle,
        clock: Clock,
        profile: Profile,
        same_tuple: SameTuple,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        Self {
            driver,
            clock,
            profile,
            same_tuple,
            stopping,
            lists: Arc::new(Semaphore::new(limits::LISTS)),
            refusals: Arc::new(Mutex::new(RateLimit::new(limits::REFUSALS_LOGGED))),
        }
    }

    /// May a refusal be logged? Then, how many were not since the last one that was.
    pub(super) fn may_log_refusal(&self) -> Option<u64> {
        let now = self.clock.now();
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner).admit(now)
    }

    fn one(&self, id: SessionId, view: Option<SessionView>) -> Response<v1::SessionResponse> {
        Response::new(match view {
            Some(view) => session_response(&view, &self.clock.wall()),
            None => nonexistent(id),
        })
    }
}

#[tonic::async_trait]
impl SessionTable for SessionTableService {
    async fn add_session(
        &self,
        request: Request<Streaming<v1::SessionRequest>>,
    ) -> Result<Response<v1::AddSessionResponse>, Status> {
        add::run(self, request).await.map(Response::new)
    }

    async fn get_session(&self, request: Request<v1::SessionId>) -> Result<Response<v1::SessionResponse>, Status> {
        let id = SessionId(request.into_inner().session_id);
        Ok(self.one(id, self.driver.get(id).await?))
    }

    async fn delete_session(&self, request: Request<v1::SessionId>) -> Result<Response<v1::SessionResponse>, Status> {
        let id = SessionId(request.into_inner().session_id);
        Ok(self.one(id, self.driver.delete(id, false).await?))
    }

    async fn get_all_sessions(
        &self,
        request: Request<v1::SessionRequestArgs>,
    ) -> Result<Response<v1::SessionResponses>, Status> {
        // A long list is a large answer: only so many are put together at once.
        let _turn = self.lists.acquire().await.map_err(|_| Status::unavailable("stopping"))?;
        list::run(self, request.get_ref()).await.map(Response::new)
    }

    type getClosedSessionsStream = Pin<Box<dyn Stream<Item = Result<v1::SessionResponse, Status>> + Send>>;

    async fn get_closed_sessions(
        &self,
        request: Request<v1::SessionRequestArgs>,
    ) -> Result<Response<Self::getClosedSessionsStream>, Status> {
        let follow = closed::wants_to_follow(request.metadata())?;
        let stream = ClosedStream::open(self, request.get_ref().page_size, follow).await?;
        Ok(Response::new(Box::pin(stream)))
    }
}
