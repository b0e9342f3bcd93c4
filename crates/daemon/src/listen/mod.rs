//! Accepting connections: addresses, TLS, who is at the other end.
//!
//! ```text
//! accept -> a place (gate) -> a watched socket -> TLS -> who is it (peer) -> served
//! ```
//!
//! What lives here: everything before the first call. What must not: calls.

mod connection;
mod gate;
mod peer;

use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;

pub(crate) use self::connection::Connection;
use self::connection::{Patience, Socket, Stream, Watched};
use self::gate::Gate;
use self::peer::Origin;
pub(crate) use self::peer::{Denial, Grants, Peer};
use crate::account::Accounts;
use crate::clock::Clock;
use crate::config::{Address, ClientLimits};
use crate::limits;
use crate::log::RateLimit;
use crate::tls::{Identity, Tls};

/// An open address.
#[derive(Debug)]
pub(crate) struct Listening {
    socket: ListenSocket,
    address: Address,
}

#[derive(Debug)]
enum ListenSocket {
    Tcp(TcpListener),
    Unix { listener: UnixListener, _file: SocketFile },
}

/// Removes the file of a Unix socket when nobody listens any more.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    /// Another daemon may have put its own file there.
    inode: u64,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if std::fs::symlink_metadata(&self.path).is_ok_and(|data| data.ino() == self.inode) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl Listening {
    /// Opens an address for clients; `mode` is for a Unix socket.
    pub(crate) async fn open(address: &Address, mode: u32) -> io::Result<Self> {
        match address {
            Address::Tcp(address) => {
                let socket = TcpListener::bind(address).await?;
                let address = Address::Tcp(socket.local_addr()?);
                Ok(Self { socket: ListenSocket::Tcp(socket), address })
            }
            Address::Unix(path) => {
                refuse_unless_stale(path).await?;
                // Made beside and moved into place, so that nobody can connect before its permissions are right.
                let beside = path.with_extension(format!("new-{}", std::process::id()));
                let _ = std::fs::remove_file(&beside);
                let listener = UnixListener::bind(&beside)?;
                let placed = std::fs::set_permissions(&beside, std::fs::Permissions::from_mode(mode))
                    .and_then(|()| std::fs::symlink_metadata(&beside))
                    .and_then(|data| std::fs::rename(&beside, path).map(|()| data.ino()));
                let inode = placed.inspect_err(|_| drop(std::fs::remove_file(&beside)))?;
                let file = SocketFile { path: path.clone(), inode };
                Ok(Self { socket: ListenSocket::Unix { listener, _file: file }, address: address.clone() })
            }
        }
    }

    /// Where; never port 0.
    pub(crate) const fn address(&self) -> &Address {
        &self.address
    }

    async fn accept(&self) -> io::Result<(Socket, Origin)> {
        match &self.socket {
            ListenSocket::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                // Small answers must not wait for acknowledgements: clients count in milliseconds.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%address, %error, "the connection was gone at once");
                }
                Ok((Socket::Tcp(stream), Origin::Tcp(address)))
            }
            ListenSocket::Unix { listener, .. } => {
                let (stream, _) = listener.accept().await?;
                let user = stream.peer_cred().ok().map(|credentials| credentials.uid());
                Ok((Socket::Unix(stream), Origin::Unix(user)))
            }
        }
    }
}

/// A socket that a daemon left behind which did not end in order may be replaced. One that somebody listens on may not, nor
/// anything else.
async fn refuse_unless_stale(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(data) if !data.file_type().is_socket() => {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "something that is no socket has this path"));
        }
        Ok(_) => {}
    }
    match UnixStream::connect(path).await {
        // unix(7): nobody listens on it.
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        // Also one that has no room for us just now.
        Ok(_) | Err(_) => Err(io::ErrorKind::AddrInUse.into()),
    }
}

