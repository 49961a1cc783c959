//! `cargo xtask miri`: the unit tests of lb-common, interpreted by Miri.
//!
//! The packet engine's only unsafe code views bytes as headers; Miri says whether any of it is
//! undefined behaviour. It interprets, a thousand times slower than the machine, so tests that walk
//! large ranges walk them in larger steps there (`cfg!(miri)`).

use std::process::Command;

use anyhow::Result;

use crate::setup::{self, Mode};
use crate::workspace::Workspace;
use crate::{process, toolchain};

/// Runs the tests; whatever Miri says goes to the terminal.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    setup::ensure(&setup::MIRI, Mode::Brief)?;
    process::succeed(&mut command(workspace)?)
}

/// The command, in a target directory of its own: cargo would otherwise wait for, and throw away,
/// what others build.
fn command(workspace: &Workspace) -> Result<Command> {
    let mut command = Command::new("rustup");
    command
        .args(["run", &toolchain::name(), "cargo", "miri", "test"])
        .args(["--package", "lb-common", "--quiet", "--target-dir"])
        .arg(workspace.target_directory()?.join("miri"))
        .current_dir(&workspace.root);
    // Set by the cargo that runs us; each would stand in for the toolchain's.
    for name in ["CARGO", "RUSTC", "RUSTDOC", "RUSTFLAGS", "RUSTUP_TOOLCHAIN"] {
        command.env_remove(name);
    }
    Ok(command)
}
