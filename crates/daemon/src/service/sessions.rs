//! The session table as one listener shows it: what its calls have in common, and those that are a line each.

use std::sync::{Arc, Mutex, PoisonError};

use opof_api::profile::Absence;
use opof_api::{Dialect, Profile, metadata, nonexistent, session_response, v1_1, v1beta1};
use opof_session::request::{SameTuple, SessionView};
use opof_session::types::{Counters, SessionId};
use tokio::sync::Semaphore;
use tonic::metadata::MetadataValue;
use tonic::{Request, Response, Status};

use super::status;
use crate::clock::Clock;
use crate::driver::DriverHandle;
use crate::limits;
use crate::log::RateLimit;
use crate::shutdown::Lifecycle;

/// What every dialect of a listener works on.
#[derive(Debug)]
pub struct Table {
    pub(super) driver: DriverHandle,
    pub(super) clock: Clock,
    pub(super) lifecycle: Lifecycle,
    pub(super) profile: Profile,
    pub(super) same_tuple: SameTuple,
    pub(super) stream_sessions: u32,
    lists: Semaphore,
    refusals: Mutex<RateLimit>,
}

impl Table {
    /// A table behind `driver`, with the readings of one listener. A stream has `stream_sessions` sessions at most.
    pub const fn new(
        driver: DriverHandle,
        clock: Clock,
        lifecycle: Lifecycle,
        profile: Profile,
        same_tuple: SameTuple,
        stream_sessions: u32,
    ) -> Self {
        let (lists, refusals) =
            (Semaphore::const_new(limits::LISTS), Mutex::new(RateLimit::new(limits::REFUSALS_LOGGED)));
        Self { driver, clock, lifecycle, profile, same_tuple, stream_sessions, lists, refusals }
    }

    /// May a refusal be logged? Then, how many were not since the last one that was.
    pub(super) fn may_log_refusal(&self) -> Option<u64> {
        let now = self.clock.now();
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner).admit(now)
    }

    /// Sessions in an answer, for a client that asks for `asked`, 0 for all.
    pub(super) fn page(&self, asked: u32, most: u32) -> u32 {
        let most = most.min(self.profile.page_cap.unwrap_or(u32::MAX));
        if asked == 0 { most } else { asked.min(most) }
    }
}

/// The session table in one dialect.
#[derive(Clone, Debug)]
pub struct SessionTableService {
    pub(super) table: Arc<Table>,
    pub(super) dialect: Dialect,
}

impl SessionTableService {
    /// `table` in a dialect.
    pub const fn new(table: Arc<Table>, dialect: Dialect) -> Self {
        Self { table, dialect }
    }

    pub(super) async fn get(&self, request: v1beta1::SessionId) -> Result<v1beta1::SessionResponse, Status> {
        let id = SessionId(request.session_id);
        let view = self.table.driver.get(id).await?;
        self.one(id, view)
    }

    pub(super) async fn delete(&self, request: v1beta1::SessionId) -> Result<v1beta1::SessionResponse, Status> {
        let id = SessionId(request.session_id);
        let is_reported = self.table.profile.report_deleted;
        let mut view = self.table.driver.delete(id, is_reported).await?;
        if is_reported && let Some(view) = &mut view {
            // They come with the closed record, and must not be added up twice.
            view.counters = Counters::default();
        }
        self.one(id, view)
    }

    fn one(&self, id: SessionId, view: Option<SessionView>) -> Result<v1beta1::SessionResponse, Status> {
        match (view, self.table.profile.unknown_id) {
            (Some(view), _) => Ok(session_response(&view, &self.table.clock.wall())),
            (None, Absence::Message) => Ok(nonexistent(id)),
            (None, Absence::NotFound) => Err(status::no_session(id)),
        }
    }

    pub(super) async fn list(&self, args: &v1beta1::SessionRequestArgs) -> Result<v1beta1::SessionResponses, Status> {
        // A long list is a large answer: only so many are put together at once.
        let stopping = |_| Status::unavailable("stopping");
        let _turn = self.table.lists.acquire().await.map_err(stopping)?;
        super::list::run(&self.table, args).await
    }

    pub(super) fn shut_down(&self, request: v1_1::ShutdownRequest) -> v1_1::ShutdownResponse {
        let seconds = u64::try_from(request.deadline).unwrap_or(0);
        self.table.lifecycle.shut_down(seconds);
        v1_1::ShutdownResponse { error_status: 0 }
    }
}

/// The client that calls, for the log.
pub(super) fn caller<T>(request: &Request<T>) -> String {
    request.extensions().get::<crate::listen::Peer>().map(ToString::to_string).unwrap_or_default()
}

/// Why things were refused, as metadata of the answer: the API's own messages have only codes. Few and short, for clients
/// take only so much metadata.
pub(super) fn tell<T>(response: &mut Response<T>, refusals: impl IntoIterator<Item = String>) {
    for text in refusals.into_iter().take(limits::REFUSALS_TOLD) {
        let text: String = text.chars().take(limits::REFUSAL_BYTES).collect();
        // What is no ASCII can't be metadata; none of our texts is.
        if let Ok(value) = MetadataValue::try_from(text) {
            response.metadata_mut().append(metadata::REFUSED, value);
        }
    }
}
