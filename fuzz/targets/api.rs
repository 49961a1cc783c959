//! Requests through the daemon's interface; `lb_tests::fuzz::api` says what must hold.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| lb_tests::fuzz::api::run(input));
