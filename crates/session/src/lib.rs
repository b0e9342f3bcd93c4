//! The session engine: sessions, keys, aging, closed log. Sans-IO: no sockets, no threads, no clock.
//!
//! What lives here: decisions. What must not: tokio, tonic, libc, BPF, a clock, protobuf types.

mod closed;
pub mod engine;
pub mod ha;
mod ids;
mod index;
mod keys;
pub mod l3;
pub mod limits;
mod packed;
pub mod plane;
pub mod planted;
pub mod request;
mod state;
pub mod types;
mod wheel;
