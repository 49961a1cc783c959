//! The way back of `nat` and `full-nat` flows: source ports, and the entries that replies find.

use super::flow::{TCP_ESTABLISHED, UDP};
use super::forward::goes_by;
use super::open::enter;
use super::settle::Change;
use super::settled::Settled;
use super::{Cell, Env, Frame, Stage, Tables, schedule};
use crate::abi::limits::PORT_TRIES_CALM;
use crate::abi::{
    AddressFamily, Features, FlowKey, FlowState, Forward, Hop, Reason, Reverse, Service, Ticks,
};
use crate::wire::transport::TCP;
use crate::wire::{Family, ethernet};

/// A port rests this long after its connection was closed: the backend may remember the
/// connection in TIME-WAIT (RFC 9293, section 3.6.1; Linux stays there for 60 s).
const CLOSED: u32 = Ticks::in_seconds(60);
/// A port is kept this long for a reply to a single packet.
const UNANSWERED: u32 = Ticks::in_seconds(30);
/// What is left of both where nearly every port is in use: backends take a new connection on an
/// old port if its sequence number or time stamp is ahead (RFC 6191).
const PRESSED: u32 = 2;

/// Whether the service's flows have a way back through us.
#[inline(always)]
pub(super) fn is_used<E: Env, C: Cell<Service>>(env: &E, service: &C) -> bool {
    goes_by(env, Forward::FULL_NAT, || service.load().forward)
        || goes_by(env, Forward::NAT, || service.load().forward)
}

/// Whether a backend sees the clients' own addresses.
#[inline(always)]
pub(super) fn keeps_client<E: Env>(env: &E, backend: &E::BackendCell) -> bool {
    env.features().has(Features::NAT) && backend.load().source == [0, 0]
}

/// Whether a backend is not of a packet's family, so that `full-nat` has to translate.
#[inline(always)]
pub(super) fn is_across<A: Family, E: Env>(env: &E, backend: &E::BackendCell) -> bool {
    let is_v6 = || backend.load().family == AddressFamily::V6;
    env.features().has(Features::CROSSING) && is_v6() != A::IS_V6
}

/// Whether a flow's source port is one that its way back may be found by.
#[inline(always)]
pub(super) fn holds_port<E: Env>(env: &E, backend: &E::BackendCell, port: u16) -> bool {
    is_port(env, port) || port != 0 && keeps_client(env, backend)
}

/// Whether a port is one of ours.
#[inline(always)]
pub(super) fn is_port<E: Env>(env: &E, port: u16) -> bool {
    let (first, count) = env.nat_ports();
    port.wrapping_sub(first) < count
}

/// The way back in a table, unless it is another flow's by the time it is read.
#[inline(always)]
pub(super) fn find<T: Family, E: Env + Tables<T>>(
    env: &E,
    stage: Stage,
    key: &FlowKey<T>,
) -> Option<(<E as Tables<T>>::ReverseCell, Reverse)> {
    let cell = env.reverse(stage, key)?;
    let reverse = cell.load();
    (reverse.mark == key.mark()).then_some((cell, reverse))
}

/// Tries to take one port towards the backend for a flow that was opened without: lays the way
/// back, and enters the flow. The packet waits on if the port is another's. In `nat` the client's own
/// port is the first to be tried, and so nearly always the one.
#[inline(always)]
pub fn claim<A: Family, F: Frame, E: Env + Tables<A> + Tables<A::Other>>(
    env: &mut E,
    frame: &F,
    key: &FlowKey<A>,
    service: <E as Tables<A>>::ServiceCell,
    opened: Settled,
    attempt: u32,
) -> Settled {
    let id = opened.backend();
    let backend = env.backend(id);
    let Some(backend) = backend.filter(|backend| schedule::serves(backend, service.load().id))
    else {
        return Settled::refused(Reason::NoBackend, id);
    };
    let own = attempt == 0 && key.remote_port != 0 && keeps_client(env, &backend);
    let port = if own {
        key.remote_port
    } else {
        let (first, count) = env.nat_ports();
        let random = u64::from(env.random()) * u64::from(count);
        first.wrapping_add((random >> 32) as u16)
    };
    let claimed = opened.with_port(port);
    let (pressed, now) = (attempt >= PORT_TRIES_CALM, env.now());
    let when = (pressed, now);
    let is_taken = if is_across::<A, E>(env, &backend) {
        take::<A, A::Other, F, E>(env, frame, key, service, &backend, claimed, when)
    } else {
        take::<A, A, F, E>(env, frame, key, service, &backend, claimed, when)
    };
    if !is_taken {
        return opened;
    }
    enter::<A, E>(env, key, backend, claimed, now)
}

