//! `lb internal-verify`: how much of the verifier's budget the program takes, for `cargo xtask`.

/// Loads the program and prints what the verifier counted.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// JSON instead of text.
    #[arg(long)]
    json: bool,
}

/// Loads the program, attaches it to nothing, and prints the verifier's figures.
pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    Err(anyhow::anyhow!(
        "verifying is not part of this build (json: {})",
        args.json
    ))
}
