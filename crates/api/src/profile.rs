//! Where published peers read the same message differently: one switch each, and named sets of them.
//!
//! Only switches that the translation honours are here.

/// How the four bytes of an IPv4 address are put into a `uint32`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Ipv4Order {
    /// As a little-endian machine reads an `in_addr`: 10.0.0.1 is `0x0100000A`.
    InetPton,
    /// First octet most significant: 10.0.0.1 is `0x0A000001`.
    Host,
}

impl Ipv4Order {
    /// The octets of an address, first octet first.
    pub const fn octets(self, number: u32) -> [u8; 4] {
        match self {
            Self::InetPton => number.to_le_bytes(),
            Self::Host => number.to_be_bytes(),
        }
    }

    /// The number for an address, first octet first.
    pub const fn number(self, octets: [u8; 4]) -> u32 {
        match self {
            Self::InetPton => u32::from_le_bytes(octets),
            Self::Host => u32::from_be_bytes(octets),
        }
    }
}

/// What `sessionResponseError.errorStatus` is a value of.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum AddErrors {
    /// `ADD_SESSION_STATUS`.
    AddSessionStatus,
    /// The status codes of gRPC.
    GrpcCode,
}

/// What an addSession reply says of the stream as a whole.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum AddStatus {
    /// `requestStatus` is the most serious error, `errorStatus` the bit mask.
    WorstAndMask,
    /// Both stay 0; errors are in `responseError` alone.
    Zero,
}

/// How a peer reads and writes the messages.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Profile {
    /// IPv4 addresses.
    pub ipv4_order: Ipv4Order,
    /// Errors of single sessions.
    pub add_errors: AddErrors,
    /// The outcome of a whole addSession stream.
    pub add_status: AddStatus,
}

impl Profile {
    /// As the API's text says: what the first release's Python client expects.
    pub const SPEC: Self = Self {
        ipv4_order: Ipv4Order::InetPton,
        add_errors: AddErrors::AddSessionStatus,
        add_status: AddStatus::WorstAndMask,
    };
}

impl Default for Profile {
    fn default() -> Self {
        Self::SPEC
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_orders_of_ten_zero_zero_one() {
        assert_eq!(Ipv4Order::InetPton.octets(0x0100_000A), [10, 0, 0, 1]);
        assert_eq!(Ipv4Order::Host.octets(0x0A00_0001), [10, 0, 0, 1]);
        assert_eq!(Ipv4Order::InetPton.number([10, 0, 0, 1]), 0x0100_000A);
        assert_eq!(Ipv4Order::Host.number([10, 0, 0, 1]), 0x0A00_0001);
    }
}
