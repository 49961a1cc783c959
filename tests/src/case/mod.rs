//! Cases: a description, a configuration, steps, and for each step exactly what changes.
//!
//! One corpus serves every ring. What a frame becomes is written as headers and encoded by
//! etherparse; what the tables become is written as a list of changes, and everything that is not
//! on the list must stay as it was.
#![expect(
    clippy::panic,
    reason = "a case that contradicts itself is a mistake in the test"
)]

pub mod corpus;
mod expect;
mod prove;
pub mod rounds;
mod scene;

use lb_userspace::reconcile::Write;
use lb_userspace::tables::Tables;

pub use expect::{Change, Expect};
pub use prove::{Proof, prove};
pub use scene::{NAT_PORT, SERVICE, Scene};

use crate::packet::Packet;
use crate::world::{Setup, World};

/// A case.
#[derive(Debug)]
pub struct Case {
    /// What it shows, as a sentence without its full stop.
    pub description: String,
    /// The configuration it starts with.
    pub tables: Tables,
    /// What happens, in order.
    pub steps: Vec<Step>,
    /// Why the kernel cannot show it, if so.
    pub host_only: Option<&'static str>,
    /// What is peculiar about its world on the host.
    pub prepare: Option<fn(&mut World)>,
}

/// One thing that happens.
#[derive(Debug)]
pub enum Step {
    /// A frame arrives.
    Frame {
        /// What it is.
        name: String,
        /// Its bytes.
        bytes: Vec<u8>,
        /// What becomes of it.
        expect: Box<Expect>,
    },
    /// The running configuration changes.
    Apply(Vec<Write>),
    /// A new program with these tables takes over flows and counters.
    Generation(Box<Tables>),
    /// The tables forget every way back, as full ones may.
    ForgetWaysBack(Vec<Change>),
    /// Ticks pass.
    Wait(u32),
}

impl Case {
    /// A case without steps.
    pub fn new(description: impl Into<String>, setup: &mut Setup) -> Self {
        Self {
            description: description.into(),
            tables: setup.tables(),
            steps: Vec::new(),
            host_only: None,
            prepare: None,
        }
    }

    /// A packet arrives.
    #[must_use]
    pub fn packet(self, name: &str, packet: &Packet, expect: Expect) -> Self {
        self.bytes(name, packet.bytes(), expect)
    }

    /// Any bytes arrive.
    #[must_use]
    pub fn bytes(mut self, name: &str, bytes: Vec<u8>, expect: Expect) -> Self {
        self.steps.push(Step::Frame {
            name: name.to_owned(),
            bytes,
            expect: Box::new(expect),
        });
        self
    }

    /// The running configuration changes.
    #[must_use]
    pub fn apply(mut self, writes: Vec<Write>) -> Self {
        assert!(!writes.is_empty(), "a change that changes nothing");
        self.steps.push(Step::Apply(writes));
        self
    }

    /// A new program with these tables takes over.
    #[must_use]
    pub fn generation(mut self, tables: Tables) -> Self {
        self.steps.push(Step::Generation(Box::new(tables)));
        self
    }

    /// The tables forget every way back, which are these.
    #[must_use]
    pub fn forget_ways_back(mut self, changes: Vec<Change>) -> Self {
        self.steps.push(Step::ForgetWaysBack(changes));
        self
    }

    /// Ticks pass.
    #[must_use]
    pub fn wait(mut self, ticks: u32) -> Self {
        self.steps.push(Step::Wait(ticks));
        self
    }

    /// The kernel cannot show it.
    #[must_use]
    pub fn host_only(mut self, why: &'static str, prepare: Option<fn(&mut World)>) -> Self {
        self.host_only = Some(why);
        self.prepare = prepare;
        self
    }
}
