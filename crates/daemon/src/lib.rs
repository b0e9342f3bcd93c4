//! opofd: the daemon around the session engine.
//!
//! What lives here: configuration, the clock, the thread that drives engine and data plane, listeners and who may do what
//! there, the gRPC services, start and stop. What must not: decisions about sessions (`opof_session`), forwarding
//! (`opof_dataplane`), the meaning of messages (`opof_api`).

pub mod access;
mod account;
mod adopt;
pub mod clock;
pub mod config;
mod daemon;
pub mod driver;
mod error;
pub mod ha;
pub mod health;
pub mod limits;
mod listen;
pub mod log;
mod plane;
pub mod rate;
mod serve;
pub mod service;
pub mod shutdown;
#[cfg(any(test, feature = "simulation"))]
pub mod simulation;
mod store;
mod supervise;
pub mod tls;
pub mod watchdog;

pub use self::daemon::{Daemon, Notice, RunningDaemon};
pub use self::error::{EXIT_FAILED, StartError};
pub use self::store::StoreError;
