//! Developer tasks, run as `cargo xtask TASK`.
//!
//! Everything a contributor or CI does to the repository has its entry here, so that both do the
//! same. Only the command line is read in this file; a file per task does the work.

mod bench;
mod build;
mod fuzz;
mod miri;
mod process;
mod run;
mod setup;
mod test;
mod tidy;
mod toolchain;
mod verify;
mod vm;
mod workspace;

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::setup::Mode;
use crate::workspace::{Profile, Workspace};

/// Developer tasks of the XDP load balancer.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Install what building and running needs; quick when nothing is missing
    Setup,
    /// Build the XDP program, the controller `lb`, and the lab
    Build {
        /// With optimisation
        #[arg(long)]
        release: bool,
    },
    /// Run the lab; or, given arguments after `--`, run `lb run ARGUMENTS` on this host
    Run {
        /// End the lab by itself after this long, such as 20s
        #[arg(long = "for", value_name = "DURATION", conflicts_with = "daemon")]
        duration: Option<String>,
        /// Build without optimisation
        #[arg(long)]
        debug: bool,
        /// Arguments of `lb run`, such as `--config lb.toml`
        #[arg(last = true, value_name = "ARGUMENTS")]
        daemon: Vec<OsString>,
    },
    /// Check format, lints and tidiness, then run every test
    Test {
        /// Only run the tests whose name contains this, and skip the checks before them
        filter: Option<String>,
    },
    /// Run fuzz targets for a bounded time; a finding is kept, told, and fails the command
    Fuzz {
        /// parser, ingress, document or api; all in turn if left out
        target: Option<String>,
        /// How long each target runs, such as 90s or 10m; 0s to minimise only
        #[arg(long = "for", value_name = "DURATION", default_value = "10m")]
        duration: String,
        /// Then write a minimised corpus to tests/corpus, to be committed
        #[arg(long)]
        minimise: bool,
    },
    /// Run the unit tests of lb-common under Miri, which finds undefined behaviour
    Miri,
    /// Measure what a packet costs, and compare with others; prints a report
    Bench(bench::Options),
    /// Load the XDP program and print how many instructions the kernel verified
    Verify,
    /// Boot other kernels in QEMU and run the kernel tests and the balancer there
    Vm(vm::Options),
    /// Check the conventions that rustfmt and clippy do not know
    Tidy,
}

fn main() -> ExitCode {
    match perform(&Arguments::parse().task) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn perform(task: &Task) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    match task {
        Task::Setup => setup::ensure(&setup::BUILD_AND_RUN, Mode::Verbose)?,
        Task::Build { release } => build::workspace(&workspace, Profile::optimised(*release))?,
        Task::Run {
            duration,
            debug,
            daemon,
        } => {
            let programs = build::programs(&workspace, Profile::optimised(!debug))?;
            if daemon.is_empty() {
                run::lab(&programs, duration.as_deref())?;
            } else {
                run::daemon(&programs, daemon)?;
            }
        }
        Task::Test { filter } => return test::run(&workspace, filter.as_deref()),
        Task::Fuzz {
            target,
            duration,
            minimise,
        } => return fuzz::run(&workspace, target.as_deref(), duration, *minimise),
        Task::Miri => miri::run(&workspace)?,
        Task::Bench(options) => bench::run(&workspace, options)?,
        Task::Verify => verify::run(&workspace)?,
        Task::Vm(options) => return vm::run(&workspace, options),
        Task::Tidy => tidy::run(&workspace)?,
    }
    Ok(ExitCode::SUCCESS)
}
