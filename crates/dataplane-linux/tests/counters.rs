//! Counters under concurrency: nothing is lost between CPUs, and nothing between the last packet and the removal.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the way to fail")]

mod common;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use common::{BOUND, Lab, command, drop_all, flow, forward, install, keys, lifs, remove};
use opof_dataplane::{DataPlane, PortRole};
use opof_dataplane_linux::XdpPlane;
use opof_dataplane_linux::probe::{DROPPED, LingerProbe, Lingering, PortRunner, REDIRECTED};
use opof_session::plane::{Command, Completion, InstallError, Note, ReadToken, Rule, Slot};
use opof_session::types::{Counters, DirectionCounters, Moment};
use opof_testkit::packet::Packet;
use opof_testkit::wait::{self, Stopwatch};
use rustix::thread::{CpuSet, sched_setaffinity};

fn runner(plane: &XdpPlane, lif: usize) -> PortRunner {
    PortRunner::new(plane, lifs()[lif], PortRole::Wire).unwrap()
}

fn frames(flow: opof_wire::FlowKey) -> [Vec<u8>; 2] {
    [flow, flow.reversed()].map(|key| Packet::with_key(&key).payload(&[1; 100]).build())
}

#[test]
fn two_cpus_lose_no_count() {
    const EACH: u32 = 1_000_000;
    let lab = Lab::new();
    let mut plane = lab.plane(16);
    let rules = forward(flow(1, 0));
    install(&mut plane, 3, rules);
    let [inward, outward] = frames(flow(1, 0));
    let runs = [(0, &inward), (0, &inward), (1, &outward), (1, &outward)];
    thread::scope(|scope| {
        for (lif, frame) in runs {
            let runner = runner(&plane, lif);
            scope.spawn(move || assert_eq!(runner.run(frame, EACH).unwrap().code, REDIRECTED));
        }
    });
    let both = DirectionCounters { packets: 2 * u64::from(EACH), bytes: 2 * u64::from(EACH) * inward.len() as u64 };
    let counters = remove(&mut plane, 3, &rules);
    assert_eq!((counters.inward, counters.outward), (both, both));
    for port in plane.describe().ports.iter().filter(|port| port.role == PortRole::Wire) {
        assert_eq!(port.counters.forwarded.packets, both.packets, "per-CPU statistics of {}", port.name);
        assert_eq!(port.counters.received, port.counters.forwarded);
    }
}

/// Two sessions take turns in the table, each removed and the other installed in one submit: the kernel uses the
/// memory of the deleted entries for the new ones at once. Packets of one session come all the while.
#[test]
fn no_packet_is_lost_or_miscounted_while_sessions_come_and_go() {
    const ROUNDS: u32 = 150;
    let lab = Lab::new();
    let mut plane = lab.plane(16);
    let [busy, silent] = [drop_all(flow(1, 0)), drop_all(flow(2, 0))];
    let [inward, outward] = frames(flow(1, 0));
    let done = AtomicBool::new(false);
    let (mut counted, mut wrong) = ([0; 2], 0);

    let seen: Vec<(u64, u64)> = thread::scope(|scope| {
        let traffic: Vec<_> = [(0, &inward), (1, &outward)]
            .map(|(lif, frame)| {
                let (runner, done) = (runner(&plane, lif), &done);
                scope.spawn(move || {
                    let (mut hits, mut misses) = (0, 0);
                    while !done.load(Ordering::Relaxed) {
                        match runner.run(frame, 1).unwrap().code {
                            DROPPED => hits += 1,
                            REDIRECTED => misses += 1,
                            code => panic!("return code {code}"),
                        }
                    }
                    (hits, misses)
                })
            })
            .into_iter()
            .collect();
        install(&mut plane, 0, busy);
        for _ in 0..ROUNDS {
            let gone = swap(&mut plane, (0, &busy), (1, silent));
            counted[0] += gone.inward.packets;
            counted[1] += gone.outward.packets;
            assert_eq!(gone.inward.bytes, gone.inward.packets * inward.len() as u64);
            let gone = swap(&mut plane, (1, &silent), (0, busy));
            wrong += gone.inward.packets + gone.outward.packets;
        }
        let gone = remove(&mut plane, 0, &busy);
        counted[0] += gone.inward.packets;
        counted[1] += gone.outward.packets;
        done.store(true, Ordering::Relaxed);
        traffic.into_iter().map(|thread| thread.join().unwrap()).collect()
    });

    println!("{ROUNDS} rounds: hits and misses seen {seen:?}, hits counted {counted:?}");
    assert_eq!([seen[0].0, seen[1].0], counted, "hits by return code against final counters");
    assert_eq!(wrong, 0, "counted for the session that has no packets");
    assert!(seen.iter().all(|(hits, misses)| *hits > 0 && *misses > 0), "the test tested something");
}

