//! What a person reads: one table a case, and the verdicts at the end.

use std::fmt::Write as _;

use opof_session::types::DirectionCounters;
use opof_tests::{Closed, Counted};

use crate::outcome::{Check, Outcome};

/// A case and the statements about it.
pub(crate) struct Verdict {
    pub case: String,
    pub checks: Vec<Check>,
}

impl Verdict {
    pub(crate) fn ok(&self) -> bool {
        self.checks.iter().all(|check| check.ok)
    }
}

/// One case, before and after.
pub(crate) fn case(outcome: &Outcome) -> String {
    let Outcome { before, after, counted, wires, .. } = outcome;
    let mut text = String::new();
    let mut row = |name: &str, before: String, after: String| {
        let _ = writeln!(text, "  {name:<34} {before:>16} {after:>16}");
    };
    row(outcome.case.name, "without offload".into(), "offloaded".into());
    row("throughput", rate(before.figures.bits_per_second), rate(after.figures.bits_per_second));
    row("firewall: frames at its ports", count(before.at_firewall), count(after.at_firewall));
    row("firewall: packets of the flow (GRO)", count(before.seen.flow_data), count(after.seen.flow_data));
    row("firewall: its SYN, FIN, RST", count(before.seen.flow_control), count(after.seen.flow_control));
    row("firewall: iperf3's own connection", count(before.seen.companion), count(after.seen.companion));
    let directions = [("to the server", counted.inward, wires[0]), ("to the client", counted.outward, wires[1])];
    for (name, counters, wire) in directions {
        row(&format!("device: {name}, packets"), String::new(), count(counters.packets));
        row(&format!("device: {name}, bytes"), String::new(), count(counters.bytes));
        row(
            "  wire port less firewall, bytes",
            String::new(),
            count(wire.received.1.saturating_sub(wire.to_firewall.1)),
        );
    }
    text
}

/// A closed session as it arrives.
pub(crate) fn closed(record: &Closed) -> String {
    let direction =
        |counters: DirectionCounters| format!("{} packets {} bytes", count(counters.packets), count(counters.bytes));
    let why = if record.by_timeout { "timeout" } else { "unexpected" };
    let Counted { inward, outward } = record.counted;
    format!("  session {}: {why}; to the server {}, to the client {}", record.id, direction(inward), direction(outward))
}

/// PASS or FAIL, a line a case, and what failed.
pub(crate) fn verdicts(verdicts: &[Verdict]) -> String {
    let mut text = String::new();
    for verdict in verdicts {
        let _ = writeln!(text, "  {}  {:<18} {} checks", word(verdict.ok()), verdict.case, verdict.checks.len());
        for check in verdict.checks.iter().filter(|check| !check.ok) {
            let _ = writeln!(text, "        not so: {} ({})", check.what, check.detail);
        }
    }
    text
}

pub(crate) fn word(ok: bool) -> &'static str {
    if ok { "PASS" } else { "FAIL" }
}

/// With a comma between thousands.
fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (position, digit) in digits.char_indices() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn rate(bits_per_second: f64) -> String {
    if bits_per_second >= 1e9 {
        format!("{:.2} Gbit/s", bits_per_second / 1e9)
    } else {
        format!("{:.1} Mbit/s", bits_per_second / 1e6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(count(number), text);
        }
    }

    #[test]
    fn a_failed_check_fails_its_case_and_is_named() {
        let check = |what, ok| Check { what, ok, detail: "3 packets".into() };
        let verdict = Verdict { case: "TCP".into(), checks: vec![check("a", true), check("b", false)] };
        assert!(!verdict.ok());
        let text = verdicts(&[verdict]);
        assert!(
            text.contains("FAIL") && text.contains("not so: b (3 packets)") && !text.contains("not so: a"),
            "{text}"
        );
    }
}
