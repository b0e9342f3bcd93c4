//! getAllSessions: one answer out of several bounded requests to the driver.

use std::num::NonZeroU32;

use opof_api::{session_response, v1};
use opof_session::limits::{LIST_ROWS, LIST_SKIP};
use opof_session::types::SessionId;
use tonic::Status;

use super::SessionTableService;
use crate::limits;

pub(super) async fn run(
    service: &SessionTableService,
    args: &v1::SessionRequestArgs,
) -> Result<v1::SessionResponses, Status> {
    let mut left = if args.page_size == 0 { limits::LIST_ROWS } else { args.page_size.min(limits::LIST_ROWS) };
    let mut next = Some(SessionId(args.start_session));
    let mut skip = skipped(args);
    let mut answer = v1::SessionResponses::default();
    let wall = service.clock.wall();
    while let Some(from) = next
        && let Some(wanted) = NonZeroU32::new(left)
    {
        // What is skipped in one request is bounded, so a far page takes several; each of those also passes one row.
        let is_far = skip > u64::from(LIST_SKIP);
        let most = NonZeroU32::new(u32::try_from(LIST_ROWS).unwrap_or(u32::MAX)).unwrap_or(NonZeroU32::MIN);
        let rows = if is_far { NonZeroU32::MIN } else { wanted.min(most) };
        let skip_now = u32::try_from(skip).unwrap_or(u32::MAX).min(LIST_SKIP);
        let listed = service.driver.list(from, skip_now, rows).await?;
        next = listed.next;
        if is_far {
            skip -= u64::from(LIST_SKIP) + 1;
            continue;
        }
        skip = 0;
        left -= u32::try_from(listed.sessions.len()).unwrap_or(u32::MAX).min(left);
        answer.session_info.extend(listed.sessions.iter().map(|view| session_response(view, &wall)));
    }
    // The first id can't be what is next, unless nothing was returned: 0 stands for "complete" without doubt.
    answer.nextkey = next.map_or(0, |id| id.0);
    Ok(answer)
}

/// Sessions before the page that is asked for. A cursor wins over a page number: clients that use the cursor send any
/// number.
fn skipped(args: &v1::SessionRequestArgs) -> u64 {
    if args.start_session != 0 { 0 } else { u64::from(args.page.saturating_sub(1)) * u64::from(args.page_size) }
}
