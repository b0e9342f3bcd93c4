//! What stands in front of a frame that goes through a tunnel: Ethernet, IPv4 or IPv6, UDP, GENEVE and our option, made
//! once a tunnel as bytes ([`Template`]) and finished for each frame; and the hash that spreads the frames of a tunnel.
//!
//! The XDP program finishes the same template in the same way, so everything is at fixed offsets ([`Layout`]) and needs
//! no more than a copy and one addition. Where a tunnel's addresses come from is not known here.
//!
//! # The UDP checksum is zero
//!
//! Over IPv4 that is allowed (RFC 8926, 3.3). Over IPv6 it is as well for tunnels (RFC 6935, 5) that meet the conditions
//! of RFC 6936, 5, which RFC 8926, 4.3.1 repeats for GENEVE:
//!
//! - The tunnel stays within one operator's network, where corruption is exceptionally unlikely (its case a): it leads
//!   from the device to a firewall or a collector of the same operator, who sets both ends.
//! - What is carried has integrity checks of its own: the inner packet's checksums stay in place, and a frame that was
//!   damaged is no less damaged at its receiver, which checks them.
//! - A damaged outer header does little harm: to another address or port the packet finds no receiver, or one that knows no
//!   such VNI or no such option; a receiver has to compare the outer source address with the tunnel's (requirement 3), and
//!   a wrong number in the option names no interface or the wrong one of the same device.
//! - A tunnel has no state that a damaged packet could change.
//!
//! A checksum over every frame would cost the fast path more than all else it does. A receiver must be told to take
//! packets without one (Linux: `udp6zerocsumrx`; tshark calls them illegal until `udp.ignore_ipv6_zero_checksum` is set).

use crate::bytes::{put, put_u16, u16_at};
use crate::classify::flow_of;
use crate::error::Error;
use crate::ethernet::MacAddress;
use crate::flow::{Addresses, FlowKey, Transport};
use crate::geneve::{self, Metadata, OptionId};
use crate::{ethernet, ipv4, ipv6, udp};

/// Hops that a tunnel's packets may take, whatever the frame in them has left (RFC 1122, 3.2.1.7).
pub const HOPS: u8 = 64;
/// Most bytes of a [`Template`]: over IPv6.
pub const MAX_LEN: usize = Layout::V6.len;

const _: () = assert!(Layout::V4.len == 66 && Layout::V6.len == 86, "the XDP program knows these");

/// Where in a template the bytes are that differ from frame to frame. Each is an offset from the template's first byte; all
/// values are big-endian.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layout {
    /// Two bytes: IPv4 total length, or IPv6 payload length.
    pub ip_length: usize,
    /// What the IP length counts besides the frame.
    pub ip_length_base: usize,
    /// Two bytes: IPv4 header checksum. The template's is right for a total length of 0, so the new one is the complement of
    /// the folded sum of its complement and the length; one fold is enough.
    pub ip_checksum: Option<usize>,
    /// Two bytes: UDP source port.
    pub source_port: usize,
    /// Two bytes: UDP length.
    pub udp_length: usize,
    /// [`geneve::METADATA_LEN`] bytes: our option's data.
    pub metadata: usize,
    /// Bytes of the template; the frame follows.
    pub len: usize,
}

impl Layout {
    /// Over IPv4.
    pub const V4: Self = Self::new(ipv4::HEADER_LEN, 2, ipv4::HEADER_LEN, Some(10));
    /// Over IPv6.
    pub const V6: Self = Self::new(ipv6::HEADER_LEN, 4, 0, None);

