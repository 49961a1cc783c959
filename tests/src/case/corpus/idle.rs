//! Time: what is forgotten when, and what keeps an entry alive.

use lb_common::abi::{FlowState, Hop, Reason};

use crate::case::{Case, Change, Expect, Scene};
use crate::packet::{ACK, FIN, Packet};
use crate::ring::Table::{Established, Pending};
use crate::world::{INTERFACE, OUR_MAC};

/// RFC 5382, REQ-5: an established TCP connection, 2 hours 4 minutes.
const ESTABLISHED_S: u64 = 7440;
/// RFC 5382, REQ-5: a connection that opens or closes, 4 minutes.
const TRANSITORY_S: u64 = 240;
/// RFC 4787, REQ-5: UDP, 5 minutes.
const UDP_S: u64 = 300;

/// Another router that a client's packets may come through.
const OTHER_ROUTER: [u8; 6] = [0x02, 0, 0, 0, 0xc0, 0x02];

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for scene in Scene::all() {
        if scene.is_tcp() {
            cases.push(pending_tcp(scene));
            cases.push(established_tcp(scene));
            cases.push(closing_tcp(scene));
        } else {
            cases.push(udp(scene));
        }
    }
    for scene in Scene::all_nat() {
        cases.push(reply_refreshes(scene));
        cases.push(client_moves(scene));
        cases.push(client_moves_while_pending(scene));
        cases.push(way_back_forgotten(scene));
    }
    for scene in Scene::all_sharing_port() {
        cases.push(old_way_back(scene));
        cases.push(pending_port_changes_hands(scene));
        if scene.is_tcp() {
            cases.push(port_changes_hands(scene));
        }
    }
    cases
}

/// The fewest ticks that are not shorter than so many seconds.
fn ticks(seconds: u64) -> u32 {
    (seconds * 1_000_000_000).div_ceil(1 << 30) as u32
}

fn pending_tcp(scene: Scene) -> Case {
    let opening = scene.opening(0);
    let idle = ticks(TRANSITORY_S);
    Case::new(
        format!("{scene}: a flow that is opening is forgotten after four minutes"),
        &mut scene.setup(2),
    )
    .packet("SYN", &opening, scene.opened(&opening, 0, 0))
    .wait(idle)
    .packet(
        "SYN in time",
        &opening,
        scene
            .forwarded(&opening, 0)
            .change(scene.state(Pending, 0, 0, FlowState::PENDING)),
    )
    .wait(idle + 1)
    .packet("SYN too late", &opening, reopened(scene, &opening, Pending))
}

fn established_tcp(scene: Scene) -> Case {
    let (opening, following) = (scene.opening(0), scene.following(0));
    let idle = ticks(ESTABLISHED_S);
    Case::new(
        format!("{scene}: an established flow is forgotten after two hours and four minutes"),
        &mut scene.setup(1),
    )
    .packet("SYN", &opening, scene.opened(&opening, 0, 0))
    .packet("ACK", &following, scene.promoted(&following, 0, 0))
    .wait(idle)
    .packet(
        "packet in time",
        &following,
        scene.forwarded(&following, 0).change(scene.state(
            Established,
            0,
            0,
            FlowState::ESTABLISHED,
        )),
    )
    .wait(idle + 1)
    .packet("packet too late", &following, strayed(scene, &following))
}

fn closing_tcp(scene: Scene) -> Case {
    let (opening, following) = (scene.opening(0), scene.following(0));
    let fin = scene.from_client(0, FIN | ACK);
    let idle = ticks(TRANSITORY_S);
    Case::new(
        format!("{scene}: a flow that is closing is forgotten after four minutes"),
        &mut scene.setup(1),
    )
    .packet("SYN", &opening, scene.opened(&opening, 0, 0))
    .packet("ACK", &following, scene.promoted(&following, 0, 0))
    .packet(
        "FIN",
        &fin,
        scene
            .forwarded(&fin, 0)
            .change(scene.state(Established, 0, 0, FlowState::CLOSING)),
    )
    .wait(idle + 1)
    .packet("packet too late", &following, strayed(scene, &following))
}

