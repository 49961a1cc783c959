//! The toolchain of the eBPF crate: nightly, for `-Z build-std`, with the source of `core`; and
//! Miri, which comes with the same toolchain.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use crate::vm::kernel::Arch;
use crate::vm::programs;
use crate::{process, toolchain};

/// The source of `core` is compiled for the BPF target; clippy lints the eBPF crate.
const COMPONENTS: [&str; 2] = ["rust-src", "clippy"];

/// Miri interprets programs, the standard library's source included.
const MIRI_COMPONENTS: [&str; 2] = ["rust-src", "miri"];

pub(super) fn look() -> Result<String> {
    look_for(&COMPONENTS)
}

pub(super) fn install() -> Result<()> {
    install_with(&COMPONENTS)
}

pub(super) fn look_for_miri() -> Result<String> {
    look_for(&MIRI_COMPONENTS)
}

pub(super) fn install_miri() -> Result<()> {
    install_with(&MIRI_COMPONENTS)
}

fn look_for(components: &[&str]) -> Result<String> {
    let name = toolchain::name();
    let libraries = sysroot()?.join("lib").join("rustlib");
    let installed = std::fs::read_to_string(libraries.join("components"))
        .with_context(|| format!("toolchain {name} has no list of components"))?;
    let missing: Vec<_> = components
        .iter()
        .copied()
        .filter(|component| !lists(&installed, component))
        .collect();
    ensure!(
        missing.is_empty(),
        "toolchain {name} lacks {}",
        missing.join(" and ")
    );
    Ok(format!("{name} with {}", components.join(" and ")))
}

fn install_with(components: &[&str]) -> Result<()> {
    let name = toolchain::name();
    if process::find("rustup").is_none() {
        bail!(
            "there is no rustup, which the nightly toolchain comes through: install it \
             (https://rustup.rs), then run `cargo xtask setup` again"
        );
    }
    let mut rustup = Command::new("rustup");
    if sysroot().is_ok() {
        rustup
            .args(["component", "add", "--toolchain", &name])
            .args(components);
    } else {
        rustup.args(["toolchain", "install", &name, "--profile", "minimal"]);
        rustup.args(
            components
                .iter()
                .flat_map(|component| ["--component", component]),
        );
    }
    eprintln!("setup: running `{}`", process::line(&rustup));
    process::succeed(&mut rustup)
}

/// The standard library for arm64 of the toolchain that compiles the host's programs.
pub(super) fn look_arm64() -> Result<String> {
    let sysroot = process::output(Command::new("rustc").args(["--print", "sysroot"]))?;
    let target = programs::rust_target(Arch::Arm64);
    let library = PathBuf::from(sysroot.trim_end())
        .join("lib")
        .join("rustlib")
        .join(&target);
    ensure!(library.is_dir(), "{target} is not installed");
    Ok(target)
}

pub(super) fn install_arm64() -> Result<()> {
    let target = programs::rust_target(Arch::Arm64);
    if process::find("rustup").is_none() {
        bail!(
            "there is no rustup: install the standard library for {target} as this Rust was \
             installed, then run it again"
        );
    }
    let mut rustup = Command::new("rustup");
    rustup.args(["target", "add", &target]);
    eprintln!("setup: running `{}`", process::line(&rustup));
    process::succeed(&mut rustup)
}

/// LLVM's major version in the toolchain's compiler.
pub(super) fn llvm_major() -> Result<u32> {
    let version = process::output(rustc().arg("-vV"))?;
    parse_llvm_major(&version).context("`rustc -vV` names no LLVM version")
}

/// The toolchain's compiler.
pub(super) fn rustc() -> Command {
    let mut command = Command::new("rustup");
    command.args(["run", &toolchain::name(), "rustc"]);
    command
}

fn sysroot() -> Result<PathBuf> {
    let sysroot = process::output(rustc().args(["--print", "sysroot"]))
        .with_context(|| format!("toolchain {} is not installed", toolchain::name()))?;
    Ok(PathBuf::from(sysroot.trim_end()))
}

/// Whether rustup's list names a component. Its lines are the component's name, with `-preview`
/// for some, and with the host's triple for those that depend on it.
fn lists(components: &str, component: &str) -> bool {
    components.lines().any(|line| {
        line.strip_prefix(component).is_some_and(|rest| {
            let rest = rest.strip_prefix("-preview").unwrap_or(rest);
            rest.is_empty() || rest.split('-').count() >= 4
        })
    })
}

fn parse_llvm_major(version: &str) -> Option<u32> {
    let llvm = version
        .lines()
        .find_map(|line| line.strip_prefix("LLVM version: "))?;
    llvm.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn llvm_major_is_read_from_the_verbose_version() {
        let version = "rustc 1.97.0-nightly\nhost: x86_64-unknown-linux-gnu\nLLVM version: 22.1.4";
        assert_eq!(parse_llvm_major(version), Some(22));
        assert_eq!(parse_llvm_major("rustc 1.97.0"), None);
    }

    #[test]
    fn components_are_found_with_and_without_a_host() {
        let components = "clippy-preview-x86_64-unknown-linux-gnu\nrust-src\nrust-srcs";
        assert!(lists(components, "clippy"));
        assert!(lists(components, "rust-src"));
        assert!(!lists("rust-srcs\nrust-src-extra", "rust-src"));
        assert!(!lists(components, "rustfmt"));
    }
}