/// One submit: out with one, in with the other. The final counters of the first.
fn swap(plane: &mut XdpPlane, out: (u32, &[Rule; 2]), into: (u32, [Rule; 2])) -> Counters {
    let commands = [
        Command::Remove { slot: Slot(out.0), keys: out.1.map(|rule| rule.key), note: Note::default() },
        Command::Install { slot: Slot(into.0), rules: into.1, note: Note::default() },
    ];
    let mut gone = None;
    for answer in command(plane, &commands) {
        match answer {
            Completion::Removed { result: Ok(counters), .. } => gone = Some(counters),
            Completion::Installed { result: Ok(()), .. } => {}
            answer => panic!("{answer:?}"),
        }
    }
    gone.unwrap()
}

/// A program that runs when a session is removed is waited for, on whatever processor it is and however long it takes; only then are
/// the counters final.
#[test]
fn removal_is_answered_when_running_programs_have_ended() {
    const STAY: Duration = Duration::from_millis(30);
    const ENOUGH: usize = 10;
    let lab = Lab::new();
    let mut plane = lab.plane(16);
    let rules = forward(flow(1, 0));
    let linger = LingerProbe::new().unwrap();
    let processors = thread::available_parallelism().unwrap().get();
    let mut waited = Vec::new();
    // Where this thread has the program's processor, it sees it when it has ended.
    for round in 0..10 * ENOUGH {
        install(&mut plane, 0, rules);
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut only = CpuSet::new();
                only.set(round % processors);
                sched_setaffinity(None, &only).unwrap();
                linger.run(STAY).unwrap();
            });
            wait::until("the program", BOUND, || (linger.state().unwrap() != Lingering::Before).then_some(())).unwrap();
            let runs = linger.state().unwrap() == Lingering::Inside;
            let took = timed_removal(&mut plane, &rules);
            assert_eq!(linger.state().unwrap(), Lingering::Gone, "round {round}: answered while it ran");
            if runs {
                waited.push(took);
            }
        });
        linger.forget().unwrap();
        if waited.len() == ENOUGH {
            break;
        }
    }
    println!("{waited:?} while a program ran for {STAY:?}");
    assert!(waited.len() == ENOUGH, "the program was seen at work {} times", waited.len());
}

/// From the submit to the wake.
fn timed_removal(plane: &mut XdpPlane, rules: &[Rule; 2]) -> Duration {
    let bell = Arc::new(Bell { owner: thread::current(), rung: AtomicBool::new(false) });
    let waker = Waker::from(Arc::clone(&bell));
    let mut answers = Vec::new();
    assert!(plane.poll(&mut Context::from_waker(&waker), &mut answers).is_pending());
    let watch = Stopwatch::start();
    plane.submit(
        Moment(0),
        &[Command::Remove { slot: Slot(0), keys: rules.map(|rule| rule.key), note: Note::default() }],
    );
    while !bell.rung.load(Ordering::Acquire) {
        thread::park_timeout(BOUND);
        assert!(watch.elapsed() < BOUND, "no wake");
    }
    let took = watch.elapsed();
    assert!(plane.poll(&mut Context::from_waker(&waker), &mut answers).is_ready());
    assert!(matches!(answers[..], [Completion::Removed { result: Ok(_), .. }]));
    took
}

