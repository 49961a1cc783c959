//! `lb run`: the daemon.

use std::path::PathBuf;

use tracing_subscriber::EnvFilter;

const EXAMPLES: &str = "\
Examples:
  sudo lb run --config lb.toml
  sudo LB_LOG=debug lb run --config lb.toml
  sudo lb run --config b.toml --runtime-dir /run/lb-b --pin-dir /sys/fs/bpf/lb-b

SIGHUP makes it read the document again; SIGTERM and Ctrl-C detach the program and end it.
LB_LOG (or RUST_LOG) says what is logged to the standard error: error, warn, info, debug, trace,
or by module: lb_userspace::health=debug.";

/// Runs the daemon in the foreground.
///
/// It loads the program, attaches it to the document's interfaces, checks backends, and answers
/// the other commands. It needs root, or the capabilities `CAP_BPF` and
/// `CAP_NET_ADMIN`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The document.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Holds the socket, lb.sock; is made if it is missing.
    #[arg(long, value_name = "DIR", default_value = "/run/lb")]
    runtime_dir: PathBuf,
    /// Where the program's link and maps are pinned, on a BPF file system.
    #[arg(long, value_name = "DIR", default_value = "/sys/fs/bpf/lb")]
    pin_dir: PathBuf,
}

/// What the daemon is told on its command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunOptions {
    /// The document's path.
    pub config: PathBuf,
    /// Holds the socket; see [`RunOptions::socket`].
    pub runtime_dir: PathBuf,
    /// Where link and maps are pinned.
    pub pin_dir: PathBuf,
}

impl RunOptions {
    /// Where the daemon listens.
    pub fn socket(&self) -> PathBuf {
        self.runtime_dir.join("lb.sock")
    }
}

/// Runs the daemon until a signal ends it.
pub(super) async fn run(args: Args) -> anyhow::Result<()> {
    log_to_stderr();
    let Args {
        config,
        runtime_dir,
        pin_dir,
    } = args;
    let options = RunOptions {
        config,
        runtime_dir,
        pin_dir,
    };
    crate::daemon::run(options).await
}

/// Starts logging, as `LB_LOG` or else `RUST_LOG` says.
fn log_to_stderr() {
    let filter = ["LB_LOG", "RUST_LOG"]
        .into_iter()
        .find_map(|name| EnvFilter::try_from_env(name).ok())
        .unwrap_or_else(|| EnvFilter::new("info"));
    let colour = std::io::IsTerminal::is_terminal(&std::io::stderr())
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(colour)
        .with_writer(std::io::stderr)
        .init();
}
