//! What is expected of one frame.

use std::net::IpAddr;

use lb_common::abi::trace::NONE;
use lb_common::abi::{Reason, Tally, Trace, Traffic};

use crate::packet::Packet;
use crate::ring::{Exit, FlowView, ReverseView, State, Table, Tuple};

/// What is expected of one frame: how it leaves, why, its bytes, and what changes.
#[derive(Debug, Clone)]
pub struct Expect {
    /// How it leaves.
    pub exit: Exit,
    /// Why.
    pub reason: Reason,
    /// Its bytes afterwards; `None` is untouched.
    pub frame: Option<Vec<u8>>,
    /// Entries of tables that change.
    pub changes: Vec<Change>,
    rule: Option<u32>,
    service: Option<u32>,
    backend: Option<u32>,
    new_flow: bool,
    to_client: bool,
}

/// An entry of a table that changes; `None` is gone.
#[derive(Debug, Clone)]
pub enum Change {
    /// A client's flow.
    Flow(Table, Tuple, Option<FlowView>),
    /// A way back.
    Reverse(Table, Tuple, Option<ReverseView>),
    /// A service's cursor has moved on by one.
    Cursor(u32),
    /// So many bytes is what the way to an address takes.
    Path(IpAddr, u32),
}

impl Expect {
    fn new(exit: Exit, reason: Reason) -> Self {
        Self {
            exit,
            reason,
            frame: None,
            changes: Vec::new(),
            rule: None,
            service: None,
            backend: None,
            new_flow: false,
            to_client: false,
        }
    }

    /// It goes to the host's stack.
    pub fn pass(reason: Reason) -> Self {
        Self::new(Exit::Pass, reason)
    }

    /// It goes nowhere.
    pub fn drop(reason: Reason) -> Self {
        Self::new(Exit::Drop, reason)
    }

    /// It goes to a backend of a service and looks like `packet` then.
    pub fn to_backend(service: u32, backend: u32, packet: &Packet) -> Self {
        let expect = Self::new(Exit::Tx, Reason::ToBackend);
        expect.of(service).at(backend).becomes(packet)
    }

    /// It goes back to the client and looks like `packet` then.
    pub fn to_client(service: u32, backend: u32, packet: &Packet) -> Self {
        let mut expect = Self::new(Exit::Tx, Reason::ToClient);
        expect.to_client = true;
        expect.of(service).at(backend).becomes(packet)
    }

    /// It goes back to its sender as `error`.
    pub fn told(reason: Reason, error: &Packet) -> Self {
        Self::new(Exit::Tx, reason).becomes(error)
    }

    /// By another interface.
    #[must_use]
    pub fn redirected(mut self, interface: u32) -> Self {
        self.exit = Exit::Redirect(Some(interface));
        self
    }

    /// For another reason.
    #[must_use]
    pub fn because(mut self, reason: Reason) -> Self {
        self.reason = reason;
        self
    }

    /// A rule has matched.
    #[must_use]
    pub fn rule(mut self, id: u32) -> Self {
        self.rule = Some(id);
        self
    }

    /// It is a packet of a service.
    #[must_use]
    pub fn of(mut self, service: u32) -> Self {
        self.service = Some(service);
        self
    }

    /// It is a packet of a backend.
    #[must_use]
    pub fn at(mut self, backend: u32) -> Self {
        self.backend = Some(backend);
        self
    }

    /// It was on its way to a client.
    #[must_use]
    pub fn replying(mut self) -> Self {
        self.to_client = true;
        self
    }

    /// A flow was scheduled in its turn: counted as a connection.
    #[must_use]
    pub fn new_flow(mut self) -> Self {
        self.new_flow = true;
        if let Some(service) = self.service {
            self.changes.push(Change::Cursor(service));
        }
        self
    }

    /// These entries change.
    #[must_use]
    pub fn change(mut self, changes: impl IntoIterator<Item = Change>) -> Self {
        self.changes.extend(changes);
        self
    }

    fn becomes(mut self, packet: &Packet) -> Self {
        self.frame = Some(packet.bytes());
        self
    }

    /// The record of the decision.
    pub fn trace(&self) -> Trace {
        Trace {
            reason: self.reason as u32,
            rule: self.rule.unwrap_or(NONE),
            service: self.service.unwrap_or(NONE),
            backend: self.backend.unwrap_or(NONE),
            new_flow: u32::from(self.new_flow),
            zero: 0,
        }
    }

    /// Turns the state before a frame of this length into that afterwards.
    pub fn follow(&self, state: &mut State, length: usize) {
        for change in &self.changes {
            change.follow(state);
        }
        let length = length as u64;
        let one = |tally: &mut Tally| {
            tally.packets += 1;
            tally.bytes += length;
        };
        one(state.reasons.entry(self.reason as u32).or_default());
        if let Some(rule) = self.rule {
            one(state.rules.entry(rule).or_default());
        }
        let count = |traffic: &mut Traffic| {
            if self.to_client {
                one(&mut traffic.egress);
            } else {
                one(&mut traffic.ingress);
            }
            traffic.connections += u64::from(self.new_flow);
        };
        if let Some(service) = self.service {
            count(state.services.entry(service).or_default());
        }
        if let Some(backend) = self.backend {
            count(state.backends.entry(backend).or_default());
        }
    }
}

impl Change {
    /// Changes a state.
    pub(super) fn follow(&self, state: &mut State) {
        match self {
            Self::Flow(table, tuple, Some(flow)) => {
                state.flows.insert((*table, *tuple), *flow);
            }
            Self::Flow(table, tuple, None) => {
                let gone = state.flows.remove(&(*table, *tuple));
                assert!(
                    gone.is_some(),
                    "the case takes away a flow that is not there"
                );
            }
            Self::Reverse(table, tuple, Some(reverse)) => {
                state.reverses.insert((*table, *tuple), *reverse);
            }
            Self::Reverse(table, tuple, None) => {
                let gone = state.reverses.remove(&(*table, *tuple));
                assert!(
                    gone.is_some(),
                    "the case takes away a way that is not there"
                );
            }
            Self::Path(address, mtu) => {
                state.paths.insert(*address, *mtu);
            }
            Self::Cursor(service) => *state.cursors.entry(*service).or_default() += 1,
        }
    }
}
