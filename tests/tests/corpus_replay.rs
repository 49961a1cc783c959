//! The committed corpora of the fuzz targets, replayed: all of them on the host, that of the
//! engine in the kernel as well.
//!
//! How they were found, and how they grow, is the business of `cargo xtask fuzz`.
#![expect(
    clippy::expect_used,
    reason = "a corpus that cannot be replayed fails the test"
)]

use std::panic;

use lb_tests::fuzz::ingress::{Agreement, Comparison};
use lb_tests::fuzz::{TARGETS, corpus};
use lb_tests::kernel;

/// Times that an input is tried while ticks come in between.
const ATTEMPTS: usize = 5;

/// Runs every input of a corpus, and the seeds, which are not all part of it.
fn replay(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name);
    let target = target.expect("a target of this name");
    let committed = inputs(name);
    for input in committed.iter().chain(&(target.seeds)()) {
        watch(name, input, || (target.run)(input));
    }
}

fn inputs(name: &str) -> Vec<Vec<u8>> {
    let inputs = corpus::load(name).expect("a corpus is committed");
    assert!(inputs.len() >= 20, "the corpus of {name} is nearly empty");
    inputs
}

/// Says which input it was before failing.
fn watch<R>(name: &str, input: &[u8], run: impl FnOnce() -> R) -> R {
    match panic::catch_unwind(panic::AssertUnwindSafe(run)) {
        Ok(done) => done,
        Err(cause) => {
            eprintln!("the input of {name} was: {}", corpus::encode(input));
            panic::resume_unwind(cause)
        }
    }
}

macro_rules! targets {
    ($($name:ident),* $(,)?) => {
        $(
            #[test]
            fn $name() {
                replay(stringify!($name));
            }
        )*

        #[test]
        fn every_target_is_a_test() {
            let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
            assert_eq!(names, [$(stringify!($name)),*]);
        }
    };
}

targets!(parser, ingress, document, api);

/// Parts of the engine's corpus that are replayed in the kernel side by side: most of the time
/// goes into loading a program for each input.
const PARTS: usize = 4;

fn in_the_kernel(part: usize) {
    if !kernel::is_available() {
        return;
    }
    let (mut whole, mut beginning) = (0, 0);
    let mut comparison = Comparison::default();
    for input in inputs("ingress").iter().skip(part).step_by(PARTS) {
        let agreement = watch("ingress", input, || {
            let mut attempts = (0..ATTEMPTS).map(|_| comparison.compare(input));
            attempts.find(|agreement| *agreement != Agreement::Disturbed)
        });
        match agreement.expect("the machine pauses for too long, too often") {
            Agreement::Whole => whole += 1,
            _ => beginning += 1,
        }
    }
    println!(
        "{whole} inputs in the kernel as a whole, {beginning} up to what only the host can do"
    );
    assert!(whole > 0, "every input ends early in the kernel");
}

macro_rules! parts {
    ($($name:ident = $part:literal),* $(,)?) => {
        $(
            #[test]
            fn $name() {
                in_the_kernel($part);
            }
        )*

        #[test]
        fn every_part_is_a_test() {
            assert_eq!([$($part),*], std::array::from_fn::<usize, PARTS, _>(|part| part));
        }
    };
}

parts!(
    ingress_in_the_kernel_1_of_4 = 0,
    ingress_in_the_kernel_2_of_4 = 1,
    ingress_in_the_kernel_3_of_4 = 2,
    ingress_in_the_kernel_4_of_4 = 3,
);
