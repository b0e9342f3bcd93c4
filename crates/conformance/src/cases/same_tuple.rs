//! Two ids for one tuple.

use opof_api::v1::{ProtocolId, SessionRequest};

use super::table;
use crate::bench::{Bench, ids, ipv6};
use crate::case::{Check, same};

table! {
    Required SameTuple "same-tuple-reject" REJECT reject
        "Another id for a tuple in use already exists; the first is untouched";
    Required SameTuple "same-tuple-free-after-delete" REJECT free_after_delete
        "The tuple of a session that was deleted is free at once";
    Required SameTuple "same-tuple-every-field-counts" REJECT every_field_counts
        "Sessions that differ in one field of the tuple have different tuples";
    Advisory SameTuple "same-tuple-mirror-image" REJECT mirror_image
        "Both directions belong to one session: its mirror image has the same tuple";
    Required SameTuple "same-tuple-supersede" SUPERSEDE supersede
        "Another id for a tuple in use is accepted; the older stays listed";
    Required SameTuple "same-tuple-superseded-times-out" SUPERSEDE superseded_times_out
        "A superseded session closes by its own timeout; the newer stays";
    Required SameTuple "same-tuple-delete-either" SUPERSEDE delete_either
        "Deleting the newer leaves the older listed, and the other way round";
}

/// The tuple of the case's first session under the id of another.
fn twin(bench: &Bench, n: u64) -> SessionRequest {
    SessionRequest { session_id: bench.id(n), ..bench.session(0) }
}

async fn reject(bench: &mut Bench) -> Check {
    bench.accepted(vec![bench.session(0)]).await?;
    bench.refused(vec![twin(bench, 1), bench.session(2)], &[bench.id(1)]).await?;
    bench
        .refused(vec![bench.session(3), SessionRequest { session_id: bench.id(4), ..bench.session(3) }], &[bench.id(4)])
        .await?;
    same("ids listed", &bench.list_ids().await?, &vec![bench.id(0), bench.id(2), bench.id(3)])
}

async fn free_after_delete(bench: &mut Bench) -> Check {
    for n in 0..8 {
        bench.accepted(vec![twin(bench, n)]).await?;
        bench.deleted(bench.id(n)).await?;
    }
    Ok(())
}

async fn every_field_counts(bench: &mut Bench) -> Check {
    let first = bench.session(0);
    let (source, destination) = (bench.ipv4([198, 19, 0, 1]), bench.ipv4([203, 0, 113, 2]));
    let tcp = ProtocolId::Tcp.into();
    let mut all = vec![
        first.clone(),
        SessionRequest { source_ip: source, ..first.clone() },
        SessionRequest { destination_ip: destination, ..first.clone() },
        SessionRequest { source_port: first.source_port + 1, ..first.clone() },
        SessionRequest { destination_port: first.destination_port + 1, ..first.clone() },
        SessionRequest { protocol_id: tcp, ..first.clone() },
        ipv6(first.clone()),
        ipv6(SessionRequest { source_ip: source, ..first.clone() }),
        ipv6(SessionRequest { destination_ip: destination, ..first }),
    ];
    for (n, session) in (0..).zip(&mut all) {
        session.session_id = bench.id(n);
    }
    bench.accepted(all).await
}

async fn mirror_image(bench: &mut Bench) -> Check {
    let first = bench.session(0);
    let mirror = SessionRequest {
        session_id: bench.id(1),
        in_lif: first.out_lif,
        out_lif: first.in_lif,
        source_ip: first.destination_ip,
        source_port: first.destination_port,
        destination_ip: first.source_ip,
        destination_port: first.source_port,
        ..first.clone()
    };
    bench.accepted(vec![first]).await?;
    bench.refused(vec![mirror], &[bench.id(1)]).await
}

async fn supersede(bench: &mut Bench) -> Check {
    bench.accepted(vec![bench.session(0)]).await?;
    bench.accepted(vec![twin(bench, 1)]).await?;
    bench.accepted((2..10).map(|n| twin(bench, n)).collect()).await?;
    let expected: Vec<u64> = (0..10).map(|n| bench.id(n)).collect();
    same("ids listed", &bench.list_ids().await?, &expected)?;
    for id in expected {
        bench.live(id).await?;
    }
    Ok(())
}

async fn superseded_times_out(bench: &mut Bench) -> Check {
    bench.accepted(bench.short_lived(0..1, 1)).await?;
    bench.accepted(vec![twin(bench, 1)]).await?;
    let closing = std::time::Duration::from_secs(1) + crate::limits::CLOSING + crate::limits::SLACK;
    let older = bench.id(0);
    let closed = bench.until(closing, async |bench| Ok(bench.get(older).await?.is_none())).await?;
    same("the superseded session has closed by its timeout of 1 s", &closed, &true)?;
    bench.live(bench.id(1)).await?;
    tokio::time::sleep(crate::limits::SETTLE).await;
    let records = bench.collect_all().await?;
    same("ids closed", &ids(&bench.own(records)), &vec![older])
}

async fn delete_either(bench: &mut Bench) -> Check {
    bench.accepted((0..3).map(|n| twin(bench, n)).collect()).await?;
    bench.deleted(bench.id(2)).await?;
    same("ids listed with the newest deleted", &bench.list_ids().await?, &vec![bench.id(0), bench.id(1)])?;
    bench.deleted(bench.id(0)).await?;
    same("ids listed with the oldest deleted as well", &bench.list_ids().await?, &vec![bench.id(1)])?;
    bench.deleted(bench.id(1)).await.map(drop)
}
