//! One CPU's view of the machine: the engine's environment. Every access to what others may write
//! is a point where another CPU, or the writer of the configuration, may go on.
//!
//! Settings and the firewall are frozen while a program lives, and counters are a CPU's own:
//! there is nothing to wait for.

use std::cell::Cell as StdCell;
use std::net::SocketAddr;

use corosensei::Yielder;
use lb_common::abi::address::narrow;
use lb_common::abi::{
    Backend, Datagram, DatagramKey, Features, Flow, FlowKey, PortTable, Reason, Reverse, Rule,
    Service, ServiceKey, Ticks, V4, V6,
};
use lb_common::datapath::{Cell, Env, Stage, Steps, Tables};

use super::generation::Generation;
use super::memory::{Change, Event, Kin, Memory};
use super::table::Place;
use super::{Done, Order};
use crate::ring::Tuple;
use crate::world::{INTERFACE, LINK_MTU, tuple};

/// Where a CPU pauses.
pub(super) type Turnstile = Yielder<Order, Option<Done>>;

/// A CPU while it runs a packet through a program.
pub(super) struct Cpu<'e> {
    pub(super) memory: &'e Memory,
    pub(super) generation: &'e Generation,
    pub(super) turnstile: &'e Turnstile,
    pub(super) number: usize,
}

/// An entry of a configuration map in place, which the engine must not write.
#[derive(Clone, Copy)]
pub(super) struct Fixed<'e, V> {
    place: &'e StdCell<V>,
    turnstile: &'e Turnstile,
}

/// An entry of a flow table in place.
pub(super) struct Held<'e, V> {
    place: Place<V>,
    turnstile: &'e Turnstile,
}

impl<V: Copy> Cell<V> for Fixed<'_, V> {
    fn load(&self) -> V {
        self.turnstile.suspend(None);
        self.place.get()
    }

    fn update(&self, _: impl FnOnce(&mut V)) {
        panic!("the engine writes a configuration map");
    }

    fn with<R>(&self, see: impl FnOnce(&V) -> R) -> R {
        see(&self.load())
    }
}

impl<V: Copy> Cell<V> for Held<'_, V> {
    fn load(&self) -> V {
        self.turnstile.suspend(None);
        self.place.get()
    }

    fn update(&self, change: impl FnOnce(&mut V)) {
        let mut value = self.load();
        change(&mut value);
        self.place.set(value);
    }

    fn with<R>(&self, see: impl FnOnce(&V) -> R) -> R {
        see(&self.load())
    }
}

impl<'e> Cpu<'e> {
    fn pause(&self) {
        self.turnstile.suspend(None);
    }

    fn fixed<V>(&self, place: &'e StdCell<V>) -> Fixed<'e, V> {
        Fixed {
            place,
            turnstile: self.turnstile,
        }
    }

    fn held<V>(&self, place: Place<V>) -> Held<'e, V> {
        Held {
            place,
            turnstile: self.turnstile,
        }
    }
}

impl Steps<V4> for Cpu<'_> {}
impl Steps<V6> for Cpu<'_> {}

impl<'e> Env for Cpu<'e> {
    type BackendCell = Fixed<'e, Backend>;
    type DatagramCell = Held<'e, Datagram>;

    fn features(&self) -> Features {
        self.generation.frozen.features()
    }

    fn nat_ports(&self) -> (u16, u16) {
        self.generation.frozen.nat_ports()
    }

    fn rule_words(&self) -> u32 {
        self.generation.frozen.rule_words()
    }

    fn ingress_interface(&self) -> u32 {
        INTERFACE
    }

    fn link_mtu(&self, _: u32) -> usize {
        LINK_MTU
    }

    fn note_path_mtu(&mut self, _: [u64; 2], _: u32) {}

    fn datagram(&self, _: &DatagramKey) -> Option<Self::DatagramCell> {
        None
    }

    fn insert_datagram(&mut self, _: &DatagramKey, _: &Datagram) {}

    fn remove_datagram(&mut self, _: &DatagramKey) {}

    fn now(&self) -> Ticks {
        self.pause();
        // Even CPUs are behind by a tick.
        Ticks(self.memory.clock.get() - u32::from(self.number.is_multiple_of(2)))
    }

    fn random(&mut self) -> u32 {
        self.memory.random()
    }

    fn may_send_error(&mut self) -> bool {
        true
    }

    fn slot(&self, index: u32) -> Option<u32> {
        self.pause();
        self.generation.slot(index)
    }

    fn backend(&self, id: u32) -> Option<Self::BackendCell> {
        let place = self.generation.backend(id)?;
        Some(self.fixed(place))
    }

