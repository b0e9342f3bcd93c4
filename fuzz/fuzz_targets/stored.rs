//! Closed records with any bytes in a closed log: a table begins with those that make sense, shows each once and in order, and numbers what
//! closes from there on.
#![no_main]

use std::num::NonZeroU32;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use opof_api::{WallClock, closed_response};
use opof_daemon::StoreError;
use opof_daemon::simulation::{Disk, RECORD, closed_log, closed_log_of};
use opof_session::engine::{Engine, EngineConfig, Input};
use opof_session::plane::Capabilities;
use opof_session::request::{ReplyBody, Request, RequestBody, Ticket};
use opof_session::types::{ClosedRecord, Lif, Moment};

/// A sequence and the bytes of its record.
const PIECE: usize = 8 + RECORD;
const RECORDS: usize = 16;
const NOW: Moment = Moment(1_000_000_000_000);

fn config() -> EngineConfig {
    EngineConfig {
        max_sessions: 4,
        max_closed: 2 * RECORDS,
        stores_closed: true,
        max_next_hops: 1,
        tcp_timeout: Duration::from_secs(60),
        udp_timeout: Duration::from_secs(60),
        max_timeout: Duration::from_secs(3600),
        lifs: Lif::new(1).into_iter().collect(),
        hash_seed: 1,
    }
}

fn stored(data: &[u8]) -> Vec<(u64, [u8; RECORD])> {
    let pieces = data.chunks_exact(PIECE).take(RECORDS);
    let mut records: Vec<(u64, [u8; RECORD])> = pieces
        .filter_map(|piece| {
            let (sequence, record) = piece.split_at(8);
            Some((u64::from_le_bytes(sequence.try_into().ok()?), record.try_into().ok()?))
        })
        .collect();
    records.sort_unstable_by_key(|(sequence, _)| *sequence);
    records.dedup_by_key(|(sequence, _)| *sequence);
    records
}

fn ask(engine: &mut Engine, body: RequestBody) -> Option<ReplyBody> {
    engine.handle(NOW, Input::Request(Request { ticket: Ticket(1), body }));
    engine.poll_reply().map(|reply| reply.body)
}

fn collect(engine: &mut Engine) -> Vec<ClosedRecord> {
    let records = NonZeroU32::new(2 * RECORDS as u32).expect("not 0");
    let Some(ReplyBody::Collected { loan, records }) = ask(engine, RequestBody::Collect { records }) else {
        panic!("a collect is answered");
    };
    if let Some(loan) = loan {
        ask(engine, RequestBody::Settle { loan, delivered: records.len() as u32 });
    }
    records
}

fuzz_target!(|data: &[u8]| {
    let stored = stored(data);
    let disk: Disk = closed_log_of(&stored).expect("a disk without faults");
    let (records, last) = match closed_log(&disk) {
        Ok(found) => found,
        // A sequence that can't have been given.
        Err(StoreError::Damaged { .. }) => return,
        Err(error) => panic!("{error}"),
    };
    assert!(records.len() <= stored.len() && last == stored.last().map_or(0, |(sequence, _)| *sequence));
    let mut engine = Engine::new(&config(), Capabilities::forwarding(4));
    engine.restore_closed(records.iter().copied(), last);
    engine.end_adoption();
    let shown = collect(&mut engine);
    assert_eq!(shown, records);
    assert!(shown.is_sorted_by(|a, b| a.sequence < b.sequence));
    let clock = WallClock { moment: NOW, unix_nanos: 1_700_000_000_000_000_000 };
    for record in &shown {
        let _ = closed_response(record, &clock);
    }
    assert_eq!(std::iter::from_fn(|| engine.poll_ended()).count(), shown.len());
});
