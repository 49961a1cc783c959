//! What happened to a packet, and its counting.

use super::departure::Owner;
use super::{Env, Sent};
use crate::abi::reason::Outlet;
use crate::abi::trace::{NONE, Trace};
use crate::abi::{Features, Reason};

/// Where a packet goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// To the host's network stack, untouched.
    Pass,
    /// Nowhere.
    Drop,
    /// Out of the interface it came in by.
    Tx,
    /// Out of the interface of this index.
    Redirect(u32),
}

/// Which way a balanced packet travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Direction {
    /// Towards a backend.
    #[default]
    ToBackend,
    /// Towards a client.
    ToClient,
}

/// What was learned of a packet on its way; ids are [`NONE`] where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Notes {
    /// Counter index of the rule that matched.
    pub rule: u32,
    /// The service's id.
    pub service: u32,
    /// The backend's id.
    pub backend: u32,
    /// The packet was scheduled.
    pub new_flow: bool,
    /// Which way it travels.
    pub direction: Direction,
    /// Bytes that the frame has grown by.
    pub grown: usize,
}

/// What happened to a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// Where it goes.
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason,
    /// What was learned of it.
    pub notes: Notes,
}

impl Default for Notes {
    #[inline(always)]
    fn default() -> Self {
        Self {
            rule: NONE,
            service: NONE,
            backend: NONE,
            new_flow: false,
            direction: Direction::ToBackend,
            grown: 0,
        }
    }
}

impl Notes {
    /// Whose it is, and by how many bytes its frame has grown.
    #[inline(always)]
    pub(super) fn owned(&mut self, owner: Owner, grown: usize) {
        self.service = owner.service;
        self.backend = owner.backend;
        self.grown = grown;
    }
}

impl Outcome {
    #[inline(always)]
    pub(super) fn of(sent: Sent, notes: Notes, ingress_interface: u32) -> Self {
        let (verdict, reason) = match sent {
            Ok((reason, interface)) if interface == ingress_interface => (Verdict::Tx, reason),
            Ok((reason, interface)) => (Verdict::Redirect(interface), reason),
            Err(reason) if matches!(reason.outlet(), Outlet::Pass) => (Verdict::Pass, reason),
            Err(reason) => (Verdict::Drop, reason),
        };
        Self {
            verdict,
            reason,
            notes,
        }
    }

    /// The form that user space reads.
    pub fn trace(&self) -> Trace {
        Trace {
            reason: self.reason as u32,
            rule: self.notes.rule,
            service: self.notes.service,
            backend: self.notes.backend,
            new_flow: u32::from(self.notes.new_flow),
            zero: 0,
        }
    }
}

/// Counts the packet for its reason and for everything it touched.
#[inline(always)]
pub(super) fn account<E: Env>(env: &mut E, outcome: &Outcome, bytes: u64) {
    let notes = &outcome.notes;
    env.count_reason(outcome.reason, bytes);
    if env.features().has(Features::FIREWALL) && notes.rule != NONE {
        env.count_rule(notes.rule, bytes);
    }
    if notes.service == NONE {
        return;
    }
    match notes.direction {
        Direction::ToBackend => {
            env.count_ingress(notes.service, notes.backend, bytes, notes.new_flow);
        }
        Direction::ToClient => env.count_egress(notes.service, notes.backend, bytes),
    }
}
