//! What comes out of a tunnel: whether a frame that was received is a GENEVE packet of one tunnel with our option, and where
//! the frame in it begins; the other half of [`crate::encap`].
//!
//! `bpf/decap.h` takes the same decisions in the same order, so there is one pass, and a bound on what it looks at. Nothing
//! is changed here.
//!
//! # What is taken, and what is not
//!
//! - *Link addresses and hops are not looked at*: a frame that the port let in is for us. Outer tags are not expected, as
//!   [`crate::encap`] makes none. DSCP and ECN of the outer header end here: a congestion mark that was made on the way is
//!   lost, which RFC 6040, 4.2 would carry over.
//! - *IPv4 options are refused*, and so are IPv6 extension headers: neither end of a tunnel has a use for them. The header
//!   checksum is verified, as a host has to (RFC 1122, 3.2.1.2).
//! - *Fragments are refused.* A tunnel is not fragmented (RFC 8926, 4.4.1), and nothing is reassembled here.
//! - *Both addresses are compared.* Without a UDP checksum they have to be, so that a damaged header is not taken for another's
//!   (RFC 6936, 5, requirement 3), and the packets of no other host are a firewall's.
//! - *A UDP checksum of zero is taken, over IPv6 as well* (RFC 6935, 5; the conditions are those of [`crate::encap`]). *Any
//!   other is refused*: who receives one has to verify it (RFC 768; RFC 1122, 4.1.3.4; RFC 8926, 3.3), over the whole frame,
//!   which would cost the fast path more than all else it does; and to take it unverified would be to forward what its sender
//!   has marked so that it could be seen to be damaged. So the peer has to send without, as the device does (Linux: `noudpcsum`,
//!   `udp6zerocsumtx` of a geneve link, `nocsum` of the tc action `tunnel_key`).
//! - *Other options are skipped* unless they are critical (RFC 8926, 3.5), and up to [`OPTIONS_MAX`] options are looked at.

use core::fmt;
use core::ops::Range;

use crate::error::Error;
use crate::flow::{Addresses, Transport};
use crate::geneve::{self, Metadata, OptionId};
use crate::{ethernet, ipv4, ipv6, ipv6_ext, udp};

/// Options of a packet, our own among them, that are looked at. As in `bpf/abi.h`.
pub const OPTIONS_MAX: usize = 4;

/// The end of a tunnel that packets come in at.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TunnelEnd {
    /// As in the packets: the peer's address is the source, ours the destination.
    pub addresses: Addresses,
    /// Virtual network identifier, at most [`geneve::VNI_MAX`].
    pub vni: u32,
    /// What our option is called.
    pub option: OptionId,
}

/// What a packet of a tunnel carries.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decapsulated {
    /// Where in the packet the frame lies; at least [`ethernet::HEADER_LEN`] bytes. What is behind it is padding.
    pub frame: Range<usize>,
    /// What our option says of it.
    pub metadata: Metadata,
}

/// Why a frame is not a packet of the tunnel. The numbers are those of `bpf/abi.h`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Refusal {
    /// A header or a length field reaches past the end of what encloses it, or the frame inside is shorter than its header.
    Truncated = 0,
    /// Not of the tunnel's IP version.
    EtherType = 1,
    /// IP version, lengths, IPv4 reserved flag or header checksum are wrong (RFC 791, 3.1; RFC 8200, 3).
    IpMalformed = 2,
    /// The IPv4 header has options.
    Ipv4Options = 3,
    /// A first or later fragment.
    Fragment = 4,
    /// Not UDP, or behind an IPv6 extension header.
    Protocol = 5,
    /// From another host than the peer, or to another than us.
    Addresses = 6,
    /// To another UDP port than [`geneve::PORT`].
    Port = 7,
    /// The UDP length is below 8 or differs from what IP carries (RFC 768).
    UdpMalformed = 8,
    /// There is a UDP checksum, which is not verified here.
    UdpChecksum = 9,
    /// GENEVE of another version, or an option that reaches past the end of all options (RFC 8926, 3.4 and 3.5).
    GeneveMalformed = 10,
    /// It is for the tunnel's end itself, and there are no such messages here.
    Oam = 11,
    /// It carries something else than an Ethernet frame.
    Payload = 12,
    /// Of another virtual network.
    Vni = 13,
    /// More than [`OPTIONS_MAX`] options.
    TooManyOptions = 14,
    /// A critical option that is not known here: the packet must be dropped (RFC 8926, 3.5).
    UnknownCritical = 15,
    /// Our option has another length.
    OptionLength = 16,
    /// Our option is there twice, and which one holds can't be known.
    OptionTwice = 17,
    /// Our option is not there.
    OptionMissing = 18,
}

impl Refusal {
    /// How many reasons there are.
    pub const COUNT: usize = 19;

