//! Packet headers, parsed and emitted, and the one function that turns a frame into a flow key.
//!
//! What lives here: views over borrowed bytes, one protocol header a file. What must not: allocation, I/O, time,
//! sessions, logical interfaces.
#![no_std]

mod bytes;
pub mod checksum;
pub mod classify;
mod error;
pub mod ethernet;
pub mod flow;
pub mod gtpu;
pub mod ipv4;
pub mod ipv6;
pub mod ipv6_ext;
pub mod tcp;
pub mod udp;
pub mod vlan;

pub use classify::{classify, rewrite_outer_vid};
pub use error::Error;
pub use flow::{Addresses, FlowKey, SlowPath, Transport, Tunnel, Vid};
