extern crate std;
use super::*;
use std::string::ToString;
use std::vec::Vec;

const PEER_V6: [u8; 16] = [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const OURS_V6: [u8; 16] = [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];
const METADATA: Metadata = Metadata { in_lif: 7, out_lif: 1000, key: 0xdead_beef };

/// In front of 14 bytes.
const V4: [u8; 66] = [
    2, 0, 0, 0, 0, 0xb, 2, 0, 0, 0, 0, 0xa, 0x08, 0x00, //
    0x45, 0x00, 0x00, 0x42, 0, 0, 0x40, 0x00, 64, 17, 0xb6, 0xa7, 192, 0, 2, 1, 192, 0, 2, 2, //
    0xc1, 0x23, 0x17, 0xc1, 0x00, 0x2e, 0, 0, //
    0x04, 0x00, 0x65, 0x58, 0x12, 0x34, 0x56, 0x00, //
    0xff, 0x6f, 0x01, 0x03, 0, 0, 0, 7, 0, 0, 3, 0xe8, 0xde, 0xad, 0xbe, 0xef,
];
const V6: [u8; 86] = [
    2, 0, 0, 0, 0, 0xb, 2, 0, 0, 0, 0, 0xa, 0x86, 0xdd, //
    0x60, 0, 0, 0, 0x00, 0x2e, 17, 64, //
    0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, //
    0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, //
    0xc1, 0x23, 0x17, 0xc1, 0x00, 0x2e, 0, 0, //
    0x04, 0x00, 0x65, 0x58, 0x12, 0x34, 0x56, 0x00, //
    0xff, 0x6f, 0x01, 0x03, 0, 0, 0, 7, 0, 0, 3, 0xe8, 0xde, 0xad, 0xbe, 0xef,
];
/// The smallest frame, with nothing in it.
const INNER: [u8; 14] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xb5];

const UDP_V4: usize = 34;
const GENEVE_V4: usize = 42;
const OPTIONS_V4: usize = 50;

fn end(addresses: Addresses) -> TunnelEnd {
    TunnelEnd { addresses, vni: 0x12_3456, option: OptionId::DEFAULT }
}

fn end_v4() -> TunnelEnd {
    end(Addresses::V4 { source: [192, 0, 2, 1], destination: [192, 0, 2, 2] })
}

fn end_v6() -> TunnelEnd {
    end(Addresses::V6 { source: PEER_V6, destination: OURS_V6 })
}

fn v4() -> Vec<u8> {
    [&V4[..], &INNER].concat()
}

fn v6() -> Vec<u8> {
    [&V6[..], &INNER].concat()
}

/// The IPv4 packet with these bytes, and with a header checksum that is right again.
fn with(at: usize, bytes: &[u8]) -> Result<Decapsulated, Refusal> {
    let mut frame = v4();
    frame[at..at + bytes.len()].copy_from_slice(bytes);
    ipv4::Packet::new_unchecked(&mut frame[14..]).fill_checksum();
    decapsulate(&frame, &end_v4())
}

/// The IPv4 packet with these options in place of ours, and lengths that are right again.
fn with_options(options: &[u8]) -> Result<Decapsulated, Refusal> {
    let mut frame = [&V4[..OPTIONS_V4], options, &INNER].concat();
    frame[GENEVE_V4] = u8::try_from(options.len() / 4).unwrap();
    let udp = u16::try_from(frame.len() - UDP_V4).unwrap();
    frame[UDP_V4 + 4..UDP_V4 + 6].copy_from_slice(&udp.to_be_bytes());
    frame[16..18].copy_from_slice(&(udp + 20).to_be_bytes());
    ipv4::Packet::new_unchecked(&mut frame[14..]).fill_checksum();
    decapsulate(&frame, &end_v4())
}

const OURS: [u8; 16] = [0xff, 0x6f, 0x01, 0x03, 0, 0, 0, 7, 0, 0, 3, 0xe8, 0xde, 0xad, 0xbe, 0xef];
const EMPTY: [u8; 4] = [0x01, 0x02, 0x04, 0x00];
const OTHER: [u8; 8] = [0x01, 0x02, 0x03, 0x01, 1, 2, 3, 4];

