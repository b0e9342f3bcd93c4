//! `opof conformance`: a server against the contract.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use opof_conformance::{Choice, SameTuple, Target, Terms};

use crate::args::ServerArgs;
use crate::exit::Failure;
use crate::output::Unread;
use crate::server;

pub(crate) const CONFORMANCE_EXAMPLES: &str = "\
Examples:
  opof conformance --server https://dpu7:3443 --ca dpu7.pem
  opof conformance --server http://localhost:3443 --dialect v1beta1 --profile bluefield --capacity 1000
  opof conformance --only bad-input --only list-ascending --json
  opof conformance --list

Not for a device in service: the suite collects closed sessions, fills the table, closes every session, and takes next
hops and VLAN flows away. It refuses to start where there are sessions.

Exit codes: 0 every required case passed; 1 one failed; 2 not run; 3 the server was not reached.";

const TEMPLATE: &str = "{bar:32} {pos}/{len}  {msg}  {elapsed}";

/// What is tested, and on which terms.
#[derive(Args, Debug)]
pub(crate) struct ConformanceArgs {
    /// What the server does with two ids for one tuple
    #[arg(long, default_value = "supersede")]
    same_tuple: Policy,
    /// Sessions that the server has room for; without it a full table is not tested
    #[arg(long, value_name = "SESSIONS")]
    capacity: Option<u64>,
    /// Run only this case, or the cases of this family; may be given more than once
    #[arg(long, value_name = "NAME|FAMILY")]
    only: Vec<String>,
    /// Name the cases and their rules, and do nothing
    #[arg(long)]
    list: bool,
    /// Run although the server has sessions: they may be closed
    #[arg(long)]
    force: bool,
    /// Let v1.1's shutdownServer be called; something has to start the server again
    #[arg(long)]
    allow_shutdown: bool,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
enum Policy {
    /// The newer session has the tuple
    Supersede,
    /// The newer session is refused
    Reject,
}

/// Runs the suite.
pub(crate) async fn run(server: &ServerArgs, what: &ConformanceArgs, json: bool) -> Result<(), Failure> {
    let choice = Choice { only: what.only.clone(), force: what.force };
    let cases = choice.cases()?;
    if what.list {
        return list(cases.into_iter().map(|(_, case)| case), json);
    }
    let terms = Terms {
        dialect: server.dialect.unwrap_or_default(),
        profile: server.profile,
        same_tuple: match what.same_tuple {
            Policy::Supersede => SameTuple::Supersede,
            Policy::Reject => SameTuple::Reject,
        },
        capacity: what.capacity,
        may_shut_down: what.allow_shutdown,
    };
    let channel = server::config_of_one(server, terms.dialect)?.endpoint()?.connect_lazy();
    let target = Target::new(channel, terms).deadline(Duration::from_secs(server.timeout.into()));
    let progress = progress(cases.len());
    let mut output = Ok(());
    let report = opof_conformance::run(&target, &choice, |result| {
        progress.inc(1);
        progress.set_message(result.case.name);
        if json && output.is_ok() {
            output = writeln!(Unread(io::stdout()), "{}", opof_conformance::json_line(result));
        }
    })
    .await;
    progress.finish_and_clear();
    let report = report?;
    output?;
    let summary = opof_conformance::summary(&report);
    if !json {
        writeln!(Unread(io::stdout()), "{}\n\n{summary}", opof_conformance::table(&report))?;
    }
    if report.exit_code() == 0 { Ok(()) } else { Err(Failure::Nonconforming(summary)) }
}

fn list(cases: impl Iterator<Item = opof_conformance::Case>, json: bool) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    if !json {
        return Ok(writeln!(out, "{}", opof_conformance::list(cases))?);
    }
    for case in cases {
        writeln!(out, "{}", case.json_line())?;
    }
    Ok(())
}

/// On standard error, where a person sees it.
fn progress(cases: usize) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template(TEMPLATE).expect("the template is good");
    ProgressBar::new(cases as u64).with_style(style)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_is_good() {
        assert!(ProgressStyle::with_template(TEMPLATE).is_ok());
    }
}
