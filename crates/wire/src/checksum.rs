//! The internet checksum (RFC 1071) and the pseudo headers that TCP and UDP put under it (RFC 9293, 3.1; RFC 768;
//! RFC 8200, 8.1). Where a checksum lies in its header is the header's business.

use crate::flow::Addresses;

/// A running one's complement sum over 16-bit words.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sum(u64);

impl Sum {
    /// The sum over nothing.
    pub const fn new() -> Self {
        Self(0)
    }

    /// The sum of the pseudo header in front of a TCP or UDP packet of `length` bytes, fewer than 2^32.
    #[must_use]
    pub fn pseudo_header(addresses: &Addresses, protocol: u8, length: usize) -> Self {
        let sum = match addresses {
            Addresses::V4 { source, destination } => Self::new().bytes(source).bytes(destination),
            Addresses::V6 { source, destination } => Self::new().bytes(source).bytes(destination),
        };
        sum.bytes(&length.to_be_bytes()).bytes(&[0, protocol])
    }

    /// Adds `data`; a last odd byte is padded with zero, so only the last piece may have an odd length.
    #[must_use]
    pub fn bytes(self, data: &[u8]) -> Self {
        let words = data.chunks(2).map(|pair| {
            let low = pair.get(1).copied().unwrap_or(0);
            u64::from(u16::from_be_bytes([pair[0], low]))
        });
        Self(self.0 + words.sum::<u64>())
    }

    /// Takes `data` out, of an even length: adds its complement (RFC 1624, 3).
    #[must_use]
    pub fn less(self, data: &[u8]) -> Self {
        let words = data.chunks(2).map(|pair| {
            let low = pair.get(1).copied().unwrap_or(0);
            u64::from(!u16::from_be_bytes([pair[0], low]))
        });
        Self(self.0 + words.sum::<u64>())
    }

    /// The checksum: the complement of the folded sum. Over data that contains its right checksum it is 0.
    pub fn finish(self) -> u16 {
        let mut sum = self.0;
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        let [.., high, low] = sum.to_be_bytes();
        !u16::from_be_bytes([high, low])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_1071() {
        let data = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(Sum::new().bytes(&data).finish(), !0xddf2);
    }

    #[test]
    fn an_odd_byte_is_padded_behind() {
        assert_eq!(Sum::new().bytes(&[0xab]).finish(), !0xab00);
    }

    #[test]
    fn carries_fold_more_than_once() {
        assert_eq!(Sum::new().bytes(&[0xff; 64]).finish(), 0);
        assert_eq!(Sum::new().bytes(&[0xff, 0xff, 0x00, 0x01]).finish(), !0x0001);
    }

    #[test]
    fn the_example_of_rfc_1624() {
        // A checksum of 0xDD2F, and a word that changes from 0x5555 to 0x3285: 0, not 0xFFFF (section 4).
        let delta = Sum::new().less(&[0x55, 0x55]).bytes(&[0x32, 0x85]);
        assert_eq!(delta.bytes(&(!0xdd2f_u16).to_be_bytes()).finish(), 0);
    }

    #[test]
    fn the_pseudo_headers_of_both_families() {
        let v4 = Addresses::V4 { source: [192, 0, 2, 1], destination: [192, 0, 2, 2] };
        let expect = Sum::new().bytes(&[192, 0, 2, 1, 192, 0, 2, 2, 0, 17, 0, 9]);
        assert_eq!(Sum::pseudo_header(&v4, 17, 9).finish(), expect.finish());

        let (mut source, mut destination) = ([0; 16], [0; 16]);
        (source[15], destination[15]) = (1, 2);
        let v6 = Addresses::V6 { source, destination };
        // 1 + 2 + the two halves of the length + the next header.
        assert_eq!(Sum::pseudo_header(&v6, 6, 0x0001_0002).finish(), !(1 + 2 + 1 + 2 + 6));
    }
}
