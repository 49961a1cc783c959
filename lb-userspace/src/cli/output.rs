//! Where commands print, and how it may look there.

use std::env;
use std::io::{self, ErrorKind, IsTerminal as _, Write as _};

use anyhow::Context as _;
use serde::Serialize;

/// How the standard output looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Output {
    /// Tables are ruled, and a watched listing replaces the one before.
    pub(super) terminal: bool,
    /// States are coloured.
    pub(super) colour: bool,
}

impl Output {
    /// What suits this process: colours only on a terminal, and never with `NO_COLOR` set.
    pub(super) fn of_process() -> Self {
        let terminal = io::stdout().is_terminal();
        let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
        let dumb = set("TERM").is_some_and(|term| term == "dumb");
        Self {
            terminal,
            colour: terminal && !dumb && set("NO_COLOR").is_none(),
        }
    }
}

/// Prints the text as it is. A reader that is gone, as in `lb stats | head`, ends the process
/// quietly.
pub(super) fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        written => written.context("cannot write to the standard output"),
    }
}

/// Prints a value for programs: JSON that people can read as well.
pub(super) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(value).context("cannot write this as JSON")?;
    print(&(text + "\n"))
}

/// Prints one value of a stream: JSON on one line.
pub(super) fn json_line(value: &impl Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_string(value).context("cannot write this as JSON")?;
    print(&(text + "\n"))
}
