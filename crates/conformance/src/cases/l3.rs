//! v1beta1: versions, next hops, NAT, VLAN flows. What takes away all of them is in `whole_table`.

use opof_api::v1::{
    ActionParameters, ActionType, MacRewrite, Nat, NextHopParameters, NextHopResponse, PerLinkActionParameters,
    RequestStatus, SessionRequest, SessionResponse, SessionState, VersionRequest, VlanFlowDef, VlanFlowListRequest,
};
use tonic::Code;

use super::table;
use crate::bench::{Answer, Bench, failed, ids, said};
use crate::case::{Check, Stop, holds, same, short};

table! {
    Required L3 "service-version" V1BETA1 service_version
        "getServiceVersion names the server and its version";
    Required L3 "next-hop-unknown" V1BETA1 unknown_next_hop
        "A session that names an unknown next hop is refused";
    Required L3 "next-hop-in-use" V1BETA1 in_use
        "A session may name a next hop that was set; setting it again leaves the session";
    Required L3 "next-hop-destroyed" V1BETA1 destroyed
        "Destroying a next hop closes the sessions that refer to it, and no other";
    Required L3 "next-hop-bad-mac" V1BETA1 bad_mac
        "A next hop without two MAC addresses of 6 bytes, or with number 0, is refused";
    Required L3 "nat-bad-fields" V1BETA1 bad_nat
        "A NAT port over 65535, or an IPv6 address that is not 16 bytes, is refused";
    Required L3 "vlan-flows" V1BETA1 vlan_flows
        "A VLAN flow is listed from its add to its remove";
    Required L3 "vlan-flow-bad-fields" V1BETA1 bad_vlan_flow
        "A VLAN flow of no VLAN, or to an interface that there is not, is refused";
}

const SOURCE: [u8; 6] = [0x02, 0, 0, 0, 0, 1];
const DESTINATION: [u8; 6] = [0x02, 0, 0, 0, 0, 2];

/// Numbers of next hops that nobody else is likely to use.
pub(super) const fn hop_id(n: u32) -> u32 {
    0x0070_0000 + n
}

fn hop(n: u32) -> NextHopParameters {
    let mac_rewrite = MacRewrite { src_mac: SOURCE.to_vec(), dst_mac: DESTINATION.to_vec() };
    NextHopParameters { next_hop_id: hop_id(n), mac_rewrite: Some(mac_rewrite), ip_version: 0 }
}

fn via(session: SessionRequest, link: PerLinkActionParameters) -> SessionRequest {
    let action = ActionParameters {
        action_type: ActionType::Forward.into(),
        action_params_out_lif: Some(link),
        ..ActionParameters::default()
    };
    SessionRequest { action: Some(action), ..session }
}

pub(super) fn through(session: SessionRequest, n: u32) -> SessionRequest {
    via(session, PerLinkActionParameters { next_hop_id: hop_id(n), ..PerLinkActionParameters::default() })
}

/// `Ok` when it was done; else what the server said.
fn done_hop(answer: &Answer<NextHopResponse>) -> Result<(), String> {
    match answer {
        Ok(response) if response.error_status == 0 => Ok(()),
        Ok(response) => Err(format!("errorStatus {}", response.error_status)),
        Err(status) => Err(said(status)),
    }
}

pub(super) fn done(answer: &Answer<SessionResponse>) -> Result<(), String> {
    match answer {
        Ok(response) if response.request_status == i32::from(RequestStatus::Accepted) => Ok(()),
        Ok(response) => Err(format!("requestStatus {}", response.request_status)),
        Err(status) => Err(said(status)),
    }
}

async fn try_set(bench: &Bench, hop: NextHopParameters) -> Result<Answer<NextHopResponse>, Stop> {
    let mut rpc = bench.rpc();
    Ok(bench.within("setNextHop", rpc.set_next_hop(hop)).await?.map(tonic::Response::into_inner))
}

/// Sets a next hop. A server without next hops may refuse.
pub(super) async fn set(bench: &Bench, n: u32) -> Check {
    let answer = try_set(bench, hop(n)).await?;
    match answer {
        Err(status) if matches!(status.code(), Code::Unimplemented | Code::FailedPrecondition) => {
            Err(Stop::not_applicable(format!("the server has no next hops: {}", said(&status))))
        }
        answer => done_hop(&answer).map_err(|seen| Stop::failed("setNextHop to be accepted", seen)),
    }
}

