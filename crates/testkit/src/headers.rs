//! What must hold for any bytes at all: one body for unit tests, property tests and the fuzz target.

use std::net::IpAddr;

use opof_wire::decap::{self, Decapsulated, Refusal, TunnelEnd, decapsulate};
use opof_wire::edit::rewrite_outer_vid;
use opof_wire::encap::Template;
use opof_wire::ethernet::MacAddress;
use opof_wire::geneve::{self, OptionId};
use opof_wire::packet_too_big::{self, Silence, answer, must_answer};
use opof_wire::tcp::Flags;
use opof_wire::{Addresses, Edit, Endpoint, FlowKey, Macs, SlowPath, Transport, Tunnel, Vid};
use opof_wire::{classify, encap, ethernet, flow_of, gtpu, icmp, ipv4, ipv6, ipv6_ext, tcp, udp, vlan};

/// Calls every accessor and every checksum setter of every header that accepts `bytes`.
///
/// # Panics
/// When an accessor does, or a checksum that was just set is not right.
pub fn check_headers(bytes: &[u8]) {
    read_everything(bytes);
    write_everything(&mut bytes.to_vec());
}

fn read_everything(bytes: &[u8]) {
    let addresses = Addresses::V4 { source: [1; 4], destination: [2; 4] };
    if let Ok(frame) = ethernet::Frame::new_checked(bytes) {
        let _ = (frame.destination(), frame.source(), frame.ether_type(), frame.payload());
    }
    if let Ok(tag) = vlan::Tag::new_checked(bytes) {
        let _ = (tag.priority(), tag.drop_eligible(), tag.vid(), tag.ether_type(), tag.payload());
    }
    if let Ok(packet) = ipv4::Packet::new_checked(bytes) {
        let _ = (packet.version(), packet.header_len(), packet.traffic_class(), packet.total_len());
        let _ = (packet.identification(), packet.reserved_flag(), packet.dont_fragment(), packet.more_fragments());
        let _ = (packet.fragment_offset(), packet.is_fragment(), packet.ttl(), packet.protocol(), packet.checksum());
        let _ = (packet.addresses(), packet.verify_checksum(), packet.options(), packet.payload());
    }
    if let Ok(packet) = ipv6::Packet::new_checked(bytes) {
        let _ = (packet.version(), packet.traffic_class(), packet.flow_label(), packet.payload_len());
        let _ = (packet.next_header(), packet.hop_limit(), packet.addresses(), packet.payload());
    }
    if let Ok(header) = ipv6_ext::Packet::new_checked(bytes) {
        let _ = (header.next_header(), header.header_len(), header.body(), header.payload());
    }
    if let Ok(header) = ipv6_ext::Fragment::new_checked(bytes) {
        let _ = (header.next_header(), header.offset(), header.more_fragments(), header.identification());
        let _ = header.payload();
    }
    if let Ok(packet) = tcp::Packet::new_checked(bytes) {
        let _ = (packet.source_port(), packet.destination_port(), packet.sequence(), packet.acknowledgment());
        let _ = (packet.header_len(), packet.flags(), packet.window(), packet.checksum(), packet.urgent());
        let _ = (packet.verify_checksum(&addresses), packet.options(), packet.payload());
    }
    if let Ok(packet) = udp::Packet::new_checked(bytes) {
        let _ = (packet.source_port(), packet.destination_port(), packet.length(), packet.checksum());
        let _ = (packet.verify_checksum(&addresses), packet.payload());
    }
    if let Ok(packet) = gtpu::Packet::new_checked(bytes) {
        let _ = (packet.version(), packet.is_gtp(), packet.message_type(), packet.message_len(), packet.teid());
        let _ = (packet.header_len(), packet.sequence(), packet.n_pdu(), packet.next_extension(), packet.payload());
    }
    if let Ok(header) = gtpu::Extension::new_checked(bytes) {
        let _ = (header.header_len(), header.next_extension(), header.content(), header.payload());
    }
    if let Ok(packet) = geneve::Packet::new_checked(bytes) {
        let _ = (packet.version(), packet.header_len(), packet.is_oam(), packet.has_critical_options());
        let _ = (packet.protocol(), packet.vni(), packet.payload());
        let in_options: usize = packet.options().map(|option| geneve::OPTION_HEADER_LEN + option.data.len()).sum();
        assert_eq!(geneve::HEADER_LEN + in_options, packet.header_len());
    }
    if let Ok(packet) = icmp::Packet::new_checked(bytes) {
        let _ = (packet.kind(), packet.code(), packet.checksum(), packet.verify_checksum(&addresses), packet.payload());
    }
    check_geneve(bytes);
    let _ = encap::flow_hash(encap::link_words(bytes));
}

