//! Inputs that reach deep: every case of the corpus, and programs of all that a packet may carry.
//!
//! A fuzzer starts from what it is given; these lead it through whole connections of every scene,
//! translated replies, extension headers, fragments, tags, and every row of the firewall.

use lb_common::abi::{BackendState, Forward};
use lb_userspace::reconcile::Write;
use lb_userspace::tables::Tables;

use super::configuration::{ADDRESSES, PORTS};
use super::packets::dress;
use super::step;
use crate::case::{Case, Step, corpus};
use crate::packet::{ACK, FIN, PSH, RST, SYN};

/// Kinds of service in two bits each: all `full-nat`, all `dsr`, all `full-nat` for any port.
const SERVICES: [u8; 3] = [0b0101_0101, 0b1010_1010, 0b1111_1111];

/// All seeds.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<_> = corpus::all().iter().map(of_case).collect();
    for services in SERVICES {
        // Four backends of different weights, of which one is behind another interface.
        for who in 0..4 {
            seeds.push(connection(&[services, 0x4b, 0], who));
            seeds.push(changes(&[services, 0x22, 0], who));
        }
        seeds.push(dressed(&[services, 0x20, 0]));
        seeds.push(limits(&[services, 0x20, 0]));
        seeds.extend((0..ADDRESSES.len() as u8).map(|index| firewall(services, index)));
    }
    seeds
}

/// A case: the nearest configuration, and its steps with the frames byte for byte.
fn of_case(case: &Case) -> Vec<u8> {
    let mut seed = configuration_of(&case.tables);
    let mut services: Vec<_> = case.tables.services.values().map(|s| s.id).collect();
    services.sort_unstable();
    for what in &case.steps {
        match what {
            Step::Frame { bytes, .. } => {
                let length = bytes.len() as u16;
                seed.push(step::RAW);
                seed.extend(length.to_be_bytes());
                seed.extend(bytes);
            }
            Step::Apply(writes) => {
                for write in writes {
                    let Write::Backend(id, backend) = write else {
                        continue;
                    };
                    let bits = match backend.state {
                        BackendState::UP => 0,
                        BackendState::DRAINING => 2,
                        BackendState::DOWN => 1,
                        _ => 8,
                    };
                    seed.extend([step::BACKEND, 0, *id as u8, bits]);
                }
            }
            Step::Generation(tables) => {
                seed.push(step::GENERATION);
                seed.extend(configuration_of(tables));
            }
            Step::ForgetWaysBack(_) => seed.push(step::FORGET_WAYS_BACK),
            Step::Wait(ticks) => {
                seed.push(step::WAIT);
                seed.extend((*ticks as u16).to_be_bytes());
            }
        }
    }
    seed
}

/// The configuration's bytes that come nearest to some tables.
fn configuration_of(tables: &Tables) -> Vec<u8> {
    let mut services = 0;
    for (key, service) in &tables.services {
        let index = u8::from(key.address.is_ipv6()) * 2 + u8::from(key.protocol == 17);
        let kind = match (service.forward, key.port) {
            (Forward::FULL_NAT, 0) => 3,
            (Forward::FULL_NAT, _) => 1,
            _ => 2,
        };
        services |= kind << (2 * index);
    }
    let backends = tables.backends.len().clamp(1, 4) as u8 - 1;
    let mut bytes = vec![services, backends, 0];
    if !tables.firewall.rules.is_empty() {
        bytes[2] = 1;
        // The first client of either family, any destination, any protocol, dropped.
        bytes.extend([14, 0, 0, 0]);
    }
    bytes
}

/// Connections from first packet to last, with replies, of clients that come in turn.
fn connection(configuration: &[u8], who: u8) -> Vec<u8> {
    let mut seed = configuration.to_vec();
    for client in 0..3 {
        let who = who | client << 2;
        for flags in [SYN, ACK, ACK | PSH] {
            seed.extend([step::PACKET, who, flags, 0]);
            seed.extend([
                step::REPLY,
                0,
                if flags == SYN { SYN | ACK } else { ACK },
                0,
            ]);
        }
        let last = [FIN | ACK, RST, ACK][usize::from(client)];
        seed.extend([step::PACKET, who, last, 0]);
        seed.extend([step::REPLY, 1, FIN | ACK, 0]);
        seed.extend([step::REPLY, 0, RST, 0]);
        seed.extend([step::PACKET, who, SYN, 0]);
    }
    // In mid-connection, unknown; and a frame that comes back.
    seed.extend([step::PACKET, who | 9 << 2, ACK, 0, step::AGAIN, step::LOOP]);
    seed
}

