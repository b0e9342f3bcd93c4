use super::*;

#[test]
fn a_tagged_datagram_byte_by_byte() {
    let frame = Packet::new().tag(vlan::TPID_CUSTOMER, 5, true, 100).ipv4([192, 0, 2, 1], [192, 0, 2, 2]);
    let frame = frame.udp(0xc000, 53).payload(b"x").pad_to(52).build();
    let expect = [
        2, 0, 0, 0, 0, 0xb, 2, 0, 0, 0, 0, 0xa, 0x81, 0x00, 0xb0, 0x64, 0x08, 0x00, //
        0x45, 0, 0, 0x1d, 0x4f, 0x4f, 0x40, 0, 64, 17, 0x67, 0x7d, 192, 0, 2, 1, 192, 0, 2, 2, //
        0xc0, 0, 0, 53, 0, 9, 0x43, 0xa2, b'x', 0, 0, 0, 0, 0,
    ];
    assert_eq!(frame, expect);
}

#[test]
fn extension_headers_are_chained_in_order() {
    let frame = Packet::new().ipv6([0; 16], [1; 16]).hop_by_hop().fragment(2, true).tcp(1, 2).build();
    assert_eq!(frame.len(), 14 + 40 + 8 + 8 + 20);
    assert_eq!(frame[14 + 4..][..3], [0, 36, ipv6_ext::HOP_BY_HOP]);
    assert_eq!(frame[54..62], [ipv6_ext::FRAGMENT, 0, 1, 4, 0, 0, 0, 0]);
    assert_eq!(frame[62..70], [6, 0, 0, 17, 0x4f, 0x4f, 0x4f, 0x4f]);
}

#[test]
fn overwrites_count_from_their_layer_and_come_last() {
    let packet = Packet::new().vlan(7).ipv6([0; 16], [1; 16]).routing().udp(1, 2).payload(&[9; 4]);
    let plain = packet.clone().build();
    let edited = packet.overwrite(Layer::Network, 6, &[200]).overwrite(Layer::Transport, 4, &[1, 2]).build();
    let changed: Vec<_> = (0..plain.len()).filter(|&at| plain[at] != edited[at]).collect();
    assert_eq!(changed, [18 + 6, 18 + 48 + 4, 18 + 48 + 5]);
}

#[test]
fn checksums_are_right() {
    let frame = Packet::new().ipv6([1; 16], [2; 16]).tcp(1, 2).tcp_options(&[1; 8]).payload(b"odd").build();
    let ip = ipv6::Packet::new_checked(&frame[14..]).unwrap();
    assert!(tcp::Packet::new_checked(ip.payload()).unwrap().verify_checksum(&ip.addresses()));

    let frame = Packet::new().ipv4([1; 4], [2; 4]).ipv4_options(&[1; 4]).udp(1, 2).payload(b"odd").build();
    let ip = ipv4::Packet::new_checked(&frame[14..]).unwrap();
    assert!(ip.verify_checksum());
    assert!(udp::Packet::new_checked(ip.payload()).unwrap().verify_checksum(&ip.addresses()));
}

#[test]
fn cut_and_pad() {
    assert_eq!(Packet::new().pad_to(60).build().len(), 60);
    assert_eq!(Packet::new().payload(&[1; 90]).pad_to(60).build().len(), 104);
    assert_eq!(Packet::new().pad_to(60).cut_to(3).build().len(), 3);
}

#[test]
fn a_tunnelled_datagram_byte_by_byte() {
    let frame = Packet::new().vlan(100).ipv4([203, 0, 113, 1], [203, 0, 113, 2]).udp(0xd000, 2152);
    let frame = frame.gtpu(Gtpu::new(7).sequence(0x1234).pdu_session_container());
    let frame = frame.ipv4([192, 0, 2, 1], [192, 0, 2, 2]).udp(0xc000, 53).payload(b"x").pad_to(88).build();
    let expect = [
        2, 0, 0, 0, 0, 0xb, 2, 0, 0, 0, 0, 0xa, 0x81, 0x00, 0, 0x64, 0x08, 0x00, //
        0x45, 0, 0, 0x49, 0x4f, 0x4f, 0x40, 0, 64, 17, 0x73, 0x50, 203, 0, 113, 1, 203, 0, 113, 2, //
        0xd0, 0, 0x08, 0x68, 0, 0x35, 0xdf, 0x40, //
        0x36, 0xff, 0, 0x25, 0, 0, 0, 7, 0x12, 0x34, 0, 0x85, 1, 0x10, 9, 0, //
        0x45, 0, 0, 0x1d, 0x4f, 0x4f, 0x40, 0, 64, 17, 0x67, 0x7d, 192, 0, 2, 1, 192, 0, 2, 2, //
        0xc0, 0, 0, 53, 0, 9, 0x43, 0xa2, b'x',
    ];
    assert_eq!(frame[..expect.len()], expect);
}

#[test]
fn layers_of_a_tunnelled_packet() {
    let packet =
        Packet::new().vlan(7).gtpu6(Gtpu::new(1).n_pdu(2)).ipv4([1; 4], [2; 4]).ipv4_options(&[1; 4]).tcp(1, 2);
    let plain = packet.clone().build();
    let edited = packet.overwrite(Layer::Outer, 0, &[200]).overwrite(Layer::Tunnel, 0, &[200]);
    let edited = edited.overwrite(Layer::Network, 0, &[200]).overwrite(Layer::Transport, 0, &[200]).build();
    let changed: Vec<_> = (0..plain.len()).filter(|&at| plain[at] != edited[at]).collect();
    let tunnel = 18 + 40 + 8;
    assert_eq!(changed, [18, tunnel, tunnel + 12, tunnel + 12 + 24]);
}

#[test]
fn checksums_of_a_tunnelled_packet_are_right() {
    let frame = Packet::new().gtpu6(Gtpu::default()).ipv4([1; 4], [2; 4]).tcp(1, 2).payload(b"odd").build();
    let outer = ipv6::Packet::new_checked(&frame[14..]).unwrap();
    let datagram = udp::Packet::new_checked(outer.payload()).unwrap();
    assert!(datagram.verify_checksum(&outer.addresses()));
    let inner = ipv4::Packet::new_checked(&datagram.payload()[8..]).unwrap();
    assert!(inner.verify_checksum());
    assert!(tcp::Packet::new_checked(inner.payload()).unwrap().verify_checksum(&inner.addresses()));
}
