//! `cargo xtask fuzz`: bounded runs of the fuzz targets, and their corpora.
//!
//! A target starts from the committed corpus, seeds made from the cases, and what earlier runs
//! found on this machine. A finding ends the target's run and is told with the commands that
//! reproduce and keep it. What must hold is said in `tests/src/fuzz`; nothing here judges.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

use crate::setup::{self, Mode};
use crate::workspace::Workspace;
use crate::{process, toolchain};

/// Every target of `fuzz/`.
const TARGETS: [&str; 4] = ["parser", "ingress", "document", "api"];

/// Longest input of each target, in bytes: enough for several of everything, and short enough for
/// thousands of runs a second.
const fn length_max(target: &str) -> &'static str {
    match target.as_bytes() {
        b"parser" => "512",
        b"ingress" => "768",
        _ => "2048",
    }
}

/// Longest that one input may take, in seconds; more is a finding, as it would stop the daemon.
const TIMEOUT_S: &str = "20";
/// Most memory that a target may use, in MiB.
const MEMORY_MIB: &str = "2048";
/// Instrumentation without a sanitizer: the only unsafe code behind the targets is the view of
/// headers, which Miri judges, and without one a target runs twice as fast.
const SANITIZER: [&str; 2] = ["--sanitizer", "none"];

/// What one target's run came to.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    executions: u64,
    /// Places of the code that some input reached.
    coverage: u64,
    /// Combinations of places and how often.
    features: u64,
    /// Inputs that reach something no other does.
    corpus: u64,
    seconds: u64,
    finding: Option<PathBuf>,
}

/// Where a target's things are.
struct Place<'a> {
    workspace: &'a Workspace,
    target: &'static str,
    /// Build artefacts and all below, apart from the other builds'.
    directory: PathBuf,
}

