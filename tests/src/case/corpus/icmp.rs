//! Control messages: echo requests to a VIP are answered, everything else is the host's.

use std::net::{IpAddr, SocketAddr};

use lb_common::abi::Reason;

use crate::case::{Case, Expect, Scene};
use crate::packet::{Packet, Transport};
use crate::ring::Exit;

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for v6 in [false, true] {
        let scene = Scene { v6, ..Scene::PLAIN };
        cases.push(answered(scene));
        cases.push(not_asked(scene));
        cases.push(no_sender(scene));
    }
    cases
}

fn family(scene: Scene) -> &'static str {
    if scene.v6 { "v6" } else { "v4" }
}

fn ping(scene: Scene) -> Packet {
    Packet::echo(scene.client(0), scene.vip()).payload(b"abcdefgh")
}

fn echo(request: &Packet) -> Expect {
    let mut expect = Expect::pass(Reason::EchoReply);
    expect.exit = Exit::Tx;
    expect.frame = Some(request.clone().echoed().bytes());
    expect
}

/// Whatever the request brings comes back; no backend has to be there.
fn answered(scene: Scene) -> Case {
    let mut case = Case::new(
        format!("{}: echo requests to a VIP are answered", family(scene)),
        &mut scene.setup_of(&[]),
    );
    for (name, request) in [
        ("plain", ping(scene)),
        ("without payload", ping(scene).payload(&[])),
        ("of odd length", ping(scene).payload(&[1, 2, 3])),
        ("long", ping(scene).payload(&[0xa5; 1400])),
        ("padded", ping(scene).payload(&[1]).padding(17)),
        ("tagged", ping(scene).tag(0x8100, 7)),
        ("tagged twice", ping(scene).tag(0x88a8, 9).tag(0x8100, 7)),
        ("on its last hop", ping(scene).hop_limit(1)),
        ("marked", ping(scene).traffic_class(0xb9)),
    ] {
        case = case.packet(name, &request, echo(&request));
    }
    // Every sum that a request may have, near the ends where a carry decides.
    for word in [
        0x0000, 0x00ff, 0x07ff, 0xf7ff, 0xf800, 0xfeff, 0xff00, 0xffff_u16,
    ] {
        let request = ping(scene).payload(&word.to_be_bytes());
        case = case.packet(&format!("word {word:#06x}"), &request, echo(&request));
    }
    case
}

/// Near misses.
fn not_asked(scene: Scene) -> Case {
    let mut elsewhere = ping(scene);
    elsewhere.destination.set_ip(scene.other_address());
    let mut reply = ping(scene);
    reply.transport = Transport::Echo { reply: true };
    let protocol = ping(scene).protocol();
    let raw = |bytes: &[u8]| Packet::raw(scene.client(0), scene.vip(), protocol).payload(bytes);
    let request = if scene.v6 { 128 } else { 8 };
    let pass = || Expect::pass(Reason::OtherProtocol);
    Case::new(
        format!("{}: other control messages go to the host", family(scene)),
        &mut scene.setup(1),
    )
    .packet("to another address", &elsewhere, pass())
    .packet("a reply", &reply, pass())
    .packet(
        "a request of an unknown code",
        &raw(&[request, 1, 0, 0, 0, 7, 0, 9]),
        pass(),
    )
    .packet(
        "a request cut off",
        &raw(&[request, 0, 0, 0, 0, 7, 0]).padding(30),
        pass(),
    )
    .packet(
        "a fragment",
        &ping(scene).fragment(0, true),
        Expect::drop(Reason::Fragment),
    )
}

/// Nobody is answered who cannot have asked.
fn no_sender(scene: Scene) -> Case {
    let sources: &[&str] = if scene.v6 {
        &["::", "::1", "ff02::1"]
    } else {
        &["0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255"]
    };
    let mut case = Case::new(
        format!(
            "{}: an echo request from no single host goes to the host",
            family(scene)
        ),
        &mut scene.setup(1),
    );
    for source in sources {
        let address: IpAddr = source.parse().unwrap_or_else(|error| panic!("{error}"));
        let mut request = ping(scene);
        request.source = SocketAddr::new(address, 0);
        case = case.packet(source, &request, Expect::pass(Reason::OtherProtocol));
    }
    case
}
