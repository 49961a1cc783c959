//! A packet whose flow changes, or has to be looked for.

use super::flow;
use super::forward::next_hop;
use super::settled::Settled;
use super::{Cell, Env, Frame, Stage, Tables, nat};
use crate::abi::{Flow, FlowKey, FlowState, Reason, Ticks};
use crate::wire::{Family, TcpFlags};

/// What a packet makes of its flow.
pub(super) struct Change {
    /// The table that the flow is in.
    pub(super) stage: Stage,
    /// The table that is its place from now on.
    pub(super) place: Stage,
    pub(super) next: Flow,
    /// The packet ends the connection.
    ends: bool,
    /// The entry differs.
    differs: bool,
}

impl Change {
    #[inline(always)]
    fn of(flow: &Flow, stage: Stage, flags: TcpFlags, now: Ticks) -> Self {
        let mut next = *flow;
        next.seen = now;
        if flags.closes() {
            next.state = FlowState::CLOSING;
        }
        let mut place = stage;
        if stage == Stage::Pending && !flags.opens() && !flags.resets() {
            place = Stage::Established;
            if next.state == FlowState::PENDING {
                next.state = FlowState::ESTABLISHED;
            }
        }
        Self {
            stage,
            place,
            next,
            ends: flags.closes(),
            differs: next != *flow,
        }
    }

    /// Whether the flow goes to another table.
    #[inline(always)]
    pub(super) fn moves(&self) -> bool {
        self.stage != self.place
    }

    /// Whether the flow stays as it is.
    #[inline(always)]
    fn is_none(&self) -> bool {
        !self.moves() && !self.differs
    }
}

/// Brings the packet's flow up to date, or finds that there is none. It is `known` if there was one
/// in the established table.
#[inline(always)]
pub fn settle<A: Family, E: Env + Tables<A> + Tables<A::Other>>(
    env: &mut E,
    key: &FlowKey<A>,
    service: <E as Tables<A>>::ServiceCell,
    flags: TcpFlags,
    known: bool,
) -> Settled {
    let now = env.now();
    let Some((stage, cell, flow)) = search(env, key, flags, known) else {
        return Settled::missing(false);
    };
    let is_live = flow::is_live(&flow, key.protocol, flags, now);
    let Some((backend, keeps)) = flow::backend(env, &flow) else {
        env.remove_flow(stage, key);
        return Settled::missing(is_live);
    };
    let is_nat = nat::is_used(env, &service);
    // A flow from before the service was translated, or from before the ports were others, has no
    // port that replies are looked for at.
    if is_live && keeps && (!is_nat || nat::holds_port(env, &backend, flow.source_port)) {
        let change = Change::of(&flow, stage, flags, now);
        if next_hop(&backend).is_none() {
            return Settled::refused(Reason::NoNextHop, flow.backend.into());
        }
        if is_nat && !change.is_none() {
            return Settled::UNCERTAIN;
        }
        return write(env, key, &cell, &change);
    }
    env.remove_flow(stage, key);
    if is_nat {
        if nat::is_across::<A, E>(env, &backend) {
            let reply = nat::reply_key::<A, A::Other, E>(env, key, &backend, flow.source_port);
            nat::forget(env, key, &reply, stage);
        } else {
            let reply = nat::reply_key::<A, A, E>(env, key, &backend, flow.source_port);
            nat::forget(env, key, &reply, stage);
        }
    }
    Settled::missing(is_live && !keeps)
}

/// Brings a `nat` or `full-nat` flow that [`settle`] found up to date, together with its way back.
///
/// A port goes to another flow only after it has rested, so that a flow that was seen just now need
/// not be asked whether it still has its own.
#[inline(always)]
pub fn renew<A: Family, F: Frame, E: Env + Tables<A> + Tables<A::Other>>(
    env: &mut E,
    frame: &F,
    key: &FlowKey<A>,
    service: <E as Tables<A>>::ServiceCell,
    flags: TcpFlags,
) -> Settled {
    let Some((stage, cell, flow)) = search(env, key, flags, true) else {
        return Settled::missing(false);
    };
    let Some((backend, _)) = flow::backend(env, &flow) else {
        env.remove_flow(stage, key);
        return Settled::missing(true);
    };
    let found = (stage, cell, flow);
    if nat::is_across::<A, E>(env, &backend) {
        let reply = nat::reply_key::<A, A::Other, E>(env, key, &backend, flow.source_port);
        renew_with(env, frame, key, service, flags, &reply, found)
    } else {
        let reply = nat::reply_key::<A, A, E>(env, key, &backend, flow.source_port);
        renew_with(env, frame, key, service, flags, &reply, found)
    }
}

/// Brings a flow up to date, whose replies are of family `T`.
#[inline(always)]
fn renew_with<A: Family, T: Family, F: Frame, E: Env + Tables<A> + Tables<T>>(
    env: &mut E,
    frame: &F,
    key: &FlowKey<A>,
    service: <E as Tables<A>>::ServiceCell,
    flags: TcpFlags,
    reply: &FlowKey<T>,
    (stage, cell, flow): (Stage, <E as Tables<A>>::FlowCell, Flow),
) -> Settled {
    let change = Change::of(&flow, stage, flags, env.now());
    if nat::keep(env, frame, key, service, reply, &change) {
        return write(env, key, &cell, &change);
    }
    env.remove_flow(stage, key);
    nat::forget(env, key, reply, stage);
    Settled::missing(false)
}

/// The flow, in whichever table it is.
#[inline(always)]
fn search<A: Family, E: Env + Tables<A>>(
    env: &E,
    key: &FlowKey<A>,
    flags: TcpFlags,
    known: bool,
) -> Option<(Stage, <E as Tables<A>>::FlowCell, Flow)> {
    let mut stage = Stage::Established;
    let mut found = None;
    if known {
        found = flow::find(env, stage, key);
    }
    if found.is_none() {
        stage = Stage::Pending;
        found = flow::find(env, stage, key);
    }
    if found.is_none() && !flags.opens() {
        // Between the two lookups another CPU may have moved the entry from there to here.
        stage = Stage::Established;
        found = flow::find(env, stage, key);
    }
    found.map(|(cell, flow)| (stage, cell, flow))
}

/// Writes what became of a live flow, whose packet goes on.
#[inline(always)]
fn write<A: Family, E: Env + Tables<A>>(
    env: &mut E,
    key: &FlowKey<A>,
    cell: &<E as Tables<A>>::FlowCell,
    change: &Change,
) -> Settled {
    let next = &change.next;
    if change.moves() {
        if !env.insert_flow(change.place, key, next) {
            return Settled::refused(Reason::FlowTableFull, next.backend.into());
        }
        env.remove_flow(change.stage, key);
    } else if !change.is_none() {
        cell.update(|flow| {
            if flow.mark != next.mark {
                return;
            }
            flow.seen = next.seen;
            // Another CPU may have written a later state since it was read.
            if change.ends {
                flow.state = FlowState::CLOSING;
            }
        });
    }
    Settled::sent(next.backend.into(), next.source_port)
}
