//! IPv4: options, lengths and the time to live.

use std::net::{Ipv4Addr, Ipv6Addr};

use lb_common::abi::Reason;

use crate::case::{Case, Expect, Scene};
use crate::packet::{ACK, Packet, Trouble};

/// Offset of the IP header in a frame without tags.
const IP: usize = 14;

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for scene in Scene::all().into_iter().filter(|scene| !scene.v6) {
        cases.push(options(scene));
    }
    for scene in Scene::all() {
        cases.push(last_hop(scene));
        cases.push(other_protocols(scene));
    }
    cases.push(contradictions());
    cases
}

/// Headers of 5 to 15 words.
fn options(scene: Scene) -> Case {
    let mut case = scene.begin("IPv4 options stay as they are");
    for words in 0..=10 {
        // No-operation options, and the end of the list.
        let mut list = vec![1; words * 4];
        if let Some(last) = list.last_mut() {
            *last = 0;
        }
        let packet = scene.following(0).options(&list);
        let name = format!("{} words of header", words + 5);
        case = case.packet(&name, &packet, scene.forwarded(&packet, 0));
        if scene.is_nat() {
            let reply = scene.reply(0, 0, ACK).options(&list);
            case = case.packet(&name, &reply, scene.returned(&reply, 0, 0));
        }
    }
    case
}

/// Every mode is a hop of the path, but for `dsr`.
fn last_hop(scene: Scene) -> Case {
    let case = Case::new(
        format!("{scene}: a packet whose hop limit is used up"),
        &mut scene.setup(1),
    );
    let last = scene.opening(0).hop_limit(1);
    let none = scene.opening(0).hop_limit(0);
    if scene.is_direct() {
        return case
            .packet("hop limit 1", &last, scene.opened(&last, 0, 0))
            .packet("hop limit 0", &none, {
                if scene.is_tcp() {
                    scene.forwarded(&none, 0)
                } else {
                    scene.promoted(&none, 0, 0)
                }
            });
    }
    let long = last.clone().payload(&[0x55; 1001]);
    let opening = scene.opening(0).hop_limit(2);
    let reply = scene.reply(0, 0, ACK);
    let told = |packet: &Packet| {
        Expect::told(Reason::HopLimitTold, &packet.told(Trouble::TimeExceeded)).of(0)
    };
    let mut stranger = last.clone();
    stranger.source.set_ip(if scene.v6 {
        Ipv6Addr::UNSPECIFIED.into()
    } else {
        Ipv4Addr::BROADCAST.into()
    });
    let case = case
        .packet("hop limit 1", &last, told(&last))
        .packet("hop limit 0", &none, told(&none))
        .packet("hop limit 1, long", &long, told(&long))
        .packet(
            "hop limit 1, from nobody",
            &stranger,
            Expect::drop(Reason::HopLimit).of(0),
        )
        .packet("hop limit 2", &opening, scene.opened(&opening, 0, 0));
    if !scene.is_nat() {
        return case;
    }
    let used_up = reply.clone().hop_limit(1);
    case.packet(
        "reply with hop limit 1",
        &used_up,
        told(&used_up).at(0).replying(),
    )
    .packet("reply", &reply, scene.returned(&reply, 0, 0))
}

/// Protocols that services do not balance.
fn other_protocols(scene: Scene) -> Case {
    let mut case = Case::new(
        format!("{scene}: other transport protocols go to the host"),
        &mut scene.setup(1),
    );
    // ICMP, GRE, ESP, ICMPv6, no next header, SCTP, UDP-Lite, reserved. Hop-by-hop options and
    // the like are extension headers only in IPv6.
    for protocol in [1, 47, 50, 58, 59, 132, 136, 255] {
        let packet = Packet::raw(scene.client(0), scene.vip(), protocol);
        let name = format!("protocol {protocol}");
        case = case.packet(&name, &packet, Expect::pass(Reason::OtherProtocol));
    }
    if !scene.v6 {
        for protocol in [0, 43, 44, 51, 60] {
            let packet = Packet::raw(scene.client(0), scene.vip(), protocol);
            let name = format!("IPv6 extension header {protocol} in IPv4");
            case = case.packet(&name, &packet, Expect::pass(Reason::OtherProtocol));
        }
    }
    case
}

/// Headers that contradict themselves or the frame.
fn contradictions() -> Case {
    let scene = Scene::PLAIN;
    let good = scene.opening(0).bytes();
    let with = |changes: &[(usize, u8)]| {
        let mut bytes = good.clone();
        for (at, byte) in changes {
            bytes[IP + at] = *byte;
        }
        bytes
    };
    let total = (good.len() - IP) as u8;
    let malformed = || Expect::drop(Reason::Malformed);
    let mut case = Case::new(
        "IPv4 headers that contradict themselves or the frame",
        &mut scene.setup(1),
    )
    .bytes("version 6", with(&[(0, 0x65)]), malformed())
    .bytes("version 0", with(&[(0, 0x05)]), malformed())
    .bytes("no header length", with(&[(0, 0x40)]), malformed())
    .bytes("four words of header", with(&[(0, 0x44)]), malformed())
    .bytes("header up to the end", with(&[(0, 0x4f)]), malformed())
    .bytes("one byte too long", with(&[(3, total + 1)]), malformed())
    .bytes("65535 bytes", with(&[(2, 255), (3, 255)]), malformed())
    .bytes("no length", with(&[(3, 0)]), malformed())
    .bytes("shorter than its header", with(&[(3, 19)]), malformed())
    .bytes("header alone", with(&[(3, 20)]), malformed())
    .bytes("TCP header cut", with(&[(3, 39)]), malformed());
    for length in IP..good.len() {
        case = case.bytes("frame cut", good[..length].to_vec(), malformed());
    }
    case
}
