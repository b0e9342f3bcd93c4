//! Who gets in, as what, and what everybody else is told.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use opof_api::device::GetDeviceRequest;
use opof_api::device::device_client::DeviceClient;
use opof_api::{Dialect, Rpc, v1_1, v1beta1};
use opof_daemon::{Daemon, RunningDaemon};
use tempfile::TempDir;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use crate::certificates::{Authority, Pair, endpoint};
use crate::common::{config, session, until};

/// A daemon that asks for certificates.
struct Fortress {
    daemon: RunningDaemon,
    authority: Authority,
    folder: TempDir,
}

impl Fortress {
    async fn start(more: &str) -> Self {
        Self::start_with(more, &[]).await
    }

    /// `more` keys of the listener, `flags` of opofd.
    async fn start_with(more: &str, flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new();
        let (cert, key) = authority.server().write(folder.path());
        let ca = folder.path().join("ca.crt");
        std::fs::write(&ca, &authority.pem).unwrap();
        let listener = format!(
            "address=127.0.0.1:0,tls.cert={},tls.key={},tls.client_ca={}{more}",
            cert.display(),
            key.display(),
            ca.display()
        );
        let mut arguments: Vec<_> = flags.iter().map(ToString::to_string).collect();
        arguments.extend(["--listener".to_owned(), listener]);
        for client in ["fw1.example,role=firewall", "watcher,role=reader", "spiffe://example/admin,role=operator"] {
            arguments.extend(["--client".to_owned(), format!("name={client}")]);
        }
        let daemon = Daemon::start(&config(&arguments)).await.unwrap();
        Self { daemon, authority, folder }
    }

    async fn channel(&self, client: Option<&Pair>) -> Channel {
        let address = self.daemon.addresses()[0].to_string();
        endpoint(&address, &self.authority, client).connect().await.unwrap()
    }

    async fn client(&self, client: Option<&Pair>) -> Rpc {
        Rpc::new(self.channel(client).await, Dialect::V1)
    }
}

async fn get(client: &mut Rpc) -> Result<(), Status> {
    client.get_session(v1beta1::SessionId { session_id: 1 }).await.map(|_| ())
}

async fn add(client: &mut Rpc, id: u64) -> Result<(), Status> {
    client.add_session(tokio_stream::iter([session(id)])).await.map(|_| ())
}

#[tokio::test]
async fn each_wrong_certificate_is_unauthenticated_and_told_why() {
    let fortress = Fortress::start("").await;
    let stranger = Authority::new().client("fw1.example");
    let expired = fortress.authority.expired_client("fw1.example");
    let nameless = fortress.authority.old_client("");
    for (pair, why) in [
        (None, "a client certificate is needed"),
        (Some(&stranger), "not signed by an authority that is trusted here"),
        (Some(&expired), "has expired"),
        (Some(&nameless), "has neither a DNS name, a URI nor a common name"),
    ] {
        let mut client = fortress.client(pair).await;
        for status in [get(&mut client).await.unwrap_err(), add(&mut client, 1).await.unwrap_err()] {
            assert_eq!(status.code(), Code::Unauthenticated, "{why}");
            assert!(status.message().contains(why), "{status:?} should say {why}");
        }
    }
    assert_eq!(fortress.daemon.driver().statistics().await.unwrap().added, 0);
}

#[tokio::test]
async fn a_name_gives_a_role_wherever_the_certificate_has_it() {
    let fortress = Fortress::start("").await;
    let authority = &fortress.authority;
    let firewall = authority.client("fw1.example");
    let old_firewall = authority.old_client("fw1.example");
    let operator = authority.uri_client("spiffe://example/admin");
    let loud_firewall = authority.client("FW1.Example");
    for pair in [&firewall, &old_firewall, &loud_firewall, &operator] {
        add(&mut fortress.client(Some(pair)).await, 1).await.unwrap();
    }
    let unknown = authority.client("fw2.example");
    let status = get(&mut fortress.client(Some(&unknown)).await).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    assert!(status.message().contains("fw2.example") && status.message().contains("[[client]]"), "{status:?}");
}

