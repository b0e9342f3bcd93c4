//! The report of two subjects in two cases, in all its forms.

use super::*;
use crate::report::text::number;

fn report() -> Report {
    let mut figure = Figure::new("adds", "Sessions added", "sessions/s", &["floor", "sim"]).against(0);
    for (floor, sim) in [(1_000_000.0, 700_000.0), (2_000_000.0, 1_600_000.0), (1_000_000.0, 750_000.0)] {
        figure.add("64 a stream", 0, floor);
        figure.add("64 a stream", 1, sim);
    }
    figure.add("alone", 1, 12.5);
    let targets = vec![
        Target::new("adds at 64", Bound::AtLeast(70.0), 100.0 * figure.ratio("64 a stream", 1), "%"),
        Target::new("memory", Bound::AtMost(300.0), 323.0, "B").note("the index"),
    ];
    let machine = Machine {
        processor: "A CPU".to_owned(),
        processors: 2,
        memory_mib: 1024,
        kernel: "Linux 6.18".to_owned(),
        rustc: "rustc 1.95".to_owned(),
        commit: "0123456789ab".to_owned(),
        time: 1_800_000_000,
    };
    let area = AreaReport { name: "control", about: "Calls.".to_owned(), figures: vec![figure], targets };
    Report { areas: vec![area], ..Report::new(machine, 3, Scale::Full) }
}

#[test]
fn the_text_has_medians_spreads_ratios_and_targets() {
    let text = report().to_text();
    for line in [
        "| | floor | sim |",
        "| 64 a stream | 1,000,000 (1,000,000..2,000,000) | 750,000 (700,000..1,600,000), 0.75 |",
        "| alone | - | 12.5 (12.5..12.5) |",
        "| control | adds at 64 | ≥ 70 % | 75 % | met |  |",
        "| control | memory | ≤ 300 B | 323 B | **not met** | the index |",
        "![Sessions added](control-adds.svg)",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    assert!(!text.contains("quick"));
}

#[test]
fn the_json_has_every_round() {
    let json: serde_json::Value = serde_json::from_str(&report().to_json().unwrap()).unwrap();
    let figure = &json["areas"][0]["figures"][0];
    assert_eq!(figure["cases"][0]["values"][1], serde_json::json!([700_000.0, 1_600_000.0, 750_000.0]));
    assert_eq!((&json["rounds"], &json["machine"]["kernel"]), (&3.into(), &"Linux 6.18".into()));
    assert_eq!(json["areas"][0]["targets"][1]["wanted"], serde_json::json!({"at_most": 300.0}));
}

#[test]
fn everything_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("new");
    report().write(&path).unwrap();
    let svg = fs::read_to_string(path.join("control-adds.svg")).unwrap();
    assert!(svg.starts_with("<svg") && svg.contains("64 a stream") && svg.contains("750,000"), "{svg}");
    assert!(path.join("report.json").exists() && path.join("report.md").exists());
}

#[test]
fn what_was_not_measured_meets_no_target() {
    let mut report = report();
    report.areas[0].targets[0].found = f64::NAN;
    assert!(!report.areas[0].targets[0].is_met());
    assert!(report.to_text().contains("| - % | **not met** |"));
}

#[test]
fn numbers_are_short() {
    let short = [0.0, 0.254, 3.156, 12.5, 99.96, 123.4, 1234.5, 1_234_567.8, -1234.0].map(number);
    assert_eq!(short, ["0", "0.25", "3.16", "12.5", "100", "123", "1,234", "1,234,568", "-1,234"]);
}
