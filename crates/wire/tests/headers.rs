//! Two properties of every header: what is emitted parses to the same values, and once `new_checked` accepted bytes no
//! accessor panics.

use opof_testkit::frames::RandomFrames;
use opof_testkit::headers::{check_answer, check_decapsulation, check_headers, check_verdict};
use opof_testkit::packet::Packet;
use opof_wire::encap::{self, Template, Tunnel};
use opof_wire::ethernet::{self, MacAddress};
use opof_wire::geneve::{self, Metadata, OptionId};
use opof_wire::packet_too_big::{self, Silence, answer};
use opof_wire::{Addresses, gtpu, icmp, ipv4, ipv6, ipv6_ext, tcp, udp, vlan};
use proptest::prelude::*;

#[test]
fn accessors_of_checked_headers_take_random_frames_from_every_start() {
    for frame in RandomFrames::new(2).take(2_000) {
        check_verdict(&frame);
        check_answer(&frame);
        check_decapsulation(&frame);
        for start in 0..frame.len().min(80) {
            check_headers(&frame[start..]);
        }
    }
}

/// Up to ten words of options.
fn options() -> impl Strategy<Value = Vec<u8>> {
    (0..=10_usize).prop_flat_map(|words| prop::collection::vec(any::<u8>(), words * 4))
}

