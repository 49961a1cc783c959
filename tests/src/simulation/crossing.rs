//! Two packets that meet, in every way: one stops at each of its pauses in turn, while the other
//! passes. What the random simulation has found once is pinned down here.

use std::rc::Rc;

use lb_userspace::reconcile::Write;
use lb_userspace::tables::Tables;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::machine::{Generation, Machine};
use crate::ring::Ran;

/// More pauses than any packet has.
const PAUSES_MAX: usize = 200;

/// What happens before and while two packets meet.
#[derive(Debug)]
pub struct Crossing {
    /// The configuration.
    pub tables: Tables,
    /// Packets that come before.
    pub before: Vec<Vec<u8>>,
    /// Stands at each of its pauses in turn.
    pub overtaken: Vec<u8>,
    /// Passes while the other stands, from each of its own pauses on.
    pub passing: Option<Vec<u8>>,
    /// Changes of the configuration that are made meanwhile.
    pub writes: Vec<Write>,
    /// Packets that come and go meanwhile.
    pub meanwhile: Vec<Vec<u8>>,
}

/// How two packets have met.
#[derive(Debug)]
pub struct Met {
    /// How many pauses the passing and the overtaken packet had behind them.
    pub at: (usize, usize),
    /// What became of the overtaken packet.
    pub overtaken: Ran,
    /// What became of the passing one.
    pub passing: Option<Ran>,
}

impl Crossing {
    /// Lets them meet at every pair of pauses.
    pub fn everywhere(&self) -> Vec<Met> {
        let mut all = Vec::new();
        let mut generation = self.generation();
        for head_start in 0..PAUSES_MAX {
            let row = all.len();
            for pause in 0..PAUSES_MAX {
                if !self.writes.is_empty() {
                    generation = self.generation();
                }
                match self.meet(&generation, head_start, pause) {
                    Some(met) => all.push(met),
                    None => break,
                }
            }
            if all.len() == row || self.passing.is_none() {
                break;
            }
        }
        all
    }

    /// `None` if either is through before it has paused so often.
    fn meet(&self, generation: &Rc<Generation>, head_start: usize, pause: usize) -> Option<Met> {
        let mut machine = Machine::with(2, None, 1, Rc::clone(generation));
        for frame in &self.before {
            pass(&mut machine, 1, frame);
        }
        if let Some(passing) = &self.passing {
            advance(&mut machine, 1, passing, head_start)?;
        }
        advance(&mut machine, 0, &self.overtaken, pause)?;
        let passing = self.passing.is_some().then(|| finish(&mut machine, 1));
        for write in &self.writes {
            for step in generation.steps(write) {
                generation.make(step, 1);
            }
        }
        for frame in &self.meanwhile {
            pass(&mut machine, 1, frame);
        }
        let overtaken = finish(&mut machine, 0);
        Some(Met {
            at: (head_start, pause),
            overtaken,
            passing,
        })
    }

    fn generation(&self) -> Rc<Generation> {
        Rc::new(Generation::new(&self.tables, Vec::new()))
    }

    /// What becomes of the last of the packets that come before.
    pub fn last_before(&self) -> Option<Ran> {
        let mut machine = Machine::with(2, None, 1, self.generation());
        let runs = self.before.iter();
        runs.map(|frame| pass(&mut machine, 1, frame)).last()
    }
}

/// Runs frames on several CPUs that go on in an order from a seed; what became of each.
pub fn run_on(cpus: usize, tables: &Tables, seed: u64, frames: &[Vec<u8>]) -> Vec<Ran> {
    let mut random = StdRng::seed_from_u64(seed);
    let generation = Rc::new(Generation::new(tables, Vec::new()));
    let mut machine = Machine::with(cpus, None, seed, generation);
    let mut busy = vec![false; cpus];
    let mut waiting = frames.iter();
    let mut runs = Vec::new();
    while runs.len() < frames.len() {
        let cpu = random.random_range(0..cpus);
        let done = if busy[cpu] {
            machine.go(cpu)
        } else if let Some(frame) = waiting.next() {
            busy[cpu] = true;
            machine.begin(cpu, frame.clone())
        } else {
            None
        };
        if let Some(ran) = done {
            busy[cpu] = false;
            runs.push(ran);
        }
    }
    runs
}

/// Starts a frame and lets it go on for so many pauses; `None` if it is through before.
fn advance(machine: &mut Machine, cpu: usize, frame: &[u8], pauses: usize) -> Option<()> {
    let mut done = machine.begin(cpu, frame.to_vec());
    for _ in 0..pauses {
        if done.is_some() {
            return None;
        }
        done = machine.go(cpu);
    }
    done.is_none().then_some(())
}

fn finish(machine: &mut Machine, cpu: usize) -> Ran {
    loop {
        if let Some(ran) = machine.go(cpu) {
            return ran;
        }
    }
}

fn pass(machine: &mut Machine, cpu: usize, frame: &[u8]) -> Ran {
    match machine.begin(cpu, frame.to_vec()) {
        Some(ran) => ran,
        None => finish(machine, cpu),
    }
}
