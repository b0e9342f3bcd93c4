//! The line to the other device: one stream of envelopes in each direction over mutual TLS. The device whose name sorts first dials.
//!
//! What there is to say waits for a connection that has room; what was on its way when a connection ends is lost, and said again by
//! those who need it. What must not be here: what is said.

mod serve;

use opof_api::peer::Envelope;
use opof_api::peer::peer_client::PeerClient;
use opof_api::peer_message::VERSION;
use opof_session::ha::message::Message;
use opof_session::ha::term::Side;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

pub(super) use self::serve::Listener;
use self::serve::{Ears, serve};

use crate::config::{HaConfig, HaTls};
use crate::driver::pair::Arrival;
use crate::error::StartError;
use crate::limits;
use crate::tls::{self, TlsError};

/// Why there is no line.
#[derive(thiserror::Error, Debug)]
pub enum LineError {
    /// The configuration names an address that is none.
    #[error("ha.peer.address {address:?} is not HOST:PORT: {source}")]
    Address {
        /// As it was given.
        address: String,
        /// Why.
        source: tonic::transport::Error,
    },
    /// The TLS library does not take what is in the files.
    #[error("ha.tls: {0}")]
    Tls(tonic::transport::Error),
}

fn identity(tls: &HaTls) -> Result<Identity, TlsError> {
    tls::certificates("certificate", &tls.cert)?;
    tls::private_key(&tls.key)?;
    Ok(Identity::from_pem(tls::read("certificate", &tls.cert)?, tls::read("key", &tls.key)?))
}

fn authority(tls: &HaTls) -> Result<Certificate, TlsError> {
    tls::certificates("CA of the pair", &tls.ca)?;
    Ok(Certificate::from_pem(tls::read("CA of the pair", &tls.ca)?))
}

/// The line, as the configuration has it.
#[derive(Debug)]
pub(super) struct Line {
    address: String,
    /// The other device's name, which its certificate has to have.
    peer: String,
    tls: HaTls,
}

/// The way to the other device over one connection.
type Way = mpsc::Sender<Envelope>;

impl Line {
    pub(super) fn new(config: &HaConfig) -> Result<Self, StartError> {
        let line =
            Self { address: config.peer.address.clone(), peer: config.peer.node.clone(), tls: config.tls.clone() };
        line.endpoint()?;
        Ok(line)
    }

    fn endpoint(&self) -> Result<Endpoint, StartError> {
        let wrong = |source| LineError::Address { address: self.address.clone(), source };
        let tls = ClientTlsConfig::new()
            .ca_certificate(authority(&self.tls)?)
            .identity(identity(&self.tls)?)
            .domain_name(self.peer.clone());
        let endpoint = Endpoint::from_shared(format!("https://{}", self.address)).map_err(wrong)?;
        let endpoint = endpoint
            .connect_timeout(limits::PEER_CONNECT)
            .tcp_nodelay(true)
            .initial_stream_window_size(limits::PEER_BYTES_AHEAD)
            .initial_connection_window_size(limits::PEER_BYTES_AHEAD)
            .http2_keep_alive_interval(limits::PEER_PING)
            .keep_alive_timeout(limits::PEER_PING)
            .keep_alive_while_idle(true);
        Ok(endpoint.tls_config(tls).map_err(LineError::Tls)?)
    }

    pub(super) fn start(
        self,
        tasks: &mut JoinSet<()>,
        side: Side,
        listener: Listener,
        messages: mpsc::Receiver<Message>,
        arrivals: mpsc::Sender<Arrival>,
    ) {
        let (ways, new) = mpsc::channel(1);
        tasks.spawn(say(messages, new));
        if side == Side::A {
            tasks.spawn(self.dial(ways, arrivals));
        } else {
            tasks.spawn(serve(listener, Ears { peer: self.peer.into(), ways, arrivals }));
        }
    }

    /// Connects, and connects again.
    async fn dial(self, ways: mpsc::Sender<Way>, arrivals: mpsc::Sender<Arrival>) {
        let mut told = None;
        loop {
            let why = match self.talk(&ways, &arrivals).await {
                Ok(()) => "the other device has closed it".to_owned(),
                Err(why) => why,
            };
            if told.as_ref() != Some(&why) {
                tracing::warn!(peer = self.address, why, "no line to the other device of the pair");
                told = Some(why);
            }
            if arrivals.is_closed() {
                return;
            }
            sleep(limits::PEER_REDIAL).await;
        }
    }

    async fn talk(&self, ways: &mpsc::Sender<Way>, arrivals: &mpsc::Sender<Arrival>) -> Result<(), String> {
        // Read again each time: certificates change.
        let endpoint = self.endpoint().map_err(|error| error.to_string())?;
        let channel = endpoint.connect().await.map_err(|error| in_full(&error))?;
        let (way, envelopes) = mpsc::channel(limits::PEER_ENVELOPES);
        let mut client = PeerClient::new(channel).max_decoding_message_size(opof_api::limits::PEER_ENVELOPE);
        let answer = client.talk(ReceiverStream::new(envelopes)).await.map_err(|status| status.message().to_owned())?;
        tracing::info!(peer = self.address, "there is a line to the other device of the pair");
        // Nobody takes it: the device is ending.
        let _ = ways.send(way).await;
        listen(answer.into_inner(), arrivals).await
    }
}

fn in_full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

/// Everything that comes over a connection.
async fn listen(mut envelopes: Streaming<Envelope>, arrivals: &mpsc::Sender<Arrival>) -> Result<(), String> {
    let mut is_told = false;
    while let Some(envelope) = envelopes.next().await {
        let envelope = envelope.map_err(|status| status.message().to_owned())?;
        if envelope.version != VERSION && !is_told {
            is_told = true;
            tracing::info!(
                this = VERSION,
                other = envelope.version,
                "the devices of the pair speak different versions of opof.peer.v1"
            );
        }
        let message = opof_api::peer_message::message(envelope).map_err(|error| {
            tracing::error!(%error, "the other device of the pair says something that this version does not understand");
            error.to_string()
        })?;
        if arrivals.send(Arrival::Message(Box::new(message))).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// Takes what there is to say to the newest connection.
async fn say(mut messages: mpsc::Receiver<Message>, mut ways: mpsc::Receiver<Way>) {
    let mut way: Option<Way> = None;
    while let Some(message) = messages.recv().await {
        if let Ok(new) = ways.try_recv() {
            way = Some(new);
        }
        let Some(open) = &way else { continue };
        let envelope = opof_api::peer_message::envelope(message);
        let is_open = tokio::select! {
            biased;
            sent = open.send(envelope) => sent.is_ok(),
            Some(new) = ways.recv() => {
                way = Some(new);
                continue;
            }
        };
        if !is_open {
            way = None;
        }
    }
}
