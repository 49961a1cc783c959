//! `cargo xtask bench`: what a packet costs, and how that compares.
//!
//! Three instruments, one report: time on this machine, instructions in a guest whose clock
//! counts those, and packets and connections per second side by side with what one would use
//! instead. This module asks them in turn; each has its file.

mod budget;
mod instructions;
mod plot;
mod report;
mod side_by_side;
mod time;

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use serde::{Deserialize, Serialize};

use self::report::Report;
use crate::setup::{self, Mode};
use crate::workspace::{Profile, Workspace};
use crate::{build, process};

/// What to measure, and what to do with it.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Fewer and shorter rounds, fewer flows: under two minutes once everything is built
    #[arg(long)]
    quick: bool,
    /// Print one JSON object to standard output and nothing else
    #[arg(long)]
    json: bool,
    /// Only these instruments
    #[arg(long = "only", value_enum, value_name = "INSTRUMENT")]
    instruments: Vec<Instrument>,
    /// Draw the figures as SVG files into this directory
    #[arg(long, value_name = "DIRECTORY")]
    plots: Option<PathBuf>,
    /// Write the instructions measured to tests/budget.toml, where they are the new limit
    #[arg(long, conflicts_with = "quick")]
    update_budget: bool,
}

/// A way to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Instrument {
    /// Nanoseconds of a packet on this machine
    Time,
    /// Instructions of a packet in a guest
    Instructions,
    /// This balancer and others in turn
    SideBySide,
}

/// A line that `packet-cost` prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cost {
    /// What was measured.
    pub(crate) scenario: String,
    /// The median of the rounds: nanoseconds, or instructions.
    pub(crate) median: i64,
    /// The cheapest round.
    pub(crate) low: i64,
    /// The dearest round.
    pub(crate) high: i64,
}

impl Options {
    fn wants(&self, instrument: Instrument) -> bool {
        self.instruments.is_empty() || self.instruments.contains(&instrument)
    }
}

/// Measures and reports. An instrument that cannot run is reported as skipped, with the reason;
/// only where none can is that an error.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    setup::ensure(&setup::BENCH, Mode::Brief)?;
    let programs = build::programs(workspace, Profile::Release)?;
    let mut report = Report::default();
    if options.wants(Instrument::Time) {
        let rows = time::measure(&programs, options.quick);
        report.note("time", rows, Report::add_times);
    }
    if options.wants(Instrument::SideBySide) {
        let rows = side_by_side::measure(&programs, options.quick);
        report.note("side by side", rows, Report::add_comparisons);
    }
    measure_in_guests(workspace, options, &programs, &mut report)?;
    if let Some(directory) = &options.plots {
        plot::draw(&report, directory)?;
    }
    report.print(options.json)
}

/// What needs a guest. Each guest is the work of one CPU, so that two of them run at once: the
/// instructions are the same in any case, and the comparison is one of what runs in turn.
fn measure_in_guests(
    workspace: &Workspace,
    options: &Options,
    programs: &build::Programs,
    report: &mut Report,
) -> Result<()> {
    // Before any of them runs, because they share what has to be downloaded.
    let counting = options
        .wants(Instrument::Instructions)
        .then(|| instructions::prepare(programs, options.quick));
    let comparing = options
        .wants(Instrument::SideBySide)
        .then(|| side_by_side::prepare(programs, options.quick));
    let (counted, compared) = std::thread::scope(|scope| {
        let counted = scope.spawn(|| counting.map(|guest| instructions::measure(&guest?)));
        let compared = comparing.map(|guest| side_by_side::measure_in_guest(&guest?));
        (counted.join(), compared)
    });
    if let Some(measured) = counted.unwrap_or_else(|panic| std::panic::resume_unwind(panic)) {
        if options.update_budget
            && let Ok(measured) = &measured
        {
            budget::write(workspace, measured)?;
        }
        report.note("instructions", measured, |report, measured| {
            report.add_instructions(measured.costs);
        });
    }
    if let Some(rows) = compared {
        report.note("side by side with IPVS", rows, Report::add_comparisons);
    }
    Ok(())
}

/// Fails if a packet costs more instructions than tests/budget.toml allows.
pub(crate) fn keep_to_budget(workspace: &Workspace) -> Result<()> {
    let programs = build::programs(workspace, Profile::Release)?;
    let guest = instructions::prepare(&programs, false)?;
    budget::check(workspace, &instructions::measure(&guest)?)
}

/// Reads the lines that `packet-cost` prints.
fn read_costs(text: &str) -> Result<Vec<Cost>> {
    let mut costs = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let read = serde_json::from_str(line);
        costs.push(read.map_err(|error| anyhow::anyhow!("`packet-cost` printed {line}: {error}"))?);
    }
    anyhow::ensure!(!costs.is_empty(), "`packet-cost` measured nothing");
    Ok(costs)
}

/// What a program that needs root prints; what it says meanwhile goes to the terminal.
fn output_of(mut command: std::process::Command) -> Result<String> {
    process::output(command.stderr(std::process::Stdio::inherit()))
}
