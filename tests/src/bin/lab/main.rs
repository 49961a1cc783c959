//! The binary `lab`.

use std::net::SocketAddrV6;

use anyhow::Result;
use clap::{Parser, Subcommand};
use lb_tests::lab::server::Server;

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// A backend's server; the lab starts it by itself.
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

fn main() -> Result<()> {
    match Arguments::parse().command {
        Some(Command::Serve { name, listen, echo }) => {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(Server { name, listen, echo }.run())
        }
        None => Ok(()),
    }
}
