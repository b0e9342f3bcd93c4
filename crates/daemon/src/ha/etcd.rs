//! The store that elects, in etcd: two keys, written together.
//!
//! `PREFIX/active` says who the holder is and where it is reached. It is attached to the holder's lease, so it goes when the holder
//! does not go on. `PREFIX/term` is the latest term, and stays. Both are written by one transaction, which does nothing unless nobody
//! is the holder and the term is still the one that was read: so no term is given twice.
//!
//! A holder that has the name of this node is a process of it that is dead, for there is one at a time: a claim puts this one in its
//! place, with a term of its own, if it is still that one when it is written.
//!
//! What must not be here: what is in the keys (`keys`), how a member is reached (`member`), when to claim (`opof_session::ha`).

mod error;
mod keys;
mod member;

use std::time::Duration;

use opof_session::ha::Term;
use opof_session::ha::store::{StoreAnswer, StoreRequest};
use tokio::time::timeout;

pub use self::error::EtcdError;
use self::keys::{Active, Found, Keys};
pub use self::member::EtcdTls;
use self::member::{CallError, Connection, Lease, Member};
use crate::limits;

/// Which etcd, and who this node is there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EtcdConfig {
    /// The members' URIs: `http://host:2379`, or `https://host:2379` with `tls`.
    pub endpoints: Vec<String>,
    /// What the keys of this pair begin with, `/opof/pair-1`; no other pair has the same.
    pub prefix: String,
    /// This node's name; the other one has another.
    pub node: String,
    /// Where this node's API is reached, for the other one and for clients that come to it.
    pub api: String,
    /// By which members and this node trust each other; in plain text without.
    pub tls: Option<EtcdTls>,
}

impl EtcdConfig {
    /// What is wrong with a member's URI, and what to do, as far as that is known without the files of `tls`.
    pub(crate) fn check_endpoint(uri: &str, has_tls: bool) -> Result<(), String> {
        member::endpoint(uri, has_tls).map(drop)
    }

    /// What is wrong with what keys are to begin with.
    pub(crate) fn check_prefix(prefix: &str) -> Result<(), String> {
        keys::check_prefix(prefix)
    }
}

/// What makes this process the holder.
#[derive(Clone, Copy, Debug)]
struct Holding {
    term: Term,
    lease: i64,
    /// At which `PREFIX/active` was written; nobody has written it since while that is its revision.
    revision: i64,
    /// Its end was asked for, and can come at any time, however that was answered: it is not gone on with.
    resigned: bool,
}

/// An etcd that elects, as this process knows it. It begins as nobody's holder, whatever a process before it was.
#[derive(Debug)]
pub struct Etcd {
    keys: Keys,
    members: Vec<Member>,
    /// The one that answered last, and is asked first.
    first: usize,
    holding: Option<Holding>,
}

impl Etcd {
    /// Finds the configuration usable; no member is asked yet.
    pub fn new(config: &EtcdConfig) -> Result<Self, EtcdError> {
        let keys = Keys::new(&config.prefix, &config.node, &config.api)?;
        if config.endpoints.is_empty() || config.endpoints.len() > limits::ELECTION_MEMBERS {
            return Err(EtcdError::Endpoints(config.endpoints.len()));
        }
        let members = config.endpoints.iter().map(|uri| Member::new(uri, config.tls.clone()));
        Ok(Self { keys, members: members.collect::<Result<_, _>>()?, first: 0, holding: None })
    }

    /// Asks, one member after the other, and has an answer within [`limits::ELECTION_DEADLINE`]. Must be called on a tokio runtime.
    ///
    /// A request that has failed may come into force all the same, and later: a claim that nobody knows of keeps others away until its
    /// lease ends, or until this node claims again.
    pub async fn ask(&mut self, request: StoreRequest) -> StoreAnswer {
        let mut left = limits::ELECTION_DEADLINE;
        let mut failures = Vec::new();
        for tried in 1..=self.members.len() {
            let at = (self.first + tried - 1) % self.members.len();
            // Each has half of what those before it have left, so that one that is silent does not cost the others their time.
            let patience = if tried == self.members.len() { left } else { left / 2 };
            left -= patience;
            let answer = timeout(patience, self.ask_member(at, request)).await;
            let error = match answer.unwrap_or(Err(CallError::Late(patience))) {
                Ok(answer) => {
                    self.first = at;
                    return answer;
                }
                Err(error) if error.is_final() => return StoreAnswer::Failed { why: format!("etcd: {error}") },
                Err(error) => error,
            };
            self.members[at].disconnect();
            failures.push(format!("{}: {error}", self.members[at].uri()));
        }
        StoreAnswer::Failed { why: format!("etcd: {}", failures.join("; ")) }
    }

