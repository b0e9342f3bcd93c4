//! getAllSessions: one answer out of several bounded requests to the driver.

use std::num::NonZeroU32;

use opof_api::profile::ListCursor;
use opof_api::{session_response, v1beta1};
use opof_session::limits::{LIST_ROWS, LIST_SKIP};
use opof_session::types::SessionId;
use tonic::Status;

use super::sessions::Table;
use crate::limits;

pub(super) async fn run(
    table: &Table,
    args: &v1beta1::SessionRequestArgs,
) -> Result<v1beta1::SessionResponses, Status> {
    let size = table.page(args.page_size, limits::LIST_ROWS);
    let cursor = table.profile.list_cursor;
    let (mut next, mut skip) = start(args, size, cursor);
    let mut left = size;
    let mut answer = v1beta1::SessionResponses::default();
    let wall = table.clock.wall();
    while let Some(from) = next
        && let Some(wanted) = NonZeroU32::new(left)
    {
        // What is skipped in one request is bounded, so a far page takes several; each of those also passes one row.
        let is_far = skip > u64::from(LIST_SKIP);
        let most = NonZeroU32::new(u32::try_from(LIST_ROWS).unwrap_or(u32::MAX)).unwrap_or(NonZeroU32::MIN);
        let rows = if is_far { NonZeroU32::MIN } else { wanted.min(most) };
        let skip_now = u32::try_from(skip).unwrap_or(u32::MAX).min(LIST_SKIP);
        let listed = table.driver.list(from, skip_now, rows).await?;
        next = listed.next;
        if is_far {
            skip -= u64::from(LIST_SKIP) + 1;
            continue;
        }
        skip = 0;
        left -= u32::try_from(listed.sessions.len()).unwrap_or(u32::MAX).min(left);
        answer.session_info.extend(listed.sessions.iter().map(|view| session_response(view, &wall)));
    }
    answer.nextkey = match cursor {
        // The first id can't be what is next, unless nothing was returned: 0 stands for "complete" without doubt.
        ListCursor::Inclusive => next.map_or(0, |id| id.0),
        // Without a row the client is through, and the number means nothing; its own is the one that can't lead it back.
        ListCursor::Exclusive => answer.session_info.last().map_or(args.start_session, |last| last.session_id),
    };
    Ok(answer)
}

/// The first id to look at, and how many sessions to pass over from there on. A cursor wins over a page number: clients that use
/// the cursor send any number. Pages are counted in the size that they really have, else the cap would lose sessions.
fn start(args: &v1beta1::SessionRequestArgs, size: u32, cursor: ListCursor) -> (Option<SessionId>, u64) {
    if args.start_session == cursor.start() {
        let before = if args.page_size == 0 { 0 } else { u64::from(args.page.saturating_sub(1)) * u64::from(size) };
        return (Some(SessionId(0)), before);
    }
    let first = match cursor {
        ListCursor::Inclusive => Some(args.start_session),
        ListCursor::Exclusive => args.start_session.checked_add(1),
    };
    (first.map(SessionId), 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start_of(page: u32, start_session: u64, cursor: ListCursor) -> (Option<u64>, u64) {
        let args = v1beta1::SessionRequestArgs { page_size: 10, page, start_session };
        let (first, skip) = start(&args, 10, cursor);
        (first.map(|id| id.0), skip)
    }

    #[test]
    fn an_inclusive_cursor_names_the_first_id_wanted() {
        let start = |page, id| start_of(page, id, ListCursor::Inclusive);
        assert_eq!(start(0, 0), (Some(0), 0));
        assert_eq!(start(3, 0), (Some(0), 20));
        assert_eq!(start(3, 7), (Some(7), 0));
        assert_eq!(start(0, ListCursor::START), (Some(ListCursor::START), 0));
    }

    #[test]
    fn an_exclusive_cursor_names_the_last_id_returned() {
        let start = |page, id| start_of(page, id, ListCursor::Exclusive);
        assert_eq!(start(0, ListCursor::START), (Some(0), 0));
        assert_eq!(start(3, ListCursor::START), (Some(0), 20));
        assert_eq!(start(3, 0), (Some(1), 0), "0 is an id like any other");
        assert_eq!(start(0, u64::MAX), (None, 0), "nothing comes after the last id");
    }
}
