//! A client's connection: TCP or Unix, plain or TLS, and for how long it may be silent.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, Sleep, sleep};
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

use super::gate::{Eviction, Place};
use super::peer::Peer;

/// Calls the same method of whichever stream it is.
macro_rules! delegate {
    ($self:ident, $kind:ident: $($variant:ident)|+ => $stream:ident => $call:expr) => {
        match $self.get_mut() {
            $($kind::$variant($stream) => $call,)+
        }
    };
}

/// A socket of either kind.
#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        delegate!(self, Socket: Tcp | Unix => socket => Pin::new(socket).poll_read(context, buffer))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        delegate!(self, Socket: Tcp | Unix => socket => Pin::new(socket).poll_write(context, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, Socket: Tcp | Unix => socket => Pin::new(socket).poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, Socket: Tcp | Unix => socket => Pin::new(socket).poll_shutdown(context))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        delegate!(self, Socket: Tcp | Unix => socket => Pin::new(socket).poll_write_vectored(context, slices))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(socket) => socket.is_write_vectored(),
            Self::Unix(socket) => socket.is_write_vectored(),
        }
    }
}

/// For how long a connection may be silent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// From accepting it to its first call.
    pub(super) header: Duration,
    /// From then on.
    pub(super) idle: Duration,
}

/// A socket that fails when its peer is silent for too long: without a call within the header's time, or later without a byte
/// for one to two idle times (a live peer answers pings). A newcomer also fails when it has to make room.
///
/// A peer that does not read what it is sent is no better than a silent one: HTTP/2 stops reading from it, so the alarm is
/// looked at wherever the socket makes it wait.
#[derive(Debug)]
pub(super) struct Watched {
    socket: Socket,
    place: Arc<Place>,
    /// `None` for a connection that is no newcomer any more.
    eviction: Option<Eviction>,
    alarm: Pin<Box<Sleep>>,
    idle: Duration,
    heard: bool,
}

impl Watched {
    pub(super) fn new(socket: Socket, place: Arc<Place>, eviction: Eviction, patience: Patience) -> Self {
        let alarm = Box::pin(sleep(patience.header));
        Self { socket, place, eviction: Some(eviction), alarm, idle: patience.idle, heard: false }
    }

    fn is_newcomer(&mut self) -> bool {
        if self.place.is_settled() {
            self.eviction = None;
        }
        self.eviction.is_some()
    }

    /// Why the connection has to end now.
    fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        let ended = |kind, why| Poll::Ready(io::Error::new(kind, why));
        if self.is_newcomer() {
            let eviction = self.eviction.as_mut().map(|eviction| Pin::new(eviction).poll(context));
            if matches!(eviction, Some(Poll::Ready(Ok(())))) {
                return ended(io::ErrorKind::ConnectionAborted, "it made room for a newer connection");
            }
            ready!(self.alarm.as_mut().poll(context));
            return ended(io::ErrorKind::TimedOut, "the peer made no call for too long");
        }
        // The alarm is moved when it rings, not with each read: no timer work on a busy connection.
        loop {
            ready!(self.alarm.as_mut().poll(context));
            if !std::mem::take(&mut self.heard) {
                return ended(io::ErrorKind::TimedOut, "the peer was silent for too long");
            }
            let next = Instant::now() + self.idle;
            self.alarm.as_mut().reset(next);
        }
    }

    /// `result`, or the end of the connection where the socket makes us wait.
    fn or_end<T>(&mut self, context: &mut Context<'_>, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match result {
            Poll::Ready(result) => Poll::Ready(result),
            Poll::Pending => self.poll_end(context).map(Err),
        }
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // What a newcomer sends does not lengthen its time.
        if self.is_newcomer()
            && let Poll::Ready(error) = self.poll_end(context)
        {
            return Poll::Ready(Err(error));
        }
        let result = Pin::new(&mut self.socket).poll_read(context, buffer);
        self.heard |= result.is_ready();
        self.or_end(context, result)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.socket).poll_write(context, bytes);
        self.or_end(context, result)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.socket).poll_flush(context);
        self.or_end(context, result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.socket).poll_shutdown(context);
        self.or_end(context, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.socket).poll_write_vectored(context, slices);
        self.or_end(context, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }
}