/// Flows while backends drain, fail, vanish and return, time passes, and configurations change.
fn changes(configuration: &[u8], who: u8) -> Vec<u8> {
    let mut seed = configuration.to_vec();
    let packets = |seed: &mut Vec<u8>| {
        for client in 0..3 {
            seed.extend([step::PACKET, who | client << 2, SYN, 0]);
            seed.extend([step::PACKET, who | client << 2, ACK, 0]);
            seed.extend([step::REPLY, 0, ACK, 0]);
        }
    };
    packets(&mut seed);
    for bits in [2, 1, 4, 8, 0] {
        seed.extend([step::BACKEND, who, 1, bits]);
        packets(&mut seed);
    }
    seed.extend([step::FORGET_WAYS_BACK, step::WAIT, 0, 70]);
    packets(&mut seed);
    seed.push(step::GENERATION);
    seed.extend([configuration[0], 0x23, 0]);
    packets(&mut seed);
    seed.extend([step::WAIT, 1, 50]);
    packets(&mut seed);
    seed
}

/// What a packet may carry besides, on both families, and mutilations of it.
fn dressed(configuration: &[u8]) -> Vec<u8> {
    let mut seed = configuration.to_vec();
    let mut packet = |who: u8, bytes: &[u8]| {
        seed.extend([step::PACKET, who, SYN]);
        seed.extend(bytes);
    };
    for who in 0..4 {
        packet(who, &[dress::TAGS, 2, 0x80, 100, 0, 7]);
        packet(who, &[dress::NETWORK_OPTIONS, 3, 0, 1, 7]);
        packet(
            who,
            &[dress::NETWORK_OPTIONS, 8, 2, 3, 4, 5, 6, 7, 0x10, 0x0a],
        );
        packet(who, &[dress::FRAGMENT, 0x20, 0]);
        packet(who, &[dress::FRAGMENT, 0, 100]);
        packet(who, &[dress::TRANSPORT_OPTIONS, 10]);
        packet(who, &[dress::PORTS, 0x9c, 0x40, 0, 81]);
        packet(who, &[dress::HOP_LIMIT, 1]);
        packet(who, &[dress::PAYLOAD, 3, b'a', b'b', b'c']);
        packet(who, &[dress::ODDITIES, 4, 9]);
        packet(who, &[dress::ODDITIES, 8, 58]);
    }
    for (kind, at, value) in [(0, 60, 0), (1, 0, 30), (3, 14, 1), (4, 16, 255)] {
        seed.extend([step::MUTATE, kind, at, value, step::PACKET, 0, SYN, 0]);
    }
    seed
}

/// Tables of two entries, and doors that shut.
fn limits(configuration: &[u8]) -> Vec<u8> {
    let mut seed = configuration.to_vec();
    for what in [2 << 2, 2 << 2 | 1, 2 << 2 | 2, 2 << 2 | 3] {
        seed.extend([step::LIMIT, what]);
        for who in 0..16 {
            seed.extend([step::PACKET, who, SYN, 0, step::PACKET, who, ACK, 0]);
        }
    }
    for writes in 0..4 {
        seed.extend([step::DOOR, writes, step::PACKET, 0, ACK, 0]);
        seed.extend([step::PACKET, 1, ACK, 0]);
    }
    seed
}

/// Flows before and behind a generation with rules about these addresses and every port.
fn firewall(services: u8, index: u8) -> Vec<u8> {
    let mut seed = vec![services, 0x21, 0];
    let packets = |seed: &mut Vec<u8>| {
        for who in 0..8 {
            seed.extend([step::PACKET, who, SYN, 0, step::PACKET, who, ACK, 0]);
            seed.extend([step::REPLY, 0, ACK, 0]);
        }
    };
    packets(&mut seed);
    let ports = index % PORTS.len() as u8;
    // One block, then rules by source, destination, ports of TCP and UDP, and source ports.
    seed.extend([step::GENERATION, services, 0x21, 1 << 3 | 5, index]);
    seed.extend([(index + 1) % 16, 0, 8, 0]);
    seed.extend([0, index, 1, 0]);
    seed.extend([0, 0, 1, ports]);
    seed.extend([0, 0, 2, ports << 4]);
    seed.extend([index, 0, 0, 0]);
    packets(&mut seed);
    seed
}
