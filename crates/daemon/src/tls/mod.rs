//! TLS of the listeners: certificate and key from files, or a certificate that the daemon makes itself; who a client is by
//! its own certificate.
//!
//! What is wrong with a file is found out here, before a client can: each error is one line that says what to do.

mod identity;
mod reload;
mod self_signed;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;

pub use self::identity::{Identity, Unidentified};
use self::reload::Stamps;
pub(crate) use self::reload::watch;
pub use self::self_signed::{SelfSigned, state_folder};
use crate::config::TlsVersion;
use crate::limits;

/// How the TLS library says that a certificate has no extensions; it has no variant for it.
const VERSION_1: &str = "UnsupportedCertVersion";
const ONLY_VERSION_3: &str =
    "the certificate is X.509 version 1; version 3 is needed (openssl x509 -req makes it with -extfile)";

/// Why a listener can't have its TLS.
#[derive(thiserror::Error, Debug)]
pub enum TlsError {
    /// A file can't be read.
    #[error("{what} {}: can't be read: {source}; check the path, and that the user who runs opofd may read it", path.display())]
    Unreadable {
        /// `certificate`, `key`, `client CA`, or that of another service.
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file has no PEM of the right kind.
    #[error("{what} {}: {message}", path.display())]
    Unusable {
        /// `certificate`, `key`, `client CA`, or that of another service.
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
    /// The self-signed certificate can't be kept anywhere.
    #[error("self-signed certificate in {}: {message}", folder.display())]
    SelfSigned {
        /// Where it was to be kept.
        folder: PathBuf,
        /// Why, and what to do.
        message: String,
    },
}

/// Which files a listener's TLS is made of, and how old it may be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Files {
    /// The certificate chain, the server's own first.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The authorities that sign clients' certificates.
    pub client_ca: Option<PathBuf>,
    /// The oldest version of TLS that is spoken.
    pub min_version: TlsVersion,
}

/// What a handshake needs, made of one state of the files.
#[derive(Clone, Debug)]
pub struct Material {
    /// For the handshake itself. It takes any client certificate whose key the client has.
    pub config: Arc<rustls::ServerConfig>,
    /// Judges that certificate afterwards, so that a client that is refused is told why.
    pub clients: Option<Arc<dyn ClientCertVerifier>>,
}

/// A listener's TLS. Its files may change while it is in use; connections that are open keep what they began with.
#[derive(Debug)]
pub struct Tls {
    files: Files,
    current: RwLock<Material>,
    /// Of the files, from before they were read the first time.
    first: Stamps,
}

impl Tls {
    /// Reads the files and finds them usable at `now`.
    pub fn load(files: Files, now: SystemTime) -> Result<Self, TlsError> {
        let first = Stamps::of(&files);
        let current = RwLock::new(files.material(now)?);
        Ok(Self { files, current, first })
    }

    /// What a connection that comes now begins with.
    pub fn material(&self) -> Material {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The files.
    pub const fn files(&self) -> &Files {
        &self.files
    }

    /// Reads the files again. On an error everything stays as it was.
    pub fn reload(&self, now: SystemTime) -> Result<(), TlsError> {
        let material = self.files.material(now)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = material;
        Ok(())
    }
}

impl Files {
    /// A certificate and its key, and nothing else.
    pub fn pair(cert: &Path, key: &Path) -> Self {
        Self { cert: cert.to_owned(), key: key.to_owned(), client_ca: None, min_version: TlsVersion::default() }
    }

    /// Each of them.
    fn paths(&self) -> impl Iterator<Item = &Path> {
        [Some(&self.cert), Some(&self.key), self.client_ca.as_ref()].into_iter().flatten().map(PathBuf::as_path)
    }

    fn material(&self, now: SystemTime) -> Result<Material, TlsError> {
        let chain = certificates("certificate", &self.cert)?;
        warn_about_dates(&self.cert, &chain[0], now)?;
        let private = private_key(&self.key)?;
        let clients = self.client_ca.as_deref().map(client_verifier).transpose()?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let versions: &[&rustls::SupportedProtocolVersion] = match self.min_version {
            TlsVersion::V1_2 => &[&rustls::version::TLS13, &rustls::version::TLS12],
            TlsVersion::V1_3 => &[&rustls::version::TLS13],
        };
        let config = rustls::ServerConfig::builder_with_provider(provider).with_protocol_versions(versions);
        let config = config.and_then(|builder| {
            let builder = match &clients {
                Some(clients) => builder.with_client_cert_verifier(identity::any_certificate(Arc::clone(clients))),
                None => builder.with_no_client_auth(),
            };
            builder.with_single_cert(chain, private)
        });
        let mut config = config.map_err(|error| {
            let message = match error {
                rustls::Error::InconsistentKeys(_) => "the key is not that of the certificate".to_owned(),
                other if other.to_string().contains(VERSION_1) => ONLY_VERSION_3.to_owned(),
                other => other.to_string(),
            };
            TlsError::Pair { cert: self.cert.clone(), key: self.key.clone(), message }
        })?;
        // RFC 9113, 3.2: HTTP/2 over TLS is agreed on by ALPN.
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Material { config: Arc::new(config), clients })
    }
}

fn client_verifier(path: &Path) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates("client CA", path)? {
        roots.add(certificate).map_err(|error| unusable("client CA", path, format!("is not usable: {error}")))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
    verifier.map(|verifier| verifier as _).map_err(|error| unusable("client CA", path, error.to_string()))
}

/// The private key in a file.
pub(crate) fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let pem = read("key", path)?;
    if String::from_utf8_lossy(&pem).contains("ENCRYPTED") {
        let message = "is encrypted; an unencrypted PEM key is needed (openssl pkey -in KEY -out PLAIN)".to_owned();
        return Err(unusable("key", path, message));
    }
    PrivateKeyDer::from_pem_slice(&pem).map_err(|error| {
        let message = format!("has no usable private key ({error}); an unencrypted PEM key is needed");
        unusable("key", path, message)
    })
}

/// The certificates in a file; at least one.
pub(crate) fn certificates(what: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain = CertificateDer::pem_slice_iter(&read(what, path)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| unusable(what, path, format!("is not PEM: {error}")))?;
    if chain.is_empty() {
        let message = "has no certificate in it; a file that begins with -----BEGIN CERTIFICATE----- is needed";
        return Err(unusable(what, path, message.to_owned()));
    }
    Ok(chain)
}

fn unusable(what: &'static str, path: &Path, message: String) -> TlsError {
    TlsError::Unusable { what, path: path.to_owned(), message }
}

/// A file, if it is not too large for what it should be.
pub(crate) fn read(what: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    let unreadable = |source| TlsError::Unreadable { what, path: path.to_owned(), source };
    let size = std::fs::metadata(path).map_err(unreadable)?.len();
    if size > limits::PEM_BYTES {
        return Err(unusable(what, path, format!("is larger than {} bytes: not a PEM file", limits::PEM_BYTES)));
    }
    std::fs::read(path).map_err(unreadable)
}

/// Clients refuse a certificate outside its dates; the operator should hear of it first. It is no error: a client may
/// have pinned it.
fn warn_about_dates(path: &Path, cert: &CertificateDer<'_>, now: SystemTime) -> Result<(), TlsError> {
    let Some(valid) = validity(cert) else {
        return Err(unusable("certificate", path, "is not an X.509 certificate".to_owned()));
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
