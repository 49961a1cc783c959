//! Hostile input: what each fuzz target does with an input, and what must hold then.
//!
//! The targets of `fuzz/` and the test `corpus_replay` call the same functions. An input that
//! breaks what must hold panics; libFuzzer and the test both count that as a finding. How inputs
//! are mutated is libFuzzer's business, and the committed corpus is `corpus`'s.
#![expect(
    clippy::panic,
    clippy::expect_used,
    reason = "a finding is a panic, to libFuzzer and to the tests alike"
)]

pub mod api;
pub mod corpus;
pub mod document;
pub mod ingress;
mod language;
pub mod parser;
mod reading;

/// A fuzz target.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name, which is also that of its corpus.
    pub name: &'static str,
    /// Takes one input; panics if it is a finding.
    pub run: fn(&[u8]),
    /// Makes inputs that reach what a fuzzer would take long to find.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All targets.
pub const TARGETS: [Target; 4] = [
    Target {
        name: "parser",
        run: parser::run,
        seeds: parser::seeds,
    },
    Target {
        name: "ingress",
        run: ingress::run,
        seeds: ingress::seeds,
    },
    Target {
        name: "document",
        run: document::run,
        seeds: document::seeds,
    },
    Target {
        name: "api",
        run: api::run,
        seeds: api::seeds,
    },
];
