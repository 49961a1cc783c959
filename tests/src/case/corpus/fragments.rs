//! Fragments: the first of a datagram names the ports, and the later ones follow it.

use lb_common::abi::datagram::SPANS;
use lb_common::abi::{Datagram, FlowState, Reason};
use lb_userspace::document::{Action, Rule};

use crate::case::{Case, Expect, Scene};
use crate::packet::{ACK, Extension, Packet};
use crate::ring::Table;
use crate::world::rule;

/// Units of eight bytes in a first fragment, and in each of those that follow it.
const FIRST: u16 = 5;
const PART: u16 = 3;

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for scene in Scene::all() {
        cases.push(in_order(scene));
        cases.push(out_of_order(scene));
        if scene.is_nat() {
            cases.push(of_a_reply(scene));
        }
        if scene.crosses && scene.is_nat() {
            cases.push(between_families(scene));
        }
        cases.push(without_first(scene));
        cases.push(of_others(scene));
        cases.push(tiny(scene));
    }
    for v6 in [false, true] {
        let scene = Scene { v6, ..Scene::PLAIN };
        cases.push(overlapping(scene));
        cases.push(scattered(scene));
        cases.push(malformed(scene));
        cases.push(late(scene));
        cases.push(behind_firewall(scene));
    }
    cases.push(atomic());
    cases.push(behind_extensions());
    cases
}

/// A first fragment of a packet: so long that others may follow.
fn first(scene: Scene, packet: Packet) -> Packet {
    let header = if scene.is_tcp() { 20 } else { 8 };
    let payload = vec![0x11; usize::from(FIRST) * 8 - header];
    packet.payload(&payload).fragment(0, true)
}

/// A later fragment of it: payload without a transport header.
fn follow(scene: Scene, packet: &Packet, offset: u16, units: u16, more: bool) -> Packet {
    let payload: Vec<u8> = (0..units * 8).map(|byte| byte as u8).collect();
    Packet::raw(packet.source, packet.destination, scene.protocol.number())
        .link(packet.from_mac, packet.to_mac)
        .payload(&payload)
        .fragment(offset, more)
}

/// A later fragment of a client's.
fn later(scene: Scene, to: std::net::SocketAddr, offset: u16, more: bool) -> Packet {
    let mut packet = scene.opening(0);
    packet.destination = to;
    follow(scene, &packet, offset, PART, more)
}

fn unknown() -> Expect {
    Expect::drop(Reason::Fragment)
}

fn overlap() -> Expect {
    Expect::drop(Reason::OverlappingFragment)
}

fn in_order(scene: Scene) -> Case {
    let begins = first(scene, scene.opening(0));
    let [second, third] = [FIRST, FIRST + PART].map(|at| later(scene, scene.vip(), at, true));
    let mut last = later(scene, scene.vip(), FIRST + 2 * PART, false);
    last.payload.truncate(13);
    Case::new(
        format!("{scene}: later fragments go where the first went"),
        &mut scene.setup(2),
    )
    .packet("first", &begins, scene.opened(&begins, 0, 0))
    .packet("second", &second, scene.promoted(&second, 0, 0))
    .packet("third", &third, scene.forwarded(&third, 0))
    .packet("last", &last, scene.forwarded(&last, 0))
    .packet("one too many", &last, unknown())
    .packet("another first", &begins, again(scene, &begins))
    .packet("its second", &second, scene.forwarded(&second, 0))
}

/// A client's opening packet on its established flow: another SYN changes nothing.
fn again(scene: Scene, packet: &Packet) -> Expect {
    scene.forwarded(packet, 0)
}

fn out_of_order(scene: Scene) -> Case {
    let begins = first(scene, scene.following(0));
    let at = |step: u16| FIRST + step * PART;
    let mut case = scene
        .begin("fragments behind the first may come in any order")
        .packet("first", &begins, scene.forwarded(&begins, 0));
    for step in [2, 4, 0, 1] {
        let part = later(scene, scene.vip(), at(step), step != 4);
        case = case.packet(&format!("part {step}"), &part, scene.forwarded(&part, 0));
    }
    let part = later(scene, scene.vip(), at(3), true);
    case.packet("the last to come", &part, scene.forwarded(&part, 0))
        .packet("once more", &part, unknown())
}

