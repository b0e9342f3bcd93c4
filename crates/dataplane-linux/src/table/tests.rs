//! Index and flows together, without the kernel: against a model, and in every order in which a writer and a program can meet.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;

use super::index::{Word, low};
use super::*;
use crate::abi::{BUCKET_WORDS, ENTRIES, KEY_WORDS, STAMP};

const TAIL_MASK: u64 = u64::from_ne_bytes([0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0]);

/// `find_anywhere()` in `bpf/table.h`.
fn find<W: Word>(index: &[W], flows: &[W], shape: &Shape, key: &Key) -> Option<u32> {
    let hash = shape.hash(key);
    for bucket in shape.buckets_of(hash) {
        for place in &index[bucket + 1..=bucket + ENTRIES] {
            // Acquire stands for the dependency of what is read next on what was read here.
            let entry = place.load(Ordering::Acquire);
            if entry >> 32 == u64::from(low(hash)) && entry != 0 && has_key(flows, low(entry) - 1, key) {
                return Some(low(entry) - 1);
            }
        }
        if index[bucket].load(Ordering::Relaxed) == 0 {
            return None;
        }
    }
    None
}

/// `flow_of()` there.
fn has_key(flows: &[impl Word], number: u32, key: &Key) -> bool {
    let flow = flows::flow(flows, number);
    let word = |at: usize| flow[at].load(Ordering::Relaxed);
    word(KEY_WORDS - 1) & TAIL_MASK == key.0[KEY_WORDS - 1] && (0..key.address_words()).all(|at| word(at) == key.0[at])
}

/// An IPv4 flow with this source.
fn flow_of(source: u32) -> opof_wire::FlowKey {
    opof_wire::FlowKey {
        vlan: opof_wire::Vid::UNTAGGED,
        tunnel: opof_wire::Tunnel::None,
        addresses: opof_wire::Addresses::V4 { source: source.to_be_bytes(), destination: [192, 0, 2, 1] },
        source_port: 1,
        destination_port: 2,
        transport: opof_wire::Transport::Udp,
    }
}

/// Its key.
fn key(source: u32) -> Key {
    let flow = flow_of(source);
    Key::new(&opof_session::types::MatchKey { lif: opof_session::types::Lif::new(1).unwrap(), flow }, 0)
}

struct World {
    shape: Shape,
    index: Vec<AtomicU64>,
    flows: Vec<AtomicU64>,
}

impl World {
    fn new(shape: Shape, flows: usize) -> Self {
        let zeros = |count| (0..count).map(|_| AtomicU64::new(0)).collect();
        Self { shape, index: zeros(shape.words()), flows: zeros(flows * FLOW_WORDS) }
    }

    fn insert(&self, key: &Key, flow: u32) -> Result<(), Full> {
        flows::write(flows::flow(&self.flows, flow), &new_flow(key, None));
        index::insert(&self.index, &self.shape, self.shape.hash(key), flow)
    }

    fn insert_session(&self, slot: Slot, directions: &[NewFlow; 2]) -> Result<(), Full> {
        write(&self.flows, slot, directions);
        publish(&self.index, &self.shape, slot, directions)
    }

    fn remove(&self, key: &Key, flow: u32) -> bool {
        index::remove(&self.index, &self.shape, self.shape.hash(key), flow)
    }

    fn find(&self, key: &Key) -> Option<u32> {
        find(&self.index, &self.flows, &self.shape, key)
    }

    fn is_empty(&self) -> bool {
        self.index.iter().all(|word| word.load(Ordering::Relaxed) == 0)
    }
}

/// There are four hashes, so that many keys have the same one, and the same buckets with it.
fn crowded() -> Shape {
    let mut multipliers = [0; MULTIPLIERS];
    multipliers[1] = 1 << 62;
    Shape::new(1, multipliers)
}

