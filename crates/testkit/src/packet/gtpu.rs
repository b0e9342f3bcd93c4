//! GTP-U around a packet (3GPP TS 29.281): the outer IP and UDP headers, the GTP-U header, its extension headers.
//!
//! As in the rest of the builder, lengths and checksums come out right; no verdict is known here.

use opof_wire::gtpu::{self, G_PDU, NO_EXTENSION, PORT};

use super::{FITS, Network, Packet};

/// Outer addresses of a tunnel that names none: a base station and a gateway.
const ENDPOINTS4: [[u8; 4]; 2] = [[203, 0, 113, 1], [203, 0, 113, 2]];

/// A GTP-U header to be, with its extension headers.
#[derive(Clone, Debug)]
#[must_use]
pub struct Gtpu {
    message_type: u8,
    teid: u32,
    sequence: Option<u16>,
    n_pdu: Option<u8>,
    extensions: Vec<(u8, Vec<u8>)>,
}

impl Default for Gtpu {
    fn default() -> Self {
        Self::new(0x0a0b_0c0d)
    }
}

impl Gtpu {
    /// A G-PDU for this tunnel endpoint identifier, with 8 bytes of header.
    pub const fn new(teid: u32) -> Self {
        Self { message_type: G_PDU, teid, sequence: None, n_pdu: None, extensions: Vec::new() }
    }

    /// Another message.
    pub const fn message(mut self, message_type: u8) -> Self {
        self.message_type = message_type;
        self
    }

    /// A sequence number; the optional fields are there.
    pub const fn sequence(mut self, sequence: u16) -> Self {
        self.sequence = Some(sequence);
        self
    }

    /// An N-PDU number; the optional fields are there.
    pub const fn n_pdu(mut self, n_pdu: u8) -> Self {
        self.n_pdu = Some(n_pdu);
        self
    }

    /// One more extension header of this type behind those that are there; the optional fields are there. `content` is
    /// all between length and next type: 2 bytes more than a multiple of 4.
    pub fn extension(mut self, extension_type: u8, content: &[u8]) -> Self {
        self.extensions.push((extension_type, content.to_vec()));
        self
    }

    /// A PDU session container (3GPP TS 38.415, 5.5.2.2): uplink, QoS flow 9.
    pub fn pdu_session_container(self) -> Self {
        self.extension(gtpu::PDU_SESSION_CONTAINER, &[0x10, 9])
    }

    /// The header of a message that carries `payload_len` bytes.
    fn bytes(&self, payload_len: usize) -> Vec<u8> {
        let types = self.extensions.iter().skip(1).map(|(number, _)| *number).chain([NO_EXTENSION]);
        let mut extensions = Vec::new();
        for ((_, content), next_extension) in self.extensions.iter().zip(types) {
            let repr = gtpu::ExtensionRepr { content, next_extension };
            let mut header = vec![0; repr.buffer_len()];
            repr.emit(&mut header).expect(FITS);
            extensions.extend_from_slice(&header);
        }
        let repr = gtpu::Repr {
            message_type: self.message_type,
            teid: self.teid,
            sequence: self.sequence,
            n_pdu: self.n_pdu,
            next_extension: self.extensions.first().map(|(number, _)| *number),
            payload_len: extensions.len() + payload_len,
        };
        let mut bytes = vec![0; repr.buffer_len()];
        repr.emit(&mut bytes).expect(FITS);
        bytes.extend_from_slice(&extensions);
        bytes
    }
}

/// What is around the innermost packet.
#[derive(Clone, Debug)]
pub(super) struct Around {
    /// Carries the message, and has no payload of its own.
    outer: Packet,
    header: Gtpu,
}

/// What is in front of the innermost packet.
pub(super) struct Front {
    pub(super) bytes: Vec<u8>,
    /// Where in it the GTP-U header begins.
    pub(super) tunnel_at: usize,
}

impl Around {
    pub(super) const fn network(&self) -> &Network {
        &self.outer.network
    }

    pub(super) fn bytes(&self, inner: &[u8]) -> Front {
        let header = self.header.bytes(inner.len());
        let message = [&header, inner].concat();
        let mut bytes = self.outer.clone().payload(&message).network_bytes();
        bytes.truncate(bytes.len() - inner.len());
        Front { tunnel_at: bytes.len() - header.len(), bytes }
    }
}

/// Tunnels.
impl Packet {
    /// Wraps all that comes next: IP and UDP headers that are there are the outer ones. What is not IP follows the GTP-U
    /// header as [`Packet::payload`].
    ///
    /// ```
    /// use opof_testkit::packet::{Gtpu, Packet};
    ///
    /// let frame = Packet::new()
    ///     .ipv4([203, 0, 113, 1], [203, 0, 113, 2])
    ///     .udp(2152, 2152)
    ///     .gtpu(Gtpu::new(7).pdu_session_container())
    ///     .ipv6([1; 16], [2; 16])
    ///     .tcp(49152, 80)
    ///     .build();
    /// assert_eq!(frame.len(), 14 + 20 + 8 + 16 + 40 + 20);
    /// ```
    ///
    /// # Panics
    /// When there is a tunnel already.
    pub fn gtpu(mut self, header: Gtpu) -> Self {
        assert!(self.tunnel.is_none(), "the builder knows one tunnel; a second one is a payload");
        let fresh = Self::default();
        let outer = Self {
            network: std::mem::replace(&mut self.network, fresh.network),
            hops: std::mem::replace(&mut self.hops, fresh.hops),
            upper: std::mem::replace(&mut self.upper, fresh.upper),
            ..Self::default()
        };
        self.tunnel = Some(Box::new(Around { outer, header }));
        self
    }

    /// [`Packet::gtpu`] behind IPv4 and UDP headers from and to port 2152.
    pub fn gtpu4(self, header: Gtpu) -> Self {
        let [from, to] = ENDPOINTS4;
        self.ipv4(from, to).udp(PORT, PORT).gtpu(header)
    }

    /// [`Packet::gtpu`] behind IPv6 and UDP headers from and to port 2152. The addresses are those of
    /// [`Packet::gtpu4`], mapped to IPv6.
    pub fn gtpu6(self, header: Gtpu) -> Self {
        let [from, to] = ENDPOINTS4.map(|octets| std::net::Ipv4Addr::from(octets).to_ipv6_mapped());
        self.ipv6(from, to).udp(PORT, PORT).gtpu(header)
    }

    /// The same in a tunnel with this header.
    ///
    /// # Panics
    /// When there is no tunnel.
    pub fn tunnel_header(mut self, header: Gtpu) -> Self {
        self.tunnel.as_mut().expect("a tunnelled packet").header = header;
        self
    }
}