/// What parses as our GENEVE header is the same when it was emitted and parsed again.
fn check_geneve(bytes: &[u8]) {
    // The name that the bytes themselves have where our option usually is, or one that they hardly have.
    let class = bytes.get(8..10).map_or(0, |class| u16::from_be_bytes([class[0], class[1]]));
    let id = bytes.get(10).and_then(|kind| OptionId::new(class, *kind)).unwrap_or_default();
    if let Ok(repr) = geneve::Repr::parse(bytes, id) {
        let mut again = [0; geneve::EMITTED_LEN];
        repr.emit(&mut again).expect("what was parsed fits");
        assert_eq!(geneve::Repr::parse(&again, id), Ok(repr));
    }
}

fn write_everything(bytes: &mut [u8]) {
    let addresses = Addresses::V6 { source: [1; 16], destination: [2; 16] };
    if let Ok(mut packet) = ipv4::Packet::new_checked(&mut *bytes) {
        packet.fill_checksum();
        assert!(packet.verify_checksum());
    }
    if let Ok(mut packet) = tcp::Packet::new_checked(&mut *bytes) {
        packet.fill_checksum(&addresses);
        assert!(packet.verify_checksum(&addresses));
    }
    if let Ok(mut packet) = udp::Packet::new_checked(&mut *bytes) {
        packet.fill_checksum(&addresses);
        assert!(packet.verify_checksum(&addresses));
    }
    if let Ok(mut packet) = icmp::Packet::new_checked(&mut *bytes) {
        packet.fill_checksum(&addresses);
        assert!(packet.verify_checksum(&addresses));
    }
    rewrite_outer_vid(bytes, Vid::MAX);
    let endpoint = |address: [u16; 8]| Some(Endpoint { address: IpAddr::from(address), port: Some(7) });
    let macs = Some(Macs { source: MacAddress([2; 6]), destination: MacAddress([4; 6]) });
    Edit { vlan: None, macs, source: endpoint([1; 8]), destination: endpoint([2; 8]) }.apply(bytes);
}

/// Classifies `frame`; when it has a key, or is TCP control of a flow, the representations, parsed one by one, must have the same.
///
/// # Panics
/// When they differ, or on a reason that is not the parser's to give.
pub fn check_verdict(frame: &[u8]) {
    match (classify(frame), flow_of(frame)) {
        (Ok(key), flow) => assert_eq!((reparsed(frame), flow), (Ok((key, false)), Some(key))),
        (Err(SlowPath::TcpControl), Some(key)) => assert_eq!(reparsed(frame), Ok((key, true))),
        (Err(reason), flow) => assert!(reason.is_of_the_parser() && flow.is_none(), "{reason}, {flow:?}"),
    }
}

