//! The whole system on a bench of network namespaces: `opofd` as a process on XDP, real frames, real traffic.
//!
//! What lives here: what the namespace tests and the demo have in common. What must not: anything that ships.

mod bench;
mod control;
mod disk;
pub mod dissect;
mod error;
pub mod frames;
pub mod geneve;
pub mod iperf;
pub mod nat;
pub mod opofd;
pub mod pair;
pub mod routed;
pub mod tshark;
mod wires;
mod yard;

pub use bench::Bench;
pub use control::{Closed, Counted, session};
pub use disk::Disk;
pub use error::Error;
pub use geneve::GeneveFirewall;
pub use opofd::Opofd;
pub use wires::{WirePort, Wires};
pub use yard::{Arm, Yard};
