//! A process of the lab: started in a namespace, recorded, logged, and ended with its handle.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::footprint::Footprint;
use super::wait::wait_until;

/// How long a program may take until it has started.
const START_BOUND: Duration = Duration::from_secs(30);
/// How much of a log's end an error shows, in bytes.
const LOG_SHOWN: usize = 8_000;

/// A running process; dropping it kills it.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` with its output in the lab's file `<name>.log`, appending.
    ///
    /// The process leads a group of its own: a Ctrl-C at the terminal reaches the lab alone, which
    /// then ends its processes in order.
    pub(crate) fn start(footprint: &Footprint, name: &str, command: &mut Command) -> Result<Self> {
        let log = footprint.directory().join(format!("{name}.log"));
        let file = File::options().create(true).append(true).open(&log);
        let file = file.with_context(|| format!("cannot write {}", log.display()))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {}", command.get_program().display()))?;
        let process = Self { child, log };
        footprint.record(process.pid())?;
        Ok(process)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its log file: standard output and standard error.
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// The end of its log.
    pub fn log(&self) -> String {
        let bytes = fs::read(&self.log).unwrap_or_default();
        let from = bytes.len().saturating_sub(LOG_SHOWN);
        String::from_utf8_lossy(&bytes[from..]).into_owned()
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// It has ended and was waited for.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill(Pid::from_raw(self.pid().cast_signed()), signal)
            .with_context(|| format!("cannot send {signal} to process {}", self.pid()))
    }

    /// Its status if it has ended.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Waits until `look` finds it started; `name` says what it is.
    ///
    /// # Errors
    /// It ends or does not start in time; the error shows its log.
    pub(crate) fn started<T>(
        &mut self,
        name: &str,
        mut look: impl FnMut(&Self) -> Result<Option<T>>,
    ) -> Result<T> {
        let found = wait_until(&format!("the start of {name}"), START_BOUND, || {
            if let Some(status) = self.ended()? {
                bail!("{name} ended ({status})");
            }
            look(self)
        });
        found.with_context(|| format!("{name}'s log:\n{}", self.log()))
    }

    /// Waits for its end, at most for `bound`.
    pub fn wait(&mut self, bound: Duration) -> Result<ExitStatus> {
        let what = format!("the end of process {}", self.pid());
        wait_until(&what, bound, || self.ended())
    }

    /// Ends it at once and without its consent.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only for a process that has ended and was waited for.
        let _ = self.kill();
    }
}
