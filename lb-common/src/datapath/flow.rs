//! Flows: which backend a packet belongs to.
//!
//! A first packet enters the pending table; the client's next packet promotes it. A flow stays
//! with its backend while that is up or draining; otherwise it is scheduled anew.

use super::schedule::{self, Choice};
use super::{Arrival, Cell, Env, Frame, Notes, Stage, Tables, nat};
use crate::abi::{Backend, Features, Flow, FlowKey, FlowState, Forward, Reason, Service, Ticks};
use crate::wire::Family;
use crate::wire::transport::TCP;

/// The backend of a packet, and what is needed to send it there.
#[derive(Clone, Copy)]
pub(super) struct Assigned<C> {
    pub(super) backend: C,
    /// `full-nat`: our port towards the backend.
    pub(super) source_port: u16,
    pub(super) reason: Reason,
}

/// RFC 5382, REQ-5: an established TCP connection may idle for 2 hours 4 minutes.
pub(super) const TCP_ESTABLISHED: u32 = Ticks::in_seconds(7440);
/// RFC 5382, REQ-5: a connection that opens or closes, 4 minutes.
const TCP_TRANSITORY: u32 = Ticks::in_seconds(240);
/// RFC 4787, REQ-5: UDP, 5 minutes.
pub(super) const UDP: u32 = Ticks::in_seconds(300);

/// Finds or makes the packet's flow.
#[inline(always)]
pub(super) fn assign<A: Family, F: Frame, E: Env + Tables<A>>(
    env: &mut E,
    arrival: Arrival<'_, A, F>,
    service: <E as Tables<A>>::ServiceCell,
    notes: &mut Notes,
) -> Result<Assigned<E::BackendCell>, Reason> {
    let now = env.now();
    let mut moved = false;
    let mut found = find(env, Stage::Established, arrival.key);
    if found.is_none() {
        found = find(env, Stage::Pending, arrival.key);
    }
    if found.is_none() && !arrival.flags.opens() {
        // Between the two lookups another CPU may have moved the entry from there to here.
        found = find(env, Stage::Established, arrival.key);
    }
    if let Some((stage, cell, flow)) = found {
        let backend = env
            .backend(flow.backend.into())
            .filter(|b| b.load().incarnation == flow.incarnation);
        if is_live(&flow, arrival, now) {
            let keeps = backend.filter(|b| b.load().state.keeps_flows());
            moved = keeps.is_none();
            if let Some(backend) = keeps
                && has_way_back(env, stage, arrival, service, backend, &flow, now)
            {
                notes.backend = flow.backend.into();
                reachable(&backend)?;
                follow(env, arrival, service, backend, (stage, &cell, flow), now)?;
                let source_port = flow.source_port;
                return Ok(Assigned {
                    backend,
                    source_port,
                    reason: Reason::ToBackend,
                });
            }
        }
        forget(env, arrival.key, service, backend, stage, flow);
    }
    open(env, arrival, service, moved, now, notes)
}

/// The flow in a table, unless it is another client's by the time it is read.
#[inline(always)]
fn find<A: Family, E: Env + Tables<A>>(
    env: &E,
    stage: Stage,
    key: &FlowKey<A>,
) -> Option<(Stage, <E as Tables<A>>::FlowCell, Flow)> {
    let cell = env.flow(stage, key)?;
    let flow = cell.load();
    (flow.mark == key.mark()).then_some((stage, cell, flow))
}

