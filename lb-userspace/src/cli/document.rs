//! `lb check`, `lb diff`, `lb apply`: whole documents, from a file or the standard input.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::changes;
use super::output;
use crate::api::client::Client;
use crate::api::types::Replace;
use crate::document::Document;
use crate::exit::{Exit, ExitWith as _};

const CHECK_EXAMPLES: &str = "\
Examples:
  lb check lb.toml
  generate | lb check -

Needs no daemon and no privilege. What only the running system can tell, such as whether an
interface exists, is told by `lb diff`.";

const DIFF_EXAMPLES: &str = "\
Examples:
  lb diff lb.toml
  generate | lb diff -";

const APPLY_EXAMPLES: &str = "\
Examples:
  lb apply lb.toml
  generate | lb apply -
  lb apply lb.toml --base 3f9c2a1b0d4e     only if nobody changed the document since

The daemon answers once the change is in the kernel and on disk. `lb status` shows the revision.";

/// Says whether a document is valid, without the daemon.
#[derive(Debug, clap::Args)]
#[command(after_help = CHECK_EXAMPLES)]
pub(super) struct CheckArgs {
    /// The document; - is the standard input.
    file: PathBuf,
}

/// Shows what applying a document would change.
#[derive(Debug, clap::Args)]
#[command(after_help = DIFF_EXAMPLES)]
pub(super) struct DiffArgs {
    /// The document; - is the standard input.
    file: PathBuf,
}

/// Makes a document the running one.
#[derive(Debug, clap::Args)]
#[command(after_help = APPLY_EXAMPLES)]
pub(super) struct ApplyArgs {
    /// The document; - is the standard input.
    file: PathBuf,
    /// Fail unless the running document still has this revision.
    #[arg(long, value_name = "REVISION")]
    base: Option<String>,
}

/// Parses a document and says what it holds.
pub(super) fn check(args: &CheckArgs) -> anyhow::Result<()> {
    let text = read(&args.file)?;
    let origin = origin(&args.file);
    let document = parse(&text, &origin).exit_with(Exit::InvalidDocument)?;
    for warning in document.warnings() {
        eprintln!("warning: {warning}");
    }
    output::print(&format!("{origin}: valid: {}\n", summary(&document)))
}

/// Asks the daemon what would change.
pub(super) async fn diff(client: &Client, args: &DiffArgs) -> anyhow::Result<()> {
    let changed = client.diff(&replacement(&args.file, None)?).await?;
    output::print(&changes::text(&changed))
}

/// Hands the document to the daemon.
pub(super) async fn apply(client: &Client, args: ApplyArgs) -> anyhow::Result<()> {
    let changed = client.replace(&replacement(&args.file, args.base)?).await?;
    output::print(&changes::text(&changed))
}

fn parse(text: &str, origin: &str) -> anyhow::Result<Document> {
    Ok(crate::document::parse(text, origin)?)
}

fn replacement(file: &Path, base: Option<String>) -> anyhow::Result<Replace> {
    Ok(Replace {
        text: read(file)?,
        base,
        origin: Some(origin(file)),
    })
}

/// What a user calls the text.
fn origin(file: &Path) -> String {
    if is_stdin(file) {
        "standard input".to_owned()
    } else {
        file.display().to_string()
    }
}

fn is_stdin(file: &Path) -> bool {
    file.as_os_str() == "-"
}

fn read(file: &Path) -> anyhow::Result<String> {
    let text = if is_stdin(file) {
        let mut text = String::new();
        io::stdin().lock().read_to_string(&mut text).map(|_| text)
    } else {
        fs::read_to_string(file)
    };
    text.with_context(|| format!("cannot read {}", origin(file)))
}

/// What a document holds, in one line.
pub(super) fn summary(document: &Document) -> String {
    let backends = document
        .services
        .iter()
        .map(|service| service.backends.len())
        .sum();
    let firewall = &document.firewall;
    [
        (document.interfaces.len(), "interface"),
        (document.services.len(), "service"),
        (backends, "backend"),
        (firewall.rules.len(), "rule"),
        (firewall.sets.len(), "set"),
        (firewall.blocks.len(), "block"),
    ]
    .map(|(number, name)| format!("{number} {name}{}", if number == 1 { "" } else { "s" }))
    .join(", ")
}
