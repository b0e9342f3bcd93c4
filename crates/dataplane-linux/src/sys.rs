//! The system calls that no library in use has, wrapped so that nothing outside needs `unsafe`.
//!
//! What must not be here: what the calls are made for.

pub mod bpf;
pub mod ethtool;
pub mod interface;
pub mod map;
pub mod shared;
