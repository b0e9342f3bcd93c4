//! `opof conformance`: a server against the contract.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use opof_conformance::{Choice, Dialect, Profile, SameTuple, Target, Terms};

use crate::args::ServerArgs;
use crate::exit::Failure;
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
    /// Dialect that is spoken: v1, v1.1, v1beta1 or v2
    #[arg(long, default_value = "v1", value_parser = dialect)]
    dialect: Dialect,
    /// How the messages are read: spec, c-client or bluefield
    #[arg(long, default_value = "spec", value_parser = profile)]
    profile: Profile,
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

fn dialect(name: &str) -> Result<Dialect, String> {
    Dialect::from_name(name).ok_or_else(|| format!("known are {}", Dialect::ALL.map(Dialect::name).join(", ")))
}

fn profile(name: &str) -> Result<Profile, String> {
    Profile::from_name(name).ok_or_else(|| format!("known are {}", Profile::NAMED.map(|(name, _)| name).join(", ")))
}

/// Runs the suite.
pub(crate) async fn run(server: &ServerArgs, what: &ConformanceArgs, json: bool) -> Result<(), Failure> {
    let choice = Choice { only: what.only.clone(), force: what.force };
    let cases = choice.cases()?;
    if what.list {
        return list(cases.into_iter().map(|(_, case)| case), json);
    }
    let terms = Terms {
        dialect: what.dialect,
        profile: what.profile,
        same_tuple: match what.same_tuple {
            Policy::Supersede => SameTuple::Supersede,
            Policy::Reject => SameTuple::Reject,
        },
        capacity: what.capacity,
        may_shut_down: what.allow_shutdown,
    };
    let channel = server::config(server)?.endpoint()?.connect_lazy();
    let target = Target::new(channel, terms).deadline(Duration::from_secs(server.timeout.into()));
    let progress = progress(cases.len());
    let mut output = Ok(());
    let report = opof_conformance::run(&target, &choice, |result| {
        progress.inc(1);
        progress.set_message(result.case.name);
        if json && output.is_ok() {
            output = writeln!(io::stdout(), "{}", opof_conformance::json_line(result));
        }
    })
    .await;
    progress.finish_and_clear();
    let report = report?;
    output?;
    let summary = opof_conformance::summary(&report);
    if !json {
        writeln!(io::stdout(), "{}\n\n{summary}", opof_conformance::table(&report))?;
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

    #[test]
    fn a_name_that_there_is_not_names_those_that_there_are() {
        assert_eq!(dialect("v1.1"), Ok(Dialect::V1_1));
        assert_eq!(dialect("1"), Err("known are v1, v1.1, v1beta1, v2".to_owned()));
        assert_eq!(profile("bluefield"), Ok(Profile::BLUEFIELD));
        assert_eq!(profile("x"), Err("known are spec, c-client, bluefield".to_owned()));
    }
}
