//! Links that lose, double and overtake, and the hosts at their ends.

use std::net::SocketAddr;

use rand::RngExt as _;

use super::Simulation;
use super::connection::{Connection, Crowd};
use crate::case::Scene;
use crate::packet::verify::{Received, receive};
use crate::packet::{ACK, FIN, Packet, RST, SYN};
use crate::ring::{Ran, Tuple};
use crate::world::OUR_MAC;

/// Packets that wait on a CPU at most; more are lost.
const QUEUE_MAX: usize = 32;

/// A frame on its way to us.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    pub(super) bytes: Vec<u8>,
    pub(super) sender: Sender,
    pub(super) flags: u8,
}

/// Who sent a frame; the number is the connection's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sender {
    Client(u32),
    /// With the tuple of its reply.
    Backend(u32, Tuple),
}

impl Simulation {
    /// A client sends a packet: of a new connection, or of one that is there.
    pub(super) fn send(&mut self) {
        if self.connections.len() < self.options.connections && self.random.random_bool(0.5) {
            self.connect();
        }
        let Some(last) = self.connections.len().checked_sub(1) else {
            return;
        };
        // Mostly one of the youngest, so that others fall silent for long; often the same again,
        // so that packets of one flow meet.
        let youngest = last.saturating_sub(23);
        let index = match self.random.random_range(0..10) {
            0..3 => self.sender.min(last),
            3..8 => self.random.random_range(youngest..=last),
            _ => self.random.random_range(0..=last),
        };
        self.sender = index;
        let pick = self.random.random();
        let connection = &mut self.connections[index];
        let flags = connection.flags(pick);
        connection.sent += 1;
        let bytes = connection.packet(flags, index as u32).bytes();
        self.queue(&Frame {
            bytes,
            sender: Sender::Client(index as u32),
            flags,
        });
    }

    /// A new connection from a port of its own.
    fn connect(&mut self) {
        let scenes = Scene::all_without_tunnels();
        let scene = scenes[self.random.random_range(0..scenes.len())];
        let number = self.connections.len() as u32;
        let mut client = scene.client((number % 100) as u8);
        client.set_port(1024 + (number / 100) as u16);
        let connection = Connection {
            scene,
            client,
            router: [0x02, 0, 0, 0, 0xc0, (number % 7) as u8],
            sent: 0,
            flows: Vec::new(),
            touched: 0,
            left: 0,
            closing: false,
            crowd: Crowd::default(),
        };
        self.numbers.insert(connection.tuple(), number);
        self.connections.push(connection);
    }

    /// Puts a frame into some CPU's queue: lost, doubled or overtaken now and then.
    fn queue(&mut self, frame: &Frame) {
        let copies = match self.random.random_range(0..20) {
            0 => 0,
            1 => 2,
            _ => 1,
        };
        for _ in 0..copies {
            let cpu = self.random.random_range(0..self.queues.len());
            let queue = &mut self.queues[cpu];
            if queue.len() >= QUEUE_MAX {
                continue;
            }
            let at = if self.random.random_ratio(1, 10) {
                self.random.random_range(0..=queue.len())
            } else {
                queue.len()
            };
            queue.insert(at, frame.clone());
        }
    }

    /// A client's packet has reached a backend, which answers through us if it was translated.
    pub(super) fn answer(&mut self, id: u32, frame: &Frame, ran: &Ran, received: &Received) {
        let scene = self.connections[id as usize].scene;
        if !scene.is_nat() || self.random.random_ratio(1, 5) {
            return;
        }
        let flags = match self.random.random_range(0..40) {
            0 => RST | ACK,
            1 => FIN | ACK,
            _ if frame.flags & SYN != 0 => SYN | ACK,
            _ => ACK,
        };
        let reply = Tuple {
            remote: received.destination,
            local: received.source,
            protocol: scene.protocol.number(),
        };
        self.queue(&Frame {
            bytes: reply_packet(scene, received, flags, &ran.frame).bytes(),
            sender: Sender::Backend(id, reply),
            flags,
        });
    }
}

/// A backend's answer to what it received.
fn reply_packet(scene: Scene, received: &Received, flags: u8, frame: &[u8]) -> Packet {
    let (from, to): (SocketAddr, SocketAddr) = (received.destination, received.source);
    let packet = if scene.is_tcp() {
        Packet::tcp(from, to, flags)
    } else {
        Packet::udp(from, to)
    };
    let mut mac = [0; 6];
    mac.copy_from_slice(&frame[..6]);
    packet.link(mac, OUR_MAC).payload(&received.payload)
}

/// What a receiver reads from a frame.
pub(super) fn read(frame: &[u8]) -> Result<Received, String> {
    receive(frame).map_err(|error| format!("a receiver rejects the frame: {error}"))
}
