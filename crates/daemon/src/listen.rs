//! Accepting connections: how many, and for how long one may be silent.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, Sleep, sleep};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::{Connected, TcpConnectInfo};

use crate::limits;

/// Opens `address` for clients.
pub(crate) async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// The connections of `listener`, at most [`limits::CONNECTIONS`] at once; further ones wait in the system's queue.
/// Dropping the stream closes the listener.
pub(crate) fn connections(listener: TcpListener) -> ReceiverStream<io::Result<Connection>> {
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        let slots = Arc::new(Semaphore::new(limits::CONNECTIONS));
        tokio::select! {
            () = sender.closed() => {}
            () = accept(&listener, &slots, &sender) => {}
        }
    });
    ReceiverStream::new(receiver)
}

async fn accept(listener: &TcpListener, slots: &Arc<Semaphore>, sender: &mpsc::Sender<io::Result<Connection>>) {
    while let Ok(slot) = Arc::clone(slots).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // Small answers must not wait for acknowledgements: clients count in milliseconds.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%peer, %error, "the connection was gone at once");
                    continue;
                }
                if sender.send(Ok(Connection::new(stream, limits::SILENCE, slot))).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                // Such as too many open files: one connection's misfortune must not end the listener.
                tracing::warn!(%error, "accepting a connection failed");
                sleep(limits::ACCEPT_PAUSE).await;
            }
        }
    }
}

/// A client's connection. It fails when nothing at all came in for one to two spans of the silence it is given: a
/// live peer answers keepalives.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    silence: Duration,
    alarm: Pin<Box<Sleep>>,
    heard: bool,
    _slot: OwnedSemaphorePermit,
}

impl Connection {
    fn new(stream: TcpStream, silence: Duration, slot: OwnedSemaphorePermit) -> Self {
        Self { stream, silence, alarm: Box::pin(sleep(silence)), heard: false, _slot: slot }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Poll::Ready(result) = Pin::new(&mut self.stream).poll_read(context, buffer) {
            self.heard = true;
            return Poll::Ready(result);
        }
        // The alarm is moved when it rings, not with each read: no timer work on a busy connection.
        loop {
            ready!(self.alarm.as_mut().poll(context));
            if !std::mem::take(&mut self.heard) {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer was silent for too long")));
            }
            let next = Instant::now() + self.silence;
            self.alarm.as_mut().reset(next);
        }
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

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.stream.connect_info()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio_stream::StreamExt;

    use super::*;

    async fn pair(silence: Duration) -> (Connection, TcpStream) {
        let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let slot = Arc::new(Semaphore::new(1)).acquire_owned().await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        (Connection::new(stream, silence, slot), client)
    }

    #[tokio::test]
    async fn a_silent_connection_fails() {
        let (mut connection, _client) = pair(Duration::from_millis(50)).await;
        let error = connection.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_connection_that_says_something_now_and_then_lives() {
        let (mut connection, mut client) = pair(Duration::from_millis(200)).await;
        for byte in 0..5 {
            sleep(Duration::from_millis(100)).await;
            client.write_u8(byte).await.unwrap();
            assert_eq!(connection.read_u8().await.unwrap(), byte);
        }
    }

    #[tokio::test]
    async fn dropping_the_stream_closes_the_listener() {
        let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut stream = connections(listener);
        let client = TcpStream::connect(address).await.unwrap();
        let connection = stream.next().await.unwrap().unwrap();
        assert_eq!(connection.connect_info().remote_addr(), client.local_addr().ok());
        drop(stream);
        let refused = async { while TcpStream::connect(address).await.is_ok() {} };
        tokio::time::timeout(Duration::from_secs(5), refused).await.expect("the port is closed");
    }
}
