//! What is tried on a kernel, and what its output means.
//!
//! The guest runs parts in turn: the verifier on several programs, the kernel ring, host against
//! kernel on random packets, and the product between namespaces. Each part's output comes back
//! between marks, so that a part that fails is shown and the others still count.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use super::guest::Guest;
use super::kernel::Kernel;
use super::matrix::Outcome;
use super::programs::{DIRECTORY, Programs};
use super::tools;
use crate::test::tally::Tally;
use crate::verify::{self, Verified};

const MEMORY_MIB: u32 = 1536;
/// Two CPUs, so that per-CPU maps have more than one value.
const CPUS: u32 = 2;
/// What the namespaces of the lab are made of.
const MODULES: [&str; 2] = ["veth", "bridge"];
/// Lines of a failed part that are shown.
const LINES_SHOWN: usize = 60;

/// What the product should do on a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    /// Run, all of it.
    Success,
    /// Say clearly that the kernel is too old.
    Refusal,
}

/// How much is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// Two groups of cases, one round of random packets, two end-to-end tests.
    Quick,
    /// All cases, eight rounds, all tests that fit into a guest.
    Full,
}

/// What was found out on a kernel.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Figures {
    /// Tests of the kernel ring, random traffic included.
    pub(super) ring: Tally,
    /// End-to-end tests in namespaces; `None` where they were not run.
    pub(super) end_to_end: Option<Tally>,
    /// What the verifier made of the programs.
    pub(super) verified: Vec<Verified>,
    /// Features that are off there, because the kernel lacks what they need.
    pub(super) off: Vec<String>,
}

/// A part's output and exit status.
#[derive(Debug, PartialEq, Eq)]
struct Part<'a> {
    name: &'a str,
    text: &'a str,
    status: i32,
}

impl Extent {
    /// Quick if `yes`.
    pub(super) fn quick(yes: bool) -> Self {
        if yes { Self::Quick } else { Self::Full }
    }

    /// Groups of cases; none means all.
    fn cases(self) -> &'static str {
        match self {
            Self::Quick => "link ipv6",
            Self::Full => "",
        }
    }

    fn packets(self) -> u32 {
        match self {
            Self::Quick => 2500,
            Self::Full => 20_000,
        }
    }

    /// End-to-end tests. Those left out measure time, which an emulation does not have.
    fn end_to_end(self) -> &'static str {
        match self {
            Self::Quick => "weights_are_exact a_killed_daemon",
            Self::Full => "weights_are_exact counts::dsr tunnels:: life::",
        }
    }

    /// Many times what it takes on an idle machine.
    fn limit(self) -> Duration {
        match self {
            Self::Quick => Duration::from_mins(10),
            Self::Full => Duration::from_mins(90),
        }
    }
}

/// Boots the kernel, tries the programs on it, and judges.
pub(super) fn run(
    kernel: Kernel,
    programs: &Programs,
    expected: Expected,
    extent: Extent,
) -> Outcome {
    let version = kernel.version.clone();
    let outcome = boot(kernel, programs, expected, extent)
        .and_then(|output| conclude(&output, expected, &version));
    outcome.unwrap_or_else(|error| Outcome::Failed(Figures::default(), format!("{error:#}")))
}

/// Runs the script in a guest and returns what it printed.
fn boot(kernel: Kernel, programs: &Programs, expected: Expected, extent: Extent) -> Result<String> {
    let mut files = programs.files.clone();
    let tools = tools::find(programs.arch)?;
    let has_tools = tools.is_some();
    files.extend(tools.into_iter().flatten());
    let script = match expected {
        Expected::Success => script(extent, has_tools),
        Expected::Refusal => refusal_script(),
    };
    let guest = Guest {
        name: kernel.version.clone(),
        kernel,
        memory_mib: MEMORY_MIB,
        cpus: CPUS,
        icount: false,
        programs: files,
        modules: MODULES.to_vec(),
        script,
        limit: extent.limit(),
    };
    let report = guest.run()?;
    ensure!(
        report.exit_status == 0,
        "the guest's script failed with exit status {}:\n{}",
        report.exit_status,
        report.stdout
    );
    Ok(report.stdout)
}

