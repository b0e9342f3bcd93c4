//! opofd: the daemon around the session engine.
//!
//! What lives here: configuration, the clock, the thread that drives engine and data plane, the gRPC services, start and
//! stop. What must not: decisions about sessions (`opof_session`), forwarding (`opof_dataplane`), the meaning of
//! messages (`opof_api`).

pub mod clock;
pub mod config;
mod daemon;
pub mod driver;
mod error;
pub mod limits;
mod listen;
pub mod log;
mod plane;
pub mod service;
pub mod tls;

pub use self::daemon::{Daemon, RunningDaemon};
pub use self::error::{EXIT_FAILED, StartError};
