//! A guest: a kernel, some programs and a script, run in QEMU to its end or to a limit.
//!
//! What the script prints comes back apart from the kernel's console. Nothing is left behind: the
//! guest's file system has no name on disk, and QEMU ends with us.

use std::io::{BufRead as _, BufReader, Read};
use std::path::PathBuf;
use std::process::Child;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::initramfs::Initramfs;
use super::kernel::Kernel;
use super::qemu;
use crate::process;

/// Lines of the console that an error quotes.
const CONSOLE_LINES: usize = 20;
/// How often a long run says that it goes on.
const PROGRESS: Duration = Duration::from_secs(15);

/// First and last line of what the guest's first process writes around the script's output.
const BEGIN: &str = "lb-guest: begin";
const EXIT: &str = "lb-guest: exit ";

/// How every panic begins.
const PANIC: &str = "Kernel panic - not syncing";

const INIT: &str = include_str!("init.sh");

/// What to boot and what to run there.
#[derive(Clone, Debug)]
pub(crate) struct Guest {
    /// What progress lines call it.
    pub(crate) name: String,
    /// What boots.
    pub(crate) kernel: Kernel,
    /// Memory, of which the programs take twice their size.
    pub(crate) memory_mib: u32,
    /// CPUs, emulated in turn by one thread. Not looked at with `icount`, which has one.
    pub(crate) cpus: u32,
    /// Time is counted in instructions, and is the same in every run.
    pub(crate) icount: bool,
    /// Files of this machine and their paths in the guest. Shared libraries come along.
    pub(crate) programs: Vec<(PathBuf, String)>,
    /// Kernel modules to load, by name. The kernel finds no others by itself.
    pub(crate) modules: Vec<&'static str>,
    /// A shell script, run as root in `/` with the loopback interface up and the proc, sys, dev,
    /// tmp, run and BPF file systems mounted. Its standard error goes to the console. The shell
    /// prefers the tools of busybox to programs of the same name, unless these have their path.
    pub(crate) script: String,
    /// How long all of it may take.
    pub(crate) limit: Duration,
}

/// What became of the script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Report {
    /// The script's exit status.
    pub(crate) exit_status: i32,
    /// What the script printed to its standard output.
    pub(crate) stdout: String,
    /// What the kernel printed, and the script to its standard error.
    pub(crate) console: String,
}

impl Guest {
    /// Boots, runs the script and powers off.
    ///
    /// # Errors
    /// QEMU cannot be started, the guest panics, ends before the script does, or takes too long.
    pub(crate) fn run(&self) -> Result<Report> {
        let name = &self.name;
        let start = Instant::now();
        let mut command = qemu::command(self);
        let spawned = command
            .stdin(self.initramfs()?)
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn();
        let mut child =
            spawned.with_context(|| format!("cannot start `{}`", process::line(&command)))?;
        // It holds the initramfs, which is in memory or on disk as long as it does.
        drop(command);
        eprintln!("vm: {name}: booting");
        let watched = self.watch(&mut child, start);
        if watched.is_err() {
            // It fails only for what has ended.
            let _ = child.kill();
        }
        child.wait().context("cannot wait for QEMU")?;
        let (output, console) = watched?;
        let report = conclude(&output, console)?;
        eprintln!(
            "vm: {name}: done in {:.1} s, exit status {}",
            start.elapsed().as_secs_f64(),
            report.exit_status
        );
        Ok(report)
    }

    /// Reads what QEMU says until it ends: the script's output and the console.
    fn watch(&self, child: &mut Child, start: Instant) -> Result<(String, String)> {
        let stdout = child.stdout.take().context("QEMU has no standard output")?;
        let stderr = child.stderr.take().context("QEMU has no standard error")?;
        let console = lines(stderr);
        let output = lines(stdout);
        let deadline = start + self.limit;
        let followed = follow(&output, deadline, |line| self.progress(start, line));
        let Ok(text) = followed else {
            // Lets what is in the pipe arrive; the console of a guest that hangs never ends.
            let told = drain(&console);
            bail!(
                "the guest did not finish within {} s and was ended; the end of its console:\n{}",
                self.limit.as_secs(),
                last_lines(&told)
            );
        };
        let told = follow(&console, deadline, |_| {}).unwrap_or_else(|told| told);
        Ok((text, told))
    }

