//! Where the device is and how to talk to it.

use std::fmt;
use std::time::Duration;

use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};

use crate::error::Error;
use crate::limits;

const PEM_BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";

/// Where the device is and how to talk to it.
#[derive(Clone)]
pub struct ClientConfig {
    uri: String,
    ca_pem: Option<Vec<u8>>,
    domain: Option<String>,
    deadline: Duration,
    connect_timeout: Duration,
}

impl ClientConfig {
    /// A device at `uri`, such as `https://localhost:3443`. With `https` its certificate must be signed by one of the
    /// system's authorities, unless [`ca_pem`](Self::ca_pem) names another; with `http` everything goes in plain text.
    pub fn new(uri: impl Into<String>) -> Self {
        Self {
            uri: uri.into(),
            ca_pem: None,
            domain: None,
            deadline: limits::DEADLINE,
            connect_timeout: limits::CONNECT,
        }
    }

    /// Trust these certificates, in PEM, and no others: those of an authority, or a device's own self-signed one.
    #[must_use]
    pub fn ca_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.ca_pem = Some(pem.into());
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

    /// How long a connection may take to come about; 5 seconds where this is not set.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    pub(crate) fn call_deadline(&self) -> Duration {
        self.deadline
    }

    pub(crate) fn uri(&self) -> &str {
        &self.uri
    }

    /// Where the device is, for those who speak to it in their own way.
    ///
    /// # Errors
    /// When the URI or the certificates make no sense.
    pub fn endpoint(&self) -> Result<Endpoint, Error> {
        let invalid = |reason: String| Error::Uri { uri: self.uri.clone(), reason };
        let endpoint = Endpoint::from_shared(self.uri.clone()).map_err(|error| invalid(error.to_string()))?;
        let endpoint = endpoint.connect_timeout(self.connect_timeout).tcp_nodelay(true);
        if endpoint.uri().authority().is_none() {
            return Err(invalid("it names no host".to_owned()));
        }
        match endpoint.uri().scheme_str() {
            Some("http") => Ok(endpoint),
            Some("https") => {
                let tls = self.tls()?;
                endpoint.tls_config(tls).map_err(|error| self.tls_error(error.to_string()))
            }
            _ => Err(invalid("it begins with neither https:// nor http://".to_owned())),
        }
    }

    fn tls(&self) -> Result<ClientTlsConfig, Error> {
        let tls = ClientTlsConfig::new().timeout(self.connect_timeout);
        let tls = match &self.ca_pem {
            None => tls.with_native_roots(),
            Some(pem) if pem.windows(PEM_BEGIN.len()).any(|window| window == PEM_BEGIN) => {
                tls.ca_certificate(Certificate::from_pem(pem))
            }
            Some(_) => return Err(self.tls_error("the CA file has no certificate in PEM".to_owned())),
        };
        Ok(match &self.domain {
            Some(name) => tls.domain_name(name),
            None => tls,
        })
    }

    fn tls_error(&self, reason: String) -> Error {
        Error::Tls { uri: self.uri.clone(), reason }
    }
}

impl fmt::Debug for ClientConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientConfig")
            .field("uri", &self.uri)
            .field("own_ca", &self.ca_pem.is_some())
            .field("domain", &self.domain)
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

    #[test]
    fn a_uri_needs_a_scheme_and_a_host() {
        let expected = "it begins with neither https:// nor http://";
        assert!(refused(&ClientConfig::new("localhost:3443")).contains(expected));
        assert!(refused(&ClientConfig::new("ftp://localhost")).contains(expected));
        assert!(refused(&ClientConfig::new("/tmp/socket")).contains("it names no host"));
        assert!(refused(&ClientConfig::new("https://")).contains("https://"));
        assert!(ClientConfig::new("http://localhost:3443").endpoint().is_ok());
    }

    #[test]
    fn a_ca_file_without_a_certificate_is_not_silently_no_ca() {
        let config = ClientConfig::new("https://localhost:3443").ca_pem("hello");
        assert!(refused(&config).contains("the CA file has no certificate in PEM"));
    }
}
