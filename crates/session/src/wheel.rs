//! Deadlines of slots: a hierarchical timing wheel.
//!
//! Arming, cancelling and firing cost O(1) whatever the number of sessions (Varghese and Lauck, "Hashed and
//! Hierarchical Timing Wheels", 1987). The lists run through one array indexed by slot, so a deadline costs 16 bytes
//! and no allocation. Nothing here knows what a deadline is for.

use crate::plane::Slot;
use crate::types::Moment;

/// Deadlines are rounded up to whole ticks of 2^27 ns = 134 ms, so that nothing fires early and everything fires well
/// within the second that the API allows.
const TICK_BITS: u32 = 27;
/// Each level has 64 lists, so that one word says which of them are in use.
const LEVEL_BITS: u32 = 6;
const LISTS: usize = 1 << LEVEL_BITS;
/// Seven levels reach 2^42 ticks, and the last of all moments is in tick 2^37.
const LEVELS: usize = 7;
const _: () = assert!(64 - TICK_BITS <= LEVEL_BITS * 7 && LEVELS == 7, "every moment has a list");

const NONE: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Link {
    /// The tick above the place: 38 bits and 16.
    when_and_where: u64,
    previous: u32,
    next: u32,
}

const _: () = assert!(size_of::<Link>() == 16, "there are millions of them");
const PLACE_BITS: u32 = 16;

impl Link {
    const IDLE: Self = Self { when_and_where: 0, previous: NONE, next: NONE };

    const fn tick(self) -> u64 {
        self.when_and_where >> PLACE_BITS
    }

    const fn place(self) -> Place {
        let [list, level, ..] = self.when_and_where.to_le_bytes();
        match level {
            0 => Place::Idle,
            1 => Place::Due,
            level => Place::Waiting { level: level - 2, list },
        }
    }

    const fn set(&mut self, tick: u64, place: Place) {
        let (level, list) = match place {
            Place::Idle => (0, 0),
            Place::Due => (1, 0),
            Place::Waiting { level, list } => (level + 2, list),
        };
        self.when_and_where = tick << PLACE_BITS | (level as u64) << 8 | list as u64;
    }
}

/// Which list a slot is in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    Idle,
    Due,
    Waiting { level: u8, list: u8 },
}

#[derive(Clone, Copy, Debug)]
struct List {
    head: u32,
    tail: u32,
}

const EMPTY: List = List { head: NONE, tail: NONE };

#[derive(Clone, Debug)]
struct Level {
    occupied: u64,
    lists: [List; LISTS],
}

/// At most one deadline for each slot.
#[derive(Debug)]
pub(crate) struct Wheel {
    /// Everything up to and including this tick has been moved to `due`.
    elapsed: u64,
    levels: Vec<Level>,
    due: List,
    links: Vec<Link>,
}

impl Wheel {
    pub(crate) fn new() -> Self {
        let level = Level { occupied: 0, lists: [EMPTY; LISTS] };
        Self { elapsed: 0, levels: vec![level; LEVELS], due: EMPTY, links: Vec::new() }
    }

    /// Sets the slot's deadline, in place of the one it may have.
    pub(crate) fn arm(&mut self, slot: Slot, deadline: Moment) {
        self.cancel(slot);
        let index = slot.0 as usize;
        if index >= self.links.len() {
            self.links.resize(index + 1, Link::IDLE);
        }
        self.place(slot.0, deadline.0.div_ceil(1 << TICK_BITS));
    }

    /// Forgets the slot's deadline, if it has one.
    pub(crate) fn cancel(&mut self, slot: Slot) {
        let Some(link) = self.links.get_mut(slot.0 as usize) else { return };
        let (Link { previous, next, .. }, place) = (*link, link.place());
        if place == Place::Idle {
            return;
        }
        *link = Link::IDLE;
        if previous != NONE {
            self.links[previous as usize].next = next;
        }
        if next != NONE {
            self.links[next as usize].previous = previous;
        }
        let list = self.list_mut(place);
        if previous == NONE {
            list.head = next;
        }
        if next == NONE {
            list.tail = previous;
        }
        if list.head == NONE
            && let Place::Waiting { level, list } = place
        {
            self.levels[usize::from(level)].occupied &= !(1 << list);
        }
    }

