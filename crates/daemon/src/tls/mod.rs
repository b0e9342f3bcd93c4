//! TLS of the listeners: certificate and key from files, or a certificate that the daemon makes itself.
//!
//! What is wrong with a file is found out here, before a client can: each error is one line that says what to do.

mod self_signed;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tonic::transport::{Identity, ServerTlsConfig};

pub use self::self_signed::{SelfSigned, state_folder};
use crate::limits;

/// Why a listener can't have its TLS.
#[derive(thiserror::Error, Debug)]
pub enum TlsError {
    /// A file can't be read.
    #[error("{what} {}: can't be read: {source}; check the path, and that the user who runs opofd may read it", path.display())]
    Unreadable {
        /// `certificate` or `key`.
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file has no PEM of the right kind.
    #[error("{what} {}: {message}", path.display())]
    Unusable {
        /// `certificate` or `key`.
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why, and what to do.
        message: String,
    },
    /// The two don't belong together, or use an algorithm that this server does not have.
    #[error("certificate {} and key {}: {message}", cert.display(), key.display())]
    Pair {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why, and what to do.
        message: String,
    },
    /// The transport did not take what was found usable.
    #[error("TLS can't be set up: {message}")]
    Refused {
        /// Why.
        message: String,
    },
    /// The self-signed certificate can't be kept anywhere.
    #[error("self-signed certificate in {}: {message}", folder.display())]
    SelfSigned {
        /// Where it was to be kept.
        folder: PathBuf,
        /// Why, and what to do.
        message: String,
    },
}

/// What a listener needs for TLS, read and found usable at `now`.
pub fn server_config(cert: &Path, key: &Path, now: SystemTime) -> Result<ServerTlsConfig, TlsError> {
    let cert_pem = read("certificate", cert)?;
    let key_pem = read("key", key)?;
    let unusable = |what, path: &Path, message| TlsError::Unusable { what, path: path.to_owned(), message };
    let chain = CertificateDer::pem_slice_iter(&cert_pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| unusable("certificate", cert, format!("is not PEM: {error}")))?;
    let Some(own) = chain.first() else {
        let message = "has no certificate in it; a file that begins with -----BEGIN CERTIFICATE----- is needed";
        return Err(unusable("certificate", cert, message.to_owned()));
    };
    warn_about_dates(cert, own, now)?;
    let private = PrivateKeyDer::from_pem_slice(&key_pem).map_err(|error| {
        let message = format!("has no usable private key ({error}); an unencrypted PEM key is needed");
        unusable("key", key, message)
    })?;
    rustls::ServerConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, private))
        .map_err(|error| {
            let message = match error {
                rustls::Error::InconsistentKeys(_) => "the key is not that of the certificate".to_owned(),
                other => other.to_string(),
            };
            TlsError::Pair { cert: cert.to_owned(), key: key.to_owned(), message }
        })?;
    Ok(ServerTlsConfig::new().identity(Identity::from_pem(cert_pem, key_pem)).timeout(limits::HANDSHAKE))
}

fn read(what: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    let unreadable = |source| TlsError::Unreadable { what, path: path.to_owned(), source };
    let size = std::fs::metadata(path).map_err(unreadable)?.len();
    if size > limits::PEM_BYTES {
        let message = format!("is larger than {} bytes: not a PEM file", limits::PEM_BYTES);
        return Err(TlsError::Unusable { what, path: path.to_owned(), message });
    }
    std::fs::read(path).map_err(unreadable)
}

/// Clients refuse a certificate outside its dates; the operator should hear of it first. It is no error: a client may
/// have pinned it.
fn warn_about_dates(path: &Path, cert: &CertificateDer<'_>, now: SystemTime) -> Result<(), TlsError> {
    let Some(valid) = validity(cert) else {
        let message = "is not an X.509 certificate".to_owned();
        return Err(TlsError::Unusable { what: "certificate", path: path.to_owned(), message });
    };
    let path = path.display();
    match valid.left(now) {
        None => tracing::warn!(certificate = %path, "the certificate is not valid now; most clients will refuse it"),
        Some(left) if left < limits::CERTIFICATE_WARNING => {
            tracing::warn!(certificate = %path, days = left.as_secs() / 86_400, "the certificate expires soon");
        }
        Some(_) => {}
    }
    Ok(())
}

/// The dates of a certificate, in seconds since 1970.
#[derive(Clone, Copy, Debug)]
struct Validity {
    from: i64,
    until: i64,
}

impl Validity {
    /// How long it is still valid; `None` when it is not.
    fn left(self, now: SystemTime) -> Option<Duration> {
        let now = i64::try_from(now.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs()).ok()?;
        if now < self.from { None } else { u64::try_from(self.until - now).ok().map(Duration::from_secs) }
    }
}

fn validity(cert: &CertificateDer<'_>) -> Option<Validity> {
    let (_, cert) = x509_parser::parse_x509_certificate(cert).ok()?;
    let dates = cert.validity();
    Some(Validity { from: dates.not_before.timestamp(), until: dates.not_after.timestamp() })
}
