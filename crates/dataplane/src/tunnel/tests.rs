//! Entering, coming back and the bucket, on literal frames.

use opof_wire::checksum::Sum;
use opof_wire::encap::Tunnel;
use opof_wire::ethernet::MacAddress;
use opof_wire::geneve::OptionId;
use opof_wire::{Addresses, ethernet, ipv4, udp};

use super::*;

const LIFS: [Lif; 3] = [Lif::new(1).unwrap(), Lif::new(2).unwrap(), Lif::new(0x0304).unwrap()];
const OURS: [u8; 4] = [192, 0, 2, 1];
const OPTION: OptionId = OptionId::new(0xFF99, 0x21).unwrap();
const VNI: u32 = 0x12_3456;

/// UDP from 10.0.0.1:1 to 10.0.0.2:2 with `payload` bytes, DF set when asked for, untagged.
fn packet(payload: usize, dont_fragment: bool) -> Vec<u8> {
    let mut frame = vec![0; ethernet::HEADER_LEN + ipv4::HEADER_LEN + udp::HEADER_LEN + payload];
    let [destination, source] = [2, 1].map(|last| MacAddress([2, 0, 0, 0, 0, last]));
    ethernet::Repr { destination, source, ether_type: ethernet::IPV4 }.emit(&mut frame).unwrap();
    let header = ipv4::Repr {
        source: [10, 0, 0, 1],
        destination: [10, 0, 0, 2],
        traffic_class: 0,
        identification: 0,
        dont_fragment,
        more_fragments: false,
        fragment_offset: 0,
        ttl: 64,
        protocol: 17,
        options: &[],
        payload_len: udp::HEADER_LEN + payload,
    };
    header.emit(&mut frame[14..]).unwrap();
    udp::Repr { source_port: 1, destination_port: 2, payload_len: payload }.emit(&mut frame[34..]).unwrap();
    frame
}

/// The tunnel to the firewall at 192.0.2.`last`, for frames of `frame_len_max` bytes.
fn tunnel(last: u8, frame_len_max: usize) -> FirewallTunnel {
    let out = Addresses::V4 { source: OURS, destination: [192, 0, 2, last] };
    let [source_mac, destination_mac] = [8, 9].map(|byte| MacAddress([2, 0, 0, 0, 0, byte]));
    let tunnel = Tunnel { source_mac, destination_mac, addresses: out, vni: VNI, option: OPTION };
    let template = Template::new(&tunnel).unwrap();
    FirewallTunnel {
        end: TunnelEnd { addresses: out.reversed(), vni: VNI, option: OPTION },
        path: Some(TunnelPath { template, frame_len_max }),
    }
}

fn sent(tunnel: &FirewallTunnel, lif: Lif, frame: &[u8]) -> Encapsulation {
    match enter(tunnel.path.as_ref(), lif, frame) {
        Passage::Sent(encapsulation) => encapsulation,
        other => panic!("{other:?}"),
    }
}

/// What the firewall at 192.0.2.`last` sends.
fn returned(last: u8, in_lif: u32, out_lif: u32, frame: &[u8]) -> Vec<u8> {
    let back = Addresses::V4 { source: [192, 0, 2, last], destination: OURS };
    let [source_mac, destination_mac] = [9, 8].map(|byte| MacAddress([2, 0, 0, 0, 0, byte]));
    let tunnel = Tunnel { source_mac, destination_mac, addresses: back, vni: VNI, option: OPTION };
    let metadata = Metadata { in_lif, out_lif, key: 5 };
    Encapsulation { template: Template::new(&tunnel).unwrap(), source_port: 0xC000, metadata }.apply(frame)
}

/// LIFs 1 and 2 have the firewall at 192.0.2.2, LIF 772 the one at 192.0.2.3.
fn firewalls() -> [(Lif, FirewallTunnel); 3] {
    let [a, b, c] = LIFS;
    [(a, tunnel(2, 1500)), (b, tunnel(2, 1500)), (c, tunnel(3, 1500))]
}

#[test]
fn what_enters_has_its_lif_and_its_flow_in_the_option() {
    let frame = packet(10, true);
    let encapsulation = sent(&tunnel(2, frame.len()), LIFS[2], &frame);
    let outer = encapsulation.apply(&frame);
    assert_eq!((outer.len(), &outer[66..]), (66 + frame.len(), &frame[..]));
    let hash = encap::frame_hash(&frame).to_be_bytes();
    assert_eq!(outer[50..66], [&[0xFF, 0x99, 0x21, 3, 0, 0, 3, 4, 0, 0, 0, 0], &hash[..]].concat());
    assert_eq!(outer[34..36], encap::source_port(u32::from_be_bytes(hash)).to_be_bytes());
}

#[test]
fn what_has_no_flow_has_its_link_as_key() {
    let arp = [&[0xFF; 6][..], &[2, 0, 0, 0, 0, 1, 8, 6, 0, 1], &[0; 30]].concat();
    let key = encap::flow_hash([0xFFFF_FFFF, 0xFFFF_0200, 0x0000_0001, 0x0806_0001]);
    assert_eq!(sent(&tunnel(2, 1500), LIFS[0], &arp).metadata.key, key);
}

