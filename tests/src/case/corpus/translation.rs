//! `nat`, which keeps the client's address, and `full-nat` between the address families.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use lb_common::abi::Reason;

use crate::case::{Case, Change, Expect, NAT_PORT, Scene};
use crate::packet::{ACK, Packet};
use crate::ring::Table::Pending;
use crate::world::BackendSetup;

/// The longest packet on the way to every backend.
const MTU: usize = 1500;

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for scene in Scene::all_nat() {
        if !scene.shares_port() {
            cases.push(port_is_taken(scene));
            cases.push(not_a_reply(scene));
        }
        if scene.crosses {
            cases.push(lengths(scene));
            cases.push(traffic_classes(scene));
            cases.push(mapped_addresses(scene));
            if !scene.v6 {
                cases.push(too_big(scene));
            }
            if !scene.is_tcp() && !scene.v6 {
                cases.push(no_checksum(scene));
            }
        }
    }
    cases
}

/// One client port towards two VIPs whose backend is the same: the second flow cannot have it.
fn port_is_taken(scene: Scene) -> Case {
    let opening = scene.opening(0);
    let mut vip = scene.vip();
    vip.set_port(81);
    let mut setup = scene.setup(1).service(
        "web on another port",
        vip,
        scene.protocol,
        scene.forward,
        &[BackendSetup::new(scene.backend(0))],
    );
    let mut other = opening.clone();
    other.destination = vip;
    let source = SocketAddr::new(other.source.ip(), NAT_PORT);
    let at_backend = |packet: &Packet| {
        packet
            .clone()
            .translated(source, scene.backend(0))
            .sent_to(&scene.backend_hop(0))
    };
    let mut tuple = scene.tuple(0);
    tuple.local = vip;
    let mut flow = scene.flow(1, lb_common::abi::FlowState::PENDING);
    flow.source_port = NAT_PORT;
    let mut way = scene.way_back(0, 1);
    (way.vip, way.service) = (vip, 1);
    let mut reply_tuple = scene.reply_tuple(0, 0);
    reply_tuple.local = source;
    let mut reply = scene.reply(0, 0, ACK);
    reply.destination = source;
    let answer = reply
        .clone()
        .translated(vip, other.source)
        .sent_to(&Scene::client_hop());
    Case::new(
        format!("{scene}: a client's port that its other flow to a backend has is another there"),
        &mut setup,
    )
    .packet("first service", &opening, scene.opened(&opening, 0, 0))
    .packet(
        "second service",
        &other,
        Expect::to_backend(1, 1, &at_backend(&other))
            .new_flow()
            .change([
                Change::Flow(Pending, tuple, Some(flow)),
                Change::Reverse(Pending, reply_tuple, Some(way)),
            ]),
    )
    .packet("its reply", &reply, Expect::to_client(1, 1, &answer))
    .packet(
        "the first one's reply",
        &scene.reply(0, 0, ACK),
        scene.returned(&scene.reply(0, 0, ACK), 0, 0),
    )
}

/// What a backend sends to anybody else is the host's to route.
fn not_a_reply(scene: Scene) -> Case {
    let opening = scene.opening(0);
    let mut elsewhere = scene.reply(0, 0, ACK);
    elsewhere.destination.set_port(40_001);
    let mut other_port = scene.reply(0, 0, ACK);
    other_port.source.set_port(8081);
    let stranger = scene.reply(1, 0, ACK);
    let ours = || Expect::pass(Reason::NotOurs);
    Case::new(
        format!("{scene}: what a backend sends to others goes to the host"),
        &mut scene.setup(1),
    )
    .packet("first packet", &opening, scene.opened(&opening, 0, 0))
    .packet("to another port of the client", &elsewhere, ours())
    .packet("from another port", &other_port, ours())
    .packet("to another client", &stranger, ours())
}

/// RFC 7915, section 5.1: up to 1,260 bytes an IPv4 packet may be cut, and has a number for that.
fn lengths(scene: Scene) -> Case {
    let mut case = scene.begin("packets of every length between families");
    let headers = if scene.is_tcp() { 40 } else { 28 };
    for length in [0, 1, 1260 - headers, 1261 - headers, 1400] {
        let packet = scene.following(0).payload(&vec![0x3c; length]);
        let reply = scene.reply(0, 0, ACK).payload(&vec![0x3c; length]);
        let name = format!("{length} bytes");
        case = case
            .packet(&name, &packet, scene.forwarded(&packet, 0))
            .packet(&name, &reply, scene.returned(&reply, 0, 0));
    }
    let short = scene.following(0).payload(&[]).padding(6);
    case.packet("padded", &short, scene.forwarded(&short, 0))
}

fn traffic_classes(scene: Scene) -> Case {
    let mut case = scene.begin("DSCP and ECN cross to the other family");
    for class in [0x01, 0x02, 0x03, 0x04, 0xb8, 0xff] {
        let packet = scene.following(0).traffic_class(class);
        let reply = scene.reply(0, 0, ACK).traffic_class(class);
        let name = format!("traffic class {class:#04x}");
        case = case
            .packet(&name, &packet, scene.forwarded(&packet, 0))
            .packet(&name, &reply, scene.returned(&reply, 0, 0));
    }
    case
}

/// Addresses that stand for IPv4 ones in the tables are nobody's on the wire.
fn mapped_addresses(scene: Scene) -> Case {
    let reply = scene.reply(0, 0, ACK);
    let mapped = |address: SocketAddr| match address.ip() {
        IpAddr::V4(ip) => SocketAddr::new(ip.to_ipv6_mapped().into(), address.port()),
        IpAddr::V6(_) => address,
    };
    let mut forged = reply.clone();
    if scene.v6 {
        (forged.source, forged.destination) = (mapped(reply.source), mapped(reply.destination));
    } else {
        // A client's address, and so a family that the backend does not have.
        let ours = Ipv4Addr::new(10, 0, 0, 1);
        forged.source = SocketAddr::new(ours.into(), reply.source.port());
        forged.destination = SocketAddr::new(ours.into(), NAT_PORT);
    }
    scene
        .begin("a reply with addresses of the wrong family is none")
        .packet("forged", &forged, Expect::pass(Reason::NotOurs))
        .packet("the reply", &reply, scene.returned(&reply, 0, 0))
}

/// The longest packet that fits the way to the backend in its family, and one byte more.
fn too_big(scene: Scene) -> Case {
    let headers = if scene.is_tcp() { 20 } else { 8 };
    let payload = vec![0x55; MTU - 40 - headers + 1];
    let fits = scene.following(0).payload(&payload[1..]);
    let exceeds = scene.following(0).payload(&payload);
    let error = exceeds.too_big((MTU - 20) as u32);
    let told = Expect::to_backend(0, 0, &error).because(Reason::TooBigTold);
    scene
        .begin("whose packet does not fit the other family is told what would")
        .packet("fits", &fits, scene.forwarded(&fits, 0))
        .packet("a byte too long", &exceeds, told)
}

/// RFC 7915, section 4.5: IPv6 asks for a checksum.
fn no_checksum(scene: Scene) -> Case {
    let packet = scene.following(0).without_checksum();
    let dropped = Expect::drop(Reason::NoChecksum).of(0).at(0);
    scene
        .begin("a UDP checksum that is not there")
        .packet("to a backend", &packet, dropped)
}
