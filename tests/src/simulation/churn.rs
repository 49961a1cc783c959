//! The configuration, and how it changes under way.

use std::net::SocketAddr;

use rand::RngExt as _;

use super::Simulation;
use super::connection::Connection;
use crate::case::Scene;
use crate::ring::Ring as _;
use crate::world::{BackendSetup, Setup};

/// Backends that a service may have.
const BACKENDS: u8 = 5;

/// A service for every combination, with three backends of equal weight.
pub(super) fn configuration(ports: u16) -> Setup {
    let v6 = Scene {
        v6: true,
        ..Scene::PLAIN
    };
    let sources = [Scene::PLAIN.our_address(), v6.our_address()];
    let mut setup = Setup::new(&sources).nat_ports(20_000, ports).flows(65_536);
    for scene in Scene::all() {
        let backends = [0, 1, 2].map(|id| BackendSetup::new(backend(scene, id)));
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

fn backend(scene: Scene, id: u8) -> SocketAddr {
    scene.backend(id)
}

impl Simulation {
    /// Plans a change of one backend: it fails, recovers, drains, goes, or comes.
    pub(super) fn change(&mut self) {
        let scenes = Scene::all();
        let scene = scenes[self.random.random_range(0..scenes.len())];
        let name = scene.to_string();
        let mut entry = BackendSetup::new(backend(scene, self.random.random_range(0..BACKENDS)));
        entry.healthy = !self.random.random_ratio(1, 4);
        entry.drain = self.random.random_ratio(1, 4);
        if self.random.random_ratio(1, 20) {
            entry.hop = None;
        }
        let goes = self.random.random_ratio(1, 4);
        let writes = self.setup.change(|setup| {
            if goes {
                setup.remove(&name, entry.address);
            } else {
                setup.put(&name, &entry);
            }
        });
        self.tally.changes += u64::from(!writes.is_empty());
        self.writes.extend(writes);
    }

    /// Makes one planned write, between two packets.
    pub(super) fn write_one(&mut self) {
        if let Some(write) = self.writes.pop_front() {
            self.turns.forget();
            self.world.apply(&[write]);
        }
    }

    /// Blocks a client, or lets the last one in again: a new generation.
    pub(super) fn block_or_unblock(&mut self) {
        while !self.writes.is_empty() {
            self.write_one();
        }
        if self.blocked.len() >= 3 || (!self.blocked.is_empty() && self.random.random_bool(0.4)) {
            let index = self.random.random_range(0..self.blocked.len());
            let address = self.blocked.remove(index);
            self.setup.unblock(address);
        } else if !self.connections.is_empty() {
            let index = self.random.random_range(0..self.connections.len());
            let address = self.connections[index].client.ip();
            if !self.blocked.contains(&address) {
                self.blocked.push(address);
                let bits = if address.is_ipv4() { 32 } else { 128 };
                self.setup = self.setup.clone().block(&format!("{address}/{bits}"));
            }
        }
        self.turns.forget();
        self.tally.changes += 1;
        let tables = self.setup.tables();
        self.world.configure(&tables);
    }
}
