//! Any bytes as each request message of each dialect: no panic, and what translates does so again after the way back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use opof_api::{Dialect, Profile, link, session_request, session_spec, v1_1, v1beta1};
use prost::Message as _;

fuzz_target!(|data: &[u8]| {
    // These are taken as they are; decoding must not panic.
    let _ = v1beta1::SessionId::decode(data);
    let _ = v1beta1::SessionRequestArgs::decode(data);
    let _ = v1_1::ShutdownRequest::decode(data);
    if let Ok(Ok(hop)) = v1beta1::NextHopParameters::decode(data).map(|message| link::next_hop(&message)) {
        assert_eq!(link::next_hop(&link::next_hop_parameters(&hop)), Ok(hop));
    }
    if let Ok(Ok(flow)) = v1beta1::VlanFlowDef::decode(data).map(|message| link::vlan_flow(&message)) {
        assert_eq!(link::vlan_flow(&link::vlan_flow_def(&flow)), Ok(flow));
    }
    let Ok(message) = v1beta1::SessionRequest::decode(data) else { return };
    for dialect in Dialect::ALL {
        for (_, profile) in Profile::NAMED {
            let Ok(spec) = session_spec(&message, dialect, &profile) else { continue };
            let again = session_request(&spec, dialect, &profile).expect("it was said in this dialect");
            assert_eq!(session_spec(&again, dialect, &profile).as_ref(), Ok(&spec));
            let bytes = again.encode_to_vec();
            assert_eq!(v1beta1::SessionRequest::decode(bytes.as_slice()), Ok(again));
        }
    }
});
