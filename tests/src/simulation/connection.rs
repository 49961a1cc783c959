//! A client's connection, as the client knows it.

use std::net::SocketAddr;

use crate::case::Scene;
use crate::packet::{ACK, FIN, PSH, Packet, RST, SYN};
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
    /// What is known of its flow, if it has one.
    pub(super) flow: Option<Known>,
}

/// What must be true of a flow.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    /// The backend's id.
    pub(super) backend: u32,
    /// The backend's incarnation.
    pub(super) incarnation: u32,
    /// Whom the backend takes for the client.
    pub(super) source: SocketAddr,
    /// The tick of the client's last packet that was sent on.
    pub(super) seen: u32,
    /// How far it is.
    pub(super) phase: Phase,
}

/// How far a flow is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// One packet came through.
    Opening,
    /// The client went on.
    Established,
    /// Either side ended it.
    Closing,
}

impl Connection {
    /// The VIP of a scene: ways of forwarding differ in the port.
    pub(super) fn vip(scene: Scene) -> SocketAddr {
        let port = if scene.is_nat() { 80 } else { 443 };
        SocketAddr::new(scene.vip().ip(), port)
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
