//! `lb stats`: every counter, once or again and again with rates.

mod view;

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::output::{self, Output};
use super::units;
use crate::api::client::Client;

pub(super) use view::{View, render};

const EXAMPLES: &str = "\
Examples:
  lb stats
  lb stats --watch                            with rates, every second
  lb stats --watch --interval 5s
  lb stats --all                              also reasons that never occurred
  lb stats --json | jq '.services[].traffic'
  lb stats --watch --json                     one object a line, forever";

/// Clears a terminal from its upper left corner on.
const CLEAR: &str = "\u{1b}[H\u{1b}[J";

/// Shows counters by service and backend, by rule, and by reason.
///
/// IN is from clients to backends, OUT is back; replies of `dsr` services do not pass here.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Again and again, with rates.
    #[arg(long)]
    watch: bool,
    /// Time between two readings.
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "1s",
        requires = "watch"
    )]
    #[arg(value_parser = units::parse_span)]
    interval: Duration,
    /// Also reasons that never occurred.
    #[arg(long)]
    all: bool,
    /// JSON instead of tables.
    #[arg(long)]
    json: bool,
}

/// Reads and prints, once or until interrupted.
pub(super) async fn run(client: &Client, args: &Args, output: Output) -> anyhow::Result<()> {
    if args.watch {
        return watch(client, args, output).await;
    }
    let stats = client.stats().await?;
    if args.json {
        return output::json(&stats);
    }
    output::print(&render(
        &stats,
        View {
            before: None,
            all: args.all,
            rates: false,
        },
        output,
    ))
}

async fn watch(client: &Client, args: &Args, output: Output) -> anyhow::Result<()> {
    let mut ticks = interval(args.interval);
    // After a stall one reading is enough: rates go by the time between two readings.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut before = None;
    loop {
        ticks.tick().await;
        let stats = client.stats().await?;
        if args.json {
            output::json_line(&stats)?;
            continue;
        }
        let view = View {
            before: before.as_ref(),
            all: args.all,
            rates: true,
        };
        let text = render(&stats, view, output);
        output::print(&if output.terminal {
            format!("{CLEAR}{text}")
        } else {
            text + "\n"
        })?;
        before = Some(stats);
    }
}
