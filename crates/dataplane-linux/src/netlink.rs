//! Netlink: a request to the kernel and its one answer (netlink(7), RFC 3549, 2.3), and attributes in both.
//!
//! What is asked for is the callers' business. There are no dumps and no notifications here, so that a message is never
//! more than one, and nothing has to be waited for: the kernel has answered when the request has been sent.

use std::io;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, send, socket_with,
};

use crate::limits::{NETLINK_ANSWER, NETLINK_STALE};

const REQUEST: u16 = 1; // NLM_F_REQUEST
/// `NLM_F_ACK`: for requests whose success has no other answer.
pub(crate) const ACKNOWLEDGE: u16 = 4;
/// `NLM_F_CREATE`.
pub(crate) const CREATE: u16 = 0x400;

const ERROR: u16 = 2; // NLMSG_ERROR
/// Length of a message's header: length, type, flags, sequence number, port.
const HEADER: usize = 16;
const TYPE: usize = 4;
const SEQUENCE: usize = 8;
/// Length of an attribute's header: length and type.
const ATTRIBUTE_HEADER: usize = 4;
/// Without the flags in its upper bits.
const ATTRIBUTE_TYPE: u16 = 0x3FFF;

/// A request: the header of its family, then attributes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Request(Vec<u8>);

impl Request {
    /// A message of type `kind` with `NLM_F_REQUEST` and these flags; `header` is a multiple of 4 bytes.
    pub(crate) fn new(kind: u16, flags: u16, header: &[u8]) -> Self {
        let mut message = vec![0; HEADER];
        message[TYPE..TYPE + 2].copy_from_slice(&kind.to_ne_bytes());
        message[TYPE + 2..SEQUENCE].copy_from_slice(&(flags | REQUEST).to_ne_bytes());
        message.extend(header);
        Self(message)
    }

    /// One more attribute.
    #[must_use]
    pub(crate) fn attribute(mut self, kind: u16, value: &[u8]) -> Self {
        let length = u16::try_from(ATTRIBUTE_HEADER + value.len()).expect("a short value");
        self.0.extend([length.to_ne_bytes(), kind.to_ne_bytes()].concat());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    fn finish(mut self, sequence: u32) -> Vec<u8> {
        let length = u32::try_from(self.0.len()).expect("a short message");
        self.0[..TYPE].copy_from_slice(&length.to_ne_bytes());
        self.0[SEQUENCE..SEQUENCE + 4].copy_from_slice(&sequence.to_ne_bytes());
        self.0
    }
}

/// A socket to one of the kernel's families, in the network namespace of the thread that opened it.
#[derive(Debug)]
pub(crate) struct Socket {
    socket: OwnedFd,
    sequence: u32,
}

impl Socket {
    /// `None` is the family of routes, neighbours and links.
    pub(crate) fn open(family: Option<Protocol>) -> io::Result<Self> {
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, family)?;
        bind(&socket, &SocketAddrNetlink::new(0, 0))?;
        Ok(Self { socket, sequence: 0 })
    }

    /// What the answer has behind its netlink header; nothing for an acknowledgement. The error that the kernel answers with
    /// is the call's.
    pub(crate) fn ask(&mut self, request: Request) -> io::Result<Vec<u8>> {
        self.sequence = self.sequence.wrapping_add(1);
        send(&self.socket, &request.finish(self.sequence), SendFlags::empty())?;
        let mut buffer = vec![0; NETLINK_ANSWER];
        for _ in 0..=NETLINK_STALE {
            let (_, length) = match recv(&self.socket, buffer.as_mut_slice(), RecvFlags::DONTWAIT | RecvFlags::TRUNC) {
                Err(Errno::INTR) => continue,
                received => received?,
            };
            let message = buffer.get(..length).ok_or_else(invalid)?;
            if let Some(answer) = read(message, self.sequence)? {
                return Ok(answer.to_vec());
            }
        }
        Err(invalid())
    }
}

/// What an answer has behind its netlink header; `None` when it is the answer to another request, which failed half-way.
fn read(message: &[u8], sequence: u32) -> io::Result<Option<&[u8]>> {
    if word_at(message, SEQUENCE)? != sequence {
        return Ok(None);
    }
    let length = usize::try_from(word_at(message, 0)?).map_err(|_| invalid())?;
    let body = message.get(HEADER..length).ok_or_else(invalid)?;
    if half_at(message, TYPE)? != ERROR {
        return Ok(Some(body));
    }
    match word_at(body, 0)?.cast_signed().checked_neg() {
        Some(0) => Ok(Some(&[])),
        errno => Err(io::Error::from_raw_os_error(errno.unwrap_or(libc::EIO))),
    }
}

