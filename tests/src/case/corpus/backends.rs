//! Backends that drain, fail, come back, or give their id to another.

use lb_common::abi::{FlowState, Reason};
use lb_userspace::reconcile::Write;

use crate::case::{Case, Change, Expect, SERVICE, Scene};
use crate::ring::Table::{self, Established, Pending};
use crate::world::BackendSetup;

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for scene in Scene::all() {
        cases.push(draining(scene));
        cases.push(fails(scene, Established));
        cases.push(fails(scene, Pending));
        cases.push(added(scene));
        cases.push(removed(scene));
        cases.push(replaced(scene));
    }
    cases
}

/// Changes one backend of the scene.
fn change(scene: Scene, backend: u8, change: fn(&mut BackendSetup)) -> BackendSetup {
    let mut setup = BackendSetup::new(scene.backend(backend));
    change(&mut setup);
    setup
}

fn draining(scene: Scene) -> Case {
    let (opening, following) = (scene.opening(0), scene.following(0));
    let mut setup = scene.setup(2);
    let case = Case::new(
        format!("{scene}: a draining backend keeps its flows and gets no new ones"),
        &mut setup,
    )
    .packet("first packet", &opening, scene.opened(&opening, 0, 0));
    let drained = setup.change(|s| s.put(SERVICE, &change(scene, 0, |b| b.drain = true)));
    let other = scene.opening(1);
    let again = setup.change(|s| s.put(SERVICE, &change(scene, 0, |_| {})));
    case.apply(drained)
        .packet("its flow", &following, scene.promoted(&following, 0, 0))
        .packet("a new flow", &other, scene.opened(&other, 1, 1))
        .apply(again)
        .packet(
            "a new flow when enabled again",
            &scene.opening(2),
            after_enabling(scene),
        )
}

/// The third flow in turn: with one port for `full-nat` it finds none.
fn after_enabling(scene: Scene) -> Expect {
    if scene.shares_port() {
        Expect::drop(Reason::NoPort)
            .of(0)
            .at(0)
            .change([Change::Cursor(0)])
    } else {
        scene.opened(&scene.opening(2), 2, 0)
    }
}

fn fails(scene: Scene, table: Table) -> Case {
    let (opening, following) = (scene.opening(0), scene.following(0));
    let mut setup = scene.setup(2);
    let mut case = Case::new(
        format!("{scene}: a failed backend's flow in the {table:?} table moves to another"),
        &mut setup,
    )
    .packet("first packet", &opening, scene.opened(&opening, 0, 0));
    if table == Established {
        case = case.packet(
            "second packet",
            &following,
            scene.promoted(&following, 0, 0),
        );
    }
    let failed = setup.change(|s| s.put(SERVICE, &change(scene, 0, |b| b.healthy = false)));
    case.apply(failed)
        .packet(
            "next packet",
            &following,
            scene
                .forwarded(&following, 1)
                .new_flow()
                .change(scene.gone(table, 0, 0))
                .change(scene.laid(0, 1)),
        )
        .packet("and next", &following, scene.promoted(&following, 0, 1))
}

fn added(scene: Scene) -> Case {
    let (opening, other) = (scene.opening(0), scene.opening(1));
    let mut setup = scene.setup(1);
    let case = Case::new(
        format!("{scene}: a backend that is added takes its turn, and no flow moves"),
        &mut setup,
    )
    .packet("first packet", &opening, scene.opened(&opening, 0, 0));
    let added = setup.change(|s| s.put(SERVICE, &change(scene, 1, |_| {})));
    let following = scene.following(0);
    case.apply(added)
        .packet("another flow", &other, scene.opened(&other, 1, 1))
        .packet(
            "the first flow",
            &following,
            scene.promoted(&following, 0, 0),
        )
}

fn removed(scene: Scene) -> Case {
    let (opening, following) = (scene.opening(0), scene.following(0));
    let mut setup = scene.setup(2);
    let case = Case::new(
        format!("{scene}: a removed backend's flow moves to another"),
        &mut setup,
    )
    .packet("first packet", &opening, scene.opened(&opening, 0, 0));
    let removed = setup.change(|s| s.remove(SERVICE, scene.backend(0)));
    // The entry keeps its addresses, and with them the key of the way back.
    let mut changes = scene.gone(Pending, 0, 0);
    changes.extend(scene.laid(0, 1));
    case.apply(removed).packet(
        "next packet",
        &following,
        scene.forwarded(&following, 1).new_flow().change(changes),
    )
}

/// The id is given to another backend under a new incarnation.
fn replaced(scene: Scene) -> Case {
    let (opening, following) = (scene.opening(0), scene.following(0));
    let mut setup = scene.setup(1);
    let case = Case::new(
        format!("{scene}: a flow of the id's former owner is not sent to the new one as its own"),
        &mut setup,
    )
    .packet("first packet", &opening, scene.opened(&opening, 0, 0))
    .packet(
        "second packet",
        &following,
        scene.promoted(&following, 0, 0),
    );
    let mut heir = setup.tables().backends[&0];
    heir.incarnation = 77;
    let mut flow = scene.flow(0, FlowState::PENDING);
    flow.incarnation = 77;
    let mut changes = vec![
        Change::Flow(Established, scene.tuple(0), None),
        Change::Flow(Pending, scene.tuple(0), Some(flow)),
    ];
    // The heir has the address of the former owner, whose way back holds the only port.
    if scene.shares_port() {
        return case.apply(vec![Write::Backend(0, heir)]).packet(
            "next packet",
            &following,
            Expect::drop(Reason::NoPort).of(0).at(0).change([
                Change::Flow(Established, scene.tuple(0), None),
                Change::Cursor(0),
            ]),
        );
    }
    if scene.is_nat() {
        let (tuple, way) = (scene.reply_tuple(0, 0), scene.way_back(0, 0));
        changes.extend([
            Change::Reverse(Established, tuple, None),
            Change::Reverse(Pending, tuple, Some(way)),
        ]);
    }
    case.apply(vec![Write::Backend(0, heir)]).packet(
        "next packet",
        &following,
        scene.forwarded(&following, 0).new_flow().change(changes),
    )
}
