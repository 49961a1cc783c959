//! A client's packet on its way to the backend: all that can fail is done before the first write.

use super::departure::{Departure, Order};
use super::flow::Assigned;
use super::{Cell, Env, Notes, Sent, Steps, Tables, nat, report, tunnel};
use crate::abi::{AddressFamily, Backend, FlowKey, Forward, Hop, Reason, Service, V4, V6};
use crate::wire::{Family, Frame, ethernet, translation};

/// Addresses a client's packet to its backend.
#[inline(always)]
pub(super) fn to_backend<A: Family, F: Frame, E: Env + Steps<A>>(
    frame: &mut F,
    env: &mut E,
    order: Order,
    key: &FlowKey<A>,
    service: &<E as Tables<A>>::ServiceCell,
    assigned: &Assigned<E::BackendCell>,
    notes: &mut Notes,
) -> Sent {
    let backend = assigned.backend;
    if is_direct(env, service) {
        return Ok((assigned.reason, onwards(frame, &backend)?));
    }
    let mode = service.load().forward;
    let order = order.in_mode(mode, assigned.source_port);
    let departure = <E as Steps<A>>::deliver(env, frame, key, backend, order);
    notes.grown = departure.growth();
    departure.sent(assigned.reason)
}

/// Whether packets go by `mode`, where `actual` says by which; it is not asked where the
/// configuration leaves no choice.
#[inline(always)]
pub(super) fn goes_by<E: Env>(env: &E, mode: Forward, actual: impl FnOnce() -> Forward) -> bool {
    let features = env.features();
    features.has(mode.feature()) && (features.has_only_mode(mode.feature()) || actual() == mode)
}

/// Whether the service's packets arrive as they are, in frames that are addressed to the backend.
#[inline(always)]
pub(super) fn is_direct<E: Env, C: Cell<Service>>(env: &E, service: &C) -> bool {
    goes_by(env, Forward::DSR, || service.load().forward)
}

/// The way to a backend, if it is known: read before the first write to a frame, because it may be
/// lost since it was last asked for.
#[inline(always)]
pub(super) fn next_hop<C: Cell<Backend>>(backend: &C) -> Option<Hop> {
    let hop = backend.load().hop;
    (hop.interface != 0).then_some(hop)
}

/// Addresses the frame alone to the backend.
#[inline(always)]
fn onwards<F: Frame, C: Cell<Backend>>(frame: &mut F, backend: &C) -> Result<u32, Reason> {
    let hop = next_hop(backend).ok_or(Reason::NoNextHop)?;
    ethernet::readdress(frame, &hop).ok_or(Reason::RewriteFailed)?;
    Ok(hop.interface)
}

/// Addresses a client's packet to its backend, in the modes that write more than the addresses of
/// the frame, or tells the client that it is too long.
#[inline(always)]
pub fn deliver<A: Family, F: Frame, E: Env + Steps<A>>(
    env: &mut E,
    frame: &mut F,
    key: &FlowKey<A>,
    backend: E::BackendCell,
    order: Order,
) -> Departure {
    let crosses =
        nat::is_across::<A, E>(env, &backend) && goes_by(env, Forward::FULL_NAT, || order.mode());
    let sent = if crosses {
        <E as Steps<A>>::send_across(env, frame, key, backend, order)
    } else {
        <E as Steps<A>>::send(env, frame, key, backend, order)
    };
    report::or_report::<A, F, E>(env, frame, order, sent)
}

/// Addresses a client's packet to its backend of the same family, or by a tunnel to one of any.
#[inline(always)]
pub fn send<A: Family, F: Frame, E: Env>(
    env: &E,
    frame: &mut F,
    key: &FlowKey<A>,
    backend: E::BackendCell,
    order: Order,
) -> Departure {
    let Some(hop) = next_hop(&backend) else {
        return Departure::NO_NEXT_HOP;
    };
    if tunnel::is_mode(env, order.mode()) {
        return if backend.load().family == AddressFamily::V6 {
            tunnel::enter::<A, V6, F, E>(env, frame, key, &backend, &hop, order)
        } else {
            tunnel::enter::<A, V4, F, E>(env, frame, key, &backend, &hop, order)
        };
    }
    let to = nat::sent_key::<A, A, E>(env, key, &backend, order.source_port());
    let written = translation::readdress(frame, order.place(), key, &to, &hop);
    Departure::rewritten(written, hop.interface)
}
