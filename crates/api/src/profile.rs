//! Where published peers read the same message differently: one switch each, and named sets of them.

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

/// How a call says that there is nothing: no session with this id, or no closed session.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Absence {
    /// gRPC OK, and a status in the message, or an empty stream.
    Message,
    /// gRPC NOT_FOUND.
    NotFound,
}

/// What `startSession` and `nextkey` mean.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ListCursor {
    /// `startSession` is the first id wanted, 0 for the beginning; `nextkey` the first id that was not returned, 0 for
    /// "complete".
    Inclusive,
    /// `startSession` is the last id that was returned, [`ListCursor::START`] for the beginning; `nextkey` the last id
    /// returned; a page without rows means "complete".
    Exclusive,
}

impl ListCursor {
    /// The `startSession` of the first page under [`ListCursor::Exclusive`].
    pub const START: u64 = 0xFFFF_FFFF;

    /// The `startSession` of the first page.
    pub const fn start(self) -> u64 {
        match self {
            Self::Inclusive => 0,
            Self::Exclusive => Self::START,
        }
    }
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
    /// An id that no session has, in get and delete.
    pub unknown_id: Absence,
    /// No closed session.
    pub no_closed: Absence,
    /// Sessions in an answer at most, whatever was asked for, and errors in the answer to an add.
    pub page_cap: Option<u32>,
    /// Pages of a list.
    pub list_cursor: ListCursor,
    /// A deleted session is also reported as closed, and the answer to the delete has no counters.
    pub report_deleted: bool,
}

impl Profile {
    /// As the API's text says: what the first release's Python client expects.
    pub const SPEC: Self = Self {
        ipv4_order: Ipv4Order::InetPton,
        add_errors: AddErrors::AddSessionStatus,
        add_status: AddStatus::WorstAndMask,
        unknown_id: Absence::Message,
        no_closed: Absence::Message,
        page_cap: None,
        list_cursor: ListCursor::Inclusive,
        report_deleted: false,
    };

    /// As deployed C and C++ clients have it.
    pub const C_CLIENT: Self = Self {
        ipv4_order: Ipv4Order::InetPton,
        add_errors: AddErrors::GrpcCode,
        add_status: AddStatus::Zero,
        unknown_id: Absence::NotFound,
        no_closed: Absence::NotFound,
        page_cap: Some(64),
        list_cursor: ListCursor::Exclusive,
        report_deleted: false,
    };

    /// As the server of BlueField deployments and its clients have it.
    pub const BLUEFIELD: Self = Self { ipv4_order: Ipv4Order::Host, report_deleted: true, ..Self::C_CLIENT };

    /// Every named one.
    pub const NAMED: [(&'static str, Self); 3] =
        [("spec", Self::SPEC), ("c-client", Self::C_CLIENT), ("bluefield", Self::BLUEFIELD)];

    /// Its name; `custom` when it is none of those that have one.
    pub fn name(&self) -> &'static str {
        Self::NAMED.iter().find(|(_, profile)| profile == self).map_or("custom", |(name, _)| name)
    }

    /// The one of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::NAMED.into_iter().find(|(other, _)| *other == name).map(|(_, profile)| profile)
    }
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

    #[test]
    fn each_profile_is_found_by_its_name() {
        for (name, profile) in Profile::NAMED {
            assert_eq!(Profile::from_name(name), Some(profile));
            assert_eq!(profile.name(), name);
        }
        assert_eq!(Profile { report_deleted: true, ..Profile::SPEC }.name(), "custom");
        assert_eq!(Profile::from_name("Spec"), None);
    }
}
