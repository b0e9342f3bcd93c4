//! `sessionResponse`: a session as it stands or as it ended. The way back is in [`crate::report`].

use opof_session::request::SessionView;
use opof_session::types::{CloseReason, ClosedRecord, Counters, SessionId};

use crate::time::WallClock;
use crate::v1beta1 as v1;

/// A session that is live, or was just deleted: then it is closed, but not by itself.
pub fn session_response(view: &SessionView, clock: &WallClock) -> v1::SessionResponse {
    let state = if view.ended.is_some() { v1::SessionState::Closed } else { v1::SessionState::Established };
    v1::SessionResponse {
        session_state: state.into(),
        session_close_code: v1::SessionCloseCode::NotClosed.into(),
        start_time: Some(clock.timestamp(view.started)),
        end_time: view.ended.map(|ended| clock.timestamp(ended)),
        ..counted(view.spec.id, &view.counters)
    }
}

/// A session that has closed by itself.
pub fn closed_response(record: &ClosedRecord, clock: &WallClock) -> v1::SessionResponse {
    let code = match record.reason {
        CloseReason::Timeout => v1::SessionCloseCode::Timeout,
        CloseReason::Deleted => v1::SessionCloseCode::NotClosed,
        CloseReason::Reset | CloseReason::NextHopGone => v1::SessionCloseCode::UnknownCloseCode,
    };
    v1::SessionResponse {
        session_state: v1::SessionState::Closed.into(),
        session_close_code: code.into(),
        start_time: Some(clock.timestamp(record.started)),
        end_time: Some(clock.timestamp(record.ended)),
        ..counted(record.id, &record.counters)
    }
}

/// There is no session with this id.
pub fn nonexistent(id: SessionId) -> v1::SessionResponse {
    v1::SessionResponse {
        session_id: id.0,
        session_state: v1::SessionState::UnknownState.into(),
        session_close_code: v1::SessionCloseCode::UnknownCloseCode.into(),
        request_status: v1::RequestStatus::RejectedSessionNonexistent.into(),
        ..v1::SessionResponse::default()
    }
}

fn counted(id: SessionId, counters: &Counters) -> v1::SessionResponse {
    v1::SessionResponse {
        session_id: id.0,
        in_packets: counters.inward.packets,
        out_packets: counters.outward.packets,
        in_bytes: counters.inward.bytes,
        out_bytes: counters.outward.bytes,
        request_status: v1::RequestStatus::Accepted.into(),
        ..v1::SessionResponse::default()
    }
}

#[cfg(test)]
mod tests {
    use opof_session::types::{DirectionCounters, Lif, Moment};
    use prost_types::Timestamp;

    use super::*;
    use crate::Profile;

    const CLOCK: WallClock = WallClock { moment: Moment(0), unix_nanos: 1_780_000_000_000_000_000 };
    const COUNTERS: Counters = Counters {
        inward: DirectionCounters { packets: 1, bytes: 60 },
        outward: DirectionCounters { packets: 2, bytes: 3000 },
        last_seen: None,
    };

    fn at(seconds: i64) -> Timestamp {
        Timestamp { seconds: 1_780_000_000 + seconds, nanos: 0 }
    }

    fn view(ended: Option<Moment>) -> SessionView {
        let request = v1::SessionRequest {
            session_id: 7,
            source_ip: 1,
            destination_ip: 2,
            protocol_id: 6,
            action: Some(v1::ActionParameters::default()),
            ..v1::SessionRequest::default()
        };
        let spec = crate::session_spec(&request, crate::Dialect::V1, &Profile::SPEC).unwrap();
        assert_eq!(spec.in_lif, Lif::new(1).unwrap());
        SessionView { spec, counters: COUNTERS, started: Moment(1_000_000_000), ended, superseded: false }
    }

    #[test]
    fn a_live_session() {
        let response = session_response(&view(None), &CLOCK);
        let expected = v1::SessionResponse {
            session_id: 7,
            in_packets: 1,
            out_packets: 2,
            in_bytes: 60,
            out_bytes: 3000,
            start_time: Some(at(1)),
            ..v1::SessionResponse::default()
        };
        assert_eq!(response, expected, "established, not closed and accepted are all 0");
    }

    #[test]
    fn a_deleted_session_is_closed_but_not_by_itself() {
        let response = session_response(&view(Some(Moment(3_000_000_000))), &CLOCK);
        assert_eq!(response.session_state(), v1::SessionState::Closed);
        assert_eq!(response.session_close_code(), v1::SessionCloseCode::NotClosed);
        assert_eq!((response.start_time, response.end_time), (Some(at(1)), Some(at(3))));
    }

    #[test]
    fn a_session_that_timed_out() {
        let record = ClosedRecord {
            sequence: 99,
            id: SessionId(7),
            counters: COUNTERS,
            started: Moment(1_000_000_000),
            ended: Moment(31_000_000_000),
            reason: CloseReason::Timeout,
        };
        let response = closed_response(&record, &CLOCK);
        let expected = v1::SessionResponse {
            session_state: 3,
            session_close_code: 3,
            end_time: Some(at(31)),
            ..session_response(&view(None), &CLOCK)
        };
        assert_eq!(response, expected);
    }

    #[test]
    fn an_id_that_nobody_has() {
        let response = nonexistent(SessionId(8));
        assert_eq!(response.session_id, 8);
        assert_eq!(response.request_status(), v1::RequestStatus::RejectedSessionNonexistent);
        assert_eq!(response.session_state(), v1::SessionState::UnknownState);
    }
}
