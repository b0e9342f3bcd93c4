//! Services that make a server easy to run: health (grpc.health.v1) and reflection (grpc.reflection.v1). The contract
//! does not ask for them.

use prost::Message;

use super::table;
use crate::bench::{Bench, said};
use crate::case::{Check, Stop, holds, same, short};
use crate::raw;

table! {
    Advisory Services "health" ALWAYS health
        "The health service says that the server serves";
    Advisory Services "reflection" ALWAYS reflection
        "The reflection service names the session table of the dialect";
}

/// `HealthCheckRequest` and, with the same shape, `ServiceResponse` of reflection.
#[derive(Clone, PartialEq, Message)]
struct Named {
    #[prost(string, tag = "1")]
    name: String,
}

#[derive(Clone, PartialEq, Eq, Message)]
struct HealthCheckResponse {
    #[prost(int32, tag = "1")]
    status: i32,
}

#[derive(Clone, PartialEq, Message)]
struct ReflectionRequest {
    #[prost(string, optional, tag = "7")]
    list_services: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
struct ReflectionResponse {
    #[prost(message, optional, tag = "6")]
    services: Option<Services>,
}

#[derive(Clone, PartialEq, Message)]
struct Services {
    #[prost(message, repeated, tag = "1")]
    service: Vec<Named>,
}

fn decoded<T: Message + Default>(what: &str, bytes: &[u8]) -> Result<T, Stop> {
    T::decode(bytes).map_err(|error| Stop::failed(what, error.to_string()))
}

async fn health(bench: &mut Bench) -> Check {
    const SERVING: i32 = 1;
    let path = "/grpc.health.v1.Health/Check";
    let whole = Named::default().encode_to_vec();
    let answer = bench.within(path, raw::unary(bench.channel(), path, whole)).await?;
    let answer = answer.map_err(|status| Stop::failed(format!("an answer of {path}"), said(&status)))?;
    let answer: HealthCheckResponse = decoded("a HealthCheckResponse", &answer)?;
    same("status of the server as a whole (1 is SERVING)", &answer.status, &SERVING)
}

async fn reflection(bench: &mut Bench) -> Check {
    let path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    let list = ReflectionRequest { list_services: Some(String::new()) }.encode_to_vec();
    let answer = bench.within(path, raw::first_of_stream(bench.channel(), path, list)).await?;
    let answer = answer.map_err(|status| Stop::failed(format!("an answer of {path}"), said(&status)))?;
    let answer: ReflectionResponse = decoded("a ServerReflectionResponse", &answer.unwrap_or_default())?;
    let names: Vec<String> =
        answer.services.unwrap_or_default().service.into_iter().map(|service| service.name).collect();
    let service = bench.terms().dialect.service();
    holds(names.iter().any(|name| name == service), || format!("{service} among the services"), || short(&names))
}
