//! Closed sessions as they close: pauses, devices that go away and come back, and errors that no retry mends.

use std::time::Duration;

use opof_client::{Client, ClientConfig, Error, Profile, SubscribeConfig, Subscription};
use tokio_stream::StreamExt;
use tonic::{Code, Status};

mod support;
use support::{Mock, timed_out};

const MS: Duration = Duration::from_millis(1);
/// More than any of these tests waits for.
const PATIENCE: Duration = Duration::from_secs(20);

fn quick() -> SubscribeConfig {
    SubscribeConfig::new().idle(MS, 10 * MS).retry(MS, 20 * MS)
}

async fn connected(config: SubscribeConfig) -> (Mock, Subscription) {
    let mock = Mock::start(None);
    let client = Client::connect(ClientConfig::new(mock.uri("http"))).await.expect("it listens");
    (mock, client.subscribe_closed(config))
}

async fn next(subscription: &mut Subscription) -> u64 {
    let next = tokio::time::timeout(PATIENCE, subscription.next()).await.expect("it comes");
    next.expect("no error that matters").id.0
}

/// Nothing comes for a while, and that is no error.
async fn silence(subscription: &mut Subscription) {
    tokio::time::timeout(100 * MS, subscription.next()).await.expect_err("nothing has closed");
}

/// Why nothing comes, as soon as there is a reason.
async fn trouble(subscription: &mut Subscription) -> Error {
    let trouble = async {
        loop {
            tokio::time::timeout(10 * MS, subscription.next()).await.expect_err("nothing has closed");
            if let Some(trouble) = subscription.trouble() {
                return trouble.clone();
            }
        }
    };
    tokio::time::timeout(PATIENCE, trouble).await.expect("it is noticed")
}

#[tokio::test]
async fn sessions_come_as_they_close() {
    for (follow, follows) in [(false, false), (true, false), (true, true)] {
        let (mock, mut subscription) = connected(quick().follow(follow)).await;
        mock.state().follows = follows;
        mock.state().closed.extend([3, 1].map(timed_out));
        assert_eq!([next(&mut subscription).await, next(&mut subscription).await], [3, 1]);
        silence(&mut subscription).await;
        mock.state().closed.push_back(timed_out(2));
        assert_eq!(next(&mut subscription).await, 2);
        // A stream that stays open needs one call; where the device does not keep it open, the client asks again.
        silence(&mut subscription).await;
        let calls = mock.state().collections;
        assert_eq!(calls == 1, follow && follows, "{calls} calls with follow {follow}, {follows}");
    }
}

#[tokio::test]
async fn nothing_is_asked_in_bounded_and_growing_intervals() {
    let (mock, mut subscription) = connected(SubscribeConfig::new().idle(10 * MS, 40 * MS)).await;
    tokio::time::timeout(500 * MS, subscription.next()).await.expect_err("nothing has closed");
    let calls = mock.state().collections;
    // Without growth 50 to 100; with the bound at least 12 (a busy machine may manage fewer, but not more).
    assert!((3..=28).contains(&calls), "{calls} calls");
}

#[tokio::test]
async fn a_full_batch_is_followed_by_the_next_at_once() {
    let (mock, mut subscription) =
        connected(SubscribeConfig::new().batch(10).idle(100 * PATIENCE, 100 * PATIENCE)).await;
    mock.state().closed.extend((0..35).map(timed_out));
    for id in 0..35 {
        assert_eq!(next(&mut subscription).await, id);
    }
    assert_eq!(mock.state().collections, 4);
    assert_eq!(mock.state().closed.len(), 0);
}

#[tokio::test]
async fn a_capped_device_is_asked_for_no_more_than_its_cap() {
    let mock = Mock::start(None);
    mock.state().profile = Profile::C_CLIENT;
    let config = ClientConfig::new(mock.uri("http")).profile(Profile::C_CLIENT);
    let mut subscription = Client::connect(config).await.expect("it listens").subscribe_closed(quick());
    silence(&mut subscription).await;
    assert!(subscription.trouble().is_none(), "NOT_FOUND says that nothing waits");
    mock.state().closed.extend((0..100).map(timed_out));
    assert_eq!(next(&mut subscription).await, 0);
    assert_eq!(mock.state().closed.len(), 36, "64 of 100 were asked for");
}

