//! ICMP errors: they go to whoever sent the packet that they quote, in the terms that it knows.

use std::net::{IpAddr, SocketAddr};

use lb_common::abi::Reason;
use lb_userspace::document::Forward;

use crate::case::{Case, Change, Expect, Scene};
use crate::packet::{ACK, Outer, Packet, Trouble};
use crate::world::OUR_MAC;

const TROUBLES: [(&str, Trouble); 3] = [
    ("too big", Trouble::TooBig(1400)),
    ("unreachable", Trouble::Unreachable),
    ("time exceeded", Trouble::TimeExceeded),
];
/// Bytes of a packet that are quoted: as few as RFC 792 lets a router, and more than there are.
const QUOTES: [usize; 3] = [20 + 8, 40 + 8, 1000];

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for scene in Scene::all() {
        if scene.forward == Forward::FullNat && scene.crosses {
            continue;
        }
        cases.push(to_backend(scene));
        cases.push(last_hop(scene));
        cases.push(nobodys(scene));
        if scene.is_nat() {
            cases.push(to_client(scene));
            if !scene.is_tcp() {
                cases.push(sum_of_zero(scene));
            }
        }
        if scene.forward.is_tunnel() {
            cases.push(about_tunnel(scene));
        }
    }
    cases
}

/// A router between us and the clients.
fn router(scene: Scene) -> SocketAddr {
    let address: IpAddr = if scene.v6 {
        [0x2001, 0xdb8, 0xe, 0, 0, 0, 0, 1].into()
    } else {
        [203, 0, 113, 1].into()
    };
    SocketAddr::new(address, 0)
}

/// Whether so few bytes hold a family's header and the ports behind it.
fn suffices(scene: Scene, bytes: usize) -> bool {
    bytes >= if scene.v6 { 48 } else { 28 }
}

/// A backend's packet as it comes from the backend, and as it is known beyond us.
fn answer(scene: Scene) -> (Packet, Packet) {
    if scene.is_nat() {
        let reply = scene.reply(0, 0, ACK);
        let seen = scene.at_client(&reply, 0);
        (reply.hop_limit(seen.hop_limit), seen)
    } else {
        let mut direct = scene.following(0);
        std::mem::swap(&mut direct.source, &mut direct.destination);
        (direct.clone(), direct)
    }
}

/// What a backend gets of an error about its packet.
fn at_backend(
    scene: Scene,
    error: &Packet,
    own: &Packet,
    trouble: Trouble,
    bytes: usize,
) -> Packet {
    if !scene.is_nat() {
        return scene.carried(error, &scene.following(0), 0);
    }
    let reporter = if scene.shares_port() {
        SocketAddr::new(scene.our_address(), 0)
    } else {
        router(scene)
    };
    let told = own.reported(reporter, trouble, bytes);
    told.hop_limit(error.hop_limit - 1)
        .sent_to(&scene.backend_hop(0))
}

fn expect(packet: &Packet) -> Expect {
    Expect::to_backend(0, 0, packet).because(Reason::IcmpError)
}

/// Errors about what a client was sent.
fn to_backend(scene: Scene) -> Case {
    let mut case = scene.begin("an error about a backend's packet goes to the backend");
    let (own, seen) = answer(scene);
    for (name, trouble) in TROUBLES {
        for bytes in QUOTES {
            let error = seen.reported(router(scene), trouble, bytes);
            let expected = if suffices(scene, bytes) {
                expect(&at_backend(scene, &error, &own, trouble, bytes))
            } else {
                Expect::pass(Reason::OtherProtocol)
            };
            case = case.packet(&format!("{name}, {bytes} bytes"), &error, expected);
        }
    }
    case
}

/// A quoted UDP header whose checksum comes out as zero has ones, because zeros mean none.
fn sum_of_zero(scene: Scene) -> Case {
    let (own, _) = answer(scene);
    // What the sum lacks makes it ones, whose complement is zero.
    let lacking = own.clone().payload(&[0, 0]).checksum().to_be_bytes();
    let own = own.payload(&lacking);
    assert_eq!(own.checksum(), 0xffff);
    let (name, trouble) = TROUBLES[1];
    let seen = scene.at_client(&own, 0).hop_limit(own.hop_limit);
    let error = seen.reported(router(scene), trouble, 1000);
    let told = at_backend(scene, &error, &own, trouble, 1000);
    let case = scene.begin("a quoted checksum of zero is sent as ones");
    case.packet(name, &error, expect(&told))
}