fn udp(scene: Scene) -> Case {
    let packet = scene.opening(0);
    let idle = ticks(UDP_S);
    Case::new(
        format!("{scene}: a flow is forgotten after five minutes"),
        &mut scene.setup(2),
    )
    .packet("first packet", &packet, scene.opened(&packet, 0, 0))
    .packet("second packet", &packet, scene.promoted(&packet, 0, 0))
    .wait(idle)
    .packet(
        "packet in time",
        &packet,
        scene
            .forwarded(&packet, 0)
            .change(scene.state(Established, 0, 0, FlowState::ESTABLISHED)),
    )
    .wait(idle + 1)
    .packet(
        "packet too late",
        &packet,
        reopened(scene, &packet, Established),
    )
}

/// The flow is forgotten and scheduled anew, to the second backend.
fn reopened(scene: Scene, packet: &Packet, from: crate::ring::Table) -> Expect {
    scene
        .forwarded(packet, 1)
        .new_flow()
        .change(scene.gone(from, 0, 0))
        .change(scene.laid(0, 1))
}

/// The flow is forgotten and its packet is a stray.
fn strayed(scene: Scene, packet: &Packet) -> Expect {
    scene
        .forwarded(packet, 0)
        .because(Reason::Stray)
        .change(scene.gone(Established, 0, 0))
        .change(scene.laid(0, 0))
}

fn reply_refreshes(scene: Scene) -> Case {
    let (opening, following) = (scene.opening(0), scene.following(0));
    let reply = scene.reply(0, 0, ACK);
    Case::new(
        format!("{scene}: a reply keeps the way back alive, in either table"),
        &mut scene.setup(1),
    )
    .packet("first packet", &opening, scene.opened(&opening, 0, 0))
    .wait(10)
    .packet(
        "reply while pending",
        &reply,
        scene
            .returned(&reply, 0, 0)
            .change(scene.refreshed(Pending, 0, 0, FlowState::PENDING)),
    )
    .packet(
        "second packet",
        &following,
        scene.promoted(&following, 0, 0),
    )
    .wait(10)
    .packet(
        "reply when established",
        &reply,
        scene.returned(&reply, 0, 0).change(scene.refreshed(
            Established,
            0,
            0,
            FlowState::ESTABLISHED,
        )),
    )
}

/// The way back over another router.
fn other_way(scene: Scene) -> Change {
    let mut way = scene.way_back(0, 0);
    way.state = FlowState::ESTABLISHED;
    way.hop = Hop::new(INTERFACE, OTHER_ROUTER, OUR_MAC);
    Change::Reverse(Established, scene.reply_tuple(0, 0), Some(way))
}

fn client_moves(scene: Scene) -> Case {
    let moved = scene.following(0).link(OTHER_ROUTER, OUR_MAC);
    let reply = scene.reply(0, 0, ACK);
    let back = scene.at_client(&reply, 0).link(OUR_MAC, OTHER_ROUTER);
    scene
        .begin("replies follow the client to another router")
        .wait(10)
        .packet(
            "packet by another router",
            &moved,
            scene
                .forwarded(&moved, 0)
                .change(scene.state(Established, 0, 0, FlowState::ESTABLISHED))
                .change([other_way(scene)]),
        )
        .packet("reply", &reply, Expect::to_client(0, 0, &back))
}

fn client_moves_while_pending(scene: Scene) -> Case {
    let (opening, following) = (scene.opening(0), scene.following(0));
    let moved = following.link(OTHER_ROUTER, OUR_MAC);
    Case::new(
        format!("{scene}: a promoted flow's replies go where its last packet came from"),
        &mut scene.setup(1),
    )
    .packet("first packet", &opening, scene.opened(&opening, 0, 0))
    .packet(
        "second packet by another router",
        &moved,
        scene.promoted(&moved, 0, 0).change([other_way(scene)]),
    )
}

