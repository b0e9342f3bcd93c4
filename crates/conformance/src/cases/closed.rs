//! getClosedSessions: each closed session once, oldest first.

use std::collections::BTreeSet;
use std::time::Duration;

use opof_api::v1::SessionResponse;
use tokio::time::timeout;

use super::table;
use crate::bench::{Bench, following, ids, said};
use crate::case::{Check, Stop, holds, same, short};
use crate::limits;

table! {
    Required Closed "closed-each-once" ALWAYS each_once
        "A closed session is told once, and not again";
    Required Closed "closed-oldest-first" ALWAYS oldest_first
        "Closed sessions come in the order in which they closed";
    Required Closed "closed-page-size" ALWAYS page_size
        "pageSize n brings at most n; the others wait for the next call";
    Required Closed "closed-two-readers" ALWAYS two_readers
        "Two calls beside each other share the closed sessions: each goes to one of them";
    Required Closed "closed-stream-ends" ALWAYS stream_ends
        "The stream ends by itself once it has brought what there was";
    Required Closed "closed-id-is-free" ALWAYS id_is_free
        "The id of a session that closed can be added again, collected or not";
    Advisory Closed "closed-follow" ALWAYS follow
        "With the metadata opof-follow the stream stays open and brings sessions as they close";
}

async fn each_once(bench: &mut Bench) -> Check {
    let expected = bench.with_closed(5).await?;
    let seen = bench.collect_all().await?;
    let mut seen = bench.own_ids(&seen);
    seen.sort_unstable();
    same("ids closed", &seen, &expected)?;
    let again = bench.collect_all().await?;
    same("ids closed in the next call", &bench.own_ids(&again), &Vec::new())
}

async fn oldest_first(bench: &mut Bench) -> Check {
    // The larger the id, the earlier it closes.
    let later = bench.short_lived(0..2, 2);
    let earlier = bench.short_lived(2..4, 1);
    bench.accepted(later.into_iter().chain(earlier).collect()).await?;
    bench.until_none_is_listed(2).await?;
    let all = bench.collect_all().await?;
    let records = bench.own(all);
    same("records", &records.len(), &4)?;
    let position = |n| records.iter().position(|record| record.session_id == bench.id(n));
    let (late, early) = ([position(0), position(1)], [position(2), position(3)]);
    holds(
        early.iter().max() < late.iter().min(),
        || format!("sessions {} and {} first, which closed a second before the others", bench.id(2), bench.id(3)),
        || short(&ids(&records)),
    )?;
    let ends = |record: &SessionResponse| record.end_time.map(|time| (time.seconds, time.nanos));
    let seen: Vec<_> = records.iter().map(ends).collect();
    holds(seen.is_sorted(), || "records in the order of endTime".to_owned(), || short(&seen))
}

async fn page_size(bench: &mut Bench) -> Check {
    let expected = bench.with_closed(5).await?;
    let mut seen = Vec::new();
    for (asked, most) in [(2, 2), (2, 2), (2, 1)] {
        let records = bench.collect(asked).await?;
        same(&format!("records in a call with pageSize {asked}"), &records.len(), &most)?;
        seen.extend(ids(&records));
    }
    seen.sort_unstable();
    same("ids closed", &seen, &expected)?;
    let rest = bench.collect_all().await?;
    same("ids closed behind the last page", &bench.own_ids(&rest), &Vec::new())
}

async fn two_readers(bench: &mut Bench) -> Check {
    let expected = bench.with_closed(40).await?;
    let [mut one, mut two] = [bench.beside(), bench.beside()];
    let (one, two) = tokio::join!(one.collect_all(), two.collect_all());
    let mut seen: Vec<u64> = [one?, two?].iter().flat_map(|records| bench.own_ids(records)).collect();
    seen.sort_unstable();
    same("ids closed that either of two calls brought", &seen, &expected)
}

async fn stream_ends(bench: &mut Bench) -> Check {
    let expected = bench.with_closed(1).await?;
    // The call itself is bounded: without an end it fails.
    let closed = bench.try_collect(0).await?;
    same("ids closed", &bench.own_ids(&closed.records), &expected)?;
    closed.end.map_err(|status| Stop::failed("the stream to end with gRPC Ok", said(&status)))
}

async fn id_is_free(bench: &mut Bench) -> Check {
    bench.with_closed(1).await?;
    bench.accepted(bench.sessions(0..1)).await?;
    let records = bench.collect_all().await?;
    same("ids closed", &bench.own_ids(&records), &vec![bench.id(0)])?;
    bench.live(bench.id(0)).await.map(drop)
}

async fn follow(bench: &mut Bench) -> Check {
    bench.accepted(bench.short_lived(0..1, 1)).await?;
    let mut rpc = bench.rpc();
    let mut ids = BTreeSet::new();
    let longest = Duration::from_secs(1) + limits::CLOSING + limits::SLACK + limits::WATCH;
    // The headers may come with the first record only, so both count together.
    let first = timeout(longest, async {
        let mut stream = rpc.get_closed_sessions(following()).await?.into_inner();
        let first = stream.message().await?;
        Ok::<_, tonic::Status>((stream, first))
    });
    let (mut stream, first) = match first.await {
        Ok(Ok(opened)) => opened,
        Ok(Err(status)) => return Err(Stop::failed("a stream that stays open", said(&status))),
        Err(_) => return Err(Stop::failed(format!("a record within {} s", longest.as_secs_f64()), "none")),
    };
    let Some(first) = first else {
        return Err(Stop::failed("a stream that stays open", "it ends at once, as if opof-follow were not known"));
    };
    ids.insert(first.session_id);
    match timeout(limits::WATCH, stream.message()).await {
        Err(_) => {}
        Ok(Ok(Some(record))) => {
            ids.insert(record.session_id);
        }
        Ok(Ok(None)) => return Err(Stop::failed("a stream that stays open", "it ends behind the first record")),
        Ok(Err(status)) => return Err(Stop::failed("a stream that stays open", said(&status))),
    }
    holds(ids.contains(&bench.id(0)), || format!("session {}", bench.id(0)), || short(&ids))
}