proptest! {
    /// Every key that was inserted is found, until it is removed and no longer, whoever else came and went; and what has held
    /// nothing for a while is as it was.
    #[test]
    fn the_index_is_a_map(steps in prop::collection::vec((any::<bool>(), 0_u32..48), 1..400), seed in any::<[u64; MULTIPLIERS]>(), crowd in any::<bool>()) {
        let shape = if crowd { crowded() } else { Shape::new(1, seed) };
        let world = World::new(shape, 48);
        let mut model = HashMap::new();
        for (insert, number) in steps {
            let key = key(number << 24 | number);
            if insert && !model.contains_key(&key) {
                if world.insert(&key, number).is_ok() {
                    model.insert(key, number);
                }
            } else if !insert {
                prop_assert_eq!(world.remove(&key, number), model.remove(&key).is_some());
            }
            for number in 0..48 {
                let key = self::key(number << 24 | number);
                prop_assert_eq!(world.find(&key), model.get(&key).copied());
            }
        }
        for (key, number) in model {
            prop_assert!(world.remove(&key, number));
        }
        prop_assert!(world.is_empty());
    }
}

/// As many flows as the table is made for find room, in tables of all sizes, again and again.
#[test]
fn a_table_has_room_for_what_it_was_made_for() {
    let (mut passed, mut flows) = (0_u64, 0_u64);
    for sessions in (1..=64).chain([100, 1_000, 10_000, 100_000]) {
        for _ in 0..3 {
            let world = World::new(Shape::new(sessions, draw_multipliers().unwrap()), 2 * sessions as usize);
            for number in 0..2 * sessions {
                assert_eq!(world.insert(&key(number), number), Ok(()), "flow {number} of {sessions} sessions");
            }
            flows += u64::from(2 * sessions);
            passed += world.index.iter().step_by(BUCKET_WORDS).map(|word| word.load(Ordering::Relaxed)).sum::<u64>();
        }
    }
    println!("{passed} of {flows} flows are not in their first bucket");
    // What that costs: nearly all are found in their first bucket.
    assert!(passed * 10 < flows, "{passed} of {flows} flows passed a bucket by");
}

/// Sets of keys as networks have them, each with a number of its own: hosts that follow each other, ports that do, networks of a few
/// hosts, hosts with a few ports each.
const SETS: [fn(u32) -> [u32; 2]; 6] = [
    |n| [n, 1],
    |n| [1, n],
    |n| [n << 8, 1],
    |n| [n.reverse_bits(), 1],
    |n| [((n % 64) << 16) | (n / 64), 1],
    |n| [n / 1000, n % 1000],
];

/// No hash of a few multiplications spreads every set of keys whatever its multipliers are; this one has to spread these, whatever they
/// are.
#[test]
fn keys_that_follow_each_other_are_spread_like_any() {
    const FLOWS: u32 = 8192;
    const DRAWS: u32 = 100;
    for (set, words) in SETS.iter().enumerate() {
        for draw in 0..DRAWS {
            let world = World::new(Shape::new(FLOWS / 2, draw_multipliers().unwrap()), FLOWS as usize);
            for number in 0..FLOWS {
                let [source, ports] = words(number);
                let key = with_ports(key(source), ports);
                assert_eq!(world.insert(&key, number), Ok(()), "set {set}, draw {draw}, flow {number}");
            }
            let passed: u64 = world.index.iter().step_by(BUCKET_WORDS).map(|word| word.load(Ordering::Relaxed)).sum();
            assert!(
                passed * 10 < u64::from(FLOWS),
                "set {set}, draw {draw}: {passed} of {FLOWS} flows passed a bucket by"
            );
        }
    }
}

/// A key with these ports, as a number.
fn with_ports(mut key: Key, ports: u32) -> Key {
    let last = &mut key.0[KEY_WORDS - 1];
    *last = (*last & !0xFFFF_FFFF) | u64::from(ports);
    key
}

