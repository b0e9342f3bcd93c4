//! A store that hangs, is dead, comes back, or is not where it should be; and one that wants certificates.

use std::net::TcpListener;

use opof_daemon::ha::etcd::{Etcd, EtcdConfig, EtcdTls};
use opof_daemon::limits::ELECTION_DEADLINE;
use opof_session::ha::Term;
use opof_session::ha::store::StoreAnswer;
use opof_testkit::authority::certify;
use opof_testkit::etcd::{EtcdServer, ServerTls, Timing};
use opof_testkit::wait::{self, Stopwatch};

use super::common::{Node, SLACK, TTL, config, failed, held, taken};

#[test]
fn a_store_that_hangs_is_not_waited_for_and_goes_on_where_it_was() {
    let mut server = EtcdServer::start(Timing::Quick).unwrap();
    let [mut a, mut b] = ["a", "b"].map(|name| Node::new(name, &server.endpoint()));
    let first = a.hold();
    server.freeze().unwrap();
    let watch = Stopwatch::start();
    let answers = [a.renew(first), b.claim(), a.resign(first)];
    let took = watch.elapsed();
    for answer in &answers {
        assert!(failed(answer).contains("no answer within 500 ms"), "{answer:?}");
    }
    assert!(took >= ELECTION_DEADLINE * 3 && took < ELECTION_DEADLINE * 3 + SLACK / 2, "{took:?}");
    server.thaw().unwrap();
    // What was asked may come into force yet. Whatever does, who has resigned is the holder of that term no more.
    let answer = a.renew(first);
    assert!(!matches!(answer, StoreAnswer::Held { .. }), "{answer:?}");
    let terms = |node: &mut Node| match node.claim() {
        StoreAnswer::Held { term, .. } => Some(term),
        _ => None,
    };
    let second = wait::until("somebody to be the holder", SLACK, || terms(&mut a).or_else(|| terms(&mut b)));
    assert!(second.unwrap() > first);
}

#[test]
fn who_could_not_resign_does_not_go_on_and_can_try_again() {
    let mut server = EtcdServer::start(Timing::Quick).unwrap();
    let [mut a, mut b] = ["a", "b"].map(|name| Node::new(name, &server.endpoint()));
    let first = a.hold();
    server.kill().unwrap();
    failed(&a.resign(first));
    server.start_again().unwrap();
    assert_eq!(a.renew(first), taken(&a, first), "it is in the store yet, and not gone on with");
    assert_eq!(b.claim(), taken(&a, first));
    assert_eq!(a.resign(first), StoreAnswer::Resigned);
    assert!(b.hold() > first);
}

#[test]
fn a_store_that_is_started_again_goes_on_with_terms_that_grow() {
    let mut server = EtcdServer::start(Timing::Quick).unwrap();
    let [mut a, mut b] = ["a", "b"].map(|name| Node::new(name, &server.endpoint()));
    let mut last = a.hold();
    for _ in 0..2 {
        server.kill().unwrap();
        // The first time nobody has had a connection; then one breaks, and that is noticed sooner or later.
        assert!(matches!(b.claim(), StoreAnswer::Failed { .. }));
        assert!(matches!(a.renew(last), StoreAnswer::Failed { .. }));
        server.start_again().unwrap();
        // The lease was stored with the keys, and begins anew with the store.
        assert_eq!(held(&a.renew(last)), last);
        assert_eq!(b.claim(), taken(&a, last));
        assert_eq!(a.resign(last), StoreAnswer::Resigned);
        let next = b.hold();
        assert!(next > last);
        assert_eq!(b.resign(next), StoreAnswer::Resigned);
        last = a.hold();
        assert!(last > next);
    }
}

