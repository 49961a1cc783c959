//! A packet whose flow changes, or has to be looked for.

use super::flow::{self, reachable, uses_nat};
use super::settled::Settled;
use super::{Arrival, Cell, Env, Frame, Stage, Tables, nat};
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

/// Brings the packet's flow up to date, or finds that there is none.
#[inline(always)]
pub fn settle<A: Family, F: Frame, E: Env + Tables<A>>(
    env: &mut E,
    frame: &F,
    key: &FlowKey<A>,
    service: <E as Tables<A>>::ServiceCell,
    flags: TcpFlags,
) -> Settled {
    let arrival = Arrival { frame, key, flags };
    let now = env.now();
    let Some((stage, cell, flow)) = search(env, arrival) else {
        return Settled::missing(false);
    };
    let is_live = flow::is_live(&flow, arrival, now);
    let Some(backend) = flow::backend(env, &flow) else {
        env.remove_flow(stage, key);
        return Settled::missing(is_live);
    };
    let reply = nat::reply_key(key, &backend, flow.source_port);
    let keeps = backend.load().state.keeps_flows();
    if is_live && keeps {
        let change = Change::of(&flow, stage, flags, now);
        let next = &change.next;
        if let Err(reason) = reachable(&backend) {
            return Settled::refused(reason, next.backend.into());
        }
        if has_way_back(env, arrival, service, &reply, &change) {
            return match write(env, key, &cell, &change) {
                Ok(()) => Settled::sent(next.backend.into(), next.source_port),
                Err(reason) => Settled::refused(reason, next.backend.into()),
            };
        }
    }
    env.remove_flow(stage, key);
    if uses_nat(env, &service) {
        nat::forget(env, key, &reply, stage);
    }
    Settled::missing(is_live && !keeps)
}

/// The flow, in whichever table it is.
#[inline(always)]
fn search<A: Family, F: Frame, E: Env + Tables<A>>(
    env: &E,
    arrival: Arrival<'_, A, F>,
) -> Option<(Stage, <E as Tables<A>>::FlowCell, Flow)> {
    let mut stage = Stage::Established;
    let mut found = flow::find(env, stage, arrival.key);
    if found.is_none() {
        stage = Stage::Pending;
        found = flow::find(env, stage, arrival.key);
    }
    if found.is_none() && !arrival.flags.opens() {
        // Between the two lookups another CPU may have moved the entry from there to here.
        stage = Stage::Established;
        found = flow::find(env, stage, arrival.key);
    }
    found.map(|(cell, flow)| (stage, cell, flow))
}

/// Whether replies still find the client. A port goes to another flow only after it has rested,
/// so that a flow that was seen just now need not be asked. One from before the service was
/// `full-nat`, or from before the ports were others, has no port that replies are looked for at.
#[inline(always)]
fn has_way_back<A: Family, F: Frame, E: Env + Tables<A>>(
    env: &mut E,
    arrival: Arrival<'_, A, F>,
    service: <E as Tables<A>>::ServiceCell,
    reply: &FlowKey<A>,
    change: &Change,
) -> bool {
    !uses_nat(env, &service)
        || nat::is_port(env, change.next.source_port)
            && (change.is_none() || nat::keep(env, arrival, service, reply, change))
}

/// Brings a live flow's entry up to date.
#[inline(always)]
fn write<A: Family, E: Env + Tables<A>>(
    env: &mut E,
    key: &FlowKey<A>,
    cell: &<E as Tables<A>>::FlowCell,
    change: &Change,
) -> Result<(), Reason> {
    let next = &change.next;
    if change.moves() {
        if !env.insert_flow(change.place, key, next) {
            return Err(Reason::FlowTableFull);
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
    Ok(())
}
