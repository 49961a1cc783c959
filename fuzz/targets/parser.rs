//! Any bytes through the header parsers; `lb_tests::fuzz::parser` says what must hold.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| lb_tests::fuzz::parser::run(input));
