//! What is wrong with an envelope, and in which field.
//!
//! What must not be here: what is judged, and how (`read`).

use core::fmt;

use opof_session::limits::LAST_TERM;

use crate::limits;

/// What is wrong with an envelope. `field` is the way to it, in the names of the .proto file.
#[derive(Clone, PartialEq, Eq, Hash, Debug, thiserror::Error)]
pub enum PeerMessageError {
    /// The field is absent.
    #[error("{field}: missing")]
    Missing {
        /// Which one.
        field: String,
    },
    /// A frame, a change or an action of a later version, or none.
    #[error("{field}: of no kind that this version knows")]
    Kind {
        /// Which one.
        field: String,
    },
    /// The number of a role, of a fate or of a reason that there is not.
    #[error("{field}: {number}, which this version does not know there")]
    Value {
        /// Which one.
        field: String,
        /// What it says.
        number: i32,
    },
    /// 0 where numbers begin with 1.
    #[error("{field}: 0, the smallest is 1")]
    Zero {
        /// Which one.
        field: String,
    },
    /// A frame that has no number.
    #[error("{field}: 0, a frame is numbered from 1 on")]
    Unnumbered {
        /// Which one.
        field: String,
    },
    /// A term behind the last one.
    #[error("{field}: {term}, the last one is {max}", max = LAST_TERM)]
    Term {
        /// Which one.
        field: String,
        /// What it says.
        term: u64,
    },
    /// Changes of no active.
    #[error("{field}: {change}, but in term 0 nobody changes anything")]
    Nobody {
        /// Which one.
        field: String,
        /// What it says.
        change: u64,
    },
    /// Changes that there are no numbers for.
    #[error("{field}: {first}, and no numbers for {count} changes from there on")]
    Numbers {
        /// Which one.
        field: String,
        /// What it says.
        first: u64,
        /// How many there are.
        count: usize,
    },
    /// More than a frame may have.
    #[error("{field}: {count}, a frame has {max} at most", max = limits::PEER_ITEMS)]
    TooMany {
        /// Which one.
        field: String,
        /// How many there are.
        count: usize,
    },
    /// Not the number of an interface.
    #[error("{field}: {number}, interfaces are numbered from 1 to 65535")]
    Lif {
        /// Which one.
        field: String,
        /// What it says.
        number: u32,
    },
    /// The VLAN identifier is reserved or has more than 12 bits.
    #[error("{field}: VLAN {number}, the largest is {max}", max = limits::VLAN)]
    Vlan {
        /// Which one.
        field: String,
        /// What it says.
        number: u32,
    },
    /// A protocol that can't be offloaded.
    #[error("{field}: {number}, only TCP (6) and UDP (17) are offloaded")]
    Protocol {
        /// Which one.
        field: String,
        /// What it says.
        number: u32,
    },
    /// A port of more than 16 bits.
    #[error("{field}: {number}, the largest port is {max}", max = limits::PORT)]
    Port {
        /// Which one.
        field: String,
        /// What it says.
        number: u32,
    },
    /// Not the length of an address.
    #[error(
        "{field}: {len} bytes, an address has {v4} or {v6}", v4 = limits::IPV4_BYTES, v6 = limits::IPV6_BYTES
    )]
    Address {
        /// Which one.
        field: String,
        /// Of it, in bytes.
        len: usize,
    },
    /// An address of the other family.
    #[error("{field}: not of the family of the session's source")]
    Family {
        /// Which one.
        field: String,
    },
    /// Not the length of a MAC address.
    #[error("{field}: {len} bytes, a MAC address has {expected}", expected = limits::MAC_BYTES)]
    Mac {
        /// Which one.
        field: String,
        /// Of it, in bytes.
        len: usize,
    },
}

/// The way to a message within an envelope. It is written out for a field that is wrong, and costs nothing for others.
#[derive(Clone, Copy, Debug)]
pub(super) struct Path<'a> {
    of: Option<&'a Path<'a>>,
    name: &'static str,
    at: Option<usize>,
}

impl<'a> Path<'a> {
    /// To a field of the envelope itself.
    pub(super) const fn to(name: &'static str) -> Self {
        Self { of: None, name, at: None }
    }

    /// To a field of the message that this one leads to.
    pub(super) const fn then(&'a self, name: &'static str) -> Self {
        Self { of: Some(self), name, at: None }
    }

    /// To one of several.
    pub(super) const fn item(&'a self, name: &'static str, at: usize) -> Self {
        Self { of: Some(self), name, at: Some(at) }
    }

    /// A field of the message that this one leads to, written out.
    #[cold]
    pub(super) fn field(&self, name: &'static str) -> String {
        self.then(name).to_string()
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(of) = self.of {
            write!(f, "{of}.")?;
        }
        f.write_str(self.name)?;
        match self.at {
            Some(at) => write!(f, "[{at}]"),
            None => Ok(()),
        }
    }
}
