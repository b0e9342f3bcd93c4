//! The session engine: sessions, keys, aging, closed log. Sans-IO: no sockets, no threads, no clock.
//!
//! What lives here: decisions. What must not: tokio, tonic, libc, BPF, a clock, protobuf types.

pub mod engine;
pub mod limits;
pub mod plane;
pub mod request;
pub mod types;