/// A bucket of seven, the next ones, and no more than sixteen of them.
#[test]
fn a_key_without_room_is_refused() {
    let shape = Shape::new(1, [0; MULTIPLIERS]);
    assert!(shape.buckets_of(0).all(|bucket| bucket == 0), "all in one bucket");
    let world = World::new(shape, ENTRIES + 1);
    let crowd = u32::try_from(ENTRIES).unwrap();
    for number in 0..crowd {
        assert_eq!(world.insert(&key(number), number), Ok(()));
    }
    assert_eq!(world.insert(&key(crowd), crowd), Err(Full));
    assert_eq!((world.find(&key(crowd)), world.find(&key(0))), (None, Some(0)));
    assert!(world.remove(&key(3), 3));
    assert_eq!(world.insert(&key(crowd), crowd), Ok(()));
    assert_eq!((world.find(&key(crowd)), world.find(&key(3))), (Some(crowd), None));
}

/// Of a session whose second key has no room, nothing stays.
#[test]
fn no_half_session_is_kept() {
    let world = World::new(Shape::new(1, [0; MULTIPLIERS]), ENTRIES + 1);
    for number in 0..6 {
        assert_eq!(world.insert(&key(number), number), Ok(()));
    }
    let directions = [(key(6), None), (key(7), None)];
    assert_eq!(world.insert_session(Slot(3), &directions), Err(Full));
    assert_eq!((world.find(&key(6)), world.find(&key(7)), world.find(&key(5))), (None, None, Some(5)));
    assert!(world.remove(&key(0), 0));
    assert_eq!(world.insert_session(Slot(3), &directions), Ok(()));
    assert_eq!((world.find(&key(6)), world.find(&key(7))), (Some(6), Some(7)));
}

/// Memory whose writer ends after so many stores.
struct Ending<'a> {
    word: &'a AtomicU64,
    left: &'a Cell<u32>,
}

impl Word for Ending<'_> {
    fn load(&self, order: Ordering) -> u64 {
        self.word.load(order)
    }

    fn store(&self, value: u64, order: Ordering) {
        if self.left.get() > 0 {
            self.left.set(self.left.get() - 1);
            self.word.store(value, order);
        }
    }
}

/// A session takes the slot of another, of the same or of the other family, and its writer ends after each store: there is the older
/// session as it was, or none, or the newer one.
#[test]
fn a_note_is_of_the_flows_that_are_there_whenever_its_writer_ends() {
    let v6 = |number: u8| {
        let addresses = opof_wire::Addresses::V6 { source: [number; 16], destination: [0xFD; 16] };
        let flow = opof_wire::FlowKey { addresses, ..flow_of(7) };
        Key::new(&opof_session::types::MatchKey { lif: opof_session::types::Lif::new(1).unwrap(), flow }, 0)
    };
    let session = |number: u8, is_v6: bool| {
        let keys = [number, number + 1].map(|number| if is_v6 { v6(number) } else { key(number.into()) });
        (keys.map(|key| (key, None)), Note([number.into(), u64::MAX, 1 << 56 | u64::from(number)]))
    };
    let (older, newer) = (10, 20);
    for families in [[false, false], [false, true], [true, false], [true, true]] {
        let (before, after) = (session(older, families[0]), session(newer, families[1]));
        let mut seen = [0; 3];
        for stores in 0_u32.. {
            let words: Vec<AtomicU64> = (0..2 * FLOW_WORDS + 3).map(|_| AtomicU64::new(0)).collect();
            let left = Cell::new(u32::MAX);
            let shared: Vec<_> = words.iter().map(|word| Ending { word, left: &left }).collect();
            let (flows, beside) = shared.split_at(2 * FLOW_WORDS);
            put(flows, Some(beside), Slot(0), &before.0, before.1);
            left.set(stores);
            put(flows, Some(beside), Slot(0), &after.0, after.1);
            let note = place_of_note(flows, Some(beside), Slot(0)).and_then(notes::read);
            let found = [0, 1].map(|number| parts(&flows::words(flows::flow(flows, number))));
            match note {
                Some(note) if note == before.1 => assert_eq!((stores, found), (0, before.0), "{families:?}"),
                Some(note) => assert_eq!((found, note), after, "{families:?} after {stores} stores"),
                None => {}
            }
            seen[note.map_or(1, |note| if note == before.1 { 0 } else { 2 })] += 1;
            if left.get() > 0 {
                break;
            }
        }
        assert!(seen[0] == 1 && seen[1] > 2 && seen[2] > 0, "{families:?}: {seen:?}");
    }
}

