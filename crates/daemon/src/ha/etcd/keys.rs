//! The two keys: what they say, and the transactions that read and write them. What must not be here: when, and to whom that is sent.

use opof_api::etcd::compare::{CompareResult, CompareTarget, TargetUnion};
use opof_api::etcd::request_op::Request;
use opof_api::etcd::response_op::Response;
use opof_api::etcd::{Compare, KeyValue, PutRequest, RangeRequest, RequestOp, ResponseOp, TxnRequest};
use opof_session::ha::Term;
use opof_session::limits::LAST_TERM;
use serde_json::{Value, json};

use super::error::EtcdError;
use super::member::CallError;
use crate::limits;

/// Digits of the highest term.
const TERM_DIGITS: usize = LAST_TERM.ilog10() as usize + 1;

/// How the keys are called, and what this node writes.
#[derive(Debug)]
pub(super) struct Keys {
    active: String,
    term: String,
    node: String,
    value: Vec<u8>,
}

/// What both said at one moment.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Found {
    /// The latest term that there was.
    pub(super) term: Term,
    /// 0 where there was none yet.
    term_revision: i64,
    pub(super) active: Option<Active>,
}

/// Who is the holder.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Active {
    node: String,
    pub(super) api: String,
    /// Of the transaction that made it one; no two are the same.
    pub(super) revision: i64,
}

impl Found {
    /// The next term that is at least `at_least`; none behind the last one.
    pub(super) fn next_term(&self, at_least: Term) -> Option<Term> {
        Term::new((self.term.0 + 1).max(at_least.0))
    }
}

impl Keys {
    pub(super) fn new(prefix: &str, node: &str, api: &str) -> Result<Self, EtcdError> {
        let value = json!({ "node": node, "api": api }).to_string().into_bytes();
        check_prefix(prefix).map_err(|reason| EtcdError::Text { what: "prefix", reason })?;
        check(node, node.len(), limits::HOLDER_BYTES)
            .map_err(|reason| EtcdError::Text { what: "node's name", reason })?;
        check(api, value.len(), limits::HOLDER_BYTES)
            .map_err(|reason| EtcdError::Text { what: "node's API address", reason })?;
        let key = |name: &str| format!("{}/{name}", prefix.trim_end_matches('/'));
        Ok(Self { active: key("active"), term: key("term"), node: node.to_owned(), value })
    }

    /// Whether the holder is this node, or a process of it before this one.
    pub(super) fn is_own(&self, active: &Active) -> bool {
        active.node == self.node
    }

    /// Reads both.
    pub(super) fn read(&self) -> TxnRequest {
        TxnRequest { compare: Vec::new(), success: self.both().into(), failure: Vec::new() }
    }

    /// Makes this node the holder, by a lease; or, where something has been written since they were read, reads both.
    pub(super) fn claim(&self, found: &Found, term: Term, lease: i64) -> TxnRequest {
        let active = match &found.active {
            None => TargetUnion::CreateRevision(0),
            Some(active) => TargetUnion::ModRevision(active.revision),
        };
        let term_is = TargetUnion::ModRevision(found.term_revision);
        TxnRequest {
            compare: vec![is(&self.active, active), is(&self.term, term_is)],
            success: vec![
                put(&self.term, term.to_string().into_bytes(), 0),
                put(&self.active, self.value.clone(), lease),
            ],
            failure: self.both().into(),
        }
    }

    /// Of the responses to reading both.
    pub(super) fn found(&self, responses: Vec<ResponseOp>) -> Result<Found, CallError> {
        let Ok([term, active]) = <[ResponseOp; 2]>::try_from(responses) else { return Err(CallError::Nonsense) };
        let term = key_value(term)?;
        let term_revision = term.as_ref().map_or(0, |term| term.mod_revision);
        let term = term.map_or(Ok(Term(0)), |term| a_term(&term.value));
        let term = term.map_err(|what| CallError::Key { key: self.term.clone(), what })?;
        let active = key_value(active)?.map(|active| a_holder(&active)).transpose();
        let active = active.map_err(|what| CallError::Key { key: self.active.clone(), what })?;
        Ok(Found { term, term_revision, active })
    }

    fn both(&self) -> [RequestOp; 2] {
        [&self.term, &self.active].map(|key| {
            let range = RangeRequest { key: key.clone().into_bytes() };
            RequestOp { request: Some(Request::RequestRange(range)) }
        })
    }
}

