//! The command line `lb`: what can be typed, and what each command prints.
//!
//! Commands speak to the daemon through [`Client`] and decide nothing themselves; `run`, `check`
//! and `trace` are the ones that need no daemon.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use tokio::runtime;

use crate::api::client::Client;
use crate::exit;

mod address;
mod backend;
mod changes;
mod decap;
mod doctor;
mod document;
mod firewall;
mod output;
pub mod run;
mod service;
mod stats;
mod status;
mod table;
pub mod trace;
mod units;
mod verify;

#[cfg(test)]
mod tests;

use output::Output;

const EXAMPLES: &str = "\
Examples:
  lb check lb.toml                            is the document valid?
  sudo lb run --config lb.toml                start the daemon
  lb status                                   what runs, and where
  lb stats --watch                            live counters
  lb backend add web 10.0.0.13:8080           one more backend
  sudo lb doctor                              why do packets not arrive?
  lb firewall block 203.0.113.0/24 --for 1h   drop a network for an hour";

/// Balances connections over backends and drops what the firewall forbids, in XDP.
#[derive(Debug, Parser)]
#[command(
    name = "lb",
    version,
    propagate_version = false,
    arg_required_else_help = true
)]
#[command(after_help = format!("{EXAMPLES}\n\n{}", exit::HELP))]
pub struct Cli {
    /// The daemon's socket.
    #[arg(long, global = true, env = "LB_SOCKET", value_name = "PATH")]
    #[arg(default_value = "/run/lb/lb.sock", hide_env_values = true)]
    socket: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Args),
    Status(status::Args),
    Stats(stats::Args),
    #[command(subcommand)]
    Service(service::Command),
    #[command(subcommand)]
    Backend(backend::Command),
    #[command(subcommand)]
    Firewall(firewall::Command),
    Check(document::CheckArgs),
    Diff(document::DiffArgs),
    Apply(document::ApplyArgs),
    Doctor(doctor::Args),
    Trace(trace::Args),
    Decap(decap::Args),
    #[command(hide = true)]
    InternalVerify(verify::Args),
}

/// Runs one command to its end.
pub fn run(cli: Cli) -> anyhow::Result<()> {
    let output = Output::of_process();
    // The daemon uses every core; a command only waits for one answer.
    let mut builder = match cli.command {
        Command::Run(_) => runtime::Builder::new_multi_thread(),
        _ => runtime::Builder::new_current_thread(),
    };
    let runtime = builder
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(dispatch(cli, output))
}

async fn dispatch(cli: Cli, output: Output) -> anyhow::Result<()> {
    let client = || Client::new(&cli.socket);
    match cli.command {
        Command::Run(args) => run::run(args).await,
        Command::Status(args) => status::run(&client()?, &args, output).await,
        Command::Stats(args) => stats::run(&client()?, &args, output).await,
        Command::Service(command) => service::run(&client()?, command, output).await,
        Command::Backend(command) => backend::run(&client()?, command, output).await,
        Command::Firewall(command) => firewall::run(&client()?, command, output).await,
        Command::Check(args) => document::check(&args),
        Command::Diff(args) => document::diff(&client()?, &args).await,
        Command::Apply(args) => document::apply(&client()?, args).await,
        Command::Doctor(args) => doctor::run(client, args, output).await,
        Command::Trace(args) => trace::run(args).await,
        Command::Decap(args) => decap::run(args).await,
        Command::InternalVerify(args) => verify::run(&args),
    }
}
