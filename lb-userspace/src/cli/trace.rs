//! `lb trace`: packets of a capture through the program, attached to nothing.

use std::path::PathBuf;

use super::output::{self, Output};
use super::table::{Column, Table, cell};
use crate::trace::{self, TraceOptions, Traced};

const EXAMPLES: &str = "\
Examples:
  sudo lb trace --config lb.toml --read in.pcap
  sudo lb trace --config lb.toml --read in.pcap --write out.pcap
  sudo lb trace --config lb.toml --read in.pcap --json | jq 'select(.verdict == \"drop\")'

Flows persist from packet to packet and start empty; every backend is taken as healthy. Neither
the document's interfaces nor its next hops need to exist: what this machine cannot resolve gets
the Ethernet address 02:00:00:00:00:00.";

/// Sends the packets of a capture through the program and says what became of each.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The document.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The capture to read, pcap or pcapng, of Ethernet frames.
    #[arg(long, value_name = "PCAP")]
    read: PathBuf,
    /// Where the frames go as the program left them, one for every packet read.
    #[arg(long, value_name = "PCAP")]
    write: Option<PathBuf>,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

/// Traces the capture to its end.
pub(super) async fn run(args: Args) -> anyhow::Result<()> {
    let Args {
        config,
        read,
        write,
        json,
    } = args;
    let options = TraceOptions {
        config,
        read,
        write,
    };
    if json {
        return trace::run(&options, output::json_line).await;
    }
    let mut table = Table::new(
        [
            Column::Right("INDEX"),
            Column::Left("VERDICT"),
            Column::Left("REASON"),
            Column::Left("RULE"),
            Column::Left("SERVICE"),
            Column::Left("BACKEND"),
            Column::Left("FLOW"),
            Column::Right("IN"),
            Column::Right("OUT"),
        ],
        Output::of_process(),
    );
    let mut packets = 0_u64;
    let mut verdicts = std::collections::BTreeMap::new();
    trace::run(&options, |traced| {
        packets += 1;
        *verdicts.entry(traced.verdict).or_insert(0_u64) += 1;
        table.row(cells(traced));
        Ok(())
    })
    .await?;
    let counts: Vec<String> = verdicts
        .iter()
        .map(|(verdict, count)| format!("{count} {verdict}"))
        .collect();
    output::print(&format!(
        "{}{packets} packets: {}\n",
        table.render(),
        counts.join(", ")
    ))
}

fn cells(traced: &Traced) -> [comfy_table::Cell; 9] {
    let name = |name: &Option<String>| cell(name.as_deref().unwrap_or("-"));
    [
        cell(traced.index),
        cell(traced.verdict),
        cell(traced.reason),
        name(&traced.rule),
        name(&traced.service),
        name(&traced.backend),
        cell(if traced.new_flow { "new" } else { "-" }),
        cell(traced.length_in),
        cell(traced.length_out),
    ]
}