/// The bytes that `emit` wrote into a buffer full of ones, then `tail` bytes more.
fn emitted(len: usize, tail: usize, emit: impl FnOnce(&mut [u8]) -> Result<(), opof_wire::Error>) -> Vec<u8> {
    let mut bytes = vec![0xff; len + tail];
    emit(&mut bytes).expect("the values fit");
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn arbitrary_bytes_panic_nowhere(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        check_headers(&bytes);
        check_verdict(&bytes);
        check_answer(&bytes);
        check_decapsulation(&bytes);
    }

    #[test]
    fn ethernet(destination: [u8; 6], source: [u8; 6], ether_type: u16) {
        let repr =
            ethernet::Repr { destination: MacAddress(destination), source: MacAddress(source), ether_type };
        prop_assert_eq!(ethernet::Repr::parse(&emitted(repr.buffer_len(), 0, |out| repr.emit(out))), Ok(repr));
    }

    #[test]
    fn vlan(priority in 0..8_u8, drop_eligible: bool, vid in 0..4096_u16, ether_type: u16) {
        let repr = vlan::Repr { priority, drop_eligible, vid, ether_type };
        prop_assert_eq!(vlan::Repr::parse(&emitted(repr.buffer_len(), 0, |out| repr.emit(out))), Ok(repr));
    }

    #[test]
    fn ipv4(
        (source, destination, traffic_class, identification) in any::<([u8; 4], [u8; 4], u8, u16)>(),
        (dont_fragment, more_fragments, ttl, protocol) in any::<(bool, bool, u8, u8)>(),
        fragment_offset in 0..8192_u16,
        options in options(),
        payload_len in 0..100_usize,
    ) {
        let repr = ipv4::Repr {
            source, destination, traffic_class, identification, dont_fragment, more_fragments, fragment_offset,
            ttl, protocol, options: &options, payload_len,
        };
        let bytes = emitted(repr.buffer_len(), payload_len, |out| repr.emit(out));
        prop_assert_eq!(ipv4::Repr::parse(&bytes), Ok(repr));
        prop_assert!(ipv4::Packet::new_unchecked(&bytes).verify_checksum());
    }

    #[test]
    fn ipv6(
        (source, destination, traffic_class) in any::<([u8; 16], [u8; 16], u8)>(),
        flow_label in 0..1_u32 << 20,
        (next_header, hop_limit) in any::<(u8, u8)>(),
        payload_len in 0..100_usize,
    ) {
        let repr = ipv6::Repr { source, destination, traffic_class, flow_label, next_header, hop_limit, payload_len };
        let bytes = emitted(repr.buffer_len(), payload_len, |out| repr.emit(out));
        prop_assert_eq!(ipv6::Repr::parse(&bytes), Ok(repr));
    }

    #[test]
    fn ipv6_extension(
        next_header: u8,
        body in (0..40_usize).prop_flat_map(|units| prop::collection::vec(any::<u8>(), units * 8 + 6)),
    ) {
        let repr = ipv6_ext::Repr { next_header, body: &body };
        let bytes = emitted(repr.buffer_len(), 0, |out| repr.emit(out));
        prop_assert_eq!(ipv6_ext::Repr::parse(&bytes), Ok(repr));
    }

    #[test]
    fn ipv6_fragment(next_header: u8, offset in 0..8192_u16, more_fragments: bool, identification: u32) {
        let repr = ipv6_ext::FragmentRepr { next_header, offset, more_fragments, identification };
        let bytes = emitted(repr.buffer_len(), 0, |out| repr.emit(out));
        prop_assert_eq!(ipv6_ext::FragmentRepr::parse(&bytes), Ok(repr));
    }

    #[test]
    fn tcp(
        (source_port, destination_port, sequence, acknowledgment) in any::<(u16, u16, u32, u32)>(),
        (flags, window, urgent) in any::<(u8, u16, u16)>(),
        options in options(),
    ) {
        let flags = tcp::Flags(flags);
        let repr =
            tcp::Repr { source_port, destination_port, sequence, acknowledgment, flags, window, urgent, options: &options };
        let bytes = emitted(repr.buffer_len(), 0, |out| repr.emit(out));
        prop_assert_eq!(tcp::Repr::parse(&bytes), Ok(repr));
    }

    #[test]
    fn udp(source_port: u16, destination_port: u16, payload_len in 0..100_usize) {
        let repr = udp::Repr { source_port, destination_port, payload_len };
        let bytes = emitted(repr.buffer_len(), payload_len, |out| repr.emit(out));
        prop_assert_eq!(udp::Repr::parse(&bytes), Ok(repr));
    }
    #[test]
    fn geneve(
        vni in 0..1_u32 << 24,
        (class, kind) in (any::<u16>(), 0..0x80_u8),
        (in_lif, out_lif, key) in any::<(u32, u32, u32)>(),
        tail in 0..50_usize,
    ) {
        let option = OptionId::new(class, kind).expect("not critical");
        let repr = geneve::Repr { vni, option, metadata: Metadata { in_lif, out_lif, key } };
        let bytes = emitted(repr.buffer_len(), tail, |out| repr.emit(out));
        prop_assert_eq!(geneve::Repr::parse(&bytes, option), Ok(repr));
        prop_assert_eq!(geneve::Packet::new_unchecked(&bytes[..]).payload().len(), tail);
    }

    /// What a tunnel puts in front of a frame parses, header by header, to what the tunnel is.
    #[test]
    fn encapsulation(
        (source_mac, destination_mac, hash) in any::<([u8; 6], [u8; 6], u32)>(),
        addresses in prop_oneof![
            any::<([u8; 4], [u8; 4])>().prop_map(|(source, destination)| Addresses::V4 { source, destination }),
            any::<([u8; 16], [u8; 16])>().prop_map(|(source, destination)| Addresses::V6 { source, destination }),
        ],
        vni in 0..1_u32 << 24,
        (in_lif, out_lif, key) in any::<(u32, u32, u32)>(),
        frame in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let (source_mac, destination_mac) = (MacAddress(source_mac), MacAddress(destination_mac));
        let metadata = Metadata { in_lif, out_lif, key };
        let tunnel = Tunnel { source_mac, destination_mac, addresses, vni, option: OptionId::DEFAULT };
        let template = Template::new(&tunnel).expect("the VNI fits");
        let mut packet = vec![0xff; encap::MAX_LEN];
        let len = template.encapsulate(frame.len(), encap::source_port(hash), metadata, &mut packet).expect("it fits");
        packet.truncate(len);
        packet.extend(&frame);

        let link = ethernet::Repr::parse(&packet).expect("Ethernet");
        prop_assert_eq!((link.source, link.destination), (source_mac, destination_mac));
        let rest = &packet[link.buffer_len()..];
        let payload = if let Addresses::V4 { .. } = addresses {
            let ip = ipv4::Packet::new_checked(rest).expect("IPv4");
            prop_assert!(ip.verify_checksum() && ip.dont_fragment() && !ip.is_fragment());
            prop_assert_eq!((ip.addresses(), ip.ttl(), ip.protocol()), (addresses, encap::HOPS, 17));
            ip.payload()
        } else {
            let ip = ipv6::Packet::new_checked(rest).expect("IPv6");
            prop_assert_eq!((ip.addresses(), ip.hop_limit(), ip.next_header()), (addresses, encap::HOPS, 17));
            ip.payload()
        };
        let udp = udp::Packet::new_checked(payload).expect("UDP");
        prop_assert_eq!((udp.length(), udp.checksum(), udp.destination_port()), (payload.len(), 0, geneve::PORT));
        prop_assert_eq!(u32::from(udp.source_port()), 0xc000 | hash & 0x3fff);
        let header = geneve::Repr::parse(udp.payload(), OptionId::DEFAULT);
        prop_assert_eq!(header, Ok(geneve::Repr { vni, option: OptionId::DEFAULT, metadata }));
        prop_assert_eq!(geneve::Packet::new_unchecked(udp.payload()).payload(), &frame[..]);
    }
    #[test]
    fn icmp(mtu_v4: u16, mtu_v6: u32, tail in prop::collection::vec(any::<u8>(), 0..50)) {
        let v4 = (Addresses::V4 { source: [1; 4], destination: [2; 4] }, icmp::PROTOCOL_V4);
        let v6 = (Addresses::V6 { source: [1; 16], destination: [2; 16] }, icmp::PROTOCOL_V6);
        let messages =
            [(icmp::Repr::FragmentationNeeded { mtu: mtu_v4 }, v4), (icmp::Repr::PacketTooBig { mtu: mtu_v6 }, v6)];
        for (repr, (addresses, protocol)) in messages {
            let mut bytes = emitted(repr.buffer_len(), 0, |out| repr.emit(out));
            bytes.extend(&tail);
            icmp::Packet::new_unchecked(&mut bytes[..]).fill_checksum(&addresses);
            prop_assert_eq!(icmp::Repr::parse(&bytes, protocol), Ok(repr));
            prop_assert!(icmp::Packet::new_unchecked(&bytes[..]).verify_checksum(&addresses));
        }
    }

    /// Every packet between hosts that is too long is answered, and rightly: `check_answer` says what that is.
    #[test]
    fn what_does_not_fit_is_answered(
        (v4, v6) in (any::<([u8; 4], [u8; 4])>(), any::<([u8; 16], [u8; 16])>()),
        is_v4: bool,
        tags in prop::collection::vec(0..4096_u16, 0..=2),
        payload in prop::collection::vec(any::<u8>(), 1300..1600),
        option_words in 0..=10_usize,
        mtu in 1280..=1300_u16,
    ) {
        let mut packet = Packet::new();
        for vid in &tags {
            packet = packet.vlan(*vid);
        }
        // Bit 6 set and bit 7 clear: 64 to 126, which are hosts in both families.
        let host = |first: u8| (first & 0x3f | 0x40).min(126);
        let frame = if is_v4 {
            let (mut source, mut destination) = v4;
            (source[0], destination[0]) = (host(source[0]), host(destination[0]));
            packet.ipv4(source, destination).ipv4_options(&vec![1; option_words * 4])
        } else {
            let (mut source, mut destination) = v6;
            (source[0], destination[0]) = (host(source[0]), host(destination[0]));
            packet.ipv6(source, destination).hop_by_hop()
        };
        let mut frame = frame.udp(5000, 6000).payload(&payload).build();
        if is_v4 {
            let start = 14 + 4 * tags.len();
            frame[start + 6] |= 0x40;
            ipv4::Packet::new_unchecked(&mut frame[start..]).fill_checksum();
        }
        check_answer(&frame);
        let mut out = [0; packet_too_big::MAX_LEN];
        prop_assert!(answer(&frame, mtu, &mut out).is_ok());
        let fits = u16::try_from(frame.len()).expect("short");
        prop_assert_eq!(answer(&frame, fits, &mut out), Err(Silence::Fits));
    }

    #[test]
    fn gtpu(
        (message_type, teid) in any::<(u8, u32)>(),
        (sequence, n_pdu, next_extension) in any::<(Option<u16>, Option<u8>, Option<u8>)>(),
        payload_len in 0..100_usize,
    ) {
        let repr = gtpu::Repr { message_type, teid, sequence, n_pdu, next_extension, payload_len };
        let bytes = emitted(repr.buffer_len(), payload_len, |out| repr.emit(out));
        prop_assert_eq!(gtpu::Repr::parse(&bytes), Ok(repr));
    }

    #[test]
    fn gtpu_extension(
        next_extension: u8,
        content in (0..255_usize).prop_flat_map(|units| prop::collection::vec(any::<u8>(), units * 4 + 2)),
    ) {
        let repr = gtpu::ExtensionRepr { content: &content, next_extension };
        let bytes = emitted(repr.buffer_len(), 0, |out| repr.emit(out));
        prop_assert_eq!(gtpu::ExtensionRepr::parse(&bytes), Ok(repr));
    }
}
