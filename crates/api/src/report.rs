//! What a `sessionResponse` says, for the side that asked: values without protobuf in them.

use std::time::SystemTime;

use opof_session::types::{DirectionCounters, SessionId};
use prost_types::Timestamp;

use crate::v1beta1 as v1;

/// Where a session stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SessionState {
    /// On the fast path.
    Established,
    /// On its way out: devices that follow TCP's state say so, opof never does.
    Closing,
    /// Off the fast path; the counters are final.
    Closed,
    /// The device does not know, or says something that this version does not know.
    Unknown,
}

impl SessionState {
    /// In snake case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Established => "established",
            Self::Closing => "closing",
            Self::Closed => "closed",
            Self::Unknown => "unknown",
        }
    }
}

/// Why a session left the device.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum CloseCode {
    /// It has not closed by itself: it is there still, or was deleted.
    NotClosed,
    /// TCP FIN; opof never says so.
    FinAck,
    /// TCP RST; opof never says so.
    Rst,
    /// No packet in either direction for its timeout.
    Timeout,
    /// The device does not know, or says something that this version does not know.
    Unknown,
}

impl CloseCode {
    /// In snake case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotClosed => "not_closed",
            Self::FinAck => "fin_ack",
            Self::Rst => "rst",
            Self::Timeout => "timeout",
            Self::Unknown => "unknown",
        }
    }
}

/// A session as the device tells of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SessionReport {
    /// The firewall's number for it.
    pub id: SessionId,
    /// Fast-path packets from the "in" interface towards the "out" interface.
    pub inward: DirectionCounters,
    /// Fast-path packets from the "out" interface towards the "in" interface.
    pub outward: DirectionCounters,
    /// Where it stands.
    pub state: SessionState,
    /// Why it left.
    pub close_code: CloseCode,
    /// When it was established; `None` where the device doesn't say.
    pub started: Option<SystemTime>,
    /// When it was taken off the fast path.
    pub ended: Option<SystemTime>,
}

/// Why a message has no session in it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
pub enum ReportError {
    /// No session has this id.
    #[error("session {0} does not exist")]
    Nonexistent(SessionId),
    /// Nothing has closed.
    #[error("no closed sessions")]
    NoClosedSessions,
    /// Any other status, by the name that the API gives it.
    #[error("the request about session {id} was refused: {status}")]
    Refused {
        /// The id in the answer.
        id: SessionId,
        /// The status.
        status: &'static str,
    },
}

/// The session in a message.
///
/// # Errors
/// The status of a request that was not accepted; a status that this version doesn't know counts as an internal error.
pub fn session_report(response: &v1::SessionResponse) -> Result<SessionReport, ReportError> {
    let id = SessionId(response.session_id);
    let status = v1::RequestStatus::try_from(response.request_status);
    match status.unwrap_or(v1::RequestStatus::RejectedInternalError) {
        v1::RequestStatus::Accepted => {}
        v1::RequestStatus::RejectedSessionNonexistent => return Err(ReportError::Nonexistent(id)),
        v1::RequestStatus::NoClosedSessions => return Err(ReportError::NoClosedSessions),
        refused => return Err(ReportError::Refused { id, status: refused.as_str_name() }),
    }
    Ok(SessionReport {
        id,
        inward: DirectionCounters { packets: response.in_packets, bytes: response.in_bytes },
        outward: DirectionCounters { packets: response.out_packets, bytes: response.out_bytes },
        state: match v1::SessionState::try_from(response.session_state) {
            Ok(v1::SessionState::Established) => SessionState::Established,
            Ok(v1::SessionState::Closing1 | v1::SessionState::Closing2) => SessionState::Closing,
            Ok(v1::SessionState::Closed) => SessionState::Closed,
            Ok(v1::SessionState::UnknownState) | Err(_) => SessionState::Unknown,
        },
        close_code: match v1::SessionCloseCode::try_from(response.session_close_code) {
            Ok(v1::SessionCloseCode::NotClosed) => CloseCode::NotClosed,
            Ok(v1::SessionCloseCode::Finack) => CloseCode::FinAck,
            Ok(v1::SessionCloseCode::Rst) => CloseCode::Rst,
            Ok(v1::SessionCloseCode::Timeout) => CloseCode::Timeout,
            Ok(v1::SessionCloseCode::UnknownCloseCode) | Err(_) => CloseCode::Unknown,
        },
        started: response.start_time.and_then(time_of_day),
        ended: response.end_time.and_then(time_of_day),
    })
}

/// `None` where the stamp is outside what this machine can tell.
fn time_of_day(stamp: Timestamp) -> Option<SystemTime> {
    SystemTime::try_from(stamp).ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn message() -> v1::SessionResponse {
        v1::SessionResponse {
            session_id: 7,
            in_packets: 1,
            out_packets: 2,
            in_bytes: 60,
            out_bytes: 3000,
            session_state: 3,
            session_close_code: 3,
            request_status: 0,
            start_time: Some(Timestamp { seconds: 1, nanos: 500_000_000 }),
            end_time: None,
        }
    }

    #[test]
    fn every_field_finds_its_place() {
        let expected = SessionReport {
            id: SessionId(7),
            inward: DirectionCounters { packets: 1, bytes: 60 },
            outward: DirectionCounters { packets: 2, bytes: 3000 },
            state: SessionState::Closed,
            close_code: CloseCode::Timeout,
            started: Some(SystemTime::UNIX_EPOCH + Duration::from_millis(1500)),
            ended: None,
        };
        assert_eq!(session_report(&message()), Ok(expected));
    }

    #[test]
    fn what_was_not_accepted_has_no_session() {
        let refused =
            |status| session_report(&v1::SessionResponse { request_status: status, ..message() }).unwrap_err();
        assert_eq!(refused(2), ReportError::Nonexistent(SessionId(7)));
        assert_eq!(refused(5), ReportError::NoClosedSessions);
        assert_eq!(refused(1).to_string(), "the request about session 7 was refused: _REJECTED");
        assert_eq!(refused(77).to_string(), "the request about session 7 was refused: _REJECTED_INTERNAL_ERROR");
    }

    #[test]
    fn values_of_a_newer_server_are_unknown_not_wrong() {
        let report = session_report(&v1::SessionResponse { session_state: 77, session_close_code: -1, ..message() });
        assert_eq!(
            report.map(|report| (report.state, report.close_code)),
            Ok((SessionState::Unknown, CloseCode::Unknown))
        );
    }

    proptest! {
        #[test]
        fn no_time_of_day_panics(seconds: i64, nanos: i32) {
            let stamp = Some(Timestamp { seconds, nanos });
            let _ = session_report(&v1::SessionResponse { start_time: stamp, end_time: stamp, ..message() });
        }
    }
}
