//! The outcome of an addSession stream: which sessions failed, and how the reply says it.

use opof_session::request::AddError;
use opof_session::types::SessionId;
use prost_types::Timestamp;

use crate::add::FieldError;
use crate::limits;
use crate::profile::{AddErrors, AddStatus, Profile};
use crate::v1beta1 as v1;

/// Why a session was not added, as far as the wire can tell. In ascending order of seriousness: what the firewall's own
/// repetition explains, then what is wrong with one session, then what will hit the next session as well, and worst
/// a device that can't do its work.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, thiserror::Error)]
pub enum Refusal {
    /// Its id or its tuple is in use; the session that was there first is untouched.
    #[error("already exists")]
    AlreadyExists,
    /// The message is wrong, or the device can't do what it asks.
    #[error("rejected: wrong, or more than this device can do (its log names the field)")]
    Rejected,
    /// It needs something that is not there, such as a next hop.
    #[error("rejected: what it needs is not there (the device's log names it)")]
    FailedPrecondition,
    /// No room.
    #[error("the session table is full")]
    TableFull,
    /// Not now; the same session may be accepted later.
    #[error("the session table is unavailable, try again")]
    Unavailable,
}

impl Refusal {
    /// In snake case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AlreadyExists => "already_exists",
            Self::Rejected => "rejected",
            Self::FailedPrecondition => "failed_precondition",
            Self::TableFull => "table_full",
            Self::Unavailable => "unavailable",
        }
    }

    /// As the `requestStatus` of an add says it.
    const fn status(self) -> v1::AddSessionStatus {
        match self {
            Self::AlreadyExists => v1::AddSessionStatus::SessionAlreadyExists,
            Self::Rejected | Self::FailedPrecondition => v1::AddSessionStatus::SessionRejected,
            Self::TableFull => v1::AddSessionStatus::SessionTableFull,
            Self::Unavailable => v1::AddSessionStatus::SessionTableUnavailable,
        }
    }

    /// As `sessionResponseError.errorStatus` says it under `errors`.
    pub fn code(self, errors: AddErrors) -> i32 {
        match errors {
            AddErrors::AddSessionStatus => self.status().into(),
            AddErrors::GrpcCode => match self {
                Self::AlreadyExists => tonic::Code::AlreadyExists,
                Self::Rejected => tonic::Code::InvalidArgument,
                Self::FailedPrecondition => tonic::Code::FailedPrecondition,
                Self::TableFull => tonic::Code::ResourceExhausted,
                Self::Unavailable => tonic::Code::Unavailable,
            }
            .into(),
        }
    }

    /// What an `errorStatus` of a server under `errors` means. Codes that no server is known to send are rejections.
    pub fn from_code(code: i32, errors: AddErrors) -> Self {
        [Self::AlreadyExists, Self::Rejected, Self::FailedPrecondition, Self::TableFull, Self::Unavailable]
            .into_iter()
            .find(|refusal| refusal.code(errors) == code)
            .unwrap_or(Self::Rejected)
    }
}

impl From<&FieldError> for Refusal {
    fn from(_: &FieldError) -> Self {
        Self::Rejected
    }
}

impl From<&AddError> for Refusal {
    fn from(error: &AddError) -> Self {
        match error {
            AddError::IdExists(_) | AddError::TupleExists(_) => Self::AlreadyExists,
            AddError::TableFull => Self::TableFull,
            AddError::Unavailable => Self::Unavailable,
            AddError::NoNextHop { .. } => Self::FailedPrecondition,
            AddError::UnknownLif { .. }
            | AddError::MeetsItself(_)
            | AddError::NatNotBack { .. }
            | AddError::TranslatedTupleExists(_)
            | AddError::VlanOneSided
            | AddError::Unsupported { .. } => Self::Rejected,
        }
    }
}

/// The outcome of one addSession stream, as it builds up. Sessions that are not mentioned were accepted.
#[derive(Clone, Debug)]
pub struct AddReport {
    worst: Option<Refusal>,
    mask: u64,
    refused: u64,
    named: Vec<Named>,
    room: usize,
}

#[derive(Clone, Copy, Debug)]
struct Named {
    position: u64,
    id: SessionId,
    refusal: Refusal,
}

impl AddReport {
    /// All accepted so far. At most `room` failures will be named; those after them count in `requestStatus` and
    /// [`refused`](Self::refused) only. A reply to a client with gRPC's default limit of 4 MiB has room for 279,000.
    pub const fn new(room: usize) -> Self {
        Self { worst: None, mask: 0, refused: 0, named: Vec::new(), room }
    }

    /// The message at `position` of the stream, from 0, was refused. In any order, each position once.
    pub fn refuse(&mut self, position: u64, id: SessionId, refusal: Refusal) {
        self.worst = self.worst.max(Some(refusal));
        self.refused += 1;
        if position < limits::ERROR_BITS {
            self.mask |= 1 << position;
        }
        if self.named.len() < self.room {
            self.named.push(Named { position, id, refusal });
        }
    }

    /// Sessions that were refused.
    pub const fn refused(&self) -> u64 {
        self.refused
    }

    /// Refused sessions that the reply does not name.
    pub fn unnamed(&self) -> u64 {
        self.refused - self.named.len() as u64
    }

