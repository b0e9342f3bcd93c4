//! A table without room. The suite has to be told how large it is.

use opof_api::Refusal;
use opof_api::profile::AddStatus;
use opof_api::v1::AddSessionStatus;

use super::table;
use crate::bench::{Bench, failed};
use crate::case::{Check, Stop, same};
use crate::limits;

table! {
    Required TableFull "table-full-one-by-one" CAPACITY one_by_one
        "A full table rejects the sessions that do not fit and keeps those that did";
    Required TableFull "table-full-has-room-again" CAPACITY room_again
        "A delete makes room in a full table for one session";
}

/// Sessions that the suite may add.
async fn room(bench: &mut Bench) -> Result<u64, Stop> {
    let capacity = bench.terms().capacity.unwrap_or(0);
    if capacity > limits::CAPACITY {
        let most = limits::CAPACITY;
        return Err(Stop::not_applicable(format!("the suite fills tables of up to {most} sessions, not {capacity}")));
    }
    // The engine of a server may need a moment to let go of what the case before had.
    tokio::time::sleep(limits::SETTLE).await;
    let listed: usize = bench.pages(limits::PAGE).await?.iter().map(|page| page.session_info.len()).sum();
    Ok(capacity.saturating_sub(listed as u64))
}

async fn one_by_one(bench: &mut Bench) -> Check {
    const OVER: u64 = 3;
    let room = room(bench).await?;
    let response = bench.add(bench.sessions(0..room + OVER)).await?;
    let code = Refusal::TableFull.code(bench.terms().profile.add_errors);
    let expected: Vec<(u64, i32)> = (room..room + OVER).map(|n| (bench.id(n), code)).collect();
    same("ids and codes of sessions that do not fit", &failed(&response), &expected)?;
    let status = match bench.terms().profile.add_status {
        AddStatus::WorstAndMask => AddSessionStatus::SessionTableFull,
        AddStatus::Zero => AddSessionStatus::SessionAccepted,
    };
    same("requestStatus", &response.request_status, &status.into())?;
    same("sessions listed", &(bench.list().await?.len() as u64), &room)
}

async fn room_again(bench: &mut Bench) -> Check {
    let room = room(bench).await?;
    if room == 0 {
        return Err(Stop::not_applicable("the table is full with sessions of others"));
    }
    bench.accepted(bench.sessions(0..room)).await?;
    bench.refused(vec![bench.session(room)], &[bench.id(room)]).await?;
    bench.deleted(bench.id(0)).await?;
    bench.accepted(vec![bench.session(room)]).await?;
    bench.refused(vec![bench.session(room + 1)], &[bench.id(room + 1)]).await
}
