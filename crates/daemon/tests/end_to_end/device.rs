//! What the operator's view tells of the device, with frames on the simulated ports.

use crate::common::{add, lif, packet, session, start, start_with};
use opof_api::device::{GetDeviceRequest, PortRole, RefusedTally, Tally};
use opof_api::pair::pair_client::PairClient;
use opof_api::pair::{GetPairRequest, SwitchoverRequest};
use opof_dataplane::{FirewallTunnel, FromUplink, Refused, TunnelPath};
use opof_testkit::packet::Packet;
use opof_wire::Addresses;
use opof_wire::decap::{Refusal, TunnelEnd};
use opof_wire::encap::{Template, Tunnel};
use opof_wire::ethernet::MacAddress;
use opof_wire::geneve::OptionId;
use tonic::Code;

#[tokio::test]
async fn the_device_tells_of_its_ports_and_its_table() {
    let fixture = start_with(&["--max-sessions", "100"], "").await;
    let mut client = fixture.client().await;
    add(&mut client, [session(7)]).await;
    fixture.forward(1, &packet(7));
    fixture.forward(1, &packet(8));
    let device = fixture.device().await.get_device(GetDeviceRequest {}).await.unwrap().into_inner();
    assert_eq!((device.version.as_str(), device.data_plane.as_str()), (env!("CARGO_PKG_VERSION"), "sim"));
    let statistics = device.statistics.unwrap();
    assert_eq!((statistics.sessions, statistics.capacity, statistics.added), (1, 100, 1));
    let ports: Vec<_> = device.ports.iter().map(|port| (port.lif, port.role)).collect();
    assert_eq!(ports, [(1, 1), (1, 2), (2, 1), (2, 2)]);
    let counters = device.ports[0].counters.as_ref().unwrap();
    assert_eq!(counters.received.unwrap().packets, 2);
    assert_eq!(counters.forwarded.unwrap().packets, 1);
    let slow: Vec<_> =
        counters.slow_path.iter().map(|slow| (slow.reason.as_str(), slow.tally.unwrap().packets)).collect();
    assert_eq!(slow, [("miss", 1)]);
}

#[tokio::test]
async fn a_device_that_is_alone_is_not_one_of_a_pair() {
    let fixture = start().await;
    let mut pair = PairClient::new(fixture.channel().await);
    let refused = pair.get_pair(GetPairRequest {}).await.unwrap_err();
    assert_eq!((refused.code(), refused.message()), (Code::FailedPrecondition, "this device is not one of a pair"));
    assert_eq!(pair.switchover(SwitchoverRequest {}).await.unwrap_err().code(), Code::FailedPrecondition);
}

#[tokio::test]
async fn the_device_tells_what_tunnels_to_firewalls_have_lost_and_refused() {
    let fixture = start().await;
    let firewall = [192, 0, 2, 10];
    let ports = fixture.daemon.sim_ports().unwrap();
    let addresses = Addresses::V4 { source: firewall, destination: [192, 0, 2, 1] };
    let end = TunnelEnd { addresses, vni: 0, option: OptionId::DEFAULT };
    ports.set_firewall(lif(1), Some(FirewallTunnel { end, path: None }));
    fixture.forward(1, &packet(7));
    let (source_mac, destination_mac) = (MacAddress([2; 6]), MacAddress([6; 6]));
    let there =
        Tunnel { source_mac, destination_mac, addresses: addresses.reversed(), vni: 0, option: OptionId::DEFAULT };
    let template = Template::new(&there).unwrap();
    ports.set_firewall(lif(1), Some(FirewallTunnel { end, path: Some(TunnelPath { template, frame_len_max: 20 }) }));
    fixture.forward(1, &packet(7));
    // From the firewall to the port of tunnels, but with a UDP checksum.
    let stranger = Packet::new().ipv4(firewall, [192, 0, 2, 1]).udp(5000, 6081).payload(&[0; 8]).build();
    let refused = Refused::Packet(Refusal::UdpChecksum);
    assert_eq!(ports.receive_from_uplink(&stranger), FromUplink::Host(Some(refused)));

    let device = fixture.device().await.get_device(GetDeviceRequest {}).await.unwrap().into_inner();
    let of = |port: usize| device.ports[port].counters.clone().unwrap();
    let (wire, packets) = (of(0), |tally: Option<Tally>| tally.unwrap().packets);
    assert_eq!((packets(wire.received), packets(wire.unreachable)), (2, 1));
    assert_eq!((packets(wire.too_big_answered), packets(wire.too_big_dropped)), (0, 1));
    assert_eq!((wire.slow_path.len(), wire.refused.len()), (0, 0), "what never occurred is left out");
    assert_eq!((device.ports[4].lif, device.ports[4].role()), (0, PortRole::Uplink));
    let uplink = of(4);
    let tally = Some(Tally { packets: 1, bytes: stranger.len() as u64 });
    assert_eq!(
        (uplink.received, uplink.refused),
        (tally, vec![RefusedTally { reason: "udp_checksum".to_owned(), tally }])
    );
}
