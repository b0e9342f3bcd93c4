//! Where the device is and how to talk to it.

use std::fmt;
use std::time::Duration;

use opof_api::{Dialect, Profile};
use tonic::transport::{ClientTlsConfig, Endpoint};

use crate::error::Error;
use crate::status::{innermost, tls_error};
use crate::{limits, pem};

/// Where the device is and how to talk to it.
#[derive(Clone)]
pub struct ClientConfig {
    uri: String,
    others: Vec<String>,
    stays: bool,
    ca_pem: Option<Vec<u8>>,
    identity_pem: Option<[Vec<u8>; 2]>,
    domain: Option<String>,
    dialect: Dialect,
    profile: Profile,
    deadline: Duration,
    connect_timeout: Duration,
}

impl ClientConfig {
    /// A device at `uri`, that speaks v1 as the API's text has it.
    ///
    /// - `https://host:3443`: TLS. The device's certificate must be signed by one of the system's authorities, unless
    ///   [`ca_pem`](Self::ca_pem) names another.
    /// - `http://host:3443`: everything goes in plain text.
    /// - `unix:/path` or `unix:///path`: a Unix domain socket, in plain text.
    ///
    /// What is set about certificates is not used but with `https`.
    pub fn new(uri: impl Into<String>) -> Self {
        Self {
            uri: uri.into(),
            others: Vec::new(),
            stays: false,
            ca_pem: None,
            identity_pem: None,
            domain: None,
            dialect: Dialect::V1,
            profile: Profile::SPEC,
            deadline: limits::DEADLINE,
            connect_timeout: limits::CONNECT,
        }
    }

    /// Where another device of the same pair is. What is set about certificates, dialect and profile holds for all of them.
    ///
    /// The first that is there is asked; when it is away, or says that it is not active, the next. A call that a device has not
    /// taken because of that is made again, within its deadline; one that may have been carried out fails, and the next one asks
    /// another device. One that has no answer may have been carried out: its deadline is over, or its future was dropped after
    /// [`SILENCE`](limits::SILENCE), or TCP had nothing acknowledged for [`UNACKNOWLEDGED`](limits::UNACKNOWLEDGED). Sessions of a batch
    /// that is sent twice may have been taken the first time: they are refused as [`AlreadyExists`](crate::Refusal::AlreadyExists).
    ///
    /// # Who is asked
    /// A standby says in its answer where the active device is (response metadata `opof-active`). It can't make a client send its
    /// sessions to a stranger:
    ///
    /// - Where several addresses are configured, no other is asked. One that is named and not among them has the next one of them
    ///   asked instead.
    /// - Where one is configured and it begins with `https://`, the one that is named is asked by TLS, too, and must show a
    ///   certificate as the configured one: signed by the same authority, for the host that was named, or for
    ///   [`domain`](Self::domain) where that is set.
    /// - Where one is configured and it is in plain text, no other is asked.
    #[must_use]
    pub fn or(mut self, uri: impl Into<String>) -> Self {
        self.others.push(uri.into());
        self
    }

    /// The first device alone is asked, whatever it says of another one.
    #[must_use]
    pub fn stay(mut self) -> Self {
        self.stays = true;
        self
    }

    /// Which of the published dialects is spoken.
    #[must_use]
    pub fn dialect(mut self, dialect: Dialect) -> Self {
        self.dialect = dialect;
        self
    }

    /// How the device reads and writes what the dialects leave open. It must be the device's own: most differences
    /// can't be seen in an answer, a wrong order of address bytes offloads the wrong session.
    #[must_use]
    pub fn profile(mut self, profile: Profile) -> Self {
        self.profile = profile;
        self
    }

