//! One id twice.

use opof_api::v1::SessionRequest;

use super::table;
use crate::bench::Bench;
use crate::case::{Check, same};

table! {
    Required SameId "same-id-already-exists" ALWAYS already_exists
        "A session that is sent again is refused, and there once";
    Required SameId "same-id-twice-in-a-stream" ALWAYS twice_in_a_stream
        "Of two messages with one id in one stream the first is accepted";
    Required SameId "same-id-first-is-untouched" ALWAYS first_is_untouched
        "The session that was there first keeps its start and its timeout";
    Required SameId "same-id-takes-no-tuple" REJECT takes_no_tuple
        "A session that is refused for its id takes no tuple, and the first keeps its own";
}

async fn already_exists(bench: &mut Bench) -> Check {
    bench.accepted(vec![bench.session(0)]).await?;
    for _ in 0..2 {
        bench.refused(vec![bench.session(0)], &[bench.id(0)]).await?;
    }
    bench.live(bench.id(0)).await?;
    same("ids listed", &bench.list_ids().await?, &vec![bench.id(0)])
}

async fn twice_in_a_stream(bench: &mut Bench) -> Check {
    let again = SessionRequest { session_id: bench.id(0), ..bench.session(1) };
    bench.refused(vec![bench.session(0), again, bench.session(2)], &[bench.id(0)]).await?;
    same("ids listed", &bench.list_ids().await?, &vec![bench.id(0), bench.id(2)])
}

async fn first_is_untouched(bench: &mut Bench) -> Check {
    bench.accepted(bench.short_lived(0..1, 1)).await?;
    let first = bench.live(bench.id(0)).await?;
    let other = SessionRequest { session_id: bench.id(0), ..bench.session(1) };
    bench.refused(vec![other], &[bench.id(0)]).await?;
    // Where the second is slow to be refused, the first may have closed by now.
    if let Some(second) = bench.get(bench.id(0)).await? {
        same("startTime of the session that was there first", &second.start_time, &first.start_time)?;
    }
    // The second message has a timeout of an hour.
    bench.until_none_is_listed(1).await
}

async fn takes_no_tuple(bench: &mut Bench) -> Check {
    bench.accepted(vec![bench.session(0)]).await?;
    let other_tuple = SessionRequest { session_id: bench.id(0), ..bench.session(1) };
    bench.refused(vec![other_tuple], &[bench.id(0)]).await?;
    bench.accepted(vec![bench.session(1)]).await?;
    let first_tuple = SessionRequest { session_id: bench.id(2), ..bench.session(0) };
    bench.refused(vec![first_tuple], &[bench.id(2)]).await
}
