//! The modes that carry a packet inside another, `ipip` and `gue`.

use super::departure::{Departure, Order};
use super::forward::goes_by;
use super::{Cell, Env};
use crate::abi::{FlowKey, Forward, Hop, Reason};
use crate::wire::tunnel::Tunnel;
use crate::wire::{Family, Frame};

/// Whether a mode carries packets inside others.
#[inline(always)]
pub(super) fn is_mode<E: Env>(env: &E, mode: Forward) -> bool {
    goes_by(env, Forward::IPIP, || mode) || goes_by(env, Forward::GUE, || mode)
}

/// Sends a client's packet inside another of the backend's family.
#[inline(always)]
pub(super) fn enter<A: Family, B: Family, F: Frame, E: Env>(
    env: &E,
    frame: &mut F,
    key: &FlowKey<A>,
    backend: &E::BackendCell,
    hop: &Hop,
    order: Order,
) -> Departure {
    let at = order.place().at;
    let entry = backend.load();
    let flow = key.hash();
    let tunnel = Tunnel {
        source: B::from_wide(entry.source).vary(entry.source_bits, flow),
        destination: B::from_wide(entry.address),
        flow,
        udp: goes_by(env, Forward::GUE, || order.mode()),
    };
    let Some(inner) = A::outline(frame, at) else {
        return Departure::refused(Reason::RewriteFailed);
    };
    let mtu = usize::from(entry.mtu);
    if mtu != 0 && inner.length + tunnel.overhead() > mtu {
        let fits = mtu.saturating_sub(tunnel.overhead());
        return Departure::too_big(fits);
    }
    match tunnel.enter::<A, F>(frame, at, inner, hop) {
        Some(()) => Departure::by(hop.interface).resized(0, tunnel.overhead()),
        None => Departure::refused(Reason::NoHeadroom),
    }
}
