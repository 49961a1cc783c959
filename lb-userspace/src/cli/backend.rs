//! `lb backend`: adding, removing, draining and listing backends.

use std::net::SocketAddr;

use clap::Subcommand;
use serde::Serialize;

use super::changes::no_such_service;
use super::output::{self, Output};
use super::table::{Column, Table, cell, state_cell};
use super::{address, changes};
use crate::api::client::{Client, ClientError};
use crate::api::types::{BackendStats, Edit, ServiceStats, Stats};

const ADD_EXAMPLES: &str = "\
Examples:
  lb backend add web 10.0.0.13:8080
  lb backend add web '[2001:db8::13]:8080' --weight 5";

const REMOVE_EXAMPLES: &str = "\
Examples:
  lb backend remove web 10.0.0.13:8080

Its flows move to other backends at once; `lb backend drain` lets them end first.";

const DRAIN_EXAMPLES: &str = "\
Examples:
  lb backend drain web 10.0.0.13:8080
  lb stats --watch                            until it has no more packets";

const ENABLE_EXAMPLES: &str = "\
Examples:
  lb backend enable web 10.0.0.13:8080";

const LIST_EXAMPLES: &str = "\
Examples:
  lb backend list
  lb backend list web
  lb backend list --json | jq -r '.[] | select(.state == \"down\") | .address'";

/// Adds, removes, drains and lists backends.
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:\n  lb backend list\n  lb backend add --help")]
pub(super) enum Command {
    /// Adds a backend to a service.
    #[command(after_help = ADD_EXAMPLES)]
    Add {
        #[command(flatten)]
        which: Which,
        /// Share of new connections under weighted-round-robin, 1 to 1000.
        #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1000))]
        weight: Option<u16>,
    },
    /// Removes a backend.
    #[command(after_help = REMOVE_EXAMPLES)]
    Remove(Which),
    /// Gives a backend no new connections; it keeps its flows.
    #[command(after_help = DRAIN_EXAMPLES)]
    Drain(Which),
    /// Ends a drain.
    #[command(after_help = ENABLE_EXAMPLES)]
    Enable(Which),
    /// Lists backends with their states.
    #[command(after_help = LIST_EXAMPLES)]
    List {
        /// Only this service's backends.
        service: Option<String>,
        /// JSON instead of a table.
        #[arg(long)]
        json: bool,
    },
}

/// One backend of one service.
#[derive(Debug, clap::Args)]
pub(super) struct Which {
    /// The service's name.
    service: String,
    /// ADDRESS:PORT; IPv6 in brackets, port 0 keeps each packet's port.
    #[arg(value_parser = address::backend)]
    address: SocketAddr,
}

/// One backend as `--json` lists it.
#[derive(Debug, Serialize)]
struct Listed<'a> {
    service: &'a str,
    #[serde(flatten)]
    backend: &'a BackendStats,
}

/// Runs one of them.
pub(super) async fn run(client: &Client, command: Command, output: Output) -> anyhow::Result<()> {
    let edit = match command {
        Command::Add {
            which: Which { service, address },
            weight,
        } => Edit::BackendAdd {
            service,
            address,
            weight,
        },
        Command::Remove(Which { service, address }) => Edit::BackendRemove { service, address },
        Command::Drain(Which { service, address }) => Edit::BackendDrain { service, address },
        Command::Enable(Which { service, address }) => Edit::BackendEnable { service, address },
        Command::List { service, json } => {
            let stats = client.stats().await?;
            let services = chosen(&stats, service.as_deref())?;
            if json {
                return output::json(&listed(&services));
            }
            return output::print(&render(&services, output));
        }
    };
    changes::edit(client, &edit).await
}

/// The service of this name; all of them without one.
pub(super) fn chosen<'a>(
    stats: &'a Stats,
    name: Option<&str>,
) -> Result<Vec<&'a ServiceStats>, ClientError> {
    let all = stats.services.iter();
    let Some(name) = name else {
        return Ok(all.collect());
    };
    let found: Vec<_> = all.clone().filter(|service| service.name == name).collect();
    if found.is_empty() {
        let names: Vec<_> = all.map(|service| service.name.as_str()).collect();
        return Err(no_such_service(name, &names));
    }
    Ok(found)
}

fn listed<'a>(services: &[&'a ServiceStats]) -> Vec<Listed<'a>> {
    let entries = services.iter().flat_map(|service| {
        service.backends.iter().map(|backend| Listed {
            service: &service.name,
            backend,
        })
    });
    entries.collect()
}

/// The table of backends.
pub(super) fn render(services: &[&ServiceStats], output: Output) -> String {
    use Column::{Left, Right};
    let columns = [
        Left("SERVICE"),
        Left("BACKEND"),
        Left("STATE"),
        Right("WEIGHT"),
        Left("NEXT HOP"),
        Right("MTU"),
        Left("DETAIL"),
    ];
    let mut table = Table::new(columns, output);
    for Listed { service, backend } in listed(services) {
        table.row([
            cell(service),
            cell(backend.address),
            state_cell(backend.state),
            cell(backend.weight),
            cell(backend.next_hop.as_deref().unwrap_or("unresolved")),
            cell(backend.mtu.map_or("-".to_owned(), |mtu| mtu.to_string())),
            cell(&backend.detail),
        ]);
    }
    table.render()
}
