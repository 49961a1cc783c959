//! A machine of several CPUs, each running the real engine, and memory that they share.
//!
//! Each CPU is a coroutine: it runs until it touches what others may write, and goes on when it
//! is told to. Nothing happens at the same time, and everything happens in any order, which the
//! caller chooses; so that the same choices lead to the same end.

mod cpu;
mod generation;
mod memory;
mod table;

use std::fmt;
use std::rc::Rc;

use corosensei::{Coroutine, CoroutineResult};
use lb_common::datapath::{self, Stage, Verdict};

pub(super) use generation::{Generation, Step};
pub(super) use memory::{Change, Event, Memory, index};

use crate::ring::{Exit, Ran, State, Tuple};
use crate::world::HostFrame;
use cpu::Cpu;

/// What a CPU is told.
#[derive(Debug)]
enum Order {
    /// To take up a frame.
    Take(Vec<u8>),
    /// To go on.
    Go,
}

/// What a CPU says when it is finished with a frame.
type Done = Ran;

type Hart = Coroutine<Order, Option<Done>, ()>;

/// The machine.
pub(super) struct Machine {
    pub(super) memory: Rc<Memory>,
    cpus: Vec<Hart>,
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine").finish_non_exhaustive()
    }
}

impl Machine {
    /// So many CPUs, tables with room for so many pending and established entries, and chance
    /// from a seed.
    pub(super) fn with(
        cpus: usize,
        room: Option<(usize, usize)>,
        seed: u64,
        generation: Rc<Generation>,
    ) -> Self {
        let memory = Rc::new(Memory::new(cpus, room, seed, generation));
        let cpus = (0..cpus)
            .map(|number| boot(Rc::clone(&memory), number))
            .collect();
        Self { memory, cpus }
    }

    /// Gives a frame to a CPU that has none; it stops before it shares anything.
    pub(super) fn begin(&mut self, cpu: usize, frame: Vec<u8>) -> Option<Ran> {
        resume(&mut self.cpus[cpu], Order::Take(frame))
    }

    /// Lets a CPU go on to its next pause, or to the end of its packet.
    pub(super) fn go(&mut self, cpu: usize) -> Option<Ran> {
        resume(&mut self.cpus[cpu], Order::Go)
    }

    /// The program that new packets enter.
    pub(super) fn attached(&self) -> Rc<Generation> {
        Rc::clone(&self.memory.attached.borrow())
    }

    /// Puts a program in place of the running one; packets under way stay in the old one.
    pub(super) fn attach(&self, generation: Rc<Generation>) {
        *self.memory.attached.borrow_mut() = generation;
    }

    /// What happened since this was asked last.
    pub(super) fn events(&self) -> Vec<Event> {
        self.memory.log.take()
    }

    /// The keys of every flow, and of every way back.
    pub(super) fn keys(&self) -> [Vec<(Stage, Tuple)>; 2] {
        self.memory.keys()
    }

    /// The sum of all CPUs' counters.
    pub(super) fn counted(&self) -> State {
        let mut sum = State::default();
        for counted in &self.memory.counted {
            let counted = counted.borrow();
            for (reason, tally) in &counted.reasons {
                sum.reasons.entry(*reason).or_default().merge(*tally);
            }
            for (rule, tally) in &counted.rules {
                sum.rules.entry(*rule).or_default().merge(*tally);
            }
            for (service, traffic) in &counted.services {
                sum.services.entry(*service).or_default().merge(*traffic);
            }
            for (backend, traffic) in &counted.backends {
                sum.backends.entry(*backend).or_default().merge(*traffic);
            }
        }
        sum
    }
}

/// A CPU that waits for its first frame.
fn boot(memory: Rc<Memory>, number: usize) -> Hart {
    Coroutine::new(move |turnstile: &cpu::Turnstile, first| {
        let mut order = first;
        loop {
            if let Order::Take(bytes) = order {
                let generation = Rc::clone(&memory.attached.borrow());
                let mut frame = HostFrame::new(&bytes);
                let mut environment = Cpu {
                    memory: &memory,
                    generation: &generation,
                    turnstile,
                    number,
                };
                let outcome = datapath::ingress(&mut frame, &mut environment);
                let exit = match outcome.verdict {
                    Verdict::Pass => Exit::Pass,
                    Verdict::Drop => Exit::Drop,
                    Verdict::Tx => Exit::Tx,
                    Verdict::Redirect(interface) => Exit::Redirect(Some(interface)),
                };
                let trace = outcome.trace();
                let frame = frame.into_bytes();
                order = turnstile.suspend(Some(Ran { exit, trace, frame }));
            } else {
                order = turnstile.suspend(None);
            }
        }
    })
}

fn resume(cpu: &mut Hart, order: Order) -> Option<Ran> {
    match cpu.resume(order) {
        CoroutineResult::Yield(done) => done,
        CoroutineResult::Return(()) => None,
    }
}
