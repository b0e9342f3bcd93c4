//! Names and fields: what a dialect has, and what it has not.

use opof_api::Dialect;
use opof_api::dialect::Method;
use opof_api::v1::{ActionParameters, PerLinkActionParameters, SessionRequest};
use prost::Message;
use tonic::Code;

use super::table;
use crate::bench::{Bench, ended_with, failed};
use crate::case::{Check, Stop, same};
use crate::raw;

table! {
    Required Dialect "unknown-call" ALWAYS unknown_call
        "A call that the dialect does not have ends with UNIMPLEMENTED";
    Required Dialect "unknown-package" ALWAYS unknown_package
        "A call of a package that there is not ends with UNIMPLEMENTED";
    Required Dialect "other-casing" ALWAYS other_casing
        "Names of calls are spelled as the dialect spells them";
    Required Dialect "fields-of-other-dialects" ALWAYS fields_of_others
        "Fields that only other dialects have are passed over";
    Required Dialect "unknown-fields" ALWAYS unknown_fields
        "Fields that nobody knows are passed over, as proto3 says";
}

async fn is_unimplemented(bench: &Bench, path: &str) -> Check {
    let answer = bench.within(path, raw::unary(bench.channel(), path, Vec::new())).await?;
    ended_with(path, &answer, Code::Unimplemented)
}

async fn unknown_call(bench: &mut Bench) -> Check {
    let dialect = bench.terms().dialect;
    let service = dialect.service();
    is_unimplemented(bench, &format!("/{service}/noSuchCall")).await?;
    for method in Method::ALL.into_iter().filter(|method| !dialect.has(*method)) {
        is_unimplemented(bench, &format!("/{service}/{}", dialect.method(method))).await?;
    }
    // The server is none the worse for it.
    bench.accepted(bench.sessions(0..1)).await
}

async fn unknown_package(bench: &mut Bench) -> Check {
    for service in ["openoffload.v0.SessionTable", "openoffload.SessionTable", "SessionTable"] {
        is_unimplemented(bench, &format!("/{service}/getSession")).await?;
    }
    Ok(())
}

async fn other_casing(bench: &mut Bench) -> Check {
    let dialect = bench.terms().dialect;
    let other = if dialect == Dialect::V2 { Dialect::V1 } else { Dialect::V2 };
    for method in [Method::GetSession, Method::DeleteSession, Method::GetAllSessions] {
        is_unimplemented(bench, &format!("/{}/{}", dialect.service(), other.method(method))).await?;
    }
    Ok(())
}

async fn fields_of_others(bench: &mut Bench) -> Check {
    let dialect = bench.terms().dialect;
    let mut session = bench.session(0);
    if !dialect.has_tunnel() {
        // No tunnel type, to those who look at it.
        session.encap_type = 77;
    }
    if !dialect.has_links() {
        (session.vlan_in_lif, session.vlan_out_lif) = (100, 0);
        let nowhere = PerLinkActionParameters { next_hop_id: 0xFFFF_FFF0, ..PerLinkActionParameters::default() };
        session.action = Some(ActionParameters {
            action_params_in_lif: Some(nowhere.clone()),
            action_params_out_lif: Some(nowhere),
            ..session.action.unwrap_or_default()
        });
    }
    if dialect.has_links() {
        return Err(Stop::not_applicable("v1beta1 has every field that another dialect has"));
    }
    bench.accepted(vec![session]).await
}

async fn unknown_fields(bench: &mut Bench) -> Check {
    let session = bench.session(0);
    bench.name(std::slice::from_ref(&session));
    let path = bench.terms().dialect.path(Method::AddSession);
    let mut message = session.encode_to_vec();
    // Field 1000: a varint; field 1001: four bytes.
    message.extend([0xC0, 0x3E, 0x07, 0xCA, 0x3E, 0x04, 1, 2, 3, 4]);
    let call = raw::client_streaming(bench.channel(), &path, tokio_stream::once(raw::Step::Message(message)));
    let answer = bench.within(&path, call).await?;
    let reply = answer.map_err(|status| Stop::failed("a reply to addSession", crate::bench::said(&status)))?;
    let reply = opof_api::v1::AddSessionResponse::decode(reply.as_slice())
        .map_err(|error| Stop::failed("an addSessionResponse", error.to_string()))?;
    same("sessions refused", &failed(&reply), &Vec::new())?;
    let again = SessionRequest { ..session };
    same("sessionId", &bench.live(again.session_id).await?.session_id, &again.session_id)
}
