//! Switches of the profile that show in the other calls: `unknown_id`, `no_closed`, `page_cap`, `list_cursor`,
//! `report_deleted`.

use opof_api::profile::ListCursor;
use opof_api::v1::{RequestStatus, SessionResponse, SessionState};
use tonic::Code;

use super::get_delete::counters;
use super::table;
use crate::bench::{Answer, Bench, ended_with, ids, said};
use crate::case::{Check, Stop, holds, same, short};

table! {
    Required ProfileSwitches "unknown-id-in-the-message" UNKNOWN_ID_MESSAGE unknown_in_message
        "unknown_id: get and delete answer gRPC OK with _REJECTED_SESSION_NONEXISTENT";
    Required ProfileSwitches "unknown-id-not-found" UNKNOWN_ID_STATUS unknown_not_found
        "unknown_id: get and delete end with gRPC NOT_FOUND";
    Required ProfileSwitches "no-closed-ends" NO_CLOSED_MESSAGE no_closed_ends
        "no_closed: the stream ends at once with gRPC OK";
    Required ProfileSwitches "no-closed-not-found" NO_CLOSED_STATUS no_closed_not_found
        "no_closed: the stream ends with gRPC NOT_FOUND";
    Required ProfileSwitches "list-cursor-inclusive" INCLUSIVE inclusive
        "list_cursor: startSession is the first id wanted, nextkey the first not returned, 0 the end";
    Required ProfileSwitches "list-cursor-exclusive" EXCLUSIVE exclusive
        "list_cursor: startSession is the last id returned, nextkey too, no rows are the end";
    Required ProfileSwitches "page-cap-list" CAP list_capped
        "page_cap: a list has at most that many sessions, and the rest comes with the next call";
    Required ProfileSwitches "no-page-cap-list" NO_CAP list_not_capped
        "page_cap none: pageSize 0 lists all";
    Required ProfileSwitches "page-cap-closed" CAP closed_capped
        "page_cap: a closed stream has at most that many sessions, and the rest comes with the next call";
    Required ProfileSwitches "no-page-cap-closed" NO_CAP closed_not_capped
        "page_cap none: pageSize 0 brings all closed sessions that are queued";
    Required ProfileSwitches "report-deleted" REPORTED_DELETE deleted_is_reported
        "report_deleted: a deleted session is queued as closed, and its delete has no counters";
    Required ProfileSwitches "report-deleted-not" QUIET_DELETE deleted_is_not_reported
        "report_deleted no: a deleted session is not queued as closed";
}

async fn unknown_in_message(bench: &mut Bench) -> Check {
    let is_right = |call: &str, answer: Answer<SessionResponse>| match answer {
        Ok(answer) => same(
            &format!("requestStatus of {call}"),
            &answer.request_status,
            &RequestStatus::RejectedSessionNonexistent.into(),
        ),
        Err(status) => Err(Stop::failed(format!("{call} of an unknown id to end with gRPC Ok"), said(&status))),
    };
    is_right("getSession", bench.try_get(bench.id(0)).await?)?;
    is_right("deleteSession", bench.try_delete(bench.id(0)).await?)
}

async fn unknown_not_found(bench: &mut Bench) -> Check {
    let get = bench.try_get(bench.id(0)).await?;
    ended_with("getSession of an unknown id", &get, Code::NotFound)?;
    let delete = bench.try_delete(bench.id(0)).await?;
    ended_with("deleteSession of an unknown id", &delete, Code::NotFound)
}

async fn no_closed_ends(bench: &mut Bench) -> Check {
    bench.collect_all().await?;
    let closed = bench.try_collect(0).await?;
    same("records", &ids(&closed.records), &Vec::new())?;
    closed.end.map_err(|status| Stop::failed("an empty stream to end with gRPC Ok", said(&status)))
}

async fn no_closed_not_found(bench: &mut Bench) -> Check {
    bench.collect_all().await?;
    let closed = bench.try_collect(0).await?;
    same("records", &ids(&closed.records), &Vec::new())?;
    ended_with("getClosedSessions with nothing closed", &closed.end, Code::NotFound)
}

/// Adds ten sessions, every second number: ids of the case, with gaps.
async fn with_gaps(bench: &mut Bench) -> Result<Vec<u64>, Stop> {
    let numbers: Vec<u64> = (0..20).step_by(2).collect();
    bench.accepted(bench.sessions(numbers.iter().copied())).await?;
    Ok(numbers.into_iter().map(|n| bench.id(n)).collect())
}

/// One page: from where, how many, what is on it, what is next where that is told.
type Page<'a> = (u64, u32, &'a [u64], Option<u64>);