/// A writer that ended anywhere leaves entries to nothing, half sessions, and buckets that count too many.
#[test]
fn an_index_is_mended() {
    const FLOWS: u32 = 90;
    // So full that many a key passes a bucket by.
    let shape = Shape::new(1, draw_multipliers().unwrap());
    let key = |number: u32| key(number << 24 | number);
    let filled = || {
        let world = World::new(shape, FLOWS as usize);
        for number in 0..FLOWS {
            assert_eq!(world.insert(&key(number), number), Ok(()));
        }
        world
    };
    let passed = |world: &World| -> Vec<u64> {
        world.index.iter().step_by(BUCKET_WORDS).map(|word| word.load(Ordering::Relaxed)).collect()
    };
    let (world, expected) = (filled(), filled());
    for number in (1..FLOWS).step_by(2) {
        assert!(expected.remove(&key(number), number));
    }
    for bucket in (0..shape.words()).step_by(BUCKET_WORDS) {
        world.index[bucket].store(world.index[bucket].load(Ordering::Relaxed) + 3, Ordering::Relaxed);
    }
    let odd = [0xDEAD_BEEF_0000_0000, u64::from(u32::MAX), index::entry(shape.hash(&key(2)), 4)];
    let free = (0..shape.words()).filter(|at| world.index[*at].load(Ordering::Relaxed) == 0);
    for (at, odd) in free.collect::<Vec<_>>().into_iter().zip(odd) {
        world.index[at].store(odd, Ordering::Relaxed);
    }
    let hash_of = |number: u32| shape.hash(&key(number));
    index::mend(&world.index, &shape, |number| number < FLOWS && number.is_multiple_of(2), hash_of);
    assert_eq!(passed(&world), passed(&expected));
    for number in 0..FLOWS {
        let found = number.is_multiple_of(2).then_some(number);
        assert_eq!(world.find(&key(number)), found);
        assert_eq!(index::leads_to(&world.index, &shape, hash_of(number), number), found.is_some());
    }
}

#[test]
fn the_mask_is_that_of_the_header() {
    assert_eq!(crate::abi::tests::constant("OPOF_TAIL_MASK"), TAIL_MASK);
}

/// A batch that fails at entry `bad` with `errno`, `times` times.
fn failing(bad: usize, errno: i32, times: u32) -> impl Fn(usize, usize) -> Batch {
    let left = RefCell::new(times);
    move |from, to| {
        if (from..to).contains(&bad) && *left.borrow() > 0 {
            *left.borrow_mut() -= 1;
            return Batch { done: bad - from, error: Some(io::Error::from_raw_os_error(errno)) };
        }
        Batch { done: to - from, error: None }
    }
}

fn failures(batch: impl Fn(usize, usize) -> Batch) -> Vec<(usize, i32)> {
    let mut failures = Vec::new();
    sweep(2 * BATCH, |at, error| failures.push((at, error.raw_os_error().unwrap())), batch);
    failures
}

#[test]
fn one_bad_entry_fails_alone() {
    assert_eq!(failures(failing(7, libc::E2BIG, 1)), [(7, libc::E2BIG)]);
    assert_eq!(failures(failing(2 * BATCH - 1, libc::E2BIG, 1)), [(2 * BATCH - 1, libc::E2BIG)]);
}

#[test]
fn passing_faults_are_tried_again_but_not_for_ever() {
    assert_eq!(failures(failing(BATCH, libc::ENOMEM, MAP_TRIES - 1)), []);
    assert_eq!(failures(failing(BATCH, libc::ENOMEM, u32::MAX)), [(BATCH, libc::ENOMEM)]);
}

/// The protocol, with every order of what a writer and two packets do, and every value that memory may show them (loom).
mod protocol {
    use std::sync::Arc;

    use loom::sync::atomic::{AtomicBool, AtomicU64, fence};
    use loom::thread;

    use super::*;

    impl Word for AtomicU64 {
        fn load(&self, order: Ordering) -> u64 {
            AtomicU64::load(self, order)
        }