async fn destroy(bench: &Bench, n: u32) -> Check {
    let mut rpc = bench.rpc();
    let hop = NextHopParameters { next_hop_id: hop_id(n), ..NextHopParameters::default() };
    let answer = bench.within("destroyNextHop", rpc.destroy_next_hop(hop)).await?.map(tonic::Response::into_inner);
    done_hop(&answer).map_err(|seen| Stop::failed("destroyNextHop to be accepted", seen))
}

/// Adds a session through next hop `n`. A server whose fast path can't do that refuses it, which is right.
pub(super) async fn add_through(bench: &mut Bench, session: SessionRequest, n: u32) -> Check {
    let response = bench.add(vec![through(session, n)]).await?;
    match failed(&response).first() {
        None => Ok(()),
        Some((_, code)) => {
            let why = format!("the server refuses sessions through a next hop that is there (errorStatus {code})");
            Err(Stop::not_applicable(why))
        }
    }
}

async fn service_version(bench: &mut Bench) -> Check {
    let mut rpc = bench.rpc();
    let answer = bench.within("getServiceVersion", rpc.get_service_version(VersionRequest {})).await?;
    let version = answer.map_err(|status| Stop::failed("a version", said(&status)))?.into_inner();
    holds(
        !version.name.is_empty() && !version.version.is_empty(),
        || "a name and a version".to_owned(),
        || short(&version),
    )
}

async fn unknown_next_hop(bench: &mut Bench) -> Check {
    let inward = PerLinkActionParameters { next_hop_id: hop_id(98), ..PerLinkActionParameters::default() };
    let mut back = via(bench.session(2), PerLinkActionParameters::default());
    back.action.get_or_insert_default().action_params_in_lif = Some(inward);
    let sessions = vec![bench.session(0), through(bench.session(1), 99), back, bench.session(3)];
    bench.refused(sessions, &[bench.id(1), bench.id(2)]).await?;
    same("ids listed", &bench.list_ids().await?, &vec![bench.id(0), bench.id(3)])
}

async fn in_use(bench: &mut Bench) -> Check {
    set(bench, 1).await?;
    let used = add_through(bench, bench.session(0), 1).await;
    let result = match used {
        Ok(()) => {
            set(bench, 1).await?;
            bench.live(bench.id(0)).await.map(drop)
        }
        other => other,
    };
    destroy(bench, 1).await?;
    result
}

async fn destroyed(bench: &mut Bench) -> Check {
    set(bench, 2).await?;
    set(bench, 3).await?;
    let added = async {
        add_through(bench, bench.session(0), 2).await?;
        add_through(bench, bench.session(1), 3).await?;
        bench.accepted(bench.sessions(2..3)).await
    };
    let added = added.await;
    destroy(bench, 2).await?;
    let seen = match added {
        Ok(()) => closed_with_its_hop(bench).await,
        other => other,
    };
    destroy(bench, 3).await?;
    seen
}

/// Session 0 went with next hop 2; 1 and 2 stay.
async fn closed_with_its_hop(bench: &mut Bench) -> Check {
    let staying = vec![bench.id(1), bench.id(2)];
    let closed = bench.until(bench.deadline(), async |bench| Ok(bench.list_ids().await? == staying)).await?;
    if !closed {
        let listed = bench.list_ids().await?;
        return Err(Stop::failed(format!("ids listed without the next hop of one: {staying:?}"), short(&listed)));
    }
    tokio::time::sleep(crate::limits::SETTLE).await;
    let all = bench.collect_all().await?;
    let records = bench.own(all);
    same("ids closed", &ids(&records), &vec![bench.id(0)])?;
    same("sessionState", &records[0].session_state, &SessionState::Closed.into())?;
    bench.refused(vec![through(bench.session(4), 2)], &[bench.id(4)]).await
}

async fn bad_mac(bench: &mut Bench) -> Check {
    set(bench, 4).await?;
    destroy(bench, 4).await?;
    let with = |src_mac: &[u8], dst_mac: &[u8]| NextHopParameters {
        mac_rewrite: Some(MacRewrite { src_mac: src_mac.to_vec(), dst_mac: dst_mac.to_vec() }),
        ..hop(4)
    };
    let wrong = [
        ("a srcMac of 5 bytes", with(&SOURCE[..5], &DESTINATION)),
        ("a dstMac of 7 bytes", with(&SOURCE, &[&DESTINATION[..], &[3]].concat())),
        ("no macRewrite", NextHopParameters { mac_rewrite: None, ..hop(4) }),
        ("nextHopId 0", NextHopParameters { next_hop_id: 0, ..hop(4) }),
    ];
    for (what, hop) in wrong {
        let answer = try_set(bench, hop).await?;
        holds(done_hop(&answer).is_err(), || format!("setNextHop with {what} to be refused"), || short(&answer))?;
    }
    Ok(())
}

