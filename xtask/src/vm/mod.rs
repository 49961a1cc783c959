//! `cargo xtask vm`: Debian's kernels in QEMU, and what this machine's programs do on them.
//!
//! The emulation is in software, so that it needs neither root nor a processor's help.

mod apt;
pub(crate) mod guest;
mod initramfs;
pub(crate) mod kernel;
pub(crate) mod qemu;

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use self::guest::Guest;
use self::kernel::{Arch, Release};
use crate::setup::{self, Mode};

/// Boots each kernel.
pub(crate) fn run() -> Result<()> {
    setup::ensure(&setup::GUEST, Mode::Brief)?;
    let arch = Arch::host().context("no kernel is known for this machine's processor")?;
    for release in [
        Release::Bullseye,
        Release::Bookworm,
        Release::Trixie,
        Release::Newest,
    ] {
        let guest = Guest {
            kernel: kernel::resolve(release, arch)?,
            memory_mib: 512,
            cpus: 2,
            icount: false,
            programs: Vec::new(),
            modules: Vec::new(),
            script: "uname -r".to_owned(),
            limit: Duration::from_mins(2),
        };
        let report = guest.run()?;
        ensure!(report.exit_status == 0, "{}", report.console);
        println!("{} boots", report.stdout.trim());
    }
    Ok(())
}
