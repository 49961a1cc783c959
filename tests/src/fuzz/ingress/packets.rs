//! Packets as headers: the plain ones of a scene, dressed with what a packet may carry besides.
//!
//! A byte of bits says which dresses follow, so that a plain packet takes four bytes.

use super::super::language::Bytes;
use super::scene_of;
use crate::packet::{Extension, Packet, Transport};

/// Which dresses a packet has.
pub(super) mod dress {
    pub(in super::super) const TAGS: u8 = 1;
    pub(in super::super) const NETWORK_OPTIONS: u8 = 2;
    pub(in super::super) const FRAGMENT: u8 = 4;
    pub(in super::super) const TRANSPORT_OPTIONS: u8 = 8;
    pub(in super::super) const PORTS: u8 = 16;
    pub(in super::super) const HOP_LIMIT: u8 = 32;
    pub(in super::super) const PAYLOAD: u8 = 64;
    pub(in super::super) const ODDITIES: u8 = 128;
}

/// Most tags and extension headers: one more than the engine looks behind, and then some.
const TAGS_MAX: u8 = 3;
const EXTENSIONS_MAX: u8 = 15;

/// Reads a client's packet.
pub(super) fn read(bytes: &mut Bytes<'_>) -> Packet {
    let (who, flags) = (bytes.byte(), bytes.byte());
    let packet = scene_of(who).from_client(who >> 2 & 15, flags);
    dress(packet, bytes)
}

/// Reads what a packet carries besides.
pub(super) fn dress(mut packet: Packet, bytes: &mut Bytes<'_>) -> Packet {
    let dresses = bytes.byte();
    let has = |dress: u8| dresses & dress != 0;
    if has(dress::TAGS) {
        for _ in 0..bytes.byte() & TAGS_MAX {
            let tag = bytes.word();
            let kind = if tag & 0x8000 == 0 { 0x8100 } else { 0x88a8 };
            packet = packet.tag(kind, tag & 0x0fff);
        }
    }
    if has(dress::NETWORK_OPTIONS) {
        packet = network_options(packet, bytes);
    }
    if has(dress::FRAGMENT) {
        let bits = bytes.word();
        packet = packet.fragment(bits & 0x1fff, bits & 0x2000 != 0);
    }
    if has(dress::TRANSPORT_OPTIONS) {
        let words = usize::from(bytes.byte() % 11);
        packet = packet.tcp_options(&vec![1; words * 4]).without_checksum();
    }
    if has(dress::PORTS) {
        packet.source.set_port(bytes.word());
        packet.destination.set_port(bytes.word());
    }
    if has(dress::HOP_LIMIT) {
        packet.hop_limit = bytes.byte();
    }
    if has(dress::PAYLOAD) {
        let length = usize::from(bytes.byte());
        packet.payload = bytes.take(length).to_vec();
    }
    if has(dress::ODDITIES) {
        packet = oddities(packet, bytes);
    }
    packet
}

fn network_options(mut packet: Packet, bytes: &mut Bytes<'_>) -> Packet {
    let count = bytes.byte();
    if packet.source.is_ipv4() {
        return packet.options(&vec![1; usize::from(count % 11) * 4]);
    }
    for _ in 0..count & EXTENSIONS_MAX {
        let what = bytes.byte();
        packet = packet.extension(match what & 7 {
            0 => Extension::HOP_BY_HOP,
            1 => Extension::ROUTING,
            2 => Extension::Authentication(what >> 3),
            3 => Extension::Fragment {
                offset: u16::from(what >> 4),
                more: what & 8 != 0,
            },
            4 => Extension::Units(135, what >> 3),
            5 => Extension::Units(139, 0),
            6 => Extension::Units(140, 0),
            _ => Extension::Units(60, what >> 3),
        });
    }
    packet
}

/// What is seldom seen: other stations, other addresses, other protocols, link padding.
fn oddities(mut packet: Packet, bytes: &mut Bytes<'_>) -> Packet {
    let what = bytes.byte();
    if what & 1 != 0 {
        packet.to_mac[0] |= 1;
    }
    if what & 2 != 0 {
        packet.from_mac[5] = bytes.byte();
    }
    if what & 4 != 0 {
        packet = packet.padding(usize::from(bytes.byte()));
    }
    if what & 8 != 0 {
        packet.transport = Transport::Raw(bytes.byte());
    }
    if what & 16 != 0 {
        let scene = scene_of(u8::from(packet.source.is_ipv6()));
        packet.destination.set_ip(scene.our_address());
    }
    if what & 32 != 0 {
        std::mem::swap(&mut packet.source, &mut packet.destination);
    }
    if what & 64 != 0 {
        let scene = scene_of(u8::from(packet.source.is_ipv6()));
        packet.source.set_ip(scene.backend(bytes.byte() & 3).ip());
    }
    packet
}
