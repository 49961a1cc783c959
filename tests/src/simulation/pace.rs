//! Which CPU goes on: now all at once, now one at a time, now one of them standing still.

use rand::RngExt as _;
use rand::rngs::StdRng;

/// Ticks of the scheduler that a pace lasts at most.
const SPELL_MAX: u32 = 600;

/// How CPUs take turns for a while.
#[derive(Debug)]
pub(super) struct Pace {
    kind: Kind,
    left: u32,
    cpu: usize,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    /// Any CPU goes one step.
    Even,
    /// A CPU mostly keeps going.
    Bursts,
    /// A CPU goes on until its packet is through.
    Whole,
    /// One stands still, as if its hypervisor had something better to do.
    Stall(usize),
}

impl Pace {
    pub(super) fn new() -> Self {
        Self {
            kind: Kind::Even,
            left: 0,
            cpu: 0,
        }
    }

    /// The CPU that goes on; `busy` says whether one has a packet.
    pub(super) fn next(&mut self, random: &mut StdRng, busy: &[bool]) -> usize {
        let cpus = busy.len();
        if self.left == 0 {
            self.left = random.random_range(1..=SPELL_MAX);
            self.kind = match random.random_range(0..8) {
                0..3 => Kind::Even,
                3..5 => Kind::Bursts,
                5 => Kind::Whole,
                _ => Kind::Stall(random.random_range(0..cpus)),
            };
        }
        self.left -= 1;
        let stays = match self.kind {
            Kind::Even | Kind::Stall(_) => false,
            Kind::Bursts => random.random_ratio(7, 8),
            Kind::Whole => busy[self.cpu],
        };
        if !stays {
            self.cpu = random.random_range(0..cpus);
        }
        if let Kind::Stall(stalled) = self.kind
            && stalled == self.cpu
        {
            self.cpu = (self.cpu + 1) % cpus;
        }
        self.cpu
    }
}
