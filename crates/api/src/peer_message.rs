//! What two devices of a pair say to each other: `opof.peer.v1` to domain values and back.
//!
//! What lives here: what can be judged of a message by itself. Whether it comes in time and what it changes, `session` knows.

mod error;
mod read;
mod say;
#[cfg(test)]
mod strategies;
#[cfg(test)]
mod tests;

use opof_session::ha::message::Message;

use crate::peer::Envelope;

pub use error::PeerMessageError;

/// The version of `opof.peer.v1` that is spoken here: it grows with each kind of frame or change, and with each field without which a message
/// would mean something else. Nothing is said to a peer of an earlier one that came in after that.
pub const VERSION: u32 = 1;

/// The envelope that says a message: the inverse of [`message`].
pub fn envelope(message: Message) -> Envelope {
    say::envelope(message)
}

/// The message that an envelope says. It takes no more memory than the envelope did.
///
/// # Errors
/// The first wrong field. What only a later version knows is passed over.
pub fn message(envelope: Envelope) -> Result<Message, PeerMessageError> {
    read::message(envelope)
}
