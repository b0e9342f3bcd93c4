//! What the outside asks of the engine, and what the engine answers: domain types, no protobuf, no channels.

use core::num::NonZeroU32;

use opof_wire::{Endpoint, Vid};

use crate::l3::{L3Error, NextHop, NextHopId, VlanFlow};
use crate::types::{ClosedRecord, Counters, Lif, Moment, SessionId, SessionSpec};

/// Ties a [`Reply`] to its [`Request`]. The caller chooses it; the engine only gives it back.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Ticket(pub u64);

/// Two ids for one tuple: what a newer session does to an older one with a key in common.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum SameTuple {
    /// The newer owns the tuple; the older stays listed, sees no more packets and closes by its timeout.
    #[default]
    Supersede,
    /// The newer is refused as "already exists".
    Reject,
}

/// One request. Each is answered by exactly one [`Reply`] with its ticket, except [`RequestBody::Settle`]
/// and [`RequestBody::Reclaim`], which have none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    /// Comes back with the reply.
    pub ticket: Ticket,
    /// What is asked.
    pub body: RequestBody,
}

/// What is asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RequestBody {
    /// Offload these sessions, at most `limits::ADD_BATCH` of them. [`ReplyBody::Added`] comes when the last of them
    /// is on the fast path or refused.
    Add {
        /// Judged one by one, in this order.
        sessions: Vec<SessionSpec>,
        /// Policy for a tuple that is taken.
        same_tuple: SameTuple,
    },
    /// One session with its live counters.
    Get(SessionId),
    /// Take a session off the fast path; the reply has its final counters.
    Delete {
        /// Which.
        id: SessionId,
        /// Also make a closed record of it.
        record: bool,
    },
    /// Close every session that is there; each gets a closed record. [`ReplyBody::Swept`] comes when the last is off the
    /// fast path.
    Reset,
    /// Something about next hops or VLAN flows.
    L3(L3Request),
    /// Sessions in ascending id with live counters, from the first id that is at least `from`.
    List {
        /// First id wanted.
        from: SessionId,
        /// Sessions to pass over first, at most `limits::LIST_SKIP`.
        skip: u32,
        /// Sessions wanted, at most `limits::LIST_ROWS`.
        rows: NonZeroU32,
    },
    /// Lend the oldest closed records that nobody else is being handed, at most `limits::COLLECT_RECORDS`.
    Collect {
        /// Records wanted.
        records: NonZeroU32,
    },
    /// Take all loans back: their records wait again. It has no reply.
    Reclaim,
    /// End a loan: the first `delivered` records of it are gone for good, the others wait again, in their old place.
    Settle {
        /// As in [`ReplyBody::Collected`].
        loan: Loan,
        /// How many, from the front, were handed over.
        delivered: u32,
    },
}

/// What is asked about next hops and VLAN flows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum L3Request {
    /// Store a next hop, in place of one with its number. Answered by [`ReplyBody::Done`].
    SetNextHop(NextHop),
    /// Take one away and close the sessions that refer to it; [`ReplyBody::Swept`], or [`ReplyBody::Done`] with the reason
    /// why not.
    DestroyNextHop(NextHopId),
    /// Take all away and close the sessions that refer to one; [`ReplyBody::Swept`] or [`ReplyBody::Done`] as above.
    ClearNextHops,
    /// Store a VLAN flow. [`ReplyBody::Done`].
    AddVlanFlow(VlanFlow),
    /// Forget one. [`ReplyBody::Done`].
    RemoveVlanFlow(Vid),
    /// All of them, [`ReplyBody::VlanFlows`].
    ListVlanFlows,
    /// Forget all. [`ReplyBody::Done`].
    ClearVlanFlows,
}

/// Closed records in the hands of one reader. Ends with [`RequestBody::Settle`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Loan(pub u64);

/// The answer to a [`Request`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reply {
    /// As in the request.
    pub ticket: Ticket,
    /// What is answered.
    pub body: ReplyBody,
}

