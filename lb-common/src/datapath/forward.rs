//! The rewrite: all writes to a frame are here, after everything that can fail.

use super::departure::{Departure, Order};
use super::flow::Assigned;
use super::{Cell, Env, Notes, Sent, Steps, Tables, nat, tunnel};
use crate::abi::{AddressFamily, Backend, FlowKey, Forward, Hop, Reason, Service, V4, V6};
use crate::wire::checksum::Delta;
use crate::wire::{Family, Frame, Packet, ethernet, transport};

/// Addresses a client's packet to its backend.
#[inline(always)]
pub(super) fn to_backend<A: Family, F: Frame, E: Env + Steps<A>>(
    frame: &mut F,
    env: &mut E,
    packet: &Packet<A>,
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
    let order = Order::new(packet).in_mode(mode, assigned.source_port);
    let departure = <E as Steps<A>>::send(env, frame, key, backend, order);
    notes.grown = departure.growth();
    let interface = departure.interface()?;
    if departure.is_error() {
        return Ok((Reason::TooBigTold, interface));
    }
    Ok((assigned.reason, interface))
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

/// Whether the service's flows have a way back through us.
#[inline(always)]
pub(super) fn uses_nat<E: Env, C: Cell<Service>>(env: &E, service: &C) -> bool {
    goes_by(env, Forward::FULL_NAT, || service.load().forward)
}

/// Addresses the frame alone to the backend.
#[inline(always)]
fn onwards<F: Frame, C: Cell<Backend>>(frame: &mut F, backend: &C) -> Result<u32, Reason> {
    // Read before the first write: the way may be lost since it was asked for.
    let hop = backend.load().hop;
    if hop.interface == 0 {
        return Err(Reason::NoNextHop);
    }
    ethernet::readdress(frame, &hop).ok_or(Reason::RewriteFailed)?;
    Ok(hop.interface)
}

/// Addresses a client's packet to its backend, in the modes that write more than the addresses of
/// the frame.
#[inline(always)]
pub fn send<A: Family, F: Frame, E: Env>(
    env: &E,
    frame: &mut F,
    key: &FlowKey<A>,
    backend: &E::BackendCell,
    order: Order,
) -> Departure {
    // As in `onwards`.
    let hop = backend.load().hop;
    if hop.interface == 0 {
        return Departure::refused(Reason::NoNextHop);
    }
    if tunnel::is_mode(env, order.mode()) {
        return if backend.load().family == AddressFamily::V6 {
            tunnel::enter::<A, V6, F, E>(env, frame, key, backend, &hop, order)
        } else {
            tunnel::enter::<A, V4, F, E>(env, frame, key, backend, &hop, order)
        };
    }
    let source = (A::from_wide(backend.load().source), order.source_port());
    let port = nat::backend_port(backend, key.local_port);
    let destination = (A::from_wide(backend.load().address), port);
    let to = FlowKey::new(source, destination, key.protocol);
    translate(frame, key, &to, &hop, order)
}

/// Addresses a backend's reply to the client.
#[inline(always)]
pub(super) fn to_client<A: Family, F: Frame, E: Env + Steps<A>>(
    frame: &mut F,
    env: &mut E,
    packet: &Packet<A>,
    key: &FlowKey<A>,
    reverse: &<E as Tables<A>>::ReverseCell,
) -> Sent {
    if packet.hop_limit <= 1 {
        return Err(Reason::HopLimit);
    }
    let departure = <E as Steps<A>>::answer(env, frame, key, reverse, Order::new(packet));
    Ok((Reason::ToClient, departure.interface()?))
}

/// Sends a backend's reply on the way back.
#[inline(always)]
pub fn answer<A: Family, F: Frame, E: Env + Tables<A>>(
    frame: &mut F,
    key: &FlowKey<A>,
    reverse: &<E as Tables<A>>::ReverseCell,
    order: Order,
) -> Departure {
    let source = (reverse.load().vip, reverse.load().vip_port);
    let destination = (reverse.load().client, reverse.load().client_port);
    let hop = reverse.load().hop;
    // The last look before the first write: all this was one flow's.
    let still = (reverse.load().client, reverse.load().client_port) == destination;
    if !still || reverse.load().mark != key.mark() {
        return Departure::refused(Reason::RewriteFailed);
    }
    let to = FlowKey::new(source, destination, key.protocol);
    translate(frame, key, &to, &hop, order)
}

/// Writes both addresses and ports, counts a hop, mends the checksums, and addresses the frame to
/// the next hop. Nothing is written if the frame has no headers where the order says.
#[inline(always)]
fn translate<A: Family, F: Frame>(
    frame: &mut F,
    from: &FlowKey<A>,
    to: &FlowKey<A>,
    hop: &Hop,
    order: Order,
) -> Departure {
    let delta = Delta::NONE
        .address(from.remote, to.remote)
        .address(from.local, to.local);
    let sent = transport::readdress(frame, order.payload_at(), to, delta)
        .and_then(|()| A::readdress(frame, order.at(), to.remote, to.local))
        .and_then(|()| ethernet::readdress(frame, hop));
    match sent {
        Some(()) => Departure::by(hop.interface),
        None => Departure::refused(Reason::RewriteFailed),
    }
}
