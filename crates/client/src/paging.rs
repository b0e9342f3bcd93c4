//! Live sessions: a list that comes in pages, or session by session.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use opof_api::profile::ListCursor;
use opof_api::{SessionReport, v1beta1};
use tokio_stream::Stream;

use crate::call::Call;
use crate::error::Error;
use crate::limits;

/// Live sessions in ascending id, a page at a time.
#[derive(Debug)]
pub struct Pages {
    call: Call,
    /// First id of the next page; `None` after the last.
    next: Option<u64>,
    size: u32,
}

impl Pages {
    pub(crate) fn new(call: Call) -> Self {
        Self { call, next: Some(0), size: limits::PAGE }
    }

    /// Begins at the first id that is at least `id`.
    #[must_use]
    pub fn starting_at(mut self, id: u64) -> Self {
        self.next = Some(id);
        self
    }

    /// Sessions in a page; [`limits::PAGE`] where this is not set. 0 is taken for 1. Devices may have a bound of their
    /// own, such as a profile's `page_cap`.
    #[must_use]
    pub fn page_size(mut self, sessions: u32) -> Self {
        self.size = sessions.max(1);
        self
    }

    /// The next page; `None` after the last. Sessions that come and go meanwhile may be on it or not; one that stays is
    /// on exactly one page.
    ///
    /// # Errors
    /// When the call fails; to ask again is allowed.
    pub async fn next_page(&mut self) -> Result<Option<Vec<SessionReport>>, Error> {
        let Some(first) = self.next else { return Ok(None) };
        let cap = self.call.profile.page_cap.unwrap_or(u32::MAX).max(1);
        let (start_session, page_size) = match self.call.profile.list_cursor {
            ListCursor::Inclusive => (first, self.size.min(cap)),
            ListCursor::Exclusive => before(first, self.size.min(cap)),
        };
        let args = v1beta1::SessionRequestArgs { page_size, page: 0, start_session };
        let answer = self.call.found(|at| async move { at.rpc().get_all_sessions(at.request(args)).await });
        let Some(response) = answer.await? else {
            self.next = None;
            return Ok(None);
        };
        let mut page = Vec::with_capacity(response.session_info.len());
        for session in &response.session_info {
            page.extend(self.call.one(session)?);
        }
        match self.call.profile.list_cursor {
            ListCursor::Inclusive => self.next = self.next_inclusive(first, response.nextkey)?,
            ListCursor::Exclusive => {
                let full = page.len() >= page_size as usize;
                page.retain(|session| session.id.0 >= first);
                match page.last() {
                    Some(last) => self.next = last.id.0.checked_add(1),
                    None if full => {
                        let reason = format!("its pages from session {first} on have sessions before that only");
                        return Err(self.call.nonsense(reason));
                    }
                    None => {
                        self.next = None;
                        return Ok(None);
                    }
                }
            }
        }
        Ok(Some(page))
    }

    fn next_inclusive(&self, first: u64, next_key: u64) -> Result<Option<u64>, Error> {
        match next_key {
            0 => Ok(None),
            next if next > first => Ok(Some(next)),
            next => {
                let reason = format!("the page from session {first} on says that it goes on at session {next}");
                Err(self.call.nonsense(reason))
            }
        }
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

    /// The same session by session: a [`Stream`] of `Result<SessionReport, Error>`, which holds one page at a time and
    /// asks for the next when that is used up. It ends after an error.
    pub fn into_stream(self) -> SessionStream {
        SessionStream { state: State::Resting(Some(Box::new(self))), page: Vec::new().into_iter() }
    }
}

/// The exclusive cursor and the page size by which a page begins at `first` at the latest.
fn before(first: u64, size: u32) -> (u64, u32) {
    match first.checked_sub(1) {
        None => (ListCursor::START, size),
        // This id is taken by "from the beginning". Its predecessor leads here as well, by way of one session that is
        // passed over.
        Some(ListCursor::START) => (ListCursor::START - 1, size.max(2)),
        Some(last) => (last, size),
    }
}

type Asked = Pin<Box<dyn Future<Output = (Box<Pages>, Result<Option<Vec<SessionReport>>, Error>)> + Send>>;

enum State {
    /// `None` after the last page.
    Resting(Option<Box<Pages>>),
    Asking(Asked),
}

/// Live sessions in ascending id: see [`Pages::into_stream`].
pub struct SessionStream {
    state: State,
    page: std::vec::IntoIter<SessionReport>,
}

impl Stream for SessionStream {
    type Item = Result<SessionReport, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(session) = self.page.next() {
                return Poll::Ready(Some(Ok(session)));
            }
            match &mut self.state {
                State::Resting(pages) => {
                    let Some(mut pages) = pages.take() else { return Poll::Ready(None) };
                    self.state = State::Asking(Box::pin(async move {
                        let page = pages.next_page().await;
                        (pages, page)
                    }));
                }
                State::Asking(asked) => {
                    let (pages, page) = ready!(asked.as_mut().poll(context));
                    match page {
                        Ok(Some(page)) => {
                            self.page = page.into_iter();
                            self.state = State::Resting(Some(pages));
                        }
                        Ok(None) => self.state = State::Resting(None),
                        Err(error) => {
                            self.state = State::Resting(None);
                            return Poll::Ready(Some(Err(error)));
                        }
                    }
                }
            }
        }
    }
}

impl fmt::Debug for SessionStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionStream").field("page", &self.page.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exclusive_cursor_stands_before_what_is_wanted() {
        assert_eq!(before(0, 10), (0xFFFF_FFFF, 10));
        assert_eq!(before(1, 10), (0, 10));
        assert_eq!(before(0xFFFF_FFFF, 10), (0xFFFF_FFFE, 10));
        assert_eq!(before(0x1_0000_0000, 1), (0xFFFF_FFFE, 2));
        assert_eq!(before(0x1_0000_0001, 1), (0x1_0000_0000, 1));
    }
}
