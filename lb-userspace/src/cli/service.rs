//! `lb service`: adding, removing and listing services.

use std::net::SocketAddr;

use clap::Subcommand;

use super::output::{self, Output};
use super::table::{Column, Table, cell};
use super::{address, changes, units};
use crate::api::client::Client;
use crate::api::types::{BackendState, Edit, Stats};

const ADD_EXAMPLES: &str = "\
Examples:
  lb service add web 192.0.2.10:80/tcp --backend 10.0.0.11:8080 --backend 10.0.0.12:8080
  lb service add dns 192.0.2.53:53/udp --backend 10.0.0.53:53 --forward dsr
  lb service add api '[2001:db8::10]:443/tcp' --backend '[2001:db8:1::1]:443' \\
      --scheduler weighted-round-robin --check https:/healthz";

const REMOVE_EXAMPLES: &str = "\
Examples:
  lb service remove web";

const LIST_EXAMPLES: &str = "\
Examples:
  lb service list
  lb service list --json | jq -r '.[].name'";

/// Adds, removes and lists services.
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:\n  lb service list\n  lb service add --help")]
pub(super) enum Command {
    /// Adds a service with its backends.
    #[command(after_help = ADD_EXAMPLES)]
    Add {
        /// A name that no other service has; counters go by it.
        name: String,
        /// ADDRESS:PORT/PROTOCOL as clients use it; IPv6 in brackets, port 0 for any.
        vip: String,
        /// A backend's ADDRESS:PORT; once for each backend.
        #[arg(long = "backend", required = true, value_name = "ADDRESS")]
        #[arg(value_parser = address::backend)]
        backends: Vec<SocketAddr>,
        /// How a new connection's backend is picked: round-robin (default) or
        /// weighted-round-robin.
        #[arg(long)]
        scheduler: Option<String>,
        /// How packets reach the backend: full-nat (default), nat, dsr, ipip or gue.
        #[arg(long, value_name = "MODE")]
        forward: Option<String>,
        /// How backends are probed: `tcp`, `http:/path` or `https:/path`. Without it, every backend is
        /// taken as healthy.
        #[arg(long)]
        check: Option<String>,
    },
    /// Removes a service; its flows end.
    #[command(after_help = REMOVE_EXAMPLES)]
    Remove {
        /// The service's name.
        name: String,
    },
    /// Lists services.
    #[command(after_help = LIST_EXAMPLES)]
    List {
        /// JSON instead of a table.
        #[arg(long)]
        json: bool,
    },
}

/// Runs one of them.
pub(super) async fn run(client: &Client, command: Command, output: Output) -> anyhow::Result<()> {
    let edit = match command {
        Command::Add {
            name,
            vip,
            backends,
            scheduler,
            forward,
            check,
        } => Edit::ServiceAdd {
            name,
            vip,
            scheduler,
            forward,
            check,
            backends,
        },
        Command::Remove { name } => Edit::ServiceRemove { name },
        Command::List { json } => {
            let stats = client.stats().await?;
            if json {
                return output::json(&stats.services);
            }
            return output::print(&render(&stats, output));
        }
    };
    changes::edit(client, &edit).await
}

/// The table of services.
pub(super) fn render(stats: &Stats, output: Output) -> String {
    use Column::{Left, Right};
    if stats.services.is_empty() {
        return "there are no services; add one with `lb service add`\n".to_owned();
    }
    let columns = [
        Left("SERVICE"),
        Left("VIP"),
        Left("SCHEDULER"),
        Left("FORWARD"),
        Right("UP"),
        Right("BACKENDS"),
        Right("CONNECTIONS"),
    ];
    let mut table = Table::new(columns, output);
    for service in &stats.services {
        let up = service
            .backends
            .iter()
            .filter(|it| it.state == BackendState::Up)
            .count();
        table.row([
            cell(&service.name),
            cell(&service.vip),
            cell(&service.scheduler),
            cell(&service.forward),
            cell(up),
            cell(service.backends.len()),
            cell(units::count(service.traffic.connections)),
        ]);
    }
    table.render()
}
