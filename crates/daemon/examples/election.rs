//! How long an election by etcd takes: each request, and from the death of a holder until the other node is told that it holds.
//!
//! `cargo run --release -p opof-daemon --example election`
//!
//! One etcd of one member on this machine, as quick as it can be and as it comes; medians, and the range.

use std::time::Duration;

use opof_daemon::ha::etcd::{Etcd, EtcdConfig};
use opof_session::ha::Term;
use opof_session::ha::store::{StoreAnswer, StoreRequest};
use opof_testkit::etcd::{EtcdServer, Timing};
use opof_testkit::wait::{Stopwatch, pause};
use tokio::runtime::Runtime;

const REQUESTS: usize = 100;
const DEATHS: usize = 11;
/// How often the holder goes on, and the other node asks.
const ASKED: Duration = Duration::from_millis(100);
const TTL: Duration = Duration::from_secs(1);
const CLAIM: StoreRequest = StoreRequest::Claim { at_least: Term(0), ttl: TTL };

struct Node<'a> {
    runtime: &'a Runtime,
    etcd: Etcd,
}

impl<'a> Node<'a> {
    fn new(runtime: &'a Runtime, server: &EtcdServer, name: &str) -> Self {
        let config = EtcdConfig {
            endpoints: vec![server.endpoint()],
            prefix: "/opof/pair".to_owned(),
            node: name.to_owned(),
            api: format!("{name}.example:3443"),
            tls: None,
        };
        Self { runtime, etcd: Etcd::new(&config).expect("the configuration makes sense") }
    }

    /// The answer, and how long it took.
    fn ask(&mut self, request: StoreRequest) -> (StoreAnswer, Duration) {
        let watch = Stopwatch::start();
        let answer = self.runtime.block_on(self.etcd.ask(request));
        (answer, watch.elapsed())
    }
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime");
    for timing in [Timing::Quick, Timing::Default] {
        let server = EtcdServer::start(timing).expect("etcd starts");
        let mut nodes = ["a", "b"].map(|name| Node::new(&runtime, &server, name));
        println!("etcd {timing:?}, {REQUESTS} of each request, {DEATHS} deaths; median (least to most), ms");
        requests(&mut nodes);
        deaths(&mut nodes);
    }
}

fn requests([a, b]: &mut [Node<'_>; 2]) {
    let mut took: [Vec<Duration>; 4] = Default::default();
    for _ in 0..REQUESTS {
        let (answer, claim) = a.ask(CLAIM);
        let StoreAnswer::Held { term, .. } = answer else { panic!("not the holder: {answer:?}") };
        let (_, renew) = a.ask(StoreRequest::Renew { term });
        let (_, in_vain) = b.ask(CLAIM);
        let (answer, resign) = a.ask(StoreRequest::Resign { term });
        assert_eq!(answer, StoreAnswer::Resigned);
        for (all, one) in took.iter_mut().zip([claim, renew, in_vain, resign]) {
            all.push(one);
        }
    }
    for (name, took) in ["claim", "renew", "claim in vain", "resign"].into_iter().zip(took) {
        print(name, took);
    }
}

/// A holder that is dead goes on no more; how long since it did last is different each time.
fn deaths(nodes: &mut [Node<'_>; 2]) {
    let (mut died, mut renewed) = (Vec::new(), Vec::new());
    for round in 0..DEATHS {
        let [a, b] = &mut *nodes;
        let (holder, other) = if round % 2 == 0 { (a, b) } else { (b, a) };
        let (answer, _) = holder.ask(CLAIM);
        let StoreAnswer::Held { term, .. } = answer else { panic!("not the holder: {answer:?}") };
        pause(ASKED);
        let last = Stopwatch::start();
        assert!(matches!(holder.ask(StoreRequest::Renew { term }).0, StoreAnswer::Held { .. }));
        pause(ASKED * u32::try_from(round).unwrap_or(0) / u32::try_from(DEATHS).unwrap_or(1));
        let death = Stopwatch::start();
        let next = loop {
            if let (StoreAnswer::Held { term, .. }, _) = other.ask(CLAIM) {
                break term;
            }
            pause(ASKED);
        };
        died.push(death.elapsed());
        renewed.push(last.elapsed());
        other.ask(StoreRequest::Resign { term: next });
    }
    print("taken over after death", died);
    print("taken over after it last went on", renewed);
}

fn print(name: &str, mut took: Vec<Duration>) {
    took.sort_unstable();
    let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
    let [least, middle, most] = [0, took.len() / 2, took.len() - 1].map(|at| ms(took[at]));
    println!("{name:>34} {middle:>8.1} ({least:.1} to {most:.1})");
}
