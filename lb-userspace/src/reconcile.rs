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
        // One that leaves keeps its addresses: a packet that is on its way there at this moment
        // still goes there, and not half to nowhere.
        let new = wanted.backends.get(id).copied().unwrap_or(Backend {
            state: BackendState::ABSENT,
            ..old
        });
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

#[cfg(test)]
mod tests {
    #![expect(clippy::panic, reason = "a test fails by panicking")]

    use std::collections::BTreeMap;

    use lb_common::abi::{Forward, Scheduler};

    use super::*;
    use crate::tables::FirewallTables;

    const VIP: VipKey = VipKey {
        address: std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 10)),
        port: 80,
        protocol: 6,
    };

    /// Tables of one service over backends in the given states; those that are up have a slot.
    fn tables(states: &[BackendState]) -> Tables {
        let backends: BTreeMap<u32, Backend> = (0..)
            .zip(states)
            .map(|(id, state)| {
                (
                    id,
                    Backend {
                        state: *state,
                        incarnation: 1,
                        ..Backend::default()
                    },
                )
            })
            .collect();
        let up = backends
            .iter()
            .filter(|(_, backend)| backend.state == BackendState::UP);
        let slots = up.map(|(id, _)| *id).collect();
        let service = ServiceTable {
            id: 0,
            scheduler: Scheduler::CURSOR,
            forward: Forward::DSR,
            slots,
        };
        Tables {
            services: BTreeMap::from([(VIP, service)]),
            backends,
            firewall: FirewallTables::default(),
            flows: 1024,
            nat_ports: (1024, 1000),
            debug: false,
            trace: false,
        }
    }

    fn writes(running: &Tables, wanted: &Tables) -> Vec<Write> {
        match plan(running, wanted) {
            Plan::Writes(writes) => writes,
            Plan::Generation => panic!("a new program for a change of backends"),
        }
    }

    #[test]
    fn nothing_changed_writes_nothing() {
        let same = tables(&[BackendState::UP, BackendState::DRAINING]);
        assert_eq!(writes(&same, &same), []);
    }

    /// Plays a plan write by write: at no moment may a slot name a backend that is not up.
    fn assert_consistent(running: &Tables, wanted: &Tables) {
        let mut now = running.clone();
        for write in writes(running, wanted) {
            match write {
                Write::Backend(id, backend) => drop(now.backends.insert(id, backend)),
                Write::Service(key, service) => drop(now.services.insert(key, service)),
            }
            for id in now.services.values().flat_map(|service| &service.slots) {
                let state = now.backends.get(id).map(|backend| backend.state);
                assert_eq!(state, Some(BackendState::UP), "backend {id}");
            }
        }
        now.backends
            .retain(|_, backend| backend.state != BackendState::ABSENT);
        assert_eq!(now, *wanted);
    }

    #[test]
    fn every_change_of_states_is_consistent_after_each_write() {
        let all = [BackendState::UP, BackendState::DRAINING, BackendState::DOWN];
        let mut worlds = vec![tables(&[])];
        for a in all {
            worlds.push(tables(&[a]));
            for b in all {
                worlds.push(tables(&[a, b]));
                worlds.extend(all.map(|c| tables(&[a, b, c])));
            }
        }
        for running in &worlds {
            for wanted in &worlds {
                assert_consistent(running, wanted);
            }
        }
    }

    #[test]
    fn a_backend_that_leaves_keeps_its_addresses() {
        let mut running = tables(&[BackendState::UP]);
        let old = Backend {
            state: BackendState::UP,
            incarnation: 7,
            port: 8080,
            address: [1, 2],
            ..Backend::default()
        };
        running.backends.insert(0, old);
        let gone = Backend {
            state: BackendState::ABSENT,
            ..old
        };
        let writes = writes(&running, &tables(&[]));
        assert_eq!(writes.last(), Some(&Write::Backend(0, gone)));
    }

    #[test]
    fn structure_takes_a_new_program() {
        let running = tables(&[BackendState::UP]);
        let mut changed = [
            running.clone(),
            running.clone(),
            running.clone(),
            running.clone(),
        ];
        changed[0].flows = 2048;
        changed[1].debug = true;
        changed[2]
            .firewall
            .rules
            .push(lb_common::abi::Rule::default());
        for service in changed[3].services.values_mut() {
            service.forward = Forward::FULL_NAT;
        }
        for wanted in changed {
            assert_eq!(plan(&running, &wanted), Plan::Generation);
        }
    }
}