struct Bell {
    owner: Thread,
    rung: AtomicBool,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.rung.store(true, Ordering::Release);
        self.owner.unpark();
    }
}

#[test]
fn a_full_table_says_so() {
    let lab = Lab::new();
    let mut plane = lab.plane(2);
    for slot in 0..2 {
        install(&mut plane, slot, forward(flow(slot, 0)));
    }
    // More sessions than slots is an engine's mistake; the plane does not take part in it.
    let beyond = Command::Install { slot: Slot(2), rules: forward(flow(2, 0)), note: Note::default() };
    let full = Completion::Installed { slot: Slot(2), result: Err(InstallError::Full) };
    assert_eq!(command(&mut plane, &[beyond]), [full]);
    let [frame, _] = frames(flow(2, 0));
    runner(&plane, 0).run(&frame, 1).unwrap();
    assert_eq!(plane.describe().ports[0].counters.slow_path[0].packets, 1, "its first key is not in the table");
    // What was there is there, and what goes makes room.
    for slot in 0..2 {
        let [frame, _] = frames(flow(slot, 0));
        runner(&plane, 0).run(&frame, 1).unwrap();
    }
    assert_eq!(plane.describe().ports[0].counters.forwarded.packets, 2);
    remove(&mut plane, 1, &forward(flow(1, 0)));
    install(&mut plane, 1, forward(flow(2, 0)));
}

#[test]
fn removing_what_is_not_there_succeeds() {
    let lab = Lab::new();
    let mut plane = lab.plane(16);
    assert_eq!(remove(&mut plane, 5, &forward(flow(1, 0))), Counters::default());
}

/// Many at once, of both families, in batches that end in the middle of a session.
#[test]
fn thousands_in_one_submit() {
    const SESSIONS: u32 = 3001;
    let lab = Lab::new();
    let mut plane = lab.plane(SESSIONS);
    let flows: Vec<_> = (0..SESSIONS).map(|n| if n % 3 == 0 { flow6(n) } else { flow(n, 0) }).collect();
    let installs: Vec<_> = (0..)
        .zip(&flows)
        .map(|(n, flow)| Command::Install { slot: Slot(n), rules: drop_all(*flow), note: Note::default() })
        .collect();
    let answers = command(&mut plane, &installs);
    assert!(answers.iter().all(|answer| matches!(answer, Completion::Installed { result: Ok(()), .. })));

    let runners = [runner(&plane, 0), runner(&plane, 1)];
    for flow in &flows {
        for (runner, frame) in runners.iter().zip(frames(*flow)) {
            assert_eq!(runner.run(&frame, 2).unwrap().code, DROPPED, "{flow}");
        }
    }
    let reads: Vec<_> = (0..SESSIONS).map(|n| Command::Read { slot: Slot(n), token: ReadToken(n.into()) }).collect();
    for answer in command(&mut plane, &reads) {
        let Completion::Read { counters, .. } = answer else { panic!("{answer:?}") };
        assert_eq!((counters.inward.packets, counters.outward.packets), (2, 2));
    }
    let removals: Vec<_> = (0..)
        .zip(&flows)
        .map(|(n, flow)| Command::Remove { slot: Slot(n), keys: keys(*flow), note: Note::default() })
        .collect();
    let finals: HashMap<_, _> = command(&mut plane, &removals)
        .into_iter()
        .map(|answer| match answer {
            Completion::Removed { slot, result: Ok(counters) } => (slot, counters.inward.packets),
            answer => panic!("{answer:?}"),
        })
        .collect();
    assert!(finals.len() == SESSIONS as usize && finals.values().all(|packets| *packets == 2));
    assert_eq!(runners[0].run(&frames(flows[7])[0], 1).unwrap().code, REDIRECTED);
}

fn flow6(n: u32) -> opof_wire::FlowKey {
    let mut source = [0xFD; 16];
    source[12..].copy_from_slice(&n.to_be_bytes());
    let addresses = opof_wire::Addresses::V6 { source, destination: [0xFC; 16] };
    opof_wire::FlowKey { addresses, ..flow(n, 0) }
}