    /// All reasons, in the order of their numbers.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Truncated,
        Self::EtherType,
        Self::IpMalformed,
        Self::Ipv4Options,
        Self::Fragment,
        Self::Protocol,
        Self::Addresses,
        Self::Port,
        Self::UdpMalformed,
        Self::UdpChecksum,
        Self::GeneveMalformed,
        Self::Oam,
        Self::Payload,
        Self::Vni,
        Self::TooManyOptions,
        Self::UnknownCritical,
        Self::OptionLength,
        Self::OptionTwice,
        Self::OptionMissing,
    ];

    /// The reason with this number.
    pub const fn from_number(number: u8) -> Option<Self> {
        if (number as usize) < Self::COUNT { Some(Self::ALL[number as usize]) } else { None }
    }

    /// Its name in snake case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Truncated => "truncated",
            Self::EtherType => "ether_type",
            Self::IpMalformed => "ip_malformed",
            Self::Ipv4Options => "ipv4_options",
            Self::Fragment => "fragment",
            Self::Protocol => "protocol",
            Self::Addresses => "addresses",
            Self::Port => "port",
            Self::UdpMalformed => "udp_malformed",
            Self::UdpChecksum => "udp_checksum",
            Self::GeneveMalformed => "geneve_malformed",
            Self::Oam => "oam",
            Self::Payload => "payload",
            Self::Vni => "vni",
            Self::TooManyOptions => "too_many_options",
            Self::UnknownCritical => "unknown_critical",
            Self::OptionLength => "option_length",
            Self::OptionTwice => "option_twice",
            Self::OptionMissing => "option_missing",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "truncated",
            Self::EtherType => "not of the tunnel's IP version",
            Self::IpMalformed => "malformed IP header",
            Self::Ipv4Options => "IPv4 options",
            Self::Fragment => "a fragment",
            Self::Protocol => "not UDP",
            Self::Addresses => "other addresses",
            Self::Port => "another UDP port",
            Self::UdpMalformed => "malformed UDP header",
            Self::UdpChecksum => "a UDP checksum, which is not verified here",
            Self::GeneveMalformed => "malformed GENEVE header",
            Self::Oam => "an OAM packet",
            Self::Payload => "no Ethernet frame inside",
            Self::Vni => "another virtual network",
            Self::TooManyOptions => "too many GENEVE options",
            Self::UnknownCritical => "an unknown critical option",
            Self::OptionLength => "our option has another length",
            Self::OptionTwice => "our option is there twice",
            Self::OptionMissing => "our option is missing",
        })
    }
}

impl core::error::Error for Refusal {}

/// What the packet in `frame` (whole L2 frame without FCS) carries, when it is one of the tunnel that ends at `end`.
///
/// The order of the checks is part of the contract, for the XDP program has the same. At each step a header that is not
/// there is [`Refusal::Truncated`].
///
/// 1. The EtherType: [`Refusal::EtherType`].
/// 2. IPv4: version, IHL below 5, total length below the header's [`Refusal::IpMalformed`]; total length past the end
///    `Truncated`; [`Refusal::Ipv4Options`]; the reserved flag or the checksum `IpMalformed`; [`Refusal::Fragment`]. IPv6:
///    version `IpMalformed`; payload length past the end `Truncated`; a fragment header `Fragment`.
/// 3. [`Refusal::Protocol`], then [`Refusal::Addresses`].
/// 4. UDP: [`Refusal::Port`]; a length below 8 [`Refusal::UdpMalformed`], past the end `Truncated`, short of it
///    `UdpMalformed`; [`Refusal::UdpChecksum`].
/// 5. GENEVE: version [`Refusal::GeneveMalformed`]; options past the end `Truncated`; [`Refusal::Oam`], [`Refusal::Payload`],
///    [`Refusal::Vni`]. Reserved bits and the C bit are not looked at.
/// 6. Each option in turn: a fifth one [`Refusal::TooManyOptions`]; past the end of all `GeneveMalformed`;
///    [`Refusal::UnknownCritical`]; if it is ours [`Refusal::OptionLength`], [`Refusal::OptionTwice`]. Then
///    [`Refusal::OptionMissing`].
/// 7. Less than an Ethernet header inside: `Truncated`.
///
/// # Errors
/// [`Refusal`].
pub fn decapsulate(frame: &[u8], end: &TunnelEnd) -> Result<Decapsulated, Refusal> {
    let link = ethernet::Frame::new_checked(frame).map_err(|_| Refusal::Truncated)?;
    let datagram = match (end.addresses, link.ether_type()) {
        (Addresses::V4 { .. }, ethernet::IPV4) => of_ipv4(link.payload(), &end.addresses),
        (Addresses::V6 { .. }, ethernet::IPV6) => of_ipv6(link.payload(), &end.addresses),
        _ => Err(Refusal::EtherType),
    }?;
    let packet = of_udp(datagram)?;
    let (header_len, metadata) = of_geneve(packet, end)?;
    let inner_len = packet.len() - header_len;
    if inner_len < ethernet::HEADER_LEN {
        return Err(Refusal::Truncated);
    }
    let ip_header_len = if matches!(end.addresses, Addresses::V4 { .. }) { ipv4::HEADER_LEN } else { ipv6::HEADER_LEN };
    let start = ethernet::HEADER_LEN + ip_header_len + udp::HEADER_LEN + header_len;
    Ok(Decapsulated { frame: start..start + inner_len, metadata })
}

