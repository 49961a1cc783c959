//! The difference between the tables that run and the tables that are wanted, as an ordered list
//! of writes into the running program, or as the word that a new program is needed. Pure.

use lb_common::abi::{Backend, BackendState};

use crate::tables::{ServiceTable, Tables, VipKey};

/// How to get from one state to another.
#[derive(Debug, Clone, PartialEq)]
pub enum Plan {
    /// Write these, in order; each is one atomic step, and every state between is consistent.
    Writes(Vec<Write>),
    /// Load the program anew and swap it in.
    Generation,
}

/// One step.
#[derive(Debug, Clone, PartialEq)]
pub enum Write {
    /// Replaces a backend's entry.
    Backend(u32, Backend),
    /// Writes a service's slots to a new range and points the service there.
    Service(VipKey, ServiceTable),
}

/// Plans the way from `running` to `wanted`.
///
/// Backends and slots change in place; everything else flips with a new program.
pub fn plan(running: &Tables, wanted: &Tables) -> Plan {
    if structure_differs(running, wanted) {
        return Plan::Generation;
    }
    let mut before = Vec::new();
    let mut after = Vec::new();
    let ids: std::collections::BTreeSet<&u32> = running
        .backends
        .keys()
        .chain(wanted.backends.keys())
        .collect();
    for id in ids {
        let old = running.backends.get(id).copied().unwrap_or_default();
        let new = wanted.backends.get(id).copied().unwrap_or_default();
        if old == new {
            continue;
        }
        // A backend is complete before a slot names it, and is named by none before it leaves.
        let list = if new.state == BackendState::UP {
            &mut before
        } else {
            &mut after
        };
        list.push(Write::Backend(*id, new));
    }
    let services = wanted.services.iter().filter(|(key, service)| {
        running
            .services
            .get(key)
            .is_none_or(|old| old.slots != service.slots)
    });
    before.extend(services.map(|(key, service)| Write::Service(*key, service.clone())));
    before.append(&mut after);
    Plan::Writes(before)
}

/// Whether anything differs that only a new program can change.
fn structure_differs(running: &Tables, wanted: &Tables) -> bool {
    let outline = |tables: &Tables| -> Vec<_> {
        tables
            .services
            .iter()
            .map(|(key, service)| (*key, service.id, service.scheduler, service.forward))
            .collect()
    };
    running.firewall != wanted.firewall
        || running.flows != wanted.flows
        || running.nat_ports != wanted.nat_ports
        || running.features() != wanted.features()
        || outline(running) != outline(wanted)
}
