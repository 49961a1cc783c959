//! Texts through everything that reads and edits `lb.toml`; `lb_tests::fuzz::document` says what must hold.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| lb_tests::fuzz::document::run(input));
