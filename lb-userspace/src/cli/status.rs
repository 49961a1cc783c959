//! `lb status`: what runs, where, how full its tables are, and what is amiss.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::output::{self, Output};
use super::table::{Column, Table, cell, heading};
use super::units;
use crate::api::client::Client;
use crate::api::types::Status;

const EXAMPLES: &str = "\
Examples:
  lb status
  lb status --json | jq -r '.interfaces[] | \"\\(.name) \\(.mode)\"'";

/// Shows what the daemon runs, where, and what is amiss.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// JSON instead of text.
    #[arg(long)]
    json: bool,
}

/// Asks and prints.
pub(super) async fn run(client: &Client, args: &Args, output: Output) -> anyhow::Result<()> {
    let status = client.status().await?;
    if args.json {
        return output::json(&status);
    }
    output::print(&render(&status, Timestamp::now(), output))
}

/// The whole status as text.
pub(super) fn render(status: &Status, now: Timestamp, output: Output) -> String {
    let features = if status.features.is_empty() {
        "none".to_owned()
    } else {
        status.features.join(", ")
    };
    let running = std::time::Duration::try_from(now.duration_since(status.started));
    let lines = [
        (
            "daemon",
            format!("lb {}, pid {}", status.version, status.pid),
        ),
        (
            "running",
            format!(
                "{}, since {}",
                units::span(running.unwrap_or_default()),
                status.started
            ),
        ),
        ("kernel", status.kernel.clone()),
        ("document", status.document.clone()),
        ("revision", status.revision.clone()),
        ("generation", status.generation.to_string()),
        ("features", features),
    ];
    let mut text = String::new();
    for (name, value) in lines {
        // Writing to a string cannot fail.
        _ = writeln!(text, "{name:<12}{value}");
    }
    text.push('\n');
    text.push_str(&interfaces(status, output));
    text.push('\n');
    text.push_str(&tables(status, output));
    if !status.warnings.is_empty() {
        text.push('\n');
        text.push_str(&heading("Warnings", output));
        for warning in &status.warnings {
            _ = writeln!(text, "- {warning}");
        }
    }
    text
}

fn interfaces(status: &Status, output: Output) -> String {
    use Column::{Left, Right};
    let columns = [Left("INTERFACE"), Right("INDEX"), Left("MODE"), Left("WHY")];
    let mut table = Table::new(columns, output);
    for interface in &status.interfaces {
        table.row([
            cell(&interface.name),
            cell(interface.index),
            cell(&interface.mode),
            cell(&interface.why),
        ]);
    }
    table.render()
}

fn tables(status: &Status, output: Output) -> String {
    use Column::{Left, Right};
    let columns = [Left("TABLE"), Right("USED"), Right("LIMIT"), Right("FULL")];
    let mut table = Table::new(columns, output);
    for usage in &status.usage {
        // A used entry is never shown as nothing, nor a free one as a full table.
        let percent = u128::from(usage.used) * 100 / u128::from(usage.limit.max(1));
        let full = match percent {
            0 if usage.used > 0 => "<1%".to_owned(),
            percent => format!("{percent}%"),
        };
        table.row([
            cell(&usage.name),
            cell(units::count(usage.used)),
            cell(units::count(usage.limit)),
            cell(full),
        ]);
    }
    table.render()
}
