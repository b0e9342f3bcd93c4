//! The OpenOffload and operator APIs: generated protobuf code, and its translation to and from domain types.
//!
//! What lives here: messages turned into domain values, or into an error that names the field, and back. What must not:
//! decisions about sessions, sockets, clocks. Nothing behind this crate sees a protobuf type.

pub mod add;
mod lif;
pub mod limits;
pub mod operator;
pub mod profile;
pub mod report;
pub mod response;
pub mod status;
pub mod time;

/// Messages, client and server of `openoffload.v1`, generated from `proto/openoffload/v1/openoffload.proto`.
#[allow(
    missing_docs,
    non_camel_case_types,
    unreachable_pub,
    unused_qualifications,
    clippy::pedantic,
    clippy::style,
    reason = "generated; its comments are in the .proto file"
)]
pub mod v1 {
    tonic::include_proto!("openoffload.v1");
}

/// Messages, client and server of `opof.device.v1`, generated from `proto/opof/device/v1/device.proto`.
#[allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    clippy::pedantic,
    clippy::style,
    reason = "generated; its comments are in the .proto file"
)]
pub mod device {
    tonic::include_proto!("opof.device.v1");
}

pub use add::{FieldError, session_request, session_spec};
pub use profile::Profile;
pub use report::{SessionReport, session_report};
pub use response::{closed_response, nonexistent, session_response};
pub use status::{AddReport, Refusal};
pub use time::WallClock;