    fn progress(&self, start: Instant, line: &str) {
        let seconds = start.elapsed().as_secs();
        let line = if line.is_empty() { "booting" } else { line };
        eprintln!("vm: {}: {seconds} s: {line}", self.name);
    }

    fn initramfs(&self) -> Result<std::fs::File> {
        let mut archive = Initramfs::new()?;
        let busybox = match &self.kernel.busybox {
            Some(busybox) => busybox.clone(),
            None => {
                process::find("busybox").context("there is no busybox: run `cargo xtask setup`")?
            }
        };
        archive.program(&busybox, "/bin/busybox")?;
        let modules = archive.modules(&self.kernel, &self.modules)?.join(" ");
        for (file, path) in &self.programs {
            archive.program(file, path)?;
        }
        let (interpreter, rest) = INIT.split_once('\n').unwrap_or((INIT, ""));
        let device = qemu::result_device(self.kernel.arch);
        let init = format!("{interpreter}\nRESULT={device}\nMODULES='{modules}'\n{rest}");
        archive.file("/init", init.as_bytes())?;
        archive.file("/script", self.script.as_bytes())?;
        archive.finish()
    }
}

/// Reads lines in a thread of their own until the other end is closed.
fn lines(source: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut reader = BufReader::new(source);
        let mut line = Vec::new();
        while reader
            .read_until(b'\n', &mut line)
            .is_ok_and(|length| length > 0)
        {
            // Nobody listens any more only when the guest is given up.
            if sender
                .send(String::from_utf8_lossy(&line).into_owned())
                .is_err()
            {
                return;
            }
            line.clear();
        }
    });
    receiver
}

/// All lines until their end; those so far as an error if the deadline comes first. `progress` is
/// told the last line now and then.
fn follow(
    lines: &Receiver<String>,
    deadline: Instant,
    progress: impl Fn(&str),
) -> Result<String, String> {
    let mut text = String::new();
    let mut spoken = Instant::now();
    loop {
        let now = Instant::now();
        let next = deadline.min(spoken + PROGRESS);
        match lines.recv_timeout(next.saturating_duration_since(now)) {
            Ok(line) => text += &line,
            Err(RecvTimeoutError::Disconnected) => return Ok(text),
            Err(RecvTimeoutError::Timeout) => {}
        }
        let now = Instant::now();
        if now >= deadline {
            return Err(text);
        }
        if now >= spoken + PROGRESS {
            progress(text.lines().last().unwrap_or_default());
            spoken = now;
        }
    }
}

/// The lines that have come.
fn drain(lines: &Receiver<String>) -> String {
    lines.try_iter().collect()
}

/// Makes a report of what QEMU wrote until it ended.
fn conclude(output: &str, console: String) -> Result<Report> {
    let Some((stdout, exit_status)) = parse(output) else {
        let panic = console.lines().find(|line| line.contains(PANIC));
        let what = if let Some(line) = panic {
            format!("the guest's kernel panicked: {}", line.trim_end())
        } else if output.contains(BEGIN) {
            "the guest ended before its script did".to_owned()
        } else {
            "the guest did not start".to_owned()
        };
        bail!("{what}; the end of its console:\n{}", last_lines(&console));
    };
    Ok(Report {
        exit_status,
        stdout: stdout.to_owned(),
        console,
    })
}

/// The script's output and exit status; `None` if either end is missing.
fn parse(output: &str) -> Option<(&str, i32)> {
    let (_, rest) = output.split_once(&format!("{BEGIN}\n"))?;
    let (stdout, status) = rest.rsplit_once(&format!("\n{EXIT}"))?;
    Some((stdout, status.trim_end().parse().ok()?))
}

