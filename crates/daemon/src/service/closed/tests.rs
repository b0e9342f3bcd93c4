//! The stream polled by hand, as the transport does it, and cut off at every place.

use std::collections::BTreeSet;

use opof_api::Profile;
use opof_session::request::SameTuple;
use tokio_stream::StreamExt;

use super::*;
use crate::driver::RunningDriver;
use crate::driver::tests::{close_some, start_sim};

struct Fixture {
    table: Table,
    _thread: RunningDriver,
}

async fn with_closed(count: u64) -> Fixture {
    with_profile(count, Profile::SPEC).await
}

async fn with_profile(count: u64, profile: Profile) -> Fixture {
    let (thread, driver) = start_sim();
    if count > 0 {
        close_some(&driver, count).await;
    }
    let table = Table::new(driver, Clock::new(), Lifecycle::default(), profile, SameTuple::Supersede, u32::MAX);
    Fixture { table, _thread: thread }
}

async fn ids(stream: ClosedStream) -> Vec<u64> {
    stream.map(|item| item.expect("a record").session_id).collect().await
}

async fn open(table: &Table, page_size: u32, follow: bool) -> Result<ClosedStream, Status> {
    let args = v1beta1::SessionRequestArgs { page_size, ..v1beta1::SessionRequestArgs::default() };
    let mut request = Request::new(args);
    request.metadata_mut().insert(FOLLOW, if follow { "true" } else { "false" }.parse().unwrap());
    ClosedStream::open(table, request).await
}

async fn waiting(table: &Table) -> u64 {
    table.driver.statistics().await.unwrap().closed_waiting
}

#[tokio::test]
async fn all_that_wait_each_once_then_the_end() {
    let fixture = with_closed(1000).await;
    let stream = open(&fixture.table, 0, false).await.unwrap();
    let ids = ids(stream).await;
    assert_eq!(ids.len(), 1000);
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 1000);
    let again = open(&fixture.table, 0, false).await.unwrap();
    assert_eq!(again.left, Some(0));
    assert!(self::ids(again).await.is_empty());
}

#[tokio::test]
async fn a_page_is_at_most_so_many() {
    let fixture = with_closed(100).await;
    let mut seen = BTreeSet::new();
    for expected in [70, 30, 0] {
        let page = ids(open(&fixture.table, 70, false).await.unwrap()).await;
        assert_eq!(page.len(), expected);
        seen.extend(page);
    }
    assert_eq!(seen.len(), 100);
}

#[tokio::test]
async fn a_stream_that_is_cut_off_keeps_what_was_not_written() {
    let flush = u64::from(limits::FLUSH_RECORDS);
    let cuts = [0, 1, flush - 1, flush, flush + 1, 3 * flush, 300];
    let cases: Vec<_> = cuts.map(|records| tokio::spawn(cut_off_after(records))).into();
    for case in cases {
        case.await.unwrap();
    }
}

/// Polls until `records` came, then drops the stream: only what was flushed before may be gone.
async fn cut_off_after(records: u64) {
    let fixture = with_closed(400).await;
    let mut stream = open(&fixture.table, 0, false).await.unwrap();
    let mut taken = Vec::new();
    while (taken.len() as u64) < records {
        taken.push(stream.next().await.unwrap().unwrap().session_id);
    }
    drop(stream);
    // A record counts as written when the stream is polled again after a flush; the last ones here never were.
    let written = records.saturating_sub(1) / u64::from(limits::FLUSH_RECORDS) * u64::from(limits::FLUSH_RECORDS);
    let mut rest = Vec::new();
    while waiting(&fixture.table).await > 0 {
        rest.extend(ids(open(&fixture.table, 0, false).await.unwrap()).await);
    }
    assert_eq!(rest.len() as u64 + written, 400, "after {records}");
    let written = usize::try_from(written).unwrap();
    let all: BTreeSet<_> = rest.iter().chain(&taken[..written]).collect();
    assert_eq!(all.len(), 400, "after {records}: none lost, none twice");
}

#[tokio::test]
async fn two_readers_never_get_the_same_record() {
    let fixture = with_closed(2000).await;
    let one = open(&fixture.table, 0, false).await.unwrap();
    let two = open(&fixture.table, 0, false).await.unwrap();
    let (one, two) = tokio::join!(tokio::spawn(ids(one)), tokio::spawn(ids(two)));
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_eq!(one.len() + two.len(), 2000);
    assert_eq!(one.iter().chain(&two).collect::<BTreeSet<_>>().len(), 2000);
}

#[tokio::test]
async fn a_stream_that_follows_gets_what_closes_later_and_ends_with_the_daemon() {
    let fixture = with_closed(0).await;
    let mut stream = open(&fixture.table, 0, true).await.unwrap();
    let nothing = tokio::time::timeout(std::time::Duration::from_millis(100), stream.next()).await;
    assert!(nothing.is_err(), "it stays open");
    close_some(&fixture.table.driver, 3).await;
    for _ in 0..3 {
        stream.next().await.unwrap().unwrap();
    }
    fixture.table.lifecycle.stop();
    assert!(stream.next().await.is_none());
    drop(stream);
    assert_eq!(waiting(&fixture.table).await, 0);
}

#[tokio::test]
async fn with_a_cap_nothing_is_dropped_and_with_nothing_there_the_call_says_so() {
    let fixture = with_profile(100, Profile::C_CLIENT).await;
    for (asked, expected) in [(0, 64), (90, 36)] {
        assert_eq!(ids(open(&fixture.table, asked, false).await.unwrap()).await.len(), expected);
    }
    let code = |stream: Result<ClosedStream, Status>| stream.err().map(|status| status.code());
    assert_eq!(code(open(&fixture.table, 0, false).await), Some(tonic::Code::NotFound));
    assert_eq!(code(open(&fixture.table, 0, true).await), None, "who follows waits");
}

#[tokio::test]
async fn what_another_reader_has_is_not_there() {
    let fixture = with_profile(10, Profile::C_CLIENT).await;
    let holder = open(&fixture.table, 0, false).await.unwrap();
    assert_eq!(open(&fixture.table, 0, false).await.err().map(|status| status.code()), Some(tonic::Code::NotFound));
    drop(holder);
    assert_eq!(ids(open(&fixture.table, 0, false).await.unwrap()).await.len(), 10);
}

#[test]
fn the_metadata_is_true_or_false() {
    let with = |value: Option<&'static str>| {
        let mut metadata = MetadataMap::new();
        if let Some(value) = value {
            metadata.insert(FOLLOW, value.parse().unwrap());
        }
        wants_to_follow(&metadata).map_err(|status| status.code())
    };
    assert_eq!(with(None), Ok(false));
    assert_eq!(with(Some("true")), Ok(true));
    assert_eq!(with(Some("false")), Ok(false));
    assert_eq!(with(Some("1")), Err(tonic::Code::InvalidArgument));
}
