//! What running another kernel needs: the emulator, and the tools that make a guest of a kernel.

use anyhow::{Result, ensure};

use super::system::apt_install;
use crate::process;
use crate::vm::kernel::Arch;
use crate::vm::qemu;

/// Programs of every guest, with the Debian package each comes from.
const PROGRAMS: [(&str, &str); 4] = [
    ("busybox", "busybox-static"),
    ("depmod", "kmod"),
    ("modprobe", "kmod"),
    ("xz", "xz-utils"),
];

pub(super) fn look() -> Result<String> {
    let missing = missing();
    let names: Vec<_> = missing.iter().map(|(program, _)| *program).collect();
    ensure!(missing.is_empty(), "{} not found", names.join(", "));
    Ok(emulator().0.to_owned())
}

pub(super) fn install() -> Result<()> {
    let mut packages: Vec<_> = missing()
        .into_iter()
        .map(|(_, package)| package.to_owned())
        .collect();
    packages.dedup();
    apt_install(&packages)
}

fn missing() -> Vec<(&'static str, &'static str)> {
    let mut programs = vec![emulator()];
    programs.extend(PROGRAMS);
    programs.retain(|(program, _)| process::find(program).is_none());
    programs
}

/// The emulator of this machine's own architecture, and its package.
fn emulator() -> (&'static str, &'static str) {
    match Arch::host() {
        Some(Arch::Arm64) => (qemu::program(Arch::Arm64), "qemu-system-arm"),
        Some(Arch::Amd64) | None => (qemu::program(Arch::Amd64), "qemu-system-x86"),
    }
}
