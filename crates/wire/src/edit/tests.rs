extern crate std;

use super::*;
use crate::{tcp, udp};
use std::string::ToString;

/// TCP ACK, IPv4, VLAN 100 with priority 5; both checksums are right.
#[rustfmt::skip]
const TCP4: [u8; 58] = [
    2, 0, 0, 0, 0, 0xb, 2, 0, 0, 0, 0, 0xa, 0x81, 0x00, 0xa0, 0x64, 0x08, 0x00,
    0x45, 0, 0, 0x28, 0, 1, 0x40, 0, 64, 6, 0x4e, 0x99, 192, 0, 2, 1, 198, 51, 100, 1,
    0xc0, 0x00, 0x01, 0xbb, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10, 0xff, 0xff, 0x01, 0xe1, 0, 0,
];
/// UDP with four bytes, IPv6, untagged, two bytes of padding; the checksum is right.
#[rustfmt::skip]
const UDP6: [u8; 68] = [
    2, 0, 0, 0, 0, 0xb, 2, 0, 0, 0, 0, 0xa, 0x86, 0xdd,
    0x60, 0, 0, 0, 0, 12, 17, 64,
    0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
    0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2,
    0xc0, 0x00, 0x00, 0x35, 0, 12, 0xe0, 0x25, 1, 2, 3, 4, 0, 0,
];

const MACS: Macs = Macs { source: MacAddress([2, 1, 1, 1, 1, 1]), destination: MacAddress([2, 2, 2, 2, 2, 2]) };
const NONE: Edit = Edit { vlan: None, macs: None, source: None, destination: None };

fn edited<const N: usize>(frame: [u8; N], edit: Edit) -> [u8; N] {
    let mut frame = frame;
    edit.apply(&mut frame);
    frame
}

/// `frame` with other bytes at some places.
fn with<const N: usize>(frame: [u8; N], patches: &[(usize, &[u8])]) -> [u8; N] {
    let mut frame = frame;
    for (at, bytes) in patches {
        frame[*at..at + bytes.len()].copy_from_slice(bytes);
    }
    frame
}

fn endpoint(address: &str, port: Option<u16>) -> Endpoint {
    Endpoint { address: address.parse().unwrap(), port }
}

/// The checksums of the outermost IPv4 header and of what it carries are right.
fn assert_valid(frame: &[u8]) {
    let layout = Layout::of(frame).unwrap();
    let (addresses, payload) = if layout.is_v4 {
        let packet = ipv4::Packet::new_checked(&frame[layout.ip..]).unwrap();
        assert!(packet.verify_checksum(), "IPv4 {frame:02x?}");
        (packet.addresses(), packet.payload())
    } else {
        let packet = ipv6::Packet::new_checked(&frame[layout.ip..]).unwrap();
        (packet.addresses(), packet.payload())
    };
    assert!(match layout.protocol {
        Transport::Tcp => tcp::Packet::new_checked(payload).unwrap().verify_checksum(&addresses),
        Transport::Udp => udp::Packet::new_checked(payload).unwrap().verify_checksum(&addresses),
    });
}

#[test]
fn nothing_to_change_changes_nothing() {
    assert_eq!(edited(TCP4, NONE), TCP4);
    assert_eq!(edited(UDP6, NONE), UDP6);
    assert_valid(&TCP4);
    assert_valid(&UDP6);
}

#[test]
fn a_next_hop_replaces_macs_and_decrements_the_ttl() {
    let macs: &[u8] = &[2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1];
    let edit = Edit { macs: Some(MACS), ..NONE };
    let left = edited(TCP4, edit);
    assert_eq!(left, with(TCP4, &[(0, macs), (26, &[63]), (28, &[0x4f, 0x99])]));
    assert_valid(&left);
    let left = edited(UDP6, edit);
    assert_eq!(left, with(UDP6, &[(0, macs), (21, &[63])]));
    assert_valid(&left);
}

#[test]
fn a_packet_expires_where_its_ttl_would_reach_0() {
    let routed = Edit { macs: Some(MACS), ..NONE };
    assert_eq!([0, 1, 2, 255].map(|ttl| routed.expires(ttl)), [true, true, false, false]);
    assert!(!NONE.expires(0), "what is not routed keeps it");
    assert_eq!([ttl(&TCP4), ttl(&UDP6), ttl(&UDP6[..60])], [Some(64), Some(64), None]);
}

#[test]
fn addresses_and_ports_are_translated() {
    let edit = Edit {
        source: Some(endpoint("203.0.113.9", Some(1024))),
        destination: Some(endpoint("10.0.0.1", None)),
        ..NONE
    };
    let left = edited(TCP4, edit);
    let expect = [(28, &[0xf4, 0xc4][..]), (30, &[203, 0, 113, 9, 10, 0, 0, 1]), (38, &[4, 0]), (54, &[0x64, 0x0d])];
    assert_eq!(left, with(TCP4, &expect));
    assert_valid(&left);

    let edit = Edit {
        source: Some(endpoint("2001:db8::ff:1", Some(0))),
        destination: Some(endpoint("fd00::2", Some(54))),
        ..NONE
    };
    let left = edited(UDP6, edit);
    assert_valid(&left);
    assert_eq!(left[54..58], [0, 0, 0, 54]);
    assert_eq!((&left[..54 - 32], &left[62..]), (&UDP6[..54 - 32], &UDP6[62..]), "nothing else");
}

