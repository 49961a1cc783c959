//! Configurations and frames through the whole packet engine; `lb_tests::fuzz::ingress` says what must hold.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| lb_tests::fuzz::ingress::run(input));
