//! Certificates for a listener and its clients, of every kind that must be told apart.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use opof_daemon::clock::Clock;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    SanType,
};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

const DAY: Duration = Duration::from_secs(86_400);

fn now() -> SystemTime {
    Clock::new().time_of_day()
}

/// An authority, and what it signs.
pub(crate) struct Authority {
    pub(crate) pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, PEM.
#[derive(Clone)]
pub(crate) struct Pair {
    pub(crate) cert: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::new([]).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.distinguished_name.push(DnType::CommonName, "authority");
        let pem = parameters.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(parameters, key) }
    }

    pub(crate) fn server(&self) -> Pair {
        self.sign(&parameters(
            vec![SanType::DnsName("localhost".try_into().unwrap())],
            "",
            ExtendedKeyUsagePurpose::ServerAuth,
        ))
    }

    /// A client with this DNS name.
    pub(crate) fn client(&self, name: &str) -> Pair {
        self.sign(&client(vec![SanType::DnsName(name.try_into().unwrap())], ""))
    }

    /// A client whose certificate has this common name and no alternative name.
    pub(crate) fn old_client(&self, name: &str) -> Pair {
        self.sign(&client(vec![], name))
    }

    /// A client with this URI.
    pub(crate) fn uri_client(&self, uri: &str) -> Pair {
        self.sign(&client(vec![SanType::URI(uri.try_into().unwrap())], "another name"))
    }

    /// A client whose certificate was good until yesterday.
    pub(crate) fn expired_client(&self, name: &str) -> Pair {
        let mut parameters = client(vec![SanType::DnsName(name.try_into().unwrap())], "");
        parameters.not_before = (now() - 10 * DAY).into();
        parameters.not_after = (now() - DAY).into();
        self.sign(&parameters)
    }

    fn sign(&self, parameters: &CertificateParams) -> Pair {
        let key = KeyPair::generate().unwrap();
        let cert = parameters.signed_by(&key, &self.issuer).unwrap().pem();
        Pair { cert, key: key.serialize_pem() }
    }
}

fn client(names: Vec<SanType>, common: &str) -> CertificateParams {
    parameters(names, common, ExtendedKeyUsagePurpose::ClientAuth)
}

fn parameters(names: Vec<SanType>, common: &str, usage: ExtendedKeyUsagePurpose) -> CertificateParams {
    let mut parameters = CertificateParams::new([]).unwrap();
    parameters.subject_alt_names = names;
    parameters.distinguished_name = DistinguishedName::new();
    if !common.is_empty() {
        parameters.distinguished_name.push(DnType::CommonName, common);
    }
    parameters.extended_key_usages = vec![usage];
    parameters
}

impl Pair {
    /// Into files of a folder.
    pub(crate) fn write(&self, folder: &Path) -> (PathBuf, PathBuf) {
        let (cert, key) = (folder.join("server.crt"), folder.join("server.key"));
        std::fs::write(&cert, &self.cert).unwrap();
        std::fs::write(&key, &self.key).unwrap();
        (cert, key)
    }
}

/// How a client with this certificate connects, or one with none.
pub(crate) fn endpoint(address: &str, authority: &Authority, client: Option<&Pair>) -> Endpoint {
    let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&authority.pem)).domain_name("localhost");
    if let Some(Pair { cert, key }) = client {
        tls = tls.identity(Identity::from_pem(cert, key));
    }
    Endpoint::new(format!("https://{address}")).unwrap().tls_config(tls).unwrap()
}
