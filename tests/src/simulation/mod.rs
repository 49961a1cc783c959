//! A seeded simulation of the whole datapath on the host: CPUs that interleave on shared tables in
//! the middle of their packets, clients, backends that answer, configuration that changes, packets
//! lost, doubled and overtaken; and the design's invariants, checked on every packet.
//!
//! Time is the simulation's own, nothing sleeps. What a receiver sees is read by etherparse. What
//! is not modelled: entries are written and read as a whole, where the kernel copies them word by
//! word; and memory that reaches other CPUs late.
#![expect(
    clippy::panic,
    reason = "a broken invariant fails the simulation by panicking"
)]

mod churn;
mod connection;
mod crossing;
mod judge;
mod machine;
mod network;
mod pace;
mod presence;
mod tally;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::packet::{FIN, RST};
use crate::ring::{State, Tuple};
use churn::Writer;
use connection::Connection;
pub use crossing::{Crossing, Met, run_on};
use machine::{Generation, Machine};
use network::{Frame, Sender};
use pace::Pace;
use presence::Presence;
pub use tally::Tally;

/// Ticks of the scheduler between two moments when no packet is under way.
const REST: u64 = 4000;

/// What a simulation is like.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// The test that runs it, to be named when an invariant breaks.
    pub name: &'static str,
    /// Where all chance comes from.
    pub seed: u64,
    /// How many packets arrive.
    pub packets: u64,
    /// CPUs that packets arrive on.
    pub cpus: usize,
    /// Room of the pending and the established tables, if they are to overflow.
    pub room: Option<(usize, usize)>,
    /// Source ports of `full-nat`.
    pub ports: u16,
    /// Clients at the same time.
    pub connections: usize,
}

/// A packet that a CPU is at.
#[derive(Debug)]
struct Flight {
    frame: Frame,
    generation: Rc<Generation>,
    began: u64,
    clock: u32,
    /// Ticks since its connection was heard of last.
    idle: u32,
    serial: u64,
    /// Turns that it took: service and number.
    turns: Vec<(u32, u64)>,
}

/// A running simulation.
#[derive(Debug)]
pub struct Simulation {
    options: Options,
    random: StdRng,
    machine: Machine,
    writer: Writer,
    pace: Pace,
    /// Moments are numbered; each CPU's and the writer's step takes one.
    now: u64,
    connections: Vec<Connection>,
    numbers: BTreeMap<Tuple, u32>,
    /// Who sent last.
    sender: usize,
    queues: Vec<VecDeque<Frame>>,
    flights: Vec<Option<Flight>>,
    /// Packets that have arrived.
    arrived: u64,
    flows: Presence,
    ways: Presence,
    /// Turns of each service since the last rest, and how many there were before.
    turns: BTreeMap<u32, BTreeSet<u64>>,
    turns_before: BTreeMap<u32, u64>,
    /// What the counters must show.
    expected: State,
    last_cpu: usize,
    tally: Tally,
}

impl Simulation {
    /// A simulation that has not begun.
    pub fn new(options: Options) -> Self {
        let mut setup = churn::configuration(options.ports);
        let tables = setup.tables();
        let generation = Rc::new(Generation::new(&tables, Vec::new()));
        let Options {
            cpus, room, seed, ..
        } = options;
        let machine = Machine::with(cpus, room, seed, generation);
        Self {
            options,
            random: StdRng::seed_from_u64(options.seed),
            writer: Writer::new(setup, tables, machine.attached()),
            machine,
            pace: Pace::new(),
            now: 0,
            connections: Vec::new(),
            numbers: BTreeMap::new(),
            sender: 0,
            queues: vec![VecDeque::new(); options.cpus],
            flights: (0..options.cpus).map(|_| None).collect(),
            arrived: 0,
            flows: Presence::default(),
            ways: Presence::default(),
            turns: BTreeMap::new(),
            turns_before: BTreeMap::new(),
            expected: State::default(),
            last_cpu: 0,
            tally: Tally::default(),
        }
    }