/// Whether the entry still speaks for the packet.
#[inline(always)]
fn is_live<A, F>(flow: &Flow, arrival: Arrival<'_, A, F>, now: Ticks) -> bool {
    if arrival.key.protocol != TCP {
        return now.since(flow.seen) <= UDP;
    }
    if flow.state == FlowState::CLOSING && arrival.flags.opens() {
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

/// Whether replies still find the client. A port goes to another flow only after it has rested,
/// so that a flow that was seen just now need not be asked. One from before the service was
/// `full-nat`, or from before the ports were others, has no port that replies are looked for at.
#[inline(always)]
fn has_way_back<A: Family, F: Frame, E: Env + Tables<A>>(
    env: &mut E,
    stage: Stage,
    arrival: Arrival<'_, A, F>,
    service: <E as Tables<A>>::ServiceCell,
    backend: E::BackendCell,
    flow: &Flow,
    now: Ticks,
) -> bool {
    !uses_nat(env, &service)
        || nat::is_port(env, flow.source_port)
            && (flow.seen == now || nat::hold(env, stage, arrival, service, backend, flow, now))
}

/// Brings a live flow's entry up to date.
#[inline(always)]
fn follow<A: Family, F: Frame, E: Env + Tables<A>>(
    env: &mut E,
    arrival: Arrival<'_, A, F>,
    service: <E as Tables<A>>::ServiceCell,
    backend: E::BackendCell,
    (stage, cell, flow): (Stage, &<E as Tables<A>>::FlowCell, Flow),
    now: Ticks,
) -> Result<(), Reason> {
    let flags = arrival.flags;
    let promotes = stage == Stage::Pending && !flags.opens() && !flags.resets();
    if flow.seen == now && !flags.closes() && !promotes {
        return Ok(());
    }
    let mut next = flow;
    next.seen = now;
    if flags.closes() {
        next.state = FlowState::CLOSING;
    }
    if promotes {
        if next.state == FlowState::PENDING {
            next.state = FlowState::ESTABLISHED;
        }
        if !env.insert_flow(Stage::Established, arrival.key, &next) {
            return Err(Reason::FlowTableFull);
        }
        env.remove_flow(Stage::Pending, arrival.key);
        if uses_nat(env, &service) {
            nat::promote(env, arrival, service, backend, &next);
        }
        return Ok(());
    }
    if next != flow {
        cell.update(|flow| {
            if flow.mark != next.mark {
                return;
            }
            flow.seen = next.seen;
            if flags.closes() {
                flow.state = FlowState::CLOSING;
            }
        });
        // The stamp changes about once a second, so this second lookup costs next to nothing.
        if uses_nat(env, &service) {
            nat::refresh(env, arrival, backend, &next);
        }
    }
    Ok(())
}

/// Removes an entry that speaks for nothing any more.
#[inline(always)]
fn forget<A: Family, E: Env + Tables<A>>(
    env: &mut E,
    key: &FlowKey<A>,
    service: <E as Tables<A>>::ServiceCell,
    backend: Option<E::BackendCell>,
    stage: Stage,
    flow: Flow,
) {
    env.remove_flow(stage, key);
    if let Some(backend) = backend
        && uses_nat(env, &service)
    {
        nat::forget(env, key, backend, stage, flow.source_port);
    }
}

/// Makes a flow for a packet that has none.
#[inline(always)]
fn open<A: Family, F: Frame, E: Env + Tables<A>>(
    env: &mut E,
    arrival: Arrival<'_, A, F>,
    service: <E as Tables<A>>::ServiceCell,
    moved: bool,
    now: Ticks,
    notes: &mut Notes,
) -> Result<Assigned<E::BackendCell>, Reason> {
    let flags = arrival.flags;
    let stray = arrival.key.protocol == TCP && !flags.opens() && !moved;
    if stray && flags.resets() {
        return Err(Reason::StrayReset);
    }
    let choice = if stray {
        Choice::ByHash(arrival.key.hash())
    } else {
        Choice::InTurn
    };
    let (id, backend) = schedule::pick(env, service.load(), choice)?;
    notes.backend = id;
    reachable(&backend)?;
    let source_port = if uses_nat(env, &service) {
        nat::claim(env, arrival, service, id, backend, now)?
    } else {
        0
    };
    let flow = Flow {
        backend: id as u16,
        mark: arrival.key.mark(),
        incarnation: backend.load().incarnation,
        seen: now,
        source_port,
        state: FlowState::PENDING,
        zero: 0,
    };
    if !env.insert_flow(Stage::Pending, arrival.key, &flow) {
        return Err(Reason::FlowTableFull);
    }
    notes.new_flow = !stray;
    let reason = if stray {
        Reason::Stray
    } else {
        Reason::ToBackend
    };
    Ok(Assigned {
        backend,
        source_port,
        reason,
    })
}

/// Whether the way to the backend is known.
#[inline(always)]
fn reachable<C: Cell<Backend>>(backend: &C) -> Result<(), Reason> {
    if backend.load().hop.interface == 0 {
        Err(Reason::NoNextHop)
    } else {
        Ok(())
    }
}

/// Whether the service's flows have a way back through us.
#[inline(always)]
pub(super) fn uses_nat<E: Env, C: Cell<Service>>(env: &E, service: &C) -> bool {
    let features = env.features();
    features.has(Features::FULL_NAT)
        && (!features.has(Features::DSR) || service.load().forward == Forward::FULL_NAT)
}