#[test]
fn packets_of_both_families_on_literal_bytes() {
    let inner = |frame| Ok(Decapsulated { frame, metadata: METADATA });
    assert_eq!(decapsulate(&v4(), &end_v4()), inner(66..80));
    assert_eq!(decapsulate(&v6(), &end_v6()), inner(86..100));
    assert_eq!(decapsulate(&v4(), &end_v6()), Err(Refusal::EtherType));
    assert_eq!(decapsulate(&v6(), &end_v4()), Err(Refusal::EtherType));
    for (frame, end, range) in [(v4(), end_v4(), 66..80), (v6(), end_v6(), 86..100)] {
        let padded = [&frame[..], &[0; 9]].concat();
        assert_eq!(decapsulate(&padded, &end), inner(range), "padding is not the frame's");
    }
}

#[test]
fn every_cut_is_truncated() {
    for (frame, end) in [(v4(), end_v4()), (v6(), end_v6())] {
        for cut in 0..frame.len() {
            assert_eq!(decapsulate(&frame[..cut], &end), Err(Refusal::Truncated), "cut at {cut}");
        }
    }
}

#[test]
fn each_rule_of_ipv4() {
    let cases: [(Refusal, usize, &[u8]); 15] = [
        (Refusal::EtherType, 12, &[0x81, 0x00]),
        (Refusal::IpMalformed, 14, &[0x55]),
        (Refusal::IpMalformed, 14, &[0x44]),
        (Refusal::IpMalformed, 16, &[0, 19]),
        (Refusal::Truncated, 16, &[0, 67]),
        (Refusal::Ipv4Options, 14, &[0x46]),
        (Refusal::IpMalformed, 20, &[0x80]),
        (Refusal::Fragment, 20, &[0x20]),
        (Refusal::Fragment, 21, &[1]),
        (Refusal::Protocol, 23, &[6]),
        (Refusal::Addresses, 29, &[2]),
        (Refusal::Addresses, 33, &[3]),
        (Refusal::Addresses, 26, &[192, 0, 2, 2, 192, 0, 2, 1]),
        (Refusal::Truncated, 16, &[0, 27]),
        (Refusal::Truncated, 16, &[0, 65]),
    ];
    for (expect, at, bytes) in cases {
        assert_eq!(with(at, bytes), Err(expect), "{bytes:02x?} at {at}");
    }
    let mut damaged = v4();
    damaged[22] ^= 1;
    assert_eq!(decapsulate(&damaged, &end_v4()), Err(Refusal::IpMalformed), "TTL without its checksum");
    assert!(with(22, &[1]).is_ok() && with(15, &[0xff]).is_ok() && with(20, &[0]).is_ok());
}

#[test]
fn each_rule_of_ipv6() {
    let cases: [(Refusal, usize, &[u8]); 7] = [
        (Refusal::IpMalformed, 14, &[0x40]),
        (Refusal::Truncated, 18, &[0, 0x2f]),
        (Refusal::Truncated, 18, &[0, 7]),
        (Refusal::Fragment, 20, &[44]),
        (Refusal::Protocol, 20, &[0]),
        (Refusal::Addresses, 37, &[2]),
        (Refusal::Addresses, 53, &[3]),
    ];
    for (expect, at, bytes) in cases {
        let mut frame = v6();
        frame[at..at + bytes.len()].copy_from_slice(bytes);
        assert_eq!(decapsulate(&frame, &end_v6()), Err(expect), "{bytes:02x?} at {at}");
    }
}

#[test]
fn each_rule_of_udp() {
    assert_eq!(with(UDP_V4 + 2, &[0x17, 0xc0]), Err(Refusal::Port));
    assert_eq!(with(UDP_V4 + 2, &[0x17, 0xc0, 0, 7]), Err(Refusal::Port), "not ours to call malformed");
    assert_eq!(with(UDP_V4 + 4, &[0, 7]), Err(Refusal::UdpMalformed));
    assert_eq!(with(UDP_V4 + 4, &[0, 0x2d]), Err(Refusal::UdpMalformed));
    assert_eq!(with(UDP_V4 + 4, &[0, 0x2f]), Err(Refusal::Truncated));
    assert_eq!(with(UDP_V4 + 6, &[0, 1]), Err(Refusal::UdpChecksum));
    assert!(with(UDP_V4, &[0, 0]).is_ok(), "any source port");
}

