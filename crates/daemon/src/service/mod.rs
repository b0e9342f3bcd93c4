//! The gRPC services: messages in, requests to the driver, messages out.
//!
//! What lives here: permission, streams, batches, pages, gRPC statuses. What must not: what fields mean (`opof_api`), what
//! becomes of sessions (`opof_session`).

mod add;
mod closed;
mod device;
mod dialects;
mod guard;
mod l3;
mod list;
mod pair;
mod sessions;
mod status;

pub use self::device::DeviceService;
pub(crate) use self::guard::GuardLayer;
pub use self::pair::PairService;
pub use self::sessions::{SessionTableService, Table};