/// How a listener receives those who connect.
#[derive(Debug)]
pub(crate) struct Reception {
    pub(crate) tls: Option<Arc<Tls>>,
    pub(crate) grants: Grants,
    pub(crate) limits: ClientLimits,
    pub(crate) accounts: Arc<Accounts>,
    pub(crate) clock: Clock,
    /// Thins out the log of handshakes that failed.
    pub(crate) failures: Mutex<RateLimit>,
}

/// The connections of a listener. Dropping the stream closes the listener.
pub(crate) fn connections(listening: Listening, reception: Reception) -> ReceiverStream<io::Result<Connection>> {
    let (sender, receiver) = mpsc::channel(limits::HANDSHAKEN);
    tokio::spawn(async move {
        let reception = Arc::new(reception);
        tokio::select! {
            () = sender.closed() => {}
            () = accept(&listening, &reception, &sender) => {}
        }
    });
    ReceiverStream::new(receiver)
}

async fn accept(listening: &Listening, reception: &Arc<Reception>, sender: &mpsc::Sender<io::Result<Connection>>) {
    let gate = Gate::new(reception.limits.connections);
    let patience = Patience { header: reception.limits.header_timeout, idle: reception.limits.idle_timeout };
    loop {
        match listening.accept().await {
            Ok((socket, origin)) => {
                let (place, eviction) = gate.admit().await;
                let watched = Watched::new(socket, Arc::clone(&place), eviction, patience);
                // Each at its own pace: a slow handshake is nobody else's. There are no more of these than places.
                let (reception, sender) = (Arc::clone(reception), sender.clone());
                tokio::spawn(async move {
                    let received = reception.receive(watched, origin, place);
                    tokio::select! {
                        () = sender.closed() => {}
                        received = received => if let Some(connection) = received {
                            // Nobody serves any more: the listener is closing.
                            drop(sender.send(Ok(connection)).await);
                        }
                    }
                });
            }
            Err(error) => {
                // Such as too many open files: one connection's misfortune must not end the listener.
                tracing::warn!(%error, "accepting a connection failed");
                sleep(limits::ACCEPT_PAUSE).await;
            }
        }
    }
}

impl Reception {
    async fn receive(&self, watched: Watched, origin: Origin, place: Arc<gate::Place>) -> Option<Connection> {
        let (stream, identity) = match &self.tls {
            None => (Stream::Plain(watched), None),
            Some(tls) => {
                let material = tls.material();
                // Its end is that of the watched socket: the header's time covers the handshake.
                let stream = match TlsAcceptor::from(material.config).accept(watched).await {
                    Ok(stream) => stream,
                    Err(error) => {
                        let limit =
                            self.failures.lock().unwrap_or_else(PoisonError::into_inner).admit(self.clock.now());
                        if let Some(suppressed) = limit {
                            tracing::info!(peer = %origin, suppressed, "no TLS came about: {error}");
                        }
                        return None;
                    }
                };
                let identity = material.clients.map(|verifier| {
                    let chain = stream.get_ref().1.peer_certificates();
                    Identity::judge(chain, verifier.as_ref(), self.clock.time_of_day())
                });
                (Stream::Tls(Box::new(stream)), identity)
            }
        };
        let client = match &identity {
            Some(Ok(identity)) => format!("client {identity}"),
            Some(Err(_)) | None => origin.client(),
        };
        let account = self.accounts.of(&client, self.clock.now());
        Some(Connection::new(stream, Peer::new(origin, identity, &self.grants, account, place)))
    }
}

/// Logs that a client was refused; once for each connection.
pub(crate) fn log_denial(peer: &Peer, denial: &Denial, limit: &Mutex<RateLimit>, clock: &Clock) {
    if !peer.tell_once() {
        return;
    }
    let suppressed = limit.lock().unwrap_or_else(PoisonError::into_inner).admit(clock.now());
    if let Some(suppressed) = suppressed {
        tracing::warn!(%peer, suppressed, "client refused: {denial}");
    }
}

#[cfg(test)]
mod tests;