    /// `ip_length` and `ip_checksum` within the IP header of `ip_len` bytes, of which the IP length counts `ip_counted`.
    const fn new(ip_len: usize, ip_length: usize, ip_counted: usize, ip_checksum: Option<usize>) -> Self {
        let ip = ethernet::HEADER_LEN;
        let udp = ip + ip_len;
        let option = udp + udp::HEADER_LEN + geneve::HEADER_LEN;
        Self {
            ip_length: ip + ip_length,
            ip_length_base: ip_counted + udp::HEADER_LEN + geneve::EMITTED_LEN,
            ip_checksum: match ip_checksum {
                Some(at) => Some(ip + at),
                None => None,
            },
            source_port: udp,
            udp_length: udp + 4,
            metadata: option + geneve::OPTION_HEADER_LEN,
            len: udp + udp::HEADER_LEN + geneve::EMITTED_LEN,
        }
    }

    /// The largest frame that fits behind the template, in bytes.
    pub const fn frame_len_max(&self) -> usize {
        u16::MAX as usize - self.ip_length_base
    }

    /// The largest frame that goes through a path that takes IP packets of `mtu` bytes, in bytes; 0 when not even an empty
    /// one does. Without Ethernet header and tags, what is left of it is the MTU that [`crate::packet_too_big`] tells.
    pub const fn frame_len_of_mtu(&self, mtu: usize) -> usize {
        let room = mtu.saturating_sub(self.len - ethernet::HEADER_LEN);
        if room < self.frame_len_max() { room } else { self.frame_len_max() }
    }
}

/// The two ends of a tunnel and what its packets are marked with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tunnel {
    /// The sender's link address.
    pub source_mac: MacAddress,
    /// The next hop's.
    pub destination_mac: MacAddress,
    /// The sender's address and the receiver's.
    pub addresses: Addresses,
    /// Virtual network identifier, at most [`geneve::VNI_MAX`].
    pub vni: u32,
    /// What our option is called.
    pub option: OptionId,
}

/// The outer headers of a tunnel's packets, but for what differs from frame to frame.
///
/// [`HOPS`] hops, DSCP and ECN 0. Over IPv4, DF is set: neither end of a tunnel shall have to fragment or reassemble (RFC
/// 8926, 4.4.1), and the identification of a packet that is never fragmented may be 0 (RFC 6864, 4.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Template {
    bytes: [u8; MAX_LEN],
    layout: Layout,
}

impl Template {
    /// The template of a tunnel.
    ///
    /// # Errors
    /// [`Error::Value`] when the VNI does not fit its 24 bits.
    pub fn new(tunnel: &Tunnel) -> Result<Self, Error> {
        let mut bytes = [0; MAX_LEN];
        let (layout, ether_type) = match tunnel.addresses {
            Addresses::V4 { .. } => (Layout::V4, ethernet::IPV4),
            Addresses::V6 { .. } => (Layout::V6, ethernet::IPV6),
        };
        let link = ethernet::Repr { destination: tunnel.destination_mac, source: tunnel.source_mac, ether_type };
        link.emit(&mut bytes)?;
        emit_ip(&tunnel.addresses, &mut bytes[ethernet::HEADER_LEN..])?;
        put_u16(&mut bytes, layout.ip_length..layout.ip_length + 2, 0);
        if layout.ip_checksum.is_some() {
            ipv4::Packet::new_unchecked(&mut bytes[ethernet::HEADER_LEN..]).fill_checksum();
        }
        let ports = udp::Repr { source_port: 0, destination_port: geneve::PORT, payload_len: 0 };
        ports.emit(&mut bytes[layout.source_port..])?;
        put_u16(&mut bytes, layout.udp_length..layout.udp_length + 2, 0);
        let header = geneve::Repr { vni: tunnel.vni, option: tunnel.option, metadata: Metadata::default() };
        header.emit(&mut bytes[layout.source_port + udp::HEADER_LEN..])?;
        Ok(Self { bytes, layout })
    }