    /// Runs to the end.
    ///
    /// A broken invariant panics; the command that repeats it is in the message.
    pub fn run(mut self) -> Tally {
        let Options { name, seed, .. } = self.options;
        // A panic of the engine itself ends in no message of ours.
        println!("again: LB_SEED={seed} cargo xtask test {name}");
        let mut result = Ok(());
        while result.is_ok() && self.arrived < self.options.packets {
            result = self.tick();
        }
        if let Err(broken) = result.and_then(|()| self.rest()) {
            let arrived = self.arrived;
            panic!("packet {arrived}: {broken}\nagain: LB_SEED={seed} cargo xtask test {name}");
        }
        self.tally
    }

    /// One thing happens.
    fn tick(&mut self) -> Result<(), String> {
        self.let_time_pass()?;
        if self.random.random_ratio(1, 2500) {
            self.change()?;
        }
        if self.random.random_ratio(1, 15_000) {
            self.block_or_unblock();
        }
        if self.now.is_multiple_of(REST) {
            self.rest()?;
        }
        if self.may_write() && self.random.random_ratio(1, 12) {
            self.write_one();
        }
        let busy: Vec<bool> = self.flights.iter().map(Option::is_some).collect();
        let cpu = self.pace.next(&mut self.random, &busy);
        if busy[cpu] {
            return self.go(cpu);
        }
        self.now += 1;
        if self.random.random_bool(0.6) {
            self.send();
        }
        match self.queues[cpu].pop_front() {
            Some(frame) => self.begin(cpu, frame),
            None => Ok(()),
        }
    }

    fn let_time_pass(&mut self) -> Result<(), String> {
        let mut passed = 0;
        if self.random.random_ratio(1, 2000) {
            passed = self.random.random_range(1..3);
        }
        if self.random.random_ratio(1, 150_000) {
            // No packet is under way for so long.
            self.rest()?;
            passed += self.random.random_range(20..400);
        }
        let clock = &self.machine.memory.clock;
        clock.set(clock.get() + passed);
        Ok(())
    }

    /// A CPU takes up a frame.
    fn begin(&mut self, cpu: usize, frame: Frame) -> Result<(), String> {
        self.now += 1;
        self.arrived += 1;
        let (Sender::Client(id) | Sender::Backend(id, _)) = frame.sender;
        let connection = &mut self.connections[id as usize];
        connection.closing |= connection.scene.is_tcp() && frame.flags & (FIN | RST) != 0;
        if let Sender::Client(_) = frame.sender {
            connection.crowd.active += 1;
            connection.crowd.size += 1;
        }
        let bytes = frame.bytes.clone();
        let clock = self.machine.memory.clock.get();
        self.flights[cpu] = Some(Flight {
            idle: clock - connection.touched,
            frame,
            generation: self.machine.attached(),
            began: self.now,
            clock,
            serial: self.arrived,
            turns: Vec::new(),
        });
        match self.machine.begin(cpu, bytes) {
            Some(ran) => self.end(cpu, &ran),
            None => Ok(()),
        }
    }

    /// A CPU goes on with its packet.
    fn go(&mut self, cpu: usize) -> Result<(), String> {
        self.now += 1;
        self.tally.switches += u64::from(cpu != self.last_cpu);
        self.last_cpu = cpu;
        let done = self.machine.go(cpu);
        self.witness(cpu)?;
        match done {
            Some(ran) => self.end(cpu, &ran),
            None => Ok(()),
        }
    }

    /// Lets every packet under way come to its end, and compares what is counted.
    fn rest(&mut self) -> Result<(), String> {
        while let Some(cpu) = self.flights.iter().position(Option::is_some) {
            self.go(cpu)?;
        }
        self.judge_books()?;
        let clock = self.machine.memory.clock.get();
        self.flows.prune(clock);
        self.ways.prune(clock);
        Ok(())
    }
}
