//! One table, four dialects, three profiles.

use opof_api::profile::{AddErrors, Ipv4Order, ListCursor};
use opof_api::{Dialect, Profile, Rpc, metadata, session_request, session_spec, v1_1, v1beta1};
use opof_dataplane::pipeline::{Outcome, Port};
use opof_session::types::{Lif, SessionId};
use opof_testkit::packet::{Gtpu, Packet};
use tonic::Code;

use crate::common::{Fixture, session, start, start_with, until};

impl Fixture {
    async fn rpc(&self, dialect: Dialect) -> Rpc {
        Rpc::new(self.channel().await, dialect)
    }

    async fn flow_of(&self, id: u64) -> String {
        self.daemon.driver().get(SessionId(id)).await.unwrap().unwrap().spec.flow.to_string()
    }
}

fn id(session_id: u64) -> v1beta1::SessionId {
    v1beta1::SessionId { session_id }
}

/// `session(id)` as a dialect and a profile write it.
fn written(id: u64, dialect: Dialect, profile: &Profile) -> v1beta1::SessionRequest {
    let spec = session_spec(&session(id), Dialect::V1, &Profile::SPEC).unwrap();
    session_request(&spec, dialect, profile).unwrap()
}

async fn add(client: &mut Rpc, sessions: Vec<v1beta1::SessionRequest>) -> v1beta1::AddSessionResponse {
    client.add_session(tokio_stream::iter(sessions)).await.unwrap().into_inner()
}

async fn closed(client: &mut Rpc, page_size: u32) -> Result<Vec<u64>, Code> {
    let args = v1beta1::SessionRequestArgs { page_size, ..Default::default() };
    let mut stream = client.get_closed_sessions(args).await.map_err(|status| status.code())?.into_inner();
    let mut ids = Vec::new();
    while let Some(record) = stream.message().await.unwrap() {
        ids.push(record.session_id);
    }
    Ok(ids)
}

async fn page(client: &mut Rpc, page_size: u32, page: u32, start_session: u64) -> (Vec<u64>, u64) {
    let args = v1beta1::SessionRequestArgs { page_size, page, start_session };
    let answer = client.get_all_sessions(args).await.unwrap().into_inner();
    (answer.session_info.iter().map(|session| session.session_id).collect(), answer.nextkey)
}

#[tokio::test]
async fn a_session_of_one_dialect_is_seen_counted_closed_and_deleted_through_the_others() {
    let fixture = start().await;
    let mut number = 0_u8;
    for by in Dialect::ALL {
        for through in Dialect::ALL {
            number += 2;
            let (kept, timed) = (u64::from(number), u64::from(number) + 1);
            let (mut one, mut other) = (fixture.rpc(by).await, fixture.rpc(through).await);
            let brief = v1beta1::SessionRequest { cache_timeout: 1, ..written(timed, by, &Profile::SPEC) };
            let added = add(&mut one, vec![written(kept, by, &Profile::SPEC), brief]).await;
            assert_eq!(added.response_error, [], "{by} {through}");

            let frame = Packet::new().ipv4([10, 0, 0, number], [192, 0, 2, 1]).udp(1000, 53).payload(b"x").build();
            let ports = fixture.daemon.sim_ports().unwrap();
            let lif = |id| Lif::new(id).unwrap();
            let out = ports.receive(fixture.daemon.clock().now(), Port::wire(lif(1)), &frame);
            let expected = Port::wire(lif(2));
            assert!(matches!(out, Outcome::Out { port, .. } if port == expected), "{by} {through}: {out:?}");

            let got = other.get_session(id(kept)).await.unwrap().into_inner();
            assert_eq!((got.in_packets, got.in_bytes), (1, frame.len() as u64), "{by} {through}");
            assert_eq!(page(&mut other, 0, 0, kept).await.0[0], kept, "{by} {through}");
            until("it closes", async || closed(&mut other, 0).await == Ok(vec![timed])).await;
            let gone = other.delete_session(id(kept)).await.unwrap().into_inner();
            assert_eq!((gone.in_packets, gone.session_state()), (1, v1beta1::SessionState::Closed), "{by} {through}");
            assert_eq!(one.get_session(id(kept)).await.unwrap().into_inner().request_status, 2, "{by} {through}");
        }
    }
}

