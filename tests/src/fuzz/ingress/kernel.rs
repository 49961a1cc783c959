//! The same inputs in the kernel: host and kernel must agree on every frame's verdict, trace and
//! bytes, and on everything remembered and counted.
//!
//! What only the host can do, tables of a few entries, doors that shut and frames longer than a
//! page, ends an input here.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use lb_userspace::reconcile::Write;
use lb_userspace::tables::Tables;

use super::configuration::Configuration;
use super::{Bytes, Stage, play};
use crate::kernel::{self, Kernel, SHORTEST};
use crate::pair;
use crate::ring::{Exit, Ran, Ring as _, Table};
use crate::world::{WhenFull, World};

/// The longest frame that a test run keeps in one piece, as drivers do for a program that does
/// not ask for more: a page without what the kernel puts around the frame.
const LONGEST: usize = 3000;

/// How an input went in the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Agreement {
    /// Host and kernel agree on all of it.
    Whole,
    /// They agree up to a step that only the host can do.
    Beginning,
    /// A tick came in between, so that nobody knows which of the two the kernel has seen: to be
    /// tried again.
    Disturbed,
}

/// A kernel for many inputs: making its tables of flows takes longer than most inputs do.
#[derive(Debug, Default)]
pub struct Comparison(Option<Rc<RefCell<Kernel>>>);

impl Comparison {
    /// Runs an input on host and kernel; panics where they disagree.
    pub fn compare(&mut self, input: &[u8]) -> Agreement {
        let mut bytes = Bytes::new(input);
        let configuration = Configuration::read(&mut bytes);
        let kernel = self.kernel(&configuration.tables);
        compare(&mut bytes, configuration, kernel)
    }

    fn kernel(&mut self, tables: &Tables) -> Rc<RefCell<Kernel>> {
        if let Some(kernel) = &self.0 {
            kernel.borrow_mut().begin_anew(tables);
            return Rc::clone(kernel);
        }
        let kernel = Rc::new(RefCell::new(Kernel::with_generations(tables)));
        self.0 = Some(Rc::clone(&kernel));
        kernel
    }
}

fn compare(
    bytes: &mut Bytes<'_>,
    configuration: Configuration,
    kernel: Rc<RefCell<Kernel>>,
) -> Agreement {
    let tables = &configuration.tables;
    let ports = Rc::new(Cell::new(configuration.nat_ports));
    let oracle = pair::follow(&kernel, &ports);
    let mut both = Both {
        host: World::new(tables, 0).with_oracle(oracle),
        kernel,
        ports,
        waited: 0,
        disturbed: false,
    };
    let whole = play(bytes, configuration, &mut both);
    if both.disturbed || !both.states_agree() {
        Agreement::Disturbed
    } else if whole {
        Agreement::Whole
    } else {
        Agreement::Beginning
    }
}

/// Host and kernel side by side.
struct Both {
    host: World,
    kernel: Rc<RefCell<Kernel>>,
    ports: pair::Ports,
    /// Ticks that were pretended to pass.
    waited: u32,
    disturbed: bool,
}

impl Both {
    /// Sets the host's clock to the kernel's, far enough from the next tick.
    fn set_clock(&mut self) -> lb_common::abi::Ticks {
        pair::avoid_tick();
        let now = kernel::now();
        self.host.now = lb_common::abi::Ticks(now.0 + self.waited);
        now
    }

    /// Compares everything remembered and counted; false if a tick came in between.
    fn states_agree(&mut self) -> bool {
        let now = self.set_clock();
        let in_kernel = self.kernel.borrow_mut().state();
        if kernel::now() != now {
            return false;
        }
        let differences = self.host.state().differences(&in_kernel);
        assert!(
            differences.is_empty(),
            "host (expected) and kernel (found) differ:\n{}",
            differences.join("\n")
        );
        true
    }
}

impl Stage for Both {
    fn frame(&mut self, bytes: &[u8], _: &Configuration) -> Option<Ran> {
        if bytes.len() > LONGEST {
            return None;
        }
        let mut frame = bytes.to_vec();
        frame.resize(frame.len().max(SHORTEST), 0);
        let now = self.set_clock();
        // The kernel goes first: the host follows its choice of ports.
        let in_kernel = self.kernel.borrow_mut().run(&frame);
        if kernel::now() != now {
            self.disturbed = true;
            return None;
        }
        let on_host = self.host.run(&frame);
        let mut seen = on_host.clone();
        if let Exit::Redirect(interface) = &mut seen.exit {
            *interface = None;
        }
        assert_eq!(seen, in_kernel, "host and kernel differ on {frame:02x?}");
        Some(on_host)
    }

    fn apply(&mut self, writes: &[Write]) {
        self.host.apply(writes);
        self.kernel.borrow_mut().apply(writes);
    }

    fn generation(&mut self, tables: &Tables) {
        self.ports.set(tables.nat_ports);
        self.host.generation(tables);
        self.kernel.borrow_mut().generation(tables);
    }

    fn forget_ways_back(&mut self) {
        self.host.forget_ways_back();
        self.kernel.borrow_mut().forget_ways_back();
    }

    fn wait(&mut self, ticks: u32) -> bool {
        // Entries in the kernel cannot be made older than the machine.
        let uptime = kernel::now().0;
        if self.waited + ticks >= uptime {
            return false;
        }
        self.waited += ticks;
        self.kernel.borrow_mut().wait(ticks)
    }

    fn limit(&mut self, _: Table, _: usize, _: WhenFull) -> bool {
        false
    }

    fn door(&mut self, _: Option<usize>) -> bool {
        false
    }
}
