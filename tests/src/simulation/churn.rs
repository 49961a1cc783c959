//! The configuration, and how it changes under way.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::rc::Rc;

use rand::RngExt as _;

use super::Simulation;
use super::connection::Connection;
use super::machine::{Generation, Step};
use crate::case::Scene;
use crate::ring::Tuple;
use crate::world::{BackendSetup, Setup};
use lb_userspace::reconcile::{Plan, Write, plan};
use lb_userspace::tables::Tables;

/// Backends that a service may have.
const BACKENDS: u8 = 5;
/// Sources that are denied at the same time, at most.
const DENIED: usize = 3;

/// What is still to be done to the configuration, in order.
#[derive(Debug)]
pub(super) enum Change {
    /// One step in the program that runs.
    Step(Rc<Generation>, Step),
    /// Puts a new program in its place.
    Attach(Rc<Generation>),
}

/// Who changes the configuration: the document, and the way to it that is still ahead.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) setup: Setup,
    /// Where the changes ahead lead.
    tables: Tables,
    /// The program that runs when they are made.
    latest: Rc<Generation>,
    pub(super) ahead: VecDeque<Change>,
    denied: Vec<IpAddr>,
}

/// A service for every combination, with three backends of equal weight.
pub(super) fn configuration(ports: u16) -> Setup {
    let v6 = Scene {
        v6: true,
        ..Scene::PLAIN
    };
    let sources = [Scene::PLAIN.our_address(), v6.our_address()];
    let mut setup = Setup::new(&sources).nat_ports(20_000, ports).flows(65_536);
    for scene in Scene::all_without_tunnels() {
        let backends = [0, 1, 2].map(|id| BackendSetup::new(scene.backend(id)));
        setup = setup.service(
            &scene.to_string(),
            Connection::vip(scene),
            scene.protocol,
            scene.forward,
            &backends,
        );
    }
    // Blocks change rules, not features: a rule is always there.
    setup.block("203.0.113.0/24").block("2001:db8:bad::/48")
}

impl Writer {
    pub(super) fn new(mut setup: Setup, tables: Tables, latest: Rc<Generation>) -> Self {
        setup.reuse_ids();
        Self {
            setup,
            tables,
            latest,
            ahead: VecDeque::new(),
            denied: Vec::new(),
        }
    }

    /// Plans the way to what the document says now; true if there is one to go.
    fn plan(&mut self) -> bool {
        let wanted = self.setup.tables();
        let before = self.ahead.len();
        match plan(&self.tables, &wanted) {
            Plan::Writes(writes) => {
                let latest = &self.latest;
                let steps = writes.iter().flat_map(|write: &Write| latest.steps(write));
                self.ahead
                    .extend(steps.map(|step| Change::Step(Rc::clone(latest), step)));
            }
            Plan::Generation => {
                self.latest = Rc::new(Generation::new(&wanted, self.denied.clone()));
                self.ahead
                    .push_back(Change::Attach(Rc::clone(&self.latest)));
            }
        }
        self.tables = wanted;
        self.ahead.len() > before
    }
}

impl Simulation {
    /// Plans a change of one backend: it fails, recovers, drains, goes, or comes.
    pub(super) fn change(&mut self) -> Result<(), String> {
        let scenes = Scene::all_without_tunnels();
        let scene = scenes[self.random.random_range(0..scenes.len())];
        let name = scene.to_string();
        let number = self.random.random_range(0..BACKENDS);
        let mut entry = BackendSetup::new(scene.backend(number));
        entry.healthy = !self.random.random_ratio(1, 4);
        entry.drain = self.random.random_ratio(1, 4);
        if self.random.random_ratio(1, 20) {
            entry.hop = None;
        }
        let setup = &mut self.writer.setup;
        if self.random.random_ratio(1, 4) {
            setup.remove(&name, entry.address);
        } else if setup.has(&name, entry.address) {
            setup.put(&name, &entry);
        } else {
            // A new backend gets the id that was freed last. So soon this takes an exhausted pool
            // of ids, but never so soon that a packet of the former owner is still under way.
            self.rest()?;
            while !self.writer.ahead.is_empty() {
                self.write_one();
            }
            self.rest()?;
            self.writer.setup.reuse_ids();
            self.writer.setup.put(&name, &entry);
        }
        self.tally.changes += u64::from(self.writer.plan());
        Ok(())
    }

    /// Whether the writer goes on: it enters no service before every packet that may hold the
    /// entry it replaced last has left.
    pub(super) fn may_write(&self) -> bool {
        let Some(Change::Step(generation, Step::Service(..))) = self.writer.ahead.front() else {
            return !self.writer.ahead.is_empty();
        };
        let last = generation.served();
        self.flights
            .iter()
            .flatten()
            .all(|flight| flight.began > last)
    }

    /// Makes one planned change.
    pub(super) fn write_one(&mut self) {
        self.now += 1;
        match self.writer.ahead.pop_front() {
            Some(Change::Step(generation, step)) => generation.make(step, self.now),
            Some(Change::Attach(generation)) => self.machine.attach(generation),
            None => {}
        }
    }

    /// Blocks a client, or lets the last one in again: a new generation.
    pub(super) fn block_or_unblock(&mut self) {
        let writer = &mut self.writer;
        let many = writer.denied.len() >= DENIED;
        if many || (!writer.denied.is_empty() && self.random.random_bool(0.4)) {
            let index = self.random.random_range(0..writer.denied.len());
            let address = writer.denied.remove(index);
            writer.setup.unblock(address);
        } else if let Some(last) = self.connections.len().checked_sub(1) {
            let index = self.random.random_range(last.saturating_sub(23)..=last);
            let address = self.connections[index].client.ip();
            if !writer.denied.contains(&address) {
                writer.denied.push(address);
                let bits = if address.is_ipv4() { 32 } else { 128 };
                writer.setup = writer.setup.clone().block(&format!("{address}/{bits}"));
            }
        }
        self.tally.changes += u64::from(writer.plan());
    }

    /// The id that a scene's service has.
    pub(super) fn service_of(&self, tuple: &Tuple) -> Option<u32> {
        let mut services = self.writer.tables.services.iter();
        let found = services.find(|(key, _)| {
            (key.address, key.port) == (tuple.local.ip(), tuple.local.port())
                && key.protocol == tuple.protocol
        });
        found.map(|(_, service)| service.id)
    }
}
