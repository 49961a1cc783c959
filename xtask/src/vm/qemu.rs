//! The command line of QEMU.
//!
//! Kernel and initramfs are given directly; there is no disk, no network and no display. The
//! console goes to QEMU's standard error, the script's output to its standard output. KVM is not
//! used, so that a guest behaves the same everywhere.

use std::process::Command;

use super::guest::Guest;
use super::kernel::Arch;
use crate::process;

/// The serial device of the script's output, in the guest.
pub(super) fn result_device(arch: Arch) -> &'static str {
    match arch {
        Arch::Amd64 => "/dev/ttyS1",
        Arch::Arm64 => "/dev/ttyS0",
    }
}

/// The emulator's program.
pub(crate) fn program(arch: Arch) -> &'static str {
    match arch {
        Arch::Amd64 => "qemu-system-x86_64",
        Arch::Arm64 => "qemu-system-aarch64",
    }
}

/// QEMU for this guest. Its standard input must be the initramfs.
pub(super) fn command(guest: &Guest) -> Command {
    let arch = guest.kernel.arch;
    let mut command = ending_with_us(program(arch));
    command
        .args(["-nodefaults", "-no-user-config", "-display", "none"])
        // A panic reboots, which ends QEMU.
        .arg("-no-reboot")
        .args(["-m", &format!("{}M", guest.memory_mib)]);
    match arch {
        Arch::Amd64 => {
            command.args(["-machine", "q35", "-cpu", processor(guest.icount)]);
        }
        Arch::Arm64 => {
            command.args(["-machine", "virt", "-cpu", "max,pauth-impdef=on"]);
        }
    }
    if guest.icount {
        // One CPU whose clock is the number of instructions; QEMU's own chance has a seed.
        command
            .args(["-smp", "1", "-accel", "tcg"])
            .args(["-icount", "shift=0,sleep=off", "-seed", "1"])
            .args(["-rtc", "base=2024-01-01T00:00:00,clock=vm"]);
    } else {
        // One thread for all CPUs: with several, a guest panics now and then.
        command
            .args(["-smp", &guest.cpus.to_string()])
            .args(["-accel", "tcg,thread=single"]);
    }
    command
        .args(["-chardev", "file,id=console,path=/proc/self/fd/2"])
        .args(["-chardev", "file,id=result,path=/proc/self/fd/1"])
        .args(["-serial", "chardev:console"]);
    match arch {
        Arch::Amd64 => command.args(["-serial", "chardev:result"]),
        Arch::Arm64 => command.args(["-device", "pci-serial,chardev=result"]),
    };
    command.arg("-kernel").arg(&guest.kernel.image).args([
        "-initrd",
        "/proc/self/fd/0",
        "-append",
        &kernel_line(guest),
    ]);
    command
}

/// The processor of an amd64 guest. Without cx16: after cmpxchg16b, QEMU 7.2 may show the guest
/// flags that it never had, and one boot in six panics in the kernel's allocator.
fn processor(icount: bool) -> &'static str {
    if icount {
        // Nothing is left to chance where time is counted in instructions.
        "max,-cx16,-rdrand,-rdseed"
    } else {
        // Instructions that copy whole blocks are emulated byte by byte, and a fifth level of page
        // tables is a fifth lookup: without them the verifier takes a third less time.
        "max,-cx16,-erms,-fsrm,-la57"
    }
}

/// The kernel's own command line.
fn kernel_line(guest: &Guest) -> String {
    let console = match guest.kernel.arch {
        Arch::Amd64 => "ttyS0",
        Arch::Arm64 => "ttyAMA0",
    };
    // An oops is a finding: it must not go by. On a busy machine the timer's check at boot takes a
    // late interrupt for a missing one.
    let mut line = format!("console={console} panic=-1 oops=panic quiet");
    if guest.kernel.arch == Arch::Amd64 {
        line += " no_timer_check";
    }
    if guest.icount {
        line += " nokaslr norandmaps random.trust_cpu=off random.trust_bootloader=off";
    }
    line
}

/// A command that the kernel kills when we end, even if we are killed. Without setpriv, a part of
/// util-linux, it is a mere command.
fn ending_with_us(program: &str) -> Command {
    let Some(setpriv) = process::find("setpriv") else {
        return Command::new(program);
    };
    let mut command = Command::new(setpriv);
    command.args(["--pdeathsig", "KILL", "--", program]);
    command
}