/// Finds what keys begin with usable, or says why it is not.
pub(super) fn check_prefix(prefix: &str) -> Result<(), String> {
    check(prefix, prefix.len(), limits::ELECTION_PREFIX_BYTES)
}

fn check(text: &str, bytes: usize, most: usize) -> Result<(), String> {
    Err(if text.is_empty() {
        "is empty".to_owned()
    } else if text.chars().any(char::is_control) {
        "has a control character in it".to_owned()
    } else if bytes > most {
        format!("is too long by {} bytes", bytes - most)
    } else {
        return Ok(());
    })
}

fn is(key: &str, wanted: TargetUnion) -> Compare {
    let target = match wanted {
        TargetUnion::CreateRevision(_) => CompareTarget::Create,
        TargetUnion::ModRevision(_) => CompareTarget::Mod,
    };
    Compare {
        result: CompareResult::Equal.into(),
        target: target.into(),
        key: key.to_owned().into_bytes(),
        target_union: Some(wanted),
    }
}

fn put(key: &str, value: Vec<u8>, lease: i64) -> RequestOp {
    let put = PutRequest { key: key.to_owned().into_bytes(), value, lease };
    RequestOp { request: Some(Request::RequestPut(put)) }
}

/// What a read of one key has found.
fn key_value(response: ResponseOp) -> Result<Option<KeyValue>, CallError> {
    match response.response {
        Some(Response::ResponseRange(range)) => Ok(range.kvs.into_iter().next()),
        _ => Err(CallError::Nonsense),
    }
}

fn a_term(value: &[u8]) -> Result<Term, &'static str> {
    let digits = value.len() <= TERM_DIGITS && value.iter().all(u8::is_ascii_digit);
    let term = Some(value).filter(|_| digits).and_then(|value| str::from_utf8(value).ok()?.parse().ok());
    term.and_then(Term::new).ok_or("is no term")
}

fn a_holder(active: &KeyValue) -> Result<Active, &'static str> {
    if active.value.len() > limits::HOLDER_BYTES {
        return Err("is too long to be a node's");
    }
    let value: Value = serde_json::from_slice(&active.value).map_err(|_| "is no JSON")?;
    let text = |name: &str| {
        let text = value.get(name).and_then(Value::as_str);
        text.filter(|text| !text.is_empty() && !text.chars().any(char::is_control)).map(str::to_owned)
    };
    match (text("node"), text("api")) {
        (Some(node), Some(api)) => Ok(Active { node, api, revision: active.mod_revision }),
        _ => Err("does not say which node is active, and where it is reached"),
    }
}

#[cfg(test)]
mod tests {
    use opof_api::etcd::RangeResponse;
    use proptest::prelude::*;

    use super::*;

    fn keys() -> Keys {
        Keys::new("/opof/pair", "a", "10.0.0.1:3443").unwrap()
    }

    /// What is read where the keys have these values.
    fn answer(term: Option<&[u8]>, active: Option<&[u8]>) -> Vec<ResponseOp> {
        let stored = |value: &[u8]| KeyValue {
            value: value.to_vec(),
            create_revision: 3,
            mod_revision: 7,
            ..KeyValue::default()
        };
        let range = |value: Option<&[u8]>| {
            let range = RangeResponse { kvs: value.map(stored).into_iter().collect(), ..RangeResponse::default() };
            ResponseOp { response: Some(Response::ResponseRange(range)) }
        };
        vec![range(term), range(active)]
    }

    #[test]
    fn what_is_written_is_read_again() {
        let keys = keys();
        let found = keys.found(answer(Some(b"41"), Some(&keys.value))).unwrap();
        assert_eq!((found.term, found.term_revision), (Term(41), 7));
        let active = found.active.as_ref().unwrap();
        assert_eq!((active.api.as_str(), active.revision, keys.is_own(active)), ("10.0.0.1:3443", 7, true));
        assert!(!Keys::new("/opof/pair", "b", "10.0.0.2:3443").unwrap().is_own(active));
        assert_eq!(found.next_term(Term(0)), Some(Term(42)));
        assert_eq!(found.next_term(Term(50)), Some(Term(50)));
    }

