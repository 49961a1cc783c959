//! The real daemon in the balancer's namespace, and its command line.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use lb_userspace::api::types::{Stats, Status};
use nix::sys::signal::Signal;
use serde::de::DeserializeOwned;

use super::footprint::Footprint;
use super::namespace::Namespace;
use super::process::Process;

/// How long it may take to end after SIGTERM.
const STOP_BOUND: Duration = Duration::from_secs(10);

/// A running `lb run`; dropping it ends the process, gently at first.
#[derive(Debug)]
pub struct Daemon {
    process: Process,
    lb: PathBuf,
    document: PathBuf,
    socket: PathBuf,
}

impl Daemon {
    /// Writes the document, if one is given, starts the daemon, and waits until it answers.
    pub(crate) fn start(
        footprint: &Footprint,
        balancer: &Namespace,
        lb: &Path,
        text: Option<&str>,
    ) -> Result<Self> {
        let document = footprint.directory().join("lb.toml");
        let runtime = footprint.directory().join("run");
        if let Some(text) = text {
            std::fs::write(&document, text)
                .with_context(|| format!("cannot write {}", document.display()))?;
        }
        let mut command = balancer.command(lb);
        command.arg("run").arg("--config").arg(&document);
        command
            .arg("--runtime-dir")
            .arg(&runtime)
            .arg("--pin-dir")
            .arg(footprint.pins());
        let process = Process::start(footprint, "daemon", &mut command)?;
        let socket = runtime.join("lb.sock");
        let mut daemon = Self {
            process,
            lb: lb.to_owned(),
            document,
            socket,
        };
        daemon.process.started("the daemon", |_| {
            let answer = output(&daemon.lb, &daemon.socket, &["status", "--json"])?;
            Ok(answer.status.success().then_some(()))
        })?;
        Ok(daemon)
    }

    /// Runs `lb` against this daemon and returns what it printed.
    ///
    /// # Errors
    /// It fails; the error shows what it wrote and the daemon's log.
    pub fn lb(&self, words: &[&str]) -> Result<String> {
        let output = self.lb_output(words)?;
        if !output.status.success() {
            bail!(
                "`lb {}` failed ({}): {}\nthe daemon's log:\n{}",
                words.join(" "),
                output.status,
                String::from_utf8_lossy(&output.stderr).trim_end(),
                self.log()
            );
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Runs `lb` against this daemon, whether it succeeds or not.
    pub fn lb_output(&self, words: &[&str]) -> Result<Output> {
        output(&self.lb, &self.socket, words)
    }

    /// `lb stats --json`.
    pub fn stats(&self) -> Result<Stats> {
        self.json(&["stats", "--json"])
    }

    /// `lb status --json`.
    pub fn status(&self) -> Result<Status> {
        self.json(&["status", "--json"])
    }

    /// The document's file, which the daemon rewrites.
    pub fn document(&self) -> &Path {
        &self.document
    }

    /// The socket of its API.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The end of its log.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.process.signal(signal)
    }

    /// Ends it as a service manager would (SIGTERM) and returns how it ended.
    ///
    /// # Errors
    /// It does not end in time; it is killed, and the error shows its log.
    pub fn stop(mut self) -> Result<ExitStatus> {
        self.process.signal(Signal::SIGTERM)?;
        let ended = self.process.wait(STOP_BOUND);
        ended.with_context(|| format!("the daemon's log:\n{}", self.log()))
    }

    /// Kills it without warning; what it pinned stays.
    pub fn kill(mut self) -> Result<()> {
        self.process.kill()
    }

    fn json<T: DeserializeOwned>(&self, words: &[&str]) -> Result<T> {
        let text = self.lb(words)?;
        serde_json::from_str(&text)
            .with_context(|| format!("`lb {}` printed no such JSON: {text}", words.join(" ")))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if matches!(self.process.ended(), Ok(None)) {
            // Whatever goes wrong here, the process's own end is a kill.
            let _ = self.process.signal(Signal::SIGTERM);
            let _ = self.process.wait(STOP_BOUND);
        }
    }
}

/// Runs `lb` against the daemon at this socket, whether it succeeds or not.
fn output(lb: &Path, socket: &Path, words: &[&str]) -> Result<Output> {
    let mut command = Command::new(lb);
    command
        .arg("--socket")
        .arg(socket)
        .args(words)
        .stdin(Stdio::null());
    command
        .output()
        .with_context(|| format!("cannot start {}", lb.display()))
}
