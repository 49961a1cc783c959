//! The third instrument: this balancer and others in turn, in namespaces of this machine, and in
//! a guest for the peer whose kernel modules this machine may lack.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};

use super::output_of;
use crate::build::Programs;
use crate::setup::{self, Mode};
use crate::vm::guest::Guest;
use crate::vm::kernel::{self, Arch, Release};
use crate::{process, run};

/// A row that `side-by-side` prints.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Comparison {
    /// The work, and how this balancer does it.
    scenario: String,
    /// What it is compared with.
    pub(super) peer: String,
    /// Median of this balancer's rates.
    pub(super) ours_per_second: f64,
    /// Median of the peer's.
    pub(super) peer_per_second: f64,
    /// What is counted.
    unit: String,
    /// Median of the rounds' ratios.
    pub(super) ratio: f64,
    /// The lowest of them.
    pub(super) ratio_low: f64,
    /// The highest.
    pub(super) ratio_high: f64,
    /// How many rounds there were.
    rounds: usize,
}

/// Programs that the comparison in a guest runs, beside its own.
const GUEST_TOOLS: [&str; 3] = ["ip", "nsenter", "ipvsadm"];
const MEMORY_MIB: u32 = 2048;
/// The comparison takes a minute and a half where nothing else runs.
const LIMIT: Duration = Duration::from_mins(10);

impl Comparison {
    /// What a report calls it.
    pub(super) fn name(&self) -> String {
        format!("{} ({}), {}", self.scenario, self.unit, self.peer)
    }
}

/// Compares with nftables and haproxy on this machine.
pub(super) fn measure(programs: &Programs, quick: bool) -> Result<Vec<Comparison>> {
    let mut comparisons = Vec::new();
    for peer in ["nftables", "haproxy"] {
        let mut command = run::privileged(&programs.side_by_side)?;
        command.arg("--lb").arg(&programs.lb);
        command.args(["--json", "--peer", peer]);
        command.args(quick.then_some("--quick"));
        comparisons.extend(read(&output_of(command)?)?);
    }
    Ok(comparisons)
}

/// A guest that compares with IPVS, which its kernel has.
pub(super) fn prepare(programs: &Programs, quick: bool) -> Result<Guest> {
    setup::ensure(&setup::GUEST, Mode::Brief)?;
    setup::ensure(&setup::IPVS, Mode::Brief)?;
    let mut files = vec![
        (
            programs.side_by_side.clone(),
            "/usr/bin/side-by-side".to_owned(),
        ),
        (programs.lb.clone(), "/usr/bin/lb".to_owned()),
    ];
    for tool in GUEST_TOOLS {
        let file = process::find(tool).with_context(|| format!("there is no {tool}"))?;
        files.push((file, format!("/usr/sbin/{tool}")));
    }
    let quick = if quick { "--quick" } else { "" };
    Ok(Guest {
        name: "side by side with IPVS".to_owned(),
        kernel: kernel::resolve(
            Release::Trixie,
            Arch::host().context("no kernel for this CPU")?,
        )?,
        memory_mib: MEMORY_MIB,
        cpus: 2,
        icount: false,
        programs: files,
        modules: vec!["veth", "bridge", "ip_vs", "ip_vs_rr"],
        script: format!("exec side-by-side --lb /usr/bin/lb --peer ipvs --json {quick}"),
        limit: LIMIT,
    })
}

/// Compares in that guest.
pub(super) fn measure_in_guest(guest: &Guest) -> Result<Vec<Comparison>> {
    let report = guest.run()?;
    ensure!(
        report.exit_status == 0,
        "`side-by-side` failed in the guest (exit status {}):\n{}",
        report.exit_status,
        report.console
    );
    read(&report.stdout)
}

fn read(text: &str) -> Result<Vec<Comparison>> {
    serde_json::from_str(text).context("`side-by-side` printed something else than its rows")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn rows_are_read_and_named() {
        let text = r#"[{"scenario": "UDP, dsr", "peer": "nftables", "ours_per_second": 2.0,
            "peer_per_second": 1.0, "unit": "packets", "ratio": 2.0, "ratio_low": 1.5,
            "ratio_high": 2.5, "rounds": 3}]"#;
        assert_eq!(
            read(text).unwrap()[0].name(),
            "UDP, dsr (packets), nftables"
        );
        assert!(read("{}").is_err());
    }
}
