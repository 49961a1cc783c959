//! Whose packet it is, in which turn, and where it leaves.

use std::net::SocketAddr;

use lb_common::abi::{FlowState, Reason};
use lb_userspace::document::{Forward, Protocol};

use crate::case::{Case, Change, Expect, NAT_PORT, Scene};
use crate::packet::{Packet, SYN};
use crate::ring::Table::Pending;
use crate::world::{BackendSetup, Setup, backend_hop};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = vec![weighted()];
    for scene in Scene::all() {
        cases.push(not_ours(scene));
        cases.push(other_interface(scene));
        cases.push(turns(scene));
    }
    for v6 in [false, true] {
        cases.push(any_port(v6));
        cases.push(two_ways(v6));
    }
    cases
}

/// Near misses of the VIP.
fn not_ours(scene: Scene) -> Case {
    let mut other_address = scene.opening(0);
    other_address.destination.set_ip(scene.other_address());
    let mut other_port = scene.opening(0);
    other_port.destination.set_port(81);
    let mut other_protocol = scene;
    other_protocol.protocol = if scene.is_tcp() {
        Protocol::Udp
    } else {
        Protocol::Tcp
    };
    let mut other_family = scene;
    other_family.v6 = !scene.v6;
    let not_ours = || Expect::pass(Reason::NotOurs);
    Case::new(
        format!("{scene}: what no service has goes to the host"),
        &mut scene.setup(1),
    )
    .packet("another address", &other_address, not_ours())
    .packet("another port", &other_port, not_ours())
    .packet("another protocol", &other_protocol.opening(0), not_ours())
    .packet("another family", &other_family.opening(0), not_ours())
}

/// The backend is behind another interface than the client.
fn other_interface(scene: Scene) -> Case {
    let mut backend = BackendSetup::new(scene.backend(0));
    backend.hop = Some(backend_hop(backend.address.ip(), 7));
    let opening = scene.opening(0);
    Case::new(
        format!("{scene}: a packet leaves by the interface of its backend"),
        &mut scene.setup_of(&[backend]),
    )
    .packet(
        "first packet",
        &opening,
        scene.opened(&opening, 0, 0).redirected(7),
    )
}

/// Consecutive flows go to consecutive backends, round and round.
fn turns(scene: Scene) -> Case {
    let mut case = Case::new(
        format!("{scene}: flows take turns, and other packets take none"),
        &mut scene.setup(3),
    );
    // With one port for `full-nat`, each backend takes one flow.
    let flows = if scene.is_nat() { 3 } else { 12 };
    for client in 0..flows {
        let (opening, following) = (scene.opening(client), scene.following(client));
        let backend = client % 3;
        case = case
            .packet(
                "first packet",
                &opening,
                scene.opened(&opening, client, backend),
            )
            .packet(
                "second packet",
                &following,
                scene.promoted(&following, client, backend),
            );
    }
    case
}

/// Weights 3, 1 and 2, smoothly interleaved.
fn weighted() -> Case {
    let scene = Scene {
        forward: Forward::Dsr,
        ..Scene::PLAIN
    };
    let backends: Vec<BackendSetup> = [(0, 3), (1, 1), (2, 2)]
        .map(|(id, weight)| BackendSetup {
            weight,
            ..BackendSetup::new(scene.backend(id))
        })
        .to_vec();
    let mut case = Case::new(
        "weights are turns, spread over the round",
        &mut scene.setup_of(&backends),
    );
    for (client, backend) in (0..).zip([0, 2, 0, 1, 2, 0, 0, 2]) {
        let opening = scene.opening(client);
        case = case.packet("a flow", &opening, scene.opened(&opening, client, backend));
    }
    case
}

/// A service for any port, and one for a single port of the same address.
fn any_port(v6: bool) -> Case {
    let scene = Scene { v6, ..Scene::PLAIN };
    let any = SocketAddr::new(scene.vip().ip(), 0);
    let keeps_port = SocketAddr::new(scene.backend(1).ip(), 0);
    let mut setup = scene.setup(1).service(
        "rest",
        any,
        Protocol::Tcp,
        Forward::FullNat,
        &[BackendSetup::new(keeps_port)],
    );
    let exact = scene.opening(0);
    let mut other = scene.opening(1);
    other.destination.set_port(2222);
    let our_side = SocketAddr::new(scene.our_address(), NAT_PORT);
    let backend = SocketAddr::new(keeps_port.ip(), 2222);
    let at_backend = other
        .clone()
        .translated(our_side, backend)
        .sent_to(&backend_hop(backend.ip(), 1));
    let mut tuple = scene.tuple(1);
    tuple.local.set_port(2222);
    let mut way = scene.way_back(1, 1);
    way.vip.set_port(2222);
    way.service = 1;
    let mut reply_tuple = scene.reply_tuple(1, 1);
    reply_tuple.remote.set_port(2222);
    let flow = scene.flow(1, FlowState::PENDING);
    let family = if v6 { "v6" } else { "v4" };
    Case::new(
        format!("{family}: a service for one port comes before that for any port"),
        &mut setup,
    )
    .packet("the one port", &exact, scene.opened(&exact, 0, 0))
    .packet(
        "another port, which the backend keeps",
        &other,
        Expect::to_backend(1, 1, &at_backend).new_flow().change([
            Change::Flow(Pending, tuple, Some(flow)),
            Change::Reverse(Pending, reply_tuple, Some(way)),
        ]),
    )
    .packet(
        "another protocol",
        &Packet::udp(scene.client(2), any),
        Expect::pass(Reason::NotOurs),
    )
}

/// Both ways of forwarding in one program.
fn two_ways(v6: bool) -> Case {
    let nat = Scene { v6, ..Scene::PLAIN };
    let vip = SocketAddr::new(nat.vip().ip(), 443);
    let direct = BackendSetup::new(nat.backend(1));
    let hop = direct.hop.unwrap_or_default();
    let mut setup: Setup =
        nat.setup(1)
            .service("direct", vip, Protocol::Tcp, Forward::Dsr, &[direct]);
    let opening = nat.opening(0);
    let other = Packet::tcp(nat.client(1), vip, SYN).hop_limit(1);
    let mut tuple = nat.tuple(1);
    tuple.local = vip;
    let mut flow = nat.flow(1, FlowState::PENDING);
    flow.source_port = 0;
    let family = if v6 { "v6" } else { "v4" };
    Case::new(
        format!("{family}: services of both ways of forwarding side by side"),
        &mut setup,
    )
    .packet("full-nat", &opening, nat.opened(&opening, 0, 0))
    .packet(
        "dsr, on its last hop",
        &other,
        Expect::to_backend(1, 1, &other.clone().sent_to(&hop))
            .new_flow()
            .change([Change::Flow(Pending, tuple, Some(flow))]),
    )
}