/// Errors about what a backend was sent.
fn to_client(scene: Scene) -> Case {
    let mut case = scene.begin("an error about a client's packet goes to the client");
    let following = scene.following(0);
    let sent = scene.at_backend(&following, 0);
    let own = following.hop_limit(sent.hop_limit);
    for (name, trouble) in TROUBLES {
        for bytes in QUOTES.into_iter().filter(|bytes| suffices(scene, *bytes)) {
            let mut error = sent.reported(scene.backend(0), trouble, bytes);
            error = error.link(scene.backend_hop(0).destination(), OUR_MAC);
            let told = own.reported(scene.vip(), trouble, bytes);
            let told = told.hop_limit(63).sent_to(&Scene::client_hop());
            case = case.packet(&format!("{name}, {bytes} bytes"), &error, expect(&told));
        }
    }
    case
}

/// What a router on the way to a backend says of a tunnel's packet.
fn about_tunnel(scene: Scene) -> Case {
    let far = scene.backend(0);
    let sent = scene.at_backend(&scene.following(0), 0);
    let said = |trouble: Trouble| sent.reported(scene.backend(1), trouble, 1000);
    let too_big = |mtu: u32| said(Trouble::TooBig(mtu));
    let learned = |mtu: u32| Expect::pass(Reason::PathMtu).change([Change::Path(far.ip(), mtu)]);
    let least = if far.is_ipv4() { 552 } else { 1280 };
    let pass = || Expect::pass(Reason::OtherProtocol);
    let mut elsewhere = too_big(1300);
    elsewhere.destination = SocketAddr::new(scene.backend(2).ip(), 0);
    let mut other = sent.clone();
    if let Some(Outer {
        udp: Some(ports), ..
    }) = &mut other.outer
    {
        ports.1 = 4789;
    }
    let other = other.reported(scene.backend(1), Trouble::TooBig(1300), 1000);
    let mut case = scene
        .begin("the path MTU of a tunnel is learned")
        .packet("too big", &too_big(1400), learned(1400))
        .packet("less", &too_big(1300), learned(1300))
        .packet("less than any link has", &too_big(100), learned(least))
        .packet("nothing said", &too_big(0), pass())
        .packet("unreachable", &said(Trouble::Unreachable), pass())
        .packet("to another", &elsewhere, pass());
    if far.is_ipv6() {
        // A field of four bytes, of which the last two alone say 1,400.
        let huge = 0x0001_0578;
        case = case.packet("more than any packet has", &too_big(huge), learned(huge));
    }
    if scene.forward == Forward::Gue {
        case = case.packet("of no tunnel", &other, pass());
    }
    case
}

fn last_hop(scene: Scene) -> Case {
    let (own, seen) = answer(scene);
    let (_, trouble) = TROUBLES[1];
    let error = seen.reported(router(scene), trouble, 1000).hop_limit(1);
    let expected = if scene.is_direct() {
        expect(&at_backend(scene, &error, &own, trouble, 1000))
    } else {
        Expect::drop(Reason::HopLimit).of(0).at(0)
    };
    let case = scene.begin("an error on its last hop goes no further");
    case.packet("error", &error, expected)
}

/// Errors about packets of no flow, and such as quote what their receiver has not sent.
fn nobodys(scene: Scene) -> Case {
    let (_, seen) = answer(scene);
    let (_, trouble) = TROUBLES[1];
    let pass = || Expect::pass(Reason::OtherProtocol);
    let mut stranger = seen.clone();
    stranger.destination.set_port(40_001);
    let stranger = stranger.reported(router(scene), trouble, 1000);
    let mut other = seen.reported(router(scene), trouble, 1000);
    other.destination = SocketAddr::new(scene.other_address(), 0);
    let mut quote = seen.bytes().split_off(14);
    let protocol_at = if scene.v6 { 6 } else { 9 };
    quote[protocol_at] = 132;
    let protocol = seen.reported(router(scene), trouble, 1000).payload(&quote);
    let mut case = scene
        .begin("an error about nobody's packet is the host's")
        .packet("of another port", &stranger, pass())
        .packet("to another host", &other, pass())
        .packet("of another protocol", &protocol, pass());
    if !scene.v6 {
        let mut fragment = seen.bytes().split_off(14);
        fragment[7] = 1;
        let fragment = seen
            .reported(router(scene), trouble, 1000)
            .payload(&fragment);
        case = case.packet("of a later fragment", &fragment, pass());
    }
    case
}
