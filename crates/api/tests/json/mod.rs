//! Messages as the JSON of protobuf: default values left out, 64-bit numbers as text, bytes in base64, enums by name.
//!
//! Only what the vectors need; the names come from the contract, so that a field in the wrong place shows.

use opof_api::v1;
use prost_types::Timestamp;
use serde_json::{Map, Value, json};

struct Fields(Map<String, Value>);

impl Fields {
    fn new() -> Self {
        Self(Map::new())
    }

    fn put(mut self, name: &str, value: impl Into<Value>, default: impl Into<Value>) -> Self {
        let (value, default) = (value.into(), default.into());
        if value != default {
            self.0.insert(name.to_owned(), value);
        }
        self
    }

    fn number(self, name: &str, value: impl Into<Value>) -> Self {
        self.put(name, value, 0)
    }

    fn wide(self, name: &str, value: u64) -> Self {
        self.put(name, value.to_string(), "0")
    }

    fn bytes(self, name: &str, value: &[u8]) -> Self {
        self.put(name, base64(value), "")
    }

    fn optional(self, name: &str, value: Option<Value>) -> Self {
        self.put(name, value.unwrap_or_default(), Value::Null)
    }

    fn list(self, name: &str, values: Vec<Value>) -> Self {
        self.put(name, values, json!([]))
    }

    fn done(self) -> Value {
        self.0.into()
    }
}

pub(crate) fn session_request(message: &v1::SessionRequest) -> Value {
    Fields::new()
        .wide("sessionId", message.session_id)
        .number("inLif", message.in_lif)
        .number("outLif", message.out_lif)
        .put("ipVersion", message.ip_version().as_str_name(), "_IPV4")
        .number("sourceIp", message.source_ip)
        .bytes("sourceIpV6", &message.source_ip_v6)
        .number("sourcePort", message.source_port)
        .number("destinationIp", message.destination_ip)
        .bytes("destinationIpV6", &message.destination_ip_v6)
        .number("destinationPort", message.destination_port)
        .put("protocolId", message.protocol_id().as_str_name(), "_HOPOPT")
        .optional("action", message.action.as_ref().map(action_parameters))
        .number("cacheTimeout", message.cache_timeout)
        .done()
}

fn action_parameters(message: &v1::ActionParameters) -> Value {
    Fields::new()
        .put("actionType", message.action_type().as_str_name(), "_DROP")
        .number("actionNextHop", message.action_next_hop)
        .bytes("actionNextHopV6", &message.action_next_hop_v6)
        .done()
}

pub(crate) fn session_id(message: v1::SessionId) -> Value {
    Fields::new().wide("sessionId", message.session_id).done()
}

pub(crate) fn session_request_args(message: &v1::SessionRequestArgs) -> Value {
    Fields::new()
        .number("pageSize", message.page_size)
        .number("page", message.page)
        .wide("startSession", message.start_session)
        .done()
}

pub(crate) fn add_session_response(message: &v1::AddSessionResponse) -> Value {
    let error = |error: &v1::SessionResponseError| {
        Fields::new().wide("sessionId", error.session_id).number("errorStatus", error.error_status).done()
    };
    Fields::new()
        .put("requestStatus", message.request_status().as_str_name(), "_SESSION_ACCEPTED")
        .wide("errorStatus", message.error_status)
        .optional("startTime", message.start_time.as_ref().map(timestamp))
        .list("responseError", message.response_error.iter().map(error).collect())
        .done()
}

pub(crate) fn session_response(message: &v1::SessionResponse) -> Value {
    Fields::new()
        .wide("sessionId", message.session_id)
        .wide("inPackets", message.in_packets)
        .wide("outPackets", message.out_packets)
        .wide("inBytes", message.in_bytes)
        .wide("outBytes", message.out_bytes)
        .put("sessionState", message.session_state().as_str_name(), "_ESTABLISHED")
        .put("sessionCloseCode", message.session_close_code().as_str_name(), "_NOT_CLOSED")
        .put("requestStatus", message.request_status().as_str_name(), "_ACCEPTED")
        .optional("startTime", message.start_time.as_ref().map(timestamp))
        .optional("endTime", message.end_time.as_ref().map(timestamp))
        .done()
}

pub(crate) fn session_responses(message: &v1::SessionResponses) -> Value {
    Fields::new()
        .list("sessionInfo", message.session_info.iter().map(session_response).collect())
        .wide("nextkey", message.nextkey)
        .done()
}

/// prost's own text has nanoseconds without trailing zeros, the vectors have them in groups of three.
fn timestamp(stamp: &Timestamp) -> Value {
    let whole = Timestamp { nanos: 0, ..*stamp }.to_string();
    let whole = whole.trim_end_matches('Z');
    match stamp.nanos {
        0 => format!("{whole}Z"),
        nanos if nanos % 1_000_000 == 0 => format!("{whole}.{:03}Z", nanos / 1_000_000),
        nanos => panic!("no vector has {nanos} ns"),
    }
    .into()
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let mut three = [0; 3];
        three[..chunk.len()].copy_from_slice(chunk);
        let bits = u32::from_be_bytes([0, three[0], three[1], three[2]]);
        for digit in 0..4 {
            let index = bits >> (18 - 6 * digit) & 63;
            text.push(if digit <= chunk.len() { char::from(DIGITS[index as usize]) } else { '=' });
        }
    }
    text
}
