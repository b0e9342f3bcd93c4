//! Datagrams of many sessions from the client to the server, each with its number, and what became of them.

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use opof_testkit::netns::{CLIENT, RawSocket, SERVER};
use opof_testkit::packet::Packet;
use opof_testkit::wait::{Pacer, Stopwatch};
use opof_wire::{Addresses, FlowKey, Transport};

use super::Pair;
use crate::{Error, frames};

/// Datagrams a second.
const RATE: u32 = 2_000;
/// Where the server listens.
const PORT: u16 = 9_000;
/// The client's ports begin here.
const FIRST_PORT: u16 = 10_000;
/// What waits at the server while this process does not run, in bytes.
const BUFFER: usize = 16 << 20;
/// How long after the last one was sent another one may arrive.
const QUIET: Duration = Duration::from_millis(500);

/// Of the session with this number, up to 50,000.
pub fn key(id: u16) -> FlowKey {
    let (source, destination) = (CLIENT.ipv4.octets(), SERVER.ipv4.octets());
    FlowKey {
        addresses: Addresses::V4 { source, destination },
        transport: Transport::Udp,
        source_port: FIRST_PORT + id,
        destination_port: PORT,
        ..frames::keys()[0]
    }
}

/// What became of the datagrams.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Figures {
    /// By the client.
    pub sent: u64,
    /// At the server, each counted once.
    pub arrived: u64,
    /// The others.
    pub lost: u64,
    /// The longest time between two that arrived, as the server saw it.
    pub gap: Duration,
    /// The longest time for which all that was sent was lost.
    pub dark: Duration,
}

/// Under way until it is finished.
#[derive(Debug)]
pub struct Traffic {
    over: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    sender: JoinHandle<Result<Vec<Duration>, Error>>,
    receiver: JoinHandle<Vec<(u64, Duration)>>,
}

impl Traffic {
    /// Sends for the sessions from 1 to `sessions`, each in turn.
    pub fn start(pair: &Pair, sessions: u16) -> Result<Self, Error> {
        let socket = RawSocket::open(&pair.client)?;
        let server = pair.server.namespace.run(|| UdpSocket::bind((SERVER.ipv4, PORT)))?;
        let server = server.map_err(Error::io("listen as the server"))?;
        server.set_read_timeout(Some(QUIET)).map_err(Error::io("bound the server's waits"))?;
        let larger = rustix::net::sockopt::set_socket_recv_buffer_size_force(&server, BUFFER);
        larger.map_err(|errno| Error::io("enlarge the server's buffer")(errno.into()))?;
        let (over, sent, watch) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default(), Stopwatch::start());
        let receiver = {
            let over = Arc::clone(&over);
            std::thread::spawn(move || receive(&server, &over, watch))
        };
        let sender = {
            let (over, sent) = (Arc::clone(&over), Arc::clone(&sent));
            std::thread::spawn(move || send(&socket, sessions, &over, &sent, watch))
        };
        Ok(Self { over, sent, sender, receiver })
    }

    /// Datagrams that have been sent so far.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Ends it.
    pub fn finish(self) -> Result<Figures, Error> {
        self.over.store(true, Ordering::Relaxed);
        let sent = self.sender.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        let arrived = self.receiver.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        Ok(figures(&sent, &arrived))
    }
}

/// Returns when each one was sent.
fn send(
    socket: &RawSocket,
    sessions: u16,
    over: &AtomicBool,
    sent: &AtomicU64,
    watch: Stopwatch,
) -> Result<Vec<Duration>, Error> {
    let mut pacer = Pacer::new(RATE);
    let mut times = Vec::new();
    for (number, id) in (0_u64..).zip((1..=sessions).cycle()) {
        if over.load(Ordering::Relaxed) {
            break;
        }
        let packet = Packet::with_key(&key(id)).mac(CLIENT.mac, SERVER.mac).payload(&number.to_be_bytes());
        pacer.wait();
        times.push(watch.elapsed());
        socket.send(&packet.build())?;
        sent.store(number + 1, Ordering::Relaxed);
    }
    Ok(times)
}

/// Returns which arrived, and when.
fn receive(socket: &UdpSocket, over: &AtomicBool, watch: Stopwatch) -> Vec<(u64, Duration)> {
    let mut arrived = Vec::new();
    let mut bytes = [0; 8];
    loop {
        match socket.recv(&mut bytes) {
            Ok(8) => arrived.push((u64::from_be_bytes(bytes), watch.elapsed())),
            Err(_) if over.load(Ordering::Relaxed) => return arrived,
            Ok(_) | Err(_) => {}
        }
    }
}

fn figures(sent: &[Duration], arrived: &[(u64, Duration)]) -> Figures {
    let mut has_arrived = vec![false; sent.len()];
    for (number, _) in arrived {
        if let Some(has_arrived) = usize::try_from(*number).ok().and_then(|number| has_arrived.get_mut(number)) {
            *has_arrived = true;
        }
    }
    let gaps = arrived.windows(2).map(|two| two[1].1.saturating_sub(two[0].1));
    let mut dark = Duration::ZERO;
    let mut since = None;
    for (has_arrived, at) in has_arrived.iter().zip(sent) {
        if *has_arrived {
            if let Some(since) = since.take() {
                dark = dark.max(at.saturating_sub(since));
            }
        } else {
            since.get_or_insert(*at);
        }
    }
    let (all, here) = (sent.len() as u64, has_arrived.iter().filter(|has_arrived| **has_arrived).count() as u64);
    Figures { sent: all, arrived: here, lost: all - here, gap: gaps.max().unwrap_or_default(), dark }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_lost_shows_for_how_long_nothing_was_forwarded() {
        let ms = Duration::from_millis;
        let sent: Vec<Duration> = (0..10).map(ms).collect();
        let arrived: Vec<(u64, Duration)> = [0, 1, 5, 6, 8, 9, 9].map(|number| (number, ms(number + 1))).to_vec();
        let expected = Figures { sent: 10, arrived: 6, lost: 4, gap: ms(4), dark: ms(3) };
        assert_eq!(figures(&sent, &arrived), expected);
    }
}
