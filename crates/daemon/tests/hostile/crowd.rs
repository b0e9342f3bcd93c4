//! Clients that mean no good, all on loopback: connections that say nothing, one that drips bytes, one that sends messages
//! without end. And opofd as a process, so that its memory can be read.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use opof_api::v1beta1;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// A silent client that was thrown out comes back after this.
const COME_BACK: Duration = Duration::from_secs(1);
/// Between two bytes of the one that drips.
const DRIP: Duration = Duration::from_secs(1);
/// What the endless message claims to be, in the five bytes in front of it (gRPC over HTTP/2, "Length-Prefixed-Message").
const FOUR_GIB: [u8; 5] = [0, 0xFF, 0xFF, 0xFF, 0xFF];
/// Bytes of it that are sent together.
const PIECE: usize = 16 << 10;

/// Everybody ends when this is dropped.
pub(crate) struct Crowd {
    _tasks: JoinSet<()>,
}

impl Crowd {
    /// `silent` connections that send nothing, one that sends a byte a second, one that sends messages of 4 GiB.
    pub(crate) async fn start(address: SocketAddr, silent: usize) -> Self {
        let mut tasks = JoinSet::new();
        let (connected, mut count) = tokio::sync::mpsc::channel(silent);
        for _ in 0..silent {
            let connected = connected.clone();
            tasks.spawn(async move {
                loop {
                    if let Ok(stream) = TcpStream::connect(address).await {
                        let _ = connected.try_send(());
                        say_nothing(stream).await;
                    }
                    sleep(COME_BACK).await;
                }
            });
        }
        tasks.spawn(async move {
            loop {
                let _ = drip(address).await;
            }
        });
        tasks.spawn(async move {
            loop {
                if send_without_end(address).await.is_err() {
                    sleep(Duration::from_millis(10)).await;
                }
            }
        });
        for _ in 0..silent {
            count.recv().await;
        }
        Self { _tasks: tasks }
    }
}

async fn say_nothing(mut stream: TcpStream) {
    let mut buffer = [0; 256];
    while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
}

async fn drip(address: SocketAddr) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    for byte in b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".iter().cycle() {
        sleep(DRIP).await;
        stream.write_u8(*byte).await?;
    }
    Ok(())
}

/// One addSession call with a message of 4 GiB, as fast as it is taken, until somebody ends it.
async fn send_without_end(address: SocketAddr) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let (client, connection) = h2::client::handshake(TcpStream::connect(address).await?).await?;
    let mut driver = JoinSet::new();
    driver.spawn(async move { drop(connection.await) });
    let mut client = client.ready().await?;
    let request = http::Request::post(format!("http://{address}/openoffload.v1.SessionTable/addSession"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())?;
    let (_answer, mut body) = client.send_request(request, false)?;
    body.send_data(Bytes::from_static(&FOUR_GIB), false)?;
    loop {
        body.reserve_capacity(PIECE);
        // Nobody to take it any more.
        let Some(capacity) = std::future::poll_fn(|context| body.poll_capacity(context)).await else { return Ok(()) };
        body.send_data(Bytes::from_static(&[0; PIECE]).slice(..capacity?.min(PIECE)), false)?;
    }
}

/// opofd on loopback, in plain text, with the simulated data plane.
pub(crate) struct Opofd {
    process: Child,
    pub(crate) address: SocketAddr,
}

impl Opofd {
    pub(crate) async fn start(binary: &Path, more: &[&str]) -> Self {
        let address = free_address().await;
        let listener = format!("address={address},plaintext=true");
        let mut command = Command::new(binary);
        command.args(["--listener", &listener, "--log-level", "error"]).args(more).stdin(Stdio::null());
        let process = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", binary.display()));
        let opofd = Self { process, address };
        while TcpStream::connect(address).await.is_err() {
            sleep(Duration::from_millis(10)).await;
        }
        opofd
    }

    /// The most memory that it has ever had resident, in KiB (proc_pid_status(5), `VmHWM`).
    pub(crate) fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the kernel says so");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }
}

impl Drop for Opofd {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

async fn free_address() -> SocketAddr {
    let probe = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port on loopback");
    probe.local_addr().expect("it is bound")
}

/// What a client that means well adds; another address for each id.
pub(crate) fn session(id: u32) -> v1beta1::SessionRequest {
    let [a, b, c, d] = id.to_be_bytes();
    v1beta1::SessionRequest {
        session_id: id.into(),
        source_ip: u32::from_le_bytes([10 + a, b, c, d]),
        source_port: 1000,
        destination_ip: u32::from_le_bytes([192, 0, 2, 1]),
        destination_port: 53,
        protocol_id: 17,
        action: Some(v1beta1::ActionParameters { action_type: 1, ..Default::default() }),
        ..Default::default()
    }
}

/// A crowd needs many open files.
pub(crate) fn raise_open_files(needed: u64) {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let current = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    assert!(current >= needed, "{needed} open files are needed, {current} are allowed: ulimit -n");
}
