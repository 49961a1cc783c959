//! Flows: which backend a packet belongs to.
//!
//! A first packet enters the pending table; the client's next packet promotes it. A flow stays
//! with its backend while that is up or draining; otherwise it is scheduled anew.

use super::settled::Settled;
use super::{Cell, Env, Frame, Notes, Stage, Steps, Tables, nat};
use crate::abi::limits::PORT_TRIES;
use crate::abi::{Flow, FlowKey, FlowState, Reason, Ticks};
use crate::wire::transport::TCP;
use crate::wire::{Family, TcpFlags};

/// The backend of a packet, and what is needed to send it there.
#[derive(Clone, Copy)]
pub(super) struct Assigned<C> {
    pub(super) backend: C,
    /// `nat` and `full-nat`: the source port towards the backend.
    pub(super) source_port: u16,
    pub(super) reason: Reason,
}

/// RFC 5382, REQ-5: an established TCP connection may idle for 2 hours 4 minutes.
pub(super) const TCP_ESTABLISHED: u32 = Ticks::in_seconds(7440);
/// RFC 5382, REQ-5: a connection that opens or closes, 4 minutes.
const TCP_TRANSITORY: u32 = Ticks::in_seconds(240);
/// RFC 4787, REQ-5: UDP, 5 minutes.
pub(super) const UDP: u32 = Ticks::in_seconds(300);

/// Finds or makes the packet's flow: most packets find it established and unchanged.
#[inline(always)]
pub(super) fn assign<A: Family, F: Frame, E: Env + Steps<A>>(
    env: &mut E,
    frame: &F,
    key: &FlowKey<A>,
    service: <E as Tables<A>>::ServiceCell,
    flags: TcpFlags,
    notes: &mut Notes,
) -> Result<Assigned<E::BackendCell>, Reason> {
    let found = find(env, Stage::Established, key);
    if let Some((cell, flow)) = &found
        && let Some(backend) = steady::<A, E>(env, key.protocol, service, flags, cell, flow)
    {
        notes.backend = flow.backend.into();
        let source_port = flow.source_port;
        return Ok(Assigned {
            backend,
            source_port,
            reason: Reason::ToBackend,
        });
    }
    let known = found.is_some();
    let mut settled = <E as Steps<A>>::settle(env, key, service, flags, known);
    if settled == Settled::UNCERTAIN {
        settled = <E as Steps<A>>::renew(env, frame, key, service, flags);
    }
    if let Some(moved) = settled.is_missing() {
        settled = <E as Steps<A>>::open(env, key, service, flags, moved);
    }
    for attempt in 0..PORT_TRIES {
        if !settled.is_portless() {
            break;
        }
        settled = <E as Steps<A>>::claim(env, frame, key, service, settled, attempt);
    }
    let (reason, source_port) = settled.tell(notes)?;
    let backend = env.backend(notes.backend).ok_or(Reason::NoBackend)?;
    Ok(Assigned {
        backend,
        source_port,
        reason,
    })
}

/// The backend of an established flow whose packet changes nothing but the time of the last one,
/// which the entry alone keeps.
#[inline(always)]
fn steady<A: Family, E: Env + Tables<A>>(
    env: &E,
    protocol: u8,
    service: <E as Tables<A>>::ServiceCell,
    flags: TcpFlags,
    cell: &<E as Tables<A>>::FlowCell,
    flow: &Flow,
) -> Option<E::BackendCell> {
    let now = env.now();
    if flags.closes() || !is_live(flow, protocol, flags, now) {
        return None;
    }
    let (backend, _) = backend(env, flow).filter(|(_, keeps)| *keeps)?;
    if nat::is_used(env, &service) {
        // Of a way back the time is kept too, and it may have to be laid again.
        let holds = flow.seen == now && nat::holds_port(env, &backend, flow.source_port);
        return holds.then_some(backend);
    }
    if flow.seen != now {
        cell.update(|entry| {
            if entry.mark == flow.mark {
                entry.seen = now;
            }
        });
    }
    Some(backend)
}

/// The flow in a table, unless it is another client's by the time it is read.
#[inline(always)]
pub(super) fn find<A: Family, E: Env + Tables<A>>(
    env: &E,
    stage: Stage,
    key: &FlowKey<A>,
) -> Option<(<E as Tables<A>>::FlowCell, Flow)> {
    let cell = env.flow(stage, key)?;
    let flow = cell.load();
    (flow.mark == key.mark()).then_some((cell, flow))
}

/// The backend of a flow and whether it keeps it, unless its number was given to another.
#[inline(always)]
pub(super) fn backend<E: Env>(env: &E, flow: &Flow) -> Option<(E::BackendCell, bool)> {
    let backend = env.backend(flow.backend.into())?;
    let keeps = backend.load().state.keeps_flows();
    // Behind the state, which might be the next owner's.
    (backend.reload().incarnation == flow.incarnation).then_some((backend, keeps))
}

/// Whether the entry still speaks for the packet.
#[inline(always)]
pub(super) fn is_live(flow: &Flow, protocol: u8, flags: TcpFlags, now: Ticks) -> bool {
    if protocol != TCP {
        return now.since(flow.seen) <= UDP;
    }
    if flow.state == FlowState::CLOSING && flags.opens() {
        // RFC 9293, section 3.6.1: a client may open a new connection on an old port.
        return false;
    }
    let idle_max = if flow.state == FlowState::ESTABLISHED {
        TCP_ESTABLISHED
    } else {
        TCP_TRANSITORY
    };
    now.since(flow.seen) <= idle_max
}
