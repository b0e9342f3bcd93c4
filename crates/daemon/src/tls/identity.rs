//! Who a client is, by its certificate.
//!
//! The handshake takes any certificate whose private key the client has proved to have; the certificate itself is judged
//! here, right after. A client that is refused can then be told so by its call, with a status and a reason: an alert of TLS
//! reaches it as "unavailable", which it takes for a reason to try again.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, SignatureScheme};
use x509_parser::extensions::GeneralName;

use crate::limits;

/// The names of a client whose certificate was found good.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Identity {
    /// At least one: DNS names and URIs among the alternative names, or the common name where there is none of them.
    names: Vec<String>,
}

/// Why nobody knows who a client is.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unidentified {
    /// It did not show a certificate.
    #[error("a client certificate is needed")]
    NoCertificate,
    /// Its certificate is past its dates, or before them.
    #[error("the client certificate has expired, or is not valid yet")]
    Expired,
    /// No authority that this listener knows has signed it.
    #[error("the client certificate is not signed by an authority that is trusted here")]
    Untrusted,
    /// Something else is wrong with it.
    #[error("the client certificate is not usable: {0}")]
    Unusable(String),
    /// It names nobody.
    #[error("the client certificate has neither a DNS name, a URI nor a common name")]
    Nameless,
}

impl Identity {
    /// Who has shown this chain of certificates, the client's own first, at `now`.
    pub(crate) fn judge(
        chain: Option<&[CertificateDer<'_>]>,
        verifier: &dyn ClientCertVerifier,
        now: SystemTime,
    ) -> Result<Self, Unidentified> {
        let Some([own, intermediates @ ..]) = chain else { return Err(Unidentified::NoCertificate) };
        let since_1970 = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        verifier.verify_client_cert(own, intermediates, UnixTime::since_unix_epoch(since_1970)).map_err(|error| {
            use CertificateError::{
                BadSignature, Expired, ExpiredContext, NotValidYet, NotValidYetContext, UnknownIssuer,
            };
            match error {
                rustls::Error::InvalidCertificate(
                    Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. },
                ) => Unidentified::Expired,
                rustls::Error::InvalidCertificate(UnknownIssuer | BadSignature) => Unidentified::Untrusted,
                other => Unidentified::Unusable(in_short(&other)),
            }
        })?;
        let names = names(own);
        if names.is_empty() { Err(Unidentified::Nameless) } else { Ok(Self { names }) }
    }

    /// Who has shown this chain, which TLS has found good. `None`: nobody who has a name.
    pub(crate) fn shown(chain: &[CertificateDer<'_>]) -> Option<Self> {
        let names = names(chain.first()?);
        (!names.is_empty()).then_some(Self { names })
    }

    /// Is this one of its names? DNS names go without case.
    pub fn has(&self, name: &str) -> bool {
        self.names.iter().any(|own| own == name || *own == name.to_ascii_lowercase())
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names[0])
    }
}

/// What the TLS library says, without the details that it prints for its own authors.
fn in_short(error: &rustls::Error) -> String {
    let told = error.to_string();
    if told.contains("UnsupportedSignatureAlgorithm") {
        return "it is signed by an algorithm that is not accepted; use ECDSA or RSA with SHA-256".to_owned();
    }
    if told.contains("CaUsedAsEndEntity") {
        return "it is the certificate of an authority, not of a client".to_owned();
    }
    told.chars().take(limits::REASON_CHARS).collect()
}

/// The common name counts only where there is no alternative name (RFC 9525, 2: it is not for identities any more), but
/// certificates in the field still have nothing else.
fn names(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok((_, certificate)) = x509_parser::parse_x509_certificate(certificate) else { return Vec::new() };
    let alternative = certificate.subject_alternative_name().ok().flatten();
    let names: Vec<String> = alternative
        .iter()
        .flat_map(|extension| &extension.value.general_names)
        .filter_map(|name| match name {
            // DNS names are equal whatever their case (RFC 4343).
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
            GeneralName::URI(name) => Some((*name).to_owned()),
            _ => None,
        })
        .collect();
    if !names.is_empty() {
        return names;
    }
    let common = certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok());
    common.filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// Asks for a certificate, and takes any whose key the client proves to have.
pub(super) fn any_certificate(judge: Arc<dyn ClientCertVerifier>) -> Arc<dyn ClientCertVerifier> {
    let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms;
    Arc::new(AnyCertificate { judge, algorithms })
}

#[derive(Debug)]
struct AnyCertificate {
    judge: Arc<dyn ClientCertVerifier>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientCertVerifier for AnyCertificate {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // The authorities that count, so that a client with several certificates picks the right one.
        self.judge.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        // Not yet: see the header of this file.
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
