//! The kernels that are tried, and the run over them.
//!
//! A kernel that cannot be had is skipped for a reason that is told; the others go on. As many
//! guests run at a time as there are CPUs, because each is emulated by one thread.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use anyhow::Result;

use super::Options;
use super::apt::Unreachable;
use super::kernel::{self, Arch, Release};
use super::programs::{self, Programs};
use super::trial::{self, Expected, Extent, Figures};
use crate::setup::{self, Mode, Requirement};
use crate::workspace::Workspace;

/// Guests at a time at most: each takes two gigabytes.
const GUESTS_MAX: usize = 4;

/// One row of the matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// What users call it.
    pub(super) name: &'static str,
    release: Release,
    /// Another processor than this machine's; `None` for this machine's.
    arch: Option<Arch>,
    expected: Expected,
}

/// Oldest first.
const MATRIX: [Target; 5] = [
    Target {
        name: "5.10",
        release: Release::Bullseye,
        arch: None,
        expected: Expected::Refusal,
    },
    Target {
        name: "6.1",
        release: Release::Bookworm,
        arch: None,
        expected: Expected::Success,
    },
    Target {
        name: "6.12",
        release: Release::Trixie,
        arch: None,
        expected: Expected::Success,
    },
    Target {
        name: "newest",
        release: Release::Newest,
        arch: None,
        expected: Expected::Success,
    },
    Target {
        name: "arm64",
        release: Release::Bookworm,
        arch: Some(Arch::Arm64),
        expected: Expected::Success,
    },
];

/// The subset that CI runs.
const QUICK: [&str; 2] = ["6.1", "newest"];

/// What came of one kernel.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    pub(super) name: &'static str,
    /// What `uname -r` prints there; empty if it was not booted.
    pub(super) version: String,
    pub(super) arch: &'static str,
    pub(super) seconds: u64,
    pub(super) outcome: Outcome,
}

/// How it ended.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Outcome {
    /// Everything holds.
    Passed(Figures),
    /// The product refuses the kernel, as it should, with these words.
    Refused(String),
    /// Something does not hold; what was found until then, and why.
    Failed(Figures, String),
    /// It could not be tried, for this reason.
    Skipped { why: String, no_network: bool },
}

/// The target of this name.
pub(super) fn find(name: &str) -> Result<Target, String> {
    let found = MATRIX.into_iter().find(|target| target.name == name);
    found.ok_or_else(|| {
        let names = MATRIX.map(|target| target.name).join(", ");
        format!("there is no such kernel; the matrix has {names}")
    })
}

/// Tries the kernels that the options name.
///
/// # Errors
/// This machine's programs do not build.
pub(super) fn run(workspace: &Workspace, options: &Options) -> Result<Vec<Row>> {
    let targets = choose(options);
    let extent = Extent::quick(options.quick);
    let host = Arch::host();
    let mut programs = BTreeMap::new();
    for target in &targets {
        let Some(arch) = target.arch.or(host) else {
            continue;
        };
        if let std::collections::btree_map::Entry::Vacant(entry) = programs.entry(arch) {
            entry.insert(build(workspace, arch)?);
        }
    }
    let queue = Mutex::new(targets.iter().enumerate());
    let rows = Mutex::new(BTreeMap::new());
    let work = || {
        loop {
            // In a statement of its own, so that the queue is free while the guest runs.
            let next = lock(&queue).next();
            let Some((index, target)) = next else { break };
            let row = attempt(*target, extent, &programs);
            lock(&rows).insert(index, row);
        }
    };
    thread::scope(|scope| {
        for _ in 0..guests(targets.len()) {
            scope.spawn(work);
        }
    });
    Ok(lock(&rows).values().cloned().collect())
}

fn choose(options: &Options) -> Vec<Target> {
    let wanted = |target: &Target| {
        if options.kernels.is_empty() {
            !options.quick || QUICK.contains(&target.name)
        } else {
            options.kernels.contains(target)
        }
    };
    MATRIX.into_iter().filter(wanted).collect()
}

fn guests(targets: usize) -> usize {
    let cpus = thread::available_parallelism().map_or(1, usize::from);
    cpus.min(GUESTS_MAX).min(targets)
}

