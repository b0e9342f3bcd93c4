//! The end of the line that waits for the other device.
//!
//! Who has no certificate of the pair's authorities gets no further than TLS; so there are few connections. Its own certificate may change while
//! it waits.

use std::io;
use std::pin::Pin;
use std::sync::Arc;

use opof_api::peer::Envelope;
use opof_api::peer::peer_server::{Peer, PeerServer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt as _};
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};

use super::{Way, listen};
use crate::clock::Clock;
use crate::config::{Address, HaConfig, TlsVersion};
use crate::driver::pair::Arrival;
use crate::error::StartError;
use crate::limits;
use crate::log::RateLimit;
use crate::tls::{Files, Identity, Tls};

/// Where the other device connects.
#[derive(Debug)]
pub(in crate::ha) struct Listener {
    socket: TcpListener,
    tls: Arc<Tls>,
    clock: Clock,
}

impl Listener {
    pub(in crate::ha) async fn open(config: &HaConfig, clock: &Clock) -> Result<Self, StartError> {
        let files = Files {
            cert: config.tls.cert.clone(),
            key: config.tls.key.clone(),
            client_ca: Some(config.tls.ca.clone()),
            min_version: TlsVersion::V1_3,
        };
        let tls = Arc::new(Tls::load(files, clock.time_of_day())?);
        let socket = TcpListener::bind(config.listen).await;
        let socket = socket.map_err(|source| StartError::Listen { address: Address::Tcp(config.listen), source })?;
        Ok(Self { socket, tls, clock: clock.clone() })
    }

    /// Its files may change.
    pub(in crate::ha) const fn tls(&self) -> &Arc<Tls> {
        &self.tls
    }

    /// Connections of those who have a certificate of the pair's authorities.
    fn connections(self) -> ReceiverStream<io::Result<TlsStream<TcpStream>>> {
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(async move {
            tokio::select! {
                () = sender.closed() => {}
                () = self.accept(&sender) => {}
            }
        });
        ReceiverStream::new(receiver)
    }

    async fn accept(self, sender: &mpsc::Sender<io::Result<TlsStream<TcpStream>>>) {
        // Each at its own pace: a slow handshake is nobody else's.
        let mut handshakes = JoinSet::new();
        let mut failures = RateLimit::new(limits::DENIALS_LOGGED);
        loop {
            let received = tokio::select! {
                accepted = self.socket.accept(), if handshakes.len() < limits::PEER_HANDSHAKES => {
                    match accepted {
                        Ok((socket, _)) => {
                            let received = receive(socket, Arc::clone(&self.tls), self.clock.clone());
                            handshakes.spawn(timeout(limits::PEER_CONNECT, received));
                        }
                        Err(error) => {
                            // Such as too many open files: one connection's misfortune must not end the listener.
                            tracing::warn!(%error, "can't accept a connection of the other device of the pair");
                            sleep(limits::ACCEPT_PAUSE).await;
                        }
                    }
                    continue;
                }
                Some(received) = handshakes.join_next() => received,
            };
            let why = match received {
                // Nobody serves any more: the daemon is ending.
                Ok(Ok(Ok(stream))) => {
                    let _ = sender.send(Ok(stream)).await;
                    continue;
                }
                Ok(Ok(Err(why))) => why,
                Ok(Err(_)) => "TLS took too long".to_owned(),
                Err(error) => error.to_string(),
            };
            if let Some(suppressed) = failures.admit(self.clock.now()) {
                tracing::warn!(why, suppressed, "a connection to this device's end of the pair's line was refused");
            }
        }
    }
}

async fn receive(socket: TcpStream, tls: Arc<Tls>, clock: Clock) -> Result<TlsStream<TcpStream>, String> {
    socket.set_nodelay(true).map_err(|error| error.to_string())?;
    let material = tls.material();
    let stream = TlsAcceptor::from(material.config).accept(socket).await.map_err(|error| error.to_string())?;
    let verifier = material.clients.ok_or("no authority")?;
    let chain = stream.get_ref().1.peer_certificates();
    Identity::judge(chain, verifier.as_ref(), clock.time_of_day()).map_err(|error| error.to_string())?;
    Ok(stream)
}

/// What the other device talks to.
#[derive(Clone, Debug)]
pub(super) struct Ears {
    pub(super) peer: Arc<str>,
    pub(super) ways: mpsc::Sender<Way>,
    pub(super) arrivals: mpsc::Sender<Arrival>,
}

#[tonic::async_trait]
impl Peer for Ears {
    type TalkStream = Pin<Box<dyn Stream<Item = Result<Envelope, Status>> + Send>>;

    async fn talk(&self, request: Request<Streaming<Envelope>>) -> Result<Response<Self::TalkStream>, Status> {
        let shown = request.peer_certs();
        let is_peer = shown.is_some_and(|chain| Identity::shown(&chain).is_some_and(|who| who.has(&self.peer)));
        if !is_peer {
            tracing::error!(peer = %self.peer, "somebody without the name of the other device has tried to talk to this one");
            return Err(Status::permission_denied(format!("the certificate must have the DNS name {}", self.peer)));
        }
        tracing::info!(peer = %self.peer, "there is a line to the other device of the pair");
        let (way, envelopes) = mpsc::channel(limits::PEER_ENVELOPES);
        let _ = self.ways.send(way).await;
        let arrivals = self.arrivals.clone();
        tokio::spawn(async move {
            if let Err(why) = listen(request.into_inner(), &arrivals).await {
                tracing::warn!(why, "no line to the other device of the pair");
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(envelopes).map(Ok))))
    }
}

/// Listens to the other device.
pub(super) async fn serve(listener: Listener, ears: Ears) {
    let mut server = Server::builder()
        .max_concurrent_streams(limits::PEER_STREAMS)
        .initial_stream_window_size(limits::PEER_BYTES_AHEAD)
        .initial_connection_window_size(limits::PEER_BYTES_AHEAD)
        .http2_keepalive_interval(Some(limits::PEER_PING))
        .http2_keepalive_timeout(Some(limits::PEER_PING));
    let service = PeerServer::new(ears).max_decoding_message_size(opof_api::limits::PEER_ENVELOPE);
    if let Err(error) = server.add_service(service).serve_with_incoming(listener.connections()).await {
        tracing::error!(%error, "the other device of the pair can't connect any more");
    }
}
