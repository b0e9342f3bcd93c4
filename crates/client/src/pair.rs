//! A device as one of a high-availability pair, as an operator wants to see it, and what an operator does about it. Calls of opof's own;
//! a device that is not one of two answers them with [`Error::Refused`], `FAILED_PRECONDITION`.

use std::time::Duration;

use opof_api::pair;
use opof_api::pair::pair_client::PairClient;

use crate::client::Client;
use crate::error::Error;
use crate::health::{self, Health};

/// A device as one of two.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pair {
    /// Its name.
    pub node: String,
    /// What it is.
    pub role: PairRole,
    /// An active's own term, or the highest that a standby knows of.
    pub term: u64,
    /// For how long it has had its role.
    pub role_age: Duration,
    /// Why it has it, one word: `start`, `elected`, `elected-anew`, `told`, `handover`, `lease-over`, `higher-term`.
    pub role_why: String,
    /// Who says what it is: `etcd`, `external`, `fixed`.
    pub election: String,
    /// An add is answered when the standby has the sessions, too.
    pub sync: bool,
    /// It is handing over.
    pub is_handing_over: bool,
    /// The other device.
    pub peer: PairPeer,
    /// How the standby stands, as the active knows it; `None` of a standby.
    pub standing: Option<PairStanding>,
    /// The number of the last change here.
    pub change: u64,
    /// Changes that the standby has not done; of an active.
    pub lag: u64,
    /// Sessions that have ended and wait for the standby to let them go; of an active.
    pub awaiting: u64,
    /// How long a standby's table is certainly as good as the active's, if nothing more is heard; `None` where it is not.
    pub current_for: Option<Duration>,
}

/// The other device of a pair.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PairPeer {
    /// Its name.
    pub node: String,
    /// Where its API is reached.
    pub api: String,
    /// How long ago it was heard; `None`: never.
    pub heard_ago: Option<Duration>,
    /// What it said that it was.
    pub role: PairRole,
}

/// What a device is in its pair.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum PairRole {
    /// It answers firewalls, and decides.
    Active,
    /// It follows the active, or would if there were one.
    Standby,
    /// Nobody knows, or something that this version does not know.
    Unknown,
}

impl PairRole {
    /// In lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Standby => "standby",
            Self::Unknown => "unknown",
        }
    }

    const fn from_message(role: pair::Role) -> Self {
        match role {
            pair::Role::Active => Self::Active,
            pair::Role::Standby => Self::Standby,
            pair::Role::Unspecified => Self::Unknown,
        }
    }
}

/// Whether the standby has what the active has.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum PairStanding {
    /// It does not, and knows.
    Out,
    /// It is about to.
    Entering,
    /// It does.
    In,
    /// Nobody knows, and for a while it may think that it does.
    Leaving,
}

impl PairStanding {
    /// In lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Out => "out",
            Self::Entering => "entering",
            Self::In => "in",
            Self::Leaving => "leaving",
        }
    }

    const fn from_message(standing: pair::Standing) -> Option<Self> {
        match standing {
            pair::Standing::Unspecified => None,
            pair::Standing::Out => Some(Self::Out),
            pair::Standing::Entering => Some(Self::Entering),
            pair::Standing::In => Some(Self::In),
            pair::Standing::Leaving => Some(Self::Leaving),
        }
    }
}

impl Pair {
    fn from_message(response: pair::GetPairResponse) -> Self {
        let (role, standing) = (response.role(), response.standing());
        let peer = response.peer.unwrap_or_default();
        Self {
            node: response.node,
            role: PairRole::from_message(role),
            term: response.term,
            role_age: age(response.role_age).unwrap_or_default(),
            role_why: response.role_why,
            election: response.election,
            sync: response.sync,
            is_handing_over: response.is_handing_over,
            peer: PairPeer {
                role: PairRole::from_message(peer.role()),
                node: peer.node,
                api: peer.api,
                heard_ago: age(peer.heard_ago),
            },
            standing: PairStanding::from_message(standing),
            change: response.change,
            lag: response.lag,
            awaiting: response.awaiting,
            current_for: age(response.current_for),
        }
    }
}

fn age(age: Option<impl TryInto<Duration>>) -> Option<Duration> {
    age.and_then(|age| age.try_into().ok())
}

/// About the device that is asked: [`ClientConfig::stay`](crate::ClientConfig::stay) keeps a client to one.
impl Client {
    /// How it sees its pair.
    ///
    /// # Errors
    /// When the call fails, or it is not one of a pair.
    pub async fn pair(&mut self) -> Result<Pair, Error> {
        let answer = self.call.answer(|at| async move {
            PairClient::new(at.channel()).get_pair(at.request(pair::GetPairRequest {})).await
        });
        Ok(Pair::from_message(answer.await?))
    }

    /// Whether it is fit to be active: a standby that is well is, though it does not serve.
    ///
    /// # Errors
    /// When the call fails.
    pub async fn pair_health(&mut self) -> Result<Health, Error> {
        health::ask(&self.call, pair::pair_server::SERVICE_NAME).await
    }

    /// Has it hand over to its standby, and waits until it has. It must be active, and its standby must have what it has.
    ///
    /// # Errors
    /// When the call fails, or it does not hand over.
    pub async fn switchover(&mut self) -> Result<Pair, Error> {
        let answer = self.call.answer(|at| async move {
            PairClient::new(at.channel()).switchover(at.request(pair::SwitchoverRequest {})).await
        });
        Ok(Pair::from_message(answer.await?))
    }

    /// Tells it to be active, or standby. Where a store elects, an active that is told to be standby stays out until it is told to be
    /// active, which then means that it may be elected.
    ///
    /// # Errors
    /// When the call fails, or the configuration says what it is.
    pub async fn become_role(&mut self, role: PairRole) -> Result<Pair, Error> {
        let role = match role {
            PairRole::Active => pair::Role::Active,
            PairRole::Standby => pair::Role::Standby,
            PairRole::Unknown => pair::Role::Unspecified,
        };
        let message = pair::BecomeRequest { role: role.into() };
        let answer =
            self.call.answer(|at| async move { PairClient::new(at.channel()).r#become(at.request(message)).await });
        Ok(Pair::from_message(answer.await?))
    }

    /// Has a standby forget what it has of the active, and be told everything anew.
    ///
    /// # Errors
    /// When the call fails, or it is active.
    pub async fn resync(&mut self) -> Result<Pair, Error> {
        let answer = self
            .call
            .answer(|at| async move { PairClient::new(at.channel()).resync(at.request(pair::ResyncRequest {})).await });
        Ok(Pair::from_message(answer.await?))
    }
}