        fn store(&self, value: u64, order: Ordering) {
            AtomicU64::store(self, value, order);
        }
    }

    /// How many orders of events are followed: all with at most so many switches between threads that run.
    const PREEMPTIONS: usize = 3;

    /// One bucket, one flow, and whether a program runs.
    struct Shared {
        shape: Shape,
        index: Vec<AtomicU64>,
        flow: Vec<AtomicU64>,
        runs: AtomicBool,
    }

    impl Shared {
        fn new() -> Self {
            let zeros = |count| (0..count).map(|_| AtomicU64::new(0)).collect();
            // Both keys are in bucket 0 and have the same half of their hash, so that the flow alone tells them apart.
            let shape = Shape::new(1, [0; MULTIPLIERS]);
            Self { shape, index: zeros(BUCKET_WORDS), flow: zeros(FLOW_WORDS), runs: AtomicBool::new(false) }
        }

        fn install(&self, key: &Key, action: u64) {
            let mut words = new_flow(key, None);
            words[STAMP] = action;
            flows::write(&self.flow, &words);
            index::insert(&self.index, &self.shape, self.shape.hash(key), 0).unwrap();
        }

        /// The wrong way round: leads programs to a flow before it is written.
        fn install_too_early(&self, key: &Key, action: u64) {
            let mut words = new_flow(key, None);
            words[STAMP] = action;
            index::insert(&self.index, &self.shape, self.shape.hash(key), 0).unwrap();
            flows::write(&self.flow, &words);
        }

        /// The packets of the session that was in the flow, after a grace period that is one.
        fn remove(&self, key: &Key, grace: impl Fn(&Self)) -> u64 {
            assert!(index::remove(&self.index, &self.shape, self.shape.hash(key), 0));
            grace(self);
            self.flow[STAMP + 1].load(Ordering::Acquire)
        }

        /// Waits for a program that runs, as RCU does.
        fn grace(&self) {
            fence(Ordering::SeqCst);
            while self.runs.load(Ordering::Acquire) {
                thread::yield_now();
            }
        }

        /// A program with a packet of this key: true when it is a hit.
        fn packet(&self, key: &Key, action: u64) -> bool {
            self.runs.store(true, Ordering::Relaxed);
            fence(Ordering::SeqCst);
            let found = find(&self.index, &self.flow, &self.shape, key);
            if found.is_some() {
                assert_eq!(self.flow[STAMP].load(Ordering::Relaxed), action, "the action of another session");
                self.flow[STAMP + 1].fetch_add(1, Ordering::Relaxed);
            }
            self.runs.store(false, Ordering::Release);
            found.is_some()
        }
    }

    /// A session goes and another one takes its slot, while packets of both come.
    fn a_slot_is_used_again(
        grace: impl Fn(&Shared) + Copy + Send + Sync + 'static,
        install: impl Fn(&Shared, &Key, u64) + Copy + Send + Sync + 'static,
    ) {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(PREEMPTIONS);
        model.check(move || {
            let [older, newer] = [key(1), key(2)];
            let shared = Arc::new(Shared::new());
            shared.install(&older, 100);
            let program = thread::spawn({
                let shared = Arc::clone(&shared);
                move || [(&older, 100), (&newer, 200)].map(|(key, action)| u64::from(shared.packet(key, action)))
            });
            let first = shared.remove(&older, grace);
            install(&shared, &newer, 200);
            let hits = program.join().unwrap();
            let second = shared.remove(&newer, Shared::grace);
            assert_eq!([first, second], hits, "packets counted and hits, of both sessions");
        });
    }

    #[test]
    fn no_packet_meets_another_session_and_each_is_counted_in_its_own() {
        a_slot_is_used_again(Shared::grace, Shared::install);
    }

    /// That the model would see it.
    #[test]
    #[should_panic(expected = "of both sessions")]
    fn without_a_grace_period_it_would() {
        a_slot_is_used_again(|_| {}, Shared::install);
    }

    #[test]
    #[should_panic(expected = "the action of another session")]
    fn published_too_early_it_would() {
        a_slot_is_used_again(Shared::grace, Shared::install_too_early);
    }
}
