//! What is put into a tunnel comes out of it, and a packet that was cut or damaged does not pass for another one.

use opof_testkit::headers::check_decapsulation;
use opof_wire::decap::{Decapsulated, Refusal, TunnelEnd, decapsulate};
use opof_wire::encap::{self, Template, Tunnel};
use opof_wire::ethernet::{self, MacAddress};
use opof_wire::geneve::{self, Metadata, OptionId};
use opof_wire::{Addresses, ipv4, ipv6, udp};
use proptest::prelude::*;

/// What one bit of the outer headers is worth.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Bit {
    /// Nobody reads it: all stays the same.
    Unread,
    /// The packet is another's, or none at all.
    Refused,
    /// Says where the frame begins: it may be taken elsewhere.
    Options,
    /// Of our option's data.
    Metadata,
}

/// By its position: that of the byte, and the value in it.
fn bit(at: usize, mask: u8, is_v4: bool) -> Bit {
    let ip_len = if is_v4 { ipv4::HEADER_LEN } else { ipv6::HEADER_LEN };
    let udp = ethernet::HEADER_LEN + ip_len;
    let header = udp + udp::HEADER_LEN;
    let option = header + geneve::HEADER_LEN;
    let data = option + geneve::OPTION_HEADER_LEN;
    let unread = match at {
        // MAC addresses.
        0..12 => true,
        // IPv6 traffic class, flow label and hop limit; an IPv4 header has a checksum over all of it.
        14 => !is_v4 && mask < 0x10,
        15..18 | 21 => !is_v4,
        // The GENEVE flags but O, and the byte behind the VNI.
        _ if at == header + 1 => mask != 0x80,
        _ if at == header + 7 => true,
        // The source port, and the reserved bits of the option.
        _ if (udp..udp + 2).contains(&at) => true,
        _ => at == option + 3 && mask >= 0x20,
    };
    match at {
        _ if unread => Bit::Unread,
        _ if at >= data => Bit::Metadata,
        _ if at == header && mask < 0x40 => Bit::Options,
        _ => Bit::Refused,
    }
}

fn addresses() -> impl Strategy<Value = Addresses> {
    prop_oneof![
        any::<([u8; 4], [u8; 4])>().prop_map(|(source, destination)| Addresses::V4 { source, destination }),
        any::<([u8; 16], [u8; 16])>().prop_map(|(source, destination)| Addresses::V6 { source, destination }),
    ]
}

fn option() -> impl Strategy<Value = OptionId> {
    (any::<u16>(), 0..0x80_u8).prop_map(|(class, kind)| OptionId::new(class, kind).expect("not critical"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn what_goes_in_comes_out(
        (addresses, option, vni) in (addresses(), option(), 0..=geneve::VNI_MAX),
        (in_lif, out_lif, key, source_port) in any::<(u32, u32, u32, u16)>(),
        frame in prop::collection::vec(any::<u8>(), ethernet::HEADER_LEN..200),
        padding in 0..50_usize,
    ) {
        let metadata = Metadata { in_lif, out_lif, key };
        let (source_mac, destination_mac) = (MacAddress([2; 6]), MacAddress([4; 6]));
        let tunnel = Tunnel { source_mac, destination_mac, addresses, vni, option };
        let template = Template::new(&tunnel).expect("the VNI fits");
        let mut packet = vec![0; encap::MAX_LEN];
        let len = template.encapsulate(frame.len(), source_port, metadata, &mut packet).expect("it fits");
        packet.truncate(len);
        packet.extend(&frame);
        let end = TunnelEnd { addresses, vni, option };
        let whole = Ok(Decapsulated { frame: len..packet.len(), metadata });

        for cut in 0..packet.len() {
            prop_assert_eq!(decapsulate(&packet[..cut], &end), Err(Refusal::Truncated), "cut at {}", cut);
        }
        let padded = [&packet[..], &vec![0; padding]].concat();
        prop_assert_eq!(&decapsulate(&padded, &end), &whole);
        check_decapsulation(&packet);

        for at in 0..len {
            for mask in (0..8).map(|bit| 1 << bit) {
                packet[at] ^= mask;
                let said = decapsulate(&packet, &end);
                match bit(at, mask, matches!(addresses, Addresses::V4 { .. })) {
                    Bit::Unread => prop_assert_eq!(&said, &whole, "{:#x} at {}", mask, at),
                    Bit::Refused => prop_assert!(said.is_err(), "{:#x} at {}", mask, at),
                    Bit::Options => prop_assert!(said != whole),
                    Bit::Metadata => {
                        let said = said.expect("the same frame");
                        prop_assert_eq!(said.frame, len..packet.len());
                        let read = [said.metadata.in_lif, said.metadata.out_lif, said.metadata.key];
                        let changed = [in_lif, out_lif, key].into_iter().zip(read).map(|(was, is)| (was ^ is).count_ones());
                        prop_assert_eq!(changed.sum::<u32>(), 1);
                    }
                }
                packet[at] ^= mask;
            }
        }
    }
}
