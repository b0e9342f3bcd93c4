//! Any bytes as an envelope of the other device of a pair: no panic, and what translates does so again after the way back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use opof_api::peer::Envelope;
use opof_api::peer_message::{envelope, message};
use prost::Message as _;

fuzz_target!(|data: &[u8]| {
    let Ok(said) = Envelope::decode(data) else { return };
    let Ok(read) = message(said) else { return };
    let bytes = envelope(read.clone()).encode_to_vec();
    assert_eq!(Envelope::decode(bytes.as_slice()).map(message), Ok(Ok(read)));
});
