//! The exit codes of `lb`: part of its interface, listed by `lb --help`.
//!
//! An error gets its code here, from its type, and nowhere else; what is printed is up to `main`.

use std::error::Error;
use std::process::ExitCode;
use std::{fmt, io};

use crate::api::client::ClientError;

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
                ClientError::NotFound(_) | ClientError::Refused { .. } => Self::Failed,
            });
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