    /// Takes one slot whose deadline is not after `now`.
    pub(crate) fn pop_due(&mut self, now: Moment) -> Option<Slot> {
        while self.due.head == NONE {
            let now = now.0 >> TICK_BITS;
            match self.next_list() {
                Some((level, list, start)) if start <= now => {
                    self.elapsed = start;
                    self.drain(level, list);
                }
                _ => {
                    self.elapsed = self.elapsed.max(now);
                    return None;
                }
            }
        }
        let slot = Slot(self.due.head);
        self.cancel(slot);
        Some(slot)
    }

    /// The slot's deadline, rounded up, if it has one.
    #[cfg(any(test, feature = "audit"))]
    pub(crate) fn deadline(&self, slot: Slot) -> Option<Moment> {
        let link = self.links.get(slot.0 as usize).filter(|link| link.place() != Place::Idle)?;
        Some(Moment(link.tick() << TICK_BITS))
    }

    /// When [`pop_due`](Self::pop_due) has something to do. It may find nothing due then, only deadlines that have come
    /// nearer.
    pub(crate) fn next_deadline(&self) -> Option<Moment> {
        let tick = if self.due.head == NONE { self.next_list()?.2 } else { self.elapsed };
        Some(Moment(tick << TICK_BITS))
    }

    /// The first list that will be due: its level, its index, the tick at which it starts.
    ///
    /// A slot waits in the level of the highest digit (base 64) in which its tick differs from `elapsed`. All lists in
    /// use are thus ahead of `elapsed` in their level, and lower levels come before higher ones.
    fn next_list(&self) -> Option<(u8, u8, u64)> {
        let (level, occupied) = self
            .levels
            .iter()
            .enumerate()
            .find_map(|(i, level)| (level.occupied != 0).then_some((i, level.occupied)))?;
        let list = occupied.trailing_zeros();
        let shift = LEVEL_BITS * u32::try_from(level).expect("there are seven levels");
        let start = (self.elapsed >> shift >> LEVEL_BITS << LEVEL_BITS | u64::from(list)) << shift;
        debug_assert!(start > self.elapsed, "a list in use lies ahead");
        Some((u8::try_from(level).expect("there are seven levels"), u8::try_from(list).expect("below 64"), start))
    }

    /// Empties a list whose time has come: what is not due yet goes to a lower level.
    fn drain(&mut self, level: u8, list: u8) {
        let place = Place::Waiting { level, list };
        let mut at = core::mem::replace(self.list_mut(place), EMPTY).head;
        self.levels[usize::from(level)].occupied &= !(1 << list);
        while at != NONE {
            let link = self.links[at as usize];
            self.place(at, link.tick());
            at = link.next;
        }
    }

    /// Appends an unlinked slot to the list that this tick asks for.
    fn place(&mut self, slot: u32, tick: u64) {
        let place = if tick <= self.elapsed {
            Place::Due
        } else {
            let level = (tick ^ self.elapsed).ilog2() / LEVEL_BITS;
            let list = tick >> (LEVEL_BITS * level) & (LISTS as u64 - 1);
            self.levels[level as usize].occupied |= 1 << list;
            Place::Waiting { level: level.to_le_bytes()[0], list: list.to_le_bytes()[0] }
        };
        let list = self.list_mut(place);
        let tail = core::mem::replace(&mut list.tail, slot);
        if tail == NONE {
            list.head = slot;
        } else {
            self.links[tail as usize].next = slot;
        }
        let link = &mut self.links[slot as usize];
        (link.previous, link.next) = (tail, NONE);
        link.set(tick, place);
    }

