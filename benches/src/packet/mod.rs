//! Packets: what the XDP program takes for each, at many sizes of the table.

mod memory;
mod program;
mod table;

use anyhow::{Context, Result};

use self::program::{Order, Times};
use self::table::Sessions;
use crate::area::Setting;
use crate::calls::Family;
use crate::device::Device;
use crate::report::{AreaReport, Bound, Figure, Target};
use crate::text;

const ABOUT: &str = "The program of a wire port alone, by BPF_PROG_TEST_RUN in runs of many packets: 60-byte TCP frames without a tag, of one \
     direction. Each table has room for as many sessions as are in it, for buckets that lie empty cost caches, too, and is made anew in each round (the largest in the first one only). With random flows each packet is one \
     of another session, in an order that no processor foresees and in which every session has its turn; one flow is the same packet again \
     and again. A small program in front writes the source address and hands the frame on; the same with a program behind it that \
     only returns is what is around, and is subtracted from hit, miss and TCP control. What remains is what the program takes to look at a \
     frame, count it and name its way out; the driver's work to take it in and to send it is in none of it. A read of memory is of a random \
     line of 64 bytes, whose place depends on the line before it, in a buffer of ordinary pages as large as tables and counters of so \
     many sessions.";

/// What comes to the program.
const SUBJECTS: [&str; 3] = ["hit", "miss", "TCP control"];
const HIT: usize = 0;
/// What is subtracted, and what a packet is held against.
const AROUND: [&str; 3] = ["around, one flow", "around, random flows", "read of memory"];
const READ: usize = 2;

const SIZES: [(Family, &[u32]); 2] = [
    (Family::V4, &[1_000, 100_000, 1_000_000, 4_000_000, 16_000_000]),
    (Family::V6, &[1_000, 100_000, 1_000_000, 4_000_000]),
];
/// Sizes from here on take minutes to be made: they have one turn, in the first round.
const ONCE: u32 = 16_000_000;
const QUICK: [(Family, &[u32]); 2] = [(Family::V4, &[1_000, 10_000]), (Family::V6, &[1_000, 10_000])];

pub(crate) fn run(setting: &Setting<'_>) -> Result<AreaReport> {
    let device = Device::new()?;
    let mut figures = Figures::new();
    for round in 1..=setting.rounds {
        for (family, sizes) in setting.scale.of(&SIZES, &QUICK) {
            for &size in sizes.iter().filter(|size| round == 1 || **size < ONCE) {
                let case = case(size, *family);
                setting.progress.say(&format!("round {round} of {}: {case}", setting.rounds));
                figures.turn(&device, size, *family, setting).with_context(|| format!("{case}, round {round}"))?;
            }
        }
    }
    Ok(figures.report())
}

fn case(size: u32, family: Family) -> String {
    format!("{} {family} sessions", text::whole(size))
}

struct Figures {
    random: Figure,
    one: Figure,
    around: Figure,
}

impl Figures {
    fn new() -> Self {
        Self {
            random: Figure::new("random", "A packet of random flows", "ns", &SUBJECTS),
            one: Figure::new("one", "A packet of one flow", "ns", &SUBJECTS),
            around: Figure::new("around", "What was subtracted, and a read of memory", "ns", &AROUND),
        }
    }

    fn turn(&mut self, device: &Device, size: u32, family: Family, setting: &Setting<'_>) -> Result<()> {
        let case = case(size, family);
        let sessions = Sessions::install(device, size, family)?;
        let bytes = sessions.memory()?;
        for (order, at) in [(Order::One, 0), (Order::Random, 1)] {
            let Times { around, subjects } = program::measure(&sessions, order, setting.scale)?;
            let figure = if order == Order::One { &mut self.one } else { &mut self.random };
            for (subject, time) in subjects.into_iter().enumerate() {
                figure.add(&case, subject, time - around);
            }
            self.around.add(&case, at, around);
        }
        // Both at once may be more than the machine has.
        drop(sessions);
        self.around.add(&case, READ, memory::random_read(bytes)?);
        Ok(())
    }

    fn report(self) -> AreaReport {
        let mut targets = vec![
            cost(&self.one, "one flow").note("what is around it subtracted"),
            cost(&self.random, "random flows").note("what is around it subtracted"),
        ];
        targets.extend(SIZES.map(|(family, _)| self.reads(family)));
        targets.extend(SIZES.iter().flat_map(|(family, _)| {
            SUBJECTS.iter().enumerate().map(|(subject, name)| self.growth(*family, subject, name))
        }));
        AreaReport {
            name: "packet",
            about: ABOUT.to_owned(),
            figures: vec![self.random, self.one, self.around],
            targets,
        }
    }

    /// What a large table adds, in reads of memory.
    fn reads(&self, family: Family) -> Target {
        let [small, large] = [1_000, 4_000_000].map(|size| self.random.samples(&case(size, family), HIT));
        let read = self.around.samples(&case(4_000_000, family), READ);
        let found = large.over(&small).ratio_to(&read);
        let what = format!("hit, {} over 1,000, random flows", case(4_000_000, family));
        Target::new(what, Bound::AtMost(2.0), found, "reads of memory")
    }

    fn growth(&self, family: Family, subject: usize, name: &str) -> Target {
        let [small, large] = [100_000, 4_000_000].map(|size| self.random.samples(&case(size, family), subject));
        let what = format!("{name}, {family}, random flows, at 4,000,000 of at 100,000");
        let target = Target::new(what, Bound::AtMost(1.5), large.ratio_to(&small), "×");
        target.note("but for what the memory hierarchy dictates")
    }
}

/// The program itself, with everything in the cache.
fn cost(figure: &Figure, flows: &str) -> Target {
    let case = case(1_000, Family::V4);
    Target::new(format!("hit, {case}, {flows}"), Bound::AtMost(100.0), figure.samples(&case, HIT).median(), "ns")
}
