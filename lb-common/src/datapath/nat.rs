//! The way back of `full-nat` flows: source ports, and the entries that replies find.

use super::{Arrival, Cell, Env, Frame, Stage, Tables};
use crate::abi::limits::PORT_TRIES;
use crate::abi::{Backend, Features, FlowKey, FlowState, Hop, Reason, Reverse, Ticks};
use crate::wire::transport::{TCP, TcpFlags};
use crate::wire::{Family, ethernet};

/// The longest that any flow may idle (RFC 5382, REQ-5); older ways back lead nowhere.
const IDLE_MAX: u32 = Ticks::in_seconds(7440);

/// The way back, if the packet is a backend's reply.
#[inline(always)]
pub(super) fn reply<A: Family, E: Env + Tables<A>>(
    env: &mut E,
    key: &FlowKey<A>,
    flags: TcpFlags,
) -> Option<<E as Tables<A>>::ReverseCell> {
    if !env.features().has(Features::FULL_NAT) {
        return None;
    }
    let (first, count) = env.nat_ports();
    if key.local_port.wrapping_sub(first) >= count {
        return None;
    }
    let cell = env
        .reverse(Stage::Established, key)
        .or_else(|| env.reverse(Stage::Pending, key))?;
    let reverse = cell.load();
    let now = env.now();
    if now.since(reverse.seen) > IDLE_MAX {
        return None;
    }
    if now != reverse.seen {
        cell.store(Reverse {
            seen: now,
            ..reverse
        });
    }
    if key.protocol == TCP && flags.resets() {
        close(env, key.protocol, &reverse);
    }
    Some(cell)
}

/// A backend reset the connection: the client may open a new one on the same port.
#[inline(always)]
fn close<A: Family, E: Env + Tables<A>>(env: &E, protocol: u8, reverse: &Reverse<A>) {
    let key = FlowKey {
        remote: reverse.client,
        local: reverse.vip,
        remote_port: reverse.client_port,
        local_port: reverse.vip_port,
        protocol,
        zero: [0; 3],
    };
    let cell = env
        .flow(Stage::Established, &key)
        .or_else(|| env.flow(Stage::Pending, &key));
    if let Some(cell) = cell {
        let mut flow = cell.load();
        flow.state = FlowState::CLOSING;
        cell.store(flow);
    }
}

/// Takes a free port towards the backend and lays the way back.
#[inline(always)]
pub(super) fn claim<A: Family, F: Frame, E: Env + Tables<A>>(
    env: &mut E,
    arrival: Arrival<'_, A, F>,
    service: <E as Tables<A>>::ServiceCell,
    backend_id: u32,
    backend: E::BackendCell,
    now: Ticks,
) -> Result<u16, Reason> {
    let (first, count) = env.nat_ports();
    let reverse = Reverse {
        client: arrival.key.remote,
        vip: arrival.key.local,
        client_port: arrival.key.remote_port,
        vip_port: arrival.key.local_port,
        service: service.load().id,
        backend: backend_id,
        seen: now,
        hop: way_back(env, arrival.frame),
    };
    for _ in 0..PORT_TRIES {
        let random = u64::from(env.random()) * u64::from(count);
        let port = first.wrapping_add((random >> 32) as u16);
        let key = reply_key(arrival.key, &backend, port);
        let taken = env
            .reverse(Stage::Established, &key)
            .is_some_and(|cell| now.since(cell.load().seen) <= IDLE_MAX);
        if !taken && env.insert_reverse(Stage::Pending, &key, &reverse, true) {
            return Ok(port);
        }
    }
    Err(Reason::NoPort)
}

/// Moves a way back to the established table.
#[inline(always)]
pub(super) fn promote<A: Family, F: Frame, E: Env + Tables<A>>(
    env: &mut E,
    arrival: Arrival<'_, A, F>,
    backend: E::BackendCell,
    port: u16,
    now: Ticks,
) {
    let key = reply_key(arrival.key, &backend, port);
    if let Some(cell) = env.reverse(Stage::Pending, &key) {
        cell.store(Reverse {
            seen: now,
            hop: way_back(env, arrival.frame),
            ..cell.load()
        });
        // Refused, the pending entry goes on serving until it is evicted.
        if cell.with(|reverse| env.insert_reverse(Stage::Established, &key, reverse, false)) {
            env.remove_reverse(Stage::Pending, &key);
        }
    }
}

/// Keeps a way back alive, and on the path that the client's packets take now.
#[inline(always)]
pub(super) fn refresh<A: Family, F: Frame, E: Env + Tables<A>>(
    env: &mut E,
    arrival: Arrival<'_, A, F>,
    backend: E::BackendCell,
    port: u16,
    now: Ticks,
) {
    let key = reply_key(arrival.key, &backend, port);
    let cell = env
        .reverse(Stage::Established, &key)
        .or_else(|| env.reverse(Stage::Pending, &key));
    if let Some(cell) = cell {
        cell.store(Reverse {
            seen: now,
            hop: way_back(env, arrival.frame),
            ..cell.load()
        });
    }
}

/// Removes a way back.
#[inline(always)]
pub(super) fn forget<A: Family, E: Env + Tables<A>>(
    env: &mut E,
    flow: &FlowKey<A>,
    backend: E::BackendCell,
    stage: Stage,
    port: u16,
) {
    env.remove_reverse(stage, &reply_key(flow, &backend, port));
}

/// The 5-tuple of the backend's replies.
#[inline(always)]
fn reply_key<A: Family, C: Cell<Backend>>(flow: &FlowKey<A>, backend: &C, port: u16) -> FlowKey<A> {
    FlowKey {
        remote: A::from_wide(backend.load().address),
        local: A::from_wide(backend.load().source),
        remote_port: backend_port(backend, flow.local_port),
        local_port: port,
        protocol: flow.protocol,
        zero: [0; 3],
    }
}

/// Replies go back to where the client's packets came from: this holds for clients behind any
/// router, without a lookup.
#[inline(always)]
fn way_back<F: Frame, E: Env>(env: &E, frame: &F) -> Hop {
    ethernet::way_back(frame, env.ingress_interface()).unwrap_or_default()
}

/// The backend's port, or the packet's where the backend has none of its own.
#[inline(always)]
pub(super) fn backend_port<C: Cell<Backend>>(backend: &C, packet_port: u16) -> u16 {
    match backend.load().port {
        0 => packet_port,
        port => port,
    }
}
