//! A packet that makes a flow.

use super::flow::{reachable, uses_nat};
use super::schedule::{self, Choice};
use super::settled::Settled;
use super::{Arrival, Cell, Env, Frame, Stage, Tables, nat};
use crate::abi::trace::NONE;
use crate::abi::{Flow, FlowKey, FlowState, Reason};
use crate::wire::transport::TCP;
use crate::wire::{Family, TcpFlags};

/// Makes a flow for a packet that has none; `moved` if it had one whose backend left it.
#[inline(always)]
pub fn open<A: Family, F: Frame, E: Env + Tables<A>>(
    env: &mut E,
    frame: &F,
    key: &FlowKey<A>,
    service: <E as Tables<A>>::ServiceCell,
    flags: TcpFlags,
    moved: bool,
) -> Settled {
    let arrival = Arrival { frame, key, flags };
    let stray = key.protocol == TCP && !flags.opens() && !moved;
    if stray && flags.resets() {
        return Settled::refused(Reason::StrayReset, NONE);
    }
    let choice = if stray {
        Choice::ByHash(key.hash())
    } else {
        Choice::InTurn
    };
    match schedule::pick(env, service.load(), choice) {
        Ok((id, backend)) => match enter(env, arrival, service, id, backend) {
            Ok(source_port) => Settled::opened(id, source_port, stray),
            Err(reason) => Settled::refused(reason, id),
        },
        Err(reason) => Settled::refused(reason, NONE),
    }
}

/// Enters the flow into the tables, and gives our port towards the backend.
#[inline(always)]
fn enter<A: Family, F: Frame, E: Env + Tables<A>>(
    env: &mut E,
    arrival: Arrival<'_, A, F>,
    service: <E as Tables<A>>::ServiceCell,
    id: u32,
    backend: E::BackendCell,
) -> Result<u16, Reason> {
    reachable(&backend)?;
    let now = env.now();
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
    if env.insert_flow(Stage::Pending, arrival.key, &flow) {
        Ok(source_port)
    } else {
        Err(Reason::FlowTableFull)
    }
}