    async fn ask_member(&mut self, at: usize, request: StoreRequest) -> Result<StoreAnswer, CallError> {
        let mut member = self.members[at].connection()?;
        match request {
            StoreRequest::Claim { at_least, ttl } => self.claim(&mut member, at_least, ttl).await,
            StoreRequest::Renew { term } => self.renew(&mut member, term).await,
            StoreRequest::Resign { term } => self.resign(&mut member, term).await,
        }
    }

    async fn claim(
        &mut self,
        member: &mut Connection,
        at_least: Term,
        ttl: Duration,
    ) -> Result<StoreAnswer, CallError> {
        let found = self.read(member).await?;
        if let Some(taken) = self.taken(&found) {
            return Ok(taken);
        }
        let lease = member.grant(ttl).await?;
        let answer = self.win(member, found, at_least, lease).await;
        if !matches!(answer, Ok(StoreAnswer::Held { .. })) {
            // Nobody needs it. It ends by itself where this fails.
            let _ = member.revoke(lease.id).await;
        }
        answer
    }

    /// Becomes the holder, unless somebody else is quicker.
    async fn win(
        &mut self,
        member: &mut Connection,
        mut found: Found,
        at_least: Term,
        lease: Lease,
    ) -> Result<StoreAnswer, CallError> {
        for _ in 0..limits::ELECTION_CLAIMS {
            let term = found.next_term(at_least).ok_or(CallError::NoTerm)?;
            let done = member.transact(self.keys.claim(&found, term, lease.id)).await?;
            if done.succeeded {
                let revision = done.header.ok_or(CallError::Nonsense)?.revision;
                self.holding = Some(Holding { term, lease: lease.id, revision, resigned: false });
                return Ok(StoreAnswer::Held { term, ttl: lease.ttl });
            }
            found = self.keys.found(done.responses)?;
            if let Some(taken) = self.taken(&found) {
                return Ok(taken);
            }
        }
        Err(CallError::Conflicts)
    }

    async fn renew(&mut self, member: &mut Connection, term: Term) -> Result<StoreAnswer, CallError> {
        let holding = self.holding.filter(|holding| holding.term == term && !holding.resigned);
        let lasts = match holding {
            Some(holding) => member.keep_alive(holding.lease).await?,
            None => None,
        };
        // A lease says nothing of the key: somebody may have written or deleted it by hand.
        let found = self.read(member).await?;
        let is_ours = |active: &Active| holding.is_some_and(|holding| holding.revision == active.revision);
        let answer = match (found.active, lasts) {
            (Some(active), Some(ttl)) if is_ours(&active) => return Ok(StoreAnswer::Held { term, ttl }),
            (Some(active), _) if !is_ours(&active) => StoreAnswer::Taken { term: found.term, holder: active.api },
            _ => StoreAnswer::Failed { why: format!("etcd: term {term} is over, and nobody is active") },
        };
        if holding.is_some() {
            self.holding = None;
        }
        Ok(answer)
    }

    async fn resign(&mut self, member: &mut Connection, term: Term) -> Result<StoreAnswer, CallError> {
        if let Some(holding) = self.holding.as_mut().filter(|holding| holding.term == term) {
            holding.resigned = true;
            // The key goes with it, and only if it is still attached to it.
            member.revoke(holding.lease).await?;
            self.holding = None;
        }
        Ok(StoreAnswer::Resigned)
    }

    async fn read(&self, member: &mut Connection) -> Result<Found, CallError> {
        let answer = member.transact(self.keys.read()).await?;
        self.keys.found(answer.responses)
    }

    /// What is to be answered where somebody else is the holder.
    fn taken(&self, found: &Found) -> Option<StoreAnswer> {
        let holder = found.active.as_ref().filter(|active| !self.keys.is_own(active))?;
        Some(StoreAnswer::Taken { term: found.term, holder: holder.api.clone() })
    }
}
