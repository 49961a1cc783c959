//! The schedulers: which backend gets a new flow.
//!
//! User space compiles every scheduler into a range of slots; here is only the choice of a slot.

use super::{Cell, Env};
use crate::abi::{Backend, BackendState, Reason, Service};

/// How a slot is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Choice {
    /// The cursor's next: the flow counts as a connection.
    InTurn,
    /// By hash, without moving the cursor, so that packets of unknown flows do not disturb it.
    ByHash(u32),
}

/// A backend for a new flow.
#[inline(always)]
pub(super) fn pick<E: Env>(
    env: &mut E,
    service: Service,
    choice: Choice,
) -> Result<(u32, E::BackendCell), Reason> {
    let slots = service.slots;
    let count = slots.count();
    if count == 0 {
        return Err(Reason::NoBackend);
    }
    let step = match choice {
        Choice::InTurn => (env.next_cursor(service.id) % u64::from(count)) as u32,
        // Scales the hash to the range without a division.
        Choice::ByHash(hash) => ((u64::from(hash) * u64::from(count)) >> 32) as u32,
    };
    let id = env
        .slot(slots.first().wrapping_add(step))
        .ok_or(Reason::NoBackend)?;
    let backend = env.backend(id).ok_or(Reason::NoBackend)?;
    if serves(&backend, service.id) {
        Ok((id, backend))
    } else {
        Err(Reason::NoBackend)
    }
}

/// Whether a backend takes new flows of a service: a range of slots that was given up may have been
/// written anew by another.
#[inline(always)]
pub(super) fn serves<C: Cell<Backend>>(backend: &C, service: u32) -> bool {
    backend.load().state == BackendState::UP && backend.load().service == service
}
