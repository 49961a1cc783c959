//! The second instrument: instructions of a packet, in a guest whose clock counts those. The
//! figures are the same in every run on every machine, for one kernel and one compiler.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::{Cost, read_costs};
use crate::build::Programs;
use crate::setup::{self, Mode};
use crate::vm::guest::Guest;
use crate::vm::kernel::{self, Arch, Release};

const PROGRAM: &str = "/usr/bin/packet-cost";
/// Two gigabytes hold a table of two million flows.
const MEMORY_MIB: u32 = 2048;
/// It takes one or two minutes.
const LIMIT: Duration = Duration::from_mins(10);

/// What was measured, and on which kernel.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) kernel: String,
    pub(super) costs: Vec<Cost>,
}

/// A guest with kernel 6.12 that measures every scenario of up to 100k flows; few of so many if
/// `quick`.
pub(super) fn prepare(programs: &Programs, quick: bool) -> Result<Guest> {
    let scale = if quick { "brief" } else { "small" };
    setup::ensure(&setup::GUEST, Mode::Brief)?;
    Ok(Guest {
        name: "instructions".to_owned(),
        kernel: kernel::resolve(Release::Trixie, Arch::Amd64)?,
        memory_mib: MEMORY_MIB,
        cpus: 1,
        icount: true,
        programs: vec![(programs.packet_cost.clone(), PROGRAM.to_owned())],
        modules: Vec::new(),
        // Every round costs the same. More packets would spread the timer's interrupts better.
        script: format!("exec {PROGRAM} --scale {scale} --rounds 1 --packets 5000"),
        limit: LIMIT,
    })
}

/// Measures in that guest.
pub(super) fn measure(guest: &Guest) -> Result<Measured> {
    let report = guest.run()?;
    ensure!(
        report.exit_status == 0,
        "`packet-cost` failed in the guest (exit status {}):\n{}",
        report.exit_status,
        report.console
    );
    Ok(Measured {
        kernel: guest.kernel.version.clone(),
        costs: read_costs(&report.stdout)?,
    })
}
