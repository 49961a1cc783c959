//! A seeded simulation of the whole datapath on the host: many clients, backends that answer,
//! CPUs that take turns, configuration that changes, packets lost, doubled and overtaken; and the
//! design's invariants, checked on every packet.
//!
//! Time is the simulation's own, nothing sleeps. What a receiver sees is read by etherparse.
#![expect(
    clippy::panic,
    reason = "a broken invariant fails the simulation by panicking"
)]

mod churn;
mod connection;
mod invariants;
mod network;
mod turns;

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};

use lb_userspace::reconcile::Write;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::ring::{Ring as _, Table};
use crate::world::{Setup, WhenFull, World};
use connection::Connection;
use network::{InFlight, Sender};
use turns::Turns;

/// CPUs that packets arrive on.
const CPUS: usize = 4;

/// What a simulation is like.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Where all chance comes from.
    pub seed: u64,
    /// How many things happen.
    pub steps: u32,
    /// Room of the pending and the established tables, if they are to overflow.
    pub room: Option<(usize, usize)>,
    /// Source ports of `full-nat`.
    pub ports: u16,
    /// Clients at the same time.
    pub connections: usize,
}

/// What came up, so that a test can tell that a simulation was not idle.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Packets that reached a backend.
    pub at_backend: u64,
    /// Packets that reached a client.
    pub at_client: u64,
    /// Packets dropped by the firewall.
    pub denied: u64,
    /// Flows that had to keep their backend, and did.
    pub kept: u64,
    /// Turns that were judged.
    pub turns: u64,
    /// Changes of the configuration.
    pub changes: u64,
    /// Packets dropped for want of a port or of room.
    pub exhausted: u64,
}

/// A running simulation.
#[derive(Debug)]
pub struct Simulation {
    options: Options,
    random: StdRng,
    setup: Setup,
    world: World,
    /// The clock; CPUs may lag behind it by a tick.
    clock: u32,
    connections: Vec<Connection>,
    queues: Vec<VecDeque<InFlight>>,
    /// Changes that were planned and not all written yet.
    writes: VecDeque<Write>,
    blocked: Vec<IpAddr>,
    /// Whose connection a backend takes a packet for, by its source and destination; and since
    /// which tick.
    owners: HashMap<(SocketAddr, SocketAddr, u8), (u32, u32)>,
    turns: Turns,
    tally: Tally,
}

impl Simulation {
    /// A simulation that has not begun.
    pub fn new(options: Options) -> Self {
        let mut setup = churn::configuration(options.ports);
        let mut world = World::new(&setup.tables(), options.seed);
        if let Some((pending, established)) = options.room {
            world.limit(Table::Pending, pending, WhenFull::Evict);
            world.limit(Table::Established, established, WhenFull::Evict);
        }
        Self {
            options,
            random: StdRng::seed_from_u64(options.seed),
            setup,
            clock: world.now.0,
            world,
            connections: Vec::new(),
            queues: vec![VecDeque::new(); CPUS],
            writes: VecDeque::new(),
            blocked: Vec::new(),
            owners: HashMap::new(),
            turns: Turns::default(),
            tally: Tally::default(),
        }
    }

    /// Runs to the end.
    ///
    /// A broken invariant panics; the step and the seed are in the message.
    pub fn run(mut self) -> Tally {
        for step in 0..self.options.steps {
            if let Err(broken) = self.step() {
                let seed = self.options.seed;
                panic!(
                    "step {step}: {broken}\nagain: LB_SEED={seed} cargo test -p lb-tests --test \
                     simulation"
                );
            }
        }
        self.tally
    }

    fn step(&mut self) -> Result<(), String> {
        self.let_time_pass();
        if self.random.random_ratio(1, 60) {
            self.change();
        }
        if self.random.random_ratio(1, 3) {
            self.write_one();
        }
        if self.random.random_ratio(1, 400) {
            self.block_or_unblock();
        }
        if self.random.random_ratio(2, 5) {
            self.send();
        }
        let cpu = self.random.random_range(0..CPUS);
        match self.take(cpu) {
            Some(frame) => self.arrive(cpu, &frame),
            None => Ok(()),
        }
    }

    fn let_time_pass(&mut self) {
        if self.random.random_ratio(1, 50) {
            self.clock += self.random.random_range(1..3);
        }
        if self.random.random_ratio(1, 4000) {
            self.clock += self.random.random_range(20..400);
        }
    }

    /// A frame reaches the engine on a CPU.
    fn arrive(&mut self, cpu: usize, frame: &InFlight) -> Result<(), String> {
        // Even CPUs are behind by a tick.
        self.world.now.0 = self.clock - u32::from(cpu.is_multiple_of(2));
        let cursors = self.world.state_of_cursors();
        let ran = self.world.run(&frame.bytes);
        self.judge(frame, &ran, &cursors)?;
        if !ran.is_forwarded() {
            return Ok(());
        }
        match frame.sender {
            Sender::Client(id) => self.reach_backend(id, frame, &ran),
            Sender::Backend(_) => self.tally.at_client += 1,
        }
        Ok(())
    }
}
