//! What the rings of evidence have in common: a place where a frame runs through the engine, and
//! a view of everything that the engine remembers and counts.
//!
//! The view is made of the standard library's types, so that a case can be written without the
//! engine's own; ids, which only number things, are as the tables give them.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use lb_common::abi::{FlowState, Hop, Reason, Tally, Trace, Traffic};
use lb_userspace::reconcile::Write;
use lb_userspace::tables::Tables;

/// A place where frames run through the engine.
pub trait Ring {
    /// Runs one frame.
    fn run(&mut self, frame: &[u8]) -> Ran;

    /// Changes the running configuration.
    fn apply(&mut self, writes: &[Write]);

    /// Puts a new program with these tables in place of the running one, which hands over its
    /// flows and counters.
    fn generation(&mut self, tables: &Tables);

    /// Forgets every way back.
    fn forget_ways_back(&mut self);

    /// Everything remembered and counted.
    fn state(&mut self) -> State;

    /// Lets so many ticks pass; false if this ring cannot.
    fn wait(&mut self, ticks: u32) -> bool;
}

/// What became of a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// How it left.
    pub exit: Exit,
    /// What was noted about the decision.
    pub trace: Trace,
    /// Its bytes afterwards.
    pub frame: Vec<u8>,
}

/// How a frame leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// To the host's stack.
    Pass,
    /// Nowhere.
    Drop,
    /// By the interface that it came in by.
    Tx,
    /// By another interface; a test run in the kernel does not tell which.
    Redirect(Option<u32>),
}

/// Which of the two flow tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// One packet seen.
    Pending,
    /// The client continued.
    Established,
}

/// A 5-tuple as a packet towards us carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tuple {
    /// The packet's source.
    pub remote: SocketAddr,
    /// The packet's destination.
    pub local: SocketAddr,
    /// IP protocol number.
    pub protocol: u8,
}

/// A client's flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlowView {
    /// The backend's id.
    pub backend: u32,
    /// The backend's incarnation.
    pub incarnation: u32,
    /// Ticks since its last packet.
    pub age: u32,
    /// Our port towards the backend; 0 for none.
    pub source_port: u16,
    /// How far it is.
    pub state: FlowState,
}

/// A way back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReverseView {
    /// The client.
    pub client: SocketAddr,
    /// What the client addressed.
    pub vip: SocketAddr,
    /// The service's id.
    pub service: u32,
    /// The backend's id.
    pub backend: u32,
    /// Ticks since its last packet.
    pub age: u32,
    /// How far the flow is.
    pub state: FlowState,
    /// Where the client's packets came from.
    pub hop: Hop,
}

/// Everything remembered and counted. Counters that are zero are left out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct State {
    /// Clients' flows.
    pub flows: BTreeMap<(Table, Tuple), FlowView>,
    /// Ways back.
    pub reverses: BTreeMap<(Table, Tuple), ReverseView>,
    /// Bytes of the longest packet on the way to an address, as far as routers have said.
    pub paths: BTreeMap<IpAddr, u32>,
    /// Next values of the cursors by service id.
    pub cursors: BTreeMap<u32, u64>,
    /// Packets by the reason's number.
    pub reasons: BTreeMap<u32, Tally>,
    /// Packets by rule id.
    pub rules: BTreeMap<u32, Tally>,
    /// Traffic by service id.
    pub services: BTreeMap<u32, Traffic>,
    /// Traffic by backend id.
    pub backends: BTreeMap<u32, Traffic>,
}

impl Ran {
    /// The reason of the decision, if its number is one.
    pub fn reason(&self) -> Option<Reason> {
        Reason::from_number(self.trace.reason)
    }

    /// Whether the frame was sent on.
    pub fn is_forwarded(&self) -> bool {
        matches!(self.exit, Exit::Tx | Exit::Redirect(_))
    }
}

impl State {
    /// Takes ages from `actual` where they differ from ours by at most `slack` ticks: in the
    /// kernel, time goes on while a test runs.
    pub fn forgive(&mut self, actual: &Self, slack: u32) {
        for (key, flow) in &mut self.flows {
            if let Some(found) = actual.flows.get(key)
                && flow.age.abs_diff(found.age) <= slack
            {
                flow.age = found.age;
            }
        }
        for (key, reverse) in &mut self.reverses {
            if let Some(found) = actual.reverses.get(key)
                && reverse.age.abs_diff(found.age) <= slack
            {
                reverse.age = found.age;
            }
        }
    }

    /// One line for everything in which `actual` differs.
    pub fn differences(&self, actual: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        compare("flow", &self.flows, &actual.flows, &mut lines);
        compare("way back", &self.reverses, &actual.reverses, &mut lines);
        compare("path", &self.paths, &actual.paths, &mut lines);
        compare("cursor", &self.cursors, &actual.cursors, &mut lines);
        compare("reason", &self.reasons, &actual.reasons, &mut lines);
        compare("rule", &self.rules, &actual.rules, &mut lines);
        compare("service", &self.services, &actual.services, &mut lines);
        compare("backend", &self.backends, &actual.backends, &mut lines);
        lines
    }
}

fn compare<K, V>(
    what: &str,
    expected: &BTreeMap<K, V>,
    actual: &BTreeMap<K, V>,
    lines: &mut Vec<String>,
) where
    K: Ord + std::fmt::Debug,
    V: PartialEq + std::fmt::Debug,
{
    for (key, wanted) in expected {
        match actual.get(key) {
            Some(found) if found == wanted => {}
            Some(found) => lines.push(format!(
                "{what} {key:?}:\n    expected {wanted:?}\n    found    {found:?}"
            )),
            None => lines.push(format!("{what} {key:?}: expected {wanted:?}, found none")),
        }
    }
    for (key, found) in actual {
        if !expected.contains_key(key) {
            lines.push(format!("{what} {key:?}: expected none, found {found:?}"));
        }
    }
}
