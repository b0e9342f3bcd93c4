//! Two properties of every header: what is emitted parses to the same values, and once `new_checked` accepted bytes no
//! accessor panics.

use opof_testkit::frames::RandomFrames;
use opof_testkit::headers::{check_headers, check_verdict};
use opof_wire::ethernet::{self, MacAddress};
use opof_wire::{gtpu, ipv4, ipv6, ipv6_ext, tcp, udp, vlan};
use proptest::prelude::*;

#[test]
fn accessors_of_checked_headers_take_random_frames_from_every_start() {
    for frame in RandomFrames::new(2).take(2_000) {
        check_verdict(&frame);
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
