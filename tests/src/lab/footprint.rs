//! What a lab occupies on the machine, and how all of it goes away again.
//!
//! A lab's traces all carry its name, `lb-<pid>-<sequence>`: a directory under [`ROOT`], network
//! namespaces, and a directory of pinned BPF objects. Processes are recorded with their start
//! time, so that a recycled process id is never mistaken for them. A lab that was killed cannot
//! clean up; the next one sweeps what it left. This module makes nothing but the directory.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::mount::{MntFlags, umount2};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::wait::wait_until;

/// One directory per living lab.
const ROOT: &str = "/run/lb-lab";
/// Where iproute2 keeps named namespaces.
const NAMESPACES: &str = "/run/netns";
/// Where BPF objects are pinned.
const PINS: &str = "/sys/fs/bpf";
/// How long a killed process may take to be gone.
const KILL_BOUND: Duration = Duration::from_secs(5);

/// Names the places of one lab; a plain handle, free to copy around.
#[derive(Debug, Clone)]
pub struct Footprint {
    name: String,
}

/// The right to a footprint: dropping it removes everything that carries the name.
#[derive(Debug)]
pub(crate) struct Claim(Footprint);

impl Claim {
    /// Takes a name that no other lab has and makes its directory.
    pub(crate) fn new() -> Result<Self> {
        static SEQUENCE: AtomicU32 = AtomicU32::new(0);
        let own = std::process::id();
        let sequence = SEQUENCE.fetch_add(1, Ordering::Relaxed);
        let footprint = Footprint {
            name: format!("lb-{own}-{sequence}"),
        };
        let directory = footprint.directory();
        // A recycled process id may meet the traces of its predecessor.
        footprint.demolish();
        fs::create_dir_all(&directory)
            .with_context(|| format!("cannot make {}", directory.display()))?;
        let claim = Self(footprint);
        let started = started(own).context("cannot read this process's start time")?;
        fs::write(directory.join("owner"), format!("{own} {started}\n"))
            .with_context(|| format!("cannot write into {}", directory.display()))?;
        Ok(claim)
    }

    pub(crate) fn footprint(&self) -> &Footprint {
        &self.0
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.0.demolish();
        for path in self.0.traces() {
            eprintln!("lab: {} could not be removed", path.display());
        }
    }
}

impl Footprint {
    /// `lb-<pid>-<sequence>`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The lab's directory for documents, sockets and logs.
    pub fn directory(&self) -> PathBuf {
        Path::new(ROOT).join(&self.name)
    }

    /// Where this lab's daemon pins its BPF objects.
    pub fn pins(&self) -> PathBuf {
        Path::new(PINS).join(&self.name)
    }

    /// What still carries the name: namespaces, pins, the directory. Empty after a clean end.
    pub fn traces(&self) -> Vec<PathBuf> {
        let mut traces = self.namespaces();
        traces.extend(
            [self.pins(), self.directory()]
                .into_iter()
                .filter(|path| path.exists()),
        );
        traces
    }

    /// Remembers a process of this lab, so that it is killed even if the lab itself was.
    pub(crate) fn record(&self, pid: u32) -> Result<()> {
        let Some(started) = started(pid) else {
            return Ok(()); // Over already.
        };
        let path = self.directory().join("pids");
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .with_context(|| format!("cannot record a process in {}", path.display()))?;
        file.write_all(format!("{pid} {started}\n").as_bytes())?;
        Ok(())
    }

    /// The processes recorded that still run.
    pub fn living(&self) -> Vec<u32> {
        let text = fs::read_to_string(self.directory().join("pids")).unwrap_or_default();
        let recorded = text.lines().filter_map(pid_and_start);
        recorded
            .filter(|&(pid, start)| started(pid) == Some(start))
            .map(|(pid, _)| pid)
            .collect()
    }

    fn namespaces(&self) -> Vec<PathBuf> {
        let prefix = format!("{}-", self.name);
        entries(NAMESPACES)
            .into_iter()
            .filter(|name| name.starts_with(&prefix))
            .map(|name| Path::new(NAMESPACES).join(name))
            .collect()
    }

    /// Removes all traces. Another sweeper may be at the same work: what is gone is no error,
    /// and [`Self::traces`] tells whether anything remained.
    fn demolish(&self) {
        for pid in self.living() {
            let _ = kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL);
        }
        let gone = || Ok(self.living().is_empty().then_some(()));
        if let Err(error) = wait_until("the end of killed processes", KILL_BOUND, gone) {
            eprintln!("lab: {error:#}");
        }
        for path in self.namespaces() {
            let _ = umount2(&path, MntFlags::MNT_DETACH);
            let _ = fs::remove_file(&path);
        }
        let _ = fs::remove_dir_all(self.pins());
        let _ = fs::remove_dir_all(self.directory());
    }

    /// Whether the process that made the lab still runs.
    fn owner_lives(&self) -> bool {
        let owner = fs::read_to_string(self.directory().join("owner")).unwrap_or_default();
        match owner.lines().find_map(pid_and_start) {
            Some((pid, start)) => started(pid) == Some(start),
            // Between making the directory and writing the file, the name alone must do.
            None => owner_of(&self.name).is_some_and(|pid| started(pid).is_some()),
        }
    }
}

/// Removes what labs left whose process is gone, and returns their names.
pub fn sweep() -> Vec<String> {
    let mut names: Vec<String> = [ROOT, NAMESPACES, PINS]
        .into_iter()
        .flat_map(entries)
        .filter_map(|entry| lab_of(&entry))
        .collect();
    names.sort_unstable();
    names.dedup();
    names.retain(|name| {
        let footprint = Footprint { name: name.clone() };
        let left = !footprint.owner_lives();
        if left {
            footprint.demolish();
        }
        left
    });
    names
}

/// `lb-12-0` of `lb-12-0` and of `lb-12-0-client`.
fn lab_of(entry: &str) -> Option<String> {
    let mut parts = entry.strip_prefix("lb-")?.splitn(3, '-');
    let pid: u32 = parts.next()?.parse().ok()?;
    let sequence: u32 = parts.next()?.parse().ok()?;
    Some(format!("lb-{pid}-{sequence}"))
}

fn owner_of(name: &str) -> Option<u32> {
    name.split('-').nth(1)?.parse().ok()
}

fn entries(directory: &str) -> Vec<String> {
    let read = fs::read_dir(directory).into_iter().flatten().flatten();
    read.filter_map(|entry| entry.file_name().into_string().ok())
        .collect()
}

fn pid_and_start(line: &str) -> Option<(u32, u64)> {
    let (pid, start) = line.split_once(' ')?;
    Some((pid.parse().ok()?, start.parse().ok()?))
}

/// When a process started, in clock ticks since boot; `None` once it has ended, reaped or not.
fn started(pid: u32) -> Option<u64> {
    let line = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the command in parentheses and may hold anything; proc_pid_stat(5).
    let mut fields = line.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    let start = fields.nth(18)?; // Field 22, `starttime`.
    (!matches!(state, "Z" | "X")).then(|| start.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lab_is_named_by_every_one_of_its_traces() {
        assert_eq!(lab_of("lb-12-3"), Some("lb-12-3".into()));
        assert_eq!(lab_of("lb-12-3-b1"), Some("lb-12-3".into()));
        for foreign in ["lb", "lb-12", "lb-x-3", "lb-12-x", "other-12-3"] {
            assert_eq!(lab_of(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn own_start_time_is_steady_and_no_process_has_none() {
        let own = std::process::id();
        assert!(started(own).is_some());
        assert_eq!(started(own), started(own));
        assert_eq!(started(u32::MAX), None);
    }
}
