//! Network interfaces: index and flags, by ioctl (netdevice(7)). Always in the caller's network namespace.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::net::{AddressFamily, SocketType, socket};

/// A socket to ask about interfaces with.
#[derive(Debug)]
pub struct Control(OwnedFd);

impl Control {
    /// Any socket will do.
    pub fn new() -> io::Result<Self> {
        Ok(Self(socket(AddressFamily::INET, SocketType::DGRAM, None)?))
    }

    /// The index of the interface of this name; `ENODEV` without one.
    pub fn index(&self, name: &str) -> io::Result<u32> {
        let index = rustix::net::netdevice::name_to_index(self.0.as_fd(), name)?;
        Ok(index)
    }

    /// The name of the interface with this index; `ENODEV` without one.
    pub fn name(&self, index: u32) -> io::Result<String> {
        Ok(rustix::net::netdevice::index_to_name(self.0.as_fd(), index)?)
    }

    /// `IFF_…` flags.
    pub fn flags(&self, name: &str) -> io::Result<i16> {
        let mut request = request(name)?;
        // SAFETY: SIOCGIFFLAGS reads the name and writes the flags of a live `ifreq`.
        unsafe { self.ioctl(libc::SIOCGIFFLAGS, &mut request) }?;
        // SAFETY: SIOCGIFFLAGS has written this member.
        Ok(unsafe { request.ifr_ifru.ifru_flags })
    }

    /// The largest IP packet that it takes, in bytes.
    pub fn mtu(&self, name: &str) -> io::Result<i32> {
        let mut request = request(name)?;
        // SAFETY: SIOCGIFMTU reads the name and writes the MTU of a live `ifreq`.
        unsafe { self.ioctl(libc::SIOCGIFMTU, &mut request) }?;
        // SAFETY: SIOCGIFMTU has written this member.
        Ok(unsafe { request.ifr_ifru.ifru_mtu })
    }

    /// Sets all `IFF_…` flags.
    pub fn set_flags(&self, name: &str, flags: i16) -> io::Result<()> {
        let mut request = request(name)?;
        request.ifr_ifru.ifru_flags = flags;
        // SAFETY: SIOCSIFFLAGS reads a live `ifreq`.
        unsafe { self.ioctl(libc::SIOCSIFFLAGS, &mut request) }
    }

    /// One ethtool command in `buffer`, whose first word is the command.
    ///
    /// # Safety
    /// `buffer` has room for everything that the kernel writes for this command.
    pub(super) unsafe fn ethtool(&self, name: &str, buffer: &mut [u32]) -> io::Result<()> {
        let mut request = request(name)?;
        request.ifr_ifru.ifru_data = buffer.as_mut_ptr().cast();
        // SAFETY: SIOCETHTOOL reads a live `ifreq` and works on the buffer, whose size is the caller's promise.
        unsafe { self.ioctl(libc::SIOCETHTOOL, &mut request) }
    }

    /// # Safety
    /// `code` works on an `ifreq` filled like `request`.
    unsafe fn ioctl(&self, code: libc::Ioctl, request: &mut libc::ifreq) -> io::Result<()> {
        // SAFETY: the descriptor is open; the rest is the caller's promise.
        let result = unsafe { libc::ioctl(self.0.as_raw_fd(), code as _, std::ptr::from_mut(request)) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

/// An `ifreq` with this name and nothing else.
fn request(name: &str) -> io::Result<libc::ifreq> {
    // SAFETY: all-zero bytes are a valid `ifreq`: an empty name and a union of integers and null pointers.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    if name.is_empty() || name.len() >= request.ifr_name.len() || name.bytes().any(|byte| byte == 0) {
        return Err(io::Error::from_raw_os_error(libc::ENODEV));
    }
    for (to, byte) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = byte.cast_signed() as libc::c_char;
    }
    Ok(request)
}
