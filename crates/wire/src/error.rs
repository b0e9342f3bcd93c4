//! Why bytes are not the header they were taken for, or why a header cannot be emitted.

use core::fmt;

/// What `new_checked`, `parse` and `emit` return when they cannot do their work.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Error {
    /// A header or one of its length fields reaches past the end of the bytes.
    Truncated,
    /// The version field is not that of the protocol.
    Version,
    /// A length field is too small for the header that carries it.
    Length,
    /// The field's value is reserved, or does not fit its bits.
    Value,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "header or length field reaches past the end of the bytes",
            Self::Version => "version field is not that of the protocol",
            Self::Length => "length field is too small for its own header",
            Self::Value => "field value is reserved or does not fit its bits",
        })
    }
}

impl core::error::Error for Error {}