/// A connection that calls can come over, and who makes them.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: Stream,
    peer: Peer,
}

/// With TLS or without.
#[derive(Debug)]
pub(super) enum Stream {
    Plain(Watched),
    Tls(Box<TlsStream<Watched>>),
}

impl Connection {
    pub(super) const fn new(stream: Stream, peer: Peer) -> Self {
        Self { stream, peer }
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        delegate!(self, Stream: Plain | Tls => stream => Pin::new(stream).poll_read(context, buffer))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        delegate!(self, Stream: Plain | Tls => stream => Pin::new(stream).poll_write(context, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, Stream: Plain | Tls => stream => Pin::new(stream).poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, Stream: Plain | Tls => stream => Pin::new(stream).poll_shutdown(context))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        delegate!(self, Stream: Plain | Tls => stream => Pin::new(stream).poll_write_vectored(context, slices))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::super::gate::Gate;
    use super::*;

    const SHORT: Duration = Duration::from_millis(50);
    const LONG: Duration = Duration::from_secs(60);

    /// A connection, its place, and its other end.
    async fn pair(gate: &Arc<Gate>, header: Duration, idle: Duration) -> (Watched, Arc<Place>, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (place, eviction) = gate.admit().await;
        let watched = Watched::new(Socket::Unix(ours), Arc::clone(&place), eviction, Patience { header, idle });
        (watched, place, theirs)
    }

    async fn error(connection: &mut Watched) -> io::Error {
        let read = async {
            loop {
                if let Err(error) = connection.read_u8().await {
                    return error;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(10), read).await.expect("it fails in time")
    }

    #[tokio::test]
    async fn a_connection_that_never_calls_fails_although_it_sends_bytes() {
        let (mut connection, _place, mut client) = pair(&Gate::new(1), 4 * SHORT, LONG).await;
        let dripping = tokio::spawn(async move {
            while client.write_u8(0).await.is_ok() {
                sleep(SHORT / 5).await;
            }
        });
        assert_eq!(error(&mut connection).await.to_string(), "the peer made no call for too long");
        drop(connection);
        dripping.await.unwrap();
    }

    #[tokio::test]
    async fn a_silent_connection_fails_and_one_that_says_something_now_and_then_lives() {
        let (mut connection, place, mut client) = pair(&Gate::new(1), LONG, 4 * SHORT).await;
        place.settle();
        // Its first alarm is the header's, which is far away.
        connection.eviction = None;
        connection.alarm.as_mut().reset(Instant::now() + 4 * SHORT);
        for byte in 0..5 {
            sleep(2 * SHORT).await;
            client.write_u8(byte).await.unwrap();
            assert_eq!(connection.read_u8().await.unwrap(), byte);
        }
        assert_eq!(error(&mut connection).await.to_string(), "the peer was silent for too long");
    }

    #[tokio::test]
    async fn a_peer_that_does_not_read_is_as_good_as_silent() {
        for settled in [false, true] {
            let (mut connection, place, _client) = pair(&Gate::new(1), 4 * SHORT, 4 * SHORT).await;
            if settled {
                place.settle();
            }
            let write = async { while connection.write_all(&[0; 4096]).await.is_ok() {} };
            tokio::time::timeout(Duration::from_secs(10), write).await.expect("it fails in time");
        }
    }

    #[tokio::test]
    async fn a_newcomer_makes_room_and_a_caller_does_not() {
        let gate = Gate::new(2);
        let (mut caller, place, _client) = pair(&gate, LONG, LONG).await;
        place.settle();
        let (mut newcomer, newcomers_place, _other) = pair(&gate, LONG, LONG).await;
        drop(newcomers_place);
        let third = tokio::spawn({
            let gate = Arc::clone(&gate);
            async move { gate.admit().await }
        });
        assert_eq!(error(&mut newcomer).await.to_string(), "it made room for a newer connection");
        drop(newcomer);
        let _third = third.await.unwrap();
        assert!(tokio::time::timeout(SHORT, caller.read_u8()).await.is_err(), "it goes on waiting");
    }
}
