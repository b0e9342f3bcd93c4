//! Offloads as many sessions as it is told, from a stream, and says what became of them.
//!
//! `cargo run -p opof-client --example add_sessions -- http://localhost:3443 100000`

use std::net::{IpAddr, SocketAddr};

use opof_client::{Client, ClientConfig, Session, SessionError, Transport};
use tokio_stream::StreamExt;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let uri = args.next().unwrap_or_else(|| "http://localhost:3443".to_owned());
    let sessions: u16 = args.next().map_or(Ok(1000), |number| number.parse())?;

    let client = Client::connect(ClientConfig::new(uri)).await?;
    // A firewall has a channel here. The stream is read only as fast as the device accepts what is on it.
    let decided = tokio_stream::iter(1..=sessions).filter_map(|port| session(port).ok());
    let mut adding = client.add_stream(decided);
    let mut accepted = 0;
    while let Some(outcome) = adding.next().await {
        let outcome = outcome?;
        accepted += outcome.accepted;
        for refused in outcome.refused {
            let why = refused.message.unwrap_or_else(|| refused.reason.to_string());
            eprintln!("session {}: {why}", refused.id);
        }
    }
    println!("{accepted} of {sessions} sessions are on the fast path");
    Ok(())
}

/// One session a source port.
fn session(port: u16) -> Result<Session, SessionError> {
    let [source, destination] = [[10, 0, 0, 1], [10, 1, 0, 3]].map(IpAddr::from);
    let (source, destination) = (SocketAddr::new(source, port), SocketAddr::new(destination, 80));
    Ok(Session::new(port.into(), Transport::Tcp, source, destination)?.timeout_seconds(30))
}