    #[test]
    fn before_the_first_claim_there_is_nothing() {
        let found = keys().found(answer(None, None)).unwrap();
        assert_eq!(found, Found { term: Term(0), term_revision: 0, active: None });
        assert_eq!(found.next_term(Term(0)), Some(Term(1)));
    }

    #[test]
    fn behind_the_last_term_there_is_none() {
        let found = keys().found(answer(Some(LAST_TERM.to_string().as_bytes()), None)).unwrap();
        assert_eq!(found.next_term(Term(0)), None);
        let found = keys().found(answer(None, None)).unwrap();
        assert_eq!(found.next_term(Term(LAST_TERM)), Some(Term(LAST_TERM)));
        assert_eq!(found.next_term(Term(LAST_TERM + 1)), None);
    }

    #[test]
    fn a_claim_rests_on_all_that_was_read() {
        let keys = keys();
        let compared = |found: &Found| {
            let claim = keys.claim(found, Term(8), 5);
            claim.compare.into_iter().map(|compare| (compare.key, compare.target_union)).collect::<Vec<_>>()
        };
        let nobody = keys.found(answer(Some(b"7"), None)).unwrap();
        let expected = [
            (b"/opof/pair/active".to_vec(), Some(TargetUnion::CreateRevision(0))),
            (b"/opof/pair/term".to_vec(), Some(TargetUnion::ModRevision(7))),
        ];
        assert_eq!(compared(&nobody), expected);
        let predecessor = keys.found(answer(None, Some(&keys.value))).unwrap();
        let expected = [
            (b"/opof/pair/active".to_vec(), Some(TargetUnion::ModRevision(7))),
            (b"/opof/pair/term".to_vec(), Some(TargetUnion::ModRevision(0))),
        ];
        assert_eq!(compared(&predecessor), expected);
    }

    #[test]
    fn what_is_no_term_is_not_taken_for_one() {
        for value in ["", "-1", "+1", "1 ", "0x1", "1.0", "18446744073709551616", "8388609", "00000001"] {
            let error = keys().found(answer(Some(value.as_bytes()), None)).unwrap_err().to_string();
            assert!(error.starts_with("/opof/pair/term is no term"), "{value:?}: {error}");
        }
    }

    #[test]
    fn what_is_no_node_is_not_taken_for_one() {
        let long = format!(r#"{{"node": "a", "api": "{}"}}"#, "x".repeat(limits::HOLDER_BYTES));
        let deep = "[".repeat(limits::HOLDER_BYTES);
        let odd = [r"", "a", "[]", r#"{"node": "a"}"#, r#"{"node": "", "api": "b"}"#, r#"{"node": 1, "api": "b"}"#];
        for value in odd.into_iter().chain([r#"{"node": "a", "api": "b\n"}"#, &long, &deep]) {
            let error = keys().found(answer(None, Some(value.as_bytes()))).unwrap_err().to_string();
            assert!(error.starts_with("/opof/pair/active "), "{value:?}: {error}");
        }
    }

    #[test]
    fn answers_to_something_else_are_nonsense() {
        for responses in [Vec::new(), vec![ResponseOp::default(); 2], vec![ResponseOp::default(); 3]] {
            assert!(matches!(keys().found(responses), Err(CallError::Nonsense)));
        }
    }

    #[test]
    fn names_are_bounded() {
        let refused = |prefix: &str, node: &str, api: &str| Keys::new(prefix, node, api).unwrap_err().to_string();
        assert_eq!(refused("", "a", "b"), "etcd: the prefix is empty");
        assert_eq!(refused("/p", "", "b"), "etcd: the node's name is empty");
        assert_eq!(refused("/p", "a", "b\n"), "etcd: the node's API address has a control character in it");
        let long = "x".repeat(limits::HOLDER_BYTES);
        assert!(refused("/p", "a", &long).contains("is too long by "));
        assert!(refused(&long, "a", "b").starts_with("etcd: the prefix is too long by "));
        // Whatever is in it, its own node can read it.
        let odd = Keys::new("/p/", "\"\\", "ü").unwrap();
        let active = odd.found(answer(None, Some(&odd.value))).unwrap().active.unwrap();
        assert!(odd.is_own(&active));
        assert_eq!(odd.term, "/p/term");
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_in_them(term in prop::collection::vec(any::<u8>(), 0..30), active in ".{0,600}") {
            let _ = keys().found(answer(Some(&term), Some(active.as_bytes())));
        }
    }
}
