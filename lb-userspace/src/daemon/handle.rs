//! The controller as the interface sees it: requests over a channel, answered one at a time.

use tokio::sync::{mpsc, oneshot};

use crate::api::control::{Control, ControlError};
use crate::api::types::{Changed, DocumentText, Edit, FirewallList, Replace, Stats, Status};

type Answer<T> = oneshot::Sender<Result<T, ControlError>>;

/// A question or a change, and where the answer goes.
#[derive(Debug)]
pub(super) enum Request {
    Status(Answer<Status>),
    Stats(Answer<Stats>),
    Firewall(Answer<FirewallList>),
    Document(Answer<DocumentText>),
    Check(Replace, Answer<()>),
    Diff(Replace, Answer<Changed>),
    Replace(Replace, Answer<Changed>),
    Edit(Edit, Answer<Changed>),
}

/// Sends requests to the controller.
#[derive(Debug, Clone)]
pub(super) struct Handle {
    requests: mpsc::Sender<Request>,
}

impl Handle {
    pub(super) fn new(requests: mpsc::Sender<Request>) -> Self {
        Self { requests }
    }

    async fn ask<T>(&self, request: impl FnOnce(Answer<T>) -> Request) -> Result<T, ControlError> {
        let (sender, answer) = oneshot::channel();
        let sent = self.requests.send(request(sender)).await;
        sent.map_err(|_| ControlError::Stopping)?;
        answer.await.map_err(|_| ControlError::Stopping)?
    }
}

impl Control for Handle {
    async fn status(&self) -> Result<Status, ControlError> {
        self.ask(Request::Status).await
    }

    async fn stats(&self) -> Result<Stats, ControlError> {
        self.ask(Request::Stats).await
    }

    async fn firewall(&self) -> Result<FirewallList, ControlError> {
        self.ask(Request::Firewall).await
    }

    async fn document(&self) -> Result<DocumentText, ControlError> {
        self.ask(Request::Document).await
    }

    async fn check(&self, wanted: Replace) -> Result<(), ControlError> {
        self.ask(|answer| Request::Check(wanted, answer)).await
    }

    async fn diff(&self, wanted: Replace) -> Result<Changed, ControlError> {
        self.ask(|answer| Request::Diff(wanted, answer)).await
    }

    async fn replace(&self, wanted: Replace) -> Result<Changed, ControlError> {
        self.ask(|answer| Request::Replace(wanted, answer)).await
    }

    async fn edit(&self, edit: Edit) -> Result<Changed, ControlError> {
        self.ask(|answer| Request::Edit(edit, answer)).await
    }
}
