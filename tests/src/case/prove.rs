//! Runs a case on a ring and compares everything.

use super::{Case, Expect, Step};
use crate::packet::verify;
use crate::ring::{Exit, Ran, Ring, State};

/// How a case ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// As expected.
    Holds,
    /// The ring cannot show it, for this reason.
    Skipped(String),
    /// Otherwise: what, step by step.
    Fails(String),
}

/// Runs a case. Ages may differ from what is expected by `slack` ticks.
pub fn prove(case: &Case, ring: &mut dyn Ring, slack: u32) -> Proof {
    let mut expected = ring.state();
    for (number, step) in (1..).zip(&case.steps) {
        match step {
            Step::Apply(writes) => ring.apply(writes),
            Step::Generation(tables) => ring.generation(tables),
            Step::ForgetWaysBack(changes) => {
                ring.forget_ways_back();
                for change in changes {
                    change.follow(&mut expected);
                }
            }
            Step::Wait(ticks) => {
                if !ring.wait(*ticks) {
                    return Proof::Skipped(format!("{ticks} ticks cannot pass here"));
                }
                age(&mut expected, *ticks);
            }
            Step::Frame {
                name,
                bytes,
                expect,
            } => {
                let ran = ring.run(bytes);
                let mut wrong = judge(expect, bytes, &ran);
                expect.follow(&mut expected, bytes.len());
                let actual = ring.state();
                expected.forgive(&actual, slack);
                wrong.extend(expected.differences(&actual));
                if !wrong.is_empty() {
                    let wrong = wrong.join("\n  ");
                    let description = &case.description;
                    return Proof::Fails(format!(
                        "{description}\n step {number}, {name}:\n  {wrong}"
                    ));
                }
                expected = actual;
            }
        }
    }
    Proof::Holds
}

fn age(state: &mut State, ticks: u32) {
    for flow in state.flows.values_mut() {
        flow.age += ticks;
    }
    for reverse in state.reverses.values_mut() {
        reverse.age += ticks;
    }
}

/// What is wrong with the decision and the frame.
fn judge(expect: &Expect, sent: &[u8], ran: &Ran) -> Vec<String> {
    let mut wrong = Vec::new();
    if !same_exit(expect.exit, ran.exit) {
        wrong.push(format!(
            "leaves by {:?} for {:?}, expected {:?} for {:?}",
            ran.exit,
            ran.reason(),
            expect.exit,
            expect.reason
        ));
    }
    if ran.trace != expect.trace() {
        wrong.push(format!(
            "decision\n    expected {:?}\n    found    {:?} ({:?})",
            expect.trace(),
            ran.trace,
            ran.reason()
        ));
    }
    let frame = expect.frame.as_deref().unwrap_or(sent);
    if ran.frame != frame {
        wrong.push(format!(
            "frame\n    expected {}\n    found    {}\n    at {:?}",
            hex(frame),
            hex(&ran.frame),
            frame.iter().zip(&ran.frame).position(|(a, b)| a != b)
        ));
    }
    // The last word is a receiver's, so that an expectation cannot be wrong in the same way.
    if ran.is_forwarded()
        && let Err(error) = verify::receive(&ran.frame)
    {
        wrong.push(format!("a receiver rejects the frame: {error}"));
    }
    wrong
}

/// A test run in the kernel does not tell by which other interface a frame leaves.
fn same_exit(expected: Exit, found: Exit) -> bool {
    expected == found || matches!((expected, found), (Exit::Redirect(_), Exit::Redirect(None)))
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
