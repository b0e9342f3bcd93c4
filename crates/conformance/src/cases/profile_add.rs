//! Switches of the profile that show in addSession: `ipv4_order`, `add_errors`, `add_status`, `page_cap`.

use opof_api::Refusal;
use opof_api::profile::AddStatus;
use opof_api::v1::{ActionParameters, ActionType, AddSessionResponse, AddSessionStatus, SessionRequest};
use tonic::Code;

use super::table;
use crate::bench::{Bench, ended_with, failed};
use crate::case::{Check, Stop, holds, same};
use crate::limits;

table! {
    Required ProfileSwitches "ipv4-order" ALWAYS ipv4_order
        "ipv4_order: sourceIp and destinationIp in both byte orders are two addresses";
    Required ProfileSwitches "add-errors-rejected" ALWAYS errors_rejected
        "add_errors: the code of a session that is wrong";
    Required ProfileSwitches "add-errors-exists" ALWAYS errors_exists
        "add_errors: the code of a session that already exists";
    Required ProfileSwitches "add-status-outcome" ALWAYS status_outcome
        "add_status: requestStatus tells the error of the stream, or stays 0";
    Required ProfileSwitches "add-status-mask" ALWAYS status_mask
        "add_status: bit i of errorStatus is message i of the first 64, or all stays 0";
    Advisory ProfileSwitches "add-status-most-serious" WORST_AND_MASK most_serious
        "add_status: a session that is wrong outweighs one that already exists";
    Required ProfileSwitches "page-cap-errors" CAP errors_capped
        "page_cap: more errors than the cap end the call with RESOURCE_EXHAUSTED";
    Required ProfileSwitches "no-page-cap-errors" NO_CAP errors_not_capped
        "page_cap none: every error is named, however many";
}

async fn ipv4_order(bench: &mut Bench) -> Check {
    let turned = |session: SessionRequest, id| SessionRequest {
        session_id: id,
        source_ip: session.source_ip.swap_bytes(),
        destination_ip: session.destination_ip.swap_bytes(),
        ..session
    };
    let (first, id) = (bench.session(0), bench.id(1));
    bench.accepted(vec![first.clone(), turned(first, id)]).await?;
    Err(Stop::not_applicable(
        "both orders are accepted; which one is read takes packets to tell, as addresses never come back over gRPC",
    ))
}

/// Adds the session and compares its code with that of `refusal` in the profile.
async fn has_code(bench: &mut Bench, what: &str, session: SessionRequest, refusal: Refusal) -> Check {
    let expected = vec![(session.session_id, refusal.code(bench.terms().profile.add_errors))];
    let response = bench.add(vec![session]).await?;
    same(&format!("sessionId and errorStatus of {what}"), &failed(&response), &expected)
}

async fn errors_rejected(bench: &mut Bench) -> Check {
    has_code(bench, "a session with a port over 65535", bench.bad_session(0), Refusal::Rejected).await?;
    let without = SessionRequest { action: None, ..bench.session(1) };
    has_code(bench, "a session without an action", without, Refusal::Rejected).await?;
    let action = ActionParameters { action_type: ActionType::Mirror.into(), ..ActionParameters::default() };
    let copy = SessionRequest { action: Some(action), ..bench.session(2) };
    has_code(bench, "MIRROR without a next hop", copy, Refusal::Rejected).await
}

async fn errors_exists(bench: &mut Bench) -> Check {
    bench.accepted(bench.sessions(0..1)).await?;
    has_code(bench, "an id in use", bench.session(0), Refusal::AlreadyExists).await
}

/// requestStatus as the profile has it.
fn outcome(bench: &Bench, response: &AddSessionResponse, expected: AddSessionStatus) -> Check {
    let expected = match bench.terms().profile.add_status {
        AddStatus::WorstAndMask => expected,
        AddStatus::Zero => AddSessionStatus::SessionAccepted,
    };
    same("requestStatus", &response.request_status, &expected.into())
}

async fn status_outcome(bench: &mut Bench) -> Check {
    let response = bench.add(bench.sessions(0..2)).await?;
    outcome(bench, &response, AddSessionStatus::SessionAccepted)?;
    let response = bench.add(vec![bench.session(2), bench.bad_session(3), bench.session(4)]).await?;
    outcome(bench, &response, AddSessionStatus::SessionRejected)?;
    let response = bench.add(vec![bench.session(5), bench.session(0)]).await?;
    outcome(bench, &response, AddSessionStatus::SessionAlreadyExists)
}

async fn status_mask(bench: &mut Bench) -> Check {
    let bad = [0, 3, 31, 32, 63, 64, 100];
    let one = |n| if bad.contains(&n) { bench.bad_session(n) } else { bench.session(n) };
    let response = bench.add((0..130).map(one).collect()).await?;
    let expected = match bench.terms().profile.add_status {
        AddStatus::WorstAndMask => bad.iter().filter(|n| **n < limits::MASK_BITS).fold(0_u64, |mask, n| mask | 1 << n),
        AddStatus::Zero => 0,
    };
    holds(
        response.error_status == expected,
        || format!("errorStatus {expected:#018x}"),
        || format!("{:#018x}", response.error_status),
    )
}

async fn most_serious(bench: &mut Bench) -> Check {
    bench.accepted(bench.sessions(0..1)).await?;
    for order in [[bench.session(0), bench.bad_session(1)], [bench.bad_session(1), bench.session(0)]] {
        let response = bench.add(order.to_vec()).await?;
        outcome(bench, &response, AddSessionStatus::SessionRejected)?;
    }
    Ok(())
}

/// A good session, and one bad one more than the cap.
fn many_bad(bench: &Bench, bad: u64) -> Vec<SessionRequest> {
    std::iter::once(bench.session(0)).chain((1..=bad).map(|n| bench.bad_session(n))).collect()
}

async fn errors_capped(bench: &mut Bench) -> Check {
    let cap = u64::from(bench.terms().profile.page_cap.unwrap_or(u32::MAX));
    let answer = bench.try_add(many_bad(bench, cap + 1)).await?;
    let call = format!("addSession with {} errors", cap + 1);
    ended_with(&call, &answer, Code::ResourceExhausted)?;
    bench.live(bench.id(0)).await?;
    bench.deleted(bench.id(0)).await?;
    let expected: Vec<u64> = (1..=cap).map(|n| bench.id(n)).collect();
    bench.refused(many_bad(bench, cap), &expected).await
}

async fn errors_not_capped(bench: &mut Bench) -> Check {
    const MANY: u64 = 200;
    let expected: Vec<u64> = (1..=MANY).map(|n| bench.id(n)).collect();
    bench.refused(many_bad(bench, MANY), &expected).await
}