/// A worker that panics poisons the lock; the panic itself is passed on when the scope ends.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// This build's programs for one architecture. The inner error is what becomes of its kernels
/// without them: only for this machine's own architecture is that the end of everything.
fn build(workspace: &Workspace, arch: Arch) -> Result<Result<Programs, Outcome>> {
    let is_host = Arch::host() == Some(arch);
    let ready = ensure(&setup::GUEST).and_then(|()| {
        if is_host {
            ensure(&setup::BUILD_AND_RUN)
        } else if arch == Arch::Arm64 {
            ensure(&setup::GUEST_ARM64)
        } else {
            Err(format!("nothing is built for {arch} on this machine"))
        }
    });
    if let Err(why) = ready {
        let no_network = false;
        return Ok(Err(Outcome::Skipped { why, no_network }));
    }
    match programs::build(workspace, arch) {
        Err(error) if !is_host => {
            let why = format!("it does not build for {arch}: {error:#}");
            Ok(Err(Outcome::Failed(Figures::default(), why)))
        }
        built => built.map(Ok),
    }
}

fn ensure(requirements: &[Requirement]) -> Result<(), String> {
    setup::ensure(requirements, Mode::Brief).map_err(|error| format!("{error:#}"))
}

/// Tries one kernel.
fn attempt(
    target: Target,
    extent: Extent,
    programs: &BTreeMap<Arch, Result<Programs, Outcome>>,
) -> Row {
    let start = Instant::now();
    let arch = target.arch.or(Arch::host());
    let mut row = Row {
        name: target.name,
        version: String::new(),
        arch: arch.map_or("unknown", Arch::debian),
        seconds: 0,
        outcome: Outcome::Skipped {
            why: "no kernel is known for this machine's processor".to_owned(),
            no_network: false,
        },
    };
    let built = arch.and_then(|arch| Some((arch, programs.get(&arch)?)));
    match built {
        Some((arch, Ok(programs))) => match kernel::resolve(target.release, arch) {
            Ok(kernel) => {
                row.version.clone_from(&kernel.version);
                row.outcome = trial::run(kernel, programs, target.expected, extent);
            }
            Err(error) => row.outcome = skipped(&error),
        },
        Some((_, Err(outcome))) => row.outcome = outcome.clone(),
        None => {}
    }
    row.seconds = start.elapsed().as_secs();
    row
}

fn skipped(error: &anyhow::Error) -> Outcome {
    Outcome::Skipped {
        no_network: error.is::<Unreachable>(),
        why: format!("{error:#}"),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use anyhow::{Context as _, anyhow};

    use super::*;

    fn names(options: &Options) -> Vec<&'static str> {
        choose(options).iter().map(|target| target.name).collect()
    }

    #[test]
    fn the_matrix_is_narrowed_by_name_or_to_the_quick_subset() {
        let all = ["5.10", "6.1", "6.12", "newest", "arm64"];
        assert_eq!(names(&Options::default()), all);
        let quick = Options {
            quick: true,
            ..Options::default()
        };
        assert_eq!(names(&quick), QUICK);
        let named = Options {
            kernels: vec![find("arm64").unwrap(), find("5.10").unwrap()],
            ..quick
        };
        assert_eq!(names(&named), ["5.10", "arm64"]);
        assert!(find("4.19").unwrap_err().contains("5.10, 6.1"));
    }

    #[test]
    fn a_kernel_that_cannot_be_had_is_skipped_with_the_reason() {
        let unreachable = anyhow!("no route")
            .context(Unreachable)
            .context("kernel 6.1");
        let Outcome::Skipped { why, no_network } = skipped(&unreachable) else {
            unreachable!("it is skipped");
        };
        assert!(no_network && why.contains("no route"), "{why}");
        let full = Err::<(), _>(anyhow!("no space")).context("kernel 6.1");
        let Outcome::Skipped { why, no_network } = skipped(&full.unwrap_err()) else {
            unreachable!("it is skipped");
        };
        assert!(!no_network && why == "kernel 6.1: no space", "{why}");
    }

    #[test]
    fn a_kernel_for_which_nothing_could_be_built_is_skipped() {
        let outcome = Outcome::Skipped {
            why: "no cross compiler".to_owned(),
            no_network: false,
        };
        let programs = BTreeMap::from([(Arch::Arm64, Err(outcome.clone()))]);
        let target = find("arm64").unwrap();
        let row = attempt(target, Extent::quick(true), &programs);
        assert_eq!(
            (row.name, row.arch, row.outcome),
            ("arm64", "arm64", outcome)
        );
    }
}
