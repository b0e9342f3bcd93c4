//! What a device changes in a frame that it sends on: tag, MAC addresses, TTL, addresses, ports, and the checksums over them.
//!
//! `bpf/edit.h` makes the same changes in the same order; the differential test compares the two byte by byte. What must
//! not be here: whether a frame is changed, and to what.

use core::fmt;
use core::net::IpAddr;
use core::ops::Range;

use crate::bytes::{put, put_u16, u16_at};
use crate::checksum::Sum;
use crate::classify::classify;
use crate::ethernet::{self, MacAddress};
use crate::flow::{Transport, Vid};
use crate::{ipv4, ipv6, vlan};

/// The two MAC addresses of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Macs {
    /// Source address.
    pub source: MacAddress,
    /// Destination address.
    pub destination: MacAddress,
}

/// What takes the place of an address and a port.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Endpoint {
    /// Of the packet's family.
    pub address: IpAddr,
    /// `None` leaves the port as it is.
    pub port: Option<u16>,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.address, self.port) {
            (address, None) => address.fmt(f),
            (IpAddr::V4(address), Some(port)) => write!(f, "{address}:{port}"),
            (IpAddr::V6(address), Some(port)) => write!(f, "[{address}]:{port}"),
        }
    }
}

/// Changes to the outermost headers of a frame. The default changes nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Edit {
    /// Takes the place of the VID of the outermost tag; priority and drop eligible indicator stay.
    pub vlan: Option<Vid>,
    /// Take the place of the frame's, and the TTL or hop limit is decremented: the packet has been routed.
    pub macs: Option<Macs>,
    /// Takes the place of source address and port.
    pub source: Option<Endpoint>,
    /// Takes the place of destination address and port.
    pub destination: Option<Endpoint>,
}

/// Where the fields lie that the outermost IP packet of a frame can be changed in.
struct Layout {
    /// The IP header.
    ip: usize,
    is_v4: bool,
    /// TCP or UDP header.
    transport: usize,
    protocol: Transport,
}

impl Layout {
    /// `None` for a frame that [`classify`] gives no key. In one that has a key everything that is named here is there.
    fn of(frame: &[u8]) -> Option<Self> {
        classify(frame).ok()?;
        let mut ip = ethernet::HEADER_LEN;
        let mut ether_type = ethernet::Frame::new_unchecked(frame).ether_type();
        while vlan::is_tpid(ether_type) {
            ether_type = vlan::Tag::new_unchecked(&frame[ip..]).ether_type();
            ip += vlan::HEADER_LEN;
        }
        let is_v4 = ether_type == ethernet::IPV4;
        let (protocol, header) = if is_v4 {
            (ipv4::Packet::new_unchecked(&frame[ip..]).protocol(), ipv4::HEADER_LEN)
        } else {
            (ipv6::Packet::new_unchecked(&frame[ip..]).next_header(), ipv6::HEADER_LEN)
        };
        Some(Self { ip, is_v4, transport: ip + header, protocol: Transport::from_number(protocol)? })
    }

    const fn ttl(&self) -> usize {
        self.ip + if self.is_v4 { 8 } else { 7 }
    }

    /// Of the IPv4 header.
    const fn ip_checksum(&self) -> Range<usize> {
        self.ip + 10..self.ip + 12
    }

    const fn transport_checksum(&self) -> Range<usize> {
        let at = self.transport + if matches!(self.protocol, Transport::Tcp) { 16 } else { 6 };
        at..at + 2
    }

    /// Source or destination.
    const fn address(&self, is_source: bool) -> Range<usize> {
        let (first, len) = if self.is_v4 { (12, 4) } else { (8, 16) };
        let at = self.ip + if is_source { first } else { first + len };
        at..at + len
    }

    const fn port(&self, is_source: bool) -> Range<usize> {
        let at = self.transport + if is_source { 0 } else { 2 };
        at..at + 2
    }
}

impl Edit {
    /// True when a packet with this TTL or hop limit must not be sent on so changed: it would reach 0 (RFC 1812, 5.3.1;
    /// RFC 8200, 3).
    pub const fn expires(&self, ttl: u8) -> bool {
        self.macs.is_some() && ttl <= 1
    }

    /// True when the addresses to be written are of the family of the frame's outermost: without that it is not to be applied.
    pub fn fits(&self, frame: &[u8]) -> bool {
        let is_v4 = Layout::of(frame).is_some_and(|layout| layout.is_v4);
        [self.source, self.destination].iter().flatten().all(|endpoint| endpoint.address.is_ipv4() == is_v4)
    }