    /// Everything in place but what [`Template::layout`] names, which is 0, and the IPv4 header checksum, which is that of
    /// a header whose total length is 0.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.layout.len]
    }

    /// Where the bytes are that [`Template::encapsulate`] writes.
    pub const fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Writes the outer headers of a frame of `frame_len` bytes to the beginning of `out`, and returns how many bytes they
    /// are: the frame's place is behind them. The UDP source port is [`source_port`]'s.
    ///
    /// # Errors
    /// [`Error::Truncated`] when `out` has no room for the headers; [`Error::Value`] when the frame is longer than
    /// [`Layout::frame_len_max`].
    pub fn encapsulate(
        &self,
        frame_len: usize,
        source_port: u16,
        metadata: Metadata,
        out: &mut [u8],
    ) -> Result<usize, Error> {
        let Layout { ip_length, ip_length_base, ip_checksum, udp_length, metadata: at, len, .. } = self.layout;
        let ip_bytes = u16::try_from(frame_len.saturating_add(ip_length_base)).map_err(|_| Error::Value)?;
        let udp_bytes = u16::try_from(frame_len + udp::HEADER_LEN + geneve::EMITTED_LEN).map_err(|_| Error::Value)?;
        let out = out.get_mut(..len).ok_or(Error::Truncated)?;
        out.copy_from_slice(self.bytes());
        put_u16(out, ip_length..ip_length + 2, ip_bytes);
        if let Some(checksum) = ip_checksum {
            let sum = u32::from(!u16_at(out, checksum..checksum + 2)) + u32::from(ip_bytes);
            put_u16(out, checksum..checksum + 2, !fold(sum));
        }
        put_u16(out, self.layout.source_port..self.layout.source_port + 2, source_port);
        put_u16(out, udp_length..udp_length + 2, udp_bytes);
        put(out, at..at + geneve::METADATA_LEN, &metadata.to_bytes());
        Ok(len)
    }
}

fn emit_ip(addresses: &Addresses, out: &mut [u8]) -> Result<(), Error> {
    match *addresses {
        Addresses::V4 { source, destination } => ipv4::Repr {
            source,
            destination,
            traffic_class: 0,
            identification: 0,
            dont_fragment: true,
            more_fragments: false,
            fragment_offset: 0,
            ttl: HOPS,
            protocol: Transport::Udp.number(),
            options: &[],
            payload_len: 0,
        }
        .emit(out),
        Addresses::V6 { source, destination } => ipv6::Repr {
            source,
            destination,
            traffic_class: 0,
            flow_label: 0,
            next_header: Transport::Udp.number(),
            hop_limit: HOPS,
            payload_len: 0,
        }
        .emit(out),
    }
}

/// A one's complement sum of two 16-bit words, back in 16 bits.
fn fold(sum: u32) -> u16 {
    low((sum & 0xffff) + (sum >> 16))
}

fn low(word: u32) -> u16 {
    let [.., high, low] = word.to_be_bytes();
    u16::from_be_bytes([high, low])
}

/// The UDP source port of a flow's packets. RFC 8926, 3.3 asks for a hash of the flow, so that paths and queues are shared
/// out by flow, and allows for all 16 bits; these are the dynamic ports (49152 to 65535: RFC 6335, 6), so that no filter on
/// the way takes them for a service's.
pub const fn source_port(flow_hash: u32) -> u16 {
    let [.., high, low] = flow_hash.to_be_bytes();
    0xc000 | u16::from_be_bytes([high, low]) & 0x3fff
}

/// A hash of four words, the same here and in the XDP program.
///
/// All arithmetic is modulo 2^32. It begins with 0; for each word in turn the state is XORed with the word, multiplied by
/// 0x9E3779B1 (odd, 2^32 over the golden ratio), and XORed with itself shifted right by 15, which brings the well-mixed
/// upper bits down to where the ports are cut from.
///
/// The order of the words counts, so the two directions of a flow differ: each is a flow of its own to the network
/// in between. There is no secret in it: who chooses the words can choose the hash, and so put many flows on one path; no
/// table is indexed by it.
pub const fn flow_hash(words: [u32; 4]) -> u32 {
    let [a, b, c, d] = words;
    mix(mix(mix(mix(0, a), b), c), d)
}

