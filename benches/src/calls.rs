//! The same calls for every server: sessions in streams, single calls in flight, closed sessions collected.
//!
//! One thread makes them, so that a server has the other processor. What must not be here: which server it is.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use opof_api::v1beta1::{ActionParameters, SessionId, SessionRequest, SessionRequestArgs, SessionResponse};
use opof_api::{Dialect, Rpc};
pub(crate) use opof_session::l3::Family;
use opof_testkit::netns::NetNs;
use opof_testkit::wait::Stopwatch;
use tokio::task::JoinSet;
use tonic::transport::Endpoint;

use crate::subject::ADDRESS;

/// Calls in flight on one connection.
pub(crate) const IN_FLIGHT: usize = 16;
/// `ACTION_TYPE` of a session that is forwarded, the protocol of UDP, and `IP_VERSION` 6.
const FORWARD: i32 = 1;
const UDP: i32 = 17;
/// Source and destination port of every session, and the destination of those over IPv4.
pub(crate) const PORTS: [u16; 2] = [1000, 53];
pub(crate) const DESTINATION: [u8; 4] = [192, 0, 2, 1];
const IPV6: i32 = 1;
/// Quantiles: a name, and how many in a million are above it.
pub(crate) const QUANTILES: [(&str, usize); 4] =
    [("p50", 500_000), ("p90", 100_000), ("p99", 10_000), ("p99.9", 1_000)];

/// What a single call does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Call {
    Get,
    Delete,
}

/// Runs `work` on a thread with a runtime of its own in a namespace, where the server is.
pub(crate) fn within<T: Send>(namespace: &NetNs, work: impl AsyncFnOnce() -> Result<T> + Send) -> Result<T> {
    namespace.run(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("make a runtime")?;
        runtime.block_on(tokio::task::LocalSet::new().run_until(work()))
    })?
}

/// A connection.
pub(crate) async fn connect() -> Result<Rpc> {
    let endpoint = Endpoint::new(format!("http://{ADDRESS}")).context("the server's address")?.tcp_nodelay(true);
    let channel = endpoint.connect().await.with_context(|| format!("connect to {ADDRESS}"))?;
    Ok(Rpc::new(channel, Dialect::V1).max_decoding_message_size(usize::MAX))
}

/// Waits until the server answers.
pub(crate) async fn answer() -> Result<()> {
    let id = SessionId { session_id: u64::MAX };
    connect().await?.get_session(id).await.context("a first call")?;
    Ok(())
}

/// UDP, another source for each id, idle after `timeout` seconds; 0: as the server likes.
pub(crate) fn session(id: u32, family: Family, timeout: u32) -> SessionRequest {
    let [a, b, c, d] = id.to_be_bytes();
    let common = SessionRequest {
        session_id: id.into(),
        source_port: PORTS[0].into(),
        destination_port: PORTS[1].into(),
        protocol_id: UDP,
        action: Some(ActionParameters { action_type: FORWARD, ..ActionParameters::default() }),
        cache_timeout: timeout,
        ..SessionRequest::default()
    };
    match family {
        Family::V4 => SessionRequest {
            source_ip: u32::from_le_bytes([10 + a, b, c, d]),
            destination_ip: u32::from_le_bytes(DESTINATION),
            ..common
        },
        Family::V6 => {
            let address = |last: [u8; 4]| [&[0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0][..], &last].concat();
            let (source_ip_v6, destination_ip_v6) = (address([a, b, c, d]), address([0xff; 4]));
            SessionRequest { ip_version: IPV6, source_ip_v6, destination_ip_v6, ..common }
        }
    }
}

