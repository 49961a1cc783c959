//! The configuration maps of one loaded program, in place, with everything they ever said.
//!
//! Frozen parts (the firewall and the settings) are a [`World`]'s. A service's entry is replaced
//! by the map's one spare element, which the old one then is: so does the kernel's hash map.

use std::cell::{Cell as StdCell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use lb_common::abi::{Backend, Service, Slots};
use lb_userspace::reconcile::Write;
use lb_userspace::tables::{ServiceTable, Tables, VipKey};

use crate::world::World;

/// Ids of backends that a simulation may give.
const BACKENDS: usize = 256;
/// Slots for all ranges of a generation: none is given twice.
const SLOTS: usize = 16_384;

/// One step of a writer that no packet can see half done.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::simulation) enum Step {
    /// A backend's entry.
    Backend(u32, Backend),
    /// One slot, of a range that no service has yet.
    Slot(u32, u32),
    /// A service's entry, and the backends that its slots name.
    Service(VipKey, Service, Vec<u32>),
}

/// The configuration maps of one program.
#[derive(Debug)]
pub(in crate::simulation) struct Generation {
    pub(super) frozen: World,
    backends: Vec<StdCell<Backend>>,
    slots: Vec<StdCell<u32>>,
    next_slot: StdCell<usize>,
    services: Vec<StdCell<Service>>,
    keys: RefCell<HashMap<(IpAddr, u16, u8), usize>>,
    spare: StdCell<usize>,
    history: RefCell<History>,
    /// Sources that the firewall drops.
    pub(in crate::simulation) denied: Vec<IpAddr>,
}

/// What entries said, from which moment on.
#[derive(Debug, Default)]
struct History {
    backends: BTreeMap<u32, Vec<(u64, Backend)>>,
    members: BTreeMap<u32, Vec<(u64, Vec<u32>)>>,
    changed: u64,
    served: u64,
}

impl Generation {
    /// A program's maps, filled before it is attached.
    pub(in crate::simulation) fn new(tables: &Tables, denied: Vec<IpAddr>) -> Self {
        let places = tables.services.len() * 2 + 1;
        let generation = Self {
            frozen: World::new(tables, 0),
            backends: (0..BACKENDS).map(|_| StdCell::default()).collect(),
            slots: (0..SLOTS).map(|_| StdCell::default()).collect(),
            next_slot: StdCell::new(0),
            services: (0..places).map(|_| StdCell::default()).collect(),
            keys: RefCell::default(),
            spare: StdCell::new(places - 1),
            history: RefCell::default(),
            denied,
        };
        for (place, (key, _)) in tables.services.iter().enumerate() {
            let mut keys = generation.keys.borrow_mut();
            keys.insert((key.address, key.port, key.protocol), place);
            let marks = tables.services.len();
            keys.insert((key.address, 0, 0), marks + place);
        }
        for (id, backend) in &tables.backends {
            generation.make(Step::Backend(*id, *backend), 0);
        }
        for (key, service) in &tables.services {
            for step in generation.service_steps(key, service) {
                generation.make(step, 0);
            }
        }
        generation
    }

    /// The steps of a planned write.
    pub(in crate::simulation) fn steps(&self, write: &Write) -> Vec<Step> {
        match write {
            Write::Backend(id, backend) => vec![Step::Backend(*id, *backend)],
            Write::Service(key, service) => self.service_steps(key, service),
        }
    }

    fn service_steps(&self, key: &VipKey, service: &ServiceTable) -> Vec<Step> {
        let first = self.next_slot.get();
        let count = service.slots.len();
        assert!(first + count <= SLOTS, "a generation runs out of slots");
        self.next_slot.set(first + count);
        let mut steps: Vec<Step> = (first as u32..)
            .zip(&service.slots)
            .map(|(slot, id)| Step::Slot(slot, *id))
            .collect();
        let entry = Service {
            id: service.id,
            slots: Slots::new(first as u32, count as u32),
            scheduler: service.scheduler,
            forward: service.forward,
            ..Service::default()
        };
        steps.push(Step::Service(*key, entry, service.slots.clone()));
        steps
    }

    /// Makes a step at a moment.
    pub(in crate::simulation) fn make(&self, step: Step, now: u64) {
        let mut history = self.history.borrow_mut();
        match step {
            Step::Slot(slot, id) => return self.slots[slot as usize].set(id),
            Step::Backend(id, backend) => {
                self.backends[id as usize].set(backend);
                let versions = history.backends.entry(id).or_default();
                versions.push((now, backend));
            }
            Step::Service(key, entry, members) => {
                let mut keys = self.keys.borrow_mut();
                let key = (key.address, key.port, key.protocol);
                let place = self.spare.get();
                self.services[place].set(entry);
                if let Some(old) = keys.insert(key, place) {
                    self.spare.set(old);
                }
                let versions = history.members.entry(entry.id).or_default();
                versions.push((now, members));
                history.served = now;
            }
        }
        history.changed = now;
    }

    pub(super) fn backend(&self, id: u32) -> Option<&StdCell<Backend>> {
        self.backends.get(id as usize)
    }

    pub(super) fn slot(&self, index: u32) -> Option<u32> {
        self.slots.get(index as usize).map(StdCell::get)
    }

    pub(super) fn service(&self, key: (IpAddr, u16, u8)) -> Option<&StdCell<Service>> {
        let place = *self.keys.borrow().get(&key)?;
        self.services.get(place)
    }

    /// Everything that a backend's entry said between two moments.
    pub(in crate::simulation) fn backends_between(
        &self,
        id: u32,
        span: (u64, u64),
    ) -> Vec<Backend> {
        let history = self.history.borrow();
        let known = history.backends.get(&id);
        let mut seen = known.map_or_else(Vec::new, |all| visible(all, span));
        if known.is_none_or(|all| all.first().is_some_and(|(since, _)| *since > span.0)) {
            seen.push(Backend::default());
        }
        seen
    }

    /// Every list of backends that a service's slots named between two moments.
    pub(in crate::simulation) fn members_between(
        &self,
        service: u32,
        span: (u64, u64),
    ) -> Vec<Vec<u32>> {
        let history = self.history.borrow();
        let known = history.members.get(&service);
        known.map_or_else(Vec::new, |all| visible(all, span))
    }

    /// The moment when a service was entered last.
    pub(in crate::simulation) fn served(&self) -> u64 {
        self.history.borrow().served
    }

    /// The moment of the last step.
    pub(in crate::simulation) fn changed(&self) -> u64 {
        self.history.borrow().changed
    }
}

/// The versions that were in force at some moment of the span.
fn visible<V: Clone>(versions: &[(u64, V)], span: (u64, u64)) -> Vec<V> {
    let (began, ended) = span;
    let first = versions
        .iter()
        .rposition(|(since, _)| *since <= began)
        .unwrap_or(0);
    versions
        .iter()
        .skip(first)
        .take_while(|(since, _)| *since <= ended)
        .map(|(_, version)| version.clone())
        .collect()
}
