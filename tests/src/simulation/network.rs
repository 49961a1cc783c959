//! Links that lose, double and overtake, and the hosts at their ends.

use std::net::{IpAddr, SocketAddr};

use rand::RngExt as _;

use super::connection::{Connection, Known, Phase};
use super::{CPUS, Simulation};
use crate::case::Scene;
use crate::packet::verify::{Received, receive};
use crate::packet::{ACK, FIN, Packet, RST, SYN};
use crate::ring::Ran;
use crate::world::OUR_MAC;

/// Packets that wait on a CPU at most; more are lost.
const QUEUE_MAX: usize = 32;

/// A frame on its way to us.
#[derive(Debug, Clone)]
pub(super) struct InFlight {
    pub(super) bytes: Vec<u8>,
    pub(super) sender: Sender,
    pub(super) flags: u8,
}

/// Who sent a frame; the number is the connection's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sender {
    Client(u32),
    Backend(u32),
}

impl Simulation {
    /// A client sends a packet: of a new connection, or of one that is there.
    pub(super) fn send(&mut self) {
        if self.connections.len() < self.options.connections && self.random.random_bool(0.5) {
            self.connect();
        }
        if self.connections.is_empty() {
            return;
        }
        // Mostly one of the youngest, so that others fall silent for long.
        let count = self.connections.len();
        let youngest = count.saturating_sub(24);
        let index = if self.random.random_bool(0.8) {
            self.random.random_range(youngest..count)
        } else {
            self.random.random_range(0..count)
        };
        let pick = self.random.random();
        let connection = &mut self.connections[index];
        let flags = connection.flags(pick);
        connection.sent += 1;
        let bytes = connection.packet(flags, index as u32).bytes();
        self.queue(&InFlight {
            bytes,
            sender: Sender::Client(index as u32),
            flags,
        });
    }

    /// A new connection from a port of its own.
    fn connect(&mut self) {
        let scenes = Scene::all();
        let scene = scenes[self.random.random_range(0..scenes.len())];
        let number = self.connections.len() as u32;
        let mut client = scene.client((number % 100) as u8);
        client.set_port(1024 + (number / 100) as u16);
        self.connections.push(Connection {
            scene,
            client,
            router: [0x02, 0, 0, 0, 0xc0, (number % 7) as u8],
            sent: 0,
            flow: None,
        });
    }

    /// Puts a frame into some CPU's queue: lost, doubled or overtaken now and then.
    pub(super) fn queue(&mut self, frame: &InFlight) {
        let copies = match self.random.random_range(0..40) {
            0 => 0,
            1 => 2,
            _ => 1,
        };
        for _ in 0..copies {
            let cpu = self.random.random_range(0..CPUS);
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

    /// The next frame of a CPU's queue.
    pub(super) fn take(&mut self, cpu: usize) -> Option<InFlight> {
        self.queues[cpu].pop_front()
    }

    /// A client's packet has reached a backend, which answers through us if it was translated.
    pub(super) fn reach_backend(&mut self, id: u32, frame: &InFlight, ran: &Ran) {
        self.tally.at_backend += 1;
        let Ok(received) = receive(&ran.frame) else {
            return;
        };
        self.remember(id, frame, ran, received.source);
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
        let bytes = answer(scene, &received, flags, &ran.frame).bytes();
        self.queue(&InFlight {
            bytes,
            sender: Sender::Backend(id),
            flags,
        });
    }

    /// Notes what must be true of the flow from now on.
    fn remember(&mut self, id: u32, frame: &InFlight, ran: &Ran, source: SocketAddr) {
        let backend = ran.trace.backend;
        let incarnation = self.world.backend_entry(backend).incarnation;
        let seen = self.world.now.0;
        let tcp = self.connections[id as usize].scene.is_tcp();
        let flow = &mut self.connections[id as usize].flow;
        let began = ran.trace.new_flow == 1 || ran.reason() == Some(lb_common::abi::Reason::Stray);
        let before = flow.filter(|known| !began && known.backend == backend);
        let ends = tcp && frame.flags & (FIN | RST) != 0;
        let opens = tcp && frame.flags & (SYN | ACK) == SYN;
        let phase = match before.map(|known| known.phase) {
            _ if ends => Phase::Closing,
            Some(Phase::Closing) => Phase::Closing,
            Some(Phase::Established) => Phase::Established,
            Some(Phase::Opening) if !opens => Phase::Established,
            Some(Phase::Opening) | None => Phase::Opening,
        };
        *flow = Some(Known {
            backend,
            incarnation,
            source,
            seen,
            phase,
        });
    }
}

/// A backend's answer to what it received.
fn answer(scene: Scene, received: &Received, flags: u8, frame: &[u8]) -> Packet {
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

/// Whether an address is one of ours towards backends.
pub(super) fn is_ours(scene: Scene, address: IpAddr) -> bool {
    scene.our_address() == address
}
