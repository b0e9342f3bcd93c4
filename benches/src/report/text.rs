//! The report in Markdown, for people.

use std::fmt::Write as _;

use super::{AreaReport, Bound, Figure, Report, Target, plot_name};
use crate::samples::Samples;
use crate::text::apart;

/// What stands where nothing was measured.
const NOTHING: &str = "-";

pub(super) fn report(report: &Report) -> String {
    let mut text = String::from("# What opof costs\n\n");
    let machine = &report.machine;
    let _ = writeln!(
        text,
        "{}, {} processors, {} MiB of memory, {}, {}. Commit {}. {} rounds in which all subjects took turns: each value is the median of \
         its rounds, with the least and the greatest, and each ratio the median of the ratios of the rounds.\n",
        machine.processor,
        machine.processors,
        machine.memory_mib,
        machine.kernel,
        machine.rustc,
        machine.commit,
        report.rounds,
    );
    if report.is_quick {
        text += "**A quick run: there was too little work for the figures to say anything.**\n\n";
    }
    if !report.is_quick {
        targets(&mut text, report);
    }
    for area in &report.areas {
        let _ = writeln!(text, "## {}\n\n{}\n", area.name, area.about);
        for figure in &area.figures {
            table(&mut text, area, figure);
        }
    }
    text
}

fn targets(text: &mut String, report: &Report) {
    if report.areas.iter().all(|area| area.targets.is_empty()) {
        return;
    }
    *text += "| area | target | wanted | found | | |\n|---|---|---|---|---|---|\n";
    for area in &report.areas {
        for target in &area.targets {
            let Target { what, wanted, found, unit, note } = target;
            let wanted = match wanted {
                Bound::AtLeast(least) => format!("≥ {}", number(*least)),
                Bound::AtMost(most) => format!("≤ {}", number(*most)),
            };
            let met = if target.is_met() { "met" } else { "**not met**" };
            let _ = writeln!(
                text,
                "| {} | {what} | {wanted} {unit} | {} {unit} | {met} | {note} |",
                area.name,
                number(*found)
            );
        }
    }
    *text += "\n";
}

fn table(text: &mut String, area: &AreaReport, figure: &Figure) {
    let Figure { title, unit, subjects, baseline, cases, .. } = figure;
    let _ = writeln!(text, "### {title}, {unit}\n\n| | {} |", subjects.join(" | "));
    let _ = writeln!(text, "|---{}|", "|---".repeat(subjects.len()));
    for case in cases {
        let cell = |(subject, samples): (usize, &Samples)| {
            if samples.0.is_empty() {
                return NOTHING.to_owned();
            }
            let (least, most) = samples.range();
            let spread = format!("{} ({}..{})", number(samples.median()), number(least), number(most));
            match baseline {
                Some(baseline) if *baseline != subject && !case.values[*baseline].0.is_empty() => {
                    format!("{spread}, {:.2}", samples.ratio_to(&case.values[*baseline]))
                }
                _ => spread,
            }
        };
        let cells: Vec<_> = case.values.iter().enumerate().map(cell).collect();
        let _ = writeln!(text, "| {} | {} |", case.name, cells.join(" | "));
    }
    let _ = writeln!(text, "\n![{title}]({})\n", plot_name(area, figure));
}

/// Three digits that count, thousands apart.
pub(super) fn number(value: f64) -> String {
    if value.is_nan() {
        return NOTHING.to_owned();
    }
    let decimals = match value.abs() {
        100.0.. => 0,
        10.0.. => 1,
        _ => 2,
    };
    let text = format!("{value:.decimals$}");
    let (whole, fraction) = text.split_once('.').map_or((text.as_str(), None), |(whole, rest)| (whole, Some(rest)));
    let apart = apart(whole);
    match fraction.map(|fraction| fraction.trim_end_matches('0')).filter(|fraction| !fraction.is_empty()) {
        Some(fraction) => format!("{apart}.{fraction}"),
        None => apart,
    }
}
