//! The way back of `full-nat` flows: source ports, and the entries that replies find.

use super::flow::{TCP_ESTABLISHED, UDP};
use super::open::enter;
use super::settle::Change;
use super::settled::Settled;
use super::{Cell, Env, Frame, Stage, Tables, schedule};
use crate::abi::limits::PORT_TRIES_CALM;
use crate::abi::{Backend, Features, FlowKey, FlowState, Hop, Reason, Reverse, Ticks};
use crate::wire::transport::{TCP, TcpFlags};
use crate::wire::{Family, ethernet};

/// A port rests this long after its connection was closed: the backend may remember the
/// connection in TIME-WAIT (RFC 9293, section 3.6.1; Linux stays there for 60 s).
const CLOSED: u32 = Ticks::in_seconds(60);
/// A port is kept this long for a reply to a single packet.
const UNANSWERED: u32 = Ticks::in_seconds(30);
/// What is left of both where nearly every port is in use: backends take a new connection on an
/// old port if its sequence number or time stamp is ahead (RFC 6191).
const PRESSED: u32 = 2;

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
    if !is_port(env, key.local_port) {
        return None;
    }
    // Between the first two lookups another CPU may have moved the entry from there to here.
    let (cell, reverse) = find(env, Stage::Established, key)
        .or_else(|| find(env, Stage::Pending, key))
        .or_else(|| find(env, Stage::Established, key))?;
    let now = env.now();
    if now.since(reverse.seen) > TCP_ESTABLISHED {
        return None;
    }
    let mut next = reverse;
    next.seen = now;
    if flags.closes() {
        next.state = FlowState::CLOSING;
    }
    if next != reverse {
        cell.update(|reverse| {
            if reverse.mark != next.mark {
                return;
            }
            reverse.seen = next.seen;
            if flags.closes() {
                reverse.state = FlowState::CLOSING;
            }
        });
    }
    if flags.resets() {
        close(env, key.protocol, &reverse);
    }
    Some(cell)
}

/// Whether a port is one that replies come to.
#[inline(always)]
pub(super) fn is_port<E: Env>(env: &E, port: u16) -> bool {
    let (first, count) = env.nat_ports();
    port.wrapping_sub(first) < count
}

/// The way back in a table, unless it is another flow's by the time it is read.
#[inline(always)]
fn find<A: Family, E: Env + Tables<A>>(
    env: &E,
    stage: Stage,
    key: &FlowKey<A>,
) -> Option<(<E as Tables<A>>::ReverseCell, Reverse<A>)> {
    let cell = env.reverse(stage, key)?;
    let reverse = cell.load();
    (reverse.mark == key.mark()).then_some((cell, reverse))
}

/// A backend reset the connection: the client may open a new one on the same port.
#[inline(always)]
fn close<A: Family, E: Env + Tables<A>>(env: &E, protocol: u8, reverse: &Reverse<A>) {
    let key = FlowKey::new(
        (reverse.client, reverse.client_port),
        (reverse.vip, reverse.vip_port),
        protocol,
    );
    let cell = env
        .flow(Stage::Established, &key)
        .or_else(|| env.flow(Stage::Pending, &key));
    if let Some(cell) = cell {
        cell.update(|flow| {
            if flow.mark == key.mark() {
                flow.state = FlowState::CLOSING;
            }
        });
    }
}

/// Tries to take one port towards the backend for a flow that was opened without: lays the way
/// back, and enters the flow. The packet waits on if the port is another's.
#[inline(always)]
pub fn claim<A: Family, F: Frame, E: Env + Tables<A>>(
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
    let (first, count) = env.nat_ports();
    let random = u64::from(env.random()) * u64::from(count);
    let port = first.wrapping_add((random >> 32) as u16);
    let reply = reply_key(key, &backend, port);
    let now = env.now();
    let pressed = attempt >= PORT_TRIES_CALM;
    // In this order no entry is missed that another CPU moves from there to here.
    if !vacate(env, Stage::Pending, &reply, pressed, now)
        || !vacate(env, Stage::Established, &reply, pressed, now)
    {
        return opened;
    }
    let mut reverse = leading_back(env, frame, key, service, (FlowState::PENDING, now));
    reverse.mark = reply.mark();
    reverse.backend = id as u16;
    if !env.insert_reverse(Stage::Pending, &reply, &reverse) {
        return opened;
    }
    enter::<A, E>(env, key, backend, opened.with_port(port), now)
}

/// Whether no way back has this key any more; one that has rested long enough makes room.
#[inline(always)]
fn vacate<A: Family, E: Env + Tables<A>>(
    env: &mut E,
    stage: Stage,
    key: &FlowKey<A>,
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
    let vacant = now.since(reverse.seen) > rest;
    if vacant {
        env.remove_reverse(stage, key);
    }
    vacant
}

/// Keeps a live flow's way back where the flow goes, and on the path that the client's packets take
/// now; one that the table has forgotten is laid again. False if its port has gone to another flow.
#[inline(always)]
pub(super) fn keep<A: Family, F: Frame, E: Env + Tables<A>>(
    env: &mut E,
    frame: &F,
    key: &FlowKey<A>,
    service: <E as Tables<A>>::ServiceCell,
    reply: &FlowKey<A>,
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
fn leads_to<A: Family, E: Env + Tables<A>>(env: &E, key: &FlowKey<A>, flow: &FlowKey<A>) -> bool {
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
) -> Reverse<A> {
    let hop = way_back(env, frame);
    Reverse {
        vip: key.local,
        client: key.remote,
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
pub(super) fn forget<A: Family, E: Env + Tables<A>>(
    env: &mut E,
    flow: &FlowKey<A>,
    reply: &FlowKey<A>,
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
fn belongs<A: Family>(reverse: &Reverse<A>, flow: &FlowKey<A>) -> bool {
    reverse.client == flow.remote
        && reverse.client_port == flow.remote_port
        && reverse.vip == flow.local
        && reverse.vip_port == flow.local_port
}

/// The 5-tuple of the backend's replies.
#[inline(always)]
pub(super) fn reply_key<A: Family, C: Cell<Backend>>(
    flow: &FlowKey<A>,
    backend: &C,
    port: u16,
) -> FlowKey<A> {
    let address = A::from_wide(backend.load().address);
    let source = A::from_wide(backend.load().source);
    let remote = (address, backend_port(backend, flow.local_port));
    FlowKey::new(remote, (source, port), flow.protocol)
}

/// Replies go back to where the client's packets came from: this holds for clients behind any
/// router, without a lookup.
#[inline(always)]
fn way_back<F: Frame, E: Env>(env: &E, frame: &F) -> Hop {
    ethernet::way_back(frame, 0, env.ingress_interface()).unwrap_or_default()
}

/// The backend's port, or the packet's where the backend has none of its own.
#[inline(always)]
pub(super) fn backend_port<C: Cell<Backend>>(backend: &C, packet_port: u16) -> u16 {
    match backend.load().port {
        0 => packet_port,
        port => port,
    }
}
