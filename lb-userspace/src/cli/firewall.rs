//! `lb firewall`: blocking sources, and what else is dropped.

use std::time::Duration;

use anyhow::Context as _;
use clap::Subcommand;
use ipnet::IpNet;
use jiff::{SignedDuration, Timestamp};

use super::output::{self, Output};
use super::table::{Column, Table, action_cell, cell};
use super::{address, changes, units};
use crate::api::client::Client;
use crate::api::types::{BlockEntry, Edit, FirewallList};

const BLOCK_EXAMPLES: &str = "\
Examples:
  lb firewall block 203.0.113.7               one address, until it is unblocked
  lb firewall block 203.0.113.0/24 --for 10m
  lb firewall block 2001:db8:bad::/48 --for 1h30m

It goes before every rule, and cuts established flows as well.";

const UNBLOCK_EXAMPLES: &str = "\
Examples:
  lb firewall unblock 203.0.113.0/24";

const LIST_EXAMPLES: &str = "\
Examples:
  lb firewall list
  lb firewall list --json | jq -r '.blocks[].prefix'";

/// Blocks sources and lists what is dropped.
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:\n  lb firewall list\n  lb firewall block --help")]
pub(super) enum Command {
    /// Drops everything from a network or address.
    #[command(after_help = BLOCK_EXAMPLES)]
    Block {
        /// The network, or one address.
        #[arg(value_parser = address::prefix)]
        prefix: IpNet,
        /// How long, like 30s, 10m, 1h30m or 2d; without it, until it is unblocked.
        #[arg(long = "for", value_name = "DURATION", value_parser = units::parse_span)]
        duration: Option<Duration>,
    },
    /// Ends a block.
    #[command(after_help = UNBLOCK_EXAMPLES)]
    Unblock {
        /// Exactly as it was blocked.
        #[arg(value_parser = address::prefix)]
        prefix: IpNet,
    },
    /// Lists blocks, rules and sets.
    #[command(after_help = LIST_EXAMPLES)]
    List {
        /// JSON instead of tables.
        #[arg(long)]
        json: bool,
    },
}

/// Runs one of them.
pub(super) async fn run(client: &Client, command: Command, output: Output) -> anyhow::Result<()> {
    let edit = match command {
        Command::Block { prefix, duration } => {
            let until = duration
                .map(|duration| end(Timestamp::now(), duration))
                .transpose()?;
            Edit::FirewallBlock { prefix, until }
        }
        Command::Unblock { prefix } => Edit::FirewallUnblock { prefix },
        Command::List { json } => {
            let list = client.firewall().await?;
            if json {
                return output::json(&list);
            }
            return output::print(&render(&list, Timestamp::now(), output));
        }
    };
    changes::edit(client, &edit).await
}

/// When something that lasts this long ends.
pub(super) fn end(now: Timestamp, duration: Duration) -> anyhow::Result<Timestamp> {
    SignedDuration::try_from(duration)
        .and_then(|duration| now.checked_add(duration))
        .context("--for is too long; leave it away to block until `lb firewall unblock`")
}

/// Blocks, rules and sets, a table each.
pub(super) fn render(list: &FirewallList, now: Timestamp, output: Output) -> String {
    [
        blocks(&list.blocks, now, output),
        rules(list, output),
        sets(list, output),
    ]
    .join("\n")
}

fn blocks(blocks: &[BlockEntry], now: Timestamp, output: Output) -> String {
    if blocks.is_empty() {
        return "nothing is blocked; block a source with `lb firewall block`\n".to_owned();
    }
    let mut table = Table::new([Column::Left("BLOCKED"), Column::Left("ENDS")], output);
    for block in blocks {
        let ends = block.until.map_or_else(
            || "when it is unblocked".to_owned(),
            |until| match Duration::try_from(until.duration_since(now)) {
                Ok(left) => format!("in {}", units::span(left)),
                Err(_) => "now".to_owned(),
            },
        );
        table.row([cell(block.prefix), cell(ends)]);
    }
    table.render()
}

fn rules(list: &FirewallList, output: Output) -> String {
    use Column::{Left, Right};
    if list.rules.is_empty() {
        return "there are no rules\n".to_owned();
    }
    let columns = [
        Left("RULE"),
        Left("MATCHES"),
        Left("ACTION"),
        Right("PACKETS"),
        Right("BYTES"),
    ];
    let mut table = Table::new(columns, output);
    for rule in &list.rules {
        table.row([
            cell(&rule.name),
            cell(&rule.matches),
            action_cell(&rule.action),
            cell(units::count(rule.packets)),
            cell(units::bytes(rule.bytes)),
        ]);
    }
    table.render()
}

fn sets(list: &FirewallList, output: Output) -> String {
    if list.sets.is_empty() {
        return "there are no sets\n".to_owned();
    }
    let mut table = Table::new([Column::Left("SET"), Column::Right("PREFIXES")], output);
    for set in &list.sets {
        table.row([cell(&set.name), cell(units::count(set.entries))]);
    }
    table.render()
}
