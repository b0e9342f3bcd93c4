//! getAllSessions: order, pages, and calm among the sessions that stay.

use opof_api::v1::{SessionId, SessionRequestArgs, SessionState};

use super::table;
use crate::bench::{Bench, ids, said};
use crate::case::{Check, Stop, holds, same, short};

table! {
    Required List "list-ascending" ALWAYS ascending
        "Sessions are listed in ascending id, in whatever order they were added";
    Required List "list-page-size" ALWAYS page_size
        "A page has pageSize sessions, the last one the rest";
    Required List "list-page-number" ALWAYS page_number
        "page counts from 1, with pageSize; a page behind the last is empty";
    Required List "list-rows-are-live" ALWAYS rows_are_live
        "Rows carry what getSession says";
    Required List "list-under-churn" ALWAYS under_churn
        "Adds and deletes beside a list make no id that stays appear twice or go missing";
}

async fn ascending(bench: &mut Bench) -> Check {
    let order = [5, 2, 9, 0, 7, 1, 8, 3, 6, 4];
    for chunk in order.chunks(4) {
        bench.accepted(bench.sessions(chunk.iter().copied())).await?;
    }
    let expected: Vec<u64> = (0..10).map(|n| bench.id(n)).collect();
    same("ids listed", &bench.list_ids().await?, &expected)?;
    let paged: Vec<u64> = bench.pages(3).await?.iter().flat_map(|page| bench.own_ids(&page.session_info)).collect();
    same("ids listed in pages of 3", &paged, &expected)
}

async fn page_size(bench: &mut Bench) -> Check {
    bench.accepted(bench.sessions(0..10)).await?;
    let expected: Vec<u64> = (0..10).map(|n| bench.id(n)).collect();
    for size in [1_u8, 3, 10, 11] {
        let pages = bench.pages(size.into()).await?;
        let rows: Vec<usize> = pages.iter().map(|page| page.session_info.len()).collect();
        let full = rows.iter().rposition(|rows| *rows == usize::from(size)).map_or(0, |last| last + 1);
        // Behind the full pages: one with the rest, or an empty one where that is how a list ends.
        let rest: usize = rows[full..].iter().sum();
        let is_right = rows[..full].iter().all(|rows| *rows == usize::from(size)) && rest < usize::from(size);
        holds(is_right, || format!("pages of {size} sessions, the last one shorter"), || short(&rows))?;
        let seen: Vec<u64> = pages.iter().flat_map(|page| bench.own_ids(&page.session_info)).collect();
        same(&format!("ids listed in pages of {size}"), &seen, &expected)?;
    }
    Ok(())
}

async fn page_number(bench: &mut Bench) -> Check {
    bench.accepted(bench.sessions(0..8)).await?;
    let start_session = bench.start();
    // Others' sessions count in pages, so the case's own are not always on the first.
    let all: Vec<u64> =
        bench.pages(crate::limits::PAGE).await?.iter().flat_map(|page| ids(&page.session_info)).collect();
    for size in [3_u8, 8] {
        let pages = all.chunks(usize::from(size)).chain([&[][..]]);
        for (page, expected) in (1..).zip(pages) {
            let args = SessionRequestArgs { page_size: size.into(), page, start_session };
            let seen = bench.listed(args).await?;
            same(&format!("ids on page {page} of size {size}"), &ids(&seen.session_info), &expected.to_vec())?;
        }
    }
    Ok(())
}

async fn rows_are_live(bench: &mut Bench) -> Check {
    bench.accepted(bench.sessions(0..3)).await?;
    for row in bench.list().await? {
        same("sessionState", &row.session_state, &SessionState::Established.into())?;
        same("the row", &row, &bench.live(row.session_id).await?)?;
    }
    Ok(())
}

async fn under_churn(bench: &mut Bench) -> Check {
    const ALL: u64 = 120;
    const WALKS: usize = 8;
    // Every third stays; the others come and go.
    let staying: Vec<u64> = (0..ALL).step_by(3).collect();
    let passing: Vec<u64> = (0..ALL).filter(|n| n % 3 != 0).collect();
    let expected: Vec<u64> = staying.iter().map(|n| bench.id(*n)).collect();
    bench.accepted(bench.sessions(staying)).await?;
    let guests = bench.sessions(passing);
    bench.name(&guests);
    let mut rpc = bench.rpc();
    let churn = tokio::spawn(async move {
        loop {
            rpc.add_session(tokio_stream::iter(guests.clone())).await?;
            for guest in &guests {
                rpc.delete_session(SessionId { session_id: guest.session_id }).await?;
            }
        }
    });
    let result = walks(bench, &expected, WALKS).await;
    let failed = churn.is_finished();
    churn.abort();
    if let (true, Ok(Err::<(), tonic::Status>(status))) = (failed, churn.await) {
        return Err(Stop::failed("adds and deletes beside a list to go on", said(&status)));
    }
    result
}

async fn walks(bench: &mut Bench, expected: &[u64], walks: usize) -> Check {
    for _ in 0..walks {
        let seen: Vec<u64> = bench.pages(7).await?.iter().flat_map(|page| bench.own_ids(&page.session_info)).collect();
        holds(seen.is_sorted_by(|a, b| a < b), || "ascending ids, none twice".to_owned(), || short(&seen))?;
        let stayed: Vec<u64> = seen.into_iter().filter(|id| expected.contains(id)).collect();
        same("ids that stay in a list beside adds and deletes", &stayed, &expected.to_vec())?;
    }
    Ok(())
}
