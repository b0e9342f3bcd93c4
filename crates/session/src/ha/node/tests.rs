//! Two nodes with empty tables and a line between them that takes a millisecond: what is waited for, and what is not.

use core::time::Duration;

use super::*;
use crate::engine::tests::plane::config;
use crate::ha::term::Side;
use crate::plane::Capabilities;

const DELAY: Duration = Duration::from_millis(1);
/// No beat is in there but the one that may be due anyway.
const SOON: Duration = Duration::from_millis(20);

struct Device {
    node: Node,
    engine: Engine,
    /// Something has happened to it.
    is_woken: bool,
}

impl Device {
    fn new(now: Moment, run: u64, side: Side) -> Self {
        let mut engine = Engine::new(&config(), Capabilities::forwarding(8));
        let hold = Duration::from_secs(3);
        let settings = Settings { run, side, election: Election::External, hold, sync: true, last: None };
        Self { node: Node::new(now, settings, &mut engine), engine, is_woken: true }
    }

    fn handle(&mut self, now: Moment, input: Input) {
        self.node.handle(now, &mut self.engine, input).unwrap();
        self.is_woken = true;
    }

    /// Does what there is to be done and says what there is to say, where something has happened or it is time.
    fn run(&mut self, now: Moment) -> Vec<Message> {
        let Self { node, engine, is_woken } = self;
        if !std::mem::take(is_woken) && node.poll_timeout(engine).is_none_or(|due| due > now) {
            return Vec::new();
        }
        node.work(now, engine);
        std::iter::from_fn(|| node.poll_message(now, engine)).collect()
    }

    fn is_current(&self) -> bool {
        self.node.role() == Role::Active && self.node.status(&self.engine).standing == Some(Standing::In)
    }
}

struct Pair {
    now: Moment,
    devices: [Device; 2],
}

impl Pair {
    fn new() -> Self {
        let now = Moment(1_000_000_000);
        Self { now, devices: [Device::new(now, 1, Side::A), Device::new(now, 2, Side::B)] }
    }

    fn command(&mut self, which: usize, command: Command) {
        self.devices[which].handle(self.now, Input::Command(command));
    }

    /// Each says what it has to, and has heard it a moment later.
    fn step(&mut self) {
        let [first, second] = self.devices.each_mut().map(|device| device.run(self.now));
        self.now = self.now.saturating_add(DELAY);
        for (device, heard) in self.devices.iter_mut().zip([second, first]) {
            for message in heard {
                device.handle(self.now, Input::Message(Box::new(message)));
            }
        }
    }

    /// Goes on until that is so, and says how long that took.
    fn until(&mut self, what: impl Fn(&[Device; 2]) -> bool) -> Duration {
        let begun = self.now;
        while !what(&self.devices) {
            self.step();
            assert!(self.now.saturating_since(begun) < Duration::from_secs(2), "{:?}", self.devices[0].node);
        }
        self.now.saturating_since(begun)
    }
}

/// Whoever has a standby that has everything knows within a few messages, and so does the standby: a switchover right behind another waits
/// for no beat.
#[test]
fn a_switchover_waits_for_nothing_that_nobody_says() {
    let mut pair = Pair::new();
    pair.command(0, Command::Become(Role::Active));
    let current = pair.until(|[first, _]| first.is_current());
    assert!(current <= SOON, "{current:?}");
    for active in [0, 1, 0, 1, 0] {
        let other = 1 - active;
        pair.command(active, Command::Switchover);
        let handed_over = pair.until(|devices| devices[other].node.role() == Role::Active);
        let current = pair.until(|devices| devices[other].is_current());
        assert!(handed_over <= SOON && current <= SOON, "{handed_over:?} {current:?}");
    }
}
