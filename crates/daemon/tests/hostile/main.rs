//! opofd as a process among clients that mean no good: those that mean well are served, and memory stays bounded. How fast, the
//! example `hostile` measures.

mod crowd;

use std::path::Path;
use std::time::Duration;

use opof_api::{Dialect, Rpc};
use tonic::transport::Endpoint;

use crowd::{Crowd, Opofd, session};

const SILENT: usize = 2000;
const SESSIONS: u32 = 20_000;
/// What opofd may have with all of that, in KiB. Measured: some 60 MiB with debug assertions, most of it sessions and buffers of
/// connections.
const MEMORY: u64 = 256 << 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_means_well_is_served_and_memory_is_bounded() {
    crowd::raise_open_files(SILENT as u64 + 100);
    let opofd = Opofd::start(Path::new(env!("CARGO_BIN_EXE_opofd")), &[]).await;
    let crowd = Crowd::start(opofd.address, SILENT).await;
    let served = async {
        // Connections of its own among the newcomers, again and again.
        for batch in 0..10 {
            let endpoint = Endpoint::new(format!("http://{}", opofd.address)).expect("an address");
            let mut client = Rpc::new(endpoint.connect().await.expect("a connection"), Dialect::V1);
            let ids = batch * SESSIONS / 10..(batch + 1) * SESSIONS / 10;
            let sessions: Vec<_> = ids.map(session).collect();
            let answer = client.add_session(tokio_stream::iter(sessions)).await.expect("an answer").into_inner();
            assert_eq!(answer.response_error, []);
        }
    };
    tokio::time::timeout(Duration::from_secs(60), served).await.expect("it is served");
    let peak = opofd.peak_memory();
    println!("peak memory of opofd: {peak} KiB");
    assert!(peak < MEMORY, "{peak} KiB");
    drop(crowd);
}
