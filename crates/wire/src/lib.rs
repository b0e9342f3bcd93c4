//! Packet headers, parsed and emitted, and the one function that turns a frame into a flow key.
//!
//! What lives here: views over borrowed bytes, one protocol header a file. What must not: allocation, I/O, time,
//! sessions, logical interfaces (a header that carries the number of one has a number here).
#![no_std]

mod bytes;
pub mod checksum;
pub mod classify;
pub mod decap;
pub mod edit;
pub mod encap;
mod error;
pub mod ethernet;
pub mod flow;
pub mod geneve;
pub mod gtpu;
pub mod icmp;
pub mod ipv4;
pub mod ipv6;
pub mod ipv6_ext;
pub mod packet_too_big;
pub mod tcp;
pub mod udp;
pub mod vlan;

pub use classify::{classify, flow_of, outer_vid};
pub use edit::{Edit, Endpoint, Macs};
pub use error::Error;
pub use flow::{Addresses, FlowKey, SlowPath, Transport, Tunnel, Vid};