    /// The reply; `started` is when the stream was answered.
    pub fn response(mut self, started: Timestamp, profile: &Profile) -> v1::AddSessionResponse {
        self.named.sort_unstable_by_key(|named| named.position);
        let named = self.named.iter().map(|named| v1::SessionResponseError {
            session_id: named.id.0,
            error_status: named.refusal.code(profile.add_errors),
        });
        let (status, mask) = match profile.add_status {
            AddStatus::WorstAndMask => {
                (self.worst.map_or(v1::AddSessionStatus::SessionAccepted, Refusal::status), self.mask)
            }
            AddStatus::Zero => (v1::AddSessionStatus::SessionAccepted, 0),
        };
        v1::AddSessionResponse {
            request_status: status.into(),
            error_status: mask,
            start_time: Some(started),
            response_error: named.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use opof_session::types::Lif;

    use super::*;
    use crate::add::Problem;

    const STARTED: Timestamp = Timestamp { seconds: 1_780_000_000, nanos: 0 };
    const C_CLIENT: Profile = Profile { add_errors: AddErrors::GrpcCode, add_status: AddStatus::Zero, ..Profile::SPEC };

    fn report(refusals: &[(u64, Refusal)]) -> AddReport {
        let mut report = AddReport::new(1000);
        for &(position, refusal) in refusals {
            report.refuse(position, SessionId(100 + position), refusal);
        }
        report
    }

    fn errors(response: &v1::AddSessionResponse) -> Vec<(u64, i32)> {
        response.response_error.iter().map(|error| (error.session_id, error.error_status)).collect()
    }

    #[test]
    fn nothing_refused() {
        let response = report(&[]).response(STARTED, &Profile::SPEC);
        let accepted = v1::AddSessionResponse { start_time: Some(STARTED), ..v1::AddSessionResponse::default() };
        assert_eq!(response, accepted);
    }

    #[test]
    fn the_worst_error_is_the_outcome_of_the_stream() {
        use Refusal::{AlreadyExists, Rejected, TableFull, Unavailable};
        let worst = |refusals: &[(u64, Refusal)]| report(refusals).response(STARTED, &Profile::SPEC).request_status();
        assert_eq!(worst(&[(0, AlreadyExists)]), v1::AddSessionStatus::SessionAlreadyExists);
        assert_eq!(worst(&[(0, Rejected), (1, AlreadyExists)]), v1::AddSessionStatus::SessionRejected);
        assert_eq!(worst(&[(0, Rejected), (1, TableFull)]), v1::AddSessionStatus::SessionTableFull);
        assert_eq!(worst(&[(0, Unavailable), (1, TableFull)]), v1::AddSessionStatus::SessionTableUnavailable);
    }

    #[test]
    fn the_mask_has_the_first_64_messages_only() {
        let refused = [(63, Refusal::Rejected), (64, Refusal::TableFull), (2, Refusal::AlreadyExists)];
        let response = report(&refused).response(STARTED, &Profile::SPEC);
        assert_eq!(response.error_status, 1 << 63 | 1 << 2);
        assert_eq!(errors(&response), [(102, 4), (163, 1), (164, 2)], "in the order of the stream");
    }

    #[test]
    fn deployed_c_clients_get_grpc_codes_and_no_outcome() {
        use Refusal::{AlreadyExists, Rejected, TableFull, Unavailable};
        let response =
            report(&[(0, Rejected), (1, AlreadyExists), (2, TableFull), (3, Unavailable)]).response(STARTED, &C_CLIENT);
        assert_eq!((response.request_status, response.error_status), (0, 0));
        assert_eq!(errors(&response), [(100, 3), (101, 6), (102, 8), (103, 14)]);
    }

    #[test]
    fn a_reply_names_no_more_than_it_has_room_for() {
        let mut report = AddReport::new(2);
        for position in 0..5 {
            report.refuse(position, SessionId(position), Refusal::Rejected);
        }
        assert_eq!((report.refused(), report.unnamed()), (5, 3));
        let response = report.response(STARTED, &Profile::SPEC);
        assert_eq!((errors(&response), response.error_status), (vec![(0, 1), (1, 1)], 0b11111));
    }

    #[test]
    fn codes_are_read_back() {
        for errors in [AddErrors::AddSessionStatus, AddErrors::GrpcCode] {
            for refusal in [Refusal::AlreadyExists, Refusal::Rejected, Refusal::TableFull, Refusal::Unavailable] {
                assert_eq!(Refusal::from_code(refusal.code(errors), errors), refusal);
            }
            assert_eq!(Refusal::from_code(-1, errors), Refusal::Rejected);
        }
    }

    #[test]
    fn every_reason_of_the_engine_has_a_status() {
        let lif = Lif::new(3).unwrap();
        let exists = [AddError::IdExists(SessionId(1)), AddError::TupleExists(SessionId(1))];
        assert!(exists.iter().all(|error| Refusal::from(error) == Refusal::AlreadyExists));
        assert_eq!(Refusal::from(&AddError::TableFull), Refusal::TableFull);
        assert_eq!(Refusal::from(&AddError::Unavailable), Refusal::Unavailable);
        assert_eq!(Refusal::from(&AddError::MeetsItself(lif)), Refusal::Rejected);
        let unsupported = AddError::Unsupported { field: "action.actionType", what: "MIRROR" };
        assert_eq!(Refusal::from(&unsupported), Refusal::Rejected);
        let field = FieldError { dialect: crate::Dialect::V1, field: "action", problem: Problem::Missing };
        assert_eq!(Refusal::from(&field), Refusal::Rejected);
    }
}