    /// Makes the changes, in this order:
    ///
    /// 1. The VID of the outermost tag.
    /// 2. MAC addresses, then TTL or hop limit, with the IPv4 header checksum.
    /// 3. Source address and port, then destination address and port, with the checksums of IPv4 header, TCP and UDP.
    ///
    /// Checksums are updated by what has changed (RFC 1624, equation 3): one that was wrong stays wrong. A UDP checksum of 0 (none;
    /// RFC 768, and RFC 6935 for tunnels over IPv6) stays 0, and one that becomes 0 is sent as 0xFFFF.
    ///
    /// A frame that [`classify`] gives no key has its tag and its MAC addresses changed, nothing else.
    pub fn apply(&self, frame: &mut [u8]) {
        if let Some(vid) = self.vlan {
            rewrite_outer_vid(frame, vid);
        }
        if let (Some(macs), Ok(mut header)) = (self.macs, ethernet::Frame::new_checked(&mut *frame)) {
            header.set_source(macs.source);
            header.set_destination(macs.destination);
        }
        let Some(layout) = Layout::of(frame) else { return };
        if self.macs.is_some() {
            decrement_ttl(frame, &layout);
        }
        for (is_source, endpoint) in [(true, self.source), (false, self.destination)] {
            if let Some(endpoint) = endpoint {
                translate(frame, &layout, is_source, &endpoint);
            }
        }
    }
}

/// TTL or hop limit of the outermost IP packet; `None` for a frame that [`classify`] gives no key.
pub fn ttl(frame: &[u8]) -> Option<u8> {
    Layout::of(frame).map(|layout| frame[layout.ttl()])
}

/// Writes `vid` into the outermost tag of `frame` and keeps its priority and drop eligible indicator. A frame without
/// a tag stays as it is.
pub fn rewrite_outer_vid(frame: &mut [u8], vid: Vid) {
    let tagged = ethernet::Frame::new_checked(&*frame).is_ok_and(|header| vlan::is_tpid(header.ether_type()));
    if !tagged {
        return;
    }
    if let Ok(mut tag) = vlan::Tag::new_checked(&mut frame[ethernet::HEADER_LEN..]) {
        tag.set_vid(vid.get());
    }
}

fn decrement_ttl(frame: &mut [u8], layout: &Layout) {
    let ttl = layout.ttl();
    // The 16-bit word of the header that has the TTL in it: with the protocol behind it.
    let word = ttl..ttl + 2;
    let before = u16_at(frame, word.clone());
    frame[ttl] = frame[ttl].wrapping_sub(1);
    if layout.is_v4 {
        let delta = Sum::new().less(&before.to_be_bytes()).bytes(&frame[word]);
        update(frame, layout.ip_checksum(), delta);
    }
}

fn translate(frame: &mut [u8], layout: &Layout, is_source: bool, endpoint: &Endpoint) {
    let address = layout.address(is_source);
    let mut delta = Sum::new().less(&frame[address.clone()]);
    match endpoint.address {
        IpAddr::V4(new) if layout.is_v4 => put(frame, address.clone(), &new.octets()),
        IpAddr::V6(new) if !layout.is_v4 => put(frame, address.clone(), &new.octets()),
        _ => return,
    }
    delta = delta.bytes(&frame[address]);
    if layout.is_v4 {
        update(frame, layout.ip_checksum(), delta);
    }
    if let Some(new) = endpoint.port {
        let port = layout.port(is_source);
        delta = delta.less(&frame[port.clone()]).bytes(&new.to_be_bytes());
        put_u16(frame, port, new);
    }
    let checksum = layout.transport_checksum();
    match layout.protocol {
        Transport::Tcp => update(frame, checksum, delta),
        Transport::Udp if u16_at(frame, checksum.clone()) == 0 => {}
        Transport::Udp => {
            update(frame, checksum.clone(), delta);
            if u16_at(frame, checksum.clone()) == 0 {
                put_u16(frame, checksum, 0xffff);
            }
        }
    }
}

/// The checksum at `at` of data that has changed by `delta`.
fn update(frame: &mut [u8], at: Range<usize>, delta: Sum) {
    let before = u16_at(frame, at.clone());
    put_u16(frame, at, delta.bytes(&(!before).to_be_bytes()).finish());
}

#[cfg(test)]
mod tests;