/// Lays the way back from a port, unless it is another flow's.
#[inline(always)]
fn take<A: Family, T: Family, F: Frame, E: Env + Tables<A> + Tables<T>>(
    env: &mut E,
    frame: &F,
    key: &FlowKey<A>,
    service: <E as Tables<A>>::ServiceCell,
    backend: &E::BackendCell,
    claimed: Settled,
    (pressed, now): (bool, Ticks),
) -> bool {
    let reply = reply_key::<A, T, E>(env, key, backend, claimed.source_port());
    // In this order no entry is missed that another CPU moves from there to here.
    if !vacate(env, Stage::Pending, &reply, key, pressed, now)
        || !vacate(env, Stage::Established, &reply, key, pressed, now)
    {
        return false;
    }
    let mut reverse = leading_back(env, frame, key, service, (FlowState::PENDING, now));
    reverse.mark = reply.mark();
    reverse.backend = claimed.backend() as u16;
    env.insert_reverse(Stage::Pending, &reply, &reverse)
}

/// Whether no way back has this key any more: one that has rested long enough makes room, and so
/// does that of the client's own port to the very flow, which had been forgotten.
#[inline(always)]
fn vacate<A: Family, T: Family, E: Env + Tables<T>>(
    env: &mut E,
    stage: Stage,
    key: &FlowKey<T>,
    flow: &FlowKey<A>,
    pressed: bool,
    now: Ticks,
) -> bool {
    let Some(cell) = env.reverse(stage, key) else {
        return true;
    };
    let reverse = cell.load();
    let rest = match (reverse.state, key.protocol) {
        (FlowState::ESTABLISHED, TCP) => TCP_ESTABLISHED,
        (FlowState::ESTABLISHED, _) => UDP,
        _ if pressed => PRESSED,
        (FlowState::PENDING, _) => UNANSWERED,
        _ => CLOSED,
    };
    let own = key.local_port == flow.remote_port && belongs(&reverse, flow);
    let vacant = own || now.since(reverse.seen) > rest;
    if vacant {
        env.remove_reverse(stage, key);
    }
    vacant
}

/// Keeps a live flow's way back where the flow goes, and on the path that the client's packets take
/// now; one that the table has forgotten is laid again. False if its port has gone to another flow.
#[inline(always)]
pub(super) fn keep<A: Family, T: Family, F: Frame, E: Env + Tables<A> + Tables<T>>(
    env: &mut E,
    frame: &F,
    key: &FlowKey<A>,
    service: <E as Tables<A>>::ServiceCell,
    reply: &FlowKey<T>,
    change: &Change,
) -> bool {
    let flow = &change.next;
    let mut is_established = true;
    let mut found = find(env, Stage::Established, reply);
    if found.is_none() {
        is_established = false;
        found = find(env, Stage::Pending, reply);
    }
    if found.is_none() {
        // Between the two lookups another CPU may have moved the entry from there to here.
        is_established = true;
        found = find(env, Stage::Established, reply);
    }
    let mut place = change.stage;
    if let Some((cell, reverse)) = found {
        if !belongs(&reverse, key) {
            return false;
        }
        if is_established || change.place == Stage::Pending {
            let hop = way_back(env, frame);
            cell.update(|reverse| {
                if !belongs(reverse, key) {
                    return;
                }
                reverse.seen = flow.seen;
                // Another CPU may have promoted the flow since it was read.
                if flow.state != FlowState::PENDING {
                    reverse.state = flow.state;
                }
                reverse.hop = hop;
            });
            return true;
        }
        place = Stage::Established;
    }
    // Not copied from the pending entry, which may be another's by now.
    let mut reverse = leading_back(env, frame, key, service, (flow.state, flow.seen));
    reverse.mark = reply.mark();
    reverse.backend = flow.backend;
    // Refused, another CPU was faster to move or to lay it; or a full table keeps the old one.
    if !env.insert_reverse(place, reply, &reverse) {
        return leads_to(env, reply, key);
    }
    if place == Stage::Established {
        env.remove_reverse(Stage::Pending, reply);
    }
    true
}

