//! The first instrument: nanoseconds of a packet on this machine.

use anyhow::Result;

use super::{Cost, output_of, read_costs};
use crate::build::Programs;
use crate::run;

/// Measures every scenario.
pub(super) fn measure(programs: &Programs, quick: bool) -> Result<Vec<Cost>> {
    let mut command = run::privileged(&programs.packet_cost)?;
    if quick {
        command.args(["--scale", "brief", "--rounds", "3", "--packets", "100000"]);
    } else {
        command.args(["--rounds", "7", "--packets", "300000"]);
    }
    read_costs(&output_of(command)?)
}
