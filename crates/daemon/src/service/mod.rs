//! The gRPC services: messages in, requests to the driver, messages out.
//!
//! What lives here: streams, batches, pages, gRPC statuses. What must not: what fields mean (`opof_api`), what becomes of
//! sessions (`opof_session`).

mod add;
mod closed;
mod device;
mod list;
mod sessions;

pub use self::device::DeviceService;
pub use self::sessions::SessionTableService;

use tonic::Status;

use crate::driver::DriverError;

impl From<DriverError> for Status {
    fn from(error: DriverError) -> Self {
        Self::unavailable(error.to_string())
    }
}
