//! What a case is, and how it can end.
//!
//! What must not be here: the checks themselves.

use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use crate::bench::Bench;
use crate::target::Terms;

/// Cases about one thing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Family {
    /// addSession.
    Add,
    /// Sessions that are refused.
    BadInput,
    /// One id twice.
    SameId,
    /// Two ids for one tuple.
    SameTuple,
    /// getSession and deleteSession.
    GetDelete,
    /// getAllSessions.
    List,
    /// getClosedSessions.
    Closed,
    /// Timeouts.
    Aging,
    /// Calls beside each other.
    Streams,
    /// Interfaces and VLANs.
    VlanLif,
    /// What a profile selects.
    ProfileSwitches,
    /// Names and fields of the dialect.
    Dialect,
    /// Next hops, VLAN flows and versions, of v1beta1.
    L3,
    /// Services beside the session table.
    Services,
    /// A table without room.
    TableFull,
    /// Calls that take away more than the suite brought.
    WholeTable,
    /// shutdownServer.
    Shutdown,
}

impl Family {
    /// In kebab case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::BadInput => "bad-input",
            Self::SameId => "same-id",
            Self::SameTuple => "same-tuple",
            Self::GetDelete => "get-delete",
            Self::List => "list",
            Self::Closed => "closed",
            Self::Aging => "aging",
            Self::Streams => "streams",
            Self::VlanLif => "vlan-lif",
            Self::ProfileSwitches => "profile-switches",
            Self::Dialect => "dialect",
            Self::L3 => "l3",
            Self::Services => "services",
            Self::TableFull => "table-full",
            Self::WholeTable => "whole-table",
            Self::Shutdown => "shutdown",
        }
    }
}

/// What it means when a case fails.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Level {
    /// The server does not conform.
    Required,
    /// The server could be better: the contract does not ask for it, or leaves it open.
    Advisory,
}

/// To which terms a case applies.
#[derive(Clone, Copy)]
pub struct Scope {
    /// In words.
    pub text: &'static str,
    pub(crate) holds: fn(&Terms) -> bool,
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text)
    }
}

pub(crate) type Check = Result<(), Stop>;
pub(crate) type Checking<'a> = Pin<Box<dyn Future<Output = Check> + 'a>>;

/// One thing that a server has to do right.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Its name in kebab case, unique.
    pub name: &'static str,
    /// What it is about.
    pub family: Family,
    /// The rule that it checks, in one line.
    pub rule: &'static str,
    /// What a failure means.
    pub level: Level,
    /// To which terms it applies.
    pub scope: Scope,
    pub(crate) run: for<'a> fn(&'a mut Bench) -> Checking<'a>,
}

impl Case {
    /// True when it makes sense on these terms.
    pub fn applies(&self, terms: &Terms) -> bool {
        (self.scope.holds)(terms)
    }
}

/// What a server did wrong.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("expected {expected}; saw {seen}")]
pub struct Failure {
    /// What the rule asks for.
    pub expected: String,
    /// What came.
    pub seen: String,
}

/// How a case ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The server does it right.
    Passed,
    /// It does not.
    Failed(Failure),
    /// It can't be told, or is not asked for; why.
    NotApplicable(String),
}

/// A case and how it ended.
#[derive(Clone, Debug)]
pub struct CaseResult {
    /// The case.
    pub case: Case,
    /// How it ended.
    pub outcome: Outcome,
    /// How long it took, clearing up included.
    pub took: Duration,
}

/// Why a case ends before its end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Stop {
    Failed(Failure),
    NotApplicable(String),
}

impl Stop {
    pub(crate) fn failed(expected: impl Into<String>, seen: impl Into<String>) -> Self {
        Self::Failed(Failure { expected: expected.into(), seen: seen.into() })
    }

    pub(crate) fn not_applicable(why: impl Into<String>) -> Self {
        Self::NotApplicable(why.into())
    }
}

impl From<Check> for Outcome {
    fn from(check: Check) -> Self {
        match check {
            Ok(()) => Self::Passed,
            Err(Stop::Failed(failure)) => Self::Failed(failure),
            Err(Stop::NotApplicable(why)) => Self::NotApplicable(why),
        }
    }
}

/// Fails unless the two are equal.
pub(crate) fn same<T: PartialEq + fmt::Debug>(what: &str, seen: &T, expected: &T) -> Check {
    if seen == expected {
        return Ok(());
    }
    Err(Stop::failed(format!("{what}: {}", short(expected)), short(seen)))
}

/// Fails unless it holds.
pub(crate) fn holds(condition: bool, expected: impl FnOnce() -> String, seen: impl FnOnce() -> String) -> Check {
    if condition { Ok(()) } else { Err(Stop::failed(expected(), seen())) }
}

/// Debug text that fits a line: long lists are cut.
pub(crate) fn short(value: &impl fmt::Debug) -> String {
    const LONGEST: usize = 400;
    let mut text = format!("{value:?}");
    if let Some((end, _)) = text.char_indices().nth(LONGEST) {
        text.truncate(end);
        text.push('…');
    }
    text
}
