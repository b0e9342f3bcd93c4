//! How a device is reached, and what is said when it does not let one in.

use std::time::Duration;

use opof_client::{Client, ClientConfig, Error, SubscribeConfig};
use tonic::Status;
use tonic::transport::{Certificate, Identity};

mod support;
use support::{Mock, Setup};

#[tokio::test]
async fn a_unix_domain_socket() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("opof.sock");
    let mut mock = Mock::with(Setup { socket: Some(socket.clone()), ..Setup::default() });
    for uri in [format!("unix:{}", socket.display()), format!("unix://{}", socket.display())] {
        let mut client = Client::connect(ClientConfig::new(uri)).await.expect("it listens");
        assert_eq!(client.get(1).await, Ok(None));
    }
    mock.stop();
    let error = Client::connect(ClientConfig::new(mock.uri(""))).await.expect_err("nobody listens");
    assert!(matches!(error, Error::Connect { .. }), "{error:?}");
}

/// A certificate that signs itself, and its key.
fn self_signed(name: &str) -> (String, String) {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).expect("a certificate");
    (made.cert.pem(), made.signing_key.serialize_pem())
}

#[tokio::test]
async fn a_device_that_asks_who_is_there_is_shown_a_certificate() {
    let (server, firewall, stranger) = (self_signed("localhost"), self_signed("firewall"), self_signed("stranger"));
    let mock = Mock::with(Setup {
        identity: Some(Identity::from_pem(&server.0, &server.1)),
        client_ca: Some(Certificate::from_pem(&firewall.0)),
        socket: None,
    });
    let config = ClientConfig::new(mock.uri("https")).ca_pem(server.0).deadline(Duration::from_secs(5));
    let mut client = Client::connect(config.clone().identity_pem(firewall.0, firewall.1)).await.expect("known");
    assert_eq!(client.get(1).await, Ok(None));

    for config in [config.clone(), config.identity_pem(stranger.0, stranger.1)] {
        // TLS 1.3 lets a client in before it has looked at its certificate, so the first call may be what fails.
        let error = match Client::connect(config).await {
            Ok(mut client) => client.get(1).await.expect_err("not known"),
            Err(error) => error,
        };
        assert!(error.is_unreachable(), "{error:?}");
    }
}

#[tokio::test]
async fn a_certificate_that_is_missing_is_not_waited_for() {
    let (server, firewall) = (self_signed("localhost"), self_signed("firewall"));
    let mock = Mock::with(Setup {
        identity: Some(Identity::from_pem(&server.0, &server.1)),
        client_ca: Some(Certificate::from_pem(&firewall.0)),
        socket: None,
    });
    let client = Client::connect_lazy(&ClientConfig::new(mock.uri("https")).ca_pem(server.0)).expect("a good address");
    let quick = SubscribeConfig::new().retry(Duration::from_millis(1), Duration::from_millis(20));
    let mut subscription = client.subscribe_closed(quick);
    // The alert can get lost behind the end of the connection, so the first attempts may be repeated.
    let next = tokio::time::timeout(Duration::from_secs(20), subscription.next()).await.expect("soon");
    assert!(matches!(&next, Err(Error::Tls { reason, .. }) if reason.contains("CertificateRequired")), "{next:?}");
}

#[tokio::test]
async fn refusals_have_types() {
    let mock = Mock::start(None);
    let mut client = Client::connect(ClientConfig::new(mock.uri("http"))).await.expect("it listens");
    let mut answer = async |status: Status| {
        mock.state().fails = Some(status);
        client.get(1).await.expect_err("it fails")
    };
    let error = answer(Status::unauthenticated("who are you")).await;
    assert!(matches!(&error, Error::Unauthenticated { reason, .. } if reason == "who are you"), "{error:?}");
    assert!(!error.is_retryable());
    let error = answer(Status::permission_denied("not you")).await;
    assert!(matches!(&error, Error::PermissionDenied { reason, .. } if reason == "not you"), "{error:?}");
    assert!(!error.is_retryable());
    let mut full = Status::resource_exhausted("full");
    full.metadata_mut().insert("grpc-retry-pushback-ms", "1500".parse().expect("ASCII"));
    let error = answer(full).await;
    assert_eq!(error.retry_after(), Some(Duration::from_millis(1500)));
    assert!(error.is_retryable() && !error.is_unreachable(), "{error:?}");
    let error = answer(Status::unimplemented("what")).await;
    assert!(matches!(error, Error::Unimplemented { .. }), "{error:?}");
    let error = answer(Status::unavailable("draining")).await;
    assert!(error.is_retryable() && error.is_unreachable(), "{error:?}");
}

#[tokio::test]
async fn a_device_that_goes_away_is_unavailable_and_comes_back_by_itself() {
    let mut mock = Mock::start(None);
    let mut client = Client::connect(ClientConfig::new(mock.uri("http"))).await.expect("it listens");
    assert_eq!(client.get(1).await, Ok(None));
    mock.stop();
    let error = client.get(1).await.expect_err("it is gone");
    assert!(error.is_unreachable(), "{error:?}");
    // From then on no connection comes about, and nothing can have been carried out.
    let error = client.get(1).await.expect_err("it is gone");
    assert!(matches!(error, Error::Connect { .. }) && error.is_retryable(), "{error:?}");
    assert!(!error.to_string().contains("carried out"), "{error}");
    mock.restart();
    assert_eq!(client.get(1).await, Ok(None));
}

#[tokio::test]
async fn plain_text_and_tls_are_not_mixed_up_in_silence() {
    let plain = Mock::start(None);
    let error = Client::connect(ClientConfig::new(plain.uri("https"))).await.expect_err("no TLS there");
    assert!(matches!(error, Error::Plaintext { .. }) && error.is_unreachable(), "{error:?}");
    assert!(error.to_string().ends_with(" does not speak TLS: use http:// if that is meant"), "{error}");

    let server = self_signed("localhost");
    let tls = Mock::start(Some(Identity::from_pem(&server.0, &server.1)));
    let mut client = Client::connect(ClientConfig::new(tls.uri("http"))).await.expect("it listens");
    let error = client.get(1).await.expect_err("TLS there");
    assert!(error.is_unreachable(), "{error:?}");
    assert!(error.to_string().contains("; if the device speaks TLS, use https://"), "{error}");
}