/// The key of a frame that is known to have one or to be TCP control, and whether it is.
fn reparsed(frame: &[u8]) -> Result<(FlowKey, bool), opof_wire::Error> {
    let header = ethernet::Repr::parse(frame)?;
    let mut rest = &frame[header.buffer_len()..];
    let (mut ether_type, mut outer) = (header.ether_type, None);
    while vlan::is_tpid(ether_type) {
        let tag = vlan::Repr::parse(rest)?;
        rest = &rest[tag.buffer_len()..];
        ether_type = tag.ether_type;
        outer = outer.or(Some(tag.vid));
    }
    let vlan = Vid::new(outer.unwrap_or(0)).expect("a frame with a key has a valid VID");
    let version = if ether_type == ethernet::IPV4 { 4 } else { 6 };
    let outermost = reparsed_ip(version, rest)?;
    let (mut key, mut is_control) = (FlowKey { vlan, ..outermost.key }, outermost.is_control);
    if key.transport == Transport::Udp && key.destination_port == gtpu::PORT {
        let packet = reparsed_gtpu(outermost.payload)?;
        let inner = reparsed_ip(packet[0] >> 4, packet)?;
        assert_eq!(inner.len, packet.len(), "a G-PDU is one packet and nothing else");
        (key, is_control) = (FlowKey { vlan, tunnel: Tunnel::Gtpu, ..inner.key }, inner.is_control);
    }
    Ok((key, is_control))
}

/// An IP packet that is known to be one with a key.
struct Reparsed<'a> {
    /// Untagged, and not in a tunnel.
    key: FlowKey,
    /// TCP with SYN, FIN or RST.
    is_control: bool,
    /// Bytes of the IP packet.
    len: usize,
    /// What the transport carries.
    payload: &'a [u8],
}

fn reparsed_ip(version: u8, bytes: &[u8]) -> Result<Reparsed<'_>, opof_wire::Error> {
    let (addresses, protocol, header_len, payload_len) = if version == 4 {
        let ip = ipv4::Repr::parse(bytes)?;
        assert!(ip.options.is_empty() && ip.fragment_offset == 0 && !ip.more_fragments);
        let (source, destination) = (ip.source, ip.destination);
        (Addresses::V4 { source, destination }, ip.protocol, ip.buffer_len(), ip.payload_len)
    } else {
        let ip = ipv6::Repr::parse(bytes)?;
        let (source, destination) = (ip.source, ip.destination);
        (Addresses::V6 { source, destination }, ip.next_header, ip.buffer_len(), ip.payload_len)
    };
    let upper = &bytes[header_len..][..payload_len];
    let transport = Transport::from_number(protocol).expect("a frame with a key is TCP or UDP");
    let (source_port, destination_port, upper_len, is_control) = match transport {
        Transport::Tcp => {
            let header = tcp::Repr::parse(upper)?;
            let is_control = header.flags.intersects(Flags::CONTROL);
            (header.source_port, header.destination_port, header.buffer_len(), is_control)
        }
        Transport::Udp => {
            let header = udp::Repr::parse(upper)?;
            assert_eq!(header.payload_len + udp::HEADER_LEN, upper.len());
            (header.source_port, header.destination_port, header.buffer_len(), false)
        }
    };
    let (vlan, tunnel) = (Vid::UNTAGGED, Tunnel::None);
    let key = FlowKey { vlan, tunnel, addresses, source_port, destination_port, transport };
    Ok(Reparsed { key, is_control, len: header_len + payload_len, payload: &upper[upper_len..] })
}

/// What a G-PDU carries.
fn reparsed_gtpu(bytes: &[u8]) -> Result<&[u8], opof_wire::Error> {
    let header = gtpu::Repr::parse(bytes)?;
    assert_eq!((header.message_type, header.buffer_len() + header.payload_len), (gtpu::G_PDU, bytes.len()));
    let mut rest = &bytes[header.buffer_len()..];
    let mut next = header.next_extension.unwrap_or(gtpu::NO_EXTENSION);
    let mut extensions = 0;
    while next != gtpu::NO_EXTENSION {
        let extension = gtpu::ExtensionRepr::parse(rest)?;
        (next, rest) = (extension.next_extension, &rest[extension.buffer_len()..]);
        extensions += 1;
    }
    assert!(extensions <= classify::MAX_GTPU_EXTENSIONS);
    Ok(rest)
}

