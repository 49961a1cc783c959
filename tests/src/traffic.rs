//! Random traffic: mostly sensible packets of known flows, some of them mutilated.
//!
//! Everything follows from one seed. What a mutilated frame should become nobody knows: rings are
//! compared with each other on it, and invariants are checked.

use std::net::SocketAddr;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::case::Scene;
use crate::kernel::SHORTEST;
use crate::packet::verify::Received;
use crate::packet::{ACK, Extension, FIN, PSH, Packet, RST, SYN, Transport};

/// Clients of each scene; few, so that their flows meet often.
const CLIENTS: u8 = 12;
/// Answers that are kept to be sent.
const ANSWERS_MAX: usize = 64;

/// Bytes that mean something in one header or another.
const TELLING: [u8; 12] = [0, 1, 4, 5, 6, 17, 43, 44, 51, 60, 0x45, 0xff];

/// A source of random frames.
#[derive(Debug)]
pub struct Traffic {
    random: StdRng,
    scenes: Vec<Scene>,
    answers: Vec<Packet>,
}

impl Traffic {
    /// Traffic around these scenes, all of it from a seed.
    pub fn new(scenes: Vec<Scene>, seed: u64) -> Self {
        Self {
            random: StdRng::seed_from_u64(seed),
            scenes,
            answers: Vec::new(),
        }
    }

    /// The next frame: an intact one, or one that was mutilated.
    pub fn next_frame(&mut self) -> Vec<u8> {
        let mut bytes = self.next_packet().bytes();
        if self.random.random_bool(0.4) {
            for _ in 0..self.random.random_range(1..4) {
                self.mutilate(&mut bytes);
            }
        }
        bytes.resize(bytes.len().max(SHORTEST), 0);
        bytes
    }

    /// The next intact packet.
    pub fn next_packet(&mut self) -> Packet {
        if !self.answers.is_empty() && self.random.random_bool(0.3) {
            let index = self.random.random_range(0..self.answers.len());
            let answer = self.answers.swap_remove(index);
            return self.dress(answer);
        }
        let scene = self.scenes[self.random.random_range(0..self.scenes.len())];
        let client = self.random.random_range(0..CLIENTS);
        let mut packet = scene.from_client(client, self.flags());
        if self.random.random_bool(0.1) {
            // Another port of the VIP, which a service for any port may have.
            packet.destination.set_port(self.random.random());
        }
        if self.random.random_bool(0.02) {
            packet.destination.set_ip(scene.other_address());
        }
        self.dress(packet)
    }

    /// Remembers that a backend received something, which it will answer.
    pub fn answer(&mut self, received: &Received, protocol: u8) {
        let (from, to): (SocketAddr, SocketAddr) = (received.destination, received.source);
        let packet = if protocol == 6 {
            Packet::tcp(from, to, self.flags())
        } else {
            Packet::udp(from, to)
        };
        if self.answers.len() >= ANSWERS_MAX {
            self.answers.remove(0);
        }
        self.answers.push(packet.payload(&received.payload));
    }

    /// Whether something happens that does so once in so many times.
    pub fn once_in(&mut self, times: u32) -> bool {
        self.random.random_ratio(1, times)
    }

    /// A number below a limit.
    pub fn below(&mut self, limit: u32) -> u32 {
        self.random.random_range(0..limit)
    }

    fn flags(&mut self) -> u8 {
        let common = [
            SYN,
            SYN,
            ACK,
            ACK | PSH,
            ACK,
            FIN | ACK,
            RST,
            RST | ACK,
            SYN | ACK,
        ];
        if self.random.random_bool(0.95) {
            common[self.random.random_range(0..common.len())]
        } else {
            self.random.random()
        }
    }

    /// Adds what a packet may carry beside the plain headers.
    fn dress(&mut self, mut packet: Packet) -> Packet {
        let length = self.random.random_range(0..48);
        let payload: Vec<u8> = (0..length).map(|_| self.random.random()).collect();
        packet.payload = payload;
        packet.hop_limit = [64, 64, 64, 255, 2, 1, 0][self.random.random_range(0..7)];
        for _ in 0..[0, 0, 0, 0, 1, 1, 2, 3][self.random.random_range(0..8)] {
            let kind = [0x8100, 0x88a8][self.random.random_range(0..2)];
            packet = packet.tag(kind, self.random.random_range(0..4096));
        }
        if self.random.random_bool(0.2) {
            packet = self.with_network_options(packet);
        }
        if self.random.random_bool(0.05) {
            let offset = [0, 1, 2, 100][self.random.random_range(0..4)];
            packet = packet.fragment(offset, self.random.random());
        }
        if self.random.random_bool(0.1) {
            packet = packet.without_checksum();
        }
        if self.random.random_bool(0.1) {
            packet = packet.padding(self.random.random_range(1..20));
        }
        if self.random.random_bool(0.03) {
            packet.to_mac[0] |= 1;
        }
        if self.random.random_bool(0.1) {
            packet.from_mac[5] = self.random.random();
        }
        if self.random.random_bool(0.03) {
            packet.transport = Transport::Raw(self.random.random());
        }
        packet
    }

    fn with_network_options(&mut self, mut packet: Packet) -> Packet {
        if packet.source.is_ipv4() {
            let words = self.random.random_range(0..=10);
            return packet.options(&vec![1; words * 4]);
        }
        for _ in 0..self.random.random_range(0..10) {
            packet = packet.extension(match self.random.random_range(0..6) {
                0 => Extension::HOP_BY_HOP,
                1 => Extension::ROUTING,
                2 => Extension::DESTINATION,
                3 => Extension::Authentication(self.random.random_range(0..6)),
                4 => Extension::Units(60, self.random.random_range(0..8)),
                _ => Extension::Fragment {
                    offset: 0,
                    more: false,
                },
            });
        }
        packet
    }

    /// Changes bytes, preferably of headers, or the length.
    fn mutilate(&mut self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        let headers = bytes.len().min(96);
        let at = self.random.random_range(0..headers);
        match self.random.random_range(0..6) {
            0 => bytes[at] ^= 1 << self.random.random_range(0..8),
            1 => bytes[at] = self.random.random(),
            2 => bytes[at] = TELLING[self.random.random_range(0..TELLING.len())],
            3 => bytes.truncate(self.random.random_range(0..=bytes.len())),
            4 => {
                let more = self.random.random_range(0..64);
                bytes.resize(bytes.len() + more, self.random.random());
            }
            _ => {
                let byte = self.random.random();
                bytes.insert(at, byte);
            }
        }
    }
}