/// The end of a text, indented.
fn last_lines(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(str::trim_end).collect();
    let from = lines.len().saturating_sub(CONSOLE_LINES);
    let shown: Vec<_> = lines[from..]
        .iter()
        .map(|line| format!("    {line}"))
        .collect();
    if shown.is_empty() {
        return "    (it is silent)".to_owned();
    }
    shown.join("\n")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::vm::kernel::{self, Arch, Release};

    /// A small guest; `None`, and why, where none can be booted.
    fn guest(script: &str, limit_s: u64) -> Option<Guest> {
        let arch = Arch::host()?;
        if process::find(qemu::program(arch)).is_none() || process::find("busybox").is_none() {
            println!("skipped: no QEMU or no busybox here, which `cargo xtask setup` installs");
            return None;
        }
        let Some(kernel) = kernel::cached(Release::Bookworm, arch) else {
            println!("skipped: kernel 6.1 is not here; `cargo xtask vm --kernel 6.1` brings it");
            return None;
        };
        Some(Guest {
            name: kernel.version.clone(),
            kernel,
            memory_mib: 256,
            cpus: 1,
            icount: false,
            programs: Vec::new(),
            modules: vec!["veth"],
            script: script.to_owned(),
            limit: Duration::from_secs(limit_s),
        })
    }

    #[test]
    fn output_and_status_come_back_apart_from_the_console() {
        let script = "echo one; echo two >&2; ls /sys/module/veth; printf three; exit 7";
        let Some(guest) = guest(script, 120) else {
            return;
        };
        let report = guest.run().unwrap();
        assert_eq!(report.exit_status, 7);
        assert!(report.stdout.starts_with("one\n") && report.stdout.ends_with("\nthree"));
        assert!(report.stdout.contains("initstate"), "{}", report.stdout);
        assert!(report.console.contains("two"), "{}", report.console);
    }

    #[test]
    fn a_guest_that_hangs_is_ended_at_its_limit() {
        let Some(guest) = guest("echo asleep >&2; sleep 100000", 15) else {
            return;
        };
        let start = Instant::now();
        let error = guest.run().unwrap_err().to_string();
        assert!(error.contains("did not finish within 15 s"), "{error}");
        assert!(start.elapsed() < Duration::from_secs(30), "{error}");
    }

    #[test]
    fn a_panic_is_recognised_and_quoted() {
        let Some(guest) = guest("echo c >/proc/sysrq-trigger", 120) else {
            return;
        };
        let error = guest.run().unwrap_err().to_string();
        assert!(
            error.contains("panicked") && error.contains("sysrq triggered crash"),
            "{error}"
        );
    }

    #[test]
    fn an_emulator_that_refuses_is_quoted() {
        let Some(mut guest) = guest("true", 60) else {
            return;
        };
        guest.kernel.image = "no/such/image".into();
        let error = guest.run().unwrap_err().to_string();
        assert!(
            error.contains("did not start") && error.contains("no/such/image"),
            "{error}"
        );
    }

    #[test]
    fn the_output_is_what_is_between_the_ends() {
        let output = "noise\nlb-guest: begin\na\nlb-guest: exit 1\nb\nlb-guest: exit 0\n";
        assert_eq!(parse(output), Some(("a\nlb-guest: exit 1\nb", 0)));
        assert_eq!(
            parse("lb-guest: begin\n\nlb-guest: exit 3\n"),
            Some(("", 3))
        );
        assert_eq!(parse("lb-guest: begin\nall is well\n"), None);
        assert_eq!(parse(""), None);
    }

    #[test]
    fn an_end_without_a_status_is_an_error_that_tells_what_it_was() {
        let told = |output: &str, console: &str| {
            conclude(output, console.to_owned())
                .unwrap_err()
                .to_string()
        };
        let panic = "a\n[    1.2] Kernel panic - not syncing: Attempted to kill init!\n";
        assert!(told("", panic).contains("panicked: [    1.2] Kernel panic - not syncing: Att"));
        assert!(told("lb-guest: begin\nx", "b").contains("ended before its script did"));
        assert!(told("", "").contains("did not start"));
        assert!(told("", "").contains("silent"));
    }
}