/// What IP carries.
fn of_ipv4<'a>(bytes: &'a [u8], addresses: &Addresses) -> Result<&'a [u8], Refusal> {
    let packet = ipv4::Packet::new_checked(bytes).map_err(|error| or_truncated(error, Refusal::IpMalformed))?;
    if packet.header_len() != ipv4::HEADER_LEN {
        return Err(Refusal::Ipv4Options);
    }
    if packet.reserved_flag() || !packet.verify_checksum() {
        return Err(Refusal::IpMalformed);
    }
    if packet.is_fragment() {
        return Err(Refusal::Fragment);
    }
    is_from_peer(packet.protocol(), packet.addresses(), addresses)?;
    Ok(packet.payload())
}

/// The same.
fn of_ipv6<'a>(bytes: &'a [u8], addresses: &Addresses) -> Result<&'a [u8], Refusal> {
    let packet = ipv6::Packet::new_checked(bytes).map_err(|error| or_truncated(error, Refusal::IpMalformed))?;
    if packet.next_header() == ipv6_ext::FRAGMENT {
        return Err(Refusal::Fragment);
    }
    is_from_peer(packet.next_header(), packet.addresses(), addresses)?;
    Ok(packet.payload())
}

fn is_from_peer(protocol: u8, addresses: Addresses, expected: &Addresses) -> Result<(), Refusal> {
    if protocol != Transport::Udp.number() {
        return Err(Refusal::Protocol);
    }
    if addresses != *expected {
        return Err(Refusal::Addresses);
    }
    Ok(())
}

/// What a datagram to GENEVE's port carries.
fn of_udp(bytes: &[u8]) -> Result<&[u8], Refusal> {
    if bytes.len() < udp::HEADER_LEN {
        return Err(Refusal::Truncated);
    }
    if udp::Packet::new_unchecked(bytes).destination_port() != geneve::PORT {
        return Err(Refusal::Port);
    }
    let datagram = udp::Packet::new_checked(bytes).map_err(|error| or_truncated(error, Refusal::UdpMalformed))?;
    if datagram.length() < bytes.len() {
        return Err(Refusal::UdpMalformed);
    }
    if datagram.checksum() != 0 {
        return Err(Refusal::UdpChecksum);
    }
    Ok(datagram.payload())
}

/// Bytes of the header with its options, and what our option says.
fn of_geneve(bytes: &[u8], end: &TunnelEnd) -> Result<(usize, Metadata), Refusal> {
    if bytes.len() < geneve::HEADER_LEN {
        return Err(Refusal::Truncated);
    }
    let packet = geneve::Packet::new_unchecked(bytes);
    if packet.version() != 0 {
        return Err(Refusal::GeneveMalformed);
    }
    let options = bytes.get(geneve::HEADER_LEN..packet.header_len()).ok_or(Refusal::Truncated)?;
    if packet.is_oam() {
        return Err(Refusal::Oam);
    }
    if packet.protocol() != geneve::ETHERNET {
        return Err(Refusal::Payload);
    }
    if packet.vni() != end.vni {
        return Err(Refusal::Vni);
    }
    Ok((packet.header_len(), of_options(options, end.option)?))
}

fn of_options(mut rest: &[u8], ours: OptionId) -> Result<Metadata, Refusal> {
    let mut metadata = None;
    for looked_at in 0.. {
        if rest.is_empty() {
            break;
        }
        if looked_at == OPTIONS_MAX {
            return Err(Refusal::TooManyOptions);
        }
        let (option, behind) = geneve::OptionView::split_from(rest).ok_or(Refusal::GeneveMalformed)?;
        rest = behind;
        if option.is_critical() {
            return Err(Refusal::UnknownCritical);
        }
        if (option.class, option.kind) != (ours.class(), ours.kind()) {
            continue;
        }
        let this = Metadata::from_bytes(option.data).ok_or(Refusal::OptionLength)?;
        if metadata.replace(this).is_some() {
            return Err(Refusal::OptionTwice);
        }
    }
    metadata.ok_or(Refusal::OptionMissing)
}

fn or_truncated(error: Error, otherwise: Refusal) -> Refusal {
    if error == Error::Truncated { Refusal::Truncated } else { otherwise }
}

#[cfg(test)]
mod tests;
