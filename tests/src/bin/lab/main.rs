//! The binary `lab`: what `cargo xtask run` starts.
//!
//! Without a subcommand it shows the balancer at work between network namespaces; `serve` is the
//! backends' server. All that can be reused is in the library.

mod demo;
mod phase;
mod screen;
mod script;
mod setup;
mod summary;
mod verdict;

use std::net::SocketAddrV6;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::{Parser, Subcommand};
use lb_tests::lab::server::Server;

/// Watch real connections being spread over real backends, and an attacker getting nothing.
#[derive(Debug, Parser)]
#[command(name = "lab", args_conflicts_with_subcommands = true)]
struct Arguments {
    /// End after this time with a summary and a verdict, such as `20s` or `2m`; otherwise on
    /// Ctrl-C.
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    time: Option<Duration>,
    /// The `lb` binary to run; the one beside this program unless given.
    #[arg(long, value_name = "PATH")]
    lb: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// A backend's server; the lab starts it by itself.
    #[command(hide = true)]
    Serve {
        /// The name to answer with.
        #[arg(long)]
        name: String,
        /// HTTP over TCP and echo over UDP.
        #[arg(long)]
        listen: SocketAddrV6,
        /// Echo over TCP.
        #[arg(long)]
        echo: SocketAddrV6,
    },
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    match arguments.command {
        Some(Command::Serve { name, listen, echo }) => {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(Server { name, listen, echo }.run())?;
            Ok(ExitCode::SUCCESS)
        }
        None => demo::run(arguments.lb, arguments.time),
    }
}

/// A whole number of seconds or minutes, long enough for the script: 10 seconds to a day.
fn duration(text: &str) -> Result<Duration> {
    let (number, unit) = text.split_at(text.len() - usize::from(text.ends_with(['s', 'm'])));
    let minutes = if unit == "m" { 60 } else { 1 };
    let seconds = number.parse::<u64>()?.saturating_mul(minutes);
    ensure!(
        (10..=86_400).contains(&seconds),
        "between 10s and 1440m, so that the script fits"
    );
    Ok(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    #[test]
    fn durations_are_seconds_or_minutes() {
        assert_eq!(duration("20s").unwrap(), Duration::from_secs(20));
        assert_eq!(duration("20").unwrap(), Duration::from_secs(20));
        assert_eq!(duration("2m").unwrap(), Duration::from_mins(2));
        for wrong in ["", "s", "9s", "-20s", "20h", "1441m"] {
            duration(wrong).unwrap_err();
        }
    }
}
