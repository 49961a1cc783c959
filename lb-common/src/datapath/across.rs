//! `full-nat` between address families.

use super::departure::{Departure, Order};
use super::{Cell, Env, Frame, forward, nat};
use crate::abi::{FlowKey, Hop, Reason};
use crate::wire::{Family, translation};

/// Sends a client's packet to a backend of the other family.
#[inline(always)]
pub fn send_across<A: Family, F: Frame, E: Env>(
    env: &E,
    frame: &mut F,
    key: &FlowKey<A>,
    backend: E::BackendCell,
    order: Order,
) -> Departure {
    let Some(hop) = forward::next_hop(&backend) else {
        return Departure::NO_NEXT_HOP;
    };
    let to = nat::sent_key::<A, A::Other, E>(env, key, &backend, order.source_port());
    let mtu = usize::from(backend.load().mtu);
    write(frame, (key, &to), &hop, order, mtu)
}

/// Writes a packet anew in the other family, unless only `mtu` bytes fit; 0 if that is not known.
#[inline(always)]
pub(super) fn write<A: Family, F: Frame>(
    frame: &mut F,
    (from, to): (&FlowKey<A>, &FlowKey<A::Other>),
    hop: &Hop,
    order: Order,
    mtu: usize,
) -> Departure {
    let place = order.place();
    let Some(outline) = A::outline(frame, place.at) else {
        return Departure::refused(Reason::RewriteFailed);
    };
    let length = translation::length_across::<A>(place, outline);
    if mtu != 0 && length > mtu {
        let growth = length.wrapping_sub(outline.length);
        return Departure::too_big(mtu.wrapping_sub(growth));
    }
    match translation::cross(frame, place, outline, from, to, hop) {
        Ok(()) => Departure::by(hop.interface).resized(outline.length, length),
        Err(reason) => Departure::refused(reason),
    }
}
