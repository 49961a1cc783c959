//! The rewrite: all writes to a frame are here, after everything that can fail.

use super::flow::Assigned;
use super::{Cell, Sent, nat};
use crate::abi::{Backend, FlowKey, Forward, Reason, Reverse, Service};
use crate::wire::checksum::Delta;
use crate::wire::{Family, Frame, Packet, ethernet, transport};

/// Addresses a client's packet to its backend.
#[inline(always)]
pub(super) fn to_backend<A: Family, F: Frame, S: Cell<Service>, C: Cell<Backend>>(
    frame: &mut F,
    packet: &Packet<A>,
    key: &FlowKey<A>,
    service: &S,
    assigned: &Assigned<C>,
) -> Sent {
    let backend = &assigned.backend;
    // Read before the first write: the way may be lost since it was asked for.
    let hop = backend.load().hop;
    if hop.interface == 0 {
        return Err(Reason::NoNextHop);
    }
    if service.load().forward == Forward::FULL_NAT {
        let source = (A::from_wide(backend.load().source), assigned.source_port);
        let port = nat::backend_port(backend, key.local_port);
        let destination = (A::from_wide(backend.load().address), port);
        translate(frame, packet, key, source, destination)?;
    }
    ethernet::readdress(frame, &hop).ok_or(Reason::RewriteFailed)?;
    Ok((assigned.reason, hop))
}

/// Addresses a backend's reply to the client.
#[inline(always)]
pub(super) fn to_client<A: Family, F: Frame, C: Cell<Reverse<A>>>(
    frame: &mut F,
    packet: &Packet<A>,
    key: &FlowKey<A>,
    reverse: &C,
) -> Sent {
    let source = (reverse.load().vip, reverse.load().vip_port);
    let destination = (reverse.load().client, reverse.load().client_port);
    let hop = reverse.load().hop;
    // The last look before the first write: all this was one flow's.
    let still = (reverse.load().client, reverse.load().client_port) == destination;
    if !still || reverse.load().mark != key.mark() {
        return Err(Reason::RewriteFailed);
    }
    translate(frame, packet, key, source, destination)?;
    ethernet::readdress(frame, &hop).ok_or(Reason::RewriteFailed)?;
    Ok((Reason::ToClient, hop))
}

/// Writes both addresses and ports, counts a hop, and mends the checksums.
#[inline(always)]
fn translate<A: Family, F: Frame>(
    frame: &mut F,
    packet: &Packet<A>,
    key: &FlowKey<A>,
    source: (A, u16),
    destination: (A, u16),
) -> Result<(), Reason> {
    if packet.hop_limit <= 1 {
        return Err(Reason::HopLimit);
    }
    let delta = Delta::NONE
        .address(key.remote, source.0)
        .address(key.local, destination.0);
    transport::readdress(frame, packet, source.1, destination.1, delta)
        .ok_or(Reason::RewriteFailed)?;
    A::readdress(frame, packet.at, source.0, destination.0).ok_or(Reason::RewriteFailed)
}