/// The beginning of each script: runs a command between marks.
const PART: &str = r#"
part() {
    name=$1; shift
    echo "lb-part: begin $name"
    "$@" 2>&1
    status=$?
    echo
    echo "lb-part: end $name $status"
}
"#;

fn script(extent: Extent, has_tools: bool) -> String {
    // With CI set, a test that cannot run here fails rather than skips.
    let mut script = format!(
        "export CI=true RUST_TEST_THREADS=1 LB_DIFFERENTIAL_PACKETS={}\n{PART}",
        extent.packets()
    );
    let mut part = |line: String| {
        // Writing to a string cannot fail.
        _ = writeln!(script, "part {line}");
    };
    part(format!("verify {DIRECTORY}/lb internal-verify --json"));
    part(format!("kernel {DIRECTORY}/deps/kernel {}", extent.cases()));
    part(format!("decapsulation {DIRECTORY}/deps/decapsulation"));
    part(format!("differential {DIRECTORY}/deps/differential"));
    if has_tools {
        part(format!("e2e {DIRECTORY}/deps/e2e {}", extent.end_to_end()));
    }
    script
}

/// The daemon must refuse as the single program does.
fn refusal_script() -> String {
    format!(
        "{PART}echo 'interfaces = [\"lo\"]' >/tmp/lb.toml\n\
         part verify {DIRECTORY}/lb internal-verify --json\n\
         part run timeout 60 {DIRECTORY}/lb run --config /tmp/lb.toml\n"
    )
}

/// Judges what the guest printed.
fn conclude(output: &str, expected: Expected, version: &str) -> Result<Outcome> {
    let parts = parts(output);
    match expected {
        Expected::Success => Ok(success(&parts)),
        Expected::Refusal => refusal(&parts, version),
    }
}

