//! The outer headers of what goes to collectors and to firewalls behind tunnels, byte by byte.

use opof_wire::encap::{Layout, Template};

use super::array;

/// Bytes of `struct opof_template`, and of its field `bytes`.
const TEMPLATE: usize = 92;
const BYTES: usize = 88;

const _: () = assert!(BYTES >= Layout::V6.len);

/// `struct opof_template`: the outer headers of what goes to one place, and how large a frame may be. Of length 0: there is no way
/// there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Way([u8; TEMPLATE]);

impl Way {
    /// None.
    pub const NONE: Self = Self([0; TEMPLATE]);

    /// By this template.
    pub fn new(template: &Template, frame_len_max: usize) -> Self {
        let mut way = Self::NONE;
        let outer = template.bytes();
        way.0[..2].copy_from_slice(&u16::try_from(outer.len()).expect("at most 86").to_ne_bytes());
        let most = u16::try_from(frame_len_max).unwrap_or(u16::MAX);
        way.0[2..4].copy_from_slice(&most.to_ne_bytes());
        way.0[4..4 + outer.len()].copy_from_slice(outer);
        way
    }

    /// None any more. The headers stay: at the end of a tunnel they tell what comes back from it.
    #[must_use]
    pub fn closed(mut self) -> Self {
        self.0[..2].fill(0);
        self
    }

    /// True when something can be sent there.
    pub fn is_open(&self) -> bool {
        self.0[..2] != [0; 2]
    }
}

/// `struct opof_outer_headers`: which of the two is in force, and both.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(transparent)]
pub struct OuterHeaders(pub [u8; 4 + 2 * TEMPLATE]);

impl Default for OuterHeaders {
    fn default() -> Self {
        Self([0; 4 + 2 * TEMPLATE])
    }
}

impl OuterHeaders {
    fn current(&self) -> usize {
        usize::from(u32::from_ne_bytes(array(&self.0, 0)) & 1 == 1)
    }

    fn at(index: usize) -> std::ops::Range<usize> {
        4 + index * TEMPLATE..4 + (index + 1) * TEMPLATE
    }

    /// The one in force.
    pub fn way(&self) -> Way {
        Way(array(&self.0, Self::at(self.current()).start))
    }

    /// With `way` in the place of the one that is not in force.
    #[must_use]
    pub fn prepared(mut self, way: &Way) -> Self {
        let other = Self::at(1 - self.current());
        self.0[other].copy_from_slice(&way.0);
        self
    }

    /// With the other one in force.
    #[must_use]
    pub fn switched(mut self) -> Self {
        let other = u32::from(self.current() == 0);
        self.0[..4].copy_from_slice(&other.to_ne_bytes());
        self
    }
}

#[cfg(test)]
mod tests {
    use opof_wire::Addresses;
    use opof_wire::encap::Tunnel;
    use opof_wire::ethernet::MacAddress;
    use opof_wire::geneve::OptionId;

    use super::*;

    #[test]
    fn two_ways_byte_by_byte() {
        let tunnel = Tunnel {
            source_mac: MacAddress([2; 6]),
            destination_mac: MacAddress([4; 6]),
            addresses: Addresses::V4 { source: [192, 0, 2, 1], destination: [192, 0, 2, 2] },
            vni: 7,
            option: OptionId::DEFAULT,
        };
        let template = Template::new(&tunnel).unwrap();
        let way = Way::new(&template, 1500);
        let none = OuterHeaders::default();
        assert_eq!(none.way(), Way::NONE);
        let prepared = none.prepared(&way);
        assert_eq!((prepared.way(), &prepared.0[..96]), (Way::NONE, &[0; 96][..]), "the one in force is untouched");
        let switched = prepared.switched();
        assert_eq!((switched.way(), &switched.0[4..]), (way, &prepared.0[4..]));
        assert_eq!(switched.0[..4], 1_u32.to_ne_bytes());
        assert_eq!(switched.0[96..100], [66_u16.to_ne_bytes(), 1500_u16.to_ne_bytes()].concat());
        assert_eq!(switched.0[100..166], *template.bytes());
        assert_eq!(switched.prepared(&Way::NONE).switched().way(), Way::NONE);
        let closed = way.closed();
        assert!(way.is_open() && !closed.is_open() && !Way::NONE.is_open());
        assert_eq!((&closed.0[..2], &closed.0[2..]), (&[0, 0][..], &way.0[2..]));
    }
}
