//! `cargo xtask run`: the lab, or the daemon on this host's interfaces.
//!
//! Both need root. We replace ourselves with the program rather than wait for it: so Ctrl-C, the
//! terminal and the exit status are its own, and nothing is left behind to clean up.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::build::Programs;
use crate::process;

/// Replaces this process with the lab, which runs for `duration` (such as "20s") or until Ctrl-C.
pub(crate) fn lab(programs: &Programs, duration: Option<&str>) -> Result<()> {
    let mut lab = privileged(&programs.lab)?;
    lab.arg("--lb").arg(&programs.lb);
    if let Some(duration) = duration {
        lab.args(["--for", duration]);
    }
    replace(lab)
}

/// Replaces this process with `lb run ARGUMENTS` on this host's interfaces.
pub(crate) fn daemon(programs: &Programs, arguments: &[OsString]) -> Result<()> {
    let mut daemon = privileged(&programs.lb)?;
    daemon.arg("run").args(arguments);
    replace(daemon)
}

/// A command that runs `program` as root: directly where we are root, otherwise through sudo.
pub(crate) fn privileged(program: &Path) -> Result<Command> {
    if process::is_root() {
        return Ok(Command::new(program));
    }
    let Some(sudo) = process::find("sudo") else {
        bail!(
            "loading an XDP program needs root, and there is no sudo here: run this command as root"
        );
    };
    eprintln!(
        "{} needs root to load an XDP program: using `sudo -E`",
        program.display()
    );
    let mut command = Command::new(sudo);
    command.arg("-E").arg(program);
    Ok(command)
}

fn replace(mut command: Command) -> Result<()> {
    let error = command.exec();
    Err(error).with_context(|| format!("cannot start `{}`", process::line(&command)))
}
