//! The binary `side-by-side`: compares this balancer with others on this machine.
//!
//! Rows go to standard output, as a table or as JSON; what is going on, to standard error. `serve`
//! is the backends' server. All else is in the library.

use std::net::SocketAddrV6;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use lb_tests::lab::beside_this_program;
use lb_tests::side_by_side::{self, Options, Peer, Row, Scenario};
use tokio::signal::unix::{SignalKind, signal};

/// What a shell reports for a program that Ctrl-C ended.
const INTERRUPTED: i32 = 130;

/// Compare this balancer with nftables, haproxy and IPVS, side by side on this machine.
#[derive(Debug, Parser)]
#[command(name = "side-by-side", args_conflicts_with_subcommands = true)]
struct Arguments {
    /// The `lb` binary to measure; the one beside this program unless given.
    #[arg(long, value_name = "PATH")]
    lb: Option<PathBuf>,
    /// Compare only with this peer, and fail if it is not there.
    #[arg(long)]
    peer: Option<Peer>,
    /// Make only this comparison; may be given more than once.
    #[arg(long = "scenario", value_name = "SCENARIO")]
    scenarios: Vec<Scenario>,
    /// A few short rounds.
    #[arg(long)]
    quick: bool,
    /// Print rows as a JSON array.
    #[arg(long)]
    json: bool,
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
        /// HTTP over TCP.
        #[arg(long)]
        listen: SocketAddrV6,
        /// Where a lab's server would echo; nobody asks for it here.
        #[arg(long)]
        echo: Option<SocketAddrV6>,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match &arguments.command {
        Some(Command::Serve { name, listen, .. }) => side_by_side::serve(name, *listen),
        None => compare(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn compare(arguments: &Arguments) -> Result<()> {
    let lb = match &arguments.lb {
        Some(path) => path.clone(),
        None => beside_this_program("lb")?,
    };
    let server = std::env::current_exe().context("cannot tell which program this is")?;
    let mut options = Options::new(lb, server, arguments.quick);
    options.scenarios.clone_from(&arguments.scenarios);
    options.peer = arguments.peer;
    let rows = side_by_side::run(&options, &*stop_on_signal()?)?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&rows)?);
    } else {
        println!("{}", table(&rows));
    }
    Ok(())
}

fn table(rows: &[Row]) -> Table {
    let mut table = Table::new();
    table
        .load_style(NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header([
            "SCENARIO", "PEER", "LB", "PEER'S", "UNIT", "RATIO", "LOW", "HIGH", "ROUNDS",
        ]);
    for row in rows {
        table.add_row([
            row.scenario.clone(),
            row.peer.clone(),
            format!("{:.0}", row.ours_per_second),
            format!("{:.0}", row.peer_per_second),
            row.unit.to_owned(),
            format!("{:.2}", row.ratio),
            format!("{:.2}", row.ratio_low),
            format!("{:.2}", row.ratio_high),
            row.rounds.to_string(),
        ]);
    }
    for index in [2, 3, 5, 6, 7, 8] {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// Turns true at the first Ctrl-C, SIGTERM or hang-up; the second ends the process at once, and
/// the next lab removes what it leaves.
fn stop_on_signal() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&stop);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let listen = |kind| {
        let _inside = runtime.enter();
        signal(kind).context("cannot listen to signals")
    };
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    let mut hang_up = listen(SignalKind::hangup())?;
    thread::spawn(move || {
        runtime.block_on(async {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                    _ = hang_up.recv() => {}
                }
                if seen.swap(true, Ordering::Relaxed) {
                    std::process::exit(INTERRUPTED);
                }
                eprintln!("side-by-side: ending; once more to leave at once");
            }
        });
    });
    Ok(stop)
}
