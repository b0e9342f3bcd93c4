//! A whole daemon in this process, on the simulated plane, spoken to over TLS by the generated client.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests as well")]

mod certificates;
mod closed_sessions;
mod common;
mod device;
mod dialects;
mod limits;
mod pair;
mod security;
mod session_table;
