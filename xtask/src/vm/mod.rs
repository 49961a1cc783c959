//! `cargo xtask vm`: what the product does on other kernels.
//!
//! Each kernel of the matrix is booted in QEMU, where the kernel ring and a short end-to-end run
//! in namespaces are repeated with this build's programs. The emulation is in software, so that it
//! needs neither root nor a processor's help. Other tasks use `kernel` and `guest` for what they
//! run in a guest.

mod apt;
pub(crate) mod guest;
mod initramfs;
pub(crate) mod kernel;
mod matrix;
pub(crate) mod programs;
pub(crate) mod qemu;
mod report;
mod tools;
mod trial;

use std::process::ExitCode;

use anyhow::{Result, ensure};
use clap::Args;

use crate::workspace::Workspace;

/// Which kernels, and how to report.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Options {
    /// Only 6.1 and the newest, and less on each: what CI runs
    #[arg(long)]
    pub(crate) quick: bool,
    /// Only this kernel: 5.10, 6.1, 6.12, newest or arm64; may be given several times
    #[arg(long = "kernel", value_name = "NAME", value_parser = matrix::find)]
    pub(crate) kernels: Vec<matrix::Target>,
    /// Print one JSON object to standard output and nothing else
    #[arg(long)]
    pub(crate) json: bool,
}

/// Runs the matrix and prints what came of it. What fails is not an error but in the exit code, so
/// that nothing is printed below the table.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    let rows = matrix::run(workspace, options)?;
    let verdict = report::judge(&rows, is_ci());
    if options.json {
        println!("{}", report::json(&rows, &verdict)?);
    } else {
        println!("{}\n{verdict}", report::table(&rows));
    }
    Ok(if verdict.is_success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// What CI runs: the quick matrix, printed. A kernel on which the product fails is an error.
pub(crate) fn run_quick(workspace: &Workspace) -> Result<()> {
    let options = Options {
        quick: true,
        ..Options::default()
    };
    let rows = matrix::run(workspace, &options)?;
    let verdict = report::judge(&rows, is_ci());
    println!("{}\n{verdict}", report::table(&rows));
    ensure!(verdict.is_success(), "not every kernel passed: see above");
    Ok(())
}

fn is_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true")
}