async fn pages_are(bench: &mut Bench, pages: &[Page<'_>]) -> Check {
    for (start, size, expected, next) in pages {
        let page = bench.page(*size, *start).await?;
        let what = format!("startSession {start} and pageSize {size}");
        same(&format!("ids with {what}"), &ids(&page.session_info), &expected.to_vec())?;
        if let Some(next) = next {
            same(&format!("nextkey with {what}"), &page.nextkey, next)?;
        }
    }
    Ok(())
}

/// What is true of others' sessions, behind the case's own, can't be foreseen.
async fn alone(bench: &mut Bench, expected: &[u64]) -> Check {
    let all: usize = bench.pages(crate::limits::PAGE).await?.iter().map(|page| page.session_info.len()).sum();
    if all > expected.len() {
        return Err(Stop::not_applicable("the server has sessions of others, which stand in the pages"));
    }
    Ok(())
}

async fn inclusive(bench: &mut Bench) -> Check {
    let all = with_gaps(bench).await?;
    alone(bench, &all).await?;
    let gap = all[4] + 1;
    let pages: [Page<'_>; 7] = [
        (0, 4, &all[..4], Some(all[4])),
        (all[0], 4, &all[..4], Some(all[4])),
        (all[4], 4, &all[4..8], Some(all[8])),
        (gap, 4, &all[5..9], Some(all[9])),
        (all[8], 4, &all[8..], Some(0)),
        (all[6], 4, &all[6..], Some(0)),
        (all[9] + 1, 4, &[], Some(0)),
    ];
    pages_are(bench, &pages).await
}

async fn exclusive(bench: &mut Bench) -> Check {
    let all = with_gaps(bench).await?;
    alone(bench, &all).await?;
    let gap = all[4] + 1;
    let pages: [Page<'_>; 7] = [
        (ListCursor::START, 4, &all[..4], Some(all[3])),
        (all[0], 4, &all[1..5], Some(all[4])),
        (all[3], 4, &all[4..8], Some(all[7])),
        (gap, 4, &all[5..9], Some(all[8])),
        (all[7], 4, &all[8..], Some(all[9])),
        (all[5], 4, &all[6..], Some(all[9])),
        (all[9], 4, &[], None),
    ];
    pages_are(bench, &pages).await?;
    // C clients use id 0, which then is the last id that was returned.
    let mut zero = bench.session(21);
    zero.session_id = 0;
    bench.accepted(vec![zero]).await?;
    let with_zero = [&[0], all.as_slice()].concat();
    pages_are(bench, &[(ListCursor::START, 4, &with_zero[..4], Some(all[2])), (0, 4, &all[..4], Some(all[3]))]).await
}

/// More than any cap, the last page not full.
fn beyond(bench: &Bench) -> u64 {
    u64::from(bench.terms().profile.page_cap.unwrap_or(100)) * 2 + 5
}

async fn list_capped(bench: &mut Bench) -> Check {
    let cap = bench.terms().profile.page_cap.unwrap_or(u32::MAX);
    let count = beyond(bench);
    bench.accepted(bench.sessions(0..count)).await?;
    let expected: Vec<u64> = (0..count).map(|n| bench.id(n)).collect();
    for size in [0, cap + 1, cap * 4] {
        let pages = bench.pages(size).await?;
        let longest = pages.iter().map(|page| page.session_info.len()).max().unwrap_or(0);
        holds(
            longest <= cap as usize,
            || format!("at most {cap} sessions in a page, for pageSize {size} too"),
            || longest.to_string(),
        )?;
        let seen: Vec<u64> = pages.iter().flat_map(|page| bench.own_ids(&page.session_info)).collect();
        same("ids listed in all pages", &seen, &expected)?;
    }
    Ok(())
}

async fn list_not_capped(bench: &mut Bench) -> Check {
    let count = beyond(bench);
    bench.accepted(bench.sessions(0..count)).await?;
    let page = bench.page(0, bench.start()).await?;
    let expected: Vec<u64> = (0..count).map(|n| bench.id(n)).collect();
    same("ids in one answer with pageSize 0", &bench.own_ids(&page.session_info), &expected)?;
    same("the next page", &bench.next(&page), &None)
}

async fn closed_capped(bench: &mut Bench) -> Check {
    let cap = bench.terms().profile.page_cap.unwrap_or(u32::MAX);
    let expected = bench.with_closed(beyond(bench)).await?;
    let mut seen = Vec::new();
    for size in [0, cap + 1, cap * 4] {
        let records = bench.collect(size).await?;
        holds(
            records.len() <= cap as usize,
            || format!("at most {cap} closed sessions in a call, for pageSize {size} too"),
            || records.len().to_string(),
        )?;
        seen.extend(bench.own_ids(&records));
    }
    let rest = bench.collect_all().await?;
    seen.extend(bench.own_ids(&rest));
    seen.sort_unstable();
    same("ids closed in all calls", &seen, &expected)
}

async fn closed_not_capped(bench: &mut Bench) -> Check {
    let expected = bench.with_closed(beyond(bench)).await?;
    let records = bench.collect(0).await?;
    let mut seen = bench.own_ids(&records);
    seen.sort_unstable();
    same("ids closed in one call", &seen, &expected)
}

async fn deleted_is_reported(bench: &mut Bench) -> Check {
    bench.accepted(bench.sessions(0..2)).await?;
    same("counters in deleteSession", &counters(&bench.deleted(bench.id(0)).await?), &[0; 4])?;
    let id = bench.id(0);
    let mut records = Vec::new();
    let told = bench
        .until(bench.deadline(), async |bench| {
            let all = bench.collect(0).await?;
            records.extend(bench.own(all));
            Ok(!records.is_empty())
        })
        .await?;
    holds(told, || format!("session {id} among the closed ones after its delete"), || "nothing".to_owned())?;
    let more = bench.collect_all().await?;
    records.extend(bench.own(more));
    same("ids closed", &ids(&records), &vec![id])?;
    holds(
        records[0].session_state() == SessionState::Closed,
        || "a record with sessionState _CLOSED".to_owned(),
        || short(&records[0]),
    )
}

async fn deleted_is_not_reported(bench: &mut Bench) -> Check {
    bench.accepted(bench.sessions(0..2)).await?;
    bench.deleted(bench.id(0)).await?;
    tokio::time::sleep(crate::limits::SETTLE).await;
    let records = bench.collect_all().await?;
    same("ids closed after a delete", &bench.own_ids(&records), &Vec::new())
}
