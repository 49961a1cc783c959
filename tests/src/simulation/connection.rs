//! A client's connection, as the client and its backends know it.

use std::net::SocketAddr;

use lb_common::abi::Backend;
use lb_common::abi::address::wide;

use crate::case::Scene;
use crate::packet::{ACK, FIN, PSH, Packet, RST, SYN};
use crate::ring::Tuple;
use crate::world::OUR_MAC;

/// A connection, numbered by its place.
#[derive(Debug, Clone)]
pub(super) struct Connection {
    /// The service that it goes to.
    pub(super) scene: Scene,
    /// The client.
    pub(super) client: SocketAddr,
    /// The router that the client is behind.
    pub(super) router: [u8; 6],
    /// Packets sent so far.
    pub(super) sent: u32,
    /// What its flow may be. One, unless packets of the connection that were under way at the
    /// same time have found or made different ones.
    pub(super) flows: Vec<Known>,
    /// The clock when the last of its packets that were sent on arrived.
    pub(super) touched: u32,
    /// The moment when it left.
    pub(super) left: u64,
    /// Whether either side has ended it.
    pub(super) closing: bool,
    /// Its packets under way.
    pub(super) crowd: Crowd,
}

/// What a packet has shown of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Known {
    /// The backend's id.
    pub(super) backend: u32,
    /// The backend's incarnation.
    pub(super) incarnation: u32,
    /// Whom the backend takes for the client.
    pub(super) source: SocketAddr,
    /// What the backend was addressed by.
    pub(super) destination: SocketAddr,
}

/// Packets of one client that overlap: each of them is under way while another is.
#[derive(Debug, Clone, Default)]
pub(super) struct Crowd {
    /// Under way.
    pub(super) active: u32,
    /// All, since there was none.
    pub(super) size: u32,
    /// Flows that went on, to be judged when all are through.
    pub(super) kept: Vec<Known>,
}

impl Connection {
    /// The VIP of a scene: ways of forwarding differ in the port.
    pub(super) fn vip(scene: Scene) -> SocketAddr {
        let port = match (scene.is_nat(), scene.shares_port(), scene.crosses) {
            (true, true, false) => 80,
            (true, true, true) => 81,
            (true, false, _) => 82,
            (false, ..) => 443,
        };
        SocketAddr::new(scene.vip().ip(), port)
    }

    /// The tuple of the client's packets.
    pub(super) fn tuple(&self) -> Tuple {
        Tuple {
            remote: self.client,
            local: Self::vip(self.scene),
            protocol: self.scene.protocol.number(),
        }
    }

    /// The client's next packet, bearing its number.
    pub(super) fn packet(&self, flags: u8, number: u32) -> Packet {
        let vip = Self::vip(self.scene);
        let packet = if self.scene.is_tcp() {
            Packet::tcp(self.client, vip, flags)
        } else {
            Packet::udp(self.client, vip)
        };
        packet
            .link(self.router, OUR_MAC)
            .payload(&number.to_be_bytes())
    }

    /// Flags that a client may send next, picked by a number.
    pub(super) fn flags(&self, pick: u32) -> u8 {
        if self.sent == 0 {
            return SYN;
        }
        match pick % 24 {
            0 => SYN,
            1 => FIN | ACK,
            2 => RST,
            3 => RST | ACK,
            _ => ACK | PSH,
        }
    }
}

impl Known {
    /// The tuple of the backend's replies.
    pub(super) fn reply(&self, protocol: u8) -> Tuple {
        Tuple {
            remote: self.destination,
            local: self.source,
            protocol,
        }
    }

    /// Whether an entry lets the flow stay.
    pub(super) fn is_kept_by(&self, backend: &Backend) -> bool {
        backend.incarnation == self.incarnation && backend.state.keeps_flows()
    }
}

/// Whether an entry has this address.
pub(super) fn listens_at(backend: &Backend, address: SocketAddr) -> bool {
    backend.address == wide(address.ip()) && backend.port == address.port()
}
