//! An authority of a test's own, and the certificates that it signs, as PEM files.

use std::path::Path;
use std::{fs, io};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

/// Makes an authority, `ca.crt` in `folder`, and for each device a certificate with these DNS names and addresses, `NAME.crt` and
/// `NAME.key`.
pub fn certify(folder: &Path, devices: &[(&str, &[&str])]) -> io::Result<()> {
    let mut params = CertificateParams::new(Vec::new()).map_err(io::Error::other)?;
    params.distinguished_name.push(DnType::CommonName, "authority of a test");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().map_err(io::Error::other)?;
    let authority = CertifiedIssuer::self_signed(params, key).map_err(io::Error::other)?;
    fs::write(folder.join("ca.crt"), authority.pem())?;
    for (name, subjects) in devices {
        let key = KeyPair::generate().map_err(io::Error::other)?;
        let subjects: Vec<String> = subjects.iter().map(ToString::to_string).collect();
        let params = CertificateParams::new(subjects).map_err(io::Error::other)?;
        let certificate = params.signed_by(&key, &authority).map_err(io::Error::other)?;
        fs::write(folder.join(format!("{name}.crt")), certificate.pem())?;
        fs::write(folder.join(format!("{name}.key")), key.serialize_pem())?;
    }
    Ok(())
}
