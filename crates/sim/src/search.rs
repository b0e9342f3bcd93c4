//! Running seeds, and what is said of one that breaks something.

use std::fmt;
use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use opof_session::planted::Bug;

use crate::limits::TOLD;
use crate::pair;
use crate::world::World;

/// What a seed makes a run of.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Of {
    /// One device.
    #[default]
    Device,
    /// A pair of them.
    Pair,
}

/// A run.
trait Run: Sized {
    fn begin(seed: u64) -> Result<Self, String>;
    fn go(&mut self) -> Result<(), String>;
    fn outcome(&self) -> (Vec<String>, u64);
}

macro_rules! runs {
    ($world:ty) => {
        impl Run for $world {
            fn begin(seed: u64) -> Result<Self, String> {
                Self::new(seed)
            }

            fn go(&mut self) -> Result<(), String> {
                self.run()
            }

            fn outcome(&self) -> (Vec<String>, u64) {
                (self.told().to_vec(), self.print())
            }
        }
    };
}

runs!(World);
runs!(pair::World);

/// A seed that broke something.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// Of what.
    pub of: Of,
    /// Which.
    pub seed: u64,
    /// What was wrong.
    pub what: String,
    /// What was done, up to there.
    pub told: Vec<String>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.told[self.told.len().saturating_sub(TOLD)..] {
            writeln!(f, "  {line}")?;
        }
        writeln!(f, "seed {}: {}", self.seed, self.what)?;
        let pair = if self.of == Of::Pair { " --pair" } else { "" };
        write!(f, "to run it again: cargo xtask sim{pair} --seed {}", self.seed)
    }
}

/// A run without a finding.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Passed {
    /// Of everything that was done and answered: the same whenever the seed is run.
    pub print: u64,
    /// What was done.
    pub told: Vec<String>,
}

/// The whole run of a seed.
///
/// # Errors
/// What it has found.
pub fn run(of: Of, seed: u64) -> Result<Passed, Box<Finding>> {
    match of {
        Of::Device => run_in::<World>(of, seed),
        Of::Pair => run_in::<pair::World>(of, seed),
    }
}

fn run_in<W: Run>(of: Of, seed: u64) -> Result<Passed, Box<Finding>> {
    let finding = |what, told| Box::new(Finding { of, seed, what, told });
    let mut world = match catch_unwind(|| W::begin(seed)) {
        Ok(world) => world.map_err(|what| finding(what, Vec::new()))?,
        Err(panic) => return Err(finding(panicked(panic.as_ref()), Vec::new())),
    };
    // After a panic nothing is asked of the world but what it has told.
    let outcome = catch_unwind(AssertUnwindSafe(|| world.go()));
    let (told, print) = world.outcome();
    match outcome {
        Ok(Ok(())) => Ok(Passed { print, told }),
        Ok(Err(what)) => Err(finding(what, told)),
        Err(panic) => {
            // What is left of it is not sound enough to be taken down in order.
            std::mem::forget(world);
            Err(finding(panicked(panic.as_ref()), told))
        }
    }
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    format!("panic: {}", text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a word"))
}

/// What a search came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Searched {
    /// Seeds that were run to their end.
    pub seeds: u64,
    /// Of those that broke something the first one.
    pub finding: Option<Box<Finding>>,
}

/// Runs seeds, one after the other and as many at once as there are processors, until one breaks something, `goes_on` says no, or there are no
/// more. `bug` is planted where there is none.
///
/// # Panics
/// When a bug is to be planted in what was built without the feature `planted`.
pub fn search(of: Of, seeds: RangeInclusive<u64>, bug: Option<Bug>, goes_on: impl Fn(u64) -> bool + Sync) -> Searched {
    let (next, done, stop) = (AtomicU64::new(*seeds.start()), AtomicU64::new(0), AtomicBool::new(false));
    let first: Mutex<Option<Box<Finding>>> = Mutex::new(None);
    let work = || {
        plant(bug);
        while !stop.load(Ordering::Relaxed) && goes_on(done.load(Ordering::Relaxed)) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed > *seeds.end() {
                break;
            }
            let outcome = run(of, seed);
            done.fetch_add(1, Ordering::Relaxed);
            if let Err(finding) = outcome {
                stop.store(true, Ordering::Relaxed);
                // The smallest of those that were under way: the same one whoever is faster.
                let mut first = first.lock().unwrap_or_else(PoisonError::into_inner);
                if first.as_ref().is_none_or(|before| finding.seed < before.seed) {
                    *first = Some(finding);
                }
            }
        }
        plant(None);
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, NonZeroUsize::get) {
            scope.spawn(work);
        }
    });
    let finding = first.into_inner().unwrap_or_else(PoisonError::into_inner);
    Searched { seeds: done.into_inner(), finding }
}

#[cfg(feature = "planted")]
fn plant(bug: Option<Bug>) {
    opof_session::planted::plant(bug);
}

#[cfg(not(feature = "planted"))]
fn plant(bug: Option<Bug>) {
    assert!(bug.is_none(), "built without the feature `planted`");
}