#[test]
fn a_sender_is_told_what_fits() {
    let (most, frame) = (500, packet(500, true));
    let told = Passage::TooBig(Some(486));
    assert_eq!(enter(tunnel(2, most).path.as_ref(), LIFS[0], &frame), told);
    let answer = too_big(&frame, 486);
    // To where it came from, ICMP type 3 code 4, next-hop MTU 486.
    assert_eq!(
        (&answer[..12], &answer[26..34]),
        (&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2][..], &[10, 0, 0, 2, 10, 0, 0, 1][..])
    );
    assert_eq!((answer[34..36].to_vec(), answer[40..42].to_vec()), (vec![3, 4], 486_u16.to_be_bytes().to_vec()));
    assert_eq!(Sum::new().bytes(&answer[34..]).finish(), 0);
    // A tag is not the packet's.
    let mut tagged = frame.clone();
    tagged.splice(12..12, [0x81, 0, 0, 7]);
    assert_eq!(enter(tunnel(2, most).path.as_ref(), LIFS[0], &tagged), Passage::TooBig(Some(482)));
    assert!(matches!(enter(tunnel(2, frame.len()).path.as_ref(), LIFS[0], &frame), Passage::Sent(_)));
}

#[test]
fn who_can_not_be_told_is_not() {
    let nobody = Passage::TooBig(None);
    assert_eq!(enter(tunnel(2, 500).path.as_ref(), LIFS[0], &packet(500, false)), nobody, "may be fragmented");
    assert_eq!(enter(tunnel(2, 81).path.as_ref(), LIFS[0], &packet(500, true)), nobody, "no link is so narrow");
    let padded = [&packet(10, true)[..], &[0; 500]].concat();
    assert_eq!(enter(tunnel(2, 500).path.as_ref(), LIFS[0], &padded), nobody, "the packet fits");
    assert_eq!(enter(tunnel(2, 10).path.as_ref(), LIFS[0], &[0xAA; 12]), nobody, "no packet");
}

#[test]
fn without_a_way_nothing_enters() {
    assert_eq!(enter(None, LIFS[0], &packet(10, true)), Passage::NoWay);
}

#[test]
fn what_comes_back_leaves_by_the_lif_it_names() {
    let frame = packet(10, true);
    for (last, in_lif, out_lif, lif) in
        [(2, 1, 2, LIFS[1]), (2, 2, 1, LIFS[0]), (2, 2, 0, LIFS[1]), (2, 99, 1, LIFS[0]), (3, 1, 772, LIFS[2])]
    {
        let outer = returned(last, in_lif, out_lif, &frame);
        let FromUplink::Out { lif: out, frame: at } = decide_uplink(&outer, &firewalls()) else { panic!("{outer:?}") };
        assert_eq!((out, &outer[at]), (lif, &frame[..]), "{in_lif} {out_lif}");
    }
}

#[test]
fn a_firewall_sends_by_its_own_interfaces_only() {
    let frame = packet(10, true);
    for (last, in_lif, out_lif) in [(3, 1, 0), (3, 772, 1), (2, 1, 772), (2, 0, 0), (2, 1, 0x1_0001)] {
        let said = decide_uplink(&returned(last, in_lif, out_lif, &frame), &firewalls());
        assert_eq!(said, FromUplink::Host(Some(Refused::Lif)), "{last} {in_lif} {out_lif}");
    }
}

#[test]
fn what_is_no_packet_of_a_tunnel_is_the_hosts() {
    let good = returned(2, 1, 2, &packet(10, true));
    let refused = |at: usize, byte: u8| {
        let mut frame = good.clone();
        frame[at] = byte;
        if (14..34).contains(&at) {
            ipv4::Packet::new_unchecked(&mut frame[14..]).fill_checksum();
        }
        decide_uplink(&frame, &firewalls())
    };
    let counted = |refusal| FromUplink::Host(Some(Refused::Packet(refusal)));
    assert_eq!(refused(29, 4), FromUplink::Host(None), "another host");
    assert_eq!(refused(33, 4), FromUplink::Host(None), "not to us");
    assert_eq!(refused(23, 6), FromUplink::Host(None), "TCP");
    assert_eq!(refused(37, 0xC2), FromUplink::Host(None), "another port");
    assert_eq!(refused(40, 1), counted(Refusal::UdpChecksum));
    assert_eq!(refused(46, 0), counted(Refusal::Vni));
    assert_eq!(refused(52, 0x22), counted(Refusal::OptionMissing));
    assert_eq!(decide_uplink(&good[..40], &firewalls()), FromUplink::Host(None));
    assert_eq!(decide_uplink(&good, &[]), FromUplink::Host(None));
}

#[test]
fn numbers_and_reasons_are_the_same_thing() {
    for number in 0..Refused::COUNT {
        assert_eq!(Refused::from_number(number).map(Refused::number), Some(number));
    }
    assert_eq!(Refused::from_number(Refused::COUNT), None);
}

#[test]
fn answers_are_given_at_a_rate() {
    let mut bucket = AnswerBucket::new(1000);
    let mut given = |at: u64, tries: u32| (0..tries).filter(|_| bucket.take(Moment(at))).count();
    let start = 5_000_000_000;
    assert_eq!(given(start, 100), ANSWER_BURST as usize);
    assert_eq!(given(start + 999_999, 10), 0);
    assert_eq!(given(start + 1_000_000, 10), 1);
    assert_eq!(given(start + 11_000_000, 100), 10);
    // Nothing is saved up beyond the burst, and a clock that seems to go back gives nothing away.
    assert_eq!(given(start + 9_000_000_000, 100), ANSWER_BURST as usize);
    assert_eq!(given(start, 10), 0);
}
