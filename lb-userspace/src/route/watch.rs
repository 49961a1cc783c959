//! Tells when next hops may have changed.
//!
//! It does not tell what changed: whoever listens asks again for what it needs. Changes close
//! to each other are told once.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::neighbour::NeighbourMessage;
use rtnetlink::MulticastGroup;
use rtnetlink::packet_core::{NetlinkMessage, NetlinkPayload};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::error::RouteError;
use super::neighbour;

/// How long after a first change others are awaited, to be told together.
const WINDOW: Duration = Duration::from_millis(50);

/// Objects of nexthop groups are missing: the parser does not know them. The kernel tells of the
/// routes that use a changed one, unless `net.ipv4.nexthop_compat_mode` is off.
const GROUPS: [MulticastGroup; 8] = [
    MulticastGroup::Link,
    MulticastGroup::Neigh,
    MulticastGroup::Ipv4Ifaddr,
    MulticastGroup::Ipv6Ifaddr,
    MulticastGroup::Ipv4Route,
    MulticastGroup::Ipv6Route,
    MulticastGroup::Ipv4Rule,
    MulticastGroup::Ipv6Rule,
];

/// Receives the changes that [`watch`] sees; dropping it ends the watch.
#[derive(Debug)]
pub struct Changes {
    receiver: watch::Receiver<()>,
    /// They end with the changes.
    _tasks: JoinSet<()>,
}

impl Changes {
    /// Waits for a change since the last call, or since [`watch`]. May be cancelled: no change
    /// is lost.
    ///
    /// # Errors
    ///
    /// When the netlink socket is gone, which no call will mend: watch anew.
    pub async fn changed(&mut self) -> Result<(), RouteError> {
        self.receiver
            .changed()
            .await
            .map_err(|_gone| RouteError::Closed)
    }
}

/// Watches neighbours, routes, rules, addresses and links of the calling thread's network
/// namespace from now on.
///
/// Neighbours that are merely confirmed or grow stale are no change. Whoever watches first and
/// asks [`Routes`](super::Routes) then misses nothing.
///
/// # Errors
///
/// Where the system gives no socket.
pub async fn watch() -> Result<Changes, RouteError> {
    let (connection, _handle, messages) =
        rtnetlink::new_multicast_connection(&GROUPS).map_err(RouteError::Open)?;
    let (sender, receiver) = watch::channel(());
    let mut tasks = JoinSet::new();
    tasks.spawn(connection);
    tasks.spawn(coalesce(messages.map(|(message, _source)| message), sender));
    Ok(Changes {
        receiver,
        _tasks: tasks,
    })
}

async fn coalesce(
    mut messages: impl Stream<Item = NetlinkMessage<RouteNetlinkMessage>> + Unpin,
    changes: watch::Sender<()>,
) {
    let mut known = Known::default();
    while let Some(message) = messages.next().await {
        if !known.is_change(&message.payload) {
            continue;
        }
        let end = Instant::now() + WINDOW;
        // The clock is asked as well, because a stream that never pauses lets no timeout pass.
        while Instant::now() < end
            && let Ok(Some(message)) = timeout_at(end, messages.next()).await
        {
            known.is_change(&message.payload);
        }
        changes.send_replace(());
    }
}

/// The Ethernet addresses that neighbours had when last heard of.
///
/// The kernel tells of every entry's way from reachable to stale and back, which for a thousand
/// backends is a message every few milliseconds. It bounds its table, and tells of entries that
/// it removes, so this one is bounded too.
#[derive(Default)]
struct Known(HashMap<(u32, IpAddr), Option<[u8; 6]>>);

