//! `lb trace`: packets of a capture through the program, attached to nothing.

use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  sudo lb trace --config lb.toml --read in.pcap
  sudo lb trace --config lb.toml --read in.pcap --write out.pcap
  sudo lb trace --config lb.toml --read in.pcap --json | jq 'select(.verdict == \"drop\")'

Flows persist from packet to packet and start empty; every backend is taken as healthy. Neither
the document's interfaces nor its next hops need to exist.";

/// Sends the packets of a capture through the program and says what became of each.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The document.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The capture to read.
    #[arg(long, value_name = "PCAP")]
    read: PathBuf,
    /// Where the frames go as the program left them, one for every packet read.
    #[arg(long, value_name = "PCAP")]
    write: Option<PathBuf>,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

/// What a trace is told on its command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceOptions {
    /// The document's path.
    pub config: PathBuf,
    /// The capture to read.
    pub read: PathBuf,
    /// The capture to write.
    pub write: Option<PathBuf>,
    /// One JSON object a line instead of a table.
    pub json: bool,
}

/// Traces the capture to its end.
pub(super) fn run(args: Args) -> anyhow::Result<()> {
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
        json,
    };
    Err(anyhow::anyhow!(
        "tracing is not part of this build: {options:?}"
    ))
}