#[test]
fn members_that_are_not_there_are_passed_over() {
    let server = EtcdServer::start(Timing::Quick).unwrap();
    // One whose port is closed, one that takes connections and says nothing, and one of something else.
    let closed = TcpListener::bind((EtcdServer::address(), 0)).unwrap();
    let refuses = format!("http://{}", closed.local_addr().unwrap());
    drop(closed);
    let silent = TcpListener::bind((EtcdServer::address(), 0)).unwrap();
    let says_nothing = format!("http://{}", silent.local_addr().unwrap());
    let good = server.endpoint();
    let mut term = Term(0);
    for endpoints in [[&refuses, &good], [&says_nothing, &good], [&good, &says_nothing]] {
        let endpoints = endpoints.map(String::as_str);
        let mut node = Node::with(&config("a", &endpoints));
        let next = node.hold();
        assert!(next > term);
        term = next;
        // From then on the one that answers is asked first: this many would take longer than a lease lasts.
        let watch = Stopwatch::start();
        for _ in 0..20 {
            assert_eq!(held(&node.renew(term)), term, "{endpoints:?}");
        }
        assert!(watch.elapsed() < ELECTION_DEADLINE * 10, "{endpoints:?}: {:?}", watch.elapsed());
    }
    let mut node = Node::with(&config("a", &[&refuses, &says_nothing, "http://no-such-host.invalid:2379"]));
    let watch = Stopwatch::start();
    let answer = node.claim();
    assert!(watch.elapsed() < ELECTION_DEADLINE + SLACK / 2);
    let why = failed(&answer);
    assert!(why.starts_with(&format!("etcd: {refuses}: Connection refused")), "{why}");
    assert!(
        why.contains(&format!("; {says_nothing}: no answer within 125 ms; http://no-such-host.invalid:2379: ")),
        "{why}"
    );
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_is_asked() {
    let refused = |config: &EtcdConfig| Etcd::new(config).unwrap_err().to_string();
    assert_eq!(refused(&config("a", &[])), "etcd: 0 endpoints; 1 to 5 are needed");
    assert!(refused(&config("a", &["http://a:2379"; 6])).starts_with("etcd: 6 endpoints"));
    assert!(refused(&config("a", &["http://a:2379", "b:2379"])).starts_with("etcd endpoint b:2379: "));
    assert_eq!(refused(&config("", &["http://a:2379"])), "etcd: the node's name is empty");
}

#[test]
fn over_tls_each_side_shows_its_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let address = EtcdServer::address().to_string();
    certify(folder.path(), &[("server", &[&address]), ("node", &["node.example"])]).unwrap();
    let file = |name: &str| folder.path().join(name);
    let tls = ServerTls { certificate: file("server.crt"), key: file("server.key"), client_ca: file("ca.crt") };
    let server = EtcdServer::start_with(Timing::Quick, Some(tls)).unwrap();
    let endpoint = server.endpoint();
    let with = |name: &str, tls| EtcdConfig { tls: Some(tls), ..config(name, &[endpoint.as_str()]) };
    let identity = Some((file("node.crt"), file("node.key")));
    let [mut a, mut b] =
        ["a", "b"].map(|name| Node::with(&with(name, EtcdTls { ca: file("ca.crt"), identity: identity.clone() })));
    let term = a.hold();
    assert_eq!(held(&a.renew(term)), term);
    assert_eq!(b.claim(), taken(&a, term));
    assert_eq!(a.resign(term), StoreAnswer::Resigned);
    // Without one of its own, or with trust in somebody else, a node is not the holder.
    let mut nobody = Node::with(&with("c", EtcdTls { ca: file("ca.crt"), identity: None }));
    failed(&nobody.claim());
    let mut elsewhere = Node::with(&with("c", EtcdTls { ca: file("node.crt"), identity: identity.clone() }));
    assert!(failed(&elsewhere.claim()).contains("certificate"), "{:?}", elsewhere.claim());
    // What can't be used is said before anything is asked.
    let refused = |tls| Etcd::new(&with("c", tls)).unwrap_err().to_string();
    let other = Some((file("node.crt"), file("server.key")));
    assert!(refused(EtcdTls { ca: file("ca.crt"), identity: other }).starts_with("etcd endpoint https://"));
    let said = refused(EtcdTls { ca: file("node.key"), identity });
    assert!(said.starts_with("etcd: etcd CA ") && said.contains("has no certificate in it"), "{said}");
}

#[test]
fn files_that_have_changed_are_read_when_the_connection_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let address = EtcdServer::address().to_string();
    certify(folder.path(), &[("server", &[&address]), ("node", &["node.example"])]).unwrap();
    let file = |name: &str| folder.path().join(name);
    let tls = ServerTls { certificate: file("server.crt"), key: file("server.key"), client_ca: file("ca.crt") };
    let mut server = EtcdServer::start_with(Timing::Quick, Some(tls)).unwrap();
    let tls = EtcdTls { ca: file("ca.crt"), identity: Some((file("node.crt"), file("node.key"))) };
    let endpoint = server.endpoint();
    let mut node = Node::with(&EtcdConfig { tls: Some(tls), ..config("a", &[endpoint.as_str()]) });
    let term = node.hold();
    server.kill().unwrap();
    failed(&node.renew(term));
    // Everything under another authority.
    let address = EtcdServer::address().to_string();
    certify(folder.path(), &[("server", &[&address]), ("node", &["node.example"])]).unwrap();
    server.start_again().unwrap();
    let watch = Stopwatch::start();
    assert_eq!(held(&node.renew(term)), term);
    assert!(watch.elapsed() < TTL);
}
