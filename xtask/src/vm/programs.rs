//! The programs that are tried in a guest, built for its processor.
//!
//! For this machine's processor they are the very files that `cargo xtask test` runs. For another
//! they are linked statically, because its libraries are not here.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::kernel::Arch;
use crate::process;
use crate::workspace::Workspace;

/// Where they are in the guest. The tests look for the binaries in the directory above their own.
pub(super) const DIRECTORY: &str = "/lb";

/// Binaries and test programs, by the name of their target.
const BINARIES: [&str; 2] = ["lb", "lab"];
const TESTS: [&str; 4] = ["kernel", "decapsulation", "differential", "e2e"];

/// Built programs.
#[derive(Debug)]
pub(super) struct Programs {
    /// Files of this machine and their paths in the guest.
    pub(super) files: Vec<(PathBuf, String)>,
    /// What they are built for.
    pub(super) arch: Arch,
}

/// Builds them.
pub(super) fn build(workspace: &Workspace, arch: Arch) -> Result<Programs> {
    let mut command = workspace.cargo("build");
    if Arch::host() == Some(arch) {
        // The selection of `cargo xtask test`, so that nothing is compiled twice.
        command.args(["--workspace", "--exclude", "lb-ebpf"]);
    } else {
        command.args(["--package", "lb-userspace", "--package", "lb-tests"]);
        cross(&mut command, arch);
    }
    for name in BINARIES {
        command.args(["--bin", name]);
    }
    for name in TESTS {
        command.args(["--test", name]);
    }
    command.args(["--message-format", "json-render-diagnostics"]);
    command.stderr(std::process::Stdio::inherit());
    let built = executables(&process::output(&mut command)?);
    let mut files = Vec::new();
    let binaries = BINARIES.map(|name| (name, DIRECTORY.to_owned()));
    let tests = TESTS.map(|name| (name, format!("{DIRECTORY}/deps")));
    for (name, directory) in binaries.into_iter().chain(tests) {
        let file = built
            .get(name)
            .with_context(|| format!("cargo built no `{name}`"))?;
        files.push((file.clone(), format!("{directory}/{name}")));
    }
    Ok(Programs { files, arch })
}

/// Makes cargo build for another processor, with Debian's cross compiler.
fn cross(command: &mut Command, arch: Arch) {
    let target = rust_target(arch);
    let compiler = compiler(arch);
    let variable = target.replace('-', "_");
    command
        .args(["--target", &target])
        .env(format!("CC_{variable}"), compiler);
    let prefix = format!("CARGO_TARGET_{}", variable.to_uppercase());
    command.env(format!("{prefix}_LINKER"), compiler).env(
        format!("{prefix}_RUSTFLAGS"),
        "-Ctarget-feature=+crt-static",
    );
}

/// Rust's target for guests of an architecture.
pub(crate) fn rust_target(arch: Arch) -> String {
    format!("{}-unknown-linux-gnu", arch.rust())
}

/// The C compiler, and linker, for an architecture.
pub(crate) fn compiler(arch: Arch) -> &'static str {
    match arch {
        Arch::Amd64 => "x86_64-linux-gnu-gcc",
        Arch::Arm64 => "aarch64-linux-gnu-gcc",
    }
}

/// The executables that cargo names in its messages, by the name of their target.
fn executables(messages: &str) -> BTreeMap<String, PathBuf> {
    let messages = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let named = messages.filter_map(|message| {
        let executable = message["executable"].as_str()?;
        let name = message["target"]["name"].as_str()?;
        Some((name.to_owned(), PathBuf::from(executable)))
    });
    named.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executables_are_read_from_cargos_messages() {
        let messages = r#"{"reason": "compiler-artifact", "target": {"name": "serde"}, "executable": null}
{"reason": "compiler-artifact", "target": {"name": "lb"}, "executable": "target/debug/lb"}
{"reason": "build-finished", "success": true}"#;
        let expected = [("lb".to_owned(), PathBuf::from("target/debug/lb"))];
        assert_eq!(executables(messages), expected.into());
    }
}
