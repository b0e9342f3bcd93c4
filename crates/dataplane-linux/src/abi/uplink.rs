//! Who sends what comes in on the uplink, and where it leaves, byte by byte.

use std::net::IpAddr;

/// `struct opof_peer`: an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(transparent)]
pub struct Peer(pub [u8; 20]);

impl From<IpAddr> for Peer {
    fn from(address: IpAddr) -> Self {
        let mut bytes = [0; 20];
        let family: u32 = match address {
            IpAddr::V4(address) => {
                bytes[..4].copy_from_slice(&address.octets());
                4
            }
            IpAddr::V6(address) => {
                bytes[..16].copy_from_slice(&address.octets());
                6
            }
        };
        bytes[16..].copy_from_slice(&family.to_ne_bytes());
        Self(bytes)
    }
}

/// `struct opof_returning`: a firewall, and the number of an interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(transparent)]
pub struct Returning(pub [u8; 8]);

impl Returning {
    /// The firewall is named by the position of the first LIF that has it.
    pub fn new(firewall: u32, lif: u16) -> Self {
        Self(words([firewall, lif.into()]))
    }
}

/// `struct opof_exit`: a way out of a LIF, and where it is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(transparent)]
pub struct Exit(pub [u8; 12]);

impl Exit {
    /// `way` is the first one to the network, `statistics` the first index of the firewall port.
    pub fn new(way: u32, statistics: u32, spread: bool) -> Self {
        Self(words([way, statistics, spread.into()]))
    }
}

fn words<const N: usize, const BYTES: usize>(words: [u32; N]) -> [u8; BYTES] {
    words.map(u32::to_ne_bytes).as_flattened().try_into().expect("four bytes a word")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_byte_by_byte() {
        let (four, six) = (4_u32.to_ne_bytes(), 6_u32.to_ne_bytes());
        assert_eq!(Peer::from(IpAddr::from([192, 0, 2, 1])).0[..], [&[192, 0, 2, 1][..], &[0; 12], &four].concat());
        assert_eq!(Peer::from(IpAddr::from([0xAA; 16])).0[..], [&[0xAA; 16][..], &six].concat());
    }

    #[test]
    fn an_exit_byte_by_byte() {
        assert_eq!(Returning::new(3, 0x1234).0[..], [3_u32, 0x1234].map(u32::to_ne_bytes).concat());
        assert_eq!(Exit::new(8, 46, true).0[..], [8_u32, 46, 1].map(u32::to_ne_bytes).concat());
    }
}