/// Asks for the answer to `frame` when it does not fit, as it is and with an IPv4 checksum that is right: an answer goes
/// back to where the frame came from, quotes its packet, has right lengths and checksums, and is not answered itself.
///
/// # Panics
/// When one of these does not hold.
pub fn check_answer(frame: &[u8]) {
    check_answer_as_is(frame);
    let mut repaired = frame.to_vec();
    // Behind one tag or two as well; in the wrong place it does no harm.
    for start in [14, 18, 22] {
        if let Some(mut packet) = repaired.get_mut(start..).and_then(|rest| ipv4::Packet::new_checked(rest).ok()) {
            packet.fill_checksum();
            check_answer_as_is(&repaired);
        }
    }
}

fn check_answer_as_is(frame: &[u8]) {
    for mtu in [0, packet_too_big::MTU_MIN_V4, 576, packet_too_big::MTU_MIN_V6] {
        let mut out = [0xff; packet_too_big::MAX_LEN];
        match answer(frame, mtu, &mut out) {
            Ok(len) => check_answer_to(frame, mtu, &out[..len]),
            Err(Silence::MtuTooSmall | Silence::Fits) => assert!(must_answer(frame).is_ok()),
            Err(silence) => assert_eq!(must_answer(frame), Err(silence)),
        }
    }
}

fn check_answer_to(frame: &[u8], mtu: u16, answer: &[u8]) {
    let subject = must_answer(frame).expect("what was answered must be");
    let (link, rest) = answer.split_at(subject.link_len);
    assert_eq!((&link[..6], &link[6..12], &link[12..]), (&frame[6..12], &frame[..6], &frame[12..subject.link_len]));
    let (addresses, protocol, message) = match subject.addresses {
        Addresses::V4 { .. } => {
            let packet = ipv4::Packet::new_checked(rest).expect("an IPv4 packet");
            assert!(packet.verify_checksum() && packet.total_len() == rest.len());
            (packet.addresses(), packet.protocol(), packet.payload())
        }
        Addresses::V6 { .. } => {
            let packet = ipv6::Packet::new_checked(rest).expect("an IPv6 packet");
            assert_eq!(ipv6::HEADER_LEN + packet.payload_len(), rest.len());
            (packet.addresses(), packet.next_header(), packet.payload())
        }
    };
    assert_eq!(addresses, subject.addresses.reversed());
    let says = match icmp::Repr::parse(message, protocol).expect("one of the two messages") {
        icmp::Repr::FragmentationNeeded { mtu } => u32::from(mtu),
        icmp::Repr::PacketTooBig { mtu } => mtu,
    };
    assert_eq!(says, u32::from(mtu));
    let message = icmp::Packet::new_unchecked(message);
    assert!(message.verify_checksum(&addresses));
    assert!(subject.packet.len() > usize::from(mtu) && subject.packet.starts_with(message.payload()));
    assert_eq!(must_answer(answer), Err(Silence::IcmpError));
}