    fn list_mut(&mut self, place: Place) -> &mut List {
        match place {
            Place::Waiting { level, list } => &mut self.levels[usize::from(level)].lists[usize::from(list)],
            Place::Due | Place::Idle => &mut self.due,
        }
    }
}

/// When a deadline fires.
#[cfg(any(test, feature = "audit"))]
pub(crate) fn round_up(deadline: Moment) -> Moment {
    Moment(deadline.0.div_ceil(1 << TICK_BITS) << TICK_BITS)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const TICK: u64 = 1 << TICK_BITS;

    #[test]
    fn fires_in_the_tick_after_its_deadline_and_never_before() {
        let mut wheel = Wheel::new();
        wheel.arm(Slot(3), Moment(TICK + 1));
        assert_eq!(wheel.next_deadline(), Some(Moment(2 * TICK)));
        assert_eq!(wheel.pop_due(Moment(2 * TICK - 1)), None);
        assert_eq!(wheel.pop_due(Moment(2 * TICK)), Some(Slot(3)));
        assert_eq!(wheel.pop_due(Moment(u64::MAX)), None);
        assert_eq!(wheel.next_deadline(), None);
    }

    #[test]
    fn a_deadline_in_the_past_is_due_at_once() {
        let mut wheel = Wheel::new();
        assert_eq!(wheel.pop_due(Moment(1000 * TICK)), None);
        wheel.arm(Slot(0), Moment(5));
        assert_eq!(wheel.pop_due(Moment(1000 * TICK)), Some(Slot(0)));
    }

    #[test]
    fn the_last_of_all_moments_can_be_armed_and_cancelled() {
        let mut wheel = Wheel::new();
        wheel.arm(Slot(0), Moment(u64::MAX));
        assert!(wheel.next_deadline().is_some());
        wheel.cancel(Slot(0));
        assert_eq!(wheel.next_deadline(), None);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Arm(u32, u64),
        Cancel(u32),
        Advance(u64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        // Distances of every magnitude, so that every level is used.
        let distance = (0_u32..42, any::<u64>()).prop_map(|(bits, x)| x >> (63 - bits));
        let step = prop_oneof![
            4 => (0_u32..40, distance.clone()).prop_map(|(s, d)| Step::Arm(s, d)),
            1 => (0_u32..40).prop_map(Step::Cancel),
            2 => distance.prop_map(Step::Advance),
        ];
        proptest::collection::vec(step, 1..200)
    }

    proptest! {
        #[test]
        fn agrees_with_a_sorted_map(steps in steps()) {
            let (mut wheel, mut model, mut now) = (Wheel::new(), BTreeMap::new(), 0_u64);
            for step in steps {
                match step {
                    Step::Arm(slot, distance) => {
                        let deadline = now + distance;
                        wheel.arm(Slot(slot), Moment(deadline));
                        model.insert(slot, deadline.div_ceil(TICK));
                    }
                    Step::Cancel(slot) => {
                        wheel.cancel(Slot(slot));
                        model.remove(&slot);
                    }
                    Step::Advance(distance) => {
                        now += distance;
                        let mut fired = Vec::new();
                        while let Some(Slot(slot)) = wheel.pop_due(Moment(now)) {
                            fired.push(slot);
                        }
                        fired.sort_unstable();
                        let due: Vec<u32> =
                            model.iter().filter(|(_, tick)| **tick <= now / TICK).map(|(slot, _)| *slot).collect();
                        model.retain(|_, tick| *tick > now / TICK);
                        prop_assert_eq!(fired, due);
                    }
                }
                let first = model.values().min().copied();
                let next = wheel.next_deadline().map(|m| m.0 / TICK);
                prop_assert_eq!(first.is_some(), next.is_some());
                // It may wake early to move deadlines nearer, never late.
                prop_assert!(next <= first || next.is_some_and(|n| n <= now / TICK));
            }
        }
    }
}
