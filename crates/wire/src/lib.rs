//! Packet headers, parsed and emitted, and the one function that turns a frame into a flow key.
//!
//! What lives here: views over borrowed bytes, one protocol header a file. What must not: allocation, I/O, time,
//! sessions, logical interfaces.
#![no_std]

pub mod classify;
pub mod flow;

pub use classify::classify;
pub use flow::{Addresses, FlowKey, SlowPath, Transport, Vid};
