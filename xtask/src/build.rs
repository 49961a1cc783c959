//! `cargo xtask build`: everything, after `setup`.
//!
//! The XDP program itself is compiled by lb-userspace/build.rs, so that a plain `cargo build`
//! does the same once the tools are there.

use std::path::PathBuf;

use anyhow::Result;

use crate::process;
use crate::setup::{self, Mode};
use crate::workspace::{Profile, Workspace};

/// The programs that tasks start.
#[derive(Debug)]
pub(crate) struct Programs {
    /// The controller and command line.
    pub(crate) lb: PathBuf,
    /// The lab of network namespaces.
    pub(crate) lab: PathBuf,
    /// The measurement of what a packet costs.
    pub(crate) packet_cost: PathBuf,
    /// The comparison with other balancers.
    pub(crate) side_by_side: PathBuf,
}

/// Builds every crate.
pub(crate) fn workspace(workspace: &Workspace, profile: Profile) -> Result<()> {
    setup::ensure(&setup::BUILD_AND_RUN, Mode::Brief)?;
    compile(workspace, profile, &["--workspace", "--exclude", "lb-ebpf"])
}

/// Builds what is needed to run `lb` and the lab, and tells where they are.
pub(crate) fn programs(workspace: &Workspace, profile: Profile) -> Result<Programs> {
    setup::ensure(&setup::BUILD_AND_RUN, Mode::Brief)?;
    compile(
        workspace,
        profile,
        &[
            "--package",
            "lb-userspace",
            "--package",
            "lb-tests",
            "--bins",
        ],
    )?;
    let directory = workspace.target_directory()?.join(profile.directory());
    Ok(Programs {
        lb: directory.join("lb"),
        lab: directory.join("lab"),
        packet_cost: directory.join("packet-cost"),
        side_by_side: directory.join("side-by-side"),
    })
}

fn compile(workspace: &Workspace, profile: Profile, packages: &[&str]) -> Result<()> {
    let mut command = workspace.cargo("build");
    command.args(packages);
    if profile == Profile::Release {
        command.arg("--release");
    }
    process::succeed(&mut command)
}
