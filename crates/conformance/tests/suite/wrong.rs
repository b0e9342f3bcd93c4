//! Servers that are wrong, each in one way: the suite names the case.

use std::thread::JoinHandle;
use std::time::Duration;

use opof_api::profile::{Absence, AddErrors, AddStatus, Ipv4Order, ListCursor};
use opof_conformance::{Dialect, Outcome, Profile, SameTuple, Target, Terms, cases, table};

use crate::mock::{CAPACITY, Fault, Mock};
use crate::{on_a_thread, suite};

/// Faults whose calls never end, so that the deadline is what ends them.
const HANGING: [Fault; 3] = [Fault::GetHangs, Fault::MalformedHangs, Fault::ClosedNeverEnds];

/// The terms on which a fault is looked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum On {
    V1,
    Reject,
    V1_1,
    Beta,
    BetaReject,
    V2,
    CClient,
}

impl On {
    fn terms(self) -> Terms {
        let dialect = match self {
            Self::V1_1 => Dialect::V1_1,
            Self::Beta | Self::BetaReject => Dialect::V1Beta1,
            Self::V2 => Dialect::V2,
            Self::V1 | Self::Reject | Self::CClient => Dialect::V1,
        };
        let profile = if self == Self::CClient { Profile::C_CLIENT } else { Profile::SPEC };
        let rejects = matches!(self, Self::Reject | Self::BetaReject);
        let same_tuple = if rejects { SameTuple::Reject } else { SameTuple::Supersede };
        Terms { dialect, profile, same_tuple, capacity: Some(CAPACITY as u64), may_shut_down: true }
    }
}

/// Fault, terms, the cases that have to fail.
type Row = (Fault, On, &'static [&'static str]);