async fn bad_nat(bench: &mut Bench) -> Check {
    let v4 = Nat { ipv4: bench.ipv4([198, 51, 100, 1]), ..Nat::default() };
    let v6 = Nat { ip_version: 1, ipv6: vec![0x20; 15], ..Nat::default() };
    let snat = |nat: &Nat| PerLinkActionParameters { snat: Some(nat.clone()), ..PerLinkActionParameters::default() };
    let dnat = |nat: &Nat| PerLinkActionParameters { dnat: Some(nat.clone()), ..PerLinkActionParameters::default() };
    let port = Nat { port: 65_536, ..v4 };
    let sessions = vec![
        via(bench.session(0), snat(&port)),
        via(bench.session(1), dnat(&port)),
        via(crate::bench::ipv6(bench.session(2)), snat(&v6)),
        bench.session(3),
    ];
    let expected = [bench.id(0), bench.id(1), bench.id(2)];
    bench.refused(sessions, &expected).await
}

pub(super) async fn add_flow(bench: &Bench, vlan_id: u32, internal_lif: u32) -> Result<Answer<SessionResponse>, Stop> {
    let mut rpc = bench.rpc();
    let call = rpc.add_vlan_flow(VlanFlowDef { vlan_id, internal_lif });
    Ok(bench.within("addVlanFlow", call).await?.map(tonic::Response::into_inner))
}

/// VLANs and interfaces, in ascending VLAN.
pub(super) async fn flows(bench: &Bench) -> Result<Vec<(u32, u32)>, Stop> {
    let mut rpc = bench.rpc();
    let answer = bench.within("getVlanFlows", rpc.get_vlan_flows(VlanFlowListRequest {})).await?;
    let list = answer.map_err(|status| Stop::failed("a list of VLAN flows", said(&status)))?.into_inner();
    let mut flows: Vec<_> = list.flow_defs.iter().map(|flow| (flow.vlan_id, flow.internal_lif)).collect();
    flows.sort_unstable();
    Ok(flows)
}

async fn vlan_flows(bench: &mut Bench) -> Check {
    let before = flows(bench).await?;
    // Beside what is there already.
    let free: Vec<u32> = (3900..4000).filter(|vlan| before.iter().all(|(used, _)| used != vlan)).take(2).collect();
    let [one, two] = free.as_slice() else {
        return Err(Stop::not_applicable("the server has VLAN flows for all of 3900 to 3999"));
    };
    for (vlan, lif) in [(*two, 2), (*one, 1)] {
        let answer = add_flow(bench, vlan, lif).await?;
        done(&answer).map_err(|seen| Stop::failed("addVlanFlow to be accepted", seen))?;
    }
    let mut expected = before.clone();
    expected.extend([(*one, 1), (*two, 2)]);
    expected.sort_unstable();
    same("VLAN flows", &flows(bench).await?, &expected)?;
    for vlan_id in [*one, *two] {
        let mut rpc = bench.rpc();
        let call = rpc.remove_vlan_flow(VlanFlowDef { vlan_id, internal_lif: 0 });
        let answer = bench.within("removeVlanFlow", call).await?.map(tonic::Response::into_inner);
        done(&answer).map_err(|seen| Stop::failed("removeVlanFlow to be accepted", seen))?;
        expected.retain(|(vlan, _)| *vlan != vlan_id);
        same("VLAN flows behind a remove", &flows(bench).await?, &expected)?;
    }
    Ok(())
}

async fn bad_vlan_flow(bench: &mut Bench) -> Check {
    for (vlan, lif) in [(0, 1), (4095, 1), (5000, 1), (3999, 0xFFFE), (3999, 0)] {
        let answer = add_flow(bench, vlan, lif).await?;
        holds(
            done(&answer).is_err(),
            || format!("addVlanFlow with vlanId {vlan} and internalLif {lif} to be refused"),
            || short(&answer),
        )?;
    }
    Ok(())
}
