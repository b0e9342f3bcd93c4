//! A member of the cluster: how it is reached, and the calls that are made to it. What must not be here: what for.

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use opof_api::etcd::kv_client::KvClient;
use opof_api::etcd::lease_client::LeaseClient;
use opof_api::etcd::{LeaseGrantRequest, LeaseKeepAliveRequest, LeaseRevokeRequest, TxnRequest, TxnResponse};
use tonic::metadata::MetadataValue;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Request, Status};

use super::error::EtcdError;
use crate::{limits, tls};

/// Metadata that asks a member to refuse rather than to wait while its cluster has no leader.
const REQUIRE_LEADER: &str = "hasleader";

/// The files by which members are trusted, and by which they trust this node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EtcdTls {
    /// The authorities that sign members' certificates.
    pub ca: PathBuf,
    /// This node's certificate and its key, where members ask for one.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// Why a member has no answer, or none that can be used.
#[derive(thiserror::Error, Debug)]
pub(super) enum CallError {
    #[error("{}", reason(.0))]
    Status(#[from] Status),
    #[error(transparent)]
    Configuration(#[from] EtcdError),
    #[error("no answer within {} ms", .0.as_millis())]
    Late(Duration),
    #[error("an answer that makes no sense; is it an etcd of version 3?")]
    Nonsense,
    #[error("no lease: {0}")]
    NoLease(String),
    #[error("{key} {what}; only opofd may write it: etcdctl del {key}")]
    Key { key: String, what: &'static str },
    #[error("others write the keys all the time")]
    Conflicts,
    #[error("there is no term behind the last one")]
    NoTerm,
}

impl CallError {
    /// True when another member would say the same.
    pub(super) const fn is_final(&self) -> bool {
        matches!(self, Self::Key { .. } | Self::Conflicts | Self::NoTerm)
    }
}

/// A promise to be there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lease {
    pub(super) id: i64,
    /// From when it was asked for on, at least.
    pub(super) ttl: Duration,
}

/// A member. It is connected to when it is asked.
#[derive(Debug)]
pub(super) struct Member {
    uri: String,
    tls: Option<EtcdTls>,
    channel: Option<Channel>,
}

impl Member {
    /// With a URI and files that make sense.
    pub(super) fn new(uri: &str, tls: Option<EtcdTls>) -> Result<Self, EtcdError> {
        let member = Self { uri: uri.to_owned(), tls, channel: None };
        member.endpoint()?;
        Ok(member)
    }

    pub(super) fn uri(&self) -> &str {
        &self.uri
    }

    /// The connection that there is, or a new one.
    pub(super) fn connection(&mut self) -> Result<Connection, EtcdError> {
        let channel = match &self.channel {
            Some(channel) => channel.clone(),
            None => self.channel.insert(self.endpoint()?.connect_lazy()).clone(),
        };
        Ok(Connection {
            kv: KvClient::new(channel.clone()).max_decoding_message_size(limits::ELECTION_ANSWER_BYTES),
            lease: LeaseClient::new(channel).max_decoding_message_size(limits::ELECTION_ANSWER_BYTES),
        })
    }

    /// The next connection is a new one: this one may be dead without knowing it, and the files may have changed since.
    pub(super) fn disconnect(&mut self) {
        self.channel = None;
    }

    fn endpoint(&self) -> Result<Endpoint, EtcdError> {
        let invalid = |reason: String| EtcdError::Endpoint { uri: self.uri.clone(), reason };
        let endpoint = endpoint(&self.uri, self.tls.is_some()).map_err(invalid)?;
        let endpoint = endpoint.connect_timeout(limits::ELECTION_DEADLINE).tcp_nodelay(true);
        match &self.tls {
            None => Ok(endpoint),
            Some(files) => endpoint.tls_config(files.load()?).map_err(|error| invalid(innermost(&error))),
        }
    }
}

/// Finds a URI usable, or says why it is not, and what to do; the files are not looked at.
pub(super) fn endpoint(uri: &str, has_tls: bool) -> Result<Endpoint, String> {
    let endpoint = Endpoint::from_shared(uri.to_owned()).map_err(|error| innermost(&error))?;
    if endpoint.uri().authority().is_none() {
        return Err("it names no host".to_owned());
    }
    match (endpoint.uri().scheme_str(), has_tls) {
        (Some("http"), false) | (Some("https"), true) => Ok(endpoint),
        (Some("http"), true) => Err("with certificates it has to begin with https://".to_owned()),
        (Some("https"), false) => Err("https:// needs a CA by which the member's certificate is judged".to_owned()),
        _ => Err("it begins with neither https:// nor http://".to_owned()),
    }
}

impl EtcdTls {
    /// Reads the files. Each is looked at by itself first, so that what is wrong with it has a name.
    fn load(&self) -> Result<ClientTlsConfig, EtcdError> {
        tls::certificates("etcd CA", &self.ca)?;
        let config = ClientTlsConfig::new().timeout(limits::ELECTION_DEADLINE);
        let config = config.ca_certificate(Certificate::from_pem(tls::read("etcd CA", &self.ca)?));
        let Some((certificate, key)) = &self.identity else { return Ok(config) };
        tls::certificates("certificate", certificate)?;
        tls::private_key(key)?;
        Ok(config.identity(Identity::from_pem(tls::read("certificate", certificate)?, tls::read("key", key)?)))
    }
}

/// A connection to a member.
#[derive(Debug)]
pub(super) struct Connection {
    kv: KvClient<Channel>,
    lease: LeaseClient<Channel>,
}

impl Connection {
    pub(super) async fn transact(&mut self, transaction: TxnRequest) -> Result<TxnResponse, CallError> {
        Ok(self.kv.txn(led(transaction)).await?.into_inner())
    }

    pub(super) async fn grant(&mut self, ttl: Duration) -> Result<Lease, CallError> {
        let whole = ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
        let seconds = i64::try_from(whole.max(limits::LEASE_SECONDS_MIN.into())).unwrap_or(i64::MAX);
        let granted = self.lease.lease_grant(led(LeaseGrantRequest { ttl: seconds })).await?.into_inner();
        match u64::try_from(granted.ttl) {
            _ if !granted.error.is_empty() => Err(CallError::NoLease(granted.error)),
            Ok(ttl) if ttl >= 1 => Ok(Lease { id: granted.id, ttl: Duration::from_secs(ttl) }),
            _ => Err(CallError::Nonsense),
        }
    }

    /// How long it lasts from now on; `None` when there is no such lease any more.
    pub(super) async fn keep_alive(&mut self, lease: i64) -> Result<Option<Duration>, CallError> {
        let request = led(tokio_stream::once(LeaseKeepAliveRequest { id: lease }));
        let mut answers = self.lease.lease_keep_alive(request).await?.into_inner();
        let answer = answers.message().await?.ok_or(CallError::Nonsense)?;
        match u64::try_from(answer.ttl) {
            _ if answer.id != lease => Err(CallError::Nonsense),
            Ok(seconds) if seconds >= 1 => Ok(Some(Duration::from_secs(seconds))),
            _ => Ok(None),
        }
    }

    /// Ends it, and with it the keys that are attached to it. It may have ended before.
    pub(super) async fn revoke(&mut self, lease: i64) -> Result<(), CallError> {
        match self.lease.lease_revoke(led(LeaseRevokeRequest { id: lease })).await {
            Err(status) if status.code() != Code::NotFound => Err(status.into()),
            _ => Ok(()),
        }
    }
}

fn led<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert(REQUIRE_LEADER, MetadataValue::from_static("true"));
    request
}

/// In one line that is not too long: what a server says, or why it was not reached.
fn reason(status: &Status) -> String {
    let text = status.source().map_or_else(|| status.message().to_owned(), innermost);
    let text = if text.is_empty() { status.code().description().to_owned() } else { text };
    text.chars().filter(|letter| !letter.is_control()).take(limits::ELECTION_REASON_CHARS).collect()
}

fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(uri: &str, tls: Option<EtcdTls>) -> String {
        Member::new(uri, tls).unwrap_err().to_string()
    }

    #[test]
    fn a_uri_and_certificates_have_to_fit() {
        let tls = || Some(EtcdTls { ca: "/nowhere/ca.pem".into(), identity: None });
        assert!(Member::new("http://10.0.0.1:2379", None).is_ok());
        assert!(refused("10.0.0.1:2379", None).contains("begins with neither"));
        assert!(refused("ftp://10.0.0.1:2379", None).contains("begins with neither"));
        assert!(refused("/run/etcd", None).contains("it names no host"));
        assert!(refused("https://10.0.0.1:2379", None).contains("needs a CA"));
        assert!(refused("http://10.0.0.1:2379", tls()).contains("has to begin with https://"));
        assert!(refused("https://10.0.0.1:2379", tls()).starts_with("etcd: etcd CA /nowhere/ca.pem: can't be read"));
    }

    #[test]
    fn what_a_member_says_is_one_short_line() {
        let long = Status::unavailable(format!("etcdserver:\n{}", "x".repeat(10_000)));
        let text = reason(&long);
        assert!(text.starts_with("etcdserver:x") && text.len() == limits::ELECTION_REASON_CHARS, "{text}");
        assert!(!reason(&Status::new(Code::Unavailable, "")).is_empty());
    }
}