#[tokio::test]
async fn a_device_that_goes_away_and_comes_back_is_found_again() {
    for follow in [false, true] {
        let (mut mock, mut subscription) = connected(quick().follow(follow)).await;
        mock.state().follows = true;
        mock.state().closed.push_back(timed_out(1));
        assert_eq!(next(&mut subscription).await, 1);
        mock.stop();
        mock.state().closed.push_back(timed_out(2));
        let trouble = trouble(&mut subscription).await;
        assert!(trouble.is_retryable() && trouble.is_unreachable(), "{trouble:?}");
        mock.restart();
        assert_eq!(next(&mut subscription).await, 2);
        assert_eq!(subscription.trouble(), None);
    }
}

#[tokio::test]
async fn it_may_begin_before_the_device_is_there() {
    let mut mock = Mock::start(None);
    mock.stop();
    let client = Client::connect_lazy(&ClientConfig::new(mock.uri("http"))).expect("a good address");
    let mut subscription = client.subscribe_closed(quick());
    trouble(&mut subscription).await;
    mock.state().closed.push_back(timed_out(1));
    mock.restart();
    assert_eq!(next(&mut subscription).await, 1);
}

#[tokio::test]
async fn what_came_before_a_stream_broke_is_told() {
    let (mock, mut subscription) = connected(quick().batch(4)).await;
    mock.state().closed.extend((0..8).map(timed_out));
    mock.state().breaks_after = Some(2);
    assert_eq!([next(&mut subscription).await, next(&mut subscription).await], [0, 1]);
    // The device had written the other two of that call: nobody has them any more. The next four wait still.
    assert_eq!([next(&mut subscription).await, next(&mut subscription).await], [4, 5]);
}

#[tokio::test]
async fn a_reader_that_does_not_read_is_not_sent_much() {
    let (mock, mut subscription) = connected(quick().follow(true)).await;
    mock.state().follows = true;
    mock.state().closed.extend((0..20_000).map(timed_out));
    assert_eq!(next(&mut subscription).await, 0);
    let mut left = 20_000;
    // The device goes on until the window is full.
    while mock.state().closed.len() < left {
        left = mock.state().closed.len();
        tokio::time::sleep(100 * MS).await;
    }
    assert!((17_000..20_000).contains(&left), "{} of 20000 records are under way", 20_000 - left);
}

#[tokio::test]
async fn errors_that_a_retry_mends_are_waited_out() {
    let codes = [Code::Unavailable, Code::ResourceExhausted, Code::Internal, Code::Unknown, Code::DeadlineExceeded];
    for code in codes {
        let (mock, mut subscription) = connected(quick()).await;
        mock.state().closed.push_back(timed_out(1));
        mock.state().fails = Some(Status::new(code, "later"));
        while mock.state().collections < 3 {
            trouble(&mut subscription).await;
        }
        mock.state().fails = None;
        assert_eq!(next(&mut subscription).await, 1);
    }
}

#[tokio::test]
async fn errors_that_no_retry_mends_come_out() {
    let codes = [Code::Unauthenticated, Code::PermissionDenied, Code::Unimplemented, Code::InvalidArgument];
    for code in codes {
        let (mock, mut subscription) = connected(quick()).await;
        mock.state().fails = Some(Status::new(code, "never"));
        let error = tokio::time::timeout(PATIENCE, subscription.next()).await.expect("at once").expect_err("it fails");
        let typed = match code {
            Code::Unauthenticated => matches!(error, Error::Unauthenticated { .. }),
            Code::PermissionDenied => matches!(error, Error::PermissionDenied { .. }),
            Code::Unimplemented => matches!(error, Error::Unimplemented { .. }),
            _ => matches!(error, Error::Refused { code: "INVALID_ARGUMENT", .. }),
        };
        assert!(typed, "{error:?}");
        assert_eq!(mock.state().collections, 1);
        // Who asks again may have been given the permission meanwhile.
        mock.state().fails = None;
        mock.state().closed.push_back(timed_out(1));
        assert_eq!(next(&mut subscription).await, 1);
    }
}

