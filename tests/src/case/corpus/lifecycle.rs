//! A connection from its first packet to the reuse of its port.

use lb_common::abi::{FlowState, Reason};
use lb_userspace::document::Forward;

use crate::case::{Case, Scene};
use crate::packet::{ACK, FIN, RST, SYN};
use crate::ring::Table::{Established, Pending};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for scene in Scene::all() {
        cases.push(open_and_promote(scene));
    }
    for scene in Scene::all_nat() {
        cases.push(reply(scene));
        cases.push(becomes_full_nat(scene));
    }
    for scene in Scene::all_tcp() {
        cases.push(close_by_fin(scene));
        cases.push(reset_by_client(scene));
        cases.push(reset_while_pending(scene));
        cases.push(finished_before_promotion(scene));
        if scene.is_nat() {
            cases.push(reset_by_backend(scene, true));
            cases.push(reset_by_backend(scene, false));
        }
    }
    cases
}

/// The first packets of a connection: retransmitted, then promoted, then followed.
fn open_and_promote(scene: Scene) -> Case {
    let (opening, following) = (scene.opening(0), scene.following(0));
    let case = Case::new(
        format!("{scene}: a flow is pending until the client continues"),
        &mut scene.setup(3),
    )
    .packet("first packet", &opening, scene.opened(&opening, 0, 0));
    let case = if scene.is_tcp() {
        case.packet("first packet again", &opening, scene.forwarded(&opening, 0))
    } else {
        case
    };
    case.packet(
        "second packet",
        &following,
        scene.promoted(&following, 0, 0),
    )
    .packet("third packet", &following, scene.forwarded(&following, 0))
    .packet(
        "another client's first packet",
        &scene.opening(1),
        scene.opened(&scene.opening(1), 1, 1),
    )
}

/// Replies find their way back from either table.
fn reply(scene: Scene) -> Case {
    let (opening, following) = (scene.opening(0), scene.following(0));
    let (answer, answer_data) = (scene.reply(0, 0, SYN | ACK), scene.reply(0, 0, ACK));
    Case::new(
        format!("{scene}: a reply goes back to the client with the VIP as its source"),
        &mut scene.setup(1),
    )
    .packet("first packet", &opening, scene.opened(&opening, 0, 0))
    .packet(
        "reply while pending",
        &answer,
        scene.returned(&answer, 0, 0),
    )
    .packet(
        "second packet",
        &following,
        scene.promoted(&following, 0, 0),
    )
    .packet(
        "reply when established",
        &answer_data,
        scene.returned(&answer_data, 0, 0),
    )
}

/// The service was `dsr` when the flow began, which therefore has no port for replies.
fn becomes_full_nat(scene: Scene) -> Case {
    let (opening, following) = (scene.opening(0), scene.following(0));
    let dsr = Scene {
        forward: Forward::Dsr,
        ..scene
    };
    let anew = scene
        .forwarded(&following, 0)
        .change(dsr.gone(Established, 0, 0))
        .change(scene.laid(0, 0));
    let anew = if scene.is_tcp() {
        anew.because(Reason::Stray)
    } else {
        anew.new_flow()
    };
    Case::new(
        format!("{scene}: a flow from when the service was dsr gets a port of its own"),
        &mut dsr.setup(1),
    )
    .packet("first packet", &opening, dsr.opened(&opening, 0, 0))
    .packet("second packet", &following, dsr.promoted(&following, 0, 0))
    .generation(scene.setup(1).tables())
    .packet("third packet", &following, anew)
    .packet(
        "reply",
        &scene.reply(0, 0, ACK),
        scene.returned(&scene.reply(0, 0, ACK), 0, 0),
    )
    .packet(
        "fourth packet",
        &following,
        scene.promoted(&following, 0, 0),
    )
}

/// FIN from the client; the port is used again.
fn close_by_fin(scene: Scene) -> Case {
    let (opening, following) = (scene.opening(0), scene.following(0));
    let fin = scene.from_client(0, FIN | ACK);
    let case = Case::new(
        format!("{scene}: after FIN, a SYN on the same port opens a new flow"),
        &mut scene.setup(2),
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
    .packet("last ACK", &following, scene.forwarded(&following, 0));
    reopen(case, scene, scene.gone(Established, 0, 0))
}

fn reset_by_client(scene: Scene) -> Case {
    let (opening, following) = (scene.opening(0), scene.following(0));
    let reset = scene.from_client(0, RST);
    let case = Case::new(
        format!("{scene}: after the client's RST, a SYN opens a new flow"),
        &mut scene.setup(2),
    )
    .packet("SYN", &opening, scene.opened(&opening, 0, 0))
    .packet("ACK", &following, scene.promoted(&following, 0, 0))
    .packet(
        "RST",
        &reset,
        scene
            .forwarded(&reset, 0)
            .change(scene.state(Established, 0, 0, FlowState::CLOSING)),
    );
    reopen(case, scene, scene.gone(Established, 0, 0))
}

fn reset_while_pending(scene: Scene) -> Case {
    let opening = scene.opening(0);
    let reset = scene.from_client(0, RST);
    let case = Case::new(
        format!("{scene}: a RST does not promote its flow"),
        &mut scene.setup(2),
    )
    .packet("SYN", &opening, scene.opened(&opening, 0, 0))
    .packet(
        "RST",
        &reset,
        scene
            .forwarded(&reset, 0)
            .change(scene.state(Pending, 0, 0, FlowState::CLOSING)),
    );
    reopen(case, scene, scene.gone(Pending, 0, 0))
}

fn finished_before_promotion(scene: Scene) -> Case {
    let opening = scene.opening(0);
    let fin = scene.from_client(0, FIN | ACK);
    let case = Case::new(
        format!("{scene}: a FIN that promotes its flow leaves it closing"),
        &mut scene.setup(2),
    )
    .packet("SYN", &opening, scene.opened(&opening, 0, 0))
    .packet(
        "FIN",
        &fin,
        scene
            .forwarded(&fin, 0)
            .change(scene.moved_up(0, 0, FlowState::CLOSING)),
    );
    reopen(case, scene, scene.gone(Established, 0, 0))
}

fn reset_by_backend(scene: Scene, established: bool) -> Case {
    let (opening, following) = (scene.opening(0), scene.following(0));
    let reset = scene.reply(0, 0, RST | ACK);
    let (table, when) = if established {
        (Established, "established")
    } else {
        (Pending, "pending")
    };
    let mut case = Case::new(
        format!("{scene}: after the backend's RST on a flow {when}, a SYN opens a new one"),
        &mut scene.setup(2),
    )
    .packet("SYN", &opening, scene.opened(&opening, 0, 0));
    if established {
        case = case.packet("ACK", &following, scene.promoted(&following, 0, 0));
    }
    let case = case.packet(
        "RST",
        &reset,
        scene
            .returned(&reset, 0, 0)
            .change(scene.state(table, 0, 0, FlowState::CLOSING)),
    );
    reopen(case, scene, scene.gone(table, 0, 0))
}

/// A SYN on the same port: the old flow is forgotten, the next backend has its turn.
fn reopen(case: Case, scene: Scene, gone: Vec<crate::case::Change>) -> Case {
    let opening = scene.opening(0);
    case.packet(
        "SYN on the same port",
        &opening,
        scene
            .forwarded(&opening, 1)
            .new_flow()
            .change(gone)
            .change(scene.laid(0, 1)),
    )
}
