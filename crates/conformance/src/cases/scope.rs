//! To which terms cases apply.

use opof_api::Dialect;
use opof_api::profile::{Absence, AddStatus, ListCursor};
use opof_session::request::SameTuple;

use crate::case::Scope;

pub(super) const ALWAYS: Scope = Scope { text: "all", holds: |_| true };
pub(super) const SUPERSEDE: Scope =
    Scope { text: "same_tuple supersede", holds: |terms| terms.same_tuple == SameTuple::Supersede };
pub(super) const REJECT: Scope =
    Scope { text: "same_tuple reject", holds: |terms| terms.same_tuple == SameTuple::Reject };
pub(super) const TUNNELS: Scope = Scope { text: "dialects v1.1, v1beta1", holds: |terms| terms.dialect.has_tunnel() };
pub(super) const V1BETA1: Scope = Scope { text: "dialect v1beta1", holds: |terms| terms.dialect.has_links() };
pub(super) const SHARED_LIFS: Scope =
    Scope { text: "dialects v1, v1.1, v2", holds: |terms| !terms.dialect.has_links() };
pub(super) const WORST_AND_MASK: Scope = Scope {
    text: "profiles whose requestStatus tells the worst error",
    holds: |terms| terms.profile.add_status == AddStatus::WorstAndMask,
};
pub(super) const NO_CAP: Scope =
    Scope { text: "profiles without a page cap", holds: |terms| terms.profile.page_cap.is_none() };
pub(super) const CAP: Scope =
    Scope { text: "profiles with a page cap", holds: |terms| terms.profile.page_cap.is_some() };
pub(super) const INCLUSIVE: Scope = Scope {
    text: "profiles with an inclusive list cursor",
    holds: |terms| terms.profile.list_cursor == ListCursor::Inclusive,
};
pub(super) const EXCLUSIVE: Scope = Scope {
    text: "profiles with an exclusive list cursor",
    holds: |terms| terms.profile.list_cursor == ListCursor::Exclusive,
};
pub(super) const QUIET_DELETE: Scope =
    Scope { text: "profiles that do not report deleted sessions", holds: |terms| !terms.profile.report_deleted };
pub(super) const REPORTED_DELETE: Scope =
    Scope { text: "profiles that report deleted sessions", holds: |terms| terms.profile.report_deleted };
pub(super) const UNKNOWN_ID_MESSAGE: Scope = Scope {
    text: "profiles that say in the message that an id is unknown",
    holds: |terms| terms.profile.unknown_id == Absence::Message,
};
pub(super) const UNKNOWN_ID_STATUS: Scope = Scope {
    text: "profiles that say by NOT_FOUND that an id is unknown",
    holds: |terms| terms.profile.unknown_id == Absence::NotFound,
};
pub(super) const NO_CLOSED_MESSAGE: Scope = Scope {
    text: "profiles whose closed stream is empty when nothing has closed",
    holds: |terms| terms.profile.no_closed == Absence::Message,
};
pub(super) const NO_CLOSED_STATUS: Scope = Scope {
    text: "profiles that say by NOT_FOUND that nothing has closed",
    holds: |terms| terms.profile.no_closed == Absence::NotFound,
};
pub(super) const CAPACITY: Scope =
    Scope { text: "servers whose capacity is known (--capacity)", holds: |terms| terms.capacity.is_some() };
pub(super) const MAY_SHUT_DOWN: Scope = Scope {
    text: "dialect v1.1, servers that may be shut down (--allow-shutdown)",
    holds: |terms| terms.may_shut_down && terms.dialect == Dialect::V1_1,
};
