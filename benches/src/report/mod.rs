//! What was measured, and what it is held against.

mod plot;
mod text;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::area::Scale;
use crate::machine::Machine;
use crate::samples::Samples;

/// Everything of one run.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    /// How often each subject had its turn.
    pub(crate) rounds: u32,
    /// The figures say nothing: there was too little work.
    pub(crate) is_quick: bool,
    pub(crate) areas: Vec<AreaReport>,
}

/// What was measured in one area.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(crate) struct AreaReport {
    pub(crate) name: &'static str,
    /// What it is about and how it was measured, in sentences.
    pub(crate) about: String,
    pub(crate) figures: Vec<Figure>,
    pub(crate) targets: Vec<Target>,
}

/// One table, and one plot: subjects side by side in several cases.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(crate) struct Figure {
    /// In kebab case, unique in its area: it names the plot.
    pub(crate) name: &'static str,
    pub(crate) title: String,
    /// Of all values, such as "sessions/s" or "ns".
    pub(crate) unit: &'static str,
    /// Who was measured.
    pub(crate) subjects: Vec<String>,
    /// Which of them the others are compared with.
    pub(crate) baseline: Option<usize>,
    pub(crate) cases: Vec<Case>,
}

/// One row.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(crate) struct Case {
    pub(crate) name: String,
    /// In the order of the subjects; empty for one that has not been measured here.
    pub(crate) values: Vec<Samples>,
}

/// Something that has to be reached, and what was.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(crate) struct Target {
    pub(crate) what: String,
    pub(crate) wanted: Bound,
    pub(crate) found: f64,
    /// Of both, such as "%" or "ns".
    pub(crate) unit: &'static str,
    /// Why it is not reached, or what has to be known beside the number.
    pub(crate) note: String,
}

/// What a value must be.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

impl Figure {
    pub(crate) fn new(name: &'static str, title: impl Into<String>, unit: &'static str, subjects: &[&str]) -> Self {
        let subjects = subjects.iter().map(|subject| (*subject).to_owned()).collect();
        Self { name, title: title.into(), unit, subjects, baseline: None, cases: Vec::new() }
    }

    /// Compared with this subject.
    #[must_use]
    pub(crate) fn against(mut self, baseline: usize) -> Self {
        self.baseline = Some(baseline);
        self
    }

    /// One more value of a subject in a case, which is made when it is not there.
    pub(crate) fn add(&mut self, case: &str, subject: usize, value: f64) {
        let index = self.cases.iter().position(|known| known.name == case).unwrap_or_else(|| {
            let values = vec![Samples::default(); self.subjects.len()];
            self.cases.push(Case { name: case.to_owned(), values });
            self.cases.len() - 1
        });
        self.cases[index].values[subject].push(value);
    }

    /// The values of a subject in a case; none when there are none.
    pub(crate) fn samples(&self, case: &str, subject: usize) -> Samples {
        let found = self.cases.iter().find(|known| known.name == case);
        found.map(|case| case.values[subject].clone()).unwrap_or_default()
    }

    /// What a subject did in a case over what the baseline did.
    pub(crate) fn ratio(&self, case: &str, subject: usize) -> f64 {
        let baseline = self.baseline.map(|baseline| self.samples(case, baseline)).unwrap_or_default();
        self.samples(case, subject).ratio_to(&baseline)
    }
}

impl Target {
    pub(crate) fn new(what: impl Into<String>, wanted: Bound, found: f64, unit: &'static str) -> Self {
        Self { what: what.into(), wanted, found, unit, note: String::new() }
    }

    #[must_use]
    pub(crate) fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    /// False also when nothing was found.
    pub(crate) fn is_met(&self) -> bool {
        match self.wanted {
            Bound::AtLeast(least) => self.found >= least,
            Bound::AtMost(most) => self.found <= most,
        }
    }
}

impl Report {
    pub(crate) fn new(machine: Machine, rounds: u32, scale: Scale) -> Self {
        Self { machine, rounds, is_quick: scale == Scale::Quick, areas: Vec::new() }
    }

    /// Writes `report.json`, `report.md` and a plot for each figure into a directory that is made when it is not there.
    pub(crate) fn write(&self, directory: &Path) -> Result<()> {
        fs::create_dir_all(directory).with_context(|| format!("make {}", directory.display()))?;
        let put = |name: &str, text: &str| {
            let path = directory.join(name);
            fs::write(&path, text).with_context(|| format!("write {}", path.display()))
        };
        put("report.json", &(self.to_json()?))?;
        put("report.md", &self.to_text())?;
        for area in &self.areas {
            for figure in &area.figures {
                put(&plot_name(area, figure), &plot::svg(figure)?)?;
            }
        }
        Ok(())
    }

    pub(crate) fn to_json(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// Markdown.
    pub(crate) fn to_text(&self) -> String {
        text::report(self)
    }
}

fn plot_name(area: &AreaReport, figure: &Figure) -> String {
    format!("{}-{}.svg", area.name, figure.name)
}

#[cfg(test)]
mod tests;
