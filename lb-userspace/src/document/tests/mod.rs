//! What the document accepts and what it says to everything else: a test for each message.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that meets the unexpected fails"
)]

mod changes;
mod check;
mod firewall;
mod limits;
mod path;
mod properties;
mod service;
mod top;

use super::{Document, DocumentError, parse};

/// A service that is right, to which tests add what is wrong.
pub(super) const WEB: &str = r#"
[[service]]
name = "web"
vip = "192.0.2.10:80/tcp"
backend = [{ address = "10.0.0.11:8080" }]
"#;

/// `rest` with the one key that every document needs.
pub(super) fn with_interface(rest: &str) -> String {
    format!("interfaces = [\"eth0\"]\n{rest}")
}

/// Parses a document that is right.
pub(super) fn good(rest: &str) -> Document {
    parse(&with_interface(rest), "lb.toml").unwrap_or_else(|error| unreachable!("{error}"))
}

/// What is wrong with a text.
pub(super) fn bad(text: &str) -> DocumentError {
    parse(text, "lb.toml").expect_err("the document is wrong")
}

/// Asserts that `rest` has exactly one problem: at the text `place` (the first occurrence), under
/// `key`, with these words in its message and in its remedy.
#[track_caller]
pub(super) fn refuses(rest: &str, place: &str, key: &str, message: &str, remedy: &str) {
    let text = with_interface(rest);
    let error = bad(&text);
    let [problem] = error.problems() else {
        unreachable!("one problem is expected, not:\n{error}");
    };
    let at = text.find(place).expect("the place is in the text");
    let before = text.get(..at).unwrap();
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    assert_eq!((problem.line, problem.column), (line, column), "{error}");
    assert_eq!(problem.key, key, "{error}");
    assert!(problem.message.contains(message), "{error}");
    assert!(problem.remedy.contains(remedy), "{error}");
    assert!(
        error
            .to_string()
            .starts_with(&format!("lb.toml:{line}:{column}: "))
    );
}