fn of_a_reply(scene: Scene) -> Case {
    let begins = first(scene, scene.reply(0, 0, ACK));
    let middle = follow(scene, &begins, FIRST, PART, true);
    let last = follow(scene, &begins, FIRST + PART, PART, false);
    scene
        .begin("later fragments of a reply go where the first went")
        .packet("first", &begins, scene.returned(&begins, 0, 0))
        .packet("second", &middle, scene.returned(&middle, 0, 0))
        .packet("last", &last, scene.returned(&last, 0, 0))
        .packet("one too many", &last, Expect::pass(Reason::NotOurs))
}

/// What lies between a fragment's header and the transport header has no place in IPv4.
fn between_families(scene: Scene) -> Case {
    let (packet, refused) = if scene.v6 {
        (scene.following(0), unknown().of(0).at(0))
    } else {
        (scene.reply(0, 0, ACK), unknown().of(0).at(0).replying())
    };
    let begins = first(scene, packet).extension(Extension::DESTINATION);
    scene
        .begin("a fragment with more headers stays in its family")
        .packet("first", &begins, refused)
}

fn without_first(scene: Scene) -> Case {
    let mut other_port = first(scene, scene.opening(0));
    other_port.destination.set_port(81);
    let mut other_client = first(scene, scene.opening(1));
    other_client.destination.set_port(81);
    let other_protocol = Packet::raw(scene.client(0), scene.vip(), 132).fragment(0, true);
    let pass = || Expect::pass(Reason::NotOurs);
    Case::new(
        format!("{scene}: fragments to a VIP that do not say whose they are"),
        &mut scene.setup(1),
    )
    .packet("later", &later(scene, scene.vip(), 2, true), unknown())
    .packet("last", &later(scene, scene.vip(), 8188, false), unknown())
    .packet("first of another protocol", &other_protocol, unknown())
    .packet("first to another port", &other_port, pass())
    .packet(
        "later, to that port",
        &later(scene, other_port.destination, FIRST, false),
        pass(),
    )
    .packet("first of another client", &other_client, pass())
    .packet(
        "later, of the former",
        &later(scene, scene.vip(), FIRST, false),
        unknown(),
    )
}

fn overlapping(scene: Scene) -> Case {
    let begins = first(scene, scene.following(0));
    let at = |offset: u16, more: bool| later(scene, scene.vip(), offset, more);
    let (far, near) = (at(20, true), at(FIRST, true));
    scene
        .begin("fragments that overlap")
        .packet("first", &begins, scene.forwarded(&begins, 0))
        .packet("over its end", &at(FIRST - 1, true), overlap())
        .packet("inside of it", &at(2, true), overlap())
        .packet("further on", &far, scene.forwarded(&far, 0))
        .packet("once more", &far, overlap())
        .packet("into it", &at(18, true), overlap())
        .packet("a last one before it", &at(10, false), overlap())
        .packet("what fits", &near, scene.forwarded(&near, 0))
}

fn scattered(scene: Scene) -> Case {
    let begins = first(scene, scene.following(0));
    let mut case = scene.begin("fragments with too many gaps").packet(
        "first",
        &begins,
        scene.forwarded(&begins, 0),
    );
    for step in 1..SPANS as u16 {
        let part = later(scene, scene.vip(), 10 * step, true);
        case = case.packet(&format!("gap {step}"), &part, scene.forwarded(&part, 0));
    }
    case.packet(
        "one gap more",
        &later(scene, scene.vip(), 200, true),
        unknown(),
    )
}

fn malformed(scene: Scene) -> Case {
    let drop = || Expect::drop(Reason::Malformed);
    let mut odd = first(scene, scene.following(0));
    odd.payload.push(0);
    let mut odd_later = later(scene, scene.vip(), FIRST, true);
    odd_later.payload.push(0);
    let mut empty = odd_later.clone();
    empty.payload.clear();
    scene
        .begin("fragments that contradict themselves")
        .packet("a first that ends in a unit", &odd, drop())
        .packet("a later one that ends in a unit", &odd_later, drop())
        .packet("an empty one", &empty, drop())
        .packet(
            "behind 65,535",
            &later(scene, scene.vip(), 8191, false),
            drop(),
        )
}

fn late(scene: Scene) -> Case {
    let begins = first(scene, scene.following(0));
    let part = later(scene, scene.vip(), FIRST, true);
    let renewed = || {
        let refreshed = scene.state(Table::Established, 0, 0, FlowState::ESTABLISHED);
        scene.forwarded(&part, 0).change(refreshed)
    };
    scene
        .begin("a fragment that comes late")
        .packet("first", &begins, scene.forwarded(&begins, 0))
        .wait(Datagram::LIFETIME - 2)
        .packet("in time", &part, renewed())
        .wait(4)
        .packet(
            "late",
            &later(scene, scene.vip(), FIRST + PART, true),
            unknown(),
        )
}

