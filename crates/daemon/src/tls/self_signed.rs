//! The certificate for `localhost` that the daemon makes when it has none: for trying things out on one machine.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::{Files, TlsError, validity};
use crate::limits;

/// A certificate that is its own authority, and its key, in files.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SelfSigned {
    /// PEM; what a client must be given to trust.
    pub cert: PathBuf,
    /// PEM, readable by its owner alone.
    pub key: PathBuf,
    /// False when it was there already.
    pub is_new: bool,
}

/// Where the daemon keeps what it makes for itself: `$XDG_STATE_HOME/opof`, else `~/.local/state/opof` (XDG Base
/// Directory Specification, "Environment variables").
pub fn state_folder(variable: impl Fn(&str) -> Option<std::ffi::OsString>) -> Option<PathBuf> {
    let absolute = |name| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state"))).map(|state| state.join("opof"))
}

impl SelfSigned {
    /// The certificate in `folder`, made anew when there is none that will do for a while.
    pub fn in_folder(folder: &Path, now: SystemTime) -> Result<Self, TlsError> {
        let made = Self { cert: folder.join("cert.pem"), key: folder.join("key.pem"), is_new: false };
        if made.will_do(now) {
            return Ok(made);
        }
        made.make(folder, now).map_err(|message| TlsError::SelfSigned { folder: folder.to_owned(), message })?;
        Ok(Self { is_new: true, ..made })
    }

    fn will_do(&self, now: SystemTime) -> bool {
        let left = CertificateDer::from_pem_file(&self.cert)
            .ok()
            .and_then(|cert| validity(&cert))
            .and_then(|validity| validity.left(now));
        left.is_some_and(|left| left >= limits::CERTIFICATE_WARNING)
            && Files::pair(&self.cert, &self.key).material(now).is_ok()
    }

    fn make(&self, folder: &Path, now: SystemTime) -> Result<(), String> {
        let key = KeyPair::generate().map_err(|error| error.to_string())?;
        let cert =
            parameters(now).and_then(|parameters| parameters.self_signed(&key)).map_err(|error| error.to_string())?;
        let hint = |error| {
            format!("{error}; set XDG_STATE_HOME to a folder that can be written, or give tls = {{ cert, key }}")
        };
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(hint)?;
        // The key first: a certificate is found usable only when its key is there.
        replace(&self.key, key.serialize_pem().as_bytes(), 0o600).map_err(hint)?;
        replace(&self.cert, cert.pem().as_bytes(), 0o644).map_err(hint)
    }
}

fn parameters(now: SystemTime) -> Result<CertificateParams, rcgen::Error> {
    let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let mut parameters = CertificateParams::new(names)?;
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, "localhost");
    parameters.distinguished_name = name;
    // A day of slack, for clients whose clock is behind.
    parameters.not_before = (now - Duration::from_secs(86_400)).into();
    parameters.not_after = (now + limits::SELF_SIGNED_LIFE).into();
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Ok(parameters)
}

/// Writes a file beside and moves it into place, so that nobody reads half of it.
fn replace(path: &Path, content: &[u8], mode: u32) -> std::io::Result<()> {
    let beside = path.with_extension(format!("new-{}", std::process::id()));
    let _ = fs::remove_file(&beside);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&beside, path)
}
