//! What running another kernel needs: the emulator, and the tools that make a guest of a kernel.

use std::process::Command;

use anyhow::{Result, ensure};

use super::system::{Program, apt_install, install_missing, look_for, missing};
use crate::process;
use crate::vm::kernel::Arch;
use crate::vm::{programs, qemu};

/// Programs of every guest, with the Debian package each comes from.
const PROGRAMS: [Program; 4] = [
    ("busybox", "busybox-static"),
    ("depmod", "kmod"),
    ("modprobe", "kmod"),
    ("xz", "xz-utils"),
];

pub(super) fn look() -> Result<String> {
    look_for(&native())
}

pub(super) fn install() -> Result<()> {
    install_missing(&native())
}

pub(super) fn look_arm64() -> Result<String> {
    let found = look_for(&arm64())?;
    // Debian's compiler comes without the C library. Asked for a file that it does not know, it
    // repeats the name.
    let mut ask = Command::new(programs::compiler(Arch::Arm64));
    let library = process::output(ask.arg("-print-file-name=libc.a"))?;
    ensure!(
        library.contains('/'),
        "no C library for arm64 (Debian's package libc6-dev-arm64-cross)"
    );
    Ok(found)
}

pub(super) fn install_arm64() -> Result<()> {
    let programs = arm64();
    let missing = missing(&programs).map(|(_, package)| package.to_owned());
    let library = "libc6-dev-arm64-cross".to_owned();
    apt_install(&missing.chain([library]).collect::<Vec<_>>())
}

fn native() -> Vec<Program> {
    let arch = Arch::host().unwrap_or(Arch::Amd64);
    let mut programs = vec![emulator(arch)];
    programs.extend(PROGRAMS);
    programs
}

fn arm64() -> [Program; 2] {
    let arch = Arch::Arm64;
    [
        emulator(arch),
        (programs::compiler(arch), "gcc-aarch64-linux-gnu"),
    ]
}

/// The emulator of an architecture, and its package.
fn emulator(arch: Arch) -> Program {
    match arch {
        Arch::Amd64 => (qemu::program(arch), "qemu-system-x86"),
        Arch::Arm64 => (qemu::program(arch), "qemu-system-arm"),
    }
}
