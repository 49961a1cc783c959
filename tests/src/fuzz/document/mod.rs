//! Texts through everything that reads and edits `lb.toml`: parsing, compiling, comparing, editing.
//!
//! An input is a text; behind a NUL, which no TOML can hold, come edits of it. Nothing panics, what
//! is refused is refused with a place and a remedy, what is accepted compiles, and an edit changes
//! what it says and no more. Nothing here does I/O, as nothing there does.

mod edits;

use std::net::{IpAddr, SocketAddr};

use jiff::Timestamp;
use lb_common::abi::Hop;
use lb_userspace::api::types::Edit;
use lb_userspace::compile::{BackendView, Surroundings, Way, compile};
use lb_userspace::document::{
    Document, DocumentError, apply_edit, changes, expire_blocks, parse, revision,
};
use lb_userspace::ids::Ids;
use lb_userspace::reconcile::{Plan, plan};

use super::language::Bytes;

/// Most edits of one text.
const EDITS_MAX: usize = 8;

/// Reads a text, and follows the edits behind it.
pub fn run(input: &[u8]) {
    let end = input.iter().position(|byte| *byte == 0);
    let (text, edits) = input.split_at(end.unwrap_or(input.len()));
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    let mut bytes = Bytes::new(edits.get(1..).unwrap_or_default());
    let mut text = text.to_owned();
    let mut document = read(&text);
    for _ in 0..EDITS_MAX {
        let Some(kind) = bytes.next() else {
            return;
        };
        if kind == edits::EXPIRE {
            let now = edits::time(bytes.byte());
            text = expired(&text, document.as_ref(), now);
        } else {
            let edit = edits::read(kind, &mut bytes, document.as_ref());
            text = edited(text, document.as_ref(), &edit);
        }
        document = read(&text);
    }
}

/// The example, what the tests say of every key, and edits of both.
pub fn seeds() -> Vec<Vec<u8>> {
    let texts = [
        include_str!("../../../../lb.example.toml"),
        include_str!("seed-services.toml"),
        include_str!("seed-firewall.toml"),
        include_str!("seed-inline.toml"),
    ];
    let mut seeds: Vec<Vec<u8>> = texts.map(|text| text.as_bytes().to_vec()).into();
    for text in texts {
        // A part of a document, too: a key at a time is how a fuzzer learns them.
        let tables = text.split("\n[[").skip(1);
        seeds.extend(tables.map(|table| format!("interfaces = [\"a\"]\n[[{table}").into_bytes()));
        for kind in 0..=edits::EXPIRE {
            for choice in 0..4 {
                let mut seed = text.as_bytes().to_vec();
                seed.extend([0, kind, choice, choice / 2, 1, 2, kind, 0, 0, 0, 0]);
                seeds.push(seed);
            }
        }
    }
    let windows = texts[3].replace('\n', "\r\n");
    seeds.push([windows.as_bytes(), &[0, 2, 0, 0, 0, 0]].concat());
    seeds
}

/// Reads a text; what is accepted has to compile, and agree with itself.
fn read(text: &str) -> Option<Document> {
    assert_eq!(revision(text).len(), 16);
    match parse(text, "lb.toml") {
        Ok(document) => {
            check(&document);
            Some(document)
        }
        Err(error) => {
            refuses(text, &error);
            None
        }
    }
}

/// An error names a place in the text, what is wrong there, and what to do.
fn refuses(text: &str, error: &DocumentError) {
    assert!(!error.problems().is_empty(), "refused without a reason");
    // An error at the end of a text that ends with a line break is on the line behind.
    let lines: Vec<&str> = text.split('\n').collect();
    for problem in error.problems() {
        let line = problem.line.checked_sub(1).and_then(|line| lines.get(line));
        let line = line.unwrap_or_else(|| panic!("there is no line {}", problem.line));
        let columns = line.chars().count() + 1;
        assert!(
            (1..=columns).contains(&problem.column),
            "line {} has no column {}: {problem:?}",
            problem.line,
            problem.column
        );
        assert!(!problem.message.is_empty() && !problem.remedy.is_empty());
    }
    assert!(error.to_string().starts_with("lb.toml:"));
}

fn check(document: &Document) {
    assert!(
        changes(document, document).is_empty(),
        "differs from itself"
    );
    assert!(
        document
            .warnings()
            .iter()
            .all(|warning| !warning.is_empty())
    );
    let mut ids = Ids::default();
    ids.assign(document);
    let view = |_: &str, address: SocketAddr| BackendView {
        healthy: address.port() % 3 != 1,
        way: Way {
            hop: Hop::new(2, [2; 6], [4; 6]),
            source: Some(match address.ip() {
                IpAddr::V4(_) => IpAddr::from([10, 0, 0, 2]),
                IpAddr::V6(_) => IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 2]),
            }),
            mtu: 1500,
        },
    };
    let around = Surroundings {
        ids: &ids,
        view: &view,
        nat_ports: (1024, 31_744),
        trace: false,
    };
    let tables = compile(document, &around).expect("what is accepted compiles");
    assert_eq!(tables.services.len(), document.services.len());
    let backends: usize = document.services.iter().map(|s| s.backends.len()).sum();
    assert_eq!(tables.backends.len(), backends);
    for service in tables.services.values() {
        let known = |id: &u32| tables.backends.contains_key(id);
        assert!(service.slots.iter().all(known), "a slot of no backend");
    }
    assert_eq!(plan(&tables, &tables), Plan::Writes(Vec::new()));
}

/// The text after an edit, or the same where it is refused.
fn edited(text: String, before: Option<&Document>, edit: &Edit) -> String {
    let after = match apply_edit(&text, edit) {
        Ok(after) => after,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return text;
        }
    };
    let Some(before) = before else {
        return after;
    };
    match parse(&after, "lb.toml") {
        Ok(found) => edits::check(before, edit, &found, &after),
        // What is added may be wrong in itself; what is taken away or changed cannot be.
        Err(error) => assert!(
            edits::adds(edit),
            "{edit:?} of a document:\n{error}\n{after}"
        ),
    }
    after
}

/// The text without the blocks that have ended.
fn expired(text: &str, before: Option<&Document>, now: Timestamp) -> String {
    let after = expire_blocks(text, now);
    if let Some(before) = before {
        let ended = |until: Option<Timestamp>| until.is_some_and(|until| until <= now);
        let mut expected = before.clone();
        expected.firewall.blocks.retain(|block| !ended(block.until));
        assert_eq!(after.is_some(), expected != *before, "whether any ended");
        if let Some(after) = &after {
            assert_eq!(parse(after, "lb.toml").as_ref(), Ok(&expected), "{after}");
        }
    }
    after.unwrap_or_else(|| text.to_owned())
}