/// Takes `bytes` apart as a packet of a tunnel that fits them as well as can be, then as what such a packet has behind its UDP
/// header, and as the frame in one: what comes out is what each header says when it is parsed alone, and a frame that was
/// put in.
///
/// # Panics
/// When one of these does not hold.
pub fn check_decapsulation(bytes: &[u8]) {
    let v4 = Addresses::V4 { source: [192, 0, 2, 1], destination: [192, 0, 2, 2] };
    let v6 = Addresses::V6 { source: [1; 16], destination: [2; 16] };
    for addresses in [v4, v6] {
        let ip = bytes.get(ethernet::HEADER_LEN..).unwrap_or_default();
        let found = match addresses {
            Addresses::V4 { .. } => ipv4::Packet::new_checked(ip).map(|packet| packet.addresses()),
            Addresses::V6 { .. } => ipv6::Packet::new_checked(ip).map(|packet| packet.addresses()),
        };
        let header_len = if addresses == v4 { ipv4::HEADER_LEN } else { ipv6::HEADER_LEN } + udp::HEADER_LEN;
        let end = |addresses, geneve: &[u8]| TunnelEnd { addresses, vni: vni_of(geneve), option: option_of(geneve) };
        let as_is = end(found.unwrap_or(addresses), ip.get(header_len..).unwrap_or_default());
        check_packet(bytes, &as_is, ethernet::HEADER_LEN + header_len);

        let end = end(addresses, bytes);
        let (source_mac, destination_mac) = (MacAddress([2; 6]), MacAddress([4; 6]));
        let tunnel = encap::Tunnel { source_mac, destination_mac, addresses, vni: end.vni, option: end.option };
        let template = Template::new(&tunnel).expect("the VNI has 24 bits");
        let metadata = geneve::Metadata { in_lif: 1, out_lif: 2, key: 3 };
        let mut packet = vec![0; encap::MAX_LEN];
        let Some(geneve_len) = bytes.len().checked_sub(geneve::EMITTED_LEN) else { continue };
        // Lengths as if GENEVE header and option were part of the frame, which is what the bytes bring.
        if let Ok(len) = template.encapsulate(geneve_len, 0xc000, metadata, &mut packet) {
            packet.truncate(len - geneve::EMITTED_LEN);
            packet.extend(bytes);
            check_packet(&packet, &end, len - geneve::EMITTED_LEN);
        }
        let mut packet = vec![0; encap::MAX_LEN];
        if let Ok(len) = template.encapsulate(bytes.len(), 0xc000, metadata, &mut packet) {
            packet.truncate(len);
            packet.extend(bytes);
            let frame = len..packet.len();
            let inner = if bytes.len() < ethernet::HEADER_LEN { Err(Refusal::Truncated) } else { Ok(frame) };
            assert_eq!(decapsulate(&packet, &end), inner.map(|frame| Decapsulated { frame, metadata }));
        }
    }
}

/// The VNI where it is in GENEVE, or any.
fn vni_of(geneve: &[u8]) -> u32 {
    geneve.get(4..7).map_or(7, |vni| u32::from_be_bytes([0, vni[0], vni[1], vni[2]]))
}

/// The name of the first option that may be ours.
fn option_of(geneve: &[u8]) -> OptionId {
    let first = geneve.get(8..11).and_then(|id| OptionId::new(u16::from_be_bytes([id[0], id[1]]), id[2]));
    first.unwrap_or_default()
}

/// Both ways: what is taken is a packet of the tunnel, and what is refused is none, as the headers say when they are parsed
/// alone. GENEVE begins at `geneve_at`, if anywhere.
fn check_packet(packet: &[u8], end: &TunnelEnd, geneve_at: usize) {
    let alone = packet.get(geneve_at..).and_then(|bytes| alone(bytes, end));
    match decapsulate(packet, end) {
        Ok(Decapsulated { frame, metadata }) => {
            let (header_len, said) = alone.expect("GENEVE with our option");
            assert_eq!((frame.start, metadata), (geneve_at + header_len, said));
            let udp = udp::Packet::new_checked(&packet[geneve_at - udp::HEADER_LEN..]).expect("UDP");
            assert_eq!((udp.destination_port(), udp.checksum()), (geneve::PORT, 0));
            assert_eq!(geneve_at - udp::HEADER_LEN + udp.length(), frame.end);
            assert!(frame.len() >= ethernet::HEADER_LEN && frame.end <= packet.len());
        }
        Err(Refusal::TooManyOptions) => {
            if let Ok(header) = geneve::Packet::new_checked(&packet[geneve_at..]) {
                assert!(header.options().count() > decap::OPTIONS_MAX);
            }
        }
        Err(reason) if reason >= Refusal::GeneveMalformed => assert_eq!(alone, None, "{reason}"),
        // Of the headers in front.
        Err(_) => {}
    }
}

/// Bytes of the GENEVE header and our metadata, when it is one of this tunnel.
fn alone(bytes: &[u8], end: &TunnelEnd) -> Option<(usize, geneve::Metadata)> {
    let repr = geneve::Repr::parse(bytes, end.option).ok()?;
    (repr.vni == end.vni).then(|| (geneve::Packet::new_unchecked(bytes).header_len(), repr.metadata))
}
