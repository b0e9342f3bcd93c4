//! Results as a table for people and as JSON, one object a line, for programs.

use comfy_table::{Table, presets};
use serde_json::{Value, json};

use crate::case::{Case, CaseResult, Level, Outcome};
use crate::runner::Report;

/// Name, result, time and detail of every case.
pub fn table(report: &Report) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["CASE", "RESULT", "SECONDS", "DETAIL"]);
    table.add_rows(report.results.iter().map(|result| {
        let detail = match &result.outcome {
            Outcome::Passed => String::new(),
            Outcome::Failed(failure) => format!("{failure} [{}]", result.case.rule),
            Outcome::NotApplicable(why) => why.clone(),
        };
        [result.case.name.to_owned(), word(result).to_owned(), format!("{:.2}", result.took.as_secs_f64()), detail]
    }));
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt()
}

/// How many passed, failed and did not apply.
pub fn summary(report: &Report) -> String {
    let count = |wanted: fn(&Outcome) -> bool| report.results.iter().filter(|result| wanted(&result.outcome)).count();
    let passed = count(|outcome| matches!(outcome, Outcome::Passed));
    let not_applicable = count(|outcome| matches!(outcome, Outcome::NotApplicable(_)));
    let (failed, advice) = (report.failed().count(), report.advice().count());
    format!("{passed} passed, {failed} failed, {advice} advisory failed, {not_applicable} not applicable")
}

/// A result as one line of JSON.
pub fn json_line(result: &CaseResult) -> String {
    let mut line = case_json(&result.case);
    line["result"] = json!(match &result.outcome {
        Outcome::Passed => "passed",
        Outcome::Failed(_) => "failed",
        Outcome::NotApplicable(_) => "not_applicable",
    });
    line["seconds"] = json!(result.took.as_secs_f64());
    match &result.outcome {
        Outcome::Passed => {}
        Outcome::Failed(failure) => {
            line["expected"] = json!(failure.expected);
            line["seen"] = json!(failure.seen);
        }
        Outcome::NotApplicable(why) => line["why"] = json!(why),
    }
    line.to_string()
}

impl Case {
    /// The case as one line of JSON.
    pub fn json_line(&self) -> String {
        case_json(self).to_string()
    }
}

/// Cases with their rules, for people.
pub fn list(cases: impl Iterator<Item = Case>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["FAMILY", "CASE", "APPLIES TO", "RULE"]);
    table.add_rows(cases.map(|case| {
        let level = if case.level == Level::Advisory { " (advisory)" } else { "" };
        [case.family.name(), case.name, case.scope.text, &[case.rule, level].concat()].map(str::to_owned)
    }));
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt()
}

fn case_json(case: &Case) -> Value {
    let advisory = case.level == Level::Advisory;
    json!({
        "case": case.name,
        "family": case.family.name(),
        "rule": case.rule,
        "advisory": advisory,
        "applies_to": case.scope.text,
    })
}

const fn word(result: &CaseResult) -> &'static str {
    match (&result.outcome, result.case.level) {
        (Outcome::Passed, _) => "passed",
        (Outcome::Failed(_), Level::Required) => "FAILED",
        (Outcome::Failed(_), Level::Advisory) => "advice",
        (Outcome::NotApplicable(_), _) => "n/a",
    }
}