#[rustfmt::skip]
const FAULTS: &[Row] = &[
    (Fault::EmptyStreamIsRefused, On::V1, &["add-empty-stream"]),
    (Fault::Ipv6IsRefused, On::V1, &["add-accepts-each-kind"]),
    (Fault::OneBadSpoilsTheRest, On::V1, &["add-names-the-failed-only", "add-errors-in-stream-order", "bad-port"]),
    (Fault::BadEndsTheCall, On::V1, &["add-names-the-failed-only", "bad-port"]),
    (Fault::GtpuIsLost, On::V1_1, &["add-within-gtp-u"]),
    (Fault::MessagesPast64AreLost, On::V1, &["add-longer-than-64", "add-errors-in-stream-order"]),
    (Fault::ErrorsAreReversed, On::V1, &["add-errors-in-stream-order"]),
    (Fault::AnswersEarly, On::V1, &["add-reply-waits-for-half-close"]),
    (Fault::JudgesAtTheEnd, On::V1, &["add-counts-before-half-close"]),
    (Fault::BrokenOffIsTakenBack, On::V1, &["add-broken-off-keeps-accepted"]),
    (Fault::NoStartTime, On::V1, &["add-reply-has-a-time"]),
    (Fault::IdsHave32Bits, On::V1, &["add-ids-of-64-bits"]),

    (Fault::PortsWrap, On::V1, &["bad-port"]),
    (Fault::Ipv6IsPadded, On::V1, &["bad-ipv6-length"]),
    (Fault::AnyProtocolIsUdp, On::V1, &["bad-protocol"]),
    (Fault::ProtocolHas8Bits, On::V1, &["bad-protocol"]),
    (Fault::UnknownActionForwards, On::V1, &["bad-action-type"]),
    (Fault::NoActionDrops, On::V1, &["bad-action-missing"]),
    (Fault::CopiesGoNowhere, On::V1, &["bad-copy-without-next-hop"]),
    (Fault::AnyLif, On::V1, &["bad-lif"]),
    (Fault::AnyTunnel, On::V1_1, &["bad-tunnel-type"]),
    (Fault::AnyTunnel, On::Beta, &["bad-tunnel-type"]),
    (Fault::AnyIpVersion, On::V1, &["bad-ip-version"]),

    (Fault::SameIdIsAccepted, On::V1, &["same-id-already-exists", "same-id-twice-in-a-stream", "add-errors-exists"]),
    (Fault::SameIdReplaces, On::V1, &["same-id-first-is-untouched"]),
    (Fault::SameIdReplaces, On::Reject, &["same-id-takes-no-tuple"]),
    (Fault::SupersedesAnyway, On::Reject, &["same-tuple-reject"]),
    (Fault::RejectsAnyway, On::V1,
        &["same-tuple-supersede", "same-tuple-superseded-times-out", "same-tuple-delete-either"]),
    (Fault::DeletedKeepsItsTuple, On::Reject, &["same-tuple-free-after-delete", "delete-id-again-at-once"]),
    (Fault::TupleWithoutPorts, On::Reject, &["same-tuple-every-field-counts"]),
    (Fault::TupleOneWay, On::Reject, &["same-tuple-mirror-image"]),
    (Fault::SupersededVanishes, On::V1, &["same-tuple-supersede"]),
    (Fault::SupersededStays, On::V1, &["same-tuple-superseded-times-out"]),
    (Fault::DeleteTakesTheOlder, On::V1, &["same-tuple-delete-either"]),

    (Fault::FullEndsTheCall, On::V1, &["table-full-one-by-one", "table-full-has-room-again"]),
    (Fault::FullEvicts, On::V1, &["table-full-one-by-one", "table-full-has-room-again"]),
    (Fault::FullIsRejected, On::V1, &["table-full-one-by-one"]),
    (Fault::RoomIsLost, On::V1, &["table-full-has-room-again"]),

    (Fault::StateIsUnknown, On::V1, &["get-live-session", "add-accepts-each-kind"]),
    (Fault::LiveHasAnEnd, On::V1, &["get-live-session"]),
    (Fault::StartMoves, On::V1, &["get-twice-is-the-same", "delete-final-state"]),
    (Fault::CountersAreInvented, On::V1, &["counters-zero-without-traffic", "aging-record"]),
    (Fault::DeleteSaysEstablished, On::V1, &["delete-final-state"]),
    (Fault::DeleteSaysTimeout, On::V1, &["delete-final-state"]),
    (Fault::DeleteIsLate, On::V1, &["delete-takes-effect", "delete-id-again-at-once", "delete-twice"]),
    (Fault::DeleteTakesTheNext, On::V1, &["delete-leaves-others", "delete-takes-effect"]),
    (Fault::DeletedIdStaysTaken, On::V1, &["delete-id-again-at-once"]),
    (Fault::DeletesTwice, On::V1, &["delete-twice"]),
    (Fault::GetHangs, On::V1, &["get-live-session"]),
    (Fault::GetIsSlow, On::V1, &["calls-within-100-ms"]),

    (Fault::ListIsDescending, On::V1, &["list-ascending"]),
    (Fault::PageHasOneMore, On::V1, &["list-page-size", "list-cursor-inclusive"]),
    (Fault::PagesCountFromZero, On::V1, &["list-page-number"]),
    (Fault::PageNumberIsIgnored, On::V1, &["list-page-number"]),
    (Fault::RowsAreBare, On::V1, &["list-rows-are-live"]),
    (Fault::PagesLoseARow, On::V1, &["list-under-churn"]),
    (Fault::CursorIsOffByOne, On::V1, &["list-cursor-inclusive", "list-ascending"]),
    (Fault::CursorIsOffByOne, On::CClient, &["list-cursor-exclusive", "list-ascending"]),

    (Fault::ClosedComesTwice, On::V1, &["closed-each-once"]),
    (Fault::NewestFirst, On::V1, &["closed-oldest-first"]),
    (Fault::ClosedPageIsIgnored, On::V1, &["closed-page-size"]),
    (Fault::ReadersGetTheSame, On::V1, &["closed-two-readers"]),
    (Fault::ClosedNeverEnds, On::V1, &["closed-stream-ends", "no-closed-ends"]),
    (Fault::ClosedIdStaysTaken, On::V1, &["closed-id-is-free"]),
    (Fault::FollowIsIgnored, On::V1, &["closed-follow"]),
    (Fault::CapDropsTheRest, On::CClient, &["page-cap-closed"]),

    (Fault::NeverCloses, On::V1, &["aging-closes-in-time", "aging-closed-is-not-listed", "closed-each-once"]),
    (Fault::ClosesLate, On::V1, &["aging-closes-in-time"]),
    (Fault::ClosesEarly, On::V1, &["aging-closes-in-time"]),
    (Fault::TimeoutIsFinAck, On::V1, &["aging-record"]),
    (Fault::EndBeforeStart, On::V1, &["aging-record", "delete-final-state"]),
    (Fault::ClosedIsListed, On::V1, &["aging-closed-is-not-listed"]),
    (Fault::ZeroIsAtOnce, On::V1, &["aging-zero-is-the-default"]),
    (Fault::LongIsRefused, On::V1, &["aging-beyond-the-maximum"]),

    (Fault::StreamsShareErrors, On::V1, &["streams-in-parallel"]),
    (Fault::RaceIsLost, On::V1, &["streams-race-for-an-id"]),
    (Fault::MalformedHangs, On::V1, &["malformed-message-ends-its-call"]),
    (Fault::MalformedEmptiesTheTable, On::V1, &["malformed-message-ends-its-call", "malformed-in-a-stream"]),
    (Fault::MalformedIsTakenBack, On::V1, &["malformed-in-a-stream"]),

    (Fault::ZeroLifIsRefused, On::V1, &["lif-zero-is-the-default-pair"]),
    (Fault::ZeroLifIsTwoAndOne, On::Reject, &["lif-zero-is-1-and-2"]),
    (Fault::VlanIsRefused, On::V1, &["vlan-tagged-is-accepted"]),
    (Fault::VlanIsRefused, On::Beta, &["vlan-tagged-is-accepted"]),
    (Fault::VlanIsIgnored, On::Reject, &["vlan-is-part-of-the-tuple"]),
    (Fault::VlanIsIgnored, On::BetaReject, &["vlan-is-part-of-the-tuple", "vlan-one-sided"]),
    (Fault::InsideAloneIsRefused, On::V1, &["vlan-inside-alone-is-both"]),
    (Fault::InsideAloneIsPopped, On::Reject, &["vlan-inside-alone-is-the-same"]),
    (Fault::OutsideAloneIsPushed, On::V1, &["vlan-outside-alone"]),
    (Fault::VlansWrap, On::V1, &["vlan-out-of-range"]),
    (Fault::VlansWrap, On::Beta, &["vlan-out-of-range"]),
    (Fault::OneSidedIsAccepted, On::Beta, &["vlan-one-sided"]),
    (Fault::VlanInLif, On::Beta, &["vlan-not-in-lif"]),

    (Fault::BothOrdersAreOne, On::Reject, &["ipv4-order"]),
    (Fault::MaskIsShifted, On::V1, &["add-status-mask"]),
    (Fault::FirstErrorIsTheWorst, On::V1, &["add-status-most-serious"]),

    (Fault::UnknownCallIsUnknown, On::V1, &["unknown-call", "unknown-package", "other-casing"]),
    (Fault::UnknownCallIsUnknown, On::Beta, &["unknown-call", "unknown-package", "other-casing"]),
    (Fault::CasingIsIgnored, On::V1, &["other-casing"]),
    (Fault::CasingIsIgnored, On::V2, &["other-casing"]),
    (Fault::EveryFieldCounts, On::V1, &["fields-of-other-dialects"]),
    (Fault::EveryFieldCounts, On::V2, &["fields-of-other-dialects"]),
    (Fault::NoHealth, On::V1, &["health"]),
    (Fault::NoReflection, On::V2, &["reflection"]),

    (Fault::NoVersion, On::Beta, &["service-version"]),
    (Fault::AnyNextHop, On::Beta, &["next-hop-unknown", "next-hop-destroyed", "clear-next-hops"]),
    (Fault::SetClosesSessions, On::Beta, &["next-hop-in-use"]),
    (Fault::DestroyKeepsSessions, On::Beta, &["next-hop-destroyed", "clear-next-hops"]),
    (Fault::DestroyClosesAll, On::Beta, &["next-hop-destroyed", "clear-next-hops"]),
    (Fault::AnyMac, On::Beta, &["next-hop-bad-mac"]),
    (Fault::NatPortsWrap, On::Beta, &["nat-bad-fields"]),
    (Fault::FlowsAreLost, On::Beta, &["vlan-flows"]),
    (Fault::AnyFlow, On::Beta, &["vlan-flow-bad-fields"]),
    (Fault::ClearKeepsFlows, On::Beta, &["clear-vlan-flows"]),
    (Fault::ClearKeepsHops, On::Beta, &["clear-next-hops"]),
    (Fault::ResetKeepsOne, On::Beta, &["reset-closes-all"]),
    (Fault::ResetIsSilent, On::Beta, &["reset-closes-all"]),
    (Fault::ShutdownFails, On::V1_1, &["shutdown-is-answered"]),
];