#[tokio::test]
async fn a_session_within_gtpu_is_forwarded_and_its_twin_outside_is_another() {
    let fixture = start().await;
    for dialect in [Dialect::V1_1, Dialect::V1Beta1] {
        let mut client = fixture.rpc(dialect).await;
        let plain = written(7, dialect, &Profile::SPEC);
        let tunnelled = v1beta1::SessionRequest {
            session_id: 8,
            encap_type: v1beta1::TunnelType::Gtpu.into(),
            ..written(7, dialect, &Profile::SPEC)
        };
        assert_eq!(add(&mut client, vec![tunnelled]).await.response_error, [], "{dialect}");
        assert_eq!(fixture.flow_of(8).await, "udp 10.0.0.7:1000 > 192.0.2.1:53 in gtp-u");

        let inside = |packet: Packet| packet.ipv4([10, 0, 0, 7], [192, 0, 2, 1]).udp(1000, 53).payload(b"x").build();
        let outcome = |frame: &[u8]| {
            let port = Port::wire(Lif::new(1).unwrap());
            let out = fixture.daemon.sim_ports().unwrap().receive(fixture.daemon.clock().now(), port, frame);
            let Outcome::Out { port, .. } = out else { panic!("dropped") };
            port
        };
        let [forwarded, slow] = [Port::wire(Lif::new(2).unwrap()), Port::firewall(Lif::new(1).unwrap())];
        let (in_gtpu, outside) = (inside(Packet::new().gtpu4(Gtpu::default())), inside(Packet::new()));
        assert_eq!([outcome(&in_gtpu), outcome(&outside)], [forwarded, slow], "{dialect}");
        let end_marker = inside(Packet::new().gtpu4(Gtpu::default().message(254)));
        assert_eq!(outcome(&end_marker), slow, "{dialect}");

        assert_eq!(add(&mut client, vec![plain]).await.response_error, [], "{dialect}");
        assert_eq!(outcome(&outside), forwarded, "{dialect}");
        for (number, frame) in [(7, &outside), (8, &in_gtpu)] {
            let gone = client.delete_session(id(number)).await.unwrap().into_inner();
            assert_eq!((gone.in_packets, gone.in_bytes), (1, frame.len() as u64), "{dialect}, session {number}");
        }
    }
}

#[tokio::test]
async fn one_session_in_both_byte_orders_has_one_flow_key() {
    let mut flows = Vec::new();
    for order in ["inet_pton", "host"] {
        let fixture = start_with(&[], &format!("ipv4_order={order}")).await;
        let profile = Profile {
            ipv4_order: if order == "host" { Ipv4Order::Host } else { Ipv4Order::InetPton },
            ..Profile::SPEC
        };
        for dialect in Dialect::ALL {
            let mut client = fixture.rpc(dialect).await;
            let request = written(7, dialect, &profile);
            let number = if order == "host" { 0x0A00_0007 } else { 0x0700_000A };
            assert_eq!(request.source_ip, number);
            assert_eq!(add(&mut client, vec![request]).await.response_error, []);
            flows.push(fixture.flow_of(7).await);
            client.delete_session(id(7)).await.unwrap();
        }
    }
    flows.dedup();
    assert_eq!(flows, ["udp 10.0.0.7:1000 > 192.0.2.1:53"]);
}