/// The value of the first attribute of this type among `attributes`; `None` when there is none.
pub(crate) fn find(attributes: &[u8], wanted: u16) -> io::Result<Option<&[u8]>> {
    let mut rest = attributes;
    while rest.len() >= ATTRIBUTE_HEADER {
        let length = usize::from(half_at(rest, 0)?);
        let value = rest.get(ATTRIBUTE_HEADER..length).ok_or_else(invalid)?;
        if half_at(rest, 2)? & ATTRIBUTE_TYPE == wanted {
            return Ok(Some(value));
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(None)
}

/// Two bytes at `at`, in the kernel's own order.
pub(crate) fn half_at(bytes: &[u8], at: usize) -> io::Result<u16> {
    let bytes = bytes.get(at..).and_then(|rest| rest.first_chunk()).ok_or_else(invalid)?;
    Ok(u16::from_ne_bytes(*bytes))
}

/// Four bytes at `at`, in the kernel's own order.
pub(crate) fn word_at(bytes: &[u8], at: usize) -> io::Result<u32> {
    let bytes = bytes.get(at..).and_then(|rest| rest.first_chunk()).ok_or_else(invalid)?;
    Ok(u32::from_ne_bytes(*bytes))
}

/// An answer that is not one.
pub(crate) fn invalid() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_byte_by_byte() {
        let expected = [
            &28_u32.to_ne_bytes()[..],
            &0x1A_u16.to_ne_bytes(),
            &5_u16.to_ne_bytes(),
            &9_u32.to_ne_bytes(),
            &[0; 4],
            &[1, 1, 0, 0],
            &7_u16.to_ne_bytes(),
            &2_u16.to_ne_bytes(),
            b"ab\0\0",
        ];
        let request = Request::new(0x1A, ACKNOWLEDGE, &[1, 1, 0, 0]).attribute(2, b"ab\0");
        assert_eq!(request.finish(9), expected.concat());
    }

    fn message(kind: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
        let mut message = Request::new(kind, 0, body).finish(sequence);
        message.extend([0xFF; 4]); // Not part of it.
        message
    }

    #[test]
    fn answers_and_errors() {
        let answer = message(0x1A, 9, &[1, 2, 3, 4]);
        assert_eq!(read(&answer, 9).unwrap(), Some(&[1, 2, 3, 4][..]));
        assert_eq!(read(&answer, 8).unwrap(), None);
        for cut in 0..answer.len() - 4 {
            assert!(read(&answer[..cut], 9).is_err(), "{cut}");
        }
        assert_eq!(read(&message(ERROR, 9, &[0; 4]), 9).unwrap(), Some(&[][..]));
        let refused = message(ERROR, 9, &(-libc::EPERM).to_ne_bytes());
        assert_eq!(read(&refused, 9).unwrap_err().raw_os_error(), Some(libc::EPERM));
        assert_eq!(read(&refused, 8).unwrap(), None);
        assert!(read(&message(ERROR, 9, &[]), 9).is_err());
        assert_eq!(read(&message(ERROR, 9, &i32::MIN.to_ne_bytes()), 9).unwrap_err().raw_os_error(), Some(libc::EIO));
    }

    #[test]
    fn attributes_by_type() {
        let attribute = |kind: u16, value: &[u8]| {
            let length = u16::try_from(4 + value.len()).unwrap();
            [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), value].concat()
        };
        let all = [attribute(9, &[1; 3]), vec![0xFF], attribute(3 | 0x8000, &[2; 4]), attribute(3, &[3; 4])].concat();
        assert_eq!(find(&all, 9).unwrap(), Some(&[1; 3][..]), "without its padding");
        assert_eq!(find(&all, 3).unwrap(), Some(&[2; 4][..]), "with a flag");
        assert_eq!(find(&all, 4).unwrap(), None);
        for cut in 0..16 {
            // Whatever is cut off, nothing but the whole value is taken for it.
            assert!(matches!(find(&all[..cut], 3), Ok(None) | Err(_)), "{cut}");
        }
        for length in 0..4_u16 {
            assert!(find(&[&length.to_ne_bytes()[..], &[3, 0]].concat(), 3).is_err(), "{length}");
        }
    }
}
