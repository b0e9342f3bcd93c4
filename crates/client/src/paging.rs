//! Answers that come in pieces: pages of live sessions, and the stream of closed ones.

use opof_api::v1::session_table_client::SessionTableClient;
use opof_api::{SessionReport, v1};
use tonic::Streaming;
use tonic::transport::Channel;

use crate::client::Call;
use crate::error::Error;
use crate::limits;

/// Live sessions in ascending id, a page at a time.
#[derive(Debug)]
pub struct Pages {
    sessions: SessionTableClient<Channel>,
    call: Call,
    /// First id of the next page; `None` after the last.
    next: Option<u64>,
    size: u32,
}

impl Pages {
    pub(crate) fn new(sessions: SessionTableClient<Channel>, call: Call) -> Self {
        Self { sessions, call, next: Some(0), size: limits::PAGE }
    }

    /// Begins at the first id that is at least `id`.
    #[must_use]
    pub fn starting_at(mut self, id: u64) -> Self {
        self.next = Some(id);
        self
    }

    /// Sessions in a page; [`limits::PAGE`] where this is not set. 0 is taken for 1.
    #[must_use]
    pub fn page_size(mut self, sessions: u32) -> Self {
        self.size = sessions.max(1);
        self
    }

    /// The next page; `None` after the last. Sessions that come and go meanwhile may be on it or not; one that stays is on
    /// exactly one page.
    ///
    /// # Errors
    /// When the call fails; to ask again is allowed.
    pub async fn next_page(&mut self) -> Result<Option<Vec<SessionReport>>, Error> {
        let Some(start) = self.next else { return Ok(None) };
        let args = v1::SessionRequestArgs { page_size: self.size, page: 0, start_session: start };
        let response = self.call.answer(self.sessions.get_all_sessions(self.call.request(args))).await?;
        let mut page = Vec::with_capacity(response.session_info.len());
        for session in &response.session_info {
            page.extend(self.call.one(session)?);
        }
        self.next = match response.nextkey {
            0 => None,
            next if next > start => Some(next),
            next => {
                let reason = format!("the page from session {start} on says that it goes on at session {next}");
                return Err(self.call.nonsense(reason));
            }
        };
        Ok(Some(page))
    }

    /// All pages in one. Its length is what the device's table holds: millions are possible.
    ///
    /// # Errors
    /// When a call fails.
    pub async fn collect(mut self) -> Result<Vec<SessionReport>, Error> {
        let mut sessions = Vec::new();
        while let Some(page) = self.next_page().await? {
            sessions.extend(page);
        }
        Ok(sessions)
    }
}

/// Sessions that have closed, oldest first.
#[derive(Debug)]
pub struct Closed {
    stream: Option<Streaming<v1::SessionResponse>>,
    call: Call,
}

impl Closed {
    pub(crate) fn new(stream: Streaming<v1::SessionResponse>, call: Call) -> Self {
        Self { stream: Some(stream), call }
    }

    pub(crate) fn empty(call: Call) -> Self {
        Self { stream: None, call }
    }

    /// The next session; `None` at the end.
    ///
    /// # Errors
    /// When the stream breaks. Sessions that were under way then may be lost to this reader.
    pub async fn next(&mut self) -> Result<Option<SessionReport>, Error> {
        let Some(stream) = &mut self.stream else { return Ok(None) };
        match self.call.within(stream.message()).await {
            Ok(Some(response)) => self.call.one(&response),
            Ok(None) => {
                self.stream = None;
                Ok(None)
            }
            Err(failure) => {
                self.stream = None;
                Err(self.call.error(&failure))
            }
        }
    }

    /// The rest of them.
    ///
    /// # Errors
    /// When the stream breaks; what had come before is lost with it, so use [`next`](Self::next) where that matters.
    pub async fn collect(mut self) -> Result<Vec<SessionReport>, Error> {
        let mut sessions = Vec::new();
        while let Some(session) = self.next().await? {
            sessions.push(session);
        }
        Ok(sessions)
    }
}
