//! What running another kernel needs: the emulator, and the tools that make a guest of a kernel.

use anyhow::Result;

use super::system::{Program, install_missing, look_for};
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
    look_for(&arm64())
}

pub(super) fn install_arm64() -> Result<()> {
    install_missing(&arm64())
}

fn native() -> Vec<Program> {
    let arch = Arch::host().unwrap_or(Arch::Amd64);
    let mut programs = vec![emulator(arch)];
    programs.extend(PROGRAMS);
    programs
}

/// The compiler recommends the C library that it links; without recommendations both are named.
fn arm64() -> Vec<Program> {
    let arch = Arch::Arm64;
    vec![
        emulator(arch),
        (programs::compiler(arch), "gcc-aarch64-linux-gnu"),
        (programs::compiler(arch), "libc6-dev-arm64-cross"),
    ]
}

/// The emulator of an architecture, and its package.
fn emulator(arch: Arch) -> Program {
    match arch {
        Arch::Amd64 => (qemu::program(arch), "qemu-system-x86"),
        Arch::Arm64 => (qemu::program(arch), "qemu-system-arm"),
    }
}
