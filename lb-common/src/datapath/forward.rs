//! The rewrite: all writes to a frame are here, after everything that can fail.

use super::flow::Assigned;
use super::{Cell, Env, Sent, Steps, Tables, nat};
use crate::abi::{FlowKey, Forward, Reason};
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
        let to = FlowKey::new(source, destination, key.protocol);
        rewrite(frame, env, packet, key, &to)?;
    }
    ethernet::readdress(frame, &hop).ok_or(Reason::RewriteFailed)?;
    Ok((assigned.reason, hop))
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
    let source = (reverse.load().vip, reverse.load().vip_port);
    let destination = (reverse.load().client, reverse.load().client_port);
    let hop = reverse.load().hop;
    // The last look before the first write: all this was one flow's.
    let still = (reverse.load().client, reverse.load().client_port) == destination;
    if !still || reverse.load().mark != key.mark() {
        return Err(Reason::RewriteFailed);
    }
    let to = FlowKey::new(source, destination, key.protocol);
    rewrite(frame, env, packet, key, &to)?;
    ethernet::readdress(frame, &hop).ok_or(Reason::RewriteFailed)?;
    Ok((Reason::ToClient, hop))
}

/// Counts a hop, and gives the packet another 5-tuple.
#[inline(always)]
fn rewrite<A: Family, F: Frame, E: Env + Steps<A>>(
    frame: &mut F,
    env: &mut E,
    packet: &Packet<A>,
    from: &FlowKey<A>,
    to: &FlowKey<A>,
) -> Result<(), Reason> {
    if packet.hop_limit <= 1 {
        return Err(Reason::HopLimit);
    }
    <E as Steps<A>>::translate(env, frame, from, to, (packet.at, packet.payload_at))
        .ok_or(Reason::RewriteFailed)
}

/// Writes both addresses and ports, counts a hop, and mends the checksums. `None` if the frame has
/// no headers at these offsets, that of the network and that of the transport.
#[inline(always)]
pub fn translate<A: Family, F: Frame>(
    frame: &mut F,
    from: &FlowKey<A>,
    to: &FlowKey<A>,
    (at, payload_at): (usize, usize),
) -> Option<()> {
    let delta = Delta::NONE
        .address(from.remote, to.remote)
        .address(from.local, to.local);
    transport::readdress(frame, payload_at, to, delta)?;
    A::readdress(frame, at, to.remote, to.local)
}
