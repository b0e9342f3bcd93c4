//! Any bytes as each request message: no panic, and what translates does so again after the way back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use opof_api::{Profile, session_request, session_spec, v1};
use prost::Message as _;

fuzz_target!(|data: &[u8]| {
    // The other requests are taken as they are; decoding must not panic.
    let _ = v1::SessionId::decode(data);
    let _ = v1::SessionRequestArgs::decode(data);
    let Ok(message) = v1::SessionRequest::decode(data) else { return };
    let Ok(spec) = session_spec(&message, &Profile::SPEC) else { return };
    let again = session_request(&spec, &Profile::SPEC);
    assert_eq!(session_spec(&again, &Profile::SPEC), Ok(spec));
    let bytes = again.encode_to_vec();
    assert_eq!(v1::SessionRequest::decode(bytes.as_slice()), Ok(again));
});
