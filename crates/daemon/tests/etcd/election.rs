//! Who is the holder while the store is well.

use opof_session::ha::Term;
use opof_session::ha::store::{StoreAnswer, StoreRequest};
use opof_testkit::etcd::{EtcdServer, Timing};
use opof_testkit::wait::{self, Stopwatch};

use super::common::{CLAIM, Node, SLACK, TTL, block_on, failed, held, taken};

fn pair() -> (EtcdServer, Node, Node) {
    let server = EtcdServer::start(Timing::Quick).unwrap();
    let [a, b] = ["a", "b"].map(|name| Node::new(name, &server.endpoint()));
    (server, a, b)
}

#[test]
fn of_two_that_claim_at_once_one_is_the_holder_and_terms_grow() {
    let (_server, mut a, mut b) = pair();
    let mut latest = Term(0);
    for round in 0..50 {
        let answers = block_on(async { tokio::join!(a.etcd.ask(CLAIM), b.etcd.ask(CLAIM)) });
        let (winner, loser, won, lost) = match &answers {
            (won @ StoreAnswer::Held { .. }, lost) => (&mut a, &b, won, lost),
            (lost, won) => (&mut b, &a, won, lost),
        };
        let term = held(won);
        assert!(term > latest, "round {round}: {term} after {latest}");
        assert_eq!(*lost, taken(winner, term), "round {round}: {} lost", loser.api);
        assert_eq!(winner.resign(term), StoreAnswer::Resigned);
        latest = term;
    }
    assert_eq!(latest, Term(50));
}

#[test]
fn a_term_is_as_high_as_was_asked_for() {
    let (_server, mut a, mut b) = pair();
    let at_least = |term| StoreRequest::Claim { at_least: Term(term), ttl: TTL };
    assert_eq!(held(&a.ask(at_least(100))), Term(100));
    assert_eq!(a.resign(Term(100)), StoreAnswer::Resigned);
    assert_eq!(held(&b.ask(at_least(7))), Term(101));
}

#[test]
fn a_holder_that_goes_on_stays_one() {
    let (_server, mut a, mut b) = pair();
    let term = a.hold();
    let watch = Stopwatch::start();
    while watch.elapsed() < TTL * 3 {
        assert_eq!(held(&a.renew(term)), term);
        assert_eq!(b.claim(), taken(&a, term));
        wait::pause(TTL / 8);
    }
}

#[test]
fn a_holder_that_does_not_go_on_is_none_after_its_time_and_not_before() {
    let (_server, mut a, mut b) = pair();
    let watch = Stopwatch::start();
    let first = a.hold();
    let second = wait::until("the other one to be the holder", TTL + SLACK, || match b.claim() {
        StoreAnswer::Held { term, .. } => Some(term),
        answer => {
            assert_eq!(answer, taken(&a, first));
            None
        }
    });
    let second = second.unwrap();
    assert!(watch.elapsed() >= TTL, "after {:?}", watch.elapsed());
    assert!(second > first);
    assert_eq!(a.renew(first), taken(&b, second));
    assert_eq!(a.resign(first), StoreAnswer::Resigned);
    assert_eq!(held(&b.renew(second)), second);
}

#[test]
fn a_lease_that_has_run_out_is_not_gone_on_with() {
    let (_server, mut a, _) = pair();
    let term = a.hold();
    wait::pause(TTL * 3);
    assert!(failed(&a.renew(term)).contains("term 1 is over, and nobody is active"));
    assert_eq!(a.hold(), Term(2));
}

#[test]
fn who_resigns_makes_room_at_once() {
    let (_server, mut a, mut b) = pair();
    let first = a.hold();
    assert_eq!(a.resign(first), StoreAnswer::Resigned);
    let second = b.hold();
    assert!(second > first);
    // Again, and by somebody who is not the holder.
    assert_eq!(a.resign(first), StoreAnswer::Resigned);
    assert_eq!(a.resign(second), StoreAnswer::Resigned);
    assert_eq!(held(&b.renew(second)), second);
    assert_eq!(b.resign(first), StoreAnswer::Resigned);
    assert_eq!(held(&b.renew(second)), second);
    assert_eq!(b.renew(first), taken(&b, second));
}

#[test]
fn a_process_takes_the_place_of_the_one_before_it_with_a_term_of_its_own() {
    let (server, mut before, mut other) = pair();
    let first = before.hold();
    let mut after = Node::new("a", &server.endpoint());
    let second = after.hold();
    assert!(second > first);
    assert_eq!(other.claim(), taken(&after, second));
    // Whoever should be dead and is not, is the holder no more, although its lease lasts; and does no harm.
    assert_eq!(before.renew(first), taken(&after, second));
    assert_eq!(before.resign(first), StoreAnswer::Resigned);
    let watch = Stopwatch::start();
    // Past the end of the first lease.
    while watch.elapsed() < TTL * 3 {
        assert_eq!(held(&after.renew(second)), second);
        wait::pause(TTL / 8);
    }
}

#[test]
fn two_processes_of_one_name_never_have_the_same_term() {
    let (server, mut a, _) = pair();
    let mut twin = Node::new("a", &server.endpoint());
    let mut terms = Vec::new();
    for _ in 0..20 {
        let (one, other) = block_on(async { tokio::join!(a.etcd.ask(CLAIM), twin.etcd.ask(CLAIM)) });
        terms.extend([held(&one), held(&other)]);
    }
    terms.sort_unstable();
    assert_eq!(terms, (1..=40).map(Term).collect::<Vec<_>>());
}

#[test]
fn the_time_is_the_one_that_the_store_gives() {
    let server = EtcdServer::start(Timing::Default).unwrap();
    let mut a = Node::new("a", &server.endpoint());
    let lasts = TTL * 2;
    assert_eq!(a.claim(), StoreAnswer::Held { term: Term(1), ttl: lasts }, "an etcd as it comes has no shorter leases");
    assert_eq!(a.renew(Term(1)), StoreAnswer::Held { term: Term(1), ttl: lasts });
    assert_eq!(a.resign(Term(1)), StoreAnswer::Resigned);
    let parts = StoreRequest::Claim { at_least: Term(0), ttl: TTL * 5 / 2 };
    assert_eq!(a.ask(parts), StoreAnswer::Held { term: Term(2), ttl: TTL * 3 }, "whole seconds, rather more");
}