#[tokio::test]
async fn each_role_may_what_it_may() {
    let fortress = Fortress::start("").await;
    let reader = fortress.authority.client("watcher");
    let firewall = fortress.authority.client("fw1.example");
    let operator = fortress.authority.uri_client("spiffe://example/admin");

    let mut client = fortress.client(Some(&reader)).await;
    get(&mut client).await.unwrap();
    let denied = add(&mut client, 1).await.unwrap_err();
    assert_eq!(denied.code(), Code::PermissionDenied);
    assert!(denied.message().contains("watcher") && denied.message().contains("role reader"), "{denied:?}");
    let closed = client.get_closed_sessions(v1beta1::SessionRequestArgs::default()).await;
    assert_eq!(closed.unwrap_err().code(), Code::PermissionDenied, "to read them is to take them away");

    let device = async |pair| {
        let mut client = DeviceClient::new(fortress.channel(Some(pair)).await);
        client.get_device(GetDeviceRequest {}).await.map(|_| ()).map_err(|status| status.code())
    };
    assert_eq!(device(&reader).await, Ok(()));
    assert_eq!(device(&operator).await, Ok(()));
    assert_eq!(device(&firewall).await, Err(Code::PermissionDenied));

    let mut client = Rpc::new(fortress.channel(Some(&operator)).await, Dialect::V1_1);
    let status = client.shutdown_server(v1_1::ShutdownRequest::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied, "nobody unless the listener allows it");
    assert!(status.message().contains("shutdown = true"), "{status:?}");
}

#[tokio::test]
async fn those_who_are_not_named_have_the_role_of_the_listener() {
    let fortress = Fortress::start(",role=reader").await;
    let unknown = fortress.authority.client("anybody");
    let mut client = fortress.client(Some(&unknown)).await;
    get(&mut client).await.unwrap();
    assert_eq!(add(&mut client, 1).await.unwrap_err().code(), Code::PermissionDenied);
    let no_certificate = get(&mut fortress.client(None).await).await.unwrap_err();
    assert_eq!(no_certificate.code(), Code::Unauthenticated, "the role is for certificates that are good");
}

#[tokio::test]
async fn those_who_may_do_nothing_keep_no_place() {
    let fortress = Fortress::start_with("", &["--max-connections", "4"]).await;
    let firewall = fortress.authority.client("fw1.example");
    let mut kept = fortress.client(Some(&firewall)).await;
    get(&mut kept).await.unwrap();
    let mut refused = Vec::new();
    for _ in 0..20 {
        let mut client = fortress.client(None).await;
        get(&mut client).await.unwrap_err();
        refused.push(client);
    }
    let mut newcomer = fortress.client(Some(&firewall)).await;
    get(&mut newcomer).await.unwrap();
    get(&mut kept).await.unwrap();
}

#[tokio::test]
async fn no_client_takes_all_places() {
    let fortress = Fortress::start_with("", &["--max-connections", "4"]).await;
    let greedy = fortress.authority.client("watcher");
    let mut kept = Vec::new();
    for _ in 0..2 {
        let mut client = fortress.client(Some(&greedy)).await;
        get(&mut client).await.unwrap();
        kept.push(client);
    }
    let status = get(&mut fortress.client(Some(&greedy)).await).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.message().contains("one client may have 2 connections"), "{status:?}");
    let firewall = fortress.authority.client("fw1.example");
    get(&mut fortress.client(Some(&firewall)).await).await.unwrap();
    kept.pop();
    until("a place that was left is free", async || get(&mut fortress.client(Some(&greedy)).await).await.is_ok()).await;
}

#[tokio::test]
async fn tls_1_2_is_spoken_only_where_it_is_allowed() {
    for (more, allowed) in [("", false), (",tls.min_version=1.2", true)] {
        let fortress = Fortress::start(more).await;
        let address = fortress.daemon.addresses()[0].to_string();
        let mut roots = rustls::RootCertStore::empty();
        let ca = <rustls::pki_types::CertificateDer<'_> as rustls::pki_types::pem::PemObject>::from_pem_slice(
            fortress.authority.pem.as_bytes(),
        );
        roots.add(ca.unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let old = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS12])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let socket = tokio::net::TcpStream::connect(address).await.unwrap();
        let name = "localhost".try_into().unwrap();
        let outcome = tokio_rustls::TlsConnector::from(Arc::new(old)).connect(name, socket).await;
        assert_eq!(outcome.is_ok(), allowed, "{outcome:?}");
    }
}