/// What is answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ReplyBody {
    /// Answers [`RequestBody::Add`]: the sessions that were refused, by their position in the request, in ascending
    /// position. Every other one is offloaded.
    Added {
        /// Empty when all were accepted.
        refused: Vec<Refused>,
    },
    /// Answers [`RequestBody::Get`].
    Got(Option<SessionView>),
    /// Answers [`RequestBody::Delete`]; the counters are final. `None`: no such session.
    Deleted(Option<SessionView>),
    /// Answers [`RequestBody::List`].
    Listed {
        /// In ascending id.
        sessions: Vec<SessionView>,
        /// First id that was not reached; `None` when the end was.
        next: Option<SessionId>,
    },
    /// Answers [`RequestBody::Collect`].
    Collected {
        /// `None` when nothing is waiting.
        loan: Option<Loan>,
        /// Oldest first.
        records: Vec<ClosedRecord>,
    },
    /// Answers a request that closes many sessions.
    Swept {
        /// How many it has closed.
        closed: u64,
    },
    /// Answers an [`L3Request`] that has nothing else to tell.
    Done(Result<(), L3Error>),
    /// Answers [`L3Request::ListVlanFlows`], in ascending VLAN.
    VlanFlows(Vec<VlanFlow>),
}

/// A session that was not accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refused {
    /// Its position in the request, from 0.
    pub index: u32,
    /// Its id.
    pub id: SessionId,
    /// Why.
    pub error: AddError,
}

/// Why a session was not accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AddError {
    /// The id is in use; the session that has it is untouched.
    #[error("session {0} already exists")]
    IdExists(SessionId),
    /// The tuple is in use and the policy is [`SameTuple::Reject`].
    #[error("session {0} already has this tuple")]
    TupleExists(SessionId),
    /// An interface that this device does not have.
    #[error("{field}: no logical interface {lif}")]
    UnknownLif {
        /// `inLif` or `outLif`.
        field: &'static str,
        /// The number that was asked for.
        lif: Lif,
    },
    /// Both directions have one key: the tuple is its own mirror image, on one interface and one VLAN. Of no packet could be
    /// said which direction it is.
    #[error("outLif: the session meets itself: both directions have one tuple on lif {0}")]
    MeetsItself(Lif),
    /// A tag on one side only: tags are rewritten, never pushed or popped.
    #[error("outLif: a VLAN on one side only")]
    VlanOneSided,
    /// The plane can't do it.
    #[error("{field}: this device's data plane has no {what}")]
    Unsupported {
        /// The field that asks for it.
        field: &'static str,
        /// What the plane can't do.
        what: &'static str,
    },
    /// A next hop that nobody has set, or that takes packets of the other family.
    #[error("{field}: no next hop {id} for {family}")]
    NoNextHop {
        /// The field that asks for it.
        field: &'static str,
        /// The number that was asked for.
        id: NextHopId,
        /// Of the session.
        family: crate::l3::Family,
    },
    /// NAT towards `inLif` that is not the way back of NAT towards `outLif`.
    #[error("{field}: replies are translated back to the session's own tuple, here {back}, and to nothing else")]
    NatNotBack {
        /// The field that asks for it.
        field: &'static str,
        /// What it may say.
        back: Endpoint,
    },
    /// NAT would give packets of two sessions one key; under either policy for tuples that are taken the older keeps it.
    #[error("its packets after NAT could not be told from those of session {0}")]
    TranslatedTupleExists(SessionId),
    /// No room for another session.
    #[error("the session table is full")]
    TableFull,
    /// The data plane could not take it now; it may later.
    #[error("the session table is unavailable")]
    Unavailable,
}

/// A session as it stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SessionView {
    /// As it was asked for, the timeout in force in place of the one asked for.
    pub spec: SessionSpec,
    /// Live, or final where the session is gone.
    pub counters: Counters,
    /// When it was established.
    pub started: Moment,
    /// When it was taken off, for a session that is gone.
    pub ended: Option<Moment>,
    /// A newer session has its tuple; it sees no more packets.
    pub superseded: bool,
}
