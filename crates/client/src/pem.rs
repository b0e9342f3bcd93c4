//! Certificates and keys as text: looked at before they are used, so that what is wrong with them has a name.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tonic::transport::{Certificate, Identity};

use crate::error::Error;

pub(crate) const CA: &str = "the CA file";
pub(crate) const CERTIFICATE: &str = "the client certificate";
pub(crate) const KEY: &str = "the client key";

/// Authorities.
pub(crate) fn authorities(pem: &[u8]) -> Result<Certificate, Error> {
    certificates(CA, pem)?;
    Ok(Certificate::from_pem(pem))
}

/// A certificate, those that lead from it to an authority, and its key. Whether the two belong together, TLS finds out.
pub(crate) fn identity(certificate: &[u8], key: &[u8]) -> Result<Identity, Error> {
    certificates(CERTIFICATE, certificate)?;
    PrivateKeyDer::from_pem_slice(key).map_err(|error| {
        let reason = match error {
            // Whatever else is wrong with it: its header lines are no base64, and its kind is none that is looked for.
            _ if is_encrypted(key) => "the key is encrypted; an unencrypted PEM key is needed".to_owned(),
            rustls::pki_types::pem::Error::NoItemsFound => "it has no private key".to_owned(),
            error => error.to_string(),
        };
        Error::Pem { what: KEY, reason }
    })?;
    Ok(Identity::from_pem(certificate, key))
}

/// PKCS #8 (RFC 5958, section 3; RFC 7468, section 11) or the older form of OpenSSL (RFC 1421, section 4.6.1.1).
fn is_encrypted(pem: &[u8]) -> bool {
    String::from_utf8_lossy(pem).lines().any(|line| {
        line.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----")
            || (line.starts_with("Proc-Type:") && line.contains("ENCRYPTED"))
    })
}

fn certificates(what: &'static str, pem: &[u8]) -> Result<(), Error> {
    let mut found = 0;
    for certificate in CertificateDer::pem_slice_iter(pem) {
        certificate.map_err(|error| Error::Pem { what, reason: error.to_string() })?;
        found += 1;
    }
    if found == 0 { Err(Error::Pem { what, reason: "it has no certificate".to_owned() }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_pem_is_named() {
        let said = |error: Error| error.to_string();
        assert!(said(authorities(b"hello").unwrap_err()).starts_with("the CA file: it has no certificate; "));
        let broken = b"-----BEGIN CERTIFICATE-----\nMIIB\n";
        assert!(said(authorities(broken).unwrap_err()).starts_with("the CA file: "));
        let made = rcgen::generate_simple_self_signed(["x".to_owned()]).unwrap();
        let (cert, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        assert!(said(identity(key.as_bytes(), cert.as_bytes()).unwrap_err()).starts_with("the client certificate: "));
        let error = said(identity(cert.as_bytes(), cert.as_bytes()).unwrap_err());
        assert!(error.starts_with("the client key: it has no private key; "), "{error}");
        assert!(identity(cert.as_bytes(), key.as_bytes()).is_ok());
        let pkcs8 = key.replace(" PRIVATE KEY", " ENCRYPTED PRIVATE KEY");
        let header = "BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n";
        let old = key.replace("BEGIN PRIVATE KEY-----", header).replace("END PRIVATE", "END RSA PRIVATE");
        for encrypted in [pkcs8, old] {
            let error = said(identity(cert.as_bytes(), encrypted.as_bytes()).unwrap_err());
            assert!(
                error.starts_with("the client key: the key is encrypted; an unencrypted PEM key is needed"),
                "{error}"
            );
        }
    }
}