/// What follows a first fragment is judged by its ports too.
fn behind_firewall(scene: Scene) -> Case {
    let denied = first(scene, scene.opening(0));
    let dropped = Expect::drop(Reason::FirewallDrop).rule(1);
    let source_port = Rule {
        protocol: Some(scene.protocol.number()),
        source_port: vec![(40_000, 40_000)],
        ..rule("one source port", Action::Drop)
    };
    Case::new(
        format!("{scene}: the firewall drops a first fragment, and none follows"),
        &mut scene.setup(1).rule(source_port),
    )
    .packet("first", &denied, dropped)
    .packet("later", &later(scene, scene.vip(), FIRST, false), unknown())
}

fn of_others(scene: Scene) -> Case {
    let mut to = scene.vip();
    to.set_ip(scene.other_address());
    let mut first = scene.opening(0).fragment(0, true);
    first.destination = to;
    Case::new(
        format!("{scene}: fragments to other addresses go to the host"),
        &mut scene.setup(1),
    )
    .packet("first", &first, Expect::pass(Reason::NotOurs))
    .packet(
        "later",
        &later(scene, to, 2, false),
        Expect::pass(Reason::NotOurs),
    )
}

/// RFC 1858: fragments made to deceive a filter.
fn tiny(scene: Scene) -> Case {
    let header = if scene.is_tcp() { 20 } else { 8 };
    let tiny = || Expect::drop(Reason::TinyFragment);
    let mut case = Case::new(
        format!("{scene}: fragments that hide or overwrite a transport header"),
        &mut scene.setup(1),
    )
    .packet("offset 1", &later(scene, scene.vip(), 1, false), tiny())
    .packet(
        "offset 1, more",
        &later(scene, scene.vip(), 1, true),
        tiny(),
    );
    for length in 0..header {
        let packet = Packet::raw(scene.client(0), scene.vip(), scene.protocol.number())
            .payload(&vec![0x50; length])
            .fragment(0, true);
        case = case.packet("first without a whole header", &packet, tiny());
    }
    case
}

/// RFC 6946: an atomic fragment is a whole packet; also with other headers around.
fn atomic() -> Case {
    let scene = Scene {
        v6: true,
        ..Scene::PLAIN
    };
    let atomic = Extension::Fragment {
        offset: 0,
        more: false,
    };
    let opening = scene.opening(0).extension(atomic.clone());
    let around = scene
        .following(0)
        .extension(Extension::HOP_BY_HOP)
        .extension(atomic.clone())
        .extension(Extension::DESTINATION);
    let inside = first(scene, scene.following(0)).extension(atomic);
    let behind = later(scene, scene.vip(), FIRST + 1, true);
    Case::new(
        "v6: an atomic fragment is a whole packet",
        &mut scene.setup(1),
    )
    .packet("atomic", &opening, scene.opened(&opening, 0, 0))
    .packet("between others", &around, scene.promoted(&around, 0, 0))
    .packet(
        "a real fragment with an atomic one inside",
        &inside,
        scene.forwarded(&inside, 0),
    )
    .packet("behind it", &behind, scene.forwarded(&behind, 0))
}

/// A first fragment behind and before other headers: its place is where the fragment header says.
fn behind_extensions() -> Case {
    let scene = Scene {
        v6: true,
        ..Scene::PLAIN
    };
    let around = |packet: Packet| packet.extension(Extension::HOP_BY_HOP);
    let header = if scene.is_tcp() { 20 } else { 8 };
    let payload = vec![0x22; 40 - header];
    let begins = around(scene.following(0).payload(&payload))
        .fragment(0, true)
        .extension(Extension::DESTINATION);
    let plain = Packet::raw(scene.client(0), scene.vip(), 60).payload(&[0x33; 24]);
    let later = |offset: u16| around(plain.clone()).fragment(offset, false);
    scene
        .begin("a fragment among other extension headers")
        .packet("first", &begins, scene.forwarded(&begins, 0))
        .packet("over its end", &later(5), overlap())
        .packet("behind it", &later(6), scene.forwarded(&later(6), 0))
}