fn old_way_back(scene: Scene) -> Case {
    let reply = scene.reply(0, 0, ACK);
    let other = scene.opening(1);
    scene
        .begin("a way back that nobody used for long leads nowhere, and its port is free")
        .wait(ticks(ESTABLISHED_S) + 1)
        .packet("late reply", &reply, Expect::pass(Reason::NotOurs))
        .packet(
            "another client",
            &other,
            scene.opened(&other, 1, 0).change([Change::Reverse(
                Established,
                scene.reply_tuple(0, 0),
                None,
            )]),
        )
        .packet("its reply", &reply, scene.returned(&reply, 1, 0))
}

/// A port that is taken from a flow that rests does not lead the two into each other.
///
/// There is one port only, so every try is of the last kind, which leaves a port two ticks.
const PRESSED: u32 = 3;

/// The first client's connection is closed, the second has its port: the first comes back.
fn port_changes_hands(scene: Scene) -> Case {
    let (opening, following) = (scene.opening(0), scene.following(0));
    let fin = scene.from_client(0, FIN | ACK);
    let (other, other_following) = (scene.opening(1), scene.following(1));
    let reply = scene.reply(0, 0, ACK);
    Case::new(
        format!("{scene}: a closed flow that comes back leaves its port to the one who has it"),
        &mut scene.setup(1),
    )
    .packet("SYN", &opening, scene.opened(&opening, 0, 0))
    .packet("FIN", &fin, {
        let changes = scene.moved_up(0, 0, FlowState::CLOSING);
        scene.forwarded(&fin, 0).change(changes)
    })
    .wait(PRESSED)
    .packet(
        "another client",
        &other,
        scene
            .opened(&other, 1, 0)
            .change([lost_way(scene, Established)]),
    )
    .packet(
        "its second packet",
        &other_following,
        scene.promoted(&other_following, 1, 0),
    )
    .packet(
        "the first client's late ACK",
        &following,
        no_port(scene).change([flow_gone(scene, Established)]),
    )
    .packet("SYN of the first client", &opening, {
        no_port(scene).change([Change::Cursor(0)])
    })
    .packet("reply", &reply, scene.returned(&reply, 1, 0))
}

/// The first client's SYN was never answered, the second client has its port: the first repeats
/// its SYN, or its datagram.
fn pending_port_changes_hands(scene: Scene) -> Case {
    let opening = scene.opening(0);
    let other = scene.opening(1);
    let reply = scene.reply(0, 0, ACK);
    Case::new(
        format!("{scene}: a repeated first packet leaves its port to the one who has it"),
        &mut scene.setup(1),
    )
    .packet("first packet", &opening, scene.opened(&opening, 0, 0))
    .wait(PRESSED)
    .packet("another client", &other, scene.opened(&other, 1, 0))
    .packet(
        "first packet again",
        &opening.clone().link(OTHER_ROUTER, OUR_MAC),
        no_port(scene).change([flow_gone(scene, Pending), Change::Cursor(0)]),
    )
    .packet("reply", &reply, scene.returned(&reply, 1, 0))
}

/// The only port is another flow's.
fn no_port(scene: Scene) -> Expect {
    debug_assert!(scene.shares_port());
    Expect::drop(Reason::NoPort).of(0).at(0)
}

fn flow_gone(scene: Scene, table: crate::ring::Table) -> Change {
    Change::Flow(table, scene.tuple(0), None)
}

fn lost_way(scene: Scene, table: crate::ring::Table) -> Change {
    Change::Reverse(table, scene.reply_tuple(0, 0), None)
}

/// A table forgets the way back of a flow that it has not forgotten.
fn way_back_forgotten(scene: Scene) -> Case {
    let following = scene.following(0);
    let reply = scene.reply(0, 0, ACK);
    scene
        .begin("a way back that the table has forgotten is laid again")
        .forget_ways_back(vec![lost_way(scene, Established)])
        .packet("reply", &reply, Expect::pass(Reason::NotOurs))
        .wait(10)
        .packet(
            "third packet",
            &following,
            scene.forwarded(&following, 0).change(scene.state(
                Established,
                0,
                0,
                FlowState::ESTABLISHED,
            )),
        )
        .packet("reply", &reply, scene.returned(&reply, 0, 0))
}
