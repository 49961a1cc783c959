//! `cargo xtask test`: everything that must hold before a change is merged, cheapest first.
//!
//! Each step is announced with the time it took; the first that fails ends the run. The last line
//! printed is always `N passed, N failed`, once tests have run: CI reads it.

pub(crate) mod tally;

use std::env;
use std::io::{self, BufRead as _, BufReader, IsTerminal as _, Write as _};
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use self::tally::Tally;
use crate::setup::{self, Mode};
use crate::workspace::Workspace;
use crate::{bench, miri, process, tidy, toolchain, vm};

/// Every crate that runs on the host; the fuzz targets are built by `cargo xtask fuzz`.
const HOST_CRATES: [&str; 5] = [
    "--workspace",
    "--exclude",
    "lb-ebpf",
    "--exclude",
    "lb-fuzz",
];

/// Runs the checks and the tests; with a filter only the tests whose name contains it. Failures
/// of tests are not errors but in the exit code, so that nothing is printed below their count.
pub(crate) fn run(workspace: &Workspace, filter: Option<&str>) -> Result<ExitCode> {
    step("setup", || {
        setup::ensure(&setup::BUILD_AND_RUN, Mode::Brief)?;
        setup::ensure(&setup::TEST, Mode::Brief)?;
        setup::ensure(&setup::BENCH, Mode::Brief)
    })?;
    if filter.is_none() {
        step("format", || {
            process::succeed(workspace.cargo("fmt").args(["--all", "--check"]))
        })?;
        step("tidy", || tidy::run(workspace))?;
        step("lints", || lint_host(workspace))?;
        step("lints of the XDP program", || lint_bpf(workspace))?;
        step("miri", || miri::run(workspace))?;
        step("budget of instructions", || {
            bench::keep_to_budget(workspace)
        })?;
    }
    let mut tally = Tally::default();
    let mut result = run_tests(workspace, filter, &mut tally);
    if filter.is_none() && result.is_ok() {
        result = step("other kernels", || vm::run_quick(workspace));
    }
    if let Err(error) = &result {
        eprintln!("error: {error:#}");
    } else if tally.passed + tally.failed == 0 {
        eprintln!("error: no test ran: none has the filter in its name");
    }
    println!("{tally}");
    let success = result.is_ok() && tally.failed == 0 && tally.passed > 0;
    Ok(if success {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn run_tests(workspace: &Workspace, filter: Option<&str>, tally: &mut Tally) -> Result<()> {
    if !process::works(workspace.cargo("nextest").arg("--version")) {
        return step("tests", || {
            count(with_filter(cargo_test(workspace)?, filter), tally)
        });
    }
    // nextest runs no examples of the documentation.
    step("documentation tests", || {
        let mut command = cargo_test(workspace)?;
        command.args(["--doc", "--quiet"]);
        count(with_filter(command, filter), tally)
    })?;
    step("tests", || {
        count(with_filter(nextest(workspace)?, filter), tally)
    })
}

fn lint_host(workspace: &Workspace) -> Result<()> {
    let mut clippy = workspace.cargo("clippy");
    process::succeed(
        clippy
            .args(HOST_CRATES)
            .args(["--all-targets", "--", "-D", "warnings"]),
    )
}

fn lint_bpf(workspace: &Workspace) -> Result<()> {
    let target = toolchain::bpf_target(cfg!(target_endian = "big"));
    let directory = workspace.target_directory()?.join("lb-ebpf");
    let mut clippy = toolchain::bpf_cargo("clippy", env::consts::ARCH, target, &directory);
    clippy
        .args(["--", "-D", "warnings"])
        .current_dir(&workspace.root);
    process::succeed(&mut clippy)
}

fn cargo_test(workspace: &Workspace) -> Result<Command> {
    let mut command = privileged(workspace, "test")?;
    command.args(HOST_CRATES).arg("--no-fail-fast");
    Ok(command)
}

fn nextest(workspace: &Workspace) -> Result<Command> {
    let mut command = privileged(workspace, "nextest")?;
    let configuration = workspace.root.join("xtask").join("nextest.toml");
    command
        .arg("run")
        .args(HOST_CRATES)
        .args(["--no-fail-fast", "--config-file"]);
    command.arg(configuration);
    if io::stderr().is_terminal() {
        command.args(["--color", "always"]);
    }
    Ok(command)
}

fn with_filter(mut command: Command, filter: Option<&str>) -> Command {
    command.args(filter);
    command
}

/// A cargo command whose test programs run as root, because many load an XDP program or make
/// network namespaces.
fn privileged(workspace: &Workspace, subcommand: &str) -> Result<Command> {
    let mut command = workspace.cargo(subcommand);
    if process::is_root() {
        return Ok(command);
    }
    if process::find("sudo").is_none() {
        bail!(
            "the tests load XDP programs, which needs root, and there is no sudo here: run this \
               command as root"
        );
    }
    eprintln!("the tests load XDP programs, which needs root: running them through `sudo -E`");
    // Asks for the password now rather than once in every test.
    process::succeed(Command::new("sudo").arg("--validate"))?;
    let version = process::output(Command::new("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host
        .context("`rustc -vV` names no host")?
        .to_uppercase()
        .replace('-', "_");
    command.env(format!("CARGO_TARGET_{host}_RUNNER"), "sudo -E");
    Ok(command)
}

/// Runs a test runner, shows all it prints, and adds the results it reports to `tally`.
fn count(mut command: Command, tally: &mut Tally) -> Result<()> {
    let failed_before = tally.failed;
    let status = tee(&mut command, |line| tally.read(line))?;
    match tally.failed - failed_before {
        0 if status.success() => Ok(()),
        0 => bail!("`{}` failed ({status})", process::line(&command)),
        failed => bail!("{failed} of the tests failed"),
    }
}

/// Runs a command and calls `read` for each line it prints, after passing it on. nextest prints
/// its results to standard error and `cargo test` to standard output, so both become one pipe.
fn tee(command: &mut Command, mut read: impl FnMut(&str)) -> Result<ExitStatus> {
    let (reader, writer) = io::pipe()?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .spawn()
        .with_context(|| format!("cannot start `{}`", process::line(command)))?;
    // The command holds the pipe's writing ends; the pipe would never end while we do too.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut reader = BufReader::new(reader);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        io::stdout().write_all(&line)?;
        read(&String::from_utf8_lossy(&line));
        line.clear();
    }
    Ok(child.wait()?)
}

/// Announces a step, does it, and tells how long it took.
fn step(name: &str, action: impl FnOnce() -> Result<()>) -> Result<()> {
    println!("==> {name}");
    let start = Instant::now();
    let result = action().with_context(|| name.to_owned());
    let outcome = if result.is_ok() { "ok" } else { "FAILED" };
    println!(
        "==> {name}: {outcome} ({:.1} s)",
        start.elapsed().as_secs_f64()
    );
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_both_outputs_are_read_and_the_status_is_kept() {
        let mut lines = Vec::new();
        let mut command = Command::new("sh");
        command.args(["-c", "echo one; echo two >&2; printf three; exit 7"]);
        let status = tee(&mut command, |line| lines.push(line.trim_end().to_owned())).ok();
        assert_eq!(status.and_then(|status| status.code()), Some(7));
        assert_eq!(lines, ["one", "two", "three"]);
    }

    #[test]
    fn a_runner_fails_by_its_status_or_by_what_it_reports() {
        let mut tally = Tally::default();
        assert!(count(Command::new("false"), &mut tally).is_err());
        assert!(count(Command::new("true"), &mut tally).is_ok());
        let mut command = Command::new("echo");
        command.arg("test result: FAILED. 1 passed; 2 failed; 0 ignored");
        assert!(count(command, &mut tally).is_err());
        assert_eq!(
            tally,
            Tally {
                passed: 1,
                failed: 2
            }
        );
    }
}