#[tokio::test]
async fn deployed_clients_get_codes_caps_and_cursors_as_they_know_them() {
    let fixture = start_with(&[], "profile=c-client").await;
    for dialect in Dialect::ALL {
        let mut client = fixture.rpc(dialect).await;
        let all = (0..100).map(|id| written(id, dialect, &Profile::C_CLIENT)).collect();
        assert_eq!(add(&mut client, all).await.response_error, []);

        let wrong = v1beta1::SessionRequest { source_port: 70_000, ..written(200, dialect, &Profile::C_CLIENT) };
        let again = written(5, dialect, &Profile::C_CLIENT);
        let refused = add(&mut client, vec![again, wrong]).await;
        let codes: Vec<_> = refused.response_error.iter().map(|error| (error.session_id, error.error_status)).collect();
        assert_eq!((refused.request_status, refused.error_status, codes), (0, 0, vec![(5, 6), (200, 3)]));

        let again = (0..65).map(|id| written(id, dialect, &Profile::C_CLIENT));
        let status = client.add_session(tokio_stream::iter(again.collect::<Vec<_>>())).await.unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted, "more than 64 errors");

        let start = ListCursor::START;
        assert_eq!(page(&mut client, 0, 0, start).await, ((0..64).collect(), 63));
        assert_eq!(page(&mut client, 100, 0, 63).await, ((64..100).collect(), 99));
        assert!(page(&mut client, 100, 0, 99).await.0.is_empty());
        assert_eq!(
            page(&mut client, 90, 2, start).await.0,
            (64..100).collect::<Vec<_>>(),
            "no page loses what the cap cuts"
        );
        assert_eq!(page(&mut client, 10, 0, 0).await.0, (1..11).collect::<Vec<_>>(), "0 is an id");

        let unknown = client.get_session(id(999)).await.unwrap_err();
        assert_eq!((unknown.code(), unknown.message()), (Code::NotFound, "sessionId: session 999 does not exist"));
        assert_eq!(client.delete_session(id(999)).await.unwrap_err().code(), Code::NotFound);
        assert_eq!(closed(&mut client, 0).await, Err(Code::NotFound));
        for number in 0..100 {
            client.delete_session(id(number)).await.unwrap();
        }
        assert_eq!(closed(&mut client, 0).await, Err(Code::NotFound), "what was deleted is not reported");
    }
}

#[tokio::test]
async fn bluefield_reports_what_was_deleted_and_answers_without_counters() {
    let fixture = start_with(&[], "profile=bluefield").await;
    let mut client = fixture.rpc(Dialect::V1Beta1).await;
    add(&mut client, vec![written(7, Dialect::V1Beta1, &Profile::BLUEFIELD)]).await;
    assert_eq!(fixture.flow_of(7).await, "udp 10.0.0.7:1000 > 192.0.2.1:53");
    let frame = Packet::new().ipv4([10, 0, 0, 7], [192, 0, 2, 1]).udp(1000, 53).build();
    let port = Port::wire(Lif::new(1).unwrap());
    fixture.daemon.sim_ports().unwrap().receive(fixture.daemon.clock().now(), port, &frame);
    let gone = client.delete_session(id(7)).await.unwrap().into_inner();
    assert_eq!((gone.in_packets, gone.session_state()), (0, v1beta1::SessionState::Closed));
    let mut stream = client.get_closed_sessions(v1beta1::SessionRequestArgs::default()).await.unwrap().into_inner();
    let record = stream.message().await.unwrap().unwrap();
    assert_eq!((record.session_id, record.in_packets, record.in_bytes), (7, 1, frame.len() as u64));
    assert_eq!(record.session_close_code(), v1beta1::SessionCloseCode::NotClosed);
    assert!(stream.message().await.unwrap().is_none());
}

#[tokio::test]
async fn a_refused_session_is_explained_beside_the_codes() {
    let fixture = start().await;
    let mut client = fixture.rpc(Dialect::V2).await;
    let wrong = (0..20).map(|id| v1beta1::SessionRequest { source_port: 70_000 + id, ..session(id.into()) });
    let response = client.add_session(tokio_stream::iter(wrong.collect::<Vec<_>>())).await.unwrap();
    let told: Vec<_> =
        response.metadata().get_all(metadata::REFUSED).iter().map(|text| text.to_str().unwrap().to_owned()).collect();
    assert_eq!(told.len(), 8, "a few, for clients take only so much metadata");
    assert_eq!(told[1], "session 1: source_port: 70001, the largest port is 65535", "by the dialect's own names");
    let mut client = fixture.rpc(Dialect::V1).await;
    let elsewhere = v1beta1::SessionRequest { in_lif: 1, out_lif: 9, ..session(1) };
    let response = client.add_session(tokio_stream::iter([elsewhere])).await.unwrap();
    let told = response.metadata().get(metadata::REFUSED).unwrap().to_str().unwrap();
    assert_eq!(told, "session 1: outLif: no logical interface 9");
}

