//! One question, one answer: requests over a netlink connection.
//!
//! No dumps: every question here names a single object.

use std::fmt;
use std::time::Duration;

use futures_util::StreamExt;
use netlink_packet_route::RouteNetlinkMessage;
use rtnetlink::Handle;
use rtnetlink::packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_REQUEST};
use rtnetlink::packet_core::{NetlinkMessage, NetlinkPayload};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::error::RouteError;
use super::link::Link;

/// The kernel answers at once. But an answer that the parser does not understand is dropped
/// below us, and would be awaited forever.
const PATIENCE: Duration = Duration::from_secs(2);

/// A netlink socket and the task that moves its messages.
pub(super) struct Connection {
    handle: Handle,
    /// Ends with the connection.
    _mover: JoinSet<()>,
}

impl Connection {
    /// Opens a socket in the calling thread's network namespace.
    pub(super) fn open() -> Result<Self, RouteError> {
        let (mut connection, handle, _unsolicited) =
            rtnetlink::new_connection().map_err(RouteError::Open)?;
        // Otherwise a change that was made looks like a connection that ended.
        connection.set_forward_ack(true);
        let mut mover = JoinSet::new();
        mover.spawn(connection);
        Ok(Self {
            handle,
            _mover: mover,
        })
    }

    /// Asks for one object.
    pub(super) async fn ask(
        &self,
        question: RouteNetlinkMessage,
    ) -> Result<RouteNetlinkMessage, RouteError> {
        match self.exchange(question, NLM_F_REQUEST).await? {
            NetlinkPayload::InnerMessage(answer) => Ok(answer),
            _ => Err(RouteError::Silent),
        }
    }

    /// Asks for a change and waits until it is made.
    pub(super) async fn order(&self, order: RouteNetlinkMessage) -> Result<(), RouteError> {
        self.exchange(order, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE)
            .await
            .map(drop)
    }

    /// Asks for a link; `None` where it does not exist.
    pub(super) async fn link(
        &self,
        question: RouteNetlinkMessage,
    ) -> Result<Option<Link>, RouteError> {
        match self.ask(question).await {
            Ok(RouteNetlinkMessage::NewLink(link)) => Ok(Some(link.into())),
            Ok(_) => Err(RouteError::Silent),
            Err(RouteError::Refused(reason)) if reason.raw_os_error() == Some(libc::ENODEV) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// The first answer, which is no refusal.
    async fn exchange(
        &self,
        message: RouteNetlinkMessage,
        flags: u16,
    ) -> Result<NetlinkPayload<RouteNetlinkMessage>, RouteError> {
        let mut message = NetlinkMessage::from(message);
        message.header.flags = flags;
        // A clone is a clone of a channel's sender.
        let mut answers = self
            .handle
            .clone()
            .request(message)
            .map_err(|_closed| RouteError::Closed)?;
        let answer = timeout(PATIENCE, answers.next())
            .await
            .map_err(|_elapsed| RouteError::Silent)?;
        match answer.ok_or(RouteError::Closed)?.payload {
            NetlinkPayload::Error(error) if error.code.is_some() => {
                Err(RouteError::Refused(error.to_io()))
            }
            payload => Ok(payload),
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}
