//! IPv6: chains of extension headers, and lengths.

use lb_common::abi::Reason;

use crate::case::{Case, Expect, Scene};
use crate::packet::{ACK, Extension, Packet};

/// Offset of the IP header in a frame without tags.
const IP: usize = 14;
/// The most extension headers on a packet that is balanced.
const MOST: usize = 8;

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for scene in Scene::all().into_iter().filter(|scene| scene.v6) {
        cases.push(kinds(scene));
        cases.push(chains(scene));
    }
    cases.push(too_many());
    cases.push(contradictions());
    cases.push(runs_past_the_end());
    cases
}

/// Each kind of header that can be looked behind.
fn all_kinds() -> Vec<(&'static str, Extension)> {
    vec![
        ("hop-by-hop options", Extension::HOP_BY_HOP),
        ("routing", Extension::ROUTING),
        ("destination options", Extension::DESTINATION),
        ("mobility", Extension::Units(135, 0)),
        ("host identity", Extension::Units(139, 0)),
        ("shim6", Extension::Units(140, 0)),
        ("authentication, short", Extension::Authentication(1)),
        ("authentication, SHA-256", Extension::Authentication(4)),
        ("authentication, odd", Extension::Authentication(5)),
        ("long options", Extension::Units(60, 31)),
        (
            "atomic fragment",
            Extension::Fragment {
                offset: 0,
                more: false,
            },
        ),
    ]
}

fn kinds(scene: Scene) -> Case {
    let following = scene.following(0);
    let mut case = scene.begin("every kind of extension header stays as it is");
    for (name, extension) in all_kinds() {
        let packet = following.clone().extension(extension.clone());
        case = case.packet(name, &packet, scene.forwarded(&packet, 0));
        if scene.is_nat() {
            let reply = scene.reply(0, 0, ACK).extension(extension);
            case = case.packet(name, &reply, scene.returned(&reply, 0, 0));
        }
    }
    case
}

fn chain(packet: Packet, length: usize) -> Packet {
    let kinds = all_kinds();
    (0..length).fold(packet, |packet, index| {
        packet.extension(kinds[index % 9].1.clone())
    })
}

fn chains(scene: Scene) -> Case {
    let mut case = scene.begin(&format!("chains of up to {MOST} extension headers"));
    for length in 2..=MOST {
        let packet = chain(scene.following(0), length);
        let name = format!("{length} headers");
        case = case.packet(&name, &packet, scene.forwarded(&packet, 0));
    }
    let packet = chain(scene.following(0), MOST + 1);
    case.packet(
        "one too many",
        &packet,
        Expect::drop(Reason::TooManyExtensions),
    )
}

/// The bound holds whatever header is the ninth, and whatever is behind it.
fn too_many() -> Case {
    let scene = Scene {
        v6: true,
        ..Scene::PLAIN
    };
    let mut case = Case::new(
        "a ninth extension header of any kind is one too many",
        &mut scene.setup(1),
    );
    for (name, extension) in all_kinds() {
        let packet = chain(scene.opening(0), MOST).extension(extension);
        case = case.packet(name, &packet, Expect::drop(Reason::TooManyExtensions));
    }
    let other = chain(Packet::raw(scene.client(0), scene.vip(), 58), MOST);
    case.packet(
        "ICMPv6 behind eight headers",
        &other,
        Expect::pass(Reason::OtherProtocol),
    )
}

fn contradictions() -> Case {
    let scene = Scene {
        v6: true,
        ..Scene::PLAIN
    };
    let good = scene.opening(0).bytes();
    let with = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[IP + at] = byte;
        bytes
    };
    let length = (good.len() - IP - 40) as u8;
    let malformed = || Expect::drop(Reason::Malformed);
    let mut case = Case::new(
        "IPv6 headers that contradict themselves or the frame",
        &mut scene.setup(1),
    )
    .bytes("version 4", with(0, 0x40), malformed())
    .bytes("version 0", with(0, 0x00), malformed())
    .bytes("one byte too long", with(5, length + 1), malformed())
    .bytes("65k bytes", with(4, 0xff), malformed())
    .bytes("no length", with(5, 0), malformed())
    .bytes("TCP header cut", with(5, 19), malformed());
    for length in IP..good.len() {
        case = case.bytes("frame cut", good[..length].to_vec(), malformed());
    }
    case
}

/// Extension headers whose length leads out of the packet.
fn runs_past_the_end() -> Case {
    let scene = Scene {
        v6: true,
        ..Scene::PLAIN
    };
    let mut case = Case::new(
        "extension headers that run past the end of the packet",
        &mut scene.setup(1),
    );
    for (name, extension) in all_kinds() {
        let good = scene.opening(0).extension(extension.clone()).bytes();
        let malformed = || Expect::drop(Reason::Malformed);
        if !matches!(extension, Extension::Fragment { .. }) {
            let mut long = good.clone();
            long[IP + 40 + 1] = 255;
            case = case.bytes(name, long, malformed());
        }
        // The frame ends inside the extension header, and says so.
        for length in 0..4 {
            let mut cut = good[..IP + 40 + length].to_vec();
            cut[IP + 4..IP + 6].copy_from_slice(&(length as u16).to_be_bytes());
            case = case.bytes(name, cut, malformed());
        }
    }
    case
}