#[tokio::test]
async fn a_session_goes_by_a_next_hop_and_closes_with_it() {
    let fixture = start().await;
    let mut client = fixture.rpc(Dialect::V1Beta1).await;
    let mac = |last| vec![2, 0, 0, 0, 0, last];
    let hop = v1beta1::NextHopParameters {
        next_hop_id: 7,
        mac_rewrite: Some(v1beta1::MacRewrite { src_mac: mac(1), dst_mac: mac(2) }),
        ip_version: 0,
    };
    let answer = client.set_next_hop(hop.clone()).await.unwrap().into_inner();
    assert_eq!((answer.next_hop_id, answer.error_status), (7, 0));
    let link = v1beta1::PerLinkActionParameters { next_hop_id: 7, ..Default::default() };
    let action = v1beta1::ActionParameters { action_type: 1, action_params_out_lif: Some(link), ..Default::default() };
    let routed = v1beta1::SessionRequest { action: Some(action), ..session(1) };
    let response = client.add_session(tokio_stream::iter([routed])).await.unwrap();
    assert_eq!(response.into_inner().response_error, []);
    let other = v1beta1::NextHopParameters { ip_version: 1, ..hop.clone() };
    let response = client.set_next_hop(other).await.unwrap();
    let told = response.metadata().get(metadata::REFUSED).unwrap().to_str().unwrap();
    assert_eq!(told, "next hop 7: ipVersion: next hop 7 is in use by IPv4 sessions");

    let short = v1beta1::NextHopParameters {
        mac_rewrite: Some(v1beta1::MacRewrite { src_mac: vec![1], dst_mac: mac(2) }),
        ..hop.clone()
    };
    let response = client.set_next_hop(short).await.unwrap();
    let told = response.metadata().get(metadata::REFUSED).unwrap().to_str().unwrap();
    assert_eq!(told, "next hop 7: macRewrite.srcMac: 1 bytes, a MAC address has 6");
    assert_eq!(response.into_inner().error_status, 1);
    assert_eq!(client.destroy_next_hop(hop.clone()).await.unwrap().into_inner().error_status, 0);
    let mut closed = client.get_closed_sessions(v1beta1::SessionRequestArgs::default()).await.unwrap().into_inner();
    let record = closed.message().await.unwrap().expect("the session that went with it");
    assert_eq!((record.session_id, record.session_close_code().as_str_name()), (1, "_UNKNOWN_CLOSE_CODE"));
    assert_eq!(client.destroy_next_hop(hop.clone()).await.unwrap().into_inner().error_status, 1, "it is gone");
    assert_eq!(client.clear_next_hops(hop).await.unwrap().into_inner().error_status, 0);
}

#[tokio::test]
async fn vlan_flows_are_stored_listed_and_forgotten() {
    let fixture = start().await;
    let mut client = fixture.rpc(Dialect::V1Beta1).await;
    let flow = |vlan_id, internal_lif| v1beta1::VlanFlowDef { vlan_id, internal_lif };
    let mut added = Vec::new();
    for flow in [flow(200, 2), flow(100, 1), flow(100, 2), flow(0, 1), flow(5, 9)] {
        added.push(client.add_vlan_flow(flow).await.unwrap().into_inner().request_status().as_str_name());
    }
    let expected = ["_ACCEPTED", "_ACCEPTED", "_REJECTED_SESSION_ALREADY_EXISTS", "_REJECTED", "_REJECTED"];
    assert_eq!(added, expected);
    let list = async |client: &mut Rpc| {
        client.get_vlan_flows(v1beta1::VlanFlowListRequest {}).await.unwrap().into_inner().flow_defs
    };
    assert_eq!(list(&mut client).await, [flow(100, 1), flow(200, 2)]);
    let removed = client.remove_vlan_flow(flow(100, 0)).await.unwrap().into_inner();
    assert_eq!(removed.request_status, 0);
    let removed = client.remove_vlan_flow(flow(100, 0)).await.unwrap().into_inner();
    assert_eq!(removed.request_status(), v1beta1::RequestStatus::RejectedSessionNonexistent);
    client.clear_vlan_flows(v1beta1::VlanFlowListRequest {}).await.unwrap();
    assert_eq!(list(&mut client).await, []);
}

