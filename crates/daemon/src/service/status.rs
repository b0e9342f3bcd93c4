//! What calls fail with: gRPC's codes, a sentence for people, and details for programs (google.rpc error details).

use std::time::Duration;

use opof_api::metadata;
use opof_session::types::SessionId;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::driver::DriverError;
use crate::limits;

/// No session has this id.
pub(super) fn no_session(id: SessionId) -> Status {
    let mut details = ErrorDetails::new();
    details.set_resource_info("session", id.to_string(), "", "no such session");
    Status::with_error_details(Code::NotFound, format!("sessionId: session {id} does not exist"), details)
}

/// Nothing has closed.
pub(super) fn no_closed() -> Status {
    Status::not_found("no closed session waits to be collected")
}

/// A client has asked more than its rate; it may again after `wait`.
pub(super) fn too_fast(wait: Duration) -> Status {
    let details = ErrorDetails::with_retry_info(Some(wait));
    let text = format!("too many calls (limits.rate); try again in {} ms", wait.as_millis().max(1));
    Status::with_error_details(Code::ResourceExhausted, text, details)
}

/// More of something than one call may have.
pub(super) fn too_many(subject: &str, text: String) -> Status {
    let details = ErrorDetails::with_quota_failure_violation(subject, text.clone());
    Status::with_error_details(Code::ResourceExhausted, text, details)
}

/// Something other than a message is wrong with a call.
pub(super) fn bad_request(field: &str, text: &str) -> Status {
    let details = ErrorDetails::with_bad_request_violation(field, text);
    Status::with_error_details(Code::InvalidArgument, format!("{field}: {text}"), details)
}

/// The client's deadline is over. What it asked for may have been done.
pub(super) fn too_late(after: Duration) -> Status {
    Status::deadline_exceeded(format!(
        "not done within {} ms; sessions that were accepted by then stay",
        after.as_millis()
    ))
}

/// Not now.
pub(super) fn unavailable(text: String) -> Status {
    put_off(text, limits::RETRY)
}

fn put_off(text: String, until: Duration) -> Status {
    let details = ErrorDetails::with_retry_info(Some(until));
    Status::with_error_details(Code::Unavailable, text, details)
}

impl From<DriverError> for Status {
    fn from(error: DriverError) -> Self {
        let is_standby = matches!(error, DriverError::NotActive { .. });
        let mut status = put_off(error.to_string(), if is_standby { limits::TAKEOVER_RETRY } else { limits::RETRY });
        if let DriverError::NotActive { active: Some(active) } = error
            && let Ok(active) = active.parse()
        {
            status.metadata_mut().insert(metadata::ACTIVE, active);
        }
        status
    }
}
