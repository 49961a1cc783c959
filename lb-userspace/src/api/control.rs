//! What the interface asks of the controller behind it.
//!
//! This file knows neither HTTP nor sockets; a fake of [`Control`] is all that the server's tests
//! need.

use std::future::Future;

use super::types::{Changed, DocumentText, Edit, FirewallList, Replace, Stats, Status};

/// The controller, as its interface sees it. A clone is another handle on the same controller.
///
/// A change runs to its end once it has begun, even if whoever asked for it is gone.
pub trait Control: Clone + Send + Sync + 'static {
    /// What runs, where, and how full its tables are.
    fn status(&self) -> impl Future<Output = Result<Status, ControlError>> + Send;

    /// Every counter.
    fn stats(&self) -> impl Future<Output = Result<Stats, ControlError>> + Send;

    /// What is dropped.
    fn firewall(&self) -> impl Future<Output = Result<FirewallList, ControlError>> + Send;

    /// The running document.
    fn document(&self) -> impl Future<Output = Result<DocumentText, ControlError>> + Send;

    /// Whether the text would be taken, without taking it.
    fn check(&self, wanted: Replace) -> impl Future<Output = Result<(), ControlError>> + Send;

    /// What taking the text would change, without taking it.
    fn diff(&self, wanted: Replace) -> impl Future<Output = Result<Changed, ControlError>> + Send;

    /// Takes the text as the new document.
    fn replace(
        &self,
        wanted: Replace,
    ) -> impl Future<Output = Result<Changed, ControlError>> + Send;

    /// Makes one change of the running document.
    fn edit(&self, edit: Edit) -> impl Future<Output = Result<Changed, ControlError>> + Send;
}

/// Why the controller did not do what it was asked. The running state is as it was.
///
/// Each text tells the user what was wrong, where, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// The document would not be valid.
    #[error("{0}")]
    Invalid(String),
    /// The change started from a revision that is no longer the running one.
    #[error("{0}")]
    Conflict(String),
    /// What the change names does not exist.
    #[error("{0}")]
    NotFound(String),
    /// The kernel or the disk refused.
    #[error("{0}")]
    Refused(String),
    /// The daemon is about to end.
    #[error("the daemon is stopping and takes no more requests; start it again with `lb run`")]
    Stopping,
}
