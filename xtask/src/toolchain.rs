//! How the eBPF crate is compiled: which toolchain, which flags, and where its linker is.
//!
//! `lb-userspace/build.rs` includes this file by path, so that the object embedded in `lb`, the
//! lint run of `cargo xtask test` and the checks of `cargo xtask setup` cannot disagree. It uses
//! the standard library only, and installs nothing.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

/// Environment variable that names another toolchain than `nightly` for the eBPF crate.
pub(crate) const TOOLCHAIN_VARIABLE: &str = "LB_EBPF_TOOLCHAIN";

/// Code generation flags of the object. Instruction set v3, because kernels 5.10 and 6.1 refuse
/// v4; unaligned access, which the verifier allows for packets and map values and without which
/// every address is copied byte by byte; full debug information and `--btf`, because the maps are
/// described by BTF.
pub(crate) const BPF_FLAGS: [&str; 4] = [
    "-Ctarget-cpu=v3",
    "-Ctarget-feature=+allows-misaligned-mem-access",
    "-Cdebuginfo=2",
    "-Clink-arg=--btf",
];

/// The rustup toolchain that compiles the eBPF crate.
pub(crate) fn name() -> String {
    env::var(TOOLCHAIN_VARIABLE).unwrap_or_else(|_| "nightly".to_owned())
}

/// The target triple of the object, which has the byte order of the machine it will run on.
pub(crate) fn bpf_target(big_endian: bool) -> &'static str {
    if big_endian {
        "bpfeb-unknown-none"
    } else {
        "bpfel-unknown-none"
    }
}

/// Where `cargo xtask setup` installs tools: the user's cache, so that a second clone of the
/// repository finds them. `None` without a home directory.
pub(crate) fn tools_directory() -> Option<PathBuf> {
    let absolute = |name| {
        env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let cache = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?;
    Some(cache.join("xdp-lb").join("tools"))
}

/// `PATH` with the tools directory in front.
pub(crate) fn search_path() -> OsString {
    let path = env::var_os("PATH").unwrap_or_default();
    let tools = tools_directory().map(|directory| directory.join("bin"));
    // Joining fails only on a directory with a colon in its name, which no PATH can hold.
    env::join_paths(tools.into_iter().chain(env::split_paths(&path))).unwrap_or(path)
}

/// A cargo command (`build`, `clippy` …) on the eBPF crate for the BPF target `target`, for
/// kernels of architecture `arch` (as in `target_arch`). Artefacts go to `target_directory`,
/// which must not be that of the cargo now running, as its lock is held.
pub(crate) fn bpf_cargo(
    subcommand: &str,
    arch: &str,
    target: &str,
    target_directory: &std::path::Path,
) -> Command {
    let mut command = Command::new("rustup");
    command
        .args([
            "run",
            &name(),
            "cargo",
            subcommand,
            "--package",
            "lb-ebpf",
            "--release",
        ])
        .args(["--target", target, "-Z", "build-std=core", "--target-dir"])
        .arg(target_directory)
        .env("PATH", search_path())
        .env("CARGO_ENCODED_RUSTFLAGS", bpf_flags(arch).join("\u{1f}"));
    // Set by the cargo that runs us; each would swap the host's compiler in for the toolchain's.
    for name in [
        "RUSTC",
        "RUSTDOC",
        "RUSTC_WRAPPER",
        "RUSTC_WORKSPACE_WRAPPER",
        "RUSTFLAGS",
    ] {
        command.env_remove(name);
    }
    for name in [
        "CARGO",
        "CARGO_BUILD_TARGET",
        "CARGO_BUILD_RUSTC",
        "CLIPPY_ARGS",
    ] {
        command.env_remove(name);
    }
    command
}

fn bpf_flags(arch: &str) -> Vec<String> {
    // aya-ebpf knows every 64-bit RISC-V by one name.
    let arch = if arch.starts_with("riscv64") {
        "riscv64"
    } else {
        arch
    };
    let mut flags = vec![format!("--cfg=bpf_target_arch=\"{arch}\"")];
    flags.extend(BPF_FLAGS.map(str::to_owned));
    flags
}