/// Whether there is a way back that leads to a flow's client.
#[inline(always)]
fn leads_to<A: Family, T: Family, E: Env + Tables<T>>(
    env: &E,
    key: &FlowKey<T>,
    flow: &FlowKey<A>,
) -> bool {
    find(env, Stage::Established, key)
        .or_else(|| find(env, Stage::Pending, key))
        .is_some_and(|(_, reverse)| belongs(&reverse, flow))
}

/// The way back of the packet's flow, but for the mark of its key and the backend.
///
/// The hop comes first: the compiler would hold in registers what is put together before the
/// packet is asked, and BPF has too few.
#[inline(always)]
fn leading_back<A: Family, F: Frame, E: Env + Tables<A>>(
    env: &E,
    frame: &F,
    key: &FlowKey<A>,
    service: <E as Tables<A>>::ServiceCell,
    (state, seen): (FlowState, Ticks),
) -> Reverse {
    let hop = way_back(env, frame);
    Reverse {
        vip: key.local.wide(),
        client: key.remote.wide(),
        client_port: key.remote_port,
        vip_port: key.local_port,
        service: service.load().id as u16,
        state,
        zero: 0,
        backend: 0,
        mark: 0,
        seen,
        hop,
    }
}

/// Removes a flow's way back; another flow's stays.
#[inline(always)]
pub(super) fn forget<A: Family, T: Family, E: Env + Tables<T>>(
    env: &mut E,
    flow: &FlowKey<A>,
    reply: &FlowKey<T>,
    stage: Stage,
) {
    let own = env
        .reverse(stage, reply)
        .is_some_and(|cell| cell.with(|reverse| belongs(reverse, flow)));
    if own {
        env.remove_reverse(stage, reply);
    }
}

/// Whether a way back leads to a flow's client.
#[inline(always)]
fn belongs<A: Family>(reverse: &Reverse, flow: &FlowKey<A>) -> bool {
    reverse.client == flow.remote.wide()
        && reverse.client_port == flow.remote_port
        && reverse.vip == flow.local.wide()
        && reverse.vip_port == flow.local_port
}

/// The 5-tuple of the backend's replies, which are of family `T`.
#[inline(always)]
pub(super) fn reply_key<A: Family, T: Family, E: Env>(
    env: &E,
    flow: &FlowKey<A>,
    backend: &E::BackendCell,
    port: u16,
) -> FlowKey<T> {
    let (ours, theirs) = ends(env, flow, backend, port);
    FlowKey::new(theirs, ours, flow.protocol)
}

/// The 5-tuple that a client's packet reaches the backend with, from a source port.
#[inline(always)]
pub(super) fn sent_key<A: Family, B: Family, E: Env>(
    env: &E,
    flow: &FlowKey<A>,
    backend: &E::BackendCell,
    port: u16,
) -> FlowKey<B> {
    let (ours, theirs) = ends(env, flow, backend, port);
    FlowKey::new(ours, theirs, flow.protocol)
}

/// Our end of a flow towards its backend, in `nat` the client's, and the backend's.
#[inline(always)]
fn ends<A: Family, B: Family, E: Env>(
    env: &E,
    flow: &FlowKey<A>,
    backend: &E::BackendCell,
    port: u16,
) -> ((B, u16), (B, u16)) {
    let source = if keeps_client(env, backend) {
        flow.remote.wide()
    } else {
        backend.load().source
    };
    let address = B::from_wide(backend.load().address);
    let backend_port = match backend.load().port {
        0 => flow.local_port,
        port => port,
    };
    ((B::from_wide(source), port), (address, backend_port))
}

/// Replies go back to where the client's packets came from: this holds for clients behind any
/// router, without a lookup.
#[inline(always)]
fn way_back<F: Frame, E: Env>(env: &E, frame: &F) -> Hop {
    ethernet::way_back(frame, 0, env.ingress_interface()).unwrap_or_default()
}
