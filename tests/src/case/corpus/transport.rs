//! TCP and UDP: header lengths, options, and checksums in all their corners.

use lb_common::abi::Reason;

use crate::case::{Case, Expect, Scene};
use crate::packet::{ACK, Packet};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for scene in Scene::all() {
        if scene.is_tcp() {
            cases.push(tcp_options(scene));
            cases.push(tcp_contradictions(scene));
        } else {
            if !scene.crosses || scene.forward.is_tunnel() {
                cases.push(no_checksum(scene));
            }
            cases.push(udp_lengths(scene));
            if !scene.forward.is_tunnel() {
                cases.push(checksum_of_zero(scene));
            }
        }
        cases.push(payloads(scene));
    }
    cases
}

/// Offset of the transport header in a frame without tags or options.
fn transport_at(scene: Scene) -> usize {
    14 + if scene.v6 { 40 } else { 20 }
}

fn tcp_options(scene: Scene) -> Case {
    let mut case = scene.begin("TCP options stay as they are");
    for words in 1..=10 {
        let packet = scene.following(0).tcp_options(&vec![1; words * 4]);
        case = case.packet("options", &packet, scene.forwarded(&packet, 0));
    }
    case
}

fn tcp_contradictions(scene: Scene) -> Case {
    let good = scene.opening(0).payload(&[]).bytes();
    let offset_at = transport_at(scene) + 12;
    let mut case = Case::new(
        format!("{scene}: a TCP header that contradicts itself or the packet"),
        &mut scene.setup(1),
    );
    for words in (0..5_u8).chain(6..16) {
        let mut bytes = good.clone();
        bytes[offset_at] = words << 4;
        let name = format!("{words} words of header");
        case = case.bytes(&name, bytes, Expect::drop(Reason::Malformed));
    }
    case
}

/// RFC 768: a UDP checksum of zero is none, and stays none.
fn no_checksum(scene: Scene) -> Case {
    let mut case = scene.begin("a UDP checksum that is not there stays away");
    let packet = scene.following(0).without_checksum();
    case = case.packet("to a backend", &packet, scene.forwarded(&packet, 0));
    if scene.is_nat() {
        let reply = scene.reply(0, 0, ACK).without_checksum();
        case = case.packet("to a client", &reply, scene.returned(&reply, 0, 0));
    }
    case
}

fn udp_lengths(scene: Scene) -> Case {
    let good = scene.following(0).bytes();
    let at = transport_at(scene) + 4;
    let length = (good.len() - transport_at(scene)) as u16;
    let with = |length: u16| {
        let mut bytes = good.clone();
        bytes[at..at + 2].copy_from_slice(&length.to_be_bytes());
        bytes
    };
    let malformed = || Expect::drop(Reason::Malformed);
    Case::new(
        format!("{scene}: a UDP length that contradicts the packet"),
        &mut scene.setup(1),
    )
    .bytes("none", with(0), malformed())
    .bytes("less than a header", with(7), malformed())
    .bytes("more than there is", with(length + 1), malformed())
    .bytes("most", with(u16::MAX), malformed())
}

/// RFC 768: a checksum that comes out as zero is sent as all ones. The payload is chosen so that
/// it does, before the rewrite or behind it.
fn checksum_of_zero(scene: Scene) -> Case {
    let mut case = scene.begin("a UDP checksum that comes out as zero is sent as ones");
    let ones = |packet: &Packet| packet.checksum() == 0xffff;
    let with = |word: u16| scene.following(0).payload(&word.to_be_bytes());
    let sent = (0..=u16::MAX).map(with).find(|packet| ones(packet));
    let becomes = (0..=u16::MAX)
        .map(with)
        .find(|packet| ones(&scene.at_backend(packet, 0)));
    let (Some(sent), Some(becomes)) = (sent, becomes) else {
        panic!("every value of a word is a checksum's once");
    };
    case = case
        .packet("as sent", &sent, scene.forwarded(&sent, 0))
        .packet("as rewritten", &becomes, scene.forwarded(&becomes, 0));
    if scene.is_nat() {
        let with = |word: u16| scene.reply(0, 0, ACK).payload(&word.to_be_bytes());
        let becomes = (0..=u16::MAX)
            .map(with)
            .find(|packet| ones(&scene.at_client(packet, 0)));
        let Some(becomes) = becomes else {
            panic!("every value of a word is a checksum's once");
        };
        case = case.packet(
            "reply as rewritten",
            &becomes,
            scene.returned(&becomes, 0, 0),
        );
    }
    case
}

/// Payloads of odd and even lengths, up to what fits every tunnel.
fn payloads(scene: Scene) -> Case {
    let mut case = scene.begin("payloads of any length");
    for length in [0, 1, 2, 3, 1379, 1380] {
        let payload: Vec<u8> = (0..=250).cycle().take(length).collect();
        let packet = scene.following(0).payload(&payload);
        let name = format!("{length} bytes");
        case = case.packet(&name, &packet, scene.forwarded(&packet, 0));
        if scene.is_nat() {
            let reply = scene.reply(0, 0, ACK).payload(&payload);
            case = case.packet(&name, &reply, scene.returned(&reply, 0, 0));
        }
    }
    case
}
