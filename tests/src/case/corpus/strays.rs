//! TCP packets of flows that nobody knows, and what cannot be opened.

use std::net::SocketAddr;

use lb_common::abi::{Hop, Reason};
use lb_userspace::reconcile::Write;

use crate::case::{Case, Change, Expect, SERVICE, Scene};
use crate::packet::{ACK, FIN, RST, SYN};
use crate::ring::{Exit, Table};
use crate::world::{BackendSetup, WhenFull};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for scene in Scene::all_tcp() {
        for (name, flags) in [("ACK", ACK), ("SYN and ACK", SYN | ACK), ("FIN", FIN | ACK)] {
            cases.push(stray(scene, name, flags));
        }
        cases.push(stray_reset(scene));
    }
    for scene in Scene::all() {
        cases.push(no_backend(scene));
        cases.push(no_next_hop(scene));
        cases.push(table_full(scene));
    }
    for scene in Scene::all_without_tunnels() {
        cases.push(write_refused(scene));
    }
    for scene in Scene::all_sharing_port() {
        cases.push(no_port(scene));
    }
    for scene in Scene::all_nat() {
        cases.push(no_way_back(scene));
    }
    cases
}

fn stray(scene: Scene, name: &str, flags: u8) -> Case {
    let packet = scene.from_client(0, flags);
    let following = scene.following(0);
    Case::new(
        format!("{scene}: {name} of an unknown flow goes to a backend without taking a turn"),
        &mut scene.setup(1),
    )
    .packet(
        name,
        &packet,
        scene
            .forwarded(&packet, 0)
            .because(Reason::Stray)
            .change(scene.laid(0, 0)),
    )
    .packet("next packet", &following, scene.promoted(&following, 0, 0))
}

fn stray_reset(scene: Scene) -> Case {
    Case::new(
        format!("{scene}: a reset of an unknown flow ends here"),
        &mut scene.setup(1),
    )
    .packet(
        "RST",
        &scene.from_client(0, RST),
        Expect::drop(Reason::StrayReset).of(0),
    )
    .packet(
        "RST and ACK",
        &scene.from_client(0, RST | ACK),
        Expect::drop(Reason::StrayReset).of(0),
    )
}

fn no_backend(scene: Scene) -> Case {
    let mut backend = BackendSetup::new(scene.backend(0));
    backend.healthy = false;
    Case::new(
        format!("{scene}: no backend is healthy"),
        &mut scene.setup_of(&[backend]),
    )
    .packet(
        "first packet",
        &scene.opening(0),
        Expect::drop(Reason::NoBackend).of(0),
    )
}

fn no_next_hop(scene: Scene) -> Case {
    let mut setup = scene.setup(2);
    let (opening, following) = (scene.opening(0), scene.following(0));
    let case = Case::new(format!("{scene}: the way to a backend is lost"), &mut setup).packet(
        "first packet",
        &opening,
        scene.opened(&opening, 0, 0),
    );
    let mut backend = BackendSetup::new(scene.backend(0));
    backend.hop = None;
    let lost = setup.change(|setup| setup.put(SERVICE, &backend));
    let mut pathless = setup.tables().backends[&1];
    pathless.hop = Hop::default();
    let other = scene.opening(1);
    case.apply(lost)
        .packet(
            "a flow that is there",
            &following,
            Expect::drop(Reason::NoNextHop).of(0).at(0),
        )
        .packet("a new flow", &other, scene.opened(&other, 1, 1))
        // Between the write of the backend and that of the slots.
        .apply(vec![Write::Backend(1, pathless)])
        .packet(
            "a new flow while a slot still names the backend",
            &scene.opening(2),
            Expect::drop(Reason::NoNextHop)
                .of(0)
                .at(1)
                .change([Change::Cursor(0)]),
        )
}

/// With one port for `full-nat`, a backend takes one flow.
fn no_port(scene: Scene) -> Case {
    let opening = scene.opening(0);
    Case::new(
        format!("{scene}: every port towards the backend is taken"),
        &mut scene.setup(1),
    )
    .packet("first client", &opening, scene.opened(&opening, 0, 0))
    .packet(
        "second client",
        &scene.opening(1),
        Expect::drop(Reason::NoPort)
            .of(0)
            .at(0)
            .change([Change::Cursor(0)]),
    )
}

/// A packet from a backend that belongs to no flow is not for us to judge.
fn no_way_back(scene: Scene) -> Case {
    let mut elsewhere = scene.reply(0, 0, ACK);
    elsewhere.destination = SocketAddr::new(scene.our_address(), 60_999);
    Case::new(
        format!("{scene}: a backend's packet that is no reply goes to the host"),
        &mut scene.setup(1),
    )
    .packet(
        "to a port of ours",
        &scene.reply(0, 0, ACK),
        Expect::pass(Reason::NotOurs),
    )
    .packet("to another port", &elsewhere, Expect::pass(Reason::NotOurs))
}

fn table_full(scene: Scene) -> Case {
    let opening = scene.opening(0);
    let following = scene.following(0);
    let refused = Expect::drop(Reason::FlowTableFull).of(0).at(0);
    // The time stamp and state in the entry are those before the refusal.
    Case::new(
        format!("{scene}: the established table refuses, and the flow stays pending"),
        &mut scene.setup(1),
    )
    .packet("first packet", &opening, scene.opened(&opening, 0, 0))
    .packet("second packet", &following, refused)
    .host_only(
        "an LRU map forgets another entry instead of refusing",
        Some(|world| {
            world.limit(Table::Established, 0, WhenFull::Refuse);
        }),
    )
}

/// A frame that refuses its first write is dropped as it came.
fn write_refused(scene: Scene) -> Case {
    let opening = scene.opening(0);
    let mut refused = scene.opened(&opening, 0, 0);
    refused.exit = Exit::Drop;
    refused.frame = None;
    // An IPv6 header first needs room.
    let grows = scene.crosses && !scene.v6;
    let reason = if grows {
        Reason::NoHeadroom
    } else {
        Reason::RewriteFailed
    };
    Case::new(
        format!("{scene}: the frame's bounds change under the rewrite"),
        &mut scene.setup(1),
    )
    .packet("first packet", &opening, refused.because(reason))
    .host_only(
        "a frame in the kernel keeps its bounds",
        Some(|world| {
            world.writes = Some(0);
        }),
    )
}