#[test]
fn an_address_of_the_other_family_does_not_fit_and_is_not_written() {
    for (frame, address, own) in [(&TCP4[..], "fd00::1", "10.0.0.1"), (&UDP6, "10.0.0.1", "fd00::1")] {
        let mut left = frame.to_vec();
        let edit = Edit { source: Some(endpoint(address, Some(1))), ..NONE };
        edit.apply(&mut left);
        assert_eq!(left, frame);
        assert!(!edit.fits(frame) && !Edit { destination: Some(endpoint(own, None)), ..edit }.fits(frame));
        assert!(Edit { source: Some(endpoint(own, None)), ..edit }.fits(frame) && NONE.fits(frame));
    }
}

#[test]
fn a_udp_checksum_of_0_stays_0_and_one_that_becomes_0_is_sent_as_ffff() {
    let edit = |port| Edit { source: Some(endpoint("2001:db8::1", Some(port))), ..NONE };
    let none = with(UDP6, &[(60, &[0, 0])]);
    assert_eq!(edited(none, edit(7)), with(none, &[(54, &[0, 7])]));
    // The port that takes up what the checksum was.
    let port = 0xc000_u32 + 0xe025;
    let left = edited(UDP6, edit(u16::try_from((port & 0xffff) + (port >> 16)).unwrap()));
    assert_eq!(left[60..62], [0xff, 0xff]);
    assert_valid(&left);
}

#[test]
fn a_wrong_checksum_stays_wrong() {
    let edit = Edit { macs: Some(MACS), source: Some(endpoint("203.0.113.9", Some(1))), ..NONE };
    let left = edited(with(TCP4, &[(28, &[0x4e, 0x9a]), (54, &[0x01, 0xe2])]), edit);
    let packet = ipv4::Packet::new_checked(&left[18..]).unwrap();
    assert!(!packet.verify_checksum());
    assert!(!tcp::Packet::new_checked(packet.payload()).unwrap().verify_checksum(&packet.addresses()));
}

#[test]
fn of_a_frame_without_a_key_only_the_link_layer_is_changed() {
    let edit = Edit { vlan: Vid::new(7), macs: Some(MACS), source: Some(endpoint("1.2.3.4", Some(1))), ..NONE };
    let fragment = with(TCP4, &[(24, &[0x20, 0])]);
    let macs: &[u8] = &[2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1];
    assert_eq!(edited(fragment, edit), with(fragment, &[(0, macs), (14, &[0xa0, 7])]));
    for cut in 0..TCP4.len() {
        let mut frame = TCP4;
        edit.apply(&mut frame[..cut]);
        assert_eq!(frame[18..], TCP4[18..], "cut at {cut}");
    }
}

#[test]
fn a_rewritten_tag_keeps_priority_and_everything_else() {
    let mut frame = TCP4;
    rewrite_outer_vid(&mut frame, Vid::MAX);
    let mut expect = TCP4;
    expect[14..16].copy_from_slice(&[0xaf, 0xfe]);
    assert_eq!(frame, expect);
    assert_eq!(classify(&frame).map(|key| key.vlan), Ok(Vid::MAX));
}

#[test]
fn only_the_outer_of_two_tags_is_rewritten() {
    let mut frame = [0; 24];
    frame[12..22].copy_from_slice(&[0x88, 0xa8, 0x10, 0x01, 0x81, 0x00, 0x20, 0x02, 0x08, 0x06]);
    rewrite_outer_vid(&mut frame, Vid::new(0x0abc).unwrap());
    assert_eq!(frame[12..22], [0x88, 0xa8, 0x1a, 0xbc, 0x81, 0x00, 0x20, 0x02, 0x08, 0x06]);
}

#[test]
fn a_frame_without_a_tag_is_not_rewritten() {
    let mut frame = UDP6;
    rewrite_outer_vid(&mut frame, Vid::MAX);
    assert_eq!(frame, UDP6);
    for cut in 0..18 {
        let mut frame = TCP4;
        rewrite_outer_vid(&mut frame[..cut], Vid::MAX);
        assert_eq!(frame, TCP4, "cut at {cut}");
    }
}

#[test]
fn an_endpoint_reads_well() {
    let said = |address, port| endpoint(address, port).to_string();
    assert_eq!(said("10.0.0.1", None), "10.0.0.1");
    assert_eq!(said("10.0.0.1", Some(80)), "10.0.0.1:80");
    assert_eq!(said("fd00::1", Some(80)), "[fd00::1]:80");
}