/// What is logged from here on, by this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_refused_client_is_logged_once_for_each_connection() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let fortress = Fortress::start("").await;
    let reader = fortress.authority.client("watcher");
    for (pair, why) in [(None, "a client certificate is needed"), (Some(&reader), "role reader")] {
        let mut client = fortress.client(pair).await;
        for id in 0..10 {
            add(&mut client, id).await.unwrap_err();
        }
        let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<_> = text.lines().filter(|line| line.contains("client refused") && line.contains(why)).collect();
        assert_eq!(lines.len(), 1, "{text}");
        assert!(lines[0].contains("WARN"), "{}", lines[0]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_are_replaced_under_load_without_a_failed_call() {
    let fortress = Fortress::start("").await;
    let pair = fortress.authority.client("fw1.example");
    let address = fortress.daemon.addresses()[0].to_string();
    let endpoint = endpoint(&address, &fortress.authority, Some(&pair));
    let (stop, stopping) = tokio::sync::watch::channel(false);
    // Two clients that stay, and two that come anew for each call.
    let mut clients = tokio::task::JoinSet::new();
    for number in 0..4_u64 {
        let (endpoint, stopping) = (endpoint.clone(), stopping.clone());
        clients.spawn(async move {
            let mut kept = Rpc::new(endpoint.connect().await.unwrap(), Dialect::V1);
            let mut calls = 0;
            while !*stopping.borrow() {
                let mut fresh = match number % 2 {
                    0 => kept.clone(),
                    _ => Rpc::new(endpoint.connect().await.expect("a connection"), Dialect::V1),
                };
                add(&mut fresh, number << 32 | calls).await.expect("no failed call");
                get(&mut kept).await.expect("no failed call");
                calls += 1;
            }
            calls
        });
    }
    let mut last = served(&address).await;
    for round in 0..3 {
        // As an operator does it: one file, then the other. In between they don't fit, and nothing must change.
        let renewed = fortress.authority.server();
        std::fs::write(fortress.folder.path().join("server.crt"), &renewed.cert).unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        std::fs::write(fortress.folder.path().join("server.key"), &renewed.key).unwrap();
        // The first time the files are found to have changed, then they are asked for.
        if round > 0 {
            fortress.daemon.reload_certificates();
        }
        until("new connections get the new certificate", async || served(&address).await != last).await;
        last = served(&address).await;
    }
    stop.send_replace(true);
    let calls: Vec<u64> = clients.join_all().await;
    assert!(calls.iter().all(|calls| *calls > 10), "{calls:?}");
}

/// The certificate that a new connection is shown.
async fn served(address: &str) -> Vec<u8> {
    let socket = tokio::net::TcpStream::connect(address).await.unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anything(provider)))
        .with_no_client_auth();
    let stream = tokio_rustls::TlsConnector::from(Arc::new(config))
        .connect("localhost".try_into().unwrap(), socket)
        .await
        .unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

/// Takes any certificate: only to look at it.
#[derive(Debug)]
struct Anything(Arc<rustls::crypto::CryptoProvider>);

impl rustls::client::danger::ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &[rustls::pki_types::CertificateDer<'_>],
        _: &rustls::pki_types::ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[tokio::test]
async fn health_and_reflection_are_for_everybody_who_has_a_role() {
    use tonic_health::pb::HealthCheckRequest;
    use tonic_health::pb::health_client::HealthClient;
    let fortress = Fortress::start("").await;
    let reader = fortress.authority.client("watcher");
    let check = |service: &str| Request::new(HealthCheckRequest { service: service.to_owned() });
    let mut client = HealthClient::new(fortress.channel(Some(&reader)).await);
    for service in ["", "openoffload.v1.SessionTable", "openoffload.v2.SessionTable", "opof.device.v1.Device"] {
        assert_eq!(client.check(check(service)).await.unwrap().into_inner().status, 1, "{service}");
    }
    assert_eq!(client.check(check("no.such.Service")).await.unwrap_err().code(), Code::NotFound);
    let mut client = HealthClient::new(fortress.channel(None).await);
    assert_eq!(client.check(check("")).await.unwrap_err().code(), Code::Unauthenticated);
}
