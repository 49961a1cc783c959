//! bpf-linker, which turns LLVM bitcode into a BPF object.
//!
//! A linker counts as present only when it links a small program of the eBPF toolchain: version
//! numbers do not tell, because its LLVM must be at least as new as that of rustc. The user's own
//! comes first; what we install goes to our tools directory only.

use std::env;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use super::{rust, system};
use crate::{process, toolchain};

/// The version we install. It builds against LLVM 21 to 23.
const VERSION: &str = "0.13.0";

/// Needs neither `core` nor a library, so that only compiler and linker are tried.
const PROBE: &str = r#"
#![feature(no_core, lang_items)]
#![no_core]
#[lang = "pointee_sized"] pub trait PointeeSized {}
#[lang = "meta_sized"] pub trait MetaSized: PointeeSized {}
#[lang = "sized"] pub trait Sized: MetaSized {}
#[lang = "copy"] pub trait Copy {}
#[unsafe(no_mangle)] pub extern "C" fn probe(_bytes: &[u8; 4]) -> u32 { 2 }
"#;

pub(super) fn look() -> Result<String> {
    let ours = tools_directory()?.join("bin").join("bpf-linker");
    if ours.is_file() {
        match links(&ours) {
            Ok(()) => return describe(&ours),
            // It would hide a better one on PATH; the next step of setup brings a new one.
            Err(_) => std::fs::remove_file(&ours)
                .with_context(|| format!("cannot remove the outdated {}", ours.display()))?,
        }
    }
    let Some(theirs) = process::find("bpf-linker") else {
        bail!("not found")
    };
    links(&theirs).with_context(|| format!("{} does not work", theirs.display()))?;
    describe(&theirs)
}

pub(super) fn install() -> Result<()> {
    let tools = tools_directory()?;
    if process::works(Command::new("cargo").args(["binstall", "-V"])) {
        match binstall(&tools) {
            Ok(()) => return Ok(()),
            Err(error) => eprintln!("setup: bpf-linker: {error:#}; building it instead"),
        }
    }
    let major = rust::llvm_major()?;
    let prefix = PathBuf::from(format!("/usr/lib/llvm-{major}"));
    if !prefix.join("bin/llvm-config").is_file() {
        system::apt_install(&llvm_packages(major)).with_context(|| instructions(major, &tools))?;
    }
    from_source(major, &prefix, &tools)
}

fn binstall(tools: &Path) -> Result<()> {
    eprintln!("setup: downloading bpf-linker {VERSION} with cargo-binstall");
    let mut command = Command::new("cargo");
    command
        .args(["binstall", "--no-confirm", "--root"])
        .arg(tools);
    process::succeed(command.arg(format!("bpf-linker@{VERSION}")))?;
    links(&tools.join("bin").join("bpf-linker"))
}

fn from_source(major: u32, prefix: &Path, tools: &Path) -> Result<()> {
    eprintln!("setup: building bpf-linker {VERSION} with LLVM {major}, which takes about a minute");
    let directories = env::var_os("PATH").unwrap_or_default();
    let path = [prefix.join("bin")]
        .into_iter()
        .chain(env::split_paths(&directories));
    let mut command = Command::new("cargo");
    command
        .args([
            "install",
            "bpf-linker",
            "--version",
            VERSION,
            "--locked",
            "--force",
        ])
        .args([
            "--no-default-features",
            "--features",
            &format!("llvm-{major}"),
            "--root",
        ])
        .arg(tools)
        // llvm-sys names its variable after its own version, such as 221 for LLVM 22.1.
        .env(format!("LLVM_SYS_{major}1_PREFIX"), prefix)
        .env("LLVM_PREFIX", prefix)
        .env("PATH", env::join_paths(path)?)
        // Flags and directories meant for this repository.
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_TARGET_DIR");
    process::succeed(&mut command)
}

/// Links the probe as build.rs links the XDP program.
fn links(linker: &Path) -> Result<()> {
    let output = env::temp_dir().join(format!("xdp-lb-probe-{}", std::process::id()));
    let mut rustc = rust::rustc();
    rustc.args([
        "--crate-type=cdylib",
        "--crate-name=probe",
        "-Copt-level=3",
        "--target",
    ]);
    rustc
        .arg(toolchain::bpf_target(cfg!(target_endian = "big")))
        .args(toolchain::BPF_FLAGS);
    rustc
        .arg(format!("-Clinker={}", linker.display()))
        .arg("-o")
        .arg(&output)
        .arg("-");
    rustc
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut child = rustc.spawn().context("cannot start rustup")?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(PROBE.as_bytes())?;
    }
    let result = child.wait_with_output()?;
    // There is nothing to remove where linking failed.
    let _ = std::fs::remove_file(&output);
    let message = String::from_utf8_lossy(&result.stderr);
    // A future compiler may refuse the probe itself, which says nothing about the linker.
    if result.status.success() || !message.contains("error: linking with") {
        return Ok(());
    }
    bail!(
        "it cannot link what {} compiles:\n{}",
        toolchain::name(),
        message.trim()
    )
}

fn describe(linker: &Path) -> Result<String> {
    let version = process::output(Command::new(linker).arg("--version"))?;
    let version = version.trim().trim_start_matches("bpf-linker ");
    Ok(format!("{version} at {}", linker.display()))
}

fn tools_directory() -> Result<PathBuf> {
    toolchain::tools_directory()
        .context("neither HOME nor XDG_CACHE_HOME is set: set one, to where tools may be kept")
}

fn llvm_packages(major: u32) -> Vec<String> {
    let mut packages = vec![format!("llvm-{major}-dev"), format!("libpolly-{major}-dev")];
    packages.extend(["libzstd-dev", "zlib1g-dev", "libxml2-dev"].map(str::to_owned));
    packages
}

fn instructions(major: u32, tools: &Path) -> String {
    format!(
        "bpf-linker must be installed by hand, in one of these ways:\n  \
         cargo install cargo-binstall && cargo binstall --root {} bpf-linker@{VERSION}\n  \
         on Debian and Ubuntu: sudo apt-get install {}\n  \
         on Fedora: sudo dnf install llvm-devel, then \
         cargo install bpf-linker --no-default-features --features llvm-{major}\n\
         then run `cargo xtask setup` again. Why it was not done for you",
        tools.display(),
        llvm_packages(major).join(" "),
    )
}
