//! Packets inside others: `ipip` and `gue`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use lb_common::abi::limits::ERRORS;
use lb_common::abi::{FlowState, Reason};

use crate::case::{Case, Expect, Scene};
use crate::packet::Packet;

/// The longest packet on the way to every backend.
const MTU: usize = 1500;

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for scene in Scene::all() {
        if scene.forward.is_tunnel() {
            cases.push(sources(scene));
            cases.push(traffic_classes(scene));
            cases.push(padding(scene));
            cases.push(too_big(scene));
            cases.push(too_many_errors(scene));
            cases.push(no_room(scene));
        }
    }
    cases
}

/// The last bits of our end are the flow's.
fn sources(scene: Scene) -> Case {
    let prefix: IpNet = match scene.our_address() {
        IpAddr::V4(_) => "172.16.0.0/16".parse(),
        IpAddr::V6(_) => "100::/64".parse(),
    }
    .unwrap_or_else(|error| panic!("a prefix: {error}"));
    let from = |packet: &Packet| {
        let flow = packet.flow();
        let mut sent = scene.at_backend(packet, 0);
        if let Some(outer) = &mut sent.outer {
            outer.source = match prefix.addr() {
                IpAddr::V4(first) => Ipv4Addr::from_bits(first.to_bits() | flow & 0xffff).into(),
                IpAddr::V6(first) => Ipv6Addr::from_bits(first.to_bits() | u128::from(flow)).into(),
            };
        }
        sent
    };
    let mut case = Case::new(
        format!("{scene}: the tunnel's source varies with the flow"),
        &mut scene.setup(1).tunnels(&[prefix]),
    );
    for client in 0..5 {
        let (opening, following) = (scene.opening(client), scene.following(client));
        let sent = |packet: &Packet| Expect::to_backend(0, 0, &from(packet));
        case = case
            .packet(
                "first packet",
                &opening,
                sent(&opening).new_flow().change(scene.laid(client, 0)),
            )
            .packet(
                "second packet",
                &following,
                sent(&following).change(scene.moved_up(client, 0, FlowState::ESTABLISHED)),
            );
    }
    case
}

/// RFC 6040, section 4.1: the outer header says what the inner one does.
fn traffic_classes(scene: Scene) -> Case {
    let mut case = scene.begin("DSCP and ECN show outside the tunnel");
    for class in [0x01, 0x02, 0x03, 0x04, 0xb8, 0xff] {
        let packet = scene.following(0).traffic_class(class);
        let name = format!("traffic class {class:#04x}");
        case = case.packet(&name, &packet, scene.forwarded(&packet, 0));
    }
    case
}

/// What pads a short frame is no part of the packet.
fn padding(scene: Scene) -> Case {
    let mut case = scene.begin("link padding is not counted in the tunnel");
    for bytes in [1, 6, 18] {
        let packet = scene.following(0).payload(&[]).padding(bytes);
        let name = format!("{bytes} bytes of padding");
        case = case.packet(&name, &packet, scene.forwarded(&packet, 0));
    }
    case
}

/// The longest packet that fits the way to the backend, and one byte more.
fn too_big(scene: Scene) -> Case {
    let empty = scene.following(0).payload(&[]);
    let headers = scene.at_backend(&empty, 0).bytes().len() - 14;
    let payload = vec![0x55; MTU - headers + 1];
    let fits = scene.following(0).payload(&payload[1..]);
    let exceeds = scene.following(0).payload(&payload);
    let fitting = fits.bytes().len() - 14;
    let told = |packet: &Packet| {
        let error = packet.too_big(fitting as u32);
        Expect::to_backend(0, 0, &error).because(Reason::TooBigTold)
    };
    let tagged = exceeds.clone().tag(0x8100, 7);
    let long = exceeds.clone().payload(&[0xaa; 3000]);
    scene
        .begin("whose packet does not fit the tunnel is told what would")
        .packet("fits", &fits, scene.forwarded(&fits, 0))
        .packet("a byte too long", &exceeds, told(&exceeds))
        .packet("on a VLAN", &tagged, told(&tagged))
        .packet("far too long", &long, told(&long))
}

/// So many errors in a second that no more are sent.
fn too_many_errors(scene: Scene) -> Case {
    let exceeds = scene.following(0).payload(&[0; MTU]);
    let empty = scene.following(0).payload(&[]);
    let inner = empty.bytes().len();
    let fits = MTU - (scene.at_backend(&empty, 0).bytes().len() - inner);
    let mut case = scene.begin("after a hundred errors in a second packets too long are dropped");
    for _ in 0..ERRORS {
        let error = exceeds.too_big(fits as u32);
        let told = Expect::to_backend(0, 0, &error).because(Reason::TooBigTold);
        case = case.packet("told", &exceeds, told);
    }
    case.packet(
        "dropped",
        &exceeds,
        Expect::drop(Reason::TooBig).of(0).at(0),
    )
    .host_only("the kernel's clock goes on meanwhile", None)
}

/// A driver that leaves no room before the packet.
fn no_room(scene: Scene) -> Case {
    let opening = scene.opening(0);
    Case::new(
        format!("{scene}: a frame that cannot grow is dropped"),
        &mut scene.setup(1),
    )
    .packet(
        "first packet",
        &opening,
        Expect::drop(Reason::NoHeadroom)
            .of(0)
            .at(0)
            .new_flow()
            .change(scene.laid(0, 0)),
    )
    .host_only(
        "the kernel leaves room before every packet that it runs a program on",
        Some(|world| world.writes = Some(0)),
    )
}
