//! One table: a port's program on packets of its sessions, of none, and of TCP control, in turns with what is around it.

use anyhow::{Context, Result, ensure};
use opof_dataplane_linux::probe::{DROPPED, REDIRECTED, RandomRunner, Target};

use super::SUBJECTS;
use super::table::Sessions;
use crate::area::Scale;
use crate::samples::Samples;

/// Packets of one run. The kernel says what each took in whole nanoseconds.
const RUN: u32 = 200_000;
const QUICK_RUN: u32 = 20_000;
/// Turns of each, of which the median is taken: somebody else is on the processor in some.
const TURNS: u32 = 15;
const QUICK_TURNS: u32 = 3;

/// Which flows the packets are of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Order {
    /// The first.
    One,
    /// All, in an order that looks random.
    Random,
}

/// Nanoseconds a packet.
pub(super) struct Times {
    /// Without the program.
    pub(super) around: f64,
    /// With it, in the order of [`SUBJECTS`].
    pub(super) subjects: [f64; SUBJECTS.len()],
}

pub(super) fn measure(sessions: &Sessions, order: Order, scale: Scale) -> Result<Times> {
    let mut runner = sessions.runner()?;
    let flows = if order == Order::One { 1 } else { sessions.count };
    let (packets, turns) = scale.of((RUN, TURNS), (QUICK_RUN, QUICK_TURNS));
    let frames = [sessions.hit(), sessions.miss(), sessions.control()];
    let mut run = |target, frame: &[u8]| time(&mut runner, target, frame, flows, packets);
    let (mut around, mut subjects) = (Samples::default(), [const { Samples(Vec::new()) }; SUBJECTS.len()]);
    // The first turn brings everything into the cache that will be there.
    for turn in 0..=turns {
        let nothing = run(Target::Nothing, &frames[0])?;
        if turn > 0 {
            around.push(nothing);
        }
        for (samples, frame) in subjects.iter_mut().zip(&frames) {
            let time = run(Target::Port, frame)?;
            if turn > 0 {
                samples.push(time);
            }
        }
    }
    Ok(Times { around: around.median(), subjects: subjects.map(|samples| samples.median()) })
}

fn time(runner: &mut RandomRunner, target: Target, frame: &[u8], flows: u32, packets: u32) -> Result<f64> {
    let run = runner.run(target, frame, flows, packets).context("a test run")?;
    let expected = if target == Target::Port { REDIRECTED } else { DROPPED };
    ensure!(run.code == expected, "the program returned {}, not {expected}", run.code);
    Ok(run.mean.as_secs_f64() * 1e9)
}
