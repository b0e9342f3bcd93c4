//! The engine's statistics to the operator's API and back.

use opof_session::engine::Statistics;

use crate::device;

impl From<Statistics> for device::Statistics {
    fn from(statistics: Statistics) -> Self {
        let Statistics {
            sessions,
            capacity,
            adopted,
            unfollowed,
            added,
            refused,
            deleted,
            timed_out,
            withdrawn,
            superseded,
            clamped,
            closed_waiting,
            closed_delivered,
            closed_lost,
        } = statistics;
        Self {
            sessions,
            capacity,
            adopted,
            unfollowed,
            added,
            refused,
            deleted,
            timed_out,
            withdrawn,
            superseded,
            clamped,
            closed_waiting,
            closed_delivered,
            closed_lost,
        }
    }
}

impl From<device::Statistics> for Statistics {
    fn from(statistics: device::Statistics) -> Self {
        let device::Statistics {
            sessions,
            capacity,
            adopted,
            unfollowed,
            added,
            refused,
            deleted,
            timed_out,
            withdrawn,
            superseded,
            clamped,
            closed_waiting,
            closed_delivered,
            closed_lost,
        } = statistics;
        Self {
            sessions,
            capacity,
            adopted,
            unfollowed,
            added,
            refused,
            deleted,
            timed_out,
            withdrawn,
            superseded,
            clamped,
            closed_waiting,
            closed_delivered,
            closed_lost,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_figures_are_mixed_up() {
        let statistics = Statistics {
            sessions: 1,
            capacity: 2,
            added: 3,
            refused: 4,
            deleted: 5,
            timed_out: 6,
            withdrawn: 12,
            superseded: 7,
            clamped: 8,
            closed_waiting: 9,
            closed_delivered: 10,
            closed_lost: 11,
            adopted: 13,
            unfollowed: 14,
        };
        let message = device::Statistics::from(statistics);
        assert_eq!((message.sessions, message.capacity, message.timed_out, message.closed_lost), (1, 2, 6, 11));
        assert_eq!(Statistics::from(message), statistics);
    }
}
