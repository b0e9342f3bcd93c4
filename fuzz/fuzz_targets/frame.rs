//! Any bytes: no header's accessor panics, and a frame with a flow key has the same one when each header is parsed alone,
//! and what answers a frame that does not fit is a right answer, and what comes out of a tunnel is what
//! was put in.
#![no_main]

use libfuzzer_sys::fuzz_target;
use opof_testkit::headers::{check_answer, check_decapsulation, check_headers, check_verdict};

fuzz_target!(|data: &[u8]| {
    check_headers(data);
    check_verdict(data);
    check_answer(data);
    check_decapsulation(data);
});
