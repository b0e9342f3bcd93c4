//! Interfaces and VLANs: one field for both in v1, v1.1 and v2, one each in v1beta1.
//!
//! How a server reads them shows over gRPC where it rejects a tuple that is in use: two sessions whose tuples are equal
//! only under the right reading.

use opof_api::v1::SessionRequest;

use super::table;
use crate::bench::{Bench, lifs, untagged};
use crate::case::Check;

table! {
    Required VlanLif "lif-zero-is-the-default-pair" ALWAYS default_pair
        "Interface 0 on both sides is accepted";
    Required VlanLif "lif-zero-is-1-and-2" REJECT zero_is_1_and_2
        "Interface 0 on both sides means 1 and 2";
    Required VlanLif "vlan-tagged-is-accepted" ALWAYS tagged
        "Sessions of a VLAN are accepted, rewritten to another one too";
    Required VlanLif "vlan-is-part-of-the-tuple" REJECT part_of_tuple
        "One tuple in two VLANs, and untagged, is three sessions";
    Required VlanLif "vlan-inside-alone-is-both" SHARED_LIFS inside_alone
        "A VLAN in inLif alone is accepted";
    Required VlanLif "vlan-inside-alone-is-the-same" REJECT inside_is_same
        "A VLAN in inLif and none in outLif means the same VLAN on both sides";
    Required VlanLif "vlan-outside-alone" SHARED_LIFS outside_alone
        "A VLAN in outLif alone is refused: a tag can be rewritten, not pushed";
    Required VlanLif "vlan-out-of-range" ALWAYS out_of_range
        "A VLAN identifier above 4094 is refused (IEEE 802.1Q)";
    Required VlanLif "vlan-one-sided" V1BETA1 one_sided
        "vlan_inLif and vlan_outLif are both zero or both not";
    Required VlanLif "vlan-not-in-lif" V1BETA1 not_in_lif
        "The upper 16 bits of inLif and outLif are not a VLAN in v1beta1";
}

/// The same session in these VLANs, as the dialect writes them.
pub(super) fn in_vlans(bench: &Bench, session: SessionRequest, inside: u16, outside: u16) -> SessionRequest {
    if bench.terms().dialect.has_links() {
        return SessionRequest { vlan_in_lif: inside.into(), vlan_out_lif: outside.into(), ..session };
    }
    lifs(session, inside.into(), outside.into())
}

/// The tuple of session `n` under another id.
fn twin(bench: &Bench, n: u64, id: u64) -> SessionRequest {
    SessionRequest { session_id: bench.id(id), ..bench.session(n) }
}

async fn default_pair(bench: &mut Bench) -> Check {
    bench.accepted(vec![untagged(bench.session(0), 0, 0)]).await?;
    bench.live(bench.id(0)).await.map(drop)
}

async fn zero_is_1_and_2(bench: &mut Bench) -> Check {
    bench.accepted(vec![untagged(bench.session(0), 0, 0)]).await?;
    bench.refused(vec![untagged(twin(bench, 0, 1), 1, 2)], &[bench.id(1)]).await
}

async fn tagged(bench: &mut Bench) -> Check {
    let vlans = [(100, 100), (1, 1), (4094, 4094), (100, 200), (200, 100)];
    let one = |(n, (inside, outside))| in_vlans(bench, bench.session(n), inside, outside);
    bench.accepted((0..).zip(vlans).map(one).collect()).await
}

async fn part_of_tuple(bench: &mut Bench) -> Check {
    let vlans = [(0, 0), (100, 100), (200, 200)];
    let one = |(n, (inside, outside))| in_vlans(bench, twin(bench, 0, n), inside, outside);
    bench.accepted((0..).zip(vlans).map(one).collect()).await?;
    let again = in_vlans(bench, twin(bench, 0, 3), 100, 100);
    bench.refused(vec![again], &[bench.id(3)]).await
}

async fn inside_alone(bench: &mut Bench) -> Check {
    bench.accepted(vec![lifs(bench.session(0), 100, 0)]).await
}

async fn inside_is_same(bench: &mut Bench) -> Check {
    if bench.terms().dialect.has_links() {
        return Err(crate::case::Stop::not_applicable("v1beta1 has a field for each side"));
    }
    bench.accepted(vec![lifs(bench.session(0), 100, 0)]).await?;
    bench.refused(vec![lifs(twin(bench, 0, 1), 100, 100)], &[bench.id(1)]).await?;
    // A server that had read "untagged" on the other side sees the answers of both there.
    bench.accepted(vec![lifs(twin(bench, 0, 2), 0, 0)]).await
}

async fn outside_alone(bench: &mut Bench) -> Check {
    bench.refused(vec![bench.session(0), lifs(bench.session(1), 0, 100)], &[bench.id(1)]).await
}

async fn out_of_range(bench: &mut Bench) -> Check {
    let vlans = [(4095, 4095), (100, 4095), (5000, 5000)];
    let one = |(n, (inside, outside))| in_vlans(bench, bench.session(n), inside, outside);
    let sessions: Vec<_> = (0..).zip(vlans).map(one).collect();
    let ids: Vec<u64> = sessions.iter().map(|session| session.session_id).collect();
    bench.refused(sessions, &ids).await
}

async fn one_sided(bench: &mut Bench) -> Check {
    let sessions = vec![in_vlans(bench, bench.session(0), 100, 0), in_vlans(bench, bench.session(1), 0, 100)];
    bench.refused(sessions, &[bench.id(0), bench.id(1)]).await
}

async fn not_in_lif(bench: &mut Bench) -> Check {
    let sessions = vec![lifs(bench.session(0), 100, 100), lifs(bench.session(1), 100, 0)];
    bench.refused(sessions, &[bench.id(0), bench.id(1)]).await
}
