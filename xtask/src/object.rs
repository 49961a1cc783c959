//! Compiles one binary of crate `lb-ebpf` for the BPF target and leaves the object at
//! `$OUT_DIR/BINARY`. The build scripts of `lb-userspace` and `tests` include this file by path.
//!
//! Installs nothing: what is missing comes from `cargo xtask setup`. Written by hand rather than
//! with `aya-build`, whose flags are fixed: kernels before 6.6 need instruction set v3.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use crate::toolchain;

const REMEDY: &str = "run `cargo xtask setup`, which installs what the XDP program needs";

/// Compiles a binary in a build script, and tells cargo when to do it again.
pub(crate) fn compile(binary: &str) -> Result<()> {
    let manifest = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let workspace = manifest
        .parent()
        .context("the crate is not inside the workspace")?;
    let out = PathBuf::from(variable("OUT_DIR")?);
    track(workspace);

    let target = toolchain::bpf_target(variable("CARGO_CFG_TARGET_ENDIAN")? == "big");
    let arch = variable("CARGO_CFG_TARGET_ARCH")?;
    let objects = objects_directory(&out);
    let mut build = toolchain::bpf_cargo("build", &arch, target, &objects);
    run(build.args(["--bin", binary]).current_dir(workspace))?;

    let object = objects.join(target).join("release").join(binary);
    std::fs::copy(&object, out.join(binary))
        .with_context(|| format!("cannot copy the XDP program from {}", object.display()))?;
    Ok(())
}

/// Tells cargo when to run us again. The files of `xtask` are part of this program already.
fn track(workspace: &Path) {
    for path in ["lb-ebpf", "lb-common", "Cargo.toml", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", workspace.join(path).display());
    }
    for name in [toolchain::TOOLCHAIN_VARIABLE, "XDG_CACHE_HOME"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    // Another linker may make another object.
    let path = toolchain::search_path();
    let linker = env::split_paths(&path)
        .map(|dir| dir.join("bpf-linker"))
        .find(|p| p.is_file());
    if let Some(linker) = linker {
        println!("cargo::rerun-if-changed={}", linker.display());
    }
}

/// The inner cargo's target directory, shared by all profiles of the host build: the object is
/// the same in each, and `core` need not be compiled again.
fn objects_directory(out: &Path) -> PathBuf {
    // OUT_DIR is TARGET/PROFILE/build/PACKAGE-HASH/out.
    out.ancestors().nth(4).unwrap_or(out).join("lb-ebpf")
}

fn run(build: &mut Command) -> Result<()> {
    let status = build
        .status()
        .with_context(|| format!("cannot start rustup for the XDP program: {REMEDY}"))?;
    if !status.success() {
        bail!(
            "the XDP program did not build ({status}); the reason is printed above. If it names a \
             missing toolchain, `rust-src` or `bpf-linker`: {REMEDY}"
        );
    }
    Ok(())
}

fn variable(name: &str) -> Result<String> {
    let value = env::var(name).with_context(|| format!("cargo sets {name} for build scripts"))?;
    ensure!(!value.is_empty(), "{name} is empty");
    Ok(value)
}
