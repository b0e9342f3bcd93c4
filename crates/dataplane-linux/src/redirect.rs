//! Whether XDP can send out of an interface, asked by generic netlink (the family `netdev`, Linux 6.3 and newer).
//!
//! A redirect to an interface that can't do it is not an error that anybody sees: the frame is gone.

use std::io;

use rustix::net::netlink::{GENERIC, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, send, socket_with};

/// `GENL_ID_CTRL`, `CTRL_CMD_GETFAMILY` and its attributes, in <linux/genetlink.h>.
const CONTROL: u16 = 0x10;
const GET_FAMILY: u8 = 3;
const FAMILY_ID: u16 = 1;
const FAMILY_NAME: u16 = 2;
/// `NETDEV_CMD_DEV_GET`, its attributes and `NETDEV_XDP_ACT_NDO_XMIT`, in <linux/netdev.h>.
const DEVICE_GET: u8 = 1;
const DEVICE_INDEX: u16 = 1;
const DEVICE_XDP_FEATURES: u16 = 3;
const CAN_SEND: u64 = 1 << 2;

const ERROR: u16 = 2; // NLMSG_ERROR
const REQUEST: u16 = 1; // NLM_F_REQUEST
/// Lengths of a message's header, with the generic one behind it, and of an attribute's.
const HEADER: usize = 16;
const GENERIC_HEADER: usize = HEADER + 4;
const ATTRIBUTE_HEADER: usize = 4;
/// No answer here is longer.
const ANSWER: usize = 8192;
/// Without the flags in its upper bits.
const ATTRIBUTE_TYPE: u16 = 0x3FFF;

/// True when frames can be redirected to the interface now; `None` when this kernel does not tell.
pub(crate) fn is_target(interface: u32) -> io::Result<Option<bool>> {
    let Some(family) = ask(CONTROL, GET_FAMILY, FAMILY_NAME, b"netdev\0", FAMILY_ID)? else { return Ok(None) };
    let family = u16::from_ne_bytes(family.try_into().map_err(|_| io::ErrorKind::InvalidData)?);
    let features = ask(family, DEVICE_GET, DEVICE_INDEX, &interface.to_ne_bytes(), DEVICE_XDP_FEATURES)?;
    let Some(features) = features else { return Ok(None) };
    let features = u64::from_ne_bytes(features.try_into().map_err(|_| io::ErrorKind::InvalidData)?);
    Ok(Some(features & CAN_SEND != 0))
}

/// Sends one request with one attribute; the attribute `wanted` of the answer, `None` when the kernel knows nothing of it.
fn ask(family: u16, command: u8, attribute: u16, value: &[u8], wanted: u16) -> io::Result<Option<Vec<u8>>> {
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, Some(GENERIC))?;
    bind(&socket, &SocketAddrNetlink::new(0, 0))?;
    send(&socket, &request(family, command, attribute, value), SendFlags::empty())?;
    let mut answer = vec![0; ANSWER];
    let (length, _) = recv(&socket, answer.as_mut_slice(), RecvFlags::empty())?;
    read(&answer[..length], wanted)
}

fn request(family: u16, command: u8, attribute: u16, value: &[u8]) -> Vec<u8> {
    let value_length = u16::try_from(ATTRIBUTE_HEADER + value.len()).expect("a short value");
    let mut message = vec![0; 4];
    message.extend([family.to_ne_bytes(), REQUEST.to_ne_bytes()].concat());
    message.extend([0; 8]);
    message.extend([command, 1, 0, 0]);
    message.extend([value_length.to_ne_bytes(), attribute.to_ne_bytes()].concat());
    message.extend(value);
    message.resize(message.len().next_multiple_of(4), 0);
    let length = u32::try_from(message.len()).expect("a short message").to_ne_bytes();
    message[..4].copy_from_slice(&length);
    message
}

fn read(answer: &[u8], wanted: u16) -> io::Result<Option<Vec<u8>>> {
    let invalid = || io::Error::from(io::ErrorKind::InvalidData);
    let half = |bytes: &[u8], at: usize| Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
    if half(answer, 4).ok_or_else(invalid)? == ERROR {
        let code = answer.get(HEADER..HEADER + 4).and_then(|code| code.try_into().ok()).ok_or_else(invalid)?;
        return match i32::from_ne_bytes(code).checked_neg() {
            // No such family, or no such command in it.
            Some(libc::ENOENT | libc::EOPNOTSUPP) => Ok(None),
            errno => Err(io::Error::from_raw_os_error(errno.unwrap_or(libc::EIO))),
        };
    }
    let mut rest = answer.get(GENERIC_HEADER..).ok_or_else(invalid)?;
    while let (Some(length), Some(kind)) = (half(rest, 0), half(rest, 2)) {
        let length = usize::from(length);
        let value = rest.get(ATTRIBUTE_HEADER..length).ok_or_else(invalid)?;
        if kind & ATTRIBUTE_TYPE == wanted {
            return Ok(Some(value.to_vec()));
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_byte_by_byte() {
        let expected = [
            &28_u32.to_ne_bytes()[..],
            &0x1A_u16.to_ne_bytes(),
            &1_u16.to_ne_bytes(),
            &[0; 8],
            &[1, 1, 0, 0],
            &7_u16.to_ne_bytes(),
            &2_u16.to_ne_bytes(),
            b"ab\0\0",
        ];
        assert_eq!(request(0x1A, 1, 2, b"ab\0"), expected.concat());
    }

    #[test]
    fn answers_and_what_is_none() {
        let attribute = |kind: u16, value: [u8; 4]| [&8_u16.to_ne_bytes()[..], &kind.to_ne_bytes(), &value].concat();
        let mut answer = vec![0; GENERIC_HEADER];
        answer.extend(attribute(9, [1; 4]));
        answer.extend(attribute(3 | 0x8000, [2; 4]));
        assert_eq!(read(&answer, 3).unwrap(), Some(vec![2; 4]));
        assert_eq!(read(&answer, 4).unwrap(), None);
        for cut in 0..answer.len() {
            // Whatever is cut off, nothing but the whole value is taken for it.
            assert!(matches!(read(&answer[..cut], 3), Ok(None) | Err(_)), "{cut}");
        }

        let mut error = vec![0; HEADER];
        error[4..6].copy_from_slice(&ERROR.to_ne_bytes());
        error.extend((-libc::ENOENT).to_ne_bytes());
        assert_eq!(read(&error, 3).unwrap(), None);
        error[HEADER..].copy_from_slice(&(-libc::EPERM).to_ne_bytes());
        assert_eq!(read(&error, 3).unwrap_err().raw_os_error(), Some(libc::EPERM));
    }
}
