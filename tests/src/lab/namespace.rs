//! One network namespace: closures and processes that run inside, and its settings.
//!
//! Processes enter through `nsenter --net`, which leaves their mounts alone: `ip netns exec` would
//! mount a fresh /sys and hide pinned BPF objects.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;

use anyhow::{Context, Result, bail};
use nix::sched::{CloneFlags, setns};

use super::footprint::Footprint;
use super::process::Process;

/// A handle; the lab removes the namespace itself.
#[derive(Debug, Clone)]
pub struct Namespace {
    name: String,
    footprint: Footprint,
}

impl Namespace {
    /// Makes the namespace `<lab>-<role>` with its loopback up.
    pub(crate) fn create(footprint: &Footprint, role: &str) -> Result<Self> {
        let name = format!("{}-{role}", footprint.name());
        run(Command::new("ip").args(["netns", "add", &name]))?;
        let namespace = Self {
            name,
            footprint: footprint.clone(),
        };
        // Without duplicate address detection an IPv6 address works at once.
        namespace.sysctl("net/ipv6/conf/default/accept_dad", "0")?;
        namespace.sysctl("net/ipv6/conf/all/accept_dad", "0")?;
        namespace.ip(&["link set lo up"])?;
        Ok(namespace)
    }

    /// Its name, for `ip -n NAME`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its file, for `nsenter --net=PATH`.
    pub fn path(&self) -> PathBuf {
        Path::new("/run/netns").join(&self.name)
    }

    /// Runs `work` inside, on a thread of its own, and returns its value.
    ///
    /// Sockets made inside stay inside wherever they are used later.
    ///
    /// # Errors
    /// The namespace is gone. A panic of `work` goes on in the caller.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        let path = self.path();
        let file = File::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
        let inside = || -> Result<T> {
            setns(file, CloneFlags::CLONE_NEWNET)
                .with_context(|| format!("cannot enter {}", path.display()))?;
            Ok(work())
        };
        thread::scope(|scope| match scope.spawn(inside).join() {
            Ok(value) => value,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    }

    /// A command that will run inside.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net={}", self.path().display()))
            .arg("--")
            .arg(program.as_ref());
        command
    }

    /// Runs a program to its end and returns its standard output.
    ///
    /// # Errors
    /// It cannot be started or fails; the error shows what it wrote.
    pub fn run(&self, words: &[&str]) -> Result<String> {
        let (program, arguments) = words.split_first().context("no program named")?;
        run(self.command(program).args(arguments))
    }

    /// Starts a program with its output in the lab's `<name>.log`.
    pub fn spawn(&self, name: &str, words: &[&str]) -> Result<Process> {
        let (program, arguments) = words.split_first().context("no program named")?;
        Process::start(&self.footprint, name, self.command(program).args(arguments))
    }

    /// Runs `ip` inside, one line of arguments per change; the first that fails ends it.
    pub fn ip(&self, lines: &[&str]) -> Result<()> {
        let mut command = Command::new("ip");
        command.args(["-netns", &self.name, "-batch", "-"]);
        feed(&mut command, &lines.join("\n"))
            .with_context(|| format!("in namespace {}", self.name))?;
        Ok(())
    }

    /// Writes a kernel setting, such as `net/ipv4/ip_forward`.
    pub fn sysctl(&self, key: &str, value: &str) -> Result<()> {
        let path = Path::new("/proc/sys").join(key);
        self.enter(|| fs::write(&path, value))?
            .with_context(|| format!("cannot set {key} to {value} in {}", self.name))
    }
}

/// Runs a command to its end and returns its standard output; its failure is an error.
pub(crate) fn run(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("cannot start {}", shown(command)))?;
    succeeded(command, &output)
}

/// The same with `text` as standard input.
fn feed(command: &mut Command, text: &str) -> Result<String> {
    let piped = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = piped
        .spawn()
        .with_context(|| format!("cannot start {}", shown(command)))?;
    if let Some(mut input) = child.stdin.take() {
        // A command that fails early closes its input; its own message says more.
        let _ = input.write_all(text.as_bytes());
    }
    let output = child.wait_with_output()?;
    succeeded(command, &output).with_context(|| text.to_owned())
}

fn succeeded(command: &Command, output: &Output) -> Result<String> {
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        let said = String::from_utf8_lossy(&output.stdout);
        bail!(
            "{} failed ({}): {}{}",
            shown(command),
            output.status,
            said,
            errors.trim_end()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}
