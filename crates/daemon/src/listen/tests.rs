use std::time::Duration;

use opof_api::dialect::{Dialect, Method};
use tokio::net::TcpStream;
use tokio_stream::StreamExt;
use tonic::transport::server::Connected;

use super::*;
use crate::access::Role;

fn reception() -> Reception {
    Reception {
        tls: None,
        grants: Grants { clients: Arc::new([]), role: Some(Role::Reader), shutdown: false },
        limits: ClientLimits::default(),
        accounts: Arc::new(Accounts::new(ClientLimits::default())),
        clock: Clock::new(),
        failures: Mutex::new(RateLimit::new(1)),
    }
}

async fn listening(address: &str) -> Listening {
    let address = match address.strip_prefix("unix:") {
        Some(path) => Address::Unix(path.into()),
        None => Address::Tcp(address.parse().unwrap()),
    };
    Listening::open(&address, 0o600).await.unwrap()
}

#[tokio::test]
async fn dropping_the_stream_closes_the_listener() {
    let listening = listening("127.0.0.1:0").await;
    let Address::Tcp(address) = *listening.address() else { panic!("TCP") };
    let mut stream = connections(listening, reception());
    let client = TcpStream::connect(address).await.unwrap();
    let connection = stream.next().await.unwrap().unwrap();
    let peer = connection.connect_info();
    assert_eq!(peer.to_string(), client.local_addr().unwrap().to_string());
    let [read, change] = [Method::GetSession, Method::AddSession].map(|method| peer.may(&Dialect::V1.path(method)));
    assert_eq!((read, change.is_err()), (Ok(()), true));
    drop(stream);
    let refused = async { while TcpStream::connect(address).await.is_ok() {} };
    tokio::time::timeout(Duration::from_secs(5), refused).await.expect("the port is closed");
}

#[tokio::test]
async fn a_unix_socket_has_its_mode_and_goes_with_its_listener() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let listening = listening(&format!("unix:{}", path.display())).await;
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let mut stream = connections(listening, reception());
    let _client = UnixStream::connect(&path).await.unwrap();
    let peer = stream.next().await.unwrap().unwrap().connect_info();
    assert!(peer.to_string().starts_with("unix:user "), "{peer}");
    drop(stream);
    let gone = async {
        while path.exists() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), gone).await.expect("the file is gone");
}

#[tokio::test]
async fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let address = Address::Unix(path.clone());
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists(), "left behind");
    let live = Listening::open(&address, 0o600).await.unwrap();
    let error = Listening::open(&address, 0o600).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    drop(live);
    std::fs::write(&path, "a file").unwrap();
    assert!(Listening::open(&address, 0o600).await.is_err());
    assert!(path.exists(), "what is no socket stays");
}