const fn mix(state: u32, word: u32) -> u32 {
    let state = (state ^ word).wrapping_mul(0x9e37_79b1);
    state ^ state >> 15
}

/// The words that [`flow_hash`] takes for a frame with a flow key: source address, destination address (each the XOR of its
/// big-endian words), source port above destination port, and the IP protocol number. The VLAN is not in it.
pub fn flow_words(key: &FlowKey) -> [u32; 4] {
    let (source, destination) = match key.addresses {
        Addresses::V4 { source, destination } => (u32::from_be_bytes(source), u32::from_be_bytes(destination)),
        Addresses::V6 { source, destination } => (folded(&source), folded(&destination)),
    };
    let ports = u32::from(key.source_port) << 16 | u32::from(key.destination_port);
    [source, destination, ports, u32::from(key.transport.number())]
}

/// The words that [`flow_hash`] takes for a frame without a flow key: its first 16 bytes, which are both MAC addresses, the
/// EtherType, and two more (tag, IP version and such). Zeros when the frame is shorter.
pub fn link_words(frame: &[u8]) -> [u32; 4] {
    let mut words = [0; 4];
    if let Some(bytes) = frame.first_chunk::<16>() {
        for (word, bytes) in words.iter_mut().zip(bytes.as_chunks().0) {
            *word = u32::from_be_bytes(*bytes);
        }
    }
    words
}

/// The hash of any frame: of its flow's words, TCP control included, or of its link's.
pub fn frame_hash(frame: &[u8]) -> u32 {
    flow_hash(flow_of(frame).map_or_else(|| link_words(frame), |key| flow_words(&key)))
}