    fn next_cursor(&mut self, service: u32) -> u64 {
        self.pause();
        let mut cursors = self.memory.cursors.borrow_mut();
        let cursor = cursors.entry(service).or_default();
        let turn = *cursor;
        *cursor += 1;
        self.memory.note(Event::Turn(service, turn));
        turn
    }

    fn port_row(&self, table: PortTable, index: u16) -> u32 {
        self.generation.frozen.port_row(table, index)
    }

    fn row_word(&self, row: u32, word: u32) -> u64 {
        self.generation.frozen.row_word(row, word)
    }

    fn rule(&self, position: u32) -> Option<Rule> {
        self.generation.frozen.rule(position)
    }

    fn count_reason(&mut self, reason: Reason, bytes: u64) {
        let mut counted = self.memory.counted[self.number].borrow_mut();
        let tally = counted.reasons.entry(reason as u32).or_default();
        tally.add(bytes);
    }

    fn count_rule(&mut self, id: u32, bytes: u64) {
        let mut counted = self.memory.counted[self.number].borrow_mut();
        counted.rules.entry(id).or_default().add(bytes);
    }

    fn count_ingress(&mut self, service: u32, backend: u32, bytes: u64, new_flow: bool) {
        let mut counted = self.memory.counted[self.number].borrow_mut();
        let services = counted.services.entry(service).or_default();
        services.ingress.add(bytes);
        services.connections += u64::from(new_flow);
        // The kernel's array has no entry for a backend that is none.
        if backend < lb_common::abi::limits::BACKENDS {
            let backends = counted.backends.entry(backend).or_default();
            backends.ingress.add(bytes);
            backends.connections += u64::from(new_flow);
        }
    }

    fn count_egress(&mut self, service: u32, backend: u32, bytes: u64) {
        let mut counted = self.memory.counted[self.number].borrow_mut();
        let services = counted.services.entry(service).or_default();
        services.egress.add(bytes);
        let backends = counted.backends.entry(backend).or_default();
        backends.egress.add(bytes);
    }
}

impl<'e, A: Kin> Tables<A> for Cpu<'e> {
    type ServiceCell = Fixed<'e, Service>;
    type FlowCell = Held<'e, Flow>;
    type ReverseCell = Held<'e, Reverse>;

    fn service(&self, key: &ServiceKey<A>) -> Option<Self::ServiceCell> {
        self.pause();
        let key = (key.address.ip(), key.port, key.protocol);
        self.generation.service(key).map(|place| self.fixed(place))
    }

    fn source_row(&self, address: A) -> u32 {
        self.generation.frozen.source_row(address)
    }

    fn destination_row(&self, address: A) -> u32 {
        self.generation.frozen.destination_row(address)
    }

    fn flow(&self, stage: Stage, key: &FlowKey<A>) -> Option<Self::FlowCell> {
        self.pause();
        let table = A::family(self.memory).flows(stage).borrow();
        table.find(&tuple(key)).map(|place| self.held(place))
    }

    fn insert_flow(&mut self, stage: Stage, key: &FlowKey<A>, flow: &Flow) -> bool {
        self.pause();
        let key = tuple(key);
        let chance = self.memory.random();
        let mut table = A::family(self.memory).flows(stage).borrow_mut();
        let inserted = table.insert(key, *flow, false, chance);
        self.memory.note_flow(stage, key, inserted);
        inserted.done
    }

    fn remove_flow(&mut self, stage: Stage, key: &FlowKey<A>) {
        self.pause();
        let key = tuple(key);
        if A::family(self.memory)
            .flows(stage)
            .borrow_mut()
            .remove(&key)
        {
            self.memory.note(Event::Flow(stage, key, Change::Removed));
        }
    }

    fn reverse(&self, stage: Stage, key: &FlowKey<A>) -> Option<Self::ReverseCell> {
        self.pause();
        let table = A::family(self.memory).ways(stage).borrow();
        table.find(&tuple(key)).map(|place| self.held(place))
    }

    fn insert_reverse(&mut self, stage: Stage, key: &FlowKey<A>, reverse: &Reverse) -> bool {
        self.pause();
        let client = Tuple {
            remote: SocketAddr::new(narrow(reverse.client), reverse.client_port),
            local: SocketAddr::new(narrow(reverse.vip), reverse.vip_port),
            protocol: key.protocol,
        };
        let chance = self.memory.random();
        let mut table = A::family(self.memory).ways(stage).borrow_mut();
        let inserted = table.insert(tuple(key), *reverse, true, chance);
        self.memory.note_way(stage, tuple(key), client, inserted);
        inserted.done
    }

    fn remove_reverse(&mut self, stage: Stage, key: &FlowKey<A>) {
        self.pause();
        let key = tuple(key);
        if A::family(self.memory).ways(stage).borrow_mut().remove(&key) {
            self.memory.note(Event::Way(stage, key, Change::Removed));
        }
    }
}