/// Adds them in streams of `length`, each connection an equal part of them, one stream after the other on each.
pub(crate) async fn add(ids: Range<u32>, length: u32, connections: u32, timeout: u32) -> Result<Duration> {
    let mut clients = Vec::new();
    for _ in 0..connections {
        clients.push(connect().await?);
    }
    let part = (ids.end - ids.start) / connections;
    let watch = Stopwatch::start();
    let mut tasks = JoinSet::new();
    for (n, mut client) in (0..).zip(clients) {
        let first = ids.start + n * part;
        tasks.spawn_local(async move {
            for from in (first..first + part).step_by(length as usize) {
                let stream = from..(from + length).min(first + part);
                stream_of(&mut client, stream, Family::V4, move |_| timeout).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.context("a client")??;
    }
    Ok(watch.elapsed())
}

/// Adds them in one stream, each with its timeout in seconds.
pub(crate) async fn stream_of(
    client: &mut Rpc,
    ids: Range<u32>,
    family: Family,
    timeout: impl Fn(u32) -> u32 + Send + 'static,
) -> Result<()> {
    let sessions = tokio_stream::iter(ids.map(move |id| session(id, family, timeout(id))));
    let answer = client.add_session(sessions).await.context("addSession")?.into_inner();
    ensure!(answer.response_error.is_empty(), "refused: {:?}", answer.response_error);
    Ok(())
}

/// A call for each of them, [`IN_FLIGHT`] at a time on each connection.
pub(crate) async fn calls(ids: Range<u32>, connections: u32, call: Call) -> Result<Duration> {
    let mut clients = Vec::new();
    for _ in 0..connections {
        clients.push(connect().await?);
    }
    let next = Arc::new(AtomicU32::new(ids.start));
    let watch = Stopwatch::start();
    let mut tasks = JoinSet::new();
    for client in clients {
        for _ in 0..IN_FLIGHT {
            let (mut client, next, end) = (client.clone(), Arc::clone(&next), ids.end);
            tasks.spawn_local(async move {
                loop {
                    let id = next.fetch_add(1, Ordering::Relaxed);
                    if id >= end {
                        return anyhow::Ok(());
                    }
                    let session = SessionId { session_id: id.into() };
                    let answer = match call {
                        Call::Get => client.get_session(session).await,
                        Call::Delete => client.delete_session(session).await,
                    };
                    let found = answer.with_context(|| format!("{call:?} {id}"))?.into_inner().session_id;
                    ensure!(found == u64::from(id), "{call:?} {id}: found {found}");
                }
            });
        }
    }
    while let Some(done) = tasks.join_next().await {
        done.context("a client")??;
    }
    Ok(watch.elapsed())
}

/// Lists all sessions in pages of `page`, from the first id on; how many there were.
pub(crate) async fn list(page: u32) -> Result<(u32, Duration)> {
    let mut client = connect().await?;
    let watch = Stopwatch::start();
    let (mut count, mut start) = (0, 0);
    loop {
        let args = SessionRequestArgs { page_size: page, start_session: start, ..SessionRequestArgs::default() };
        let answer = client.get_all_sessions(args).await.context("getAllSessions")?.into_inner();
        count += u32::try_from(answer.session_info.len()).context("a page of sessions")?;
        if answer.nextkey == 0 || answer.session_info.is_empty() {
            return Ok((count, watch.elapsed()));
        }
        start = answer.nextkey;
    }
}

/// Collects closed sessions until there were `count`, and shows each.
pub(crate) async fn closed(count: u32, mut show: impl FnMut(&SessionResponse)) -> Result<Duration> {
    let mut client = connect().await?;
    let watch = Stopwatch::start();
    let mut collected = 0;
    while collected < count {
        let args = SessionRequestArgs { page_size: 0, ..SessionRequestArgs::default() };
        let mut stream = client.get_closed_sessions(args).await.context("getClosedSessions")?.into_inner();
        let before = collected;
        while let Some(record) = stream.message().await.context("a closed session")? {
            show(&record);
            collected += 1;
        }
        ensure!(collected > before, "{collected} of {count} closed sessions, and no more");
    }
    Ok(watch.elapsed())
}

/// The value that so many in a million of sorted ones are above.
pub(crate) fn quantile(times: &[Duration], above: usize) -> Duration {
    let index = (times.len() * (1_000_000 - above)).div_ceil(1_000_000).max(1) - 1;
    times.get(index).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_a_hundred() {
        let times: Vec<_> = (1..=100).map(Duration::from_millis).collect();
        let found = QUANTILES.map(|(_, above)| quantile(&times, above).as_millis());
        assert_eq!(found, [50, 90, 99, 100]);
        assert_eq!(quantile(&[], 1000), Duration::ZERO);
    }
}