fn folded(address: &[u8; 16]) -> u32 {
    address.as_chunks().0.iter().fold(0, |word, bytes| word ^ u32::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::flow::Vid;
    use std::collections::BTreeSet;

    const SOURCE: [u8; 16] = [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    const DESTINATION: [u8; 16] = [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];
    const METADATA: Metadata = Metadata { in_lif: 7, out_lif: 1000, key: 0xdead_beef };

    fn tunnel(addresses: Addresses) -> Tunnel {
        Tunnel {
            source_mac: MacAddress([2, 0, 0, 0, 0, 0xa]),
            destination_mac: MacAddress([2, 0, 0, 0, 0, 0xb]),
            addresses,
            vni: 0x12_3456,
            option: OptionId::DEFAULT,
        }
    }

    fn v4() -> Tunnel {
        tunnel(Addresses::V4 { source: [192, 0, 2, 1], destination: [192, 0, 2, 2] })
    }

    fn v6() -> Tunnel {
        tunnel(Addresses::V6 { source: SOURCE, destination: DESTINATION })
    }

    /// In front of 60 bytes.
    const V4: [u8; 66] = [
        2, 0, 0, 0, 0, 0xb, 2, 0, 0, 0, 0, 0xa, 0x08, 0x00, //
        0x45, 0x00, 0x00, 0x70, 0, 0, 0x40, 0x00, 64, 17, 0xb6, 0x79, 192, 0, 2, 1, 192, 0, 2, 2, //
        0xc1, 0x23, 0x17, 0xc1, 0x00, 0x5c, 0, 0, //
        0x04, 0x00, 0x65, 0x58, 0x12, 0x34, 0x56, 0x00, //
        0xff, 0x6f, 0x01, 0x03, 0, 0, 0, 7, 0, 0, 3, 0xe8, 0xde, 0xad, 0xbe, 0xef,
    ];
    const V6: [u8; 86] = [
        2, 0, 0, 0, 0, 0xb, 2, 0, 0, 0, 0, 0xa, 0x86, 0xdd, //
        0x60, 0, 0, 0, 0x00, 0x5c, 17, 64, //
        0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, //
        0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, //
        0xc1, 0x23, 0x17, 0xc1, 0x00, 0x5c, 0, 0, //
        0x04, 0x00, 0x65, 0x58, 0x12, 0x34, 0x56, 0x00, //
        0xff, 0x6f, 0x01, 0x03, 0, 0, 0, 7, 0, 0, 3, 0xe8, 0xde, 0xad, 0xbe, 0xef,
    ];

    #[test]
    fn the_headers_of_a_frame_byte_by_byte() {
        let mut out = [0xff; 100];
        let template = Template::new(&v4()).unwrap();
        assert_eq!(template.encapsulate(60, 0xc123, METADATA, &mut out), Ok(66));
        assert_eq!(out[..66], V4);
        let template = Template::new(&v6()).unwrap();
        assert_eq!(template.encapsulate(60, 0xc123, METADATA, &mut out), Ok(86));
        assert_eq!(out[..86], V6);
        assert_eq!(out[86..], [0xff; 14], "nothing is written behind");
    }

    /// The offsets as the XDP program has them.
    #[test]
    fn what_is_patched_is_where_it_is_said_to_be() {
        let v4 = Layout {
            ip_length: 16,
            ip_length_base: 52,
            ip_checksum: Some(24),
            source_port: 34,
            udp_length: 38,
            metadata: 54,
            len: 66,
        };
        let v6 = Layout {
            ip_length: 18,
            ip_length_base: 32,
            ip_checksum: None,
            source_port: 54,
            udp_length: 58,
            metadata: 74,
            len: 86,
        };
        assert_eq!((Layout::V4, Layout::V6), (v4, v6));
    }

    #[test]
    fn the_template_is_zero_where_it_is_patched() {
        for (whole, tunnel) in [(&V4[..], v4()), (&V6[..], v6())] {
            let template = Template::new(&tunnel).unwrap();
            let layout = template.layout();
            let mut expect = whole.to_vec();
            for (at, len) in
                [(layout.ip_length, 2), (layout.source_port, 2), (layout.udp_length, 2), (layout.metadata, 12)]
            {
                expect[at..at + len].fill(0);
            }
            if let Some(at) = layout.ip_checksum {
                ipv4::Packet::new_unchecked(&mut expect[14..34]).fill_checksum();
                assert_eq!(expect[at..at + 2], [0xb6, 0xe9]);
            }
            assert_eq!(template.bytes(), expect);
        }
    }

    #[test]
    fn every_length_has_its_checksum() {
        let template = Template::new(&v4()).unwrap();
        let mut out = [0; MAX_LEN];
        for frame_len in 0..=Layout::V4.frame_len_max() {
            template.encapsulate(frame_len, 0xc000, METADATA, &mut out).unwrap();
            let header = ipv4::Packet::new_unchecked(&out[14..34]);
            assert!(header.verify_checksum(), "{frame_len}");
            assert_eq!(header.total_len(), frame_len + 52);
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for (tunnel, most) in [(v4(), 65_483), (v6(), 65_503)] {
            let template = Template::new(&tunnel).unwrap();
            assert_eq!(template.layout().frame_len_max(), most);
            let len = template.bytes().len();
            let mut out = [0; MAX_LEN];
            assert_eq!(template.encapsulate(most, 0, METADATA, &mut out), Ok(len));
            assert_eq!(template.encapsulate(most + 1, 0, METADATA, &mut out), Err(Error::Value));
            assert_eq!(template.encapsulate(usize::MAX, 0, METADATA, &mut out), Err(Error::Value));
            assert_eq!(template.encapsulate(60, 0, METADATA, &mut out[..len - 1]), Err(Error::Truncated));
        }
        assert_eq!(Template::new(&Tunnel { vni: 1 << 24, ..v4() }), Err(Error::Value));
    }

    #[test]
    fn the_path_bounds_the_frame() {
        assert_eq!((Layout::V4.frame_len_of_mtu(1500), Layout::V6.frame_len_of_mtu(1500)), (1448, 1428));
        assert_eq!((Layout::V4.frame_len_of_mtu(52), Layout::V6.frame_len_of_mtu(0)), (0, 0));
        assert_eq!(Layout::V4.frame_len_of_mtu(usize::MAX), Layout::V4.frame_len_max());
        let mut out = [0; MAX_LEN];
        for tunnel in [v4(), v6()] {
            let template = Template::new(&tunnel).unwrap();
            let frame_len = template.layout().frame_len_of_mtu(1500);
            let len = template.encapsulate(frame_len, 0, METADATA, &mut out).unwrap();
            assert_eq!(len + frame_len, ethernet::HEADER_LEN + 1500);
        }
    }

    fn key(addresses: Addresses, source_port: u16, destination_port: u16) -> FlowKey {
        FlowKey {
            vlan: Vid::UNTAGGED,
            tunnel: crate::Tunnel::None,
            addresses,
            source_port,
            destination_port,
            transport: Transport::Tcp,
        }
    }

    #[test]
    fn the_words_of_keys_and_frames() {
        let v4 = key(Addresses::V4 { source: [192, 0, 2, 1], destination: [198, 51, 100, 2] }, 0xc000, 443);
        assert_eq!(flow_words(&v4), [0xc000_0201, 0xc633_6402, 0xc000_01bb, 6]);
        let v6 = key(Addresses::V6 { source: SOURCE, destination: DESTINATION }, 1, 2);
        assert_eq!(flow_words(&v6), [0x2001_0db9, 0x2001_0dba, 0x0001_0002, 6]);
        assert_eq!(link_words(&V4), [0x0200_0000, 0x000b_0200, 0x0000_000a, 0x0800_4500]);
        assert_eq!(link_words(&V4[..16])[3], 0x0800_4500);
        assert_eq!(link_words(&V4[..15]), [0; 4]);
    }

    /// A twin that gets these wrong spreads flows otherwise than we do.
    #[test]
    fn fixed_values_of_the_hash() {
        assert_eq!(flow_hash([0; 4]), 0);
        assert_eq!(flow_hash([1, 0, 0, 0]), 0x4c81_9ebd);
        assert_eq!(flow_hash([0, 0, 0, 1]), 0x9e37_79b1 ^ (0x9e37_79b1 >> 15));
        assert_eq!(flow_hash([0xc000_0201, 0xc633_6402, 0xc000_01bb, 6]), 0x2434_865f);
        assert_eq!(flow_hash([u32::MAX; 4]), 0xaca3_3c5f);
        assert_eq!(source_port(0), 0xc000);
        assert_eq!(source_port(u32::MAX), 0xffff);
        assert_eq!(source_port(0xabcd_4123), 0xc123);
    }

    #[test]
    fn the_two_directions_differ() {
        let there = key(Addresses::V4 { source: [192, 0, 2, 1], destination: [192, 0, 2, 2] }, 5000, 5000);
        assert_ne!(flow_hash(flow_words(&there)), flow_hash(flow_words(&there.reversed())));
    }

    /// Of 4,096 flows that differ in one field, a random function into 16,384 ports would leave 3,624 distinct ones.
    #[test]
    fn near_flows_take_different_ports() {
        let ports = |words: &dyn Fn(u32) -> [u32; 4]| {
            (0..4_096).map(|n| source_port(flow_hash(words(n)))).collect::<BTreeSet<_>>().len()
        };
        let distinct = [
            ports(&|n| [0x0a00_0001 + n, 0x0a01_0001, 0xc000_01bb, 6]),
            ports(&|n| [0x0a00_0001, 0x0a01_0001 + n, 0xc000_01bb, 6]),
            ports(&|n| [0x0a00_0001, 0x0a01_0001, 0xc000_01bb + (n << 16), 6]),
            ports(&|n| [0x0a00_0001, 0x0a01_0001, 0xc000_0000 + n, 17]),
        ];
        assert!(distinct.iter().all(|count| *count > 3_400), "{distinct:?}");
    }
}