/// Runs one target, or all in turn, for `duration` each; then writes minimised corpora if asked.
pub(crate) fn run(
    workspace: &Workspace,
    target: Option<&str>,
    duration: &str,
    minimise: bool,
) -> Result<ExitCode> {
    let duration_s = seconds(duration)?;
    let targets = chosen(target)?;
    setup::ensure(&setup::BUILD_AND_RUN, Mode::Brief)?;
    setup::ensure(&setup::FUZZ, Mode::Brief)?;
    let directory = workspace.target_directory()?.join("fuzz");
    let mut outcomes = Vec::new();
    for target in targets {
        let place = Place {
            workspace,
            target,
            directory: directory.clone(),
        };
        place.corpus_task(&[
            "unpack".as_ref(),
            target.as_ref(),
            place.inputs().as_os_str(),
        ])?;
        if duration_s > 0 {
            let outcome = place.fuzz(duration_s)?;
            if let Some(input) = &outcome.finding {
                println!("{}", place.advice(input));
            }
            outcomes.push((target, outcome));
        }
        if minimise {
            place.minimise()?;
        }
    }
    println!("{}", table(&outcomes));
    let found = outcomes
        .iter()
        .any(|(_, outcome)| outcome.finding.is_some());
    Ok(if found {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn chosen(target: Option<&str>) -> Result<Vec<&'static str>> {
    let Some(name) = target else {
        return Ok(TARGETS.to_vec());
    };
    let found = TARGETS.into_iter().find(|target| *target == name);
    let found = found.with_context(|| {
        format!(
            "there is no fuzz target `{name}`; the targets are {}",
            TARGETS.join(", ")
        )
    })?;
    Ok(vec![found])
}

/// A duration such as 90s, 10m or 1h in seconds.
fn seconds(duration: &str) -> Result<u64> {
    let unit = duration.trim_start_matches(|c: char| c.is_ascii_digit());
    let factor = match unit {
        "s" => Some(1),
        "m" => Some(60),
        "h" => Some(3600),
        _ => None,
    };
    let number = duration
        .strip_suffix(unit)
        .and_then(|n| n.parse::<u64>().ok());
    let seconds = number
        .zip(factor)
        .and_then(|(n, factor)| n.checked_mul(factor));
    seconds.with_context(|| format!("`{duration}` is no duration; write 90s, 10m or 1h"))
}

impl Place<'_> {
    /// The inputs that this machine knows.
    fn inputs(&self) -> PathBuf {
        self.directory.join("corpus").join(self.target)
    }

    /// Where findings are put.
    fn findings(&self) -> PathBuf {
        self.directory.join("findings").join(self.target)
    }

    /// A command of cargo-fuzz for the target.
    fn cargo_fuzz(&self, subcommand: &str) -> Command {
        let mut command = Command::new("rustup");
        command
            .args(["run", &toolchain::name(), "cargo", "fuzz", subcommand])
            .args(SANITIZER)
            .arg("--target-dir")
            .arg(self.directory.join("build"))
            .args(["--fuzz-dir", "fuzz", self.target])
            .current_dir(&self.workspace.root)
            .env("PATH", toolchain::search_path())
            // The cargo that runs us must not stand in for the toolchain's.
            .env_remove("CARGO")
            .env_remove("RUSTC")
            .env_remove("RUSTUP_TOOLCHAIN");
        command
    }

    /// Turns the committed corpus into files, or the other way round.
    fn corpus_task(&self, arguments: &[&std::ffi::OsStr]) -> Result<()> {
        let mut command = self.workspace.cargo("run");
        command
            .args([
                "--quiet",
                "--package",
                "lb-tests",
                "--bin",
                "fuzz-corpus",
                "--",
            ])
            .args(arguments);
        process::succeed(&mut command)
    }

    fn fuzz(&self, duration_s: u64) -> Result<Outcome> {
        let findings = self.findings();
        fs::create_dir_all(&findings).with_context(|| findings.display().to_string())?;
        println!("==> {}: building", self.target);
        process::succeed(&mut self.cargo_fuzz("build"))?;
        println!("==> {}: {duration_s} s", self.target);
        let mut command = self.cargo_fuzz("run");
        command
            .arg(self.inputs())
            .arg("--")
            .args([
                format!("-max_total_time={duration_s}"),
                format!("-max_len={}", length_max(self.target)),
                format!("-timeout={TIMEOUT_S}"),
                format!("-rss_limit_mb={MEMORY_MIB}"),
                format!("-artifact_prefix={}/", findings.display()),
            ])
            .arg("-print_final_stats=1")
            .stdin(Stdio::null());
        let log = self.directory.join(format!("{}.log", self.target));
        let (success, outcome) = watch(&mut command, &log)?;
        // libFuzzer fails for findings; anything else is no result at all.
        ensure!(
            success || outcome.finding.is_some(),
            "the fuzz target {} did not run to its end; its last words are in {}",
            self.target,
            log.display()
        );
        Ok(outcome)
    }

    /// Leaves only inputs that reach something no other does, and commits those.
    fn minimise(&self) -> Result<()> {
        println!("==> {}: minimising the corpus", self.target);
        let mut command = self.cargo_fuzz("cmin");
        // By places reached alone, not by how often each: a corpus of hundreds, not thousands.
        command
            .arg(self.inputs())
            .args(["--", "-use_counters=0", "-set_cover_merge=1"])
            .stdout(Stdio::null());
        let log = self.directory.join(format!("{}.cmin.log", self.target));
        let file = fs::File::create(&log).with_context(|| log.display().to_string())?;
        process::succeed(command.stderr(file))
            .with_context(|| format!("its last words are in {}", log.display()))?;
        let inputs = self.inputs();
        self.corpus_task(&["pack".as_ref(), self.target.as_ref(), inputs.as_os_str()])
    }

    /// What to do about a finding.
    fn advice(&self, input: &Path) -> String {
        let build = self.directory.join("build");
        let (target, input) = (self.target, input.display());
        format!(
            "==> {target}: FOUND something: {input}\n\
             to see it again:\n  \
             PATH=\"{path}:$PATH\" cargo +{toolchain} fuzz run {options} --target-dir {build} \
             {target} {input}\n\
             to keep it as a test, once it is mended:\n  \
             cargo run -p lb-tests --bin fuzz-corpus -- add {target} {input} 'what it was'",
            path = toolchain::tools_directory()
                .unwrap_or_default()
                .join("bin")
                .display(),
            toolchain = toolchain::name(),
            options = SANITIZER.join(" "),
            build = build.display(),
        )
    }
}

/// Runs libFuzzer; keeps all it prints in a file and shows how it goes about every ten seconds.
/// Returns whether it succeeded, and what it came to.
fn watch(command: &mut Command, log: &Path) -> Result<(bool, Outcome)> {
    const SHOWN: std::time::Duration = std::time::Duration::from_secs(10);
    let mut file = fs::File::create(log).with_context(|| log.display().to_string())?;
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{}`", process::line(command)))?;
    let Some(output) = child.stderr.take() else {
        bail!("the fuzzer's output cannot be read")
    };
    let mut outcome = Outcome::default();
    let start = std::time::Instant::now();
    let mut shown = start;
    let mut reader = BufReader::new(output);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        file.write_all(&line)?;
        let text = String::from_utf8_lossy(&line);
        outcome.read(&text);
        if text.contains("panicked at") || shown.elapsed() >= SHOWN {
            shown = std::time::Instant::now();
            print!("{text}");
        }
        line.clear();
    }
    outcome.seconds = start.elapsed().as_secs();
    Ok((child.wait()?.success(), outcome))
}

impl Outcome {
    /// Takes what a line of libFuzzer says, such as
    /// `#4194304 pulse  cov: 812 ft: 3070 corp: 711/36Kb lim: 512 exec/s: 110376 rss: 92Mb`.
    fn read(&mut self, line: &str) {
        let mut words = line.split_whitespace().peekable();
        if let Some(count) = line.strip_prefix('#') {
            let count = count.split_whitespace().next().and_then(|n| n.parse().ok());
            self.executions = self.executions.max(count.unwrap_or_default());
        }
        while let Some(word) = words.next() {
            let number = words.peek().map_or(0, |next| first_number(next));
            match word {
                "cov:" => self.coverage = number,
                "ft:" => self.features = number,
                "corp:" => self.corpus = number,
                "stat::number_of_executed_units:" => self.executions = number,
                _ => {}
            }
        }
        if let Some((_, path)) = line.split_once("Test unit written to ") {
            self.finding = Some(path.trim().into());
        }
    }
}

/// The digits that a word begins with, as a number.
fn first_number(word: &str) -> u64 {
    let end = word
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(word.len());
    word[..end].parse().unwrap_or_default()
}

fn table(outcomes: &[(&str, Outcome)]) -> String {
    let mut lines = vec![format!(
        "{:<10}{:>12}{:>10}{:>10}{:>10}{:>9}  finding",
        "target", "executions", "coverage", "features", "inputs", "seconds"
    )];
    for (target, outcome) in outcomes {
        let finding = outcome
            .finding
            .as_ref()
            .map(|path| path.display().to_string());
        lines.push(format!(
            "{target:<10}{:>12}{:>10}{:>10}{:>10}{:>9}  {}",
            outcome.executions,
            outcome.coverage,
            outcome.features,
            outcome.corpus,
            outcome.seconds,
            finding.as_deref().unwrap_or("none"),
        ));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_libfuzzer_says_is_read() {
        let mut outcome = Outcome::default();
        for line in [
            "INFO: Running with entropic power schedule (0xFF, 100).\n",
            "#2\tINITED cov: 11 ft: 12 corp: 1/1b exec/s: 0 rss: 30Mb\n",
            "#4194304\tpulse  cov: 812 ft: 3070 corp: 711/36Kb lim: 512 exec/s: 110376\n",
            "artifact_prefix='a/'; Test unit written to findings/parser/crash-0a1b\n",
            "stat::number_of_executed_units: 4200000\n",
        ] {
            outcome.read(line);
        }
        let expected = Outcome {
            executions: 4_200_000,
            coverage: 812,
            features: 3070,
            corpus: 711,
            seconds: 0,
            finding: Some("findings/parser/crash-0a1b".into()),
        };
        assert_eq!(outcome, expected);
    }

    #[test]
    fn durations_have_a_number_and_a_unit() {
        for (text, expected) in [("0s", 0), ("90s", 90), ("10m", 600), ("1h", 3600)] {
            assert_eq!(seconds(text).ok(), Some(expected));
        }
        for text in ["", "s", "10", "-1s", "1 m", "1d", "99999999999999999999s"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }

    #[test]
    fn only_targets_that_exist_are_run() {
        assert_eq!(chosen(Some("api")).ok(), Some(vec!["api"]));
        assert_eq!(chosen(None).ok(), Some(TARGETS.to_vec()));
        let error = chosen(Some("parsers")).map_err(|error| error.to_string());
        assert!(error.is_err_and(|error| error.contains("parser, ingress, document, api")));
    }

    #[test]
    fn every_target_is_a_program_of_the_fuzz_crate() {
        let manifest = include_str!("../../fuzz/Cargo.toml");
        for target in TARGETS {
            assert!(
                manifest.contains(&format!("name = \"{target}\"")),
                "{target}"
            );
        }
        assert_eq!(manifest.matches("[[bin]]").count(), TARGETS.len());
    }
}
