//! What `cargo xtask fuzz` needs besides: cargo-fuzz, and a compiler for libFuzzer, which is C++.

use std::env;
use std::process::Command;

use anyhow::{Context as _, Result};

use super::system;
use crate::{process, toolchain};

/// The version we install.
const VERSION: &str = "0.13.2";

pub(super) fn look() -> Result<String> {
    let mut command = Command::new("cargo");
    command
        .args(["fuzz", "--version"])
        .env("PATH", toolchain::search_path());
    let version = process::output(&mut command).context("not found")?;
    Ok(version.trim().trim_start_matches("cargo-fuzz ").to_owned())
}

/// Builds it into our tools directory, which takes about a minute.
pub(super) fn install() -> Result<()> {
    let tools = toolchain::tools_directory()
        .context("neither HOME nor XDG_CACHE_HOME is set: set one, to where tools may be kept")?;
    eprintln!("setup: building cargo-fuzz {VERSION}, which takes about a minute");
    let mut command = Command::new("cargo");
    command
        .args([
            "install",
            "cargo-fuzz",
            "--version",
            VERSION,
            "--locked",
            "--root",
        ])
        .arg(tools)
        // Flags and directories meant for this repository.
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_TARGET_DIR");
    process::succeed(&mut command)
}

pub(super) fn compiler() -> Result<String> {
    let named = env::var("CXX").unwrap_or_else(|_| "c++".to_owned());
    let version = process::output(Command::new(&named).arg("--version"))
        .with_context(|| format!("`{named}` does not work"))?;
    Ok(version.lines().next().unwrap_or(&named).to_owned())
}

pub(super) fn install_compiler() -> Result<()> {
    system::apt_install(&["g++".to_owned()])
}
