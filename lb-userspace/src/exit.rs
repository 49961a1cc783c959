//! The exit codes of `lb`: part of its interface, listed by `lb --help`.
//!
//! An error gets its code here, from its type, and nowhere else; what is printed is up to `main`.

use std::error::Error;
use std::process::ExitCode;
use std::{fmt, io};

use crate::api::client::ClientError;
use crate::daemon::DaemonError;
use crate::dataplane::DataplaneError;
use crate::doctor::DoctorError;
use crate::trace::TraceError;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// It did what it was asked.
    Done = 0,
    /// It failed, for none of the reasons below.
    Failed = 1,
    /// It was called wrongly.
    Usage = 2,
    /// The document is not, or would not be, valid.
    InvalidDocument = 3,
    /// There is no daemon, or it does not answer.
    Unreachable = 4,
    /// Somebody else changed the document in between.
    Conflict = 5,
    /// It takes more privilege.
    Privilege = 6,
}

/// The list for `lb --help`.
pub const HELP: &str = "\
Exit codes:
  0  it did what it was asked
  1  it failed
  2  it was called wrongly
  3  the document is not valid, or would not be
  4  the daemon is not running, or does not answer
  5  somebody else changed the document in between
  6  it takes more privilege: use sudo";

/// An error with a code that its type does not tell. It reads like the error itself.
#[derive(Debug)]
struct Coded {
    exit: Exit,
    error: Box<dyn Error + Send + Sync>,
}

impl fmt::Display for Coded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl Error for Coded {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.error.source()
    }
}

/// Gives an error its exit code.
pub trait ExitWith<T> {
    /// The same outcome; a failure ends the process with this code.
    fn exit_with(self, exit: Exit) -> anyhow::Result<T>;
}

impl<T, E: Into<anyhow::Error>> ExitWith<T> for Result<T, E> {
    fn exit_with(self, exit: Exit) -> anyhow::Result<T> {
        self.map_err(|error| {
            let error = error.into().into();
            Coded { exit, error }.into()
        })
    }
}

impl Exit {
    /// The code for an error, by the first error in its chain that tells.
    pub fn of(error: &anyhow::Error) -> Self {
        error
            .chain()
            .find_map(Self::of_cause)
            .unwrap_or(Self::Failed)
    }

    fn of_cause(cause: &(dyn Error + 'static)) -> Option<Self> {
        if let Some(coded) = cause.downcast_ref::<Coded>() {
            return Some(coded.exit);
        }
        if let Some(error) = cause.downcast_ref::<ClientError>() {
            return Some(match error {
                ClientError::NotRunning(_)
                | ClientError::Stale(_)
                | ClientError::Transport { .. }
                | ClientError::Stopping(_) => Self::Unreachable,
                ClientError::Permission(_) => Self::Privilege,
                ClientError::Invalid(_) => Self::InvalidDocument,
                ClientError::Conflict(_) => Self::Conflict,
                ClientError::NotFound(_)
                | ClientError::TooLarge
                | ClientError::Encode(_)
                | ClientError::Refused { .. } => Self::Failed,
            });
        }
        if let Some(error) = cause.downcast_ref::<DaemonError>() {
            return match error {
                DaemonError::Document(_) | DaemonError::Compile(_) => Some(Self::InvalidDocument),
                DaemonError::Dataplane(DataplaneError::Privilege) => Some(Self::Privilege),
                _ => None,
            };
        }
        if let Some(DoctorError::Program(error)) = cause.downcast_ref() {
            return Self::of_cause(error);
        }
        if let Some(TraceError::Document(_) | TraceError::Compile(_)) = cause.downcast_ref() {
            return Some(Self::InvalidDocument);
        }
        if let Some(TraceError::Dataplane(DataplaneError::Privilege)) = cause.downcast_ref() {
            return Some(Self::Privilege);
        }
        if let Some(DataplaneError::Privilege) = cause.downcast_ref() {
            return Some(Self::Privilege);
        }
        let error = cause.downcast_ref::<io::Error>()?;
        (error.kind() == io::ErrorKind::PermissionDenied).then_some(Self::Privilege)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::expect_used, reason = "a test fails by panicking")]

    use anyhow::{Context as _, anyhow};

    use super::*;

    #[test]
    fn the_first_error_that_tells_decides() {
        let denied = || io::Error::from(io::ErrorKind::PermissionDenied);
        let missing = || io::Error::from(io::ErrorKind::NotFound);
        let invalid = || Err::<(), _>(anyhow!("bad")).exit_with(Exit::InvalidDocument);
        for (error, exit) in [
            (anyhow!("something"), Exit::Failed),
            (anyhow!(missing()), Exit::Failed),
            (
                anyhow!(denied()).context("cannot load the program"),
                Exit::Privilege,
            ),
            (
                invalid().context("lb.toml").expect_err("it is one"),
                Exit::InvalidDocument,
            ),
            (
                Err::<(), _>(denied())
                    .exit_with(Exit::Conflict)
                    .expect_err("it is one"),
                Exit::Conflict,
            ),
            (
                anyhow!(ClientError::Permission("/s".into())),
                Exit::Privilege,
            ),
            (
                anyhow!(ClientError::NotRunning("/s".into())),
                Exit::Unreachable,
            ),
            (anyhow!(ClientError::TooLarge), Exit::Failed),
        ] {
            assert_eq!(Exit::of(&error), exit, "{error:?}");
        }
    }

    #[test]
    fn a_code_changes_nothing_of_what_is_printed() {
        let error = || anyhow!("root").context("middle").context("top");
        let coded = Err::<(), _>(error())
            .exit_with(Exit::Usage)
            .expect_err("it is one");
        assert_eq!(format!("{coded:#}"), format!("{:#}", error()));
    }

    #[test]
    fn the_help_lists_every_code() {
        for exit in [
            Exit::Done,
            Exit::Failed,
            Exit::Usage,
            Exit::InvalidDocument,
            Exit::Unreachable,
            Exit::Conflict,
            Exit::Privilege,
        ] {
            assert!(HELP.contains(&format!("\n  {}  ", exit as u8)), "{exit:?}");
        }
    }
}