/// A switch of the profile that a server reads otherwise than the suite was told: told, there, the cases that notice.
type Switch = (&'static str, Profile, Profile, &'static [&'static str]);

const SPEC: Profile = Profile::SPEC;
const C_CLIENT: Profile = Profile::C_CLIENT;

/// Each of them both ways.
#[rustfmt::skip]
const SWITCHES: &[Switch] = &[
    ("ipv4_order", SPEC, Profile { ipv4_order: Ipv4Order::Host, ..SPEC }, &[]),
    ("add_errors", SPEC, Profile { add_errors: AddErrors::GrpcCode, ..SPEC },
        &["add-errors-rejected", "add-errors-exists", "table-full-one-by-one"]),
    ("add_errors", Profile { add_errors: AddErrors::GrpcCode, ..SPEC }, SPEC,
        &["add-errors-rejected", "add-errors-exists", "table-full-one-by-one"]),
    ("add_status", SPEC, Profile { add_status: AddStatus::Zero, ..SPEC },
        &["add-status-outcome", "add-status-mask", "add-status-most-serious", "table-full-one-by-one"]),
    ("add_status", Profile { add_status: AddStatus::Zero, ..SPEC }, SPEC,
        &["add-status-outcome", "add-status-mask", "table-full-one-by-one"]),
    ("unknown_id", SPEC, Profile { unknown_id: Absence::NotFound, ..SPEC }, &["unknown-id-in-the-message"]),
    ("unknown_id", Profile { unknown_id: Absence::NotFound, ..SPEC }, SPEC, &["unknown-id-not-found"]),
    ("no_closed", SPEC, Profile { no_closed: Absence::NotFound, ..SPEC }, &["no-closed-ends"]),
    ("no_closed", Profile { no_closed: Absence::NotFound, ..SPEC }, SPEC, &["no-closed-not-found"]),
    ("page_cap", SPEC, Profile { page_cap: Some(64), ..SPEC },
        &["no-page-cap-errors", "no-page-cap-list", "no-page-cap-closed"]),
    ("page_cap", Profile { page_cap: Some(64), ..SPEC }, SPEC,
        &["page-cap-errors", "page-cap-list", "page-cap-closed"]),
    ("report_deleted", SPEC, Profile { report_deleted: true, ..SPEC }, &["report-deleted-not"]),
    ("report_deleted", Profile { report_deleted: true, ..SPEC }, SPEC, &["report-deleted"]),
];

/// Without the right cursor there is no list to look at, so that many a case fails beside these.
const CURSORS: &[Switch] = &[
    ("list_cursor", SPEC, Profile { list_cursor: ListCursor::Exclusive, ..SPEC }, &["list-cursor-inclusive"]),
    ("list_cursor", C_CLIENT, Profile { list_cursor: ListCursor::Inclusive, ..C_CLIENT }, &["list-cursor-exclusive"]),
];

/// Runs the cases and names those that did not fail. Where calls hang, each may take half a second, so that it is soon
/// over; the other faults get the usual time, for many servers run beside each other here.
async fn green(target: Target, hangs: bool, expected: &'static [&'static str]) -> Vec<String> {
    let target = if hangs { target.deadline(Duration::from_millis(500)) } else { target };
    let report = suite(&target, expected).await;
    let green = report.results.iter().filter(|result| !matches!(result.outcome, Outcome::Failed(_)));
    green.map(|result| format!("{}: {}", result.case.name, table(&report))).collect()
}

#[test]
fn each_fault_fails_the_cases_that_are_about_it() {
    let start = |&(fault, on, expected): &Row| {
        let work = async move || {
            let terms = on.terms();
            let target = Mock::start(terms, terms.profile, Some(fault)).await;
            green(target, HANGING.contains(&fault), expected).await
        };
        (fault, on_a_thread(work))
    };
    let mut wrong = Vec::new();
    // A few at a time: timeouts are part of what is looked at.
    for rows in FAULTS.chunks(40) {
        let started: Vec<_> = rows.iter().map(start).collect();
        for (fault, suite) in started {
            wrong.extend(suite.join().unwrap().into_iter().map(|case| format!("{fault:?} is not noticed by {case}")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What fails of the suite.
fn red(&(_, told, there, _): &Switch, only: &'static [&'static str]) -> JoinHandle<Vec<&'static str>> {
    on_a_thread(async move || {
        let terms = Terms { profile: told, ..On::V1.terms() };
        let report = suite(&Mock::start(terms, there, None).await, only).await;
        let red = report.results.iter().filter(|result| matches!(result.outcome, Outcome::Failed(_)));
        red.map(|result| result.case.name).collect()
    })
}

/// A server that reads one switch otherwise should not look wrong about everything.
#[test]
fn each_switch_of_the_profile_fails_its_own_cases_alone() {
    let started: Vec<_> = SWITCHES.iter().map(|switch| (switch, red(switch, &[]))).collect();
    for ((name, .., expected), suite) in started {
        assert_eq!(suite.join().unwrap(), *expected, "{name}");
    }
}

#[test]
fn a_list_cursor_of_the_other_kind_is_named() {
    for switch in CURSORS {
        assert_eq!(red(switch, switch.3).join().unwrap(), switch.3);
    }
}

/// Cases that no fault of the table turns red, and why.
const WITHOUT_FAULT: [&str; 2] = [
    // The generated code of a server passes over unknown fields by itself.
    "unknown-fields",
    // It waits a minute for a server that does not come back.
    "shutdown-and-back",
];

#[test]
fn every_case_has_been_seen_red() {
    let red = |name: &str| {
        FAULTS.iter().any(|(_, _, expected)| expected.contains(&name))
            || SWITCHES.iter().chain(CURSORS).any(|(.., expected)| expected.contains(&name))
    };
    let never: Vec<_> = cases().map(|case| case.name).filter(|name| !red(name)).collect();
    assert_eq!(never, WITHOUT_FAULT);
}

#[tokio::test]
async fn a_call_that_hangs_is_told_as_such() {
    let terms = On::V1.terms();
    let target = Mock::start(terms, terms.profile, Some(Fault::GetHangs)).await;
    let report = suite(&target.deadline(Duration::from_millis(500)), &["get-live-session"]).await;
    let Outcome::Failed(failure) = &report.results[0].outcome else { panic!("{}", table(&report)) };
    assert_eq!(failure.to_string(), "expected an answer to getSession within 0.5 s; saw none: the call hangs");
    assert_eq!(report.exit_code(), 1);
}
