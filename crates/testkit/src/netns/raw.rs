//! Whole Ethernet frames out of a port, as they are.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{AddressFamily, LinkAddr, MsgFlags, SockFlag, SockType, bind, send, socket};

use super::error::NetError;
use super::link::Port;

/// Sends frames from a port. To receive there is [`super::Capture`]: the kernel takes a VLAN tag off before a socket
/// sees the frame.
#[derive(Debug)]
pub struct RawSocket {
    socket: OwnedFd,
    port: String,
}

impl RawSocket {
    /// A socket that sends from `port`.
    pub fn open(port: &Port) -> Result<Self, NetError> {
        let name = port.name.clone();
        let opened = port.namespace.run(move || open(&name))?;
        let socket =
            opened.map_err(|source| NetError::Io { what: format!("packet socket on {}", port.name), source })?;
        Ok(Self { socket, port: port.name.clone() })
    }

    /// Sends one frame (without FCS, not padded), at least 14 bytes.
    pub fn send(&self, frame: &[u8]) -> Result<(), NetError> {
        let sent = send(self.socket.as_raw_fd(), frame, MsgFlags::empty());
        match sent {
            Ok(length) if length == frame.len() => Ok(()),
            Ok(_) => Err(self.error(frame, io::ErrorKind::WriteZero.into())),
            Err(errno) => Err(self.error(frame, errno.into())),
        }
    }

    fn error(&self, frame: &[u8], source: io::Error) -> NetError {
        NetError::Io { what: format!("send {} bytes from {}", frame.len(), self.port), source }
    }
}

/// Protocol 0: such a socket sends and receives nothing. The address comes from the interface list, which is the safe way
/// to one.
fn open(name: &str) -> io::Result<OwnedFd> {
    let address = link_address(name)?;
    let socket = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None)?;
    bind(socket.as_raw_fd(), &address)?;
    Ok(socket)
}

fn link_address(name: &str) -> io::Result<LinkAddr> {
    getifaddrs()?
        .filter(|interface| interface.interface_name == name)
        .find_map(|interface| interface.address?.as_link_addr().copied())
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("no interface {name}")))
}
