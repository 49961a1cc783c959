//! Why the daemon does not do what was asked.

use std::path::PathBuf;

use crate::api::control::ControlError;
use crate::compile::CompileError;
use crate::dataplane::DataplaneError;
use crate::document::{DocumentError, EditError};
use crate::health::HealthError;
use crate::route::RouteError;

/// Why a change was not made, or the daemon not started. The running state is as it was.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The document is wrong.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// The edit is wrong.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// The document is right in itself but asks for too much.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// The kernel refuses.
    #[error(transparent)]
    Dataplane(#[from] DataplaneError),
    /// Health checks cannot run.
    #[error(transparent)]
    Health(#[from] HealthError),
    /// Netlink cannot be used.
    #[error(transparent)]
    Route(#[from] RouteError),
    /// The change started from another revision.
    #[error(
        "the document has changed since (it is at revision {running}, the change started from \
         {base}); look at `lb diff`, and apply again"
    )]
    Stale {
        /// The running revision.
        running: String,
        /// The change's.
        base: String,
    },
    /// Somebody changed the file.
    #[error(
        "{} was changed by hand since it was read; take the file's text with `lb apply {}` (or \
         SIGHUP to the daemon), then make the change again", .0.display(), .0.display()
    )]
    Overwritten(PathBuf),
    /// What only a restart can change.
    #[error("`{0}` only takes effect at the start; stop the daemon, change the file, start it")]
    NeedsRestart(&'static str),
    /// A file operation failed.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// What happened.
        source: std::io::Error,
    },
}

impl From<DaemonError> for ControlError {
    fn from(error: DaemonError) -> Self {
        let text = error.to_string();
        match error {
            DaemonError::Document(_) | DaemonError::Compile(_) | DaemonError::NeedsRestart(_) => {
                Self::Invalid(text)
            }
            DaemonError::Edit(EditError::NoService { .. } | EditError::NoBackend { .. }) => {
                Self::NotFound(text)
            }
            DaemonError::Edit(_) => Self::Invalid(text),
            DaemonError::Stale { .. } | DaemonError::Overwritten(_) => Self::Conflict(text),
            _ => Self::Refused(text),
        }
    }
}
