//! A packet that makes a flow.

use super::forward::next_hop;
use super::schedule::{self, Choice};
use super::settled::Settled;
use super::{Cell, Env, Stage, Tables, nat};
use crate::abi::trace::NONE;
use crate::abi::{Flow, FlowKey, FlowState, Reason, Ticks};
use crate::wire::transport::TCP;
use crate::wire::{Family, TcpFlags};

/// Makes a flow for a packet that has none; `moved` if it had one whose backend left it. In `nat`
/// and `full-nat` the flow gets a backend only: a port has to be claimed for it.
#[inline(always)]
pub fn open<A: Family, E: Env + Tables<A>>(
    env: &mut E,
    key: &FlowKey<A>,
    service: <E as Tables<A>>::ServiceCell,
    flags: TcpFlags,
    moved: bool,
) -> Settled {
    let stray = key.protocol == TCP && !flags.opens() && !moved;
    if stray && flags.resets() {
        return Settled::refused(Reason::StrayReset, NONE);
    }
    let choice = if stray {
        Choice::ByHash(key.hash())
    } else {
        Choice::InTurn
    };
    let (id, backend) = match schedule::pick(env, service.load(), choice) {
        Ok(picked) => picked,
        Err(reason) => return Settled::refused(reason, NONE),
    };
    if next_hop(&backend).is_none() {
        return Settled::refused(Reason::NoNextHop, id);
    }
    let opened = Settled::opened(id, stray);
    if nat::is_used(env, &service) {
        return opened.without_port();
    }
    let now = env.now();
    enter::<A, E>(env, key, backend, opened, now)
}

/// Enters the flow into the pending table.
#[inline(always)]
pub(super) fn enter<A: Family, E: Env + Tables<A>>(
    env: &mut E,
    key: &FlowKey<A>,
    backend: E::BackendCell,
    opened: Settled,
    now: Ticks,
) -> Settled {
    let flow = Flow {
        backend: opened.backend() as u16,
        mark: key.mark(),
        incarnation: backend.load().incarnation,
        seen: now,
        source_port: opened.source_port(),
        state: FlowState::PENDING,
        zero: 0,
    };
    if env.insert_flow(Stage::Pending, key, &flow) {
        opened
    } else {
        Settled::refused(Reason::FlowTableFull, opened.backend())
    }
}