#[tokio::test]
async fn a_vlan_rewrite_by_link_is_forwarded_as_it_says() {
    let fixture = start().await;
    let mut client = fixture.rpc(Dialect::V1Beta1).await;
    let link = |vlan| Some(v1beta1::PerLinkActionParameters { vlan, ..Default::default() });
    let action = v1beta1::ActionParameters {
        action_type: 1,
        action_params_in_lif: link(100),
        action_params_out_lif: link(300),
        ..Default::default()
    };
    let session = v1beta1::SessionRequest { action: Some(action), vlan_in_lif: 100, vlan_out_lif: 200, ..session(7) };
    assert_eq!(add(&mut client, vec![session]).await.response_error, []);
    let frame = |vlan| Packet::new().vlan(vlan).ipv4([10, 0, 0, 7], [192, 0, 2, 1]).udp(1000, 53).build();
    let port = Port::wire(Lif::new(1).unwrap());
    let out = fixture.daemon.sim_ports().unwrap().receive(fixture.daemon.clock().now(), port, &frame(100));
    let Outcome::Out { frame: sent, port, .. } = out else { panic!("{out:?}") };
    assert_eq!((port, sent), (Port::wire(Lif::new(2).unwrap()), frame(300)));
}

#[tokio::test]
async fn reset_closes_everything_and_reports_it() {
    let fixture = start().await;
    let mut client = fixture.rpc(Dialect::V1Beta1).await;
    add(&mut client, (0..5000).map(session).collect()).await;
    let answer = client.reset(v1beta1::ResetRequest {}).await.unwrap().into_inner();
    assert_eq!(answer.request_status, 0);
    assert_eq!(page(&mut client, 0, 0, 0).await, (vec![], 0));
    let mut ids = closed(&mut client, 0).await.unwrap();
    ids.sort_unstable();
    assert!(ids.iter().copied().eq(0..5000));
}

#[tokio::test]
async fn the_version_of_the_service() {
    let fixture = start().await;
    let version = fixture.rpc(Dialect::V1Beta1).await.get_service_version(v1beta1::VersionRequest {}).await;
    let version = version.unwrap().into_inner();
    assert_eq!((version.name.as_str(), version.version.as_str()), ("opofd", env!("CARGO_PKG_VERSION")));
}

#[tokio::test]
async fn a_shutdown_takes_no_sessions_waits_for_the_closed_ones_and_ends_in_time() {
    use opof_daemon::Notice;
    let mut fixture = start_with(&[], "shutdown=true").await;
    let mut client = fixture.rpc(Dialect::V1_1).await;
    add(&mut client, vec![v1beta1::SessionRequest { cache_timeout: 1, ..session(1) }]).await;
    until("it closes", async || fixture.daemon.driver().statistics().await.unwrap().closed_waiting == 1).await;
    let answer = client.shutdown_server(v1_1::ShutdownRequest { deadline: 5 }).await.unwrap().into_inner();
    assert_eq!(answer.error_status, 0);
    let Notice::ShutdownAsked(within) = fixture.daemon.notice().await else { panic!("a shutdown") };
    assert_eq!(within.as_secs(), 5);
    let ended = tokio::spawn(async move {
        fixture.daemon.drained(within).await;
        fixture.daemon.stop().await
    });
    let refused = add(&mut client, vec![session(2)]).await;
    assert_eq!(refused.request_status(), v1beta1::AddSessionStatus::SessionTableUnavailable);
    assert!(!ended.is_finished(), "somebody may still want the closed session");
    assert_eq!(closed(&mut client, 0).await, Ok(vec![1]));
    let in_order = tokio::time::timeout(within, ended).await.expect("in time").unwrap();
    assert!(in_order);
}

#[tokio::test]
async fn without_permission_nobody_shuts_down() {
    let fixture = start().await;
    let mut client = fixture.rpc(Dialect::V1_1).await;
    let status = client.shutdown_server(v1_1::ShutdownRequest { deadline: 0 }).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    add(&mut client, vec![session(1)]).await;
}

#[test]
fn the_codes_of_add_errors_are_those_of_the_contract() {
    use opof_api::Refusal::{AlreadyExists, FailedPrecondition, Rejected, TableFull, Unavailable};
    let codes =
        |errors| [Rejected, AlreadyExists, TableFull, FailedPrecondition, Unavailable].map(|it| it.code(errors));
    assert_eq!(codes(AddErrors::AddSessionStatus), [1, 4, 2, 1, 3]);
    assert_eq!(codes(AddErrors::GrpcCode), [3, 6, 8, 9, 14]);
}