    /// Trust these certificates, in PEM, and no others: those of an authority, or a device's own self-signed one.
    #[must_use]
    pub fn ca_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.ca_pem = Some(pem.into());
        self
    }

    /// Who this client is, for devices that ask: its certificate, with those that lead to an authority after it, and
    /// its private key (PKCS #8, PKCS #1 or SEC 1), both in PEM.
    #[must_use]
    pub fn identity_pem(mut self, certificate: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        self.identity_pem = Some([certificate.into(), key.into()]);
        self
    }

    /// The name that the device's certificate must have, where it is not the one in the URI.
    #[must_use]
    pub fn domain(mut self, name: impl Into<String>) -> Self {
        self.domain = Some(name.into());
        self
    }

    /// How long each call may take; 10 seconds where this is not set. Of an add each batch, of a stream each session
    /// counts by itself.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// How long a connection may take to come about; 5 seconds where this is not set. Where there is another device, TCP's part of it is
    /// [`UNACKNOWLEDGED`](limits::UNACKNOWLEDGED) at most.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Whether no other device is known than this one, which may come back.
    pub(crate) fn is_only(&self, uri: &str) -> bool {
        uri == self.uri && self.uris().count() == 1
    }

    /// How long TCP may take to connect to a device that is not the only one.
    pub(crate) fn tcp_timeout(&self) -> Duration {
        self.connect_timeout.min(limits::UNACKNOWLEDGED)
    }

    pub(crate) fn call_deadline(&self) -> Duration {
        self.deadline
    }

    /// Of each device that may be asked.
    pub(crate) fn uris(&self) -> impl Iterator<Item = &str> {
        let others = if self.stays { &[][..] } else { &self.others };
        [&self.uri].into_iter().chain(others).map(String::as_str)
    }

    /// Whether a device may be asked that another one has named.
    pub(crate) fn may_learn(&self) -> bool {
        !self.stays && self.others.is_empty() && self.uri.starts_with("https://")
    }

    pub(crate) const fn spoken(&self) -> (Dialect, Profile) {
        (self.dialect, self.profile)
    }

    /// Where the device is, the first if there are several, for those who speak to it in their own way.
    ///
    /// # Errors
    /// When the URI or the certificates make no sense.
    pub fn endpoint(&self) -> Result<Endpoint, Error> {
        self.endpoint_of(&self.uri)
    }

    pub(crate) fn endpoint_of(&self, uri: &str) -> Result<Endpoint, Error> {
        let invalid = |reason: String| Error::Uri { uri: uri.to_owned(), reason };
        let endpoint = Endpoint::from_shared(uri.to_owned()).map_err(|error| invalid(innermost(&error)))?;
        let endpoint = endpoint
            .connect_timeout(self.connect_timeout)
            .tcp_nodelay(true)
            .initial_stream_window_size(limits::STREAM_WINDOW)
            .http2_keep_alive_interval(limits::KEEP_ALIVE)
            .keep_alive_timeout(limits::KEEP_ALIVE_ANSWER);
        if let Some(path) = uri.strip_prefix("unix:") {
            return if path.trim_start_matches('/').is_empty() {
                Err(invalid("it names no socket".to_owned()))
            } else {
                Ok(endpoint)
            };
        }
        if endpoint.uri().authority().is_none() {
            return Err(invalid("it names no host".to_owned()));
        }
        match endpoint.uri().scheme_str() {
            Some("http") => Ok(endpoint),
            Some("https") => {
                let tls = self.tls()?;
                endpoint.tls_config(tls).map_err(|error| Self::tls_error(uri, &error))
            }
            _ => Err(invalid("it begins with neither https:// nor http:// nor unix:".to_owned())),
        }
    }

    fn tls(&self) -> Result<ClientTlsConfig, Error> {
        let tls = ClientTlsConfig::new().timeout(self.connect_timeout);
        let tls = match &self.ca_pem {
            None => tls.with_native_roots(),
            Some(pem) => tls.ca_certificate(pem::authorities(pem)?),
        };
        let tls = match &self.identity_pem {
            Some([certificate, key]) => tls.identity(pem::identity(certificate, key)?),
            None => tls,
        };
        Ok(match &self.domain {
            Some(name) => tls.domain_name(name),
            None => tls,
        })
    }

    /// What remains after each file has been looked at by itself.
    fn tls_error(uri: &str, error: &tonic::transport::Error) -> Error {
        if let Some(rustls::Error::InconsistentKeys(_)) = tls_error(error) {
            return Error::Pem { what: pem::KEY, reason: "it is not the key of the client certificate".to_owned() };
        }
        Error::Tls { uri: uri.to_owned(), reason: innermost(error) }
    }
}

impl fmt::Debug for ClientConfig {
    /// Without certificates, and above all without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientConfig")
            .field("uri", &self.uri)
            .field("others", &self.others)
            .field("stays", &self.stays)
            .field("own_ca", &self.ca_pem.is_some())
            .field("identity", &self.identity_pem.is_some())
            .field("domain", &self.domain)
            .field("dialect", &self.dialect)
            .field("profile", &self.profile)
            .field("deadline", &self.deadline)
            .field("connect_timeout", &self.connect_timeout)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(config: &ClientConfig) -> String {
        config.endpoint().expect_err("refused").to_string()
    }

    fn pair(name: &str) -> (String, String) {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    #[test]
    fn a_uri_needs_a_scheme_and_a_host() {
        let expected = "it begins with neither https:// nor http:// nor unix:";
        assert!(refused(&ClientConfig::new("localhost:3443")).contains(expected));
        assert!(refused(&ClientConfig::new("ftp://localhost")).contains(expected));
        assert!(refused(&ClientConfig::new("/tmp/socket")).contains("it names no host"));
        assert!(refused(&ClientConfig::new("https://")).contains("https://"));
        assert!(refused(&ClientConfig::new("unix:")).contains("it names no socket"));
        assert!(refused(&ClientConfig::new("unix:///")).contains("it names no socket"));
        for good in ["http://localhost:3443", "unix:/run/opof.sock", "unix:///run/opof.sock"] {
            assert!(ClientConfig::new(good).endpoint().is_ok(), "{good}");
        }
    }

    #[test]
    fn a_file_without_what_is_wanted_is_not_silently_none() {
        let config = ClientConfig::new("https://localhost:3443");
        assert!(refused(&config.clone().ca_pem("hello")).contains("the CA file: it has no certificate"));
        let ((cert, key), (ca, other)) = (pair("a"), pair("b"));
        let config = config.ca_pem(ca);
        assert!(config.clone().identity_pem(cert.clone(), key).endpoint().is_ok());
        let said = refused(&config.identity_pem(cert, other));
        assert!(said.starts_with("the client key: it is not the key of the client certificate"), "{said}");
    }

    #[test]
    fn the_key_is_not_shown() {
        let (cert, key) = pair("a");
        let shown = format!("{:?}", ClientConfig::new("https://localhost:3443").identity_pem(cert, key));
        assert!(shown.contains("identity: true") && !shown.contains("BEGIN") && shown.len() < 600, "{shown}");
    }
}