#[tokio::test]
async fn as_a_stream_it_ends_after_such_an_error() {
    let (mock, subscription) = connected(quick()).await;
    mock.state().closed.extend([timed_out(1), timed_out(2)]);
    let mut stream = std::pin::pin!(subscription);
    assert_eq!(StreamExt::next(&mut stream).await.expect("no end").expect("it closed").id.0, 1);
    assert_eq!(StreamExt::next(&mut stream).await.expect("no end").expect("it closed").id.0, 2);
    mock.state().fails = Some(Status::permission_denied("no more"));
    assert!(matches!(StreamExt::next(&mut stream).await, Some(Err(Error::PermissionDenied { .. }))));
    assert_eq!(StreamExt::next(&mut stream).await, None);
}

#[tokio::test]
async fn a_stream_that_stays_open_unasked_is_given_up() {
    let mock = Mock::start(None);
    let config = ClientConfig::new(mock.uri("http")).deadline(500 * MS);
    let mut subscription = Client::connect(config).await.expect("it listens").subscribe_closed(quick());
    mock.state().hangs = true;
    mock.state().closed.push_back(timed_out(1));
    assert_eq!(next(&mut subscription).await, 1);
    let trouble = trouble(&mut subscription).await;
    assert!(matches!(trouble, Error::Deadline { .. }), "{trouble:?}");
    mock.state().hangs = false;
    mock.state().closed.push_back(timed_out(2));
    assert_eq!(next(&mut subscription).await, 2);
}

#[tokio::test]
async fn a_device_that_stalls_is_given_up_and_asked_again() {
    let mock = Mock::start(None);
    let config = ClientConfig::new(mock.uri("http")).deadline(500 * MS);
    let mut subscription = Client::connect(config).await.expect("it listens").subscribe_closed(quick());
    mock.state().stalls = true;
    let trouble = trouble(&mut subscription).await;
    assert!(matches!(trouble, Error::Deadline { .. }), "{trouble:?}");
    mock.state().stalls = false;
    tokio::time::sleep(50 * MS).await;
    mock.state().closed.push_back(timed_out(1));
    assert_eq!(next(&mut subscription).await, 1);
}

#[tokio::test]
async fn what_the_reader_does_between_two_records_is_not_the_device_s_delay() {
    let mock = Mock::start(None);
    let config = ClientConfig::new(mock.uri("http")).deadline(2_000 * MS);
    let mut subscription = Client::connect(config).await.expect("it listens").subscribe_closed(quick());
    mock.state().pause = 2_500 * MS;
    mock.state().closed.extend([1, 2].map(timed_out));
    assert_eq!(next(&mut subscription).await, 1);
    tokio::time::sleep(2_200 * MS).await;
    assert_eq!(next(&mut subscription).await, 2);
    assert_eq!(mock.state().collections, 1);
}

#[tokio::test]
async fn a_device_that_opens_streams_and_breaks_them_is_asked_less_and_less() {
    let (mock, mut subscription) = connected(quick().follow(true).retry(10 * MS, PATIENCE)).await;
    mock.state().follows = true;
    mock.state().breaks_soon = true;
    trouble(&mut subscription).await;
    tokio::time::timeout(500 * MS, subscription.next()).await.expect_err("nothing has closed");
    let calls = mock.state().collections;
    // Pauses of 5 to 10 ms, then 10 to 20 and so on; without growth it would be more than 30.
    assert!((2..=10).contains(&calls), "{calls} calls");
    mock.state().breaks_soon = false;
    mock.state().closed.push_back(timed_out(1));
    assert_eq!(next(&mut subscription).await, 1);
    assert_eq!(subscription.trouble(), None);
}