#[test]
fn a_right_udp_checksum_is_refused_as_well() {
    for (mut frame, end, at) in [(v4(), end_v4(), 34), (v6(), end_v6(), 54)] {
        udp::Packet::new_unchecked(&mut frame[at..]).fill_checksum(&end.addresses);
        assert_eq!(decapsulate(&frame, &end), Err(Refusal::UdpChecksum));
    }
}

#[test]
fn each_rule_of_geneve() {
    assert_eq!(with(GENEVE_V4, &[0x44]), Err(Refusal::GeneveMalformed));
    assert_eq!(with(GENEVE_V4, &[0x08]), Err(Refusal::Truncated), "options past the end");
    assert_eq!(with(GENEVE_V4 + 1, &[0x80]), Err(Refusal::Oam));
    assert_eq!(with(GENEVE_V4 + 2, &[0x08, 0x00]), Err(Refusal::Payload));
    assert_eq!(with(GENEVE_V4 + 6, &[0x57]), Err(Refusal::Vni));
    assert!(with(GENEVE_V4 + 1, &[0x7f]).is_ok() && with(GENEVE_V4 + 7, &[0xff]).is_ok(), "reserved bits");
    assert!(with(OPTIONS_V4 + 3, &[0xe3]).is_ok(), "reserved bits");
    assert_eq!(with(OPTIONS_V4 + 3, &[0x04]), Err(Refusal::GeneveMalformed));
    assert_eq!(with(GENEVE_V4, &[0x07]), Err(Refusal::GeneveMalformed), "the frame is read as options");
}

#[test]
fn each_rule_of_the_options() {
    let critical = [0x01, 0x02, 0x83, 0x00];
    let short = [0xff, 0x6f, 0x01, 0x02, 0, 0, 0, 7, 0, 0, 3, 0xe8];
    let cases: [(Refusal, &[&[u8]]); 8] = [
        (Refusal::OptionMissing, &[]),
        (Refusal::OptionMissing, &[&OTHER, &EMPTY]),
        (Refusal::UnknownCritical, &[&critical, &OURS]),
        (Refusal::UnknownCritical, &[&OURS, &critical]),
        (Refusal::OptionLength, &[&short]),
        (Refusal::OptionTwice, &[&OURS, &EMPTY, &OURS]),
        (Refusal::TooManyOptions, &[&OURS, &EMPTY, &EMPTY, &OTHER, &critical]),
        (Refusal::TooManyOptions, &[&EMPTY, &EMPTY, &EMPTY, &EMPTY, &OURS]),
    ];
    for (expect, options) in cases {
        assert_eq!(with_options(&options.concat()), Err(expect), "{options:02x?}");
    }
    for options in [&[&OURS[..], &EMPTY, &OTHER, &EMPTY][..], &[&OTHER, &EMPTY, &EMPTY, &OURS]] {
        let options = options.concat();
        let start = OPTIONS_V4 + options.len();
        assert_eq!(with_options(&options), Ok(Decapsulated { frame: start..start + 14, metadata: METADATA }));
    }
}

#[test]
fn the_frame_inside_has_a_header() {
    let mut frame = [&V4[..], &INNER[..13]].concat();
    frame[17] -= 1;
    frame[UDP_V4 + 5] -= 1;
    ipv4::Packet::new_unchecked(&mut frame[14..]).fill_checksum();
    assert_eq!(decapsulate(&frame, &end_v4()), Err(Refusal::Truncated));
}

#[test]
fn reasons_have_numbers_and_names() {
    for (number, reason) in (0..).zip(Refusal::ALL) {
        assert_eq!((reason as u8, Refusal::from_number(number)), (number, Some(reason)));
        assert!(!reason.name().is_empty() && !reason.to_string().is_empty());
    }
    assert_eq!(Refusal::from_number(19), None);
}
