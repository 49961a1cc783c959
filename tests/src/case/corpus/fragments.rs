//! Fragments: none of a VIP's reach a backend or the host.

use lb_common::abi::Reason;

use crate::case::{Case, Expect, Scene};
use crate::packet::{Extension, Packet};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for scene in Scene::all() {
        cases.push(of_a_vip(scene));
        cases.push(of_others(scene));
        cases.push(tiny(scene));
    }
    cases.push(atomic());
    cases
}

/// A later fragment: payload without a transport header.
fn later(scene: Scene, to: std::net::SocketAddr, offset: u16, more: bool) -> Packet {
    Packet::raw(scene.client(0), to, scene.protocol.number()).fragment(offset, more)
}

fn of_a_vip(scene: Scene) -> Case {
    let first = scene.opening(0).fragment(0, true);
    let fragment = || Expect::drop(Reason::Fragment);
    let mut other_port = first.clone();
    other_port.destination.set_port(81);
    Case::new(
        format!("{scene}: fragments to a VIP are dropped, whatever the port"),
        &mut scene.setup(1),
    )
    .packet("first", &first, fragment())
    .packet("first, to another port", &other_port, fragment())
    .packet("later", &later(scene, scene.vip(), 2, true), fragment())
    .packet("last", &later(scene, scene.vip(), 8191, false), fragment())
    .packet(
        "of another protocol",
        &Packet::raw(scene.client(0), scene.vip(), 132).fragment(0, true),
        fragment(),
    )
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
    let behind = scene
        .opening(0)
        .extension(Extension::HOP_BY_HOP)
        .extension(Extension::ROUTING)
        .fragment(0, true);
    let inside = scene.opening(0).fragment(0, true).extension(atomic.clone());
    Case::new(
        "v6: an atomic fragment is a whole packet",
        &mut scene.setup(1),
    )
    .packet("atomic", &opening, scene.opened(&opening, 0, 0))
    .packet("between others", &around, scene.promoted(&around, 0, 0))
    .packet(
        "a real fragment behind others",
        &behind,
        Expect::drop(Reason::Fragment),
    )
    .packet(
        "a real fragment with an atomic one inside",
        &inside,
        Expect::drop(Reason::Fragment),
    )
}
