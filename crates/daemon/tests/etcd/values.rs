//! Keys in which somebody else has written.

use opof_api::etcd::kv_client::KvClient;
use opof_api::etcd::request_op::Request;
use opof_api::etcd::{PutRequest, RequestOp, TxnRequest};
use opof_daemon::ha::etcd::EtcdConfig;
use opof_session::ha::Term;
use opof_session::ha::store::StoreAnswer;
use opof_session::limits::LAST_TERM;
use opof_testkit::etcd::{EtcdServer, Timing};

use super::common::{Node, block_on, config, failed, held};

fn write(server: &EtcdServer, key: &str, value: &[u8]) {
    let put = PutRequest { key: key.into(), value: value.to_vec(), lease: 0 };
    let put = RequestOp { request: Some(Request::RequestPut(put)) };
    let transaction = TxnRequest { success: vec![put], ..TxnRequest::default() };
    block_on(async {
        let mut keys = KvClient::connect(server.endpoint()).await.unwrap();
        keys.txn(transaction).await.unwrap();
    });
}

/// One of a pair with a name.
fn node(server: &EtcdServer, pair: &str) -> Node {
    Node::with(&EtcdConfig { prefix: pair.to_owned(), ..config("a", &[&server.endpoint()]) })
}

#[test]
fn what_can_not_be_read_is_named_and_nobody_is_the_holder() {
    let server = EtcdServer::start(Timing::Quick).unwrap();
    let megabyte = vec![b'1'; 1 << 20];
    let terms: [&[u8]; 6] = [b"", b"-1", b"one", b"8388609", b"\xff\xfe", &megabyte[..2000]];
    for (number, term) in terms.into_iter().enumerate() {
        let pair = format!("/term/{number}");
        write(&server, &format!("{pair}/term"), term);
        let answer = node(&server, &pair).claim();
        assert!(failed(&answer).starts_with(&format!("etcd: {pair}/term is no term; ")), "{answer:?}");
    }
    let holders: [&[u8]; 5] = [b"", b"a", b"{}", b"\xff", &megabyte[..2000]];
    for (number, holder) in holders.into_iter().enumerate() {
        let pair = format!("/active/{number}");
        write(&server, &format!("{pair}/active"), holder);
        let answer = node(&server, &pair).claim();
        assert!(failed(&answer).starts_with(&format!("etcd: {pair}/active ")), "{answer:?}");
    }
    for key in ["active", "term"] {
        write(&server, &format!("/large/{key}"), &megabyte);
        let answer = node(&server, "/large").claim();
        assert!(failed(&answer).contains("too large"), "{answer:?}");
    }
}

#[test]
fn behind_the_last_term_nobody_is_the_holder() {
    let server = EtcdServer::start(Timing::Quick).unwrap();
    write(&server, "/last/term", LAST_TERM.to_string().as_bytes());
    let mut node = node(&server, "/last");
    assert_eq!(failed(&node.claim()), "etcd: there is no term behind the last one");
    write(&server, "/last/term", (LAST_TERM - 1).to_string().as_bytes());
    assert_eq!(held(&node.claim()), Term(LAST_TERM));
}

#[test]
fn who_was_put_aside_by_hand_is_the_holder_no_more() {
    let server = EtcdServer::start(Timing::Quick).unwrap();
    let mut node = node(&server, "/hand");
    let term = node.hold();
    write(&server, "/hand/active", br#"{"node": "b", "api": "10.0.0.2:3443"}"#);
    let other = StoreAnswer::Taken { term, holder: "10.0.0.2:3443".to_owned() };
    assert_eq!(node.renew(term), other);
    assert_eq!(node.resign(term), StoreAnswer::Resigned);
    assert_eq!(node.claim(), other);
    // What is not readable is no reason to go on either, nor to forget that it was the holder: it is not known.
    write(&server, "/hand/active", b"?");
    failed(&node.renew(term));
}
