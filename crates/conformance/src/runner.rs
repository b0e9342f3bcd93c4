//! Running cases.

use std::time::Duration;

use tokio::time::{Instant, timeout};
use tonic::Code;

use crate::bench::{Bench, connection_error};
use crate::case::{Case, CaseResult, Check, Failure, Level, Outcome, Stop};
use crate::cases::cases;
use crate::limits;
use crate::target::Target;

/// Which cases, and whether in any case.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Choice {
    /// Names of cases or families; none for all.
    pub only: Vec<String>,
    /// Run although the server has sessions.
    pub force: bool,
}

impl Choice {
    /// The cases that it takes, in the order in which they run.
    ///
    /// # Errors
    /// For a name that neither a case nor a family has.
    pub fn cases(&self) -> Result<Vec<(usize, Case)>, RunError> {
        let named = |case: &Case, name: &str| case.name == name || case.family.name() == name;
        if let Some(name) = self.only.iter().find(|name| !cases().any(|case| named(&case, name))) {
            return Err(RunError::NoSuchCase { name: name.clone() });
        }
        let chosen = |case: &Case| self.only.is_empty() || self.only.iter().any(|name| named(case, name));
        Ok(cases().enumerate().filter(|(_, case)| chosen(case)).collect())
    }
}

/// Why no case was run.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RunError {
    /// Neither a case nor a family.
    #[error("no case or family is called {name}; --list names them")]
    NoSuchCase {
        /// What was asked for.
        name: String,
    },
    /// Cases were chosen, and the server passed none of them because none is about it.
    #[error("no chosen case applies: {name} {why}; check --only, --dialect, --profile and --capacity")]
    NoneApplies {
        /// The first of them.
        name: &'static str,
        /// Why it does not apply.
        why: String,
    },
    /// The server does not answer.
    #[error("the server is not reached: {reason}; check its address, and that it listens there")]
    Unreachable {
        /// What the connection said.
        reason: String,
    },
    /// It answers, but not this question.
    #[error("the server does not list its sessions in dialect {dialect}: {reason}; check --dialect and --profile")]
    NotSpoken {
        /// The dialect.
        dialect: opof_api::Dialect,
        /// What the server said.
        reason: String,
    },
    /// It may be in service.
    #[error(
        "the server has sessions: the suite closes and counts sessions, so it must not meet a device in service; where \
         these may go, use --force"
    )]
    InService,
}

impl RunError {
    /// 2: the question is wrong. 3: the server was not reached.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::NoSuchCase { .. } | Self::NoneApplies { .. } | Self::InService | Self::NotSpoken { .. } => 2,
            Self::Unreachable { .. } => 3,
        }
    }
}

/// What the suite found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// In the order in which they ran.
    pub results: Vec<CaseResult>,
}

impl Report {
    /// The required cases that failed.
    pub fn failed(&self) -> impl Iterator<Item = &CaseResult> {
        self.failures(Level::Required)
    }

    /// The advisory cases that failed.
    pub fn advice(&self) -> impl Iterator<Item = &CaseResult> {
        self.failures(Level::Advisory)
    }

    /// 0 when every required case passed or did not apply, 1 when one failed.
    pub fn exit_code(&self) -> u8 {
        u8::from(self.failed().next().is_some())
    }

    /// A run in which nothing was tested is no pass.
    fn none_applies(&self) -> Option<RunError> {
        let mut skipped = self.results.iter().map_while(|result| match &result.outcome {
            Outcome::NotApplicable(why) => Some(RunError::NoneApplies { name: result.case.name, why: why.clone() }),
            Outcome::Passed | Outcome::Failed(_) => None,
        });
        let first = skipped.next()?;
        (skipped.count() + 1 == self.results.len()).then_some(first)
    }

    fn failures(&self, level: Level) -> impl Iterator<Item = &CaseResult> {
        self.results
            .iter()
            .filter(move |result| matches!(result.outcome, Outcome::Failed(_)) && result.case.level == level)
    }
}

/// Runs the cases of `choice`, also behind one that failed; `on_case` hears of each as it ends.
///
/// # Errors
/// When none was run.
pub async fn run(target: &Target, choice: &Choice, mut on_case: impl FnMut(&CaseResult)) -> Result<Report, RunError> {
    let chosen = choice.cases()?;
    // A case of its own number: it names no session.
    let mut first = Bench::new(target, cases().count());
    preflight(&mut first, choice.force).await?;
    let mut report = Report::default();
    for (number, case) in chosen {
        let result = run_case(target, number, case).await;
        on_case(&result);
        report.results.push(result);
    }
    report.none_applies().map_or(Ok(report), Err)
}

async fn preflight(bench: &mut Bench, force: bool) -> Result<(), RunError> {
    let page = match bench.try_page(1, bench.start()).await {
        Ok(page) => page,
        Err(stop) => return Err(RunError::Unreachable { reason: text(stop) }),
    };
    match page {
        Ok(page) if page.session_info.is_empty() || force => {}
        Ok(_) => return Err(RunError::InService),
        Err(status) if matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded | Code::Unknown) => {
            return Err(RunError::Unreachable { reason: connection_error(&status) });
        }
        Err(status) => {
            let reason = format!("{:?}: {}", status.code(), status.message());
            return Err(RunError::NotSpoken { dialect: bench.terms().dialect, reason });
        }
    }
    // What closed before is nobody's any more. A server that can't tell it fails the cases that ask.
    let _ = timeout(limits::CLEANUP, bench.collect_all()).await;
    Ok(())
}

fn text(stop: Stop) -> String {
    match stop {
        Stop::Failed(failure) => failure.to_string(),
        Stop::NotApplicable(why) => why,
    }
}

async fn run_case(target: &Target, number: usize, case: Case) -> CaseResult {
    let began = Instant::now();
    let outcome = if case.applies(&target.terms) {
        let mut bench = Bench::new(target, number);
        let check = in_time("the case", limits::CASE, (case.run)(&mut bench)).await;
        let cleared = in_time("clearing up after the case", limits::CLEANUP, bench.clear()).await;
        // What it found comes first: a server that is wrong may not be cleared either.
        check.and(cleared).into()
    } else {
        Outcome::NotApplicable(format!("applies to {}", case.scope.text))
    };
    CaseResult { case, outcome, took: began.elapsed() }
}

async fn in_time(what: &str, limit: Duration, work: impl Future<Output = Check>) -> Check {
    timeout(limit, work).await.unwrap_or_else(|_| {
        Err(Stop::Failed(Failure {
            expected: format!("an end of {what} within {} s", limit.as_secs()),
            seen: "none".to_owned(),
        }))
    })
}