fn success(parts: &[Part<'_>]) -> Outcome {
    let mut figures = Figures::default();
    let mut failures = Vec::new();
    for part in parts {
        if let Err(error) = read(part, &mut figures) {
            eprintln!("vm: {} failed there:\n{}", part.name, last_lines(part.text));
            failures.push(format!("{}: {error:#}", part.name));
        }
    }
    if !parts.iter().any(|part| part.name == "differential") {
        failures.push("the guest ended early".to_owned());
    }
    if failures.is_empty() {
        Outcome::Passed(figures)
    } else {
        Outcome::Failed(figures, failures.join("; "))
    }
}

/// Adds a part's figures; an error if it failed.
fn read(part: &Part<'_>, figures: &mut Figures) -> Result<()> {
    match part.name {
        "verify" => {
            let lines = part.text.lines().filter(|line| line.starts_with('{'));
            figures.verified = verify::parse(&lines.collect::<Vec<_>>().join("\n"))?;
            figures.off = off(&figures.verified);
        }
        "kernel" | "decapsulation" | "differential" => read_tests(part, &mut figures.ring)?,
        "e2e" => read_tests(part, figures.end_to_end.get_or_insert_default())?,
        name => bail!("nobody knows what `{name}` is"),
    }
    ensure!(
        part.status == 0,
        "exit status {}: {}",
        part.status,
        part.text.lines().last().unwrap_or_default()
    );
    if part.name == "verify" {
        verify::check(&figures.verified, verify::LIMIT_ELSEWHERE)?;
    }
    Ok(())
}

fn read_tests(part: &Part<'_>, tally: &mut Tally) -> Result<()> {
    let before = *tally;
    part.text.lines().for_each(|line| tally.read(line));
    ensure!(*tally != before, "no test ran");
    let failed = tally.failed - before.failed;
    ensure!(failed == 0, "{failed} of its tests failed");
    Ok(())
}

/// Features that any of the programs is without.
fn off(verified: &[Verified]) -> Vec<String> {
    let mut names: Vec<_> = verified.iter().flat_map(|one| one.off.clone()).collect();
    names.sort();
    names.dedup();
    names
}

/// The message with which everything refuses this kernel.
fn refusal(parts: &[Part<'_>], version: &str) -> Result<Outcome> {
    let needle = format!("this kernel is {version}, but the program needs");
    let mut message = None;
    for name in ["verify", "run"] {
        let part = parts.iter().find(|part| part.name == name);
        let part = part.context("the guest ended early")?;
        let line = part.text.lines().find(|line| line.contains(&needle));
        let shown = last_lines(part.text);
        let line = line.with_context(|| {
            format!("`lb` should refuse this kernel by name, and says:\n{shown}")
        })?;
        ensure!(
            part.status == 1,
            "`lb` refuses this kernel with exit status {} and not 1",
            part.status
        );
        message = Some(line.trim_start_matches("error: ").to_owned());
    }
    message.map(Outcome::Refused).context("nothing was tried")
}

/// Splits what the script printed. A part without an end, because the guest died, has none.
fn parts(output: &str) -> Vec<Part<'_>> {
    let pieces = output.split("lb-part: begin ").skip(1);
    let parts = pieces.filter_map(|piece| {
        let (name, rest) = piece.split_once('\n')?;
        let (text, status) = rest.split_once(&format!("\nlb-part: end {name} "))?;
        let status = status.lines().next()?.parse().ok()?;
        Some(Part { name, text, status })
    });
    parts.collect()
}

fn last_lines(text: &str) -> String {
    let lines: Vec<_> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(LINES_SHOWN)..].join("\n")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    const PASSED: &str = "test result: ok. 3 passed; 0 failed; 0 ignored";
    const VERIFIED: &str = r#"{"program": "lb", "verified_instructions": 13300,
        "jited_bytes": 9000, "kernel": "6.1", "off": ["coarse-clock"]}"#;

    fn part(name: &str, text: &str, status: i32) -> String {
        format!("lb-part: begin {name}\n{text}\nlb-part: end {name} {status}\n")
    }

    fn all(kernel: &str, status: i32) -> String {
        [
            part("verify", &VERIFIED.replace('\n', ""), 0),
            part("kernel", kernel, status),
            part("differential", PASSED, 0),
            part("e2e", PASSED, 0),
        ]
        .concat()
    }

    fn failure(output: &str) -> String {
        match conclude(output, Expected::Success, "6.1").unwrap() {
            Outcome::Failed(_, why) => why,
            other => unreachable!("{other:?}"),
        }
    }

    #[test]
    fn figures_are_read_from_the_parts() {
        let outcome = conclude(&all(PASSED, 0), Expected::Success, "6.1").unwrap();
        let Outcome::Passed(figures) = outcome else {
            unreachable!("{outcome:?}");
        };
        assert_eq!(figures.ring.passed, 6);
        assert_eq!(figures.end_to_end.unwrap().passed, 3);
        assert_eq!(figures.verified[0].instructions, 13_300);
        assert_eq!(figures.off, ["coarse-clock"]);
    }

    #[test]
    fn a_part_that_fails_or_is_missing_fails_the_kernel() {
        let failed = "test result: FAILED. 1 passed; 2 failed; 0 ignored";
        assert_eq!(failure(&all(failed, 101)), "kernel: 2 of its tests failed");
        assert_eq!(
            failure(&all("Segmentation fault", 139)),
            "kernel: no test ran"
        );
        let died = "kernel: exit status 139";
        assert!(failure(&all(PASSED, 139)).starts_with(died));
        assert_eq!(
            failure(&part("verify", VERIFIED, 0).replace('\n', " ")),
            "the guest ended early"
        );
    }

    #[test]
    fn a_refusal_must_name_the_kernel_and_come_from_both() {
        let text = "error: this kernel is 5.10.0-32, but the program needs 5.12 (why); boot";
        let both = part("verify", text, 1) + &part("run", text, 1);
        let judge = |output: &str| conclude(output, Expected::Refusal, "5.10.0-32");
        let expected = text.trim_start_matches("error: ").to_owned();
        assert_eq!(judge(&both).unwrap(), Outcome::Refused(expected));
        assert!(judge(&both.replace("run 1", "run 0")).is_err(), "it ran");
        assert!(
            judge(&part("verify", text, 1)).is_err(),
            "the daemon did not say so"
        );
        let other = both.replace("this kernel", "it");
        let error = judge(&other).unwrap_err().to_string();
        assert!(
            error.contains("should refuse") && error.contains("it is 5.10"),
            "{error}"
        );
    }
}
