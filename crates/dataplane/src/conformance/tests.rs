//! The suite is green on planes that are right, and red, by the name of a case, on each that is wrong.

mod rig;
mod wrong_answers;
mod wrong_frames;
mod wrong_term;

use std::num::NonZeroUsize;

use self::rig::{SimRig, honest, lifs};
use super::{CASES, Failure, Report, Verdict, run, run_all};
use crate::faulty::FaultRates;
use crate::limits::CONFORMANCE_SESSIONS;
use crate::{Captured, DataPlane, Faulty, SimPlane, SimPorts};

fn device() -> (SimPlane, SimPorts) {
    SimPlane::new(&lifs(), CONFORMANCE_SESSIONS)
}

fn suite(plane: impl DataPlane + 'static, ports: SimPorts) -> Report {
    run_all(&mut SimRig::new(Box::new(plane), ports, honest))
}

/// The case finds the fault.
fn red(name: &str, rig: &mut SimRig) -> Failure {
    let case = CASES.iter().find(|case| case.name == name).expect("a case of this name");
    run(case, rig).result.expect_err(name)
}

#[test]
fn the_simulated_plane_passes() {
    let (plane, ports) = device();
    let report = suite(plane, ports);
    assert!(report.passed(), "{report}");
    assert!(report.cases.iter().all(|case| case.not_carried == 0), "{report}");
}

#[test]
fn the_simulated_plane_passes_with_firewalls_behind_tunnels() {
    let (plane, ports) = device();
    let report = run_all(&mut SimRig::behind_tunnels(Box::new(plane), ports, [1400, 1320]));
    assert!(report.passed(), "{report}");
    let tunnel = report.cases.iter().find(|case| case.name.starts_with("what_does_not_fit")).unwrap();
    assert_eq!(tunnel.result, Ok(Verdict::Passed));
}

#[test]
fn a_captured_plane_passes() {
    let (plane, ports) = device();
    let (plane, tape) = Captured::new(plane, NonZeroUsize::MIN);
    let report = suite(plane, ports);
    assert!(report.passed(), "{report}");
    assert!(tape.overwritten() > 1000);
}

#[test]
fn a_plane_that_dawdles_passes() {
    for seed in 0..3 {
        let (plane, ports) = device();
        let rates = FaultRates { hold: 500, hold_polls: 20, short_submit: 500, ..FaultRates::default() };
        let report = suite(Faulty::new(plane, rates, seed), ports);
        assert!(report.passed(), "seed {seed}\n{report}");
    }
}

#[test]
fn a_plane_that_refuses_fails() {
    let (plane, ports) = device();
    let rates = FaultRates { install_full: 1000, ..FaultRates::default() };
    let report = suite(Faulty::new(plane, rates, 1), ports);
    assert!(report.failed().any(|name| name == "hit_is_forwarded_both_ways"), "{report}");
}

#[test]
fn a_plane_that_is_too_small_is_named() {
    let (plane, ports) = SimPlane::new(&lifs(), 50);
    let failure = red("many_sessions", &mut SimRig::new(Box::new(plane), ports, honest));
    assert_eq!(failure, Failure::TooSmall { sessions: 50, needed: CONFORMANCE_SESSIONS });
}

#[test]
fn frames_that_a_rig_cannot_carry_are_counted() {
    let (plane, ports) = device();
    let mut rig = SimRig::new(Box::new(plane), ports, honest);
    rig.shortest = 14;
    let report = run_all(&mut rig);
    assert!(report.passed(), "{report}");
    // 14 too short cuts, 0 to 13 bytes, of each of twelve packets.
    let cut = report.cases.iter().find(|case| case.name.starts_with("frames_cut")).unwrap();
    assert_eq!(cut.not_carried, 12 * 14);
    assert!(report.to_string().contains("(168 frames left out"), "{report}");
}

#[test]
fn names_are_unique() {
    let mut names: Vec<_> = CASES.iter().map(|case| case.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), CASES.len());
}
