//! Whether XDP can send out of an interface, asked by generic netlink (the family `netdev`, Linux 6.3 and newer).
//!
//! A redirect to an interface that can't do it is not an error that anybody sees: the frame is gone.

use std::io;

use rustix::net::netlink::GENERIC;

use crate::netlink::{Request, Socket, find, invalid};

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

/// `struct genlmsghdr`: command, version, two bytes of nothing.
const GENERIC_HEADER: usize = 4;
const VERSION: u8 = 1;

/// True when frames can be redirected to the interface now; `None` when this kernel does not tell.
pub(crate) fn is_target(interface: u32) -> io::Result<Option<bool>> {
    let mut socket = Socket::open(Some(GENERIC))?;
    let mut ask = |family, command, attribute, value: &[u8], wanted| {
        let request = Request::new(family, 0, &[command, VERSION, 0, 0]).attribute(attribute, value);
        read(socket.ask(request), wanted)
    };
    let Some(family) = ask(CONTROL, GET_FAMILY, FAMILY_NAME, b"netdev\0", FAMILY_ID)? else { return Ok(None) };
    let family = u16::from_ne_bytes(family.try_into().map_err(|_| invalid())?);
    let features = ask(family, DEVICE_GET, DEVICE_INDEX, &interface.to_ne_bytes(), DEVICE_XDP_FEATURES)?;
    let Some(features) = features else { return Ok(None) };
    let features = u64::from_ne_bytes(features.try_into().map_err(|_| invalid())?);
    Ok(Some(features & CAN_SEND != 0))
}

/// The attribute `wanted` of an answer, `None` when the kernel knows nothing of it.
fn read(answer: io::Result<Vec<u8>>, wanted: u16) -> io::Result<Option<Vec<u8>>> {
    match answer {
        Ok(answer) => {
            let attributes = answer.get(GENERIC_HEADER..).ok_or_else(invalid)?;
            Ok(find(attributes, wanted)?.map(<[u8]>::to_vec))
        }
        // No such family, or no such command in it.
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EOPNOTSUPP)) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_and_what_is_none() {
        let answer = [&[1, 1, 0, 0][..], &6_u16.to_ne_bytes(), &3_u16.to_ne_bytes(), &[2, 3, 0, 0]].concat();
        assert_eq!(read(Ok(answer.clone()), 3).unwrap(), Some(vec![2, 3]));
        assert_eq!(read(Ok(answer.clone()), 4).unwrap(), None);
        assert!(read(Ok(answer[..3].to_vec()), 3).is_err());

        let refused = |errno| read(Err(io::Error::from_raw_os_error(errno)), 3);
        assert_eq!(refused(libc::ENOENT).unwrap(), None);
        assert_eq!(refused(libc::EOPNOTSUPP).unwrap(), None);
        assert_eq!(refused(libc::EPERM).unwrap_err().raw_os_error(), Some(libc::EPERM));
    }
}