impl Known {
    fn is_change(&mut self, payload: &NetlinkPayload<RouteNetlinkMessage>) -> bool {
        match payload {
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewNeighbour(message)) => {
                self.learn(message, neighbour::usable_mac(message))
            }
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelNeighbour(message)) => {
                let change = self.learn(message, None);
                if let Some(key) = neighbour::key(message) {
                    self.0.remove(&key);
                }
                change
            }
            NetlinkPayload::InnerMessage(_) => true,
            // The kernel dropped messages: anything may have changed.
            NetlinkPayload::Overrun(_) => {
                self.0.clear();
                true
            }
            _ => false,
        }
    }

    /// An entry never heard of may have been in the table before the watch began, so that its
    /// first message counts whatever it says.
    fn learn(&mut self, message: &NeighbourMessage, mac: Option<[u8; 6]>) -> bool {
        neighbour::key(message).is_some_and(|key| self.0.insert(key, mac) != Some(mac))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use futures_util::stream;
    use netlink_packet_route::neighbour::{NeighbourAttribute, NeighbourState};
    use rtnetlink::packet_core::NetlinkHeader;

    use super::*;

    type Payload = NetlinkPayload<RouteNetlinkMessage>;

    fn entry(state: NeighbourState, last: u8) -> NeighbourMessage {
        let mut message = NeighbourMessage::default();
        message.header.ifindex = 3;
        message.header.state = state;
        let address = IpAddr::from([10, 0, 0, 1]);
        message
            .attributes
            .push(NeighbourAttribute::Destination(address.into()));
        let mac = vec![2, 0, 0, 0, 0, last];
        message
            .attributes
            .push(NeighbourAttribute::LinkLayerAddress(mac));
        message
    }

    fn new(state: NeighbourState, last: u8) -> Payload {
        Payload::InnerMessage(RouteNetlinkMessage::NewNeighbour(entry(state, last)))
    }

    fn gone() -> Payload {
        let entry = entry(NeighbourState::Failed, 1);
        Payload::InnerMessage(RouteNetlinkMessage::DelNeighbour(entry))
    }

    #[test]
    fn neighbours_change_with_their_address_only() {
        let mut known = Known::default();
        assert!(
            known.is_change(&new(NeighbourState::Incomplete, 1)),
            "first heard of"
        );
        assert!(
            known.is_change(&new(NeighbourState::Reachable, 1)),
            "resolved"
        );
        assert!(!known.is_change(&new(NeighbourState::Stale, 1)), "stale");
        assert!(!known.is_change(&new(NeighbourState::Probe, 1)), "probed");
        assert!(
            known.is_change(&new(NeighbourState::Reachable, 2)),
            "another address"
        );
        assert!(known.is_change(&new(NeighbourState::Failed, 2)), "lost");
        assert!(!known.is_change(&gone()), "lost already");
        assert!(known.0.is_empty(), "entries gone are forgotten");
    }

    #[test]
    fn lost_messages_are_a_change_and_leave_nothing_known() {
        let mut known = Known::default();
        assert!(known.is_change(&new(NeighbourState::Reachable, 1)));
        assert!(known.is_change(&Payload::Overrun(Vec::new())));
        assert!(known.is_change(&new(NeighbourState::Reachable, 1)));
    }

    #[test]
    fn entries_of_bridges_are_no_change() {
        let mut message = entry(NeighbourState::Reachable, 1);
        message.attributes.remove(0);
        let payload = Payload::InnerMessage(RouteNetlinkMessage::NewNeighbour(message));
        assert!(!Known::default().is_change(&payload));
    }

    #[tokio::test(start_paused = true)]
    async fn changes_close_to_each_other_are_told_once() {
        // Bursts of three at 0 ms, 100 ms and 200 ms.
        let messages = stream::iter(0..9u8).then(|n| async move {
            if n % 3 == 0 && n > 0 {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            NetlinkMessage::new(NetlinkHeader::default(), new(NeighbourState::Reachable, n))
        });
        let begin = Instant::now();
        let (sender, mut receiver) = watch::channel(());
        let task = tokio::spawn(coalesce(messages.boxed(), sender));
        let mut told = Vec::new();
        while receiver.changed().await.is_ok() {
            told.push(begin.elapsed().as_millis());
        }
        task.await.unwrap();
        // The last burst is told at the end of the stream, without waiting.
        assert_eq!(told.len(), 3, "{told:?}");
        assert!((50..55).contains(&told[0]), "{told:?}");
        assert!((150..160).contains(&told[1]), "{told:?}");
    }
}
