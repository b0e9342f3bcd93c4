//! Calls that take away all that there is, the suite's or not.

use opof_api::v1::{NextHopParameters, ResetRequest, SessionState, VlanFlowListRequest};

use super::l3::{add_flow, add_through, done, flows, hop_id, set, through};
use super::table;
use crate::bench::{Bench, said};
use crate::case::{Check, Stop, same, short};

table! {
    Required WholeTable "clear-vlan-flows" V1BETA1 clear_vlan_flows
        "clearVlanFlows takes all VLAN flows away";
    Required WholeTable "clear-next-hops" V1BETA1 clear_next_hops
        "clearNextHops takes all next hops away, and closes the sessions that refer to one";
    Required WholeTable "reset-closes-all" V1BETA1 reset_closes_all
        "reset closes every session and reports each as closed";
}

async fn clear_vlan_flows(bench: &mut Bench) -> Check {
    for (vlan, lif) in [(3900, 1), (3901, 2)] {
        // One that is there already does as well.
        drop(add_flow(bench, vlan, lif).await?);
    }
    let mut rpc = bench.rpc();
    let answer = bench.within("clearVlanFlows", rpc.clear_vlan_flows(VlanFlowListRequest {})).await?;
    done(&answer.map(tonic::Response::into_inner))
        .map_err(|seen| Stop::failed("clearVlanFlows to be accepted", seen))?;
    same("VLAN flows", &flows(bench).await?, &Vec::new())
}

async fn clear_next_hops(bench: &mut Bench) -> Check {
    set(bench, 5).await?;
    bench.accepted(bench.sessions(0..1)).await?;
    let through_hop = add_through(bench, bench.session(1), 5).await;
    let mut rpc = bench.rpc();
    let all = NextHopParameters { next_hop_id: hop_id(6), ..NextHopParameters::default() };
    let answer = bench.within("clearNextHops", rpc.clear_next_hops(all)).await?;
    match answer {
        Ok(response) => same("errorStatus of clearNextHops", &response.get_ref().error_status, &0)?,
        Err(status) => return Err(Stop::failed("clearNextHops to be accepted", said(&status))),
    }
    bench.refused(vec![through(bench.session(2), 5)], &[bench.id(2)]).await?;
    through_hop?;
    let staying = [bench.id(0)];
    let closed = bench.until(bench.deadline(), async |bench| Ok(bench.list_ids().await? == staying)).await?;
    same("the session that referred to a next hop is gone, and no other", &closed, &true)
}

async fn reset_closes_all(bench: &mut Bench) -> Check {
    const SESSIONS: u64 = 100;
    bench.accepted(bench.sessions(0..SESSIONS)).await?;
    let mut rpc = bench.rpc();
    let answer = bench.within("reset", rpc.reset(ResetRequest {})).await?;
    done(&answer.map(tonic::Response::into_inner)).map_err(|seen| Stop::failed("reset to be accepted", seen))?;
    same("ids listed behind a reset", &bench.list_ids().await?, &Vec::new())?;
    let mut records = Vec::new();
    let expected: Vec<u64> = (0..SESSIONS).map(|n| bench.id(n)).collect();
    let complete = bench
        .until(bench.deadline(), async |bench| {
            let all = bench.collect_all().await?;
            records.extend(bench.own(all));
            Ok(records.len() >= expected.len())
        })
        .await?;
    if !complete {
        let expected = format!("{SESSIONS} sessions reported as closed behind a reset");
        return Err(Stop::failed(expected, records.len().to_string()));
    }
    let mut seen: Vec<u64> = records.iter().map(|record| record.session_id).collect();
    seen.sort_unstable();
    same("ids closed", &seen, &expected)?;
    if let Some(other) = records.iter().find(|record| record.session_state() != SessionState::Closed) {
        return Err(Stop::failed("records with sessionState _CLOSED", short(other)));
    }
    bench.accepted(bench.sessions(0..2)).await
}
